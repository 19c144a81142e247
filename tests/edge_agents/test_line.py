"""The owner of a line on a port that answers as told: confirming reads, exceptions, requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contract.errors import DeviceError
from contract.profile import ProfileLibrary
from contract.site import DeviceEntry, PrinterLine
from edge_agents.bus.line import ModbusLine
from edge_agents.bus.polled import PolledDevice
from edge_agents.bus.printer import ListeningLine
from edge_agents.drivers.identity import IdentityPart
from edge_agents.drivers.modbus import Block, plan_reads
from edge_agents.drivers.printer import PrinterDecoder
from edge_agents.panel_report import PanelReport
from edge_agents.reporting import DeviceReport, ReportRule, Reports
from tests.edge_agents.gateway import until
from tests.parts.modbus_slave import serial_line

REST, RUNNING = [1, 1, 6050], [1, 3, 6050]


class TellingPort:
    """A pump controller that answers from a list, then the last answer for ever."""

    def __init__(self, answers: list[list[int] | DeviceError]) -> None:
        self._answers = deque(answers)
        self.reads = 0
        self.is_open = False

    async def open(self) -> None:
        """Always works."""
        self.is_open = True

    def close(self) -> None:
        """Closed."""
        self.is_open = False

    def ready_s(self, unit_id: int) -> float:
        """At once."""
        return 0.0

    def identity_s(self, usual_s: float) -> tuple[float, float]:
        """Longer than this line is ever idle."""
        return usual_s + 60, usual_s + 60

    async def identify(self, unit_id: int, first_object: int, wait_s: float) -> IdentityPart:
        """Nobody asks."""
        raise AssertionError((unit_id, first_object, wait_s))

    async def read(self, unit_id: int, block: Block, answer_s: float, *, is_probe: bool = False) -> list[int]:
        """The next answer."""
        assert unit_id == 1
        assert answer_s > 0
        self.reads += 1
        answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, DeviceError):
            raise answer
        assert len(answer) == block.size
        return answer


@asynccontextmanager
async def polled(port: TellingPort, poll_s: float = 0.02) -> AsyncIterator[tuple[ModbusLine, list[Reports]]]:
    """A line with one pump on that port."""
    plan = plan_reads(ProfileLibrary()["pump-controller"])
    report = DeviceReport("d1", tuple(ReportRule.of(read.point) for read in plan.points), 300, 3)
    taken: list[Reports] = []
    line = ModbusLine(
        "l1",
        [PolledDevice("d1", 1, poll_s, plan, "big", report)],
        lambda: port,
        taken.append,
        lambda: 1_800_000_000_000,
    )
    task = asyncio.create_task(line.run(), name="line")
    try:
        yield line, taken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def values(taken: list[Reports], point: str) -> list[tuple[object, str]]:
    """Everything reported of a point."""
    readings = [r for rs in taken for r in rs.alarm + rs.telemetry if not r.point.startswith("line-")]
    return [(r.value, r.quality) for r in readings if r.point.endswith(f"/{point}")]


async def test_an_edge_that_one_read_shows_is_not_reported() -> None:
    """A single wrong answer makes no alarm: it is counted and read again."""
    port = TellingPort([REST, REST, RUNNING, REST])
    async with polled(port) as (line, taken):
        await until(lambda: port.reads > 8, "more reads")
    assert values(taken, "running") == [(False, "good")]
    assert line.counters.disagreements == 1


async def test_an_edge_that_two_reads_show_is_reported_once() -> None:
    """Two reads that agree are an edge."""
    port = TellingPort([REST, REST, RUNNING, RUNNING])
    async with polled(port) as (line, taken):
        await until(lambda: port.reads > 8, "more reads")
    assert values(taken, "running") == [(False, "good"), (True, "good")]
    assert line.counters.disagreements == 0


async def test_an_edge_is_read_again_when_the_confirming_read_is_lost() -> None:
    """A lost second read delays the edge by one poll and loses nothing."""
    port = TellingPort([REST, REST, RUNNING, DeviceError("no_answer", "told so"), RUNNING])
    async with polled(port) as (line, taken):
        await until(lambda: len(values(taken, "running")) == 2, "the edge")
    assert values(taken, "running") == [(False, "good"), (True, "good")]
    assert values(taken, "online") == [(True, "good")]
    assert line.counters.errors == {"no_answer": 1}


async def test_a_device_that_refuses_is_online_and_its_points_are_bad() -> None:
    """An exception is an answer: the device is there, the value is not."""
    port = TellingPort([DeviceError("exception_2", "told so")])
    async with polled(port) as (_, taken):
        await until(lambda: port.reads > 5, "reads")
    assert values(taken, "online") == [(True, "good")]
    assert values(taken, "running") == [(None, "bad:exception_2")]


async def test_a_printer_port_comes_back_when_it_was_unplugged(tmp_path: Path) -> None:
    """Fire, unplugged, plugged in again: the state is unknown, then uncertain, and new lines are read."""
    taken: list[Reports] = []
    link = tmp_path / "printer"
    entry = DeviceEntry(id="fp", profile="panel-printer")
    profile = ProfileLibrary()["panel-printer"]
    assert profile.printer is not None
    line = ListeningLine(
        PrinterLine(id="prn", kind="printer", port=str(link), devices=[entry]),
        PrinterDecoder(profile.printer),
        PanelReport("fp", 3600),
        taken.append,
        lambda: 1_800_000_000_000,
    )
    task = asyncio.create_task(line.run(), name="printer")
    try:
        with serial_line() as first:
            link.symlink_to(first.near)
            await until(lambda: line.is_open, "open")
            first.send_near("004-004\n火警\n\n".encode("gb18030"))
            await until(lambda: values(taken, "l004p004") == [("fire", "good")], "fire")
        link.unlink()
        await until(lambda: values(taken, "l004p004")[-1] == (None, "unknown:line"), "line down")
        with serial_line() as second:
            link.symlink_to(second.near)
            await until(lambda: values(taken, "l004p004")[-1] == ("fire", "uncertain:missed_events"), "back")
            second.send_near("004-004\n故障恢复\n\n".encode("gb18030"))
            await until(lambda: values(taken, "l004p004")[-1] == ("normal", "good"), "normal")
            assert second.sent_by_near == 0
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
