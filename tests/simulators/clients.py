"""Plain clients that share nothing with the product or the simulators: they speak bytes."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_S = 10.0


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait for a condition, at most DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.005)


async def tcp_request(port: int, unit: int, pdu: bytes, transaction: int = 7) -> bytes:
    """One Modbus TCP request; returns the answer's PDU."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu)
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readexactly(7)
            got_transaction, protocol, length, got_unit = struct.unpack(">HHHB", head)
            assert (got_transaction, protocol, got_unit) == (transaction, 0, unit)
            return await reader.readexactly(length - 1)
    finally:
        writer.close()
        await writer.wait_closed()


def crc(data: bytes) -> bytes:
    """CRC-16/Modbus by its bitwise definition, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 * (value & 1))
    return struct.pack("<H", value)


class Terminal:
    """The agent's end of a pseudo-terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received = bytearray()
        self.fd = -1

    async def __aenter__(self) -> Terminal:
        self.fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self.fd, lambda: self.received.extend(os.read(self.fd, 4096)))
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)

    def send(self, frame: bytes) -> None:
        """Put bytes on the line as they are."""
        os.write(self.fd, frame)

    async def request(self, unit: int, pdu: bytes, answer_length: int) -> bytes:
        """One RTU request; returns the answer's PDU of a frame of that length, its CRC checked."""
        self.received.clear()
        frame = bytes((unit,)) + pdu
        os.write(self.fd, frame + crc(frame))
        await until(lambda: len(self.received) >= answer_length, f"{answer_length} bytes")
        answer = bytes(self.received)
        assert len(answer) == answer_length
        assert answer[0] == unit
        assert answer[-2:] == crc(answer[:-2])
        return answer[1:-2]


def read_pdu(function: int, start: int, count: int) -> bytes:
    """A read request."""
    return struct.pack(">BHH", function, start, count)


def words_of(pdu: bytes) -> list[int]:
    """The registers of a read answer."""
    assert pdu[1] == len(pdu) - 2
    return list(struct.unpack(f">{pdu[1] // 2}H", pdu[2:]))
