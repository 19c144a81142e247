"""A simulated RS-485 line: units that answer from a formula, at the pace of the baud rate, with faults on order.

The bytes travel over a loopback socket as from a serial server, or over a pseudo-terminal. Frames are built here from
the standard's own description; nothing is shared with the code under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tty
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

REQUEST_BYTES = 8
WHO_FUNCTION, WHO_TYPE, WHO_BYTES = 0x2B, 0x0E, 7
"""Read Device Identification: its function, MEI type and the bytes of its request."""
TURNAROUND_S = 0.005
"""What a small node needs between question and answer."""


class Question(NamedTuple):
    """A request as it came over the wire; of function 43 (who are you) `address` is the first object and `size` 0."""

    unit: int
    function: int
    address: int
    size: int


class Sent(NamedTuple):
    """Bytes that go on the line `after_s` later than they should."""

    data: bytes
    after_s: float = 0.0


Fault = Callable[[Question, bytes], list[Sent]]
"""What really goes on the line instead of the right answer."""


def right(_question: Question, answer: bytes) -> list[Sent]:
    """No fault."""
    return [Sent(answer)]


def word_at(unit: int, address: int) -> int:
    """The truth: what a register of a unit holds."""
    return (unit * 7919 + address * 263 + 17) & 0xFFFF


def crc(data: bytes) -> bytes:
    """CRC-16 of the standard, appendix B, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def frame(unit: int, function: int, data: bytes) -> bytes:
    """An answer to a read."""
    body = bytes((unit, function, len(data))) + data
    return body + crc(body)


@dataclass
class Bus:
    """Units on a line.

    baud: pace of the bytes. words: the truth. fault: what goes wrong. alive: units that answer at all.
    """

    baud: int = 9600
    words: Callable[[int, int], int] = word_at
    fault: Fault = right
    alive: set[int] = field(default_factory=lambda: set(range(1, 248)))
    turnaround_s: float = TURNAROUND_S
    who: Callable[[int], bytes] | None = None
    """Objects that a unit tells of itself (number of objects, then id, length, bytes of each); None: all refuse."""
    in_order: bool = True
    """Whether a unit works one request after the other, as real ones do."""
    asked: list[tuple[float, Question]] = field(default_factory=list)
    """(time, question) of every request heard."""
    late_s: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    """How much later than the wire would this simulation delivered each frame: its own fault on a busy machine."""
    keep_asked: bool = True
    questions: int = 0
    _buffer: bytes = b""
    _busy_until_s: dict[int, float] = field(default_factory=dict)

    @property
    def char_s(self) -> float:
        """Time of one character: start bit, 8 data bits, stop bit."""
        return 10 / self.baud

    def take(self, data: bytes, send: Callable[[bytes], None]) -> None:
        """Bytes of the master; answers go to `send` when their last byte would be over."""
        self._buffer += data
        while len(self._buffer) >= WHO_BYTES:
            length = WHO_BYTES if self._buffer[1] == WHO_FUNCTION else REQUEST_BYTES
            if len(self._buffer) < length:
                return
            request, self._buffer = self._buffer[:length], self._buffer[length:]
            assert crc(request[:-2]) == request[-2:], request.hex()
            if request[1] == WHO_FUNCTION:
                assert request[2:4] == bytes((WHO_TYPE, 1)), request.hex()
                question = Question(request[0], request[1], request[4], 0)
            else:
                numbers = (int.from_bytes(request[n : n + 2], "big") for n in (2, 4))
                question = Question(request[0], request[1], *numbers)
            self._answer(question, send)

    def _answer(self, question: Question, send: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self.questions += 1
        if self.keep_asked:
            self.asked.append((now_s, question))
        if question.unit not in self.alive:
            return
        answer = self._right_answer(question)
        ready_s = now_s + REQUEST_BYTES * self.char_s + self.turnaround_s
        for sent in self.fault(question, answer):
            begin_s = ready_s + sent.after_s
            if self.in_order:
                begin_s = max(begin_s, self._busy_until_s.get(question.unit, 0.0))
            end_s = begin_s + len(sent.data) * self.char_s
            self._busy_until_s[question.unit] = end_s
            loop.call_at(end_s, self._deliver, end_s, sent.data, send)

    def _right_answer(self, question: Question) -> bytes:
        if question.function != WHO_FUNCTION:
            words = [self.words(question.unit, question.address + n) for n in range(question.size)]
            return frame(question.unit, question.function, b"".join(word.to_bytes(2, "big") for word in words))
        head = bytes((question.unit, WHO_FUNCTION))
        if self.who is None:
            body = bytes((question.unit, WHO_FUNCTION | 0x80, 1))
        else:
            body = head + bytes((WHO_TYPE, 1, 1, 0, 0)) + self.who(question.unit)
        return body + crc(body)

    def _deliver(self, due_s: float, data: bytes, send: Callable[[bytes], None]) -> None:
        self.late_s.append(asyncio.get_running_loop().time() - due_s)
        send(data)


class BusServer:
    """`async with BusServer(bus) as server`: the line behind a serial server at `server.port`."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.port = 0
        self._server: asyncio.Server | None = None
        self.connections: list[asyncio.Transport] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for transport in self.connections:
            transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    def __init__(self, server: BusServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.append(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        if self._transport in self._server.connections:
            self._server.connections.remove(self._transport)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._server.bus.take(data, self._send)

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


class BusTerminal:
    """The line on a pseudo-terminal behind a stable name; `unplug` and `plug` it."""

    def __init__(self, bus: Bus, link: Path) -> None:
        self.bus = bus
        self.link = link
        self._master = self._far = -1

    def plug(self) -> None:
        """A new terminal, of whatever number, behind the stable name."""
        self._master, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._master, False)
        fresh = self.link.with_suffix(".new")
        fresh.symlink_to(os.ttyname(self._far))
        fresh.replace(self.link)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def unplug(self) -> None:
        """Hang up; the name leads nowhere."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._far)
            self._master = self._far = -1
            self.link.unlink(missing_ok=True)

    def _read(self) -> None:
        # EIO: nobody has the other side open yet, or any more.
        with contextlib.suppress(OSError):
            self.bus.take(os.read(self._master, 4096), self._send)

    def _send(self, data: bytes) -> None:
        if self._master >= 0:
            with contextlib.suppress(OSError):
                os.write(self._master, data)


def noise(chance: random.Random, question: Question, answer: bytes) -> bytes:
    """A frame of noise: a damaged likeness of the answer, or bytes of any kind."""
    kind = chance.random()
    if kind < 0.5:
        head = bytes((question.unit, question.function, 2 * question.size))
        return head + chance.randbytes(2 * question.size + 2)
    if kind < 0.8:
        return chance.randbytes(chance.randint(1, 40))
    cut = chance.randint(1, len(answer) - 1)
    return answer[:cut] if kind < 0.9 else answer[cut:]
