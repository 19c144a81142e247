"""The connection to one centre: kept up, fed from the outbox, its questions answered.

committed ──> fill (translate) ──> outbox ──> Dialogue ──> centre
centre asks a read ──> answered from the current values;  duty check ──> the post's screen and back
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from contract.errors import RetryLater
from contract.gb26875.tables import Tables
from gateway.upward.answers import Answers
from gateway.upward.dialogue import Asked, Dialogue, Done
from gateway.upward.feeder import Feeder
from gateway.upward.outbox import UpwardOutbox
from gateway.upward.settings import Centre

log = logging.getLogger(__name__)
BACK_OFF_S = (0.5, 30.0)
CONNECT_S = 10.0
TAKEN_AT_ONCE = 64
"""Objects besides fires that are looked at in the outbox at once."""
READ_BYTES = 8192
LEDGER_RETRY_S = 1.0
WARN_AFTER_S = 30.0
"""A centre that cannot be reached for so long is worth a warning."""


@dataclass
class LinkStatus:
    """How it goes. since_ms: when `connected` took its value; last_ms: when the centre last confirmed, ms UTC."""

    connected: bool = False
    since_ms: int | None = None
    connects: int = 0
    confirmed: int = 0
    denied: int = 0
    repeated: int = 0
    waiting: int = 0
    last_ms: int | None = None
    fire_s: list[float] = field(default_factory=list)
    """Seconds from sending to confirm of the latest fires."""


class Wire(NamedTuple):
    """A connection: bytes in, bytes out."""

    read: Callable[[], Awaitable[bytes]]
    write: Callable[[bytes], Awaitable[None]]


class CentreLink:
    """One centre.

    Args:
        centre: its settings. outbox, feeder, answers: see there. now_ms: wall clock. monotonic: seconds.
        duty_asked: takes (minutes) of a duty check; gives the answer's object once somebody answered, None when
            nobody did.
    """

    def __init__(
        self,
        centre: Centre,
        outbox: UpwardOutbox,
        feeder: Feeder,
        answers: Answers,
        duty_asked: Callable[[int], Awaitable[None]],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._uniform = uniform
        self._centre = centre
        self._outbox = outbox
        self._feeder = feeder
        self._answers = answers
        self._duty_asked = duty_asked
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._tables = Tables("weizhan") if centre.private_codes else Tables()
        self._wake = asyncio.Event()
        self._done: list[Done] = []
        self.status = LinkStatus()

    def wake(self) -> None:
        """Tell that something was committed; cheap."""
        self._feeder.wake()

    def nudge(self) -> None:
        """Tell that the outbox has something new."""
        self._wake.set()

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        pause_s, away_s, warned = BACK_OFF_S[0], self._monotonic(), False
        while True:
            try:
                async with self._open() as wire:
                    self.status.connects += 1
                    self.status.connected, self.status.since_ms = True, self._now_ms()
                    if warned:
                        log.info("centre %s: connected again", self._centre.id)
                    warned, pause_s = False, BACK_OFF_S[0]
                    await self._converse(wire, is_first=self.status.connects == 1)
            except (OSError, TimeoutError, RetryLater) as exc:
                if self.status.connected:
                    away_s = self._monotonic()
                if not warned and self._monotonic() - away_s > WARN_AFTER_S:
                    warned = True
                    log.warning("centre %s: cannot be told: %s. What it is to be told is kept.", self._centre.id, exc)
            finally:
                if self.status.connected:
                    self.status.connected, self.status.since_ms = False, self._now_ms()
            await asyncio.sleep(pause_s * self._uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, BACK_OFF_S[1])

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[Wire]:
        centre = self._centre
        if centre.transport == "udp":
            loop, came = asyncio.get_running_loop(), asyncio.Queue[bytes](1024)
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(came), remote_addr=(centre.host, centre.port)
            )

            async def send(data: bytes) -> None:
                transport.sendto(data)

            try:
                yield Wire(came.get, send)
            finally:
                transport.close()
            return
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(centre.host, centre.port)

        async def read() -> bytes:
            data = await reader.read(READ_BYTES)
            if not data:
                raise ConnectionError("the centre closed the connection")
            return data

        async def write(data: bytes) -> None:
            writer.write(data)
            async with asyncio.timeout(centre.timeout_s):
                await writer.drain()

        try:
            yield Wire(read, write)
        finally:
            writer.close()

    async def _converse(self, wire: Wire, *, is_first: bool) -> None:
        dialogue = Dialogue(self._centre, self._tables, self._now_ms)
        self._done.clear()
        await self._outbox.add([self._answers.own_state(is_centre_back=not is_first)], self._now_ms())
        reading = asyncio.create_task(self._read(wire, dialogue), name=f"upward.{self._centre.id}.read")
        try:
            await self._feed(wire, dialogue, reading)
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, TimeoutError, RetryLater):
                await reading

    async def _feed(self, wire: Wire, dialogue: Dialogue, reading: asyncio.Task[None]) -> None:
        quiet_s = self._monotonic()
        while not dialogue.is_broken:
            if reading.done():
                await reading
            self._wake.clear()
            await self._settle()
            frames = dialogue.due(self._monotonic())
            self.status.repeated += len(frames)
            fires, others = dialogue.room()
            if fires > 0 or others > 0:
                # What the centre has ended and nobody has written down yet must not go out again.
                ended = {number for one in self._done for number in one.ids}
                taken = await self._outbox.waiting(
                    dialogue.under_way | ended, fires, TAKEN_AT_ONCE if others > 0 else 0
                )
                frames += dialogue.send(taken, self._monotonic())
            now_s = self._monotonic()
            if not frames and now_s - quiet_s >= self._centre.heartbeat_s:
                frames = [dialogue.heartbeat()]
            for frame in frames:
                await wire.write(frame)
                quiet_s = now_s
            due_s = dialogue.next_due_s()
            beat_s = quiet_s + self._centre.heartbeat_s
            wait_s = max(0.0, min(beat_s, due_s if due_s is not None else beat_s) - self._monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
        raise RetryLater(f"no confirm after {self._centre.retries} repeats")

    async def _read(self, wire: Wire, dialogue: Dialogue) -> None:
        try:
            while True:
                data = await wire.read()
                done, asked, answers = dialogue.take(data, self._monotonic())
                self._done += done
                self._wake.set()
                for answer in answers:
                    await wire.write(answer)
                for question in asked:
                    await self._answer(wire, dialogue, question)
        finally:
            self._wake.set()

    async def _settle(self) -> None:
        """Write down what the centre confirmed or denied."""
        done, self._done = self._done, []
        confirmed = [number for one in done if one.verdict == "confirmed" for number in one.ids]
        denied = [number for one in done if one.verdict == "denied" for number in one.ids]
        try:
            if confirmed:
                await self._outbox.confirmed(confirmed, self._now_ms())
                self.status.confirmed += len(confirmed)
                self.status.last_ms = self._now_ms()
            if denied:
                await self._outbox.denied(denied, self._now_ms())
                self.status.denied += len(denied)
        except RetryLater:
            self._done = done + self._done
            await asyncio.sleep(LEDGER_RETRY_S)

    async def _answer(self, wire: Wire, dialogue: Dialogue, question: Asked) -> None:
        minutes = self._answers.duty_minutes(question.message)
        if minutes is not None:
            await self._duty_asked(minutes)
        command, unit = self._answers.to(question.message)
        await wire.write(dialogue.answer(question.message.frame, command, unit))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, came: asyncio.Queue[bytes]) -> None:
        self._came = came

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002  # the protocol's own signature
        with contextlib.suppress(asyncio.QueueFull):
            self._came.put_nowait(data)
