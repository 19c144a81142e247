"""The agent cannot tell what stands at the far end of its serial line: one test for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from contract.site import DeviceEntry, ModbusRtuLine
from edge_agents.bus.line import ModbusLine
from edge_agents.bus.modbus import ModbusPort
from edge_agents.bus.polled import PolledDevice
from edge_agents.drivers.identity import decode_identity
from edge_agents.drivers.modbus import plan_reads
from edge_agents.reporting import DeviceReport, ReportRule, Reports
from tests.firmware import nodes
from tests.firmware.nodes import IMAGES, LIBRARY, UNIT, Node
from tests.simulators.clients import Terminal, crc, read_pdu, until, words_of
from tests.simulators.conftest import image_of, vector_of

ENDS = ("simulated", "libmodbus", "host", "qemu")
QUIET_S = 0.3
"""No answer within this time is none: the slowest of them answers within a third of it on an idle machine."""
TRIES = 20
"""A master asks again: an emulator that is held up in the middle of a frame has not heard it."""


@asynccontextmanager
async def far_end(
    kind: str, profile_id: str, firmware: Path, slave_exe: Path, folder: Path
) -> AsyncIterator[tuple[str, Node | None]]:
    """(device the agent opens, console of a node) of what shows the profile's test vector."""
    async with AsyncExitStack() as stack:
        node: Node | None = None
        if kind == "simulated":
            device = await stack.enter_async_context(nodes.simulated(folder, profile_id))
        elif kind == "libmodbus":
            device = stack.enter_context(nodes.libmodbus_slave(slave_exe, profile_id))
        elif kind == "host":
            made = nodes.host_node(firmware, profile_id, folder / "storage")
            device, node = await stack.enter_async_context(made)
        else:
            device, node = await stack.enter_async_context(nodes.qemu_node(firmware, profile_id))
        if node is not None:
            await node.show_vector(LIBRARY[profile_id])
        yield device, node


@asynccontextmanager
async def polled(device: str, profile_id: str, poll_s: float = 0.2) -> AsyncIterator[list[Reports]]:
    """What the agent's line reports of the device, as it comes."""
    taken: list[Reports] = []
    plan = plan_reads(LIBRARY[profile_id])
    entry = DeviceEntry(id="d1", profile=profile_id, unit_id=UNIT)
    line = ModbusRtuLine(id="rtu", kind="modbus_rtu", port=device, baud=9600, timeout_s=1.0, devices=[entry])
    report = DeviceReport("d1", tuple(ReportRule.of(read.point) for read in plan.points), 300, 3)
    polling = ModbusLine(
        line.id, [PolledDevice("d1", UNIT, poll_s, plan, "big", report)], lambda: ModbusPort(line), taken.append,
        lambda: 1_800_000_000_000,
    )  # fmt: skip
    task = asyncio.create_task(polling.run(), name="line")
    try:
        yield taken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def framed(unit: int, pdu: bytes) -> bytes:
    """A frame with its CRC."""
    return bytes((unit,)) + pdu + crc(bytes((unit,)) + pdu)


async def ask(terminal: Terminal, unit: int, pdu: bytes) -> bytes:
    """PDU of the answer to a request."""
    for _ in range(TRIES):
        terminal.received.clear()
        terminal.send(framed(unit, pdu))
        await asyncio.sleep(QUIET_S)
        answer = bytes(terminal.received)
        if len(answer) > 4 and answer[0] == unit and crc(answer[:-2]) == answer[-2:]:
            return answer[1:-2]
    raise AssertionError(f"no answer to {pdu.hex()}; last heard {answer.hex()}")


def latest(taken: list[Reports]) -> dict[str, tuple[object, str]]:
    """Last reported (value, quality) of every point."""
    readings = [r for reports in taken for r in reports.alarm + reports.telemetry]
    return {r.point.removeprefix("d1/"): (r.value, r.quality) for r in readings}


@pytest.mark.parametrize("profile_id", IMAGES)
@pytest.mark.parametrize("kind", ENDS)
async def test_the_agent_reads_the_same_whatever_answers(
    kind: str, profile_id: str, firmware: Path, slave_exe: Path, tmp_path: Path
) -> None:
    """Simulated device, libmodbus, firmware on this host and firmware on a Cortex-M3 under QEMU."""
    vector = vector_of(LIBRARY[profile_id])
    want = {name: (value, vector.qualities.get(name, "good")) for name, value in vector.values.items()}
    async with (
        far_end(kind, profile_id, firmware, slave_exe, tmp_path) as (device, _),
        polled(device, profile_id) as taken,
    ):
        await until(lambda: want.items() <= latest(taken).items(), f"{profile_id} of {kind}")


@pytest.mark.parametrize("kind", ENDS)
async def test_each_keeps_to_the_protocol(kind: str, firmware: Path, slave_exe: Path, tmp_path: Path) -> None:
    """Words, exceptions, and silence to what is damaged or for somebody else."""
    image = image_of(vector_of(LIBRARY["hydrant-municipal"]))
    async with (
        far_end(kind, "hydrant-municipal", firmware, slave_exe, tmp_path) as (device, _),
        Terminal(Path(device)) as terminal,
    ):
        whole = [image[n] for n in range(7)]
        while words_of(await ask(terminal, UNIT, read_pdu(3, 0, 7))) != whole:
            pass  # a node samples its sensors once a second
        assert words_of(await ask(terminal, UNIT, read_pdu(3, 2, 2))) == whole[2:4]
        assert await ask(terminal, UNIT, read_pdu(3, 65530, 4)) == b"\x83\x02"
        assert await ask(terminal, UNIT, read_pdu(3, 0, 126)) == b"\x83\x03"
        good, other, all_units = (framed(unit, read_pdu(3, 0, 1)) for unit in (UNIT, UNIT + 1, 0))
        damaged = good[:-1] + bytes((good[-1] ^ 1,))
        # libmodbus waits for the rest of such frames, or for another unit's answer; that is its own affair.
        for frame in () if kind == "libmodbus" else (damaged, other, all_units, good[:-1]):
            terminal.received.clear()
            terminal.send(frame)
            await asyncio.sleep(QUIET_S)
            assert bytes(terminal.received) == b"", frame.hex()
        assert words_of(await ask(terminal, UNIT, read_pdu(3, 0, 1))) == whole[:1]


@pytest.mark.parametrize("kind", ["simulated", "host", "qemu"])
async def test_each_says_who_it_is(kind: str, firmware: Path, slave_exe: Path, tmp_path: Path) -> None:
    """Maker, product, revision, in one answer or from an object on; other interfaces of function 43 are refused."""
    async with (
        far_end(kind, "hydrant-municipal", firmware, slave_exe, tmp_path) as (device, _),
        Terminal(Path(device)) as terminal,
    ):
        whole = decode_identity(await ask(terminal, UNIT, b"\x2b\x0e\x01\x00"), 0)
        assert whole.next_object is None
        assert whole.objects[1] == b"hydrant-municipal"
        if kind != "simulated":
            assert whole.objects == {0: b"Weizhan", 1: b"hydrant-municipal", 2: f"V{version('weizhan')}".encode()}
        rest = decode_identity(await ask(terminal, UNIT, b"\x2b\x0e\x01\x02"), 2)
        assert rest.objects == {2: whole.objects[2]}
        assert await ask(terminal, UNIT, b"\x2b\x0d\x01\x00") == b"\xab\x01"
        assert await ask(terminal, UNIT, b"\x2b\x0e\x05\x00") == b"\xab\x03"
        assert await ask(terminal, UNIT, b"\x2b\x0e\x04\x03") == b"\xab\x02"


async def test_the_agent_reports_the_firmware_of_a_node(firmware: Path, slave_exe: Path, tmp_path: Path) -> None:
    """A node on this host is asked in an idle moment of its line."""
    async with (
        far_end("host", "extinguisher-bay", firmware, slave_exe, tmp_path) as (device, _),
        polled(device, "extinguisher-bay", 1.5) as taken,
    ):
        await until(lambda: "revision" in latest(taken), "the firmware")
        names = ("vendor", "product", "revision")
        told = [latest(taken)[name] for name in names]
        assert told == [("Weizhan", "good"), ("extinguisher-bay", "good"), (f"V{version('weizhan')}", "good")]


@pytest.mark.parametrize("kind", ["simulated", "host", "qemu"])
async def test_nothing_can_be_written(kind: str, firmware: Path, slave_exe: Path, tmp_path: Path) -> None:
    """Coils, registers, masks, files: each is an exception, and the registers stay as they were."""
    async with (
        far_end(kind, "extinguisher-bay", firmware, slave_exe, tmp_path) as (device, _),
        Terminal(Path(device)) as terminal,
    ):
        for pdu in ("050000ff00", "0600000001", "0f0000000101ff", "100000000102ffff"):
            assert await ask(terminal, UNIT, bytes.fromhex(pdu)) == bytes((int(pdu[:2], 16) | 0x80, 1)), pdu


@pytest.mark.parametrize("kind", ["host", "qemu"])
async def test_a_blow_of_an_instant_reaches_the_agent(
    kind: str, firmware: Path, slave_exe: Path, tmp_path: Path
) -> None:
    """It is over long before the next poll: the node holds it until it was read."""
    async with far_end(kind, "hydrant-municipal", firmware, slave_exe, tmp_path) as (device, node):
        assert node is not None
        async with polled(device, "hydrant-municipal") as taken:
            await until(lambda: latest(taken).get("impact") == (False, "good"), "the contact at rest")
            await node.command("set impact 1")
            await asyncio.sleep(0.05)  # the blow itself
            await node.command("set impact 0")
            await until(lambda: latest(taken).get("impact") == (True, "good"), "the blow")


@pytest.mark.parametrize("kind", ["host", "qemu"])
async def test_a_contact_that_cannot_be_read_is_reported_as_unknown(
    kind: str, firmware: Path, slave_exe: Path, tmp_path: Path
) -> None:
    """Never as the state it had: the node answers with exception 4, and the agent says that it cannot be reached."""
    async with far_end(kind, "extinguisher-bay", firmware, slave_exe, tmp_path) as (device, node):
        assert node is not None
        async with polled(device, "extinguisher-bay") as taken:
            await until(lambda: latest(taken).get("present") == (True, "good"), "the extinguisher in place")
            await node.command("fail present")
            await until(lambda: latest(taken)["present"][0] is None, "the extinguisher unknown")
            assert latest(taken)["present"][1] != "good"


async def test_the_watchdog_starts_a_node_that_hangs_and_its_configuration_is_there(firmware: Path) -> None:
    """On the emulated board: the sensor part stops, three seconds later the node serves under its stored address."""
    async with nodes.qemu_node(firmware, "hydrant-municipal") as (device, node):
        await node.command("unit 9")
        assert " unit 1 starts 1 " in await node.command("info")
        await node.command("hang")
        await node.until("ready")
        assert " unit 9 starts 2 " in await node.command("info")
        async with Terminal(Path(device)) as terminal:
            assert len(words_of(await ask(terminal, 9, read_pdu(3, 0, 7)))) == 7
