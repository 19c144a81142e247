"""An alarm transmitter that reports by SIA DC-09 over TCP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

HERE_S = 10.0
"""It says that it is there so often; each second until somebody listens."""
ACCOUNT = "0001"


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


class Transmitter:
    """`async with Transmitter(port)`: says that it is there, again and again, to whoever listens on that port."""

    def __init__(self, port: int) -> None:
        self.silent = False
        """While true it says nothing."""
        self._port = port
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="transmitter")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        sequence = 0
        while True:
            heard = False
            if not self.silent:
                sequence = sequence % 9999 + 1
                with contextlib.suppress(OSError):  # nobody listens there yet
                    heard = bool(await report("127.0.0.1", self._port, sia_message("NULL", sequence, ACCOUNT, "")))
            await asyncio.sleep(HERE_S if heard or self.silent else 1.0)
