"""`weizhan up`: agent, gateway and pages of one configuration, kept running together."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from cli.processes import Family
from cli.settings import Settings
from contract.errors import ConfigError, StartError
from gateway.ledger.store import FILE
from gateway.users import FILE as PASSWORDS


async def run_up(config: Path, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigError: there is nothing to run.
        StartError: a process says it cannot run here; everything was stopped.
    """
    if settings.gateway is not None:
        folder = settings.gateway.data_dir
    elif settings.agent is not None:
        folder = settings.agent.data_dir
    else:
        raise ConfigError(f"{config}:1: got neither `agent` nor `gateway`, want at least one.")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Family(folder / "logs", on_change=lambda text: print(text, file=sys.stderr, flush=True)) as family:
        if settings.gateway is not None:
            first = not (settings.gateway.data_dir / FILE).exists()
            await family.add("gateway", "-m", "cli.main", "gateway", "run", "-c", str(config))
        if settings.agent is not None:
            await family.add("edge", "-m", "cli.main", "edge", "run", "-c", str(config))
        if settings.gateway is not None:
            await family.add("web", "-m", "cli.main", "web", "run", "-c", str(config))
            scheme = "https" if settings.web.tls_cert_file is not None else "http"
            print(f"Pages: {scheme}://{settings.web.host}:{settings.web.port}/  Logs: {folder / 'logs'}", flush=True)
            if first:
                print(f"First sign-in: one-time passwords stand in {settings.gateway.data_dir / PASSWORDS}", flush=True)
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(family.failed.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if family.failed.is_set():
            raise StartError(family.failure)
