"""A real agent process on 1,000 Modbus TCP units behind 8 endpoints: CPU a poll and resident memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from bench.load import PROFILE
from bench.memory import (
    MIB,
    free_port,
    life_of,
    mosquitto_command,
    new_devices,
    run_process,
    until_heard,
    weizhan,
    write_settings,
)
from contract.profile import ProfileLibrary
from gateway.ledger.store import FILE
from simulators.modbus_tcp import ModbusTcpServer
from simulators.recorder import Recorder

LINES, UNITS_EACH = 8, 125


async def agent_load(folder: Path, seconds: float, poll_s: float = 10.0) -> dict[str, Any]:
    """Run the agent, a broker and a gateway; watch the agent for `seconds` once every point was heard.

    Raises:
        StartError: a part is not installed, ended, or heard nothing.
    """
    broker_port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        recorder = Recorder(Path("/dev/null"), lambda: time.time_ns() // 1_000_000)
        names = [[f"u{line}-{unit}" for unit in range(1, UNITS_EACH + 1)] for line in range(1, LINES + 1)]
        devices = [new_devices(ids, recorder) for ids in names]
        servers = [
            await stack.enter_async_context(ModbusTcpServer(dict(enumerate(line, 1)), recorder)) for line in devices
        ]
        _write_site(folder / "site.yaml", names, [server.port for server in servers], poll_s)
        stack.enter_context(run_process(mosquitto_command(folder, broker_port), folder / "mosquitto.log"))
        gateway_dir = write_settings(folder, "edge-1", broker_port)
        gateway = stack.enter_context(weizhan("gateway", folder))
        agent = stack.enter_context(weizhan("edge", folder))
        life = stack.enter_context(life_of([device for line in devices for device in line]))
        points = LINES * UNITS_EACH * len(ProfileLibrary()[PROFILE].points)
        await until_heard(gateway_dir / FILE, points, {"gateway": gateway, "edge": agent}, folder)
        found = await _watch_agent(psutil.Process(agent.pid), folder / "agent" / "status.json", seconds)
        life.cancel()
    return {"units": LINES * UNITS_EACH, "lines": LINES, "points": points, "poll_s": poll_s, **found}


def _write_site(path: Path, names: list[list[str]], ports: list[int], poll_s: float) -> None:
    lines = [
        {
            "id": f"tcp-{number}",
            "kind": "modbus_tcp",
            "host": "127.0.0.1",
            "port": port,
            "devices": [
                {"id": device, "profile": PROFILE, "unit_id": unit, "poll_s": poll_s}
                for unit, device in enumerate(ids, 1)
            ],
        }
        for number, (ids, port) in enumerate(zip(names, ports, strict=True), 1)
    ]
    title = {"zh": "基准站", "en": "Benchmark"}
    site = {"site": "bench", "title": title, "agents": [{"id": "edge-1", "lines": lines}]}
    path.write_text(yaml.safe_dump(site, allow_unicode=True, sort_keys=False), "utf-8")


async def _watch_agent(process: psutil.Process, status: Path, seconds: float) -> dict[str, Any]:
    def polls() -> tuple[int, float]:
        known = json.loads(status.read_text("utf-8"))
        return sum(line["reads"] for line in known["lines"].values()), known["written_ms"] / 1000

    def cpu_s() -> float:
        return float(sum(process.cpu_times()[:2]))

    # From one writing of the status file to another, so that reads and CPU are of the same moments.
    before, at_s = await _next_status(polls)
    cpu_before_s, most = cpu_s(), 0
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        most = max(most, process.memory_info().rss)
        await asyncio.sleep(0.5)
    after, end_s = await _next_status(polls)
    used_s = cpu_s() - cpu_before_s
    return {
        "polls_per_s": round((after - before) / (end_s - at_s), 1),
        "cpu_share": round(used_s / (end_s - at_s), 3),
        "cpu_us_a_poll": round(used_s / (after - before) * 1e6),
        "rss_mib": round(most / MIB, 1),
        "unshared_mib": round(process.memory_full_info().uss / MIB, 1),
    }


async def _next_status(polls: Any) -> tuple[int, float]:
    known: tuple[int, float] = polls()
    while (fresh := polls()) == known:  # noqa: ASYNC110  # a file tells nobody
        await asyncio.sleep(0.05)
    return fresh  # type: ignore[no-any-return]  # polls is the closure above
