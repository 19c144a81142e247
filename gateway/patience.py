"""How the pipeline waits: for what comes or is due, and after a failure, longer each time, until something was
committed."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable

FIRST_S = 0.1
LONGEST_S = 5.0
"""Once the disk works again, work goes on within this, and a fifth."""


TICK_S = 1.0
"""Whether something is due by the wall clock, which may be set, is asked at least this often."""


class Patience:
    """Pauses, each twice the one before, give or take a fifth.

    Args:
        uniform: a number between two, for jitter.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._pause_s = FIRST_S
        self._commits = 0

    async def pause(self) -> None:
        """Wait; the next time longer."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, LONGEST_S)
        await asyncio.sleep(pause_s * self._uniform(0.8, 1.2))

    def went_on(self, commits: int) -> None:
        """A group was judged, so many groups are committed. Only a commit says that the trouble is over: what was
        judged may still fail, and a disk that fails each time is not to be asked ten times a second."""
        if commits != self._commits:
            self._commits, self._pause_s = commits, FIRST_S


def mark(connection: sqlite3.Connection) -> None:
    """The least that can be committed: it says whether the disk takes anything."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('mark', '')")


async def wait(event: asyncio.Event, wait_s: float) -> None:
    """Until that happens, or so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()


async def doze(event: asyncio.Event, due_ms: int | None, now_ms: Callable[[], int], is_due: Callable[[], bool]) -> None:
    """Until that happens, that wall time comes or `is_due` says so; a second in which nothing is due costs a look.

    Args:
        due_ms: ms UTC; None: no time. now_ms: the wall clock. is_due: asked each second.
    """
    loop = asyncio.get_running_loop()
    timer: list[asyncio.TimerHandle] = []

    def arm() -> None:
        wait_s = TICK_S if due_ms is None else min(TICK_S, max(0.01, (due_ms - now_ms()) / 1000))
        timer[:] = [loop.call_later(wait_s, look)]

    def look() -> None:
        if (due_ms is not None and due_ms <= now_ms()) or is_due():
            event.set()
        else:
            arm()

    arm()
    try:
        await event.wait()
    finally:
        timer[0].cancel()
