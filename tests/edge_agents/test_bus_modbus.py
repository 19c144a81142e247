"""The Modbus connection against a slave that is not ours (libmodbus), over TCP and a pseudo-terminal."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pymodbus
import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

import edge_agents
from contract.errors import DeviceError, RetryLater
from contract.profile import ProfileLibrary
from contract.site import DeviceEntry, ModbusRtuLine, ModbusTcpLine
from edge_agents.bus.line import ModbusLine
from edge_agents.bus.modbus import ModbusPort
from edge_agents.bus.polled import PolledDevice
from edge_agents.drivers.modbus import Block, decode_group, plan_reads
from edge_agents.reporting import DeviceReport, ReportRule, Reports
from tests.edge_agents.gateway import until
from tests.edge_agents.test_drivers_modbus import make_profile
from tests.parts.modbus_slave import Slave, rtu_slave, serial_line, tcp_slave
from tests.parts.process import free_port

DEVICES = [DeviceEntry(id="d1", profile="hydrant-municipal", unit_id=1)]
POINTS = [
    {"name": "plain", "register": 7},
    {"name": "signed", "register": 200, "type": "int16"},
    {"name": "real", "register": 210, "type": "float32"},
    {"name": "long", "register": 212, "type": "int32"},
    {"name": "nan", "register": 216, "type": "float32"},
    {"name": "contact", "register": 5, "type": "bit", "bit": 4, "lane": "alarm"},
]


def tcp_line(port: int, timeout_s: float = 2.0) -> ModbusTcpLine:
    """A TCP line on loopback."""
    return ModbusTcpLine(id="tcp", kind="modbus_tcp", host="127.0.0.1", port=port, timeout_s=timeout_s, devices=DEVICES)


def rtu_line(device: str, timeout_s: float = 2.0) -> ModbusRtuLine:
    """An RTU line on a pseudo-terminal."""
    return ModbusRtuLine(id="rtu", kind="modbus_rtu", port=device, baud=115200, timeout_s=timeout_s, devices=DEVICES)


async def check_registers(port: ModbusPort) -> None:
    """What the slave holds is what is read, by all four functions."""
    assert await port.read(1, Block(3, 0, 120), 0.2) == [n * 3 + 1 for n in range(120)]
    assert await port.read(1, Block(4, 10, 5), 0.2) == [n * 5 + 2 for n in range(10, 15)]
    for function in (1, 2):
        assert await port.read(1, Block(function, 1, 11), 0.2) == [int(n % 3 == 0) for n in range(1, 12)]
    with pytest.raises(DeviceError, match="exception 2") as caught:
        await port.read(1, Block(3, 390, 20), 0.2)
    assert caught.value.cause == "exception_2"


async def test_every_function_reads_what_the_slave_holds_over_tcp(slave_exe: Path) -> None:
    """FC 1 to 4 and an exception answer, over Modbus TCP."""
    with tcp_slave(slave_exe) as slave:
        port = ModbusPort(tcp_line(slave.port))
        await port.open()
        await check_registers(port)
        port.close()


async def test_every_function_reads_what_the_slave_holds_over_rtu(slave_exe: Path) -> None:
    """FC 1 to 4 and an exception answer, over a pseudo-terminal."""
    with serial_line() as line, rtu_slave(slave_exe, line.far):
        port = ModbusPort(rtu_line(line.near))
        await port.open()
        await check_registers(port)
        port.close()


async def test_a_profile_of_foreign_registers_decodes(slave_exe: Path) -> None:
    """Signed, float32 and int32 values of the C slave come out as its source says."""
    plan = plan_reads(make_profile(POINTS))
    with tcp_slave(slave_exe) as slave:
        port = ModbusPort(tcp_line(slave.port))
        await port.open()
        got: dict[str, tuple[object, ...]] = {}
        for group in plan.groups:
            registers: dict[int, int] = {}
            for block in group.blocks:
                words = await port.read(1, block, 0.2)
                registers |= {block.address + n: word for n, word in enumerate(words)}
            got |= {read.point.name: tuple(value) for read, value in decode_group(group, registers)}
        port.close()
    assert got == {
        "plain": (22.0, "good"),
        "signed": (-123.0, "good"),
        "real": (36.5, "good"),
        "long": (-100000.0, "good"),
        "nan": (None, "bad:not_a_number"),
        "contact": (True, "good"),
    }


async def test_a_silent_unit_is_no_answer_over_tcp(slave_exe: Path) -> None:
    """A timeout is a DeviceError; the connection stays good for the next request."""
    with tcp_slave(slave_exe) as slave:
        port = ModbusPort(tcp_line(slave.port, 0.1))
        await port.open()
        slave.command("mute 1")
        with pytest.raises(DeviceError) as caught:
            await port.read(1, Block(3, 0, 2), 0.2)
        assert caught.value.cause == "no_answer"
        slave.command("mute 0")
        assert await port.read(1, Block(3, 0, 2), 0.2) == [1, 4]
        port.close()


async def test_a_port_nobody_listens_on_is_tried_later() -> None:
    """A refused connection is RetryLater and names the place."""
    number = free_port()
    with pytest.raises(RetryLater, match=f"127.0.0.1:{number}"):
        await ModbusPort(tcp_line(number)).open()
    with pytest.raises(RetryLater, match="no-such-device"):
        await ModbusPort(rtu_line("/dev/no-such-device")).open()


async def read_many(port: ModbusPort, count: int, answer_s: float) -> tuple[int, int, int]:
    """(right, wrong, no answer) of reads of changing registers."""
    right = wrong = silent = 0
    for n in range(count):
        block = Block(3, n * 7 % 150, 4)
        try:
            words = await port.read(1, block, answer_s)
        except DeviceError:
            silent += 1
            continue
        if words == [(block.address + k) * 3 + 1 for k in range(4)]:
            right += 1
        else:
            wrong += 1
    return right, wrong, silent


@pytest.mark.parametrize("late_ms", [60, 400])
async def test_a_late_answer_is_never_taken_for_the_next_one(slave_exe: Path, late_ms: int) -> None:
    """A slave that always answers after the timeout gives no value at all, and right ones when it is quick again."""
    timeout_s = 0.1
    with serial_line() as line, rtu_slave(slave_exe, line.far) as slave:
        port = ModbusPort(rtu_line(line.near, timeout_s))
        await port.open()
        slave.command(f"delay {100 + late_ms}")
        _, wrong, _ = await read_many(port, 3, 0.15)
        assert wrong == 0
        slave.command("delay 0")
        await asyncio.sleep(0)  # the slave may still hold requests; the port has to cope
        settled = [await read_many(port, 1, 0.15) for _ in range(5)]
        assert sum(entry[1] for entry in settled) == 0
        assert [entry[0] for entry in settled[-3:]] == [1] * 3
        assert port.late_answers > 0
        port.close()


async def test_a_slave_late_every_other_time_gives_no_wrong_value(slave_exe: Path) -> None:
    """The pattern that deceives a plain master: delays around the timeout, changing with every request."""
    with serial_line() as line, rtu_slave(slave_exe, line.far) as slave:
        port = ModbusPort(rtu_line(line.near, 0.08))
        await port.open()
        wrong = 0
        for n in range(6):
            slave.command(f"delay {(0, 110, 0, 170, 60)[n % 5]}")
            wrong += (await read_many(port, 1, 0.1))[1]
        assert wrong == 0
        port.close()


async def test_noise_gives_no_value_and_the_line_recovers(slave_exe: Path) -> None:
    """Bytes from nowhere before and after answers never become registers."""
    with serial_line() as line, rtu_slave(slave_exe, line.far):
        port = ModbusPort(rtu_line(line.near, 0.1))
        await port.open()
        for n in range(8):
            line.send_near(bytes([1, 3, 8, 0, n]) * (n + 1))
            assert (await read_many(port, 1, 0.1))[1] == 0
        await until_right(port)
        port.close()


async def until_right(port: ModbusPort) -> None:
    """One right read within a few tries."""
    for _ in range(10):
        if (await read_many(port, 1, 0.1))[0]:
            return
    raise AssertionError("no right answer in 10 reads")


def new_line(line: ModbusTcpLine | ModbusRtuLine, taken: list[Reports], profile_id: str) -> ModbusLine:
    """A polled line with one device; `taken` gets what it reports."""
    plan = plan_reads(ProfileLibrary()[profile_id])
    report = DeviceReport("d1", tuple(ReportRule.of(read.point) for read in plan.points), 300, 3)
    device = PolledDevice("d1", 1, 0.1, plan, "big", report)
    return ModbusLine(line.id, [device], lambda: ModbusPort(line), taken.append, lambda: 1_800_000_000_000)


@asynccontextmanager
async def polling(line: ModbusLine) -> AsyncIterator[None]:
    """The line's task, ended with the block."""
    task = asyncio.create_task(line.run(), name="line")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def values(taken: list[Reports], point: str) -> list[tuple[object, str]]:
    """Everything reported of a point."""
    readings = [r for reports in taken for r in reports.alarm + reports.telemetry]
    return [(r.value, r.quality) for r in readings if r.point == f"d1/{point}"]


def prepare_pump(slave: Slave) -> None:
    """Registers of a pump controller at rest."""
    for register, value in ((0, 1), (1, 1), (2, 6050)):
        slave.command(f"set {register} {value}")


async def test_a_contact_is_reported_after_a_confirming_read(slave_exe: Path) -> None:
    """An edge costs one more read, then stands; nothing else is reported."""
    taken: list[Reports] = []
    with tcp_slave(slave_exe) as slave:
        prepare_pump(slave)
        line = new_line(tcp_line(slave.port), taken, "pump-controller")
        async with polling(line):
            await until(lambda: bool(values(taken, "running")), "first report")
            slave.command("set 1 3")
            await until(lambda: len(values(taken, "running")) == 2, "the pump runs")
    assert values(taken, "running") == [(False, "good"), (True, "good")]
    assert values(taken, "power_ok") == [(True, "good")]
    assert line.counters.disagreements == 0


async def test_points_are_unknown_and_come_back_when_the_slave_falls_silent(slave_exe: Path) -> None:
    """Three misses make the device offline and its points unknown; the first answer brings everything back."""
    taken: list[Reports] = []
    with tcp_slave(slave_exe) as slave:
        prepare_pump(slave)
        line = new_line(tcp_line(slave.port, 0.05), taken, "pump-controller")
        async with polling(line):
            await until(lambda: bool(values(taken, "running")), "first report")
            slave.command("mute 1")
            await until(lambda: len(values(taken, "online")) == 2, "offline")
            slave.command("mute 0")
            await until(lambda: len(values(taken, "online")) == 3, "online again")
    assert values(taken, "online") == [(True, "good"), (False, "good"), (True, "good")]
    assert values(taken, "mode") == [("auto", "good"), (None, "unknown:no_answer"), ("auto", "good")]


async def test_a_line_recovers_when_its_endpoint_goes_and_comes_back(slave_exe: Path) -> None:
    """A closed endpoint makes the points unknown:line; a new one on the line brings them back."""
    taken: list[Reports] = []
    with serial_line() as first, rtu_slave(slave_exe, first.far) as slave:
        prepare_pump(slave)
        line = new_line(rtu_line(first.near, 0.2), taken, "pump-controller")
        async with polling(line):
            await until(lambda: bool(values(taken, "running")), "first report")
            first.close()
            await until(lambda: values(taken, "running")[-1] == (None, "unknown:line"), "line down")
            assert values(taken, "online")[-1] == (None, "unknown:line")


def test_the_pymodbus_interface_we_use_is_where_we_left_it() -> None:
    """Fails when an update of pymodbus moves what bus/modbus.py rests on."""
    assert pymodbus.__version__.startswith("3.16.")
    for client in (AsyncModbusTcpClient, AsyncModbusSerialClient):
        wanted = {"timeout", "retries", "reconnect_delay", "trace_packet", "name"}
        assert wanted <= set(inspect.signature(client.__init__).parameters)
        for name in ("read_coils", "read_discrete_inputs", "read_holding_registers", "read_input_registers"):
            parameters = inspect.signature(getattr(client, name)).parameters
            assert {"address", "count", "device_id"} <= set(parameters)
        assert isinstance(inspect.getattr_static(client, "connected"), property)
    context = inspect.getsource(pymodbus.transaction.TransactionManager)
    assert "self.request_transaction_id = pdu.transaction_id" in context


def test_nothing_is_ever_written_to_equipment() -> None:
    """No call of the polled and printer lines names a writing Modbus function or writes to a port.

    What panel drivers may transmit is an allow-list with tests of its own.
    """
    forbidden = {"write", "write_coil", "write_coils", "write_register", "write_registers", "mask_write_register"}
    folder = Path(edge_agents.__file__).parent / "bus"
    for path in [folder / f"{name}.py" for name in ("health", "line", "modbus", "owed", "printer", "rtu")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in forbidden, f"{path}:{node.lineno}: {node.attr}"
                assert not node.attr.startswith(("write", "send", "readwrite", "diag")), f"{path}:{node.lineno}"
