"""Rows and callbacks the history tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.history.base import Row

T0 = 1_700_000_000_000
"""2023-11-14 22:13:20 UTC: past on any clock, because a store may refuse what lies ahead of its own."""
DAY = 86_400_000


def row(observed_ms: int, value: float | bool | str | None, quality: str = "good", device: str = "hydrant-1") -> Row:
    """One row of a pressure point."""
    return Row("shuiye", device, "pressure_kpa", observed_ms, value, quality)


def none_refused(rows: Sequence[Row], why: str) -> None:
    """For writes that must be taken whole."""
    raise AssertionError((rows, why))


async def until(condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
    """Wait for a condition; an error when it does not come."""
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.01)
