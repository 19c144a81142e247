"""A byte-level TCP proxy between agent and broker: cut, stalled, half open, late, split, and whole again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Literal, Self

from contract.errors import StartError

LinkMode = Literal["up", "cut", "stalled", "half_open", "late", "split"]
_CHUNK = 65536
_CONNECT_S = 5.0


class Link:
    """`async with Link(broker_port) as link`; agents connect to `link.port`.

    up: bytes pass. cut: connections are reset, new ones are reset at once. stalled: connections stay and are
    accepted, nothing passes either way; what was held back goes on when the link is up again. half_open: the same to
    look at, but what is sent is lost, as when a router forgets a connection; those are reset when the link is up
    again. late: each piece comes `late_s` later. split: bytes come in pieces of a few, however they were sent.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1", port: int = 0, late_s: float = 0.5) -> None:
        self.host = host
        self.port = port
        self.mode: LinkMode = "up"
        self.late_s = late_s
        self._target_port = target_port
        self._robbed: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._accept, self.host, self.port)
        except OSError as exc:
            raise StartError(f"{self.host}:{self.port}: {exc.strerror}. Free the port or name another.") from exc
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is None:
            return
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reset_all()
        await self._server.wait_closed()
        self._server = None

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self.mode = "cut"
        self._flowing.set()
        self._reset_all()

    def stall(self) -> None:
        """Pass nothing more, close nothing."""
        self.mode = "stalled"
        self._flowing.clear()

    def restore(self) -> None:
        """Let bytes pass again."""
        self.set("up")

    def set(self, mode: LinkMode) -> None:
        """Behave so from here on."""
        if mode == "cut":
            self.cut()
            return
        self.mode = mode
        if mode == "stalled":
            self._flowing.clear()
            return
        self._flowing.set()
        if mode != "half_open":
            for writer in list(self._robbed):
                self._drop(writer)
            self._robbed.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("link connection")
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # only __aexit__ cancels; the stream server would log it otherwise
        finally:
            self._tasks.discard(task)
            self._drop(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        if self.mode == "cut":
            return
        try:
            async with asyncio.timeout(_CONNECT_S):
                far_reader, far_writer = await asyncio.open_connection(self.host, self._target_port)
        except (OSError, TimeoutError):
            return  # the broker is away: the agent sees a reset, as it would without us
        self._writers.add(far_writer)
        try:
            passing = {
                asyncio.create_task(self._pass(reader, far_writer), name="link up"),
                asyncio.create_task(self._pass(far_reader, writer), name="link down"),
            }
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in passing:
                    task.cancel()
                await asyncio.gather(*passing, return_exceptions=True)
        finally:
            self._drop(far_writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self.mode == "cut":
                    return
                if self.mode == "half_open":
                    self._robbed.add(writer)
                    continue
                if self.mode == "late":
                    await asyncio.sleep(self.late_s)
                for piece in _pieces(data) if self.mode == "split" else (data,):
                    writer.write(piece)
                    await writer.drain()
                    if piece is not data:
                        await asyncio.sleep(0)

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            self._drop(writer)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        """Close with RST, not FIN: a cut line does not say goodbye (and a broker then sends the last will)."""
        if writer not in self._writers:
            return
        self._writers.discard(writer)
        sock: socket.socket | None = writer.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def _pieces(data: bytes) -> Iterator[bytes]:
    """One byte, then two, then three, ...: every cut a reader can meet within a few messages."""
    at, size = 0, 1
    while at < len(data):
        yield data[at : at + size]
        at, size = at + size, size % 7 + 1
