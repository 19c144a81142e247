"""How the pipeline waits: for what comes, and after a failure, longer each time, until something was committed."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable

FIRST_S = 0.1
LONGEST_S = 5.0
"""Once the disk works again, work goes on within this, and a fifth."""


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
