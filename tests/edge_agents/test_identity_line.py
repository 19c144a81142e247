"""Lines that ask their devices who they are: simulators and a C slave, over TCP and a terminal; what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest

from bench.lines.bus import WHO_FUNCTION, Bus, BusServer, Question, Sent
from bench.lines.rig import polling, profile_of, server_line
from bench.lines.virtual import run_virtual
from contract.lines import AskWho
from contract.messages import Reading
from contract.profile import ProfileLibrary
from contract.site import DeviceEntry, ModbusRtuLine, ModbusTcpLine
from edge_agents.bus.allowed import ForbiddenRequestError
from edge_agents.bus.line import ModbusLine
from edge_agents.bus.modbus import ModbusPort
from edge_agents.bus.polled import PolledDevice
from edge_agents.bus.port import FrameCounters
from edge_agents.drivers.modbus import plan_reads
from edge_agents.reporting import DeviceReport, ReportRule
from simulators.device import Device
from simulators.identity import Identity
from simulators.modbus_rtu import ModbusRtuLine as SimulatedLine
from simulators.modbus_tcp import ModbusTcpServer
from simulators.recorder import Recorder
from tests.edge_agents.gateway import until
from tests.parts.modbus_slave import rtu_slave, serial_line, tcp_slave
from tests.simulators.conftest import Clock

PROFILE = ProfileLibrary()["hydrant-indoor"]
ENTRY = DeviceEntry(id="d1", profile=PROFILE.id, unit_id=1)
ACME = Identity("安科 Acme".encode(), b"HX-1\0\0", b"V1.2\xff")
TOLD = [("安科 Acme", "good"), ("HX-1", "good"), (r"V1.2\xff", "good")]
NAMES = ("vendor", "product", "revision")
Listed = list[tuple[object, str]]


def tcp_line(port: int) -> ModbusTcpLine:
    """A TCP line on loopback."""
    return ModbusTcpLine(id="tcp", kind="modbus_tcp", host="127.0.0.1", port=port, timeout_s=0.3, devices=[ENTRY])


def rtu_line(device: Path | str) -> ModbusRtuLine:
    """An RTU line on a pseudo-terminal."""
    return ModbusRtuLine(id="rtu", kind="modbus_rtu", port=str(device), timeout_s=0.3, baud=9600, devices=[ENTRY])


@asynccontextmanager
async def polled(
    line: ModbusTcpLine | ModbusRtuLine, poll_s: float = 1.3
) -> AsyncIterator[tuple[ModbusLine, list[Reading]]]:
    """The agent's line with one device."""
    plan, readings, frames = plan_reads(PROFILE), list[Reading](), FrameCounters()
    report = DeviceReport("d1", tuple(ReportRule.of(read.point) for read in plan.points), 300, 3)
    polling = ModbusLine(
        line.id, [PolledDevice("d1", 1, poll_s, plan, "big", report)], lambda: ModbusPort(line, counters=frames),
        lambda reports: readings.extend([*reports.alarm, *reports.telemetry]), Clock(),
        frames=frames,
    )  # fmt: skip
    task = asyncio.create_task(polling.run(), name="line under test")
    try:
        yield polling, readings
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def who(readings: list[Reading], device: str = "d1") -> Listed:
    """What was last said of who it is."""
    last = {reading.point: (reading.value, reading.quality) for reading in readings}
    return [last[key] for name in NAMES if (key := f"{device}/{name}") in last]


def online(readings: list[Reading]) -> list[object]:
    """Everything said of its being there."""
    return [reading.value for reading in readings if reading.point == "d1/online"]


def assert_no_fault(line: ModbusLine, readings: list[Reading]) -> None:
    """Nothing counts against the device or the line."""
    assert online(readings) == [True]
    assert line.counters.errors == {}
    assert line.health[0].errors == {}
    assert (line.frames.timeouts, line.frames.damaged, line.frames.lost_s) == (0, 0, 0.0)


@pytest.fixture
def recorder(tmp_path: Path) -> Any:
    """Takes note of every request that could change something."""
    recorder = Recorder(tmp_path / "truth.jsonl", Clock())
    yield recorder
    recorder.close()


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
@pytest.mark.parametrize("room", [246, 16], ids=["whole", "in parts"])
async def test_a_simulated_device_tells_who_it_is(kind: str, room: int, recorder: Recorder, tmp_path: Path) -> None:
    """In one answer or in three; a new firmware is reported after the next reconnection; nothing counts as a fault."""
    device = Device("d1", PROFILE, recorder, identity=Identity(ACME.vendor, ACME.product, ACME.revision, room))
    server = ModbusTcpServer({1: device}, recorder)
    simulated = SimulatedLine({1: device}, tmp_path / "line", recorder)
    async with server if kind == "tcp" else simulated:
        line = tcp_line(server.port) if kind == "tcp" else rtu_line(tmp_path / "line")
        async with polled(line) as (polling, readings):
            await until(lambda: len(who(readings)) == 3, "who it is")
            assert who(readings) == TOLD
            assert_no_fault(polling, readings)
    assert recorder.violations == 0


async def test_a_slave_refuses_once_when_it_does_not_have_the_function(slave_exe: Path) -> None:
    """libmodbus answers exception 1 over TCP: said, not asked again, and the reads go on."""
    with tcp_slave(slave_exe) as slave:
        async with polled(tcp_line(slave.port)) as (polling, readings):
            await until(lambda: len(who(readings)) == 3, "a refusal")
            requests, reads = polling.frames.requests, polling.counters.reads
            assert who(readings) == [(None, "unknown:refused")] * 3
            await until(lambda: polling.counters.reads >= reads + 2, "further reads")
            assert polling.frames.requests - requests == polling.counters.reads - reads
            assert_no_fault(polling, readings)


async def test_a_slave_is_left_alone_when_it_does_not_hear_the_question(slave_exe: Path) -> None:
    """On a serial line libmodbus takes the question for noise: nothing is said, no read is missed."""
    with serial_line() as wire, rtu_slave(slave_exe, wire.far, baud=9600):
        async with polled(rtu_line(wire.near)) as (polling, readings):
            await until(lambda: polling.frames.requests > polling.counters.reads, "the question")
            reads = polling.counters.reads
            await until(lambda: polling.counters.reads >= reads + 2, "further reads")
            assert polling.frames.requests == polling.counters.reads + 1
            assert who(readings) == []
            assert_no_fault(polling, readings)


class Rude(asyncio.Protocol):
    """A Modbus TCP device that reads well and behaves as told when asked who it is."""

    def __init__(self, manner: Callable[[bytes], bytes | None], asked: list[int]) -> None:
        self._manner, self._asked = manner, asked
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data[7] == WHO_FUNCTION:
            self._asked.append(1)
            said = self._manner(data)
            if said is None:
                self._transport.abort()
            else:
                self._transport.write(said)
        else:
            count = data[11]
            self._transport.write(
                data[:4] + bytes((0, 3 + 2 * count)) + data[6:8] + bytes((2 * count,)) + bytes(2 * count)
            )


@asynccontextmanager
async def rude(manner: Callable[[bytes], bytes | None]) -> AsyncIterator[tuple[int, list[int]]]:
    """(port, how often it was asked)."""
    asked: list[int] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Rude(manner, asked), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        await server.wait_closed()


MANNERS: dict[str, Callable[[bytes], bytes]] = {
    "silence": lambda _: b"",
    "no Modbus": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "another function": lambda data: data[:4] + b"\0\4" + data[6:7] + b"\x63\0\0",
    "a lie about its length": lambda data: data[:4] + b"\0\x0a" + data[6:7] + b"\x2b\x0e\1\1\0\0\1\0\xff",
    "another transaction": lambda data: b"\xee\xee\0\0\0\3" + data[6:7] + b"\xab\1",
    "half a frame": lambda data: data[:4] + b"\0\x40" + data[6:7] + b"\x2b\x0e\1",
}


async def test_nothing_counts_against_a_device_when_its_answer_is_none() -> None:
    """Silence and garbage: the values come as before, on the same connection, and it is not asked at every turn."""
    await asyncio.gather(*map(check_manner, MANNERS))


async def check_manner(manner: str) -> None:
    """Asked once, two reads after."""
    async with rude(MANNERS[manner]) as (port, asked), polled(tcp_line(port)) as (polling, readings):
        await until(lambda: bool(asked), f"the question to {manner}")
        reads = polling.counters.reads
        await until(lambda: polling.counters.reads >= reads + 2, f"further reads after {manner}")
        assert (manner, len(asked), polling.counters.opened) == (manner, 1, 1)
        assert_no_fault(polling, readings)
        assert who(readings) == []


async def test_a_device_that_hangs_up_on_the_question_is_not_asked_at_once_again() -> None:
    """The line is opened again and the values go on."""
    async with rude(lambda _: None) as (port, asked), polled(tcp_line(port)) as (polling, readings):
        await until(lambda: polling.counters.opened == 2, "a second connection")
        reads = polling.counters.reads
        await until(lambda: polling.counters.reads >= reads + 2, "further reads")
        assert (len(asked), polling.counters.opened) == (1, 2)
        assert online(readings) == [True]


async def test_nothing_is_sent_when_a_program_asks_for_more_than_it_may(recorder: Recorder) -> None:
    """The last step before the wire refuses other MEI types, other read codes and writes, whoever calls for them."""
    device = Device("d1", PROFILE, recorder)
    heard: list[bytes] = []
    device.answer = lambda pdu: heard.append(pdu) or b"\xab\x01"  # type: ignore[method-assign,func-returns-value]
    async with ModbusTcpServer({1: device}, recorder) as server:
        port = ModbusPort(tcp_line(server.port))
        await port.open()
        client: Any = port._client
        general_reference = ReadDeviceInformationRequest(1, 0, dev_id=1)
        general_reference.sub_function_code = 13
        for request in (general_reference, ReadDeviceInformationRequest(4, 0, dev_id=1)):
            with pytest.raises(ForbiddenRequestError):
                await client.execute(True, request)
        with pytest.raises(ForbiddenRequestError):
            await client.write_register(0, 1, device_id=1)
        await client.execute(True, ReadDeviceInformationRequest(1, 0, dev_id=1))
        await until(lambda: bool(heard), "the one that may be sent")
        port.close()
    assert heard == [b"\x2b\x0e\x01\x00"]
    assert recorder.violations == 0


# --- on a virtual clock -----------------------------------------------------------------------------------------------

PERIOD_S = 10.0
OBJECTS = b"\x03\x00\x04Acme\x01\x04HX-1\x02\x04V1.2"


def late_reads(
    units: int,
    ask_who: AskWho,
    who_is: Callable[[int], bytes] | None,
    fault: Callable[[Question, bytes], list[Sent]],
    for_s: float = 900.0,
) -> dict[str, Any]:
    """A line for so long: how late its reads began at the most, how often units were asked who they are, what was said
    of them, and the errors."""

    async def story() -> dict[str, Any]:
        bus = Bus(9600, who=who_is, fault=fault)
        loop = asyncio.get_running_loop()
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port), profile_of(1, 10), units, PERIOD_S, ask_who=ask_who) as (line, readings),
        ):
            began_s = loop.time()
            await asyncio.sleep(for_s)
            frames, errors = line.frames, dict(line.counters.errors)
        late_s = 0.0
        for unit in range(1, units + 1):
            times = [at for at, question in bus.asked if question.unit == unit and question.function != WHO_FUNCTION]
            steady = [at for at in times if at > began_s + 2 * PERIOD_S]
            late_s = max(late_s, *(abs(after - before - PERIOD_S) for before, after in pairwise(steady)))
        asked = [question.unit for _, question in bus.asked if question.function == WHO_FUNCTION]
        return {
            "late_s": late_s, "asked": len(asked) / units, "units": len(set(asked)), "errors": errors,
            "timeouts": frames.timeouts + frames.damaged,
            "who": {tuple(who(readings, f"u{unit}")) for unit in range(1, units + 1)},
        }  # fmt: skip

    return run_virtual(story())


def as_it_is(_question: Question, answer: bytes) -> list[Sent]:
    """No fault."""
    return [Sent(answer)]


def only_to_who(instead: Callable[[bytes], list[Sent]]) -> Callable[[Question, bytes], list[Sent]]:
    """A fault of identifications alone."""
    return lambda question, answer: instead(answer) if question.function == WHO_FUNCTION else [Sent(answer)]


TELLING = {(("Acme", "good"), ("HX-1", "good"), ("V1.2", "good"))}


REFUSED, SILENT, DAMAGED = ({((None, f"unknown:{why}"),) * 3} for why in ("refused", "no_answer", "bad_answer"))


@pytest.mark.parametrize(("units", "ask_who"), [(15, "idle"), (31, "gaps")])
@pytest.mark.parametrize(
    ("who_is", "fault", "asked", "said"),
    [
        (lambda _: OBJECTS, as_it_is, 1, TELLING),
        (None, as_it_is, 1, REFUSED),
        (None, only_to_who(lambda _: []), 2, SILENT),
        (None, only_to_who(lambda answer: [Sent(answer[:-1] + b"\0")]), 2, DAMAGED),
        (lambda _: OBJECTS, only_to_who(lambda answer: [Sent(b"\xff\0" + answer + b"\0")]), 1, TELLING),
    ],
    ids=["told", "refused", "silent", "damaged", "stray bytes"],
)
def test_no_poll_is_late_when_a_line_asks_who_its_devices_are(
    units: int,
    ask_who: AskWho,
    who_is: Callable[[int], bytes] | None,
    fault: Callable[[Question, bytes], list[Sent]],
    asked: int,
    said: set[Any],
) -> None:
    """Fifteen units at 9600 baud every ten seconds leave 0.6 s between two reads, 31 a quarter of a second.

    Each is asked once or twice as its answer deserves; no read begins later than it would, and nothing counts as an
    error.
    """
    found = late_reads(units, ask_who, who_is, fault)
    assert found["late_s"] < 0.005
    assert (found["units"], found["asked"]) == (units, asked)
    assert found["who"] == said
    assert (found["errors"], found["timeouts"]) == ({}, 0)


def test_no_read_is_disturbed_when_units_are_slow_to_refuse() -> None:
    """Half a second, as a slave on libmodbus takes: the refusal is heard, and no read waits for it."""
    found = late_reads(15, "idle", None, only_to_who(lambda answer: [Sent(answer, 0.5)]))
    assert found["late_s"] < 0.005
    assert (found["asked"], found["who"]) == (1, REFUSED)
    assert (found["errors"], found["timeouts"]) == ({}, 0)


def test_nobody_is_asked_in_a_gap_when_the_line_is_to_be_idle() -> None:
    """31 units leave a quarter of a second, less than a unit that is slow to refuse may take."""
    found = late_reads(31, "idle", None, only_to_who(lambda answer: [Sent(answer, 0.5)]))
    assert (found["asked"], found["who"]) == (0, {((None, "unknown:line_busy"),) * 3})
    assert (found["errors"], found["timeouts"]) == ({}, 0)


def test_a_device_is_asked_hourly_when_it_tells() -> None:
    """Three times in two hours and a bit."""
    found = late_reads(2, "idle", lambda _: OBJECTS, as_it_is, 7500.0)
    assert (found["asked"], found["who"]) == (3, TELLING)


def test_nobody_is_asked_when_the_line_says_never() -> None:
    """For devices that cannot stand the question."""
    found = late_reads(7, "never", lambda _: OBJECTS, as_it_is)
    assert (found["asked"], found["who"]) == (0, {()})


def test_a_line_without_an_idle_moment_is_named_and_not_delayed() -> None:
    """At 1200 baud two units a second leave less than an answer takes: neither is asked, and each says why."""

    async def story() -> tuple[list[Question], list[Reading]]:
        bus = Bus(1200, who=lambda _: OBJECTS)
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port, baud=1200), profile_of(1, 10), 2, 1.0, ask_who="gaps") as (_, readings),
        ):
            await asyncio.sleep(700)
        return [question for _, question in bus.asked if question.function == WHO_FUNCTION], readings

    questions, readings = run_virtual(story())
    assert questions == []
    assert {tuple(who(readings, f"u{unit}")) for unit in (1, 2)} == {((None, "unknown:line_busy"),) * 3}
