"""Drills and training that were held, and what they count for. Pure."""

from __future__ import annotations

from gateway.ledger.entries import Entry, Kind

MOST_LATE_MS = 400 * 86_400_000
"""What was held longer ago than this is not recorded any more."""


class Training(Entry, frozen=True, kw_only=True):
    """A drill, training or assessment that was held (from_ms). people: their numbers; drill: a walk test held in it."""

    plan: str
    kind: str
    by: str
    recorded_ms: int
    people: tuple[int, ...] = ()
    count: int = 0
    """How many took part, those without a number included."""
    note: str = ""
    photo: str = ""
    drill: int | None = None


TRAINING_KIND = Kind("training", Training, frozenset(), live=False)
