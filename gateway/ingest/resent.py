"""What came again and was dropped, counted by day. Pure.

A batch is taken by its number, once; whatever has that number later has no effect. How much of that came stands in the
ledger as counters, in the transaction that answers it: a row for each agent's lane and day, and one for each device
and day that had something in it. So an account can say exactly what it left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from contract.messages import Batch

WHOLE = ""
"""Stands for the device in the row of the batches themselves, with all that was in them."""


class Resent(NamedTuple):
    """A counter. device: WHOLE, or the device; day: of the arrival, by the site's calendar, as 2026-11-30."""

    site: str
    agent: str
    device: str
    lane: str
    day: str


def count_resent(batch: Batch, day: str, known: Callable[[str, str], bool]) -> dict[Resent, int]:
    """Counters that a dropped batch adds one batch to -> readings of theirs in it.

    known: whether a (site, device) is one of ours; others stand in the whole only, so that the names an agent makes up
    make no rows.
    """
    mine = Counter(reading.point.partition("/")[0] for reading in batch.readings)
    found = {Resent(batch.site, batch.agent, WHOLE, batch.lane, day): len(batch.readings)}
    for device, readings in mine.items():
        if known(batch.site, device):
            found[Resent(batch.site, batch.agent, device, batch.lane, day)] = readings
    return found


def day_of(at_ms: int, time_zone: str) -> str:
    """The day a time lies in there, as 2026-11-30."""
    return datetime.fromtimestamp(at_ms / 1000, _zone(time_zone)).date().isoformat()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
