"""Modbus over TCP and over a pseudo-terminal, read by clients that are not ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from simulators.device import Device
from simulators.modbus_rtu import ModbusRtuLine
from simulators.modbus_tcp import ModbusTcpServer
from simulators.recorder import Recorder
from tests.simulators.clients import Terminal, crc, read_pdu, tcp_request, until, words_of
from tests.simulators.conftest import LIBRARY, MODBUS_PROFILES, device_of_vector, vector_of


def _units(recorder: Recorder) -> dict[int, Device]:
    return {n: device_of_vector(profile, recorder, profile) for n, profile in enumerate(MODBUS_PROFILES, 1)}


def _blocks() -> list[tuple[int, int, int, int, bool]]:
    """(unit, function, start, count, words are exact) of every run of every vector."""
    found = []
    for unit, profile_id in enumerate(MODBUS_PROFILES, 1):
        profile = LIBRARY[profile_id]
        assert profile.modbus is not None
        exact = profile.repeat is None
        for start, words in vector_of(profile).registers.items():
            found.append((unit, profile.modbus.function, start, len(words), exact))
    return found


def _want(unit: int, start: int) -> list[int]:
    return [word & 0xFFFF for word in vector_of(LIBRARY[MODBUS_PROFILES[unit - 1]]).registers[start]]


async def _mbpoll(*args: str) -> list[int]:
    if shutil.which("mbpoll") is None:
        if os.environ.get("CI"):
            pytest.fail("mbpoll is missing. Install the package mbpoll.")
        pytest.skip("mbpoll is missing. Install the package mbpoll.")
    process = await asyncio.create_subprocess_exec(
        "mbpoll", "-q", "-0", "-1", "-o", "5", *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    text = (await process.communicate())[0].decode()
    assert process.returncode == 0, text
    return [int(word) & 0xFFFF for word in re.findall(r"^\[\d+\]:\s+(-?\d+)", text, re.MULTILINE)]


async def test_every_profile_is_read_when_units_share_one_tcp_endpoint(recorder: Recorder) -> None:
    """Each unit behind the endpoint serves the registers of its vector."""
    async with ModbusTcpServer(_units(recorder), recorder) as server:
        for unit, function, start, count, exact in _blocks():
            words = words_of(await tcp_request(server.port, unit, read_pdu(function, start, count)))
            assert len(words) == count
            if exact:
                assert words == _want(unit, start)


async def test_mbpoll_reads_every_profile_when_units_share_one_rtu_line(recorder: Recorder, tmp_path: Path) -> None:
    """A Modbus master of another house reads our slaves over the pseudo-terminal."""
    async with ModbusRtuLine(_units(recorder), tmp_path / "rtu", recorder, baud=115200):
        for unit, function, start, count, exact in _blocks():
            table = {3: "4", 4: "3"}[function]
            words = await _mbpoll(
                "-m", "rtu", "-b", "115200", "-P", "none", "-a", str(unit), "-t", table, "-r", str(start),
                "-c", str(count), str(tmp_path / "rtu"),
            )  # fmt: skip
            assert len(words) == count
            if exact:
                assert words == _want(unit, start)
    assert recorder.violations == 0


async def test_mbpoll_reads_the_same_when_over_tcp(recorder: Recorder) -> None:
    """The master of another house agrees over TCP as well."""
    async with ModbusTcpServer(_units(recorder), recorder) as server:
        unit = MODBUS_PROFILES.index("hydrant-municipal") + 1
        words = await _mbpoll(
            "-m", "tcp", "-p", str(server.port), "-a", str(unit), "-r", "0", "-c", "7", "127.0.0.1"
        )  # fmt: skip
        assert words == _want(unit, 0)


async def test_answers_come_in_order_when_requests_are_sent_together(recorder: Recorder) -> None:
    """Two requests in one segment, one of them cut in two, are both answered with their own transaction."""
    async with ModbusTcpServer(_units(recorder), recorder) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        unit = MODBUS_PROFILES.index("pump-controller") + 1
        first = b"\x00\x01\x00\x00\x00\x06" + bytes((unit,)) + read_pdu(3, 0, 1)
        second = b"\x00\x02\x00\x00\x00\x06" + bytes((unit,)) + read_pdu(3, 2, 1)
        writer.write(first + second[:5])
        await writer.drain()
        assert await reader.readexactly(11) == b"\x00\x01\x00\x00\x00\x05" + bytes((unit,)) + b"\x03\x02\x00\x01"
        writer.write(second[5:])
        assert await reader.readexactly(11) == b"\x00\x02\x00\x00\x00\x05" + bytes((unit,)) + b"\x03\x02\x17\xa2"
        writer.close()
        await writer.wait_closed()


async def test_gateway_exception_is_answered_when_the_tcp_unit_does_not_exist(recorder: Recorder) -> None:
    """A field gateway says 11 for a unit it cannot reach."""
    async with ModbusTcpServer(_units(recorder), recorder) as server:
        assert await tcp_request(server.port, 200, read_pdu(3, 0, 1)) == b"\x83\x0b"


async def test_connection_is_closed_when_bytes_are_no_modbus(recorder: Recorder) -> None:
    """Bytes without a Modbus header end the connection."""
    async with ModbusTcpServer(_units(recorder), recorder) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):  # a reset is as good as a clean end
            assert await reader.read(1) == b""
        await until(lambda: not server.connections, "the end of the connection")
        writer.close()


async def test_unit_says_nothing_when_it_is_silent(recorder: Recorder, tmp_path: Path) -> None:
    """A silent unit leaves its request open over TCP and RTU; its neighbours go on answering."""
    units = _units(recorder)
    units[1].silent = True
    async with (
        ModbusTcpServer(units, recorder) as server,
        ModbusRtuLine(units, tmp_path / "rtu", recorder, baud=115200),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x00\x01\x00\x00\x00\x06\x01" + read_pdu(3, 0, 1))
        writer.write(b"\x00\x02\x00\x00\x00\x06\xc8" + read_pdu(3, 0, 1))
        assert await reader.readexactly(9) == b"\x00\x02\x00\x00\x00\x03\xc8\x83\x0b"
        writer.close()
        await writer.wait_closed()
        async with Terminal(tmp_path / "rtu") as terminal:
            asked = b"\x01" + read_pdu(3, 0, 1)
            os.write(terminal.fd, asked + crc(asked))
            assert len(await terminal.request(2, read_pdu(3, 0, 1), 7)) == 4
            asked = b"\x01\x06\x00\x00\x00\x01"
            os.write(terminal.fd, asked + crc(asked))
            await until(lambda: recorder.violations == 1, "the write to the silent unit")
    level = recorder.level(f"{units[1].name}/{units[1].points[0].name}")
    assert level is not None
    assert level.served == 0


async def test_request_is_dropped_and_counted_when_its_crc_is_wrong(recorder: Recorder, tmp_path: Path) -> None:
    """A damaged request gets no answer, and the next whole one does."""
    line = ModbusRtuLine(_units(recorder), tmp_path / "rtu", recorder, baud=115200)
    async with line, Terminal(tmp_path / "rtu") as terminal:
        os.write(terminal.fd, b"\x02" + read_pdu(3, 0, 1) + b"\x00\x00")
        await until(lambda: line.crc_errors == 1, "the damaged request")
        os.write(terminal.fd, b"\x02\x03\x00")  # never completed
        await until(lambda: line.crc_errors == 2, "the unfinished request")
        assert len(await terminal.request(2, read_pdu(3, 0, 1), 7)) == 4


async def test_write_is_refused_and_counted_when_it_comes_over_rtu(recorder: Recorder, tmp_path: Path) -> None:
    """Single and multiple writes get exception 1; a broadcast gets nothing; all three are on record."""
    units = _units(recorder)
    line = ModbusRtuLine(units, tmp_path / "rtu", recorder, baud=115200)
    async with line, Terminal(tmp_path / "rtu") as terminal:
        assert await terminal.request(2, b"\x06\x00\x00\x00\x01", 5) == b"\x86\x01"
        assert await terminal.request(2, b"\x10\x00\x00\x00\x01\x02\x00\x01", 5) == b"\x90\x01"
        assert await terminal.request(2, b"\x16\x00\x00\x00\x01\x00\x01", 5) == b"\x96\x01"
        broadcast = b"\x00\x06\x00\x00\x00\x01"
        os.write(terminal.fd, broadcast + crc(broadcast))
        await until(lambda: recorder.violations == 4, "the broadcast")


async def test_answer_is_no_faster_than_the_line_when_paced(recorder: Recorder, tmp_path: Path) -> None:
    """At 9600 baud 8 bytes there and 19 back take at least 28 ms; an answer cannot be there before."""
    units = {1: device_of_vector("hydrant-municipal", recorder)}
    async with ModbusRtuLine(units, tmp_path / "rtu", recorder), Terminal(tmp_path / "rtu") as terminal:
        start = time.monotonic()
        answer = await terminal.request(1, read_pdu(3, 0, 7), 19)
        assert time.monotonic() - start >= 27 * 10 / 9600
        assert words_of(answer)[0] == 1523


async def test_answer_is_late_when_the_device_is(recorder: Recorder, tmp_path: Path) -> None:
    """A late device answers all the same, later."""
    units = {1: device_of_vector("pump-controller", recorder)}
    units[1].late_s = 0.2
    async with (
        ModbusTcpServer(units, recorder) as server,
        ModbusRtuLine(units, tmp_path / "rtu", recorder, baud=115200),
    ):
        start = time.monotonic()
        assert words_of(await tcp_request(server.port, 1, read_pdu(3, 0, 1))) == [1]
        assert time.monotonic() - start >= 0.2
        async with Terminal(tmp_path / "rtu") as terminal:
            start = time.monotonic()
            assert words_of(await terminal.request(1, read_pdu(3, 0, 1), 7)) == [1]
            assert time.monotonic() - start >= 0.2


async def test_link_is_gone_when_the_line_was_closed(recorder: Recorder, tmp_path: Path) -> None:
    """The stable name disappears with the line, and a second run may take it over."""
    for _ in range(2):
        async with ModbusRtuLine(_units(recorder), tmp_path / "rtu", recorder):
            assert (tmp_path / "rtu").is_symlink()
        assert not (tmp_path / "rtu").is_symlink()
