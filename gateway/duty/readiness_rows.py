"""Rows of readiness: which station answers for what, what takes from it, what it was, when its data was too old, and
risks that somebody accepted. Times ms UTC; a row says what the gateway knew at that time.
"""

from __future__ import annotations

from gateway.ledger.entries import Entry, Kind


class Answering(Entry, frozen=True, kw_only=True):
    """A station and the further sites it answers for. state: in_force | over."""

    covers: tuple[str, ...] = ()


class Stale(Entry, frozen=True, kw_only=True):
    """Data of a station was too old to be believed. state: standing | over. causes: paths of what did not speak."""

    causes: tuple[str, ...] = ()


class Deduction(Entry, frozen=True, kw_only=True):
    """A standing alarm took from a station. state: standing | accepted (as a risk, it took nothing) | over.

    raised_ms: when the alarm was known. points: as its rule said when it was raised; a local measure, not official.
    """

    alarm: int
    rule: str
    subject: str
    level: str
    points: float
    raised_ms: int
    basis_zh: str
    basis_en: str
    risk: int | None = None
    """The accepted risk that covered it."""


class Risk(Entry, frozen=True, kw_only=True):
    """Somebody accepted that this rule speaks of this subject. state: in_force | expired | withdrawn.

    until_ms: it ends then at the latest. by: number of the person where they are known, user: their login name.
    """

    rule: str
    subject: str
    reason: str
    user: str
    by: int | None = None


class Ready(Entry, frozen=True, kw_only=True):
    """What a station was. state: now | past. level: ready | degraded | not_ready | unknown. score: None while
    something is unknown. unknown: how many things were not known."""

    level: str
    score: float | None
    unknown: int = 0


ANSWERING = Kind("station", Answering, frozenset({"in_force"}))
STALE = Kind("stale", Stale, frozenset({"standing"}))
DEDUCTION = Kind("deduction", Deduction, frozenset({"standing", "accepted"}), live=False)
RISK = Kind("risk", Risk, frozenset({"in_force"}))
READY = Kind("readiness", Ready, frozenset({"now"}))
MOST_RISK_MS = 90 * 86_400_000
"""Longest time a risk may be accepted for."""
