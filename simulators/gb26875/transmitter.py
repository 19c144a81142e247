"""A simulated transmitter: it reports until it is confirmed, answers what it is asked, and has every known bad habit.

Habits: `glue` several frames into one packet, `split` them into small ones, `noise` between frames, `resend` each
frame once more with a new serial number although it was confirmed, `no_time` (objects without a time tag),
`bad_clock_s` (its clock is off), `short_heartbeat` (one byte, or private command 254).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from simulators.gb26875 import frames as g

TIMEOUT_S = 10.0


@dataclass
class Habits:
    """How it misbehaves."""

    glue: bool = False
    split: bool = False
    noise: bool = False
    resend: bool = False
    no_time: bool = False
    bad_clock_s: float = 0.0
    heartbeat: bytes | None = b""
    """Unit of its heartbeats; None: it sends none."""
    heartbeat_s: float = 20.0
    answers_duty_after_s: float | None = 1.0
    """None: nobody answers."""


@dataclass
class Counts:
    """What went on."""

    sent: int = 0
    confirmed: int = 0
    denied: int = 0
    resent: int = 0
    connects: int = 0
    duty_checks: list[int] = field(default_factory=list)
    clock_set: list[bytes] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)


class SimulatedTransmitter:
    """One transmitter of a station.

    Args:
        address: its six bytes. host, port: the centre it reports to. seed: of its habits. now_ms: wall clock.
        timeout_s: wait for a confirm before the same thing is sent again.
    """

    def __init__(
        self,
        address: bytes,
        host: str,
        port: int,
        *,
        habits: Habits | None = None,
        seed: int = 1,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.address = address
        self.habits = habits or Habits()
        self.counts = Counts()
        self.states: dict[bytes, bytes] = {}
        """Last unit told of each object, for reads: (type, system, component) -> unit."""
        self._host, self._port = host, port
        self._random = random.Random(seed)  # noqa: S311  # bad habits, no secret
        self._now_ms = now_ms
        self._timeout_s = timeout_s
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._up = asyncio.Event()
        self._sending = asyncio.Lock()

    async def __aenter__(self) -> SimulatedTransmitter:
        self._spawn(self._connect())
        if self.habits.heartbeat is not None:
            self._spawn(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.cut()

    async def cut(self) -> None:
        """Lose the connection, as a radio link does; it comes back by itself."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def tell(self, unit: bytes) -> int:
        """Send data until it is confirmed or denied; gives how often it was sent."""
        self._keep(unit)
        tries = 0
        while True:
            await self._up.wait()
            tries += 1
            serial = self._next_serial()
            waiting = self._waiting[serial] = asyncio.get_running_loop().create_future()
            try:
                await self._send(g.DATA, unit, serial)
                self.counts.sent += 1
                answer = await asyncio.wait_for(waiting, self._timeout_s)
            except (TimeoutError, OSError):
                self.counts.resent += 1
                continue
            finally:
                self._waiting.pop(serial, None)
            if answer == g.CONFIRM:
                self.counts.confirmed += 1
            else:
                self.counts.denied += 1
            if self.habits.resend:
                await self._send(g.DATA, unit, self._next_serial())
            return tries

    def at_ms(self) -> int | None:
        """Event time by its own clock; None where it sends none."""
        return None if self.habits.no_time else self._now_ms() + int(self.habits.bad_clock_s * 1000)

    async def component(self, number: int, status: int, text: str = "", *, comp_type: int = 42) -> int:
        """Tell the state of a component of fire alarm system 1/1."""
        return await self.tell(g.component_status(1, 1, comp_type, number, status, text, self.at_ms()))

    # --- the connection ------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, self._writer = await asyncio.open_connection(self._host, self._port)
                self.counts.connects += 1
                self._up.set()
                try:
                    await self._read(reader)
                finally:
                    self._up.clear()
                    self._writer.close()
            await asyncio.sleep(0.05)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        stream = bytearray()
        while data := await reader.read(4096):
            stream += data
            for plain in g.take_apart(stream):
                await self._take(plain)

    async def _take(self, plain: g.Plain) -> None:
        if plain.command in (g.CONFIRM, g.DENY):
            waiting = self._waiting.get(plain.serial)
            if waiting is not None and not waiting.done():
                waiting.set_result(plain.command)
        elif plain.command == g.CONTROL and plain.unit[:1] == b"\x5b":
            self.counts.duty_checks.append(plain.unit[2])
            await self._send(g.CONFIRM, b"", plain.serial)
            if self.habits.answers_duty_after_s is not None:
                self._spawn(self._answer_duty(self.habits.answers_duty_after_s))
        elif plain.command == g.CONTROL and plain.unit[:1] == b"\x5a":
            self.counts.clock_set.append(plain.unit[2:8])
            self.habits.bad_clock_s = 0.0
            await self._send(g.CONFIRM, b"", plain.serial)
        elif plain.command == g.REQUEST:
            self.counts.asked.append(plain.unit[0])
            await self._send(g.RESPONSE, self._state_of(plain.unit), plain.serial)
        else:
            await self._send(g.DENY, b"", plain.serial)

    async def _answer_duty(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.tell(g.transmitter_operation(0b10_0000, 3, self._now_ms()))

    async def _beat(self) -> None:
        while True:
            await self._up.wait()
            with contextlib.suppress(OSError):
                await self._send(g.DATA, self.habits.heartbeat or b"", self._next_serial())
            await asyncio.sleep(self.habits.heartbeat_s)

    # --- what it sends -------------------------------------------------------------------------------------------

    def _keep(self, unit: bytes) -> None:
        if unit[0] == 2:
            self.states[unit[2:4] + unit[5:9]] = unit
        elif unit[0] == 1:
            self.states[unit[2:4]] = unit
        elif unit[0] == 21:
            self.states[b""] = unit

    def _state_of(self, asked: bytes) -> bytes:
        """The answer to a read: the states last told of what is asked, as one unit."""
        size = {61: 2, 62: 6}.get(asked[0], 0)
        if asked[0] == 81:
            return self.states.get(b"", g.transmitter_status(1, self._now_ms()))
        keys = [asked[at : at + size] for at in range(2, len(asked), size)] if size else []
        units = [self.states[key] for key in keys if key in self.states]
        if not units:
            return b""
        return bytes((units[0][0], len(units))) + b"".join(unit[2:] for unit in units)

    def _next_serial(self) -> int:
        serial, self._serial = self._serial, (self._serial + 1) % 65536
        return serial

    async def _send(self, command: int, unit: bytes, serial: int) -> None:
        sent = g.time_tag(self._now_ms() + int(self.habits.bad_clock_s * 1000))
        data = g.frame(serial, command, unit, source=self.address, sent=sent)
        writer = self._writer
        if writer is None or writer.is_closing():
            raise ConnectionError
        if self.habits.noise:
            data = self._random.randbytes(self._random.randint(0, 9)).replace(b"@", b"*") + data
        if self.habits.glue and command == g.DATA:
            data += g.frame(self._next_serial(), g.DATA, b"", source=self.address, sent=sent)
        pieces = [data]
        if self.habits.split:
            cuts = sorted(self._random.sample(range(1, len(data)), 3))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        async with self._sending:  # frames of several tasks must not get into one another
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="transmitter")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
