"""A simulated monitoring centre: it takes what transmitters report, confirms it, asks, checks who is on duty."""

from __future__ import annotations

import asyncio
import contextlib
import random
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
        now_ms: wall clock. port: 0 for a free one. transport: tcp or udp.
    """

    def __init__(
        self, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000, port: int = 0, transport: str = "tcp"
    ) -> None:
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
        self._transport = transport
        self._datagrams: asyncio.DatagramTransport | None = None
        self.loses = 0.0
        """Share of datagrams, or of confirms over TCP, that are lost on the way."""
        self._random = random.Random(1)  # noqa: S311  # losses, no secret
        self._serial = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._datagrams is not None:
            return int(self._datagrams.get_extra_info("sockname")[1])
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> SimulatedCentre:
        if self._transport == "udp":
            loop = asyncio.get_running_loop()
            self._datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=("127.0.0.1", self._port)
            )
            return self
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
            return
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
                    answer = self._take(plain)
                    if answer is not None:
                        writer.write(answer)
                        await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def datagram(self, data: bytes, sender: tuple[str, int]) -> None:
        """A datagram came."""
        if self._random.random() < self.loses:
            return
        for plain in g.take_apart(bytearray(data)):
            answer = self._take(plain)
            if answer is not None and self._datagrams is not None and self._random.random() >= self.loses:
                self._datagrams.sendto(answer, sender)

    def _take(self, plain: g.Plain) -> bytes | None:
        if plain.command in (g.CONFIRM, g.DENY, g.RESPONSE):
            self.answers.append(plain)
        elif plain.command == g.DATA:
            self.taken.append(Taken(self._now_ms(), plain))
            self.came.set()
            if not self.deaf and (self._transport == "udp" or self._random.random() >= self.loses):
                command = g.DENY if self.denies else g.CONFIRM
                sent = g.time_tag(self._now_ms())
                return g.frame(plain.serial, command, source=bytes(6), destination=plain.source, sent=sent)
        self.came.set()
        return None


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, centre: SimulatedCentre) -> None:
        self._centre = centre

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._centre.datagram(data, addr)
