"""An alarm transmitter that reports by SIA DC-09 over TCP."""

from __future__ import annotations

import asyncio


def arc_crc(data: bytes) -> int:
    """CRC-16/ARC, bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc // 2 ^ 0xA001 if crc % 2 else crc // 2
    return crc


def sia_message(kind: str, sequence: int, account: str, data: str) -> bytes:
    """One message, from LF to CR."""
    body = f'"{kind}"{sequence:04d}L0#{account}[#{account}|{data}]'.encode()
    return f"\n{arc_crc(body):04X}{len(body):04X}".encode() + body + b"\r"


async def report(host: str, port: int, message: bytes, wait_s: float = 5.0) -> bytes:
    """Connect, send, wait for the answer, close; empty when there is none."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(message)
        await writer.drain()
        async with asyncio.timeout(wait_s):
            return await reader.readuntil(b"\r")
    except (TimeoutError, asyncio.IncompleteReadError):
        return b""
    finally:
        writer.close()
        await writer.wait_closed()
