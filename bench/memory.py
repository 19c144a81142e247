"""Resident memory of a real agent and a real gateway process: Modbus TCP units, Mosquitto, everything on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

from bench.load import NORMAL, PROFILE, Plan, lines_of, write_site
from contract.errors import StartError
from contract.profile import ProfileLibrary
from gateway.ledger.store import FILE
from simulators.device import Device
from simulators.modbus_tcp import ModbusTcpServer
from simulators.recorder import Recorder

HEARD_S = 180.0
"""Longest wait until the gateway has a value of every point."""
MIB = 1024 * 1024


async def measure_memory(folder: Path, plan: Plan, seconds: float) -> dict[str, Any]:
    """Run agent and gateway on the whole plan and watch their memory for `seconds` after every point was heard.

    Raises:
        StartError: Mosquitto is not installed, or a process ended or heard nothing.
    """
    assert len(plan.device_ids) == 1, "one agent reads it all"
    (agent_id,) = plan.device_ids
    broker_port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        # Names as the simulators record them are of no use here, so the record goes nowhere.
        recorder = Recorder(Path("/dev/null"), lambda: time.time_ns() // 1_000_000)
        lines = [new_devices(ids, recorder) for ids in lines_of(plan.device_ids[agent_id])]
        servers = [
            await stack.enter_async_context(ModbusTcpServer(dict(enumerate(line, 1)), recorder)) for line in lines
        ]
        write_site(plan, folder / "site.yaml", [server.port for server in servers])
        stack.enter_context(run_process(mosquitto_command(folder, broker_port), folder / "mosquitto.log"))
        gateway_dir = write_settings(folder, agent_id, broker_port)
        gateway = stack.enter_context(weizhan("gateway", folder))
        agent = stack.enter_context(weizhan("edge", folder))
        life = stack.enter_context(life_of([device for line in lines for device in line]))
        started = time.monotonic()
        await until_heard(gateway_dir / FILE, plan.point_count, {"gateway": gateway, "edge": agent}, folder)
        heard_s = time.monotonic() - started
        samples = await watch({"agent": agent.pid, "gateway": gateway.pid}, seconds)
        life.cancel()
    return {"points": plan.point_count, "all_heard_after_s": round(heard_s, 1), **samples}


def new_devices(ids: list[str], recorder: Recorder) -> list[Device]:
    profile = ProfileLibrary()[PROFILE]
    start = {name: middle for name, (middle, _) in NORMAL.items()}
    return [Device(device, profile, recorder, start=start) for device in ids]


@contextlib.contextmanager
def life_of(devices: list[Device]) -> Iterator[asyncio.Task[None]]:
    """Every device's pressure moves past its deadband about every 10 s."""

    async def move() -> None:
        chance = random.Random(1)
        while True:
            for device in devices[:: max(1, len(devices) // 125)]:
                device.set("pressure_kpa", round(chance.uniform(260, 300), 1))
            devices.append(devices.pop(0))
            await asyncio.sleep(1)

    task = asyncio.create_task(move(), name="bench life")
    try:
        yield task
    finally:
        task.cancel()


def write_settings(folder: Path, agent_id: str, broker_port: int) -> Path:
    gateway_dir = folder / "gateway"
    mqtt = {"host": "127.0.0.1", "port": broker_port}
    agent = {"site_file": "site.yaml", "agent_id": agent_id, "data_dir": str(folder / "agent")}
    (folder / "edge.yaml").write_text(yaml.safe_dump({"mqtt": mqtt, "agent": agent}), "utf-8")
    gateway = {"sites": ["site.yaml"], "data_dir": str(gateway_dir)}
    (folder / "gateway.yaml").write_text(yaml.safe_dump({"mqtt": mqtt, "gateway": gateway}), "utf-8")
    return gateway_dir


def mosquitto_command(folder: Path, port: int) -> list[str]:
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if binary is None:
        raise StartError(
            "mosquitto: got none on this machine, want it for the measurement. Install it or use --no-memory."
        )
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", "utf-8")
    return [binary, "-c", str(config)]


@contextlib.contextmanager
def weizhan(part: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "cli.main", part, "run", "--config", str(folder / f"{part}.yaml")]
    with run_process(command, folder / f"{part}.log") as process:
        yield process


@contextlib.contextmanager
def run_process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def until_heard(ledger: Path, points: int, processes: dict[str, subprocess.Popen[bytes]], logs: Path) -> None:
    deadline = time.monotonic() + HEARD_S
    heard = 0
    while heard < points:
        for name, process in processes.items():
            if process.poll() is not None:
                raise StartError(f"{name}: ended with {process.returncode}, want it to run. {_tail(logs / name)}")
        if time.monotonic() > deadline:
            raise StartError(f"gateway: got values of {heard} points in {HEARD_S:.0f} s, want {points}.")
        await asyncio.sleep(0.5)
        heard = await asyncio.to_thread(_points_heard, ledger)


def _tail(log: Path) -> str:
    return log.with_suffix(".log").read_text("utf-8", "replace")[-1000:]


def _points_heard(ledger: Path) -> int:
    if not ledger.exists():
        return 0
    with contextlib.suppress(sqlite3.OperationalError):  # not made yet
        connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
        with contextlib.closing(connection):
            question = "SELECT count(*) FROM last_value WHERE point NOT LIKE '%/online' AND quality = 'good'"
            return int(connection.execute(question).fetchone()[0])
    return 0


async def watch(pids: dict[str, int], seconds: float) -> dict[str, Any]:
    watched = {name: psutil.Process(pid) for name, pid in pids.items()}
    most = dict.fromkeys(watched, 0)
    cpu = {name: sum(process.cpu_times()[:2]) for name, process in watched.items()}
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        for name, process in watched.items():
            most[name] = max(most[name], process.memory_info().rss)
        await asyncio.sleep(0.5)
    took = time.monotonic() - started
    found: dict[str, Any] = {}
    for name, process in watched.items():
        memory = process.memory_full_info()
        found[name] = {
            "rss_mib": round(most[name] / MIB, 1),
            "unshared_mib": round(memory.uss / MIB, 1),
            "cpu_share": round((sum(process.cpu_times()[:2]) - cpu[name]) / took, 3),
        }
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
