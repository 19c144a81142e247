"""A polled line on a simulated bus, as an agent makes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from contract.lines import AskWho
from contract.messages import Reading
from contract.profile import Profile, ProfileLibrary
from contract.site import DeviceEntry, ModbusRtuLine, ModbusRtuTcpLine
from edge_agents.bus.line import ModbusLine
from edge_agents.bus.modbus import ModbusPort
from edge_agents.bus.polled import LineRules, PolledDevice
from edge_agents.bus.port import FrameCounters
from edge_agents.drivers.modbus import plan_reads
from edge_agents.reporting import DeviceReport, ReportRule, Reports

START_MS = 1_800_000_000_000


def server_line(port: int, timeout_s: float = 0.5, baud: int = 9600) -> ModbusRtuTcpLine:
    """A line behind a serial server on loopback."""
    devices = [DeviceEntry(id="d1", profile="hydrant-municipal", unit_id=1)]
    return ModbusRtuTcpLine(
        id="rtu", kind="modbus_rtu_tcp", host="127.0.0.1", port=port, baud=baud, timeout_s=timeout_s, devices=devices
    )


def serial_line(path: str, timeout_s: float = 0.5, baud: int = 9600) -> ModbusRtuLine:
    """A line on a terminal."""
    devices = [DeviceEntry(id="d1", profile="hydrant-municipal", unit_id=1)]
    return ModbusRtuLine(id="rtu", kind="modbus_rtu", port=path, baud=baud, timeout_s=timeout_s, devices=devices)


def new_port(line: ModbusRtuTcpLine | ModbusRtuLine, frames: FrameCounters | None = None) -> ModbusPort:
    """A connection on the loop's clock."""
    return ModbusPort(line, asyncio.get_running_loop().time, frames)


def profile_of(blocks: int = 1, registers: int = 10, *, alarms: bool = False) -> Profile:
    """A device of so many blocks; with `alarms` the first register holds contacts."""
    points: list[dict[str, Any]] = []
    title = {"zh": "点", "en": "P"}
    for block in range(blocks):
        for n in range(registers):
            points.append({"name": f"b{block}r{n}", "title": title, "register": block * 200 + n})
    if alarms:
        contact = {"title": title, "register": 0, "type": "bit", "lane": "alarm"}
        points[0:1] = [{**contact, "name": f"c{bit}", "bit": bit} for bit in range(16)]
    return Profile.model_validate(
        {
            "id": "bench",
            "title": title,
            "category": "water",
            "source": "made for a measurement",
            "modbus": {"max_block": 60, "max_gap": 8, "answer_ms": 200},
            "points": points,
            "test_vector": {"registers": {}, "values": {}},
        }
    )


def library_profile(profile_id: str) -> Profile:
    """A shipped profile."""
    return ProfileLibrary()[profile_id]


@contextlib.asynccontextmanager
async def polling(
    line: ModbusRtuTcpLine | ModbusRtuLine, profile: Profile, units: int, period_s: float, *, ask_who: AskWho = "idle"
) -> AsyncIterator[tuple[ModbusLine, list[Reading]]]:
    """Poll so many units; gives the line and the list that its alarm readings and states go to."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    now_ms: Callable[[], int] = lambda: START_MS + int((loop.time() - began_s) * 1000)  # noqa: E731  # a clock
    plan, frames = plan_reads(profile), FrameCounters()
    rules = tuple(ReportRule.of(read.point) for read in plan.points)
    devices = [
        PolledDevice(f"u{unit}", unit, period_s, plan, "big", DeviceReport(f"u{unit}", rules, 300, 3))
        for unit in range(1, units + 1)
    ]
    readings: list[Reading] = []

    def record(reports: Reports) -> None:
        readings.extend(reports.alarm)
        readings.extend(reports.telemetry)

    polled = ModbusLine(
        "rtu", devices, lambda: new_port(line, frames), record, now_ms, loop.time,
        rules=LineRules(ask_who=ask_who), frames=frames,
    )  # fmt: skip
    task = asyncio.create_task(polled.run(), name="line under test")
    try:
        yield polled, readings
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (exc := task.exception()) is not None:
            raise exc
