"""A simulated monitoring centre: it takes what transmitters report, confirms it, asks, checks who is on duty."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

from simulators.gb26875 import frames as g


class Taken(NamedTuple):
    """Something a transmitter reported. at_ms: when it came, ms UTC."""

    at_ms: int
    plain: g.Plain


class SimulatedCentre:
    """Listens on a port of its own.

    Args:
        now_ms: wall clock. port: 0 for a free one.
    """

    def __init__(self, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000, port: int = 0) -> None:
        self.taken: list[Taken] = []
        """Every data frame, repeats among them."""
        self.answers: list[g.Plain] = []
        """Confirms, denies and responses to what it asked."""
        self.connects = 0
        self.deaf = False
        """Takes everything and answers nothing."""
        self.denies = False
        self.came = asyncio.Event()
        """Set at each frame; clear it before waiting for the next."""
        self._now_ms = now_ms
        self._port = port
        self._serial = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> SimulatedCentre:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.hang_up()
        await self._server.wait_closed()

    async def hang_up(self) -> None:
        """Close every connection."""
        for writer in list(self._writers):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def units(self, unit_type: int) -> list[bytes]:
        """Units of one type that came, each once, in order; a resend is told by its equal bytes."""
        return list(dict.fromkeys(t.plain.unit for t in self.taken if t.plain.unit[:1] == bytes((unit_type,))))

    async def check_duty(self, minutes: int) -> None:
        """Ask whoever is on duty to answer within so many minutes."""
        await self.say(g.CONTROL, bytes((0x5B, 1, minutes)))

    async def say(self, command: int, unit: bytes) -> None:
        """Send a frame of its own to every transmitter that is connected."""
        self._serial = (self._serial + 1) % 65536
        for writer in list(self._writers):
            writer.write(g.frame(self._serial, command, unit, source=bytes(6), sent=g.time_tag(self._now_ms())))
            await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        self._writers.add(writer)
        stream = bytearray()
        try:
            while data := await reader.read(8192):
                stream += data
                for plain in g.take_apart(stream):
                    await self._take(plain, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _take(self, plain: g.Plain, writer: asyncio.StreamWriter) -> None:
        if plain.command in (g.CONFIRM, g.DENY, g.RESPONSE):
            self.answers.append(plain)
        elif plain.command == g.DATA:
            self.taken.append(Taken(self._now_ms(), plain))
            if not self.deaf:
                command = g.DENY if self.denies else g.CONFIRM
                sent = g.time_tag(self._now_ms())
                writer.write(g.frame(plain.serial, command, source=bytes(6), destination=plain.source, sent=sent))
                await writer.drain()
        self.came.set()
