"""Answers that are owed until what they answer is on disk, given to all who wait for the same write at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from contract.messages import LANES, Lane
from edge_agents.drivers.gb26875.session import Session

DURABLE_S = 8.0
"""Longest wait for a message to reach the disk; then it is not confirmed and comes again."""
MOST_OWED = 64
"""Answers owed to one sender before no more is read of it."""
Lanes = tuple[Lane, ...]
EVENTS: Lanes = ("alarm",)
"""Messages without measured values do not wait until a batch of these is full."""
KINDS: tuple[Lanes, ...] = (EVENTS, LANES)


@dataclass(eq=False, slots=True)
class Way:
    """How a transmitter can be spoken to now.

    write: takes bytes, never waits. heard_s: when it said something last, monotonic. owed: answers it is still owed.
    """

    session: Session
    write: Callable[[bytes], None]
    is_stream: bool
    close: Callable[[], None]
    heard_s: float
    owed: int = 0


class Owed:
    """Hands out answers after the write to disk that holds what they answer.

    Args:
        durable: waits until all that was recorded so far on these lanes is on disk.
        most_s: longest wait for it.
    """

    def __init__(self, durable: Callable[[Lanes], Awaitable[None]], most_s: float = DURABLE_S) -> None:
        self._durable = durable
        self._most_s = most_s
        self._waiting: dict[Lanes, list[tuple[Way, bytes]]] = {lanes: [] for lanes in KINDS}
        self._wake = {lanes: asyncio.Event() for lanes in KINDS}
        self._done = asyncio.Event()
        self.unconfirmed = 0
        """Messages that were not confirmed because the disk took nothing."""

    def add(self, way: Way, answer: bytes, lanes: Lanes) -> None:
        """Owe an answer until these lanes are on disk; one of KINDS."""
        way.owed += 1
        self._waiting[lanes].append((way, answer))
        self._wake[lanes].set()

    async def fewer(self, way: Way, than: int) -> None:
        """Wait until a sender is owed fewer answers than so many."""
        while way.owed >= than:
            done = self._done
            await done.wait()

    async def run(self, lanes: Lanes) -> None:
        """Hand out answers that wait for these lanes, until cancelled."""
        while True:
            await self._wake[lanes].wait()
            self._wake[lanes].clear()
            work, self._waiting[lanes] = self._waiting[lanes], []
            try:
                async with asyncio.timeout(self._most_s):
                    await self._durable(lanes)
            except TimeoutError:
                self.unconfirmed += len(work)
            else:
                _hand_out(work)
            for way, _ in work:
                way.owed -= 1
            done, self._done = self._done, asyncio.Event()
            done.set()


def _hand_out(work: list[tuple[Way, bytes]]) -> None:
    """In the order of the messages; over a stream all of one sender in one write, over UDP each by itself."""
    streams: dict[int, tuple[Way, list[bytes]]] = {}
    for way, answer in work:
        if way.is_stream:
            streams.setdefault(id(way), (way, []))[1].append(answer)
        else:
            way.write(answer)
    for way, answers in streams.values():
        way.write(b"".join(answers))
