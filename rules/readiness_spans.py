"""Spans of readiness: joined, cut, summed up to "ready 98.4 % of October", and two accounts of them compared. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rules.readiness import LEVELS, Verdict

UNRECORDED = "unrecorded"
"""Time of which there is no row: never counted as ready."""


class Span(NamedTuple):
    """A station was this from then until then (ms UTC, end not included)."""

    from_ms: int
    until_ms: int
    verdict: Verdict


class Deducted(NamedTuple):
    """Something took from a station from then until then. accepted: as a risk, so it took nothing."""

    from_ms: int
    until_ms: int
    alarm: int
    rule: str
    subject: str
    level: str
    points: float
    accepted: bool


class Summary(NamedTuple):
    """How long a station was what, in a span.

    ms: by level, and UNRECORDED. score: mean over the time in which there was one, None without any.
    """

    from_ms: int
    until_ms: int
    ms: dict[str, int]
    score: float | None

    def percent(self, level: str) -> float | None:
        """Share of the whole span; None for an empty one."""
        whole = self.until_ms - self.from_ms
        return 100 * self.ms[level] / whole if whole > 0 else None


def joined(spans: Iterable[Span]) -> list[Span]:
    """In order of time, empty ones left out, neighbours that say the same made one."""
    found: list[Span] = []
    for span in spans:
        if span.until_ms <= span.from_ms:
            continue
        if found and found[-1].until_ms == span.from_ms and found[-1].verdict == span.verdict:
            found[-1] = found[-1]._replace(until_ms=span.until_ms)
        else:
            found.append(span)
    return found


def cut(spans: Iterable[Span], from_ms: int, until_ms: int) -> list[Span]:
    """What of them lies within a span, joined."""
    return joined(
        Span(max(span.from_ms, from_ms), min(span.until_ms, until_ms), span.verdict)
        for span in sorted(spans, key=lambda span: span.from_ms)
    )


def summed(spans: Sequence[Span], from_ms: int, until_ms: int) -> Summary:
    """How long a station was what. spans: cut to it."""
    ms: dict[str, int] = dict.fromkeys((*LEVELS, UNRECORDED), 0)
    scored, weight = 0.0, 0
    for span in spans:
        lasted = span.until_ms - span.from_ms
        ms[span.verdict.level] += lasted
        if span.verdict.score is not None:
            scored += span.verdict.score * lasted
            weight += lasted
    ms[UNRECORDED] = max(0, until_ms - from_ms - sum(ms.values()))
    return Summary(from_ms, until_ms, ms, scored / weight if weight else None)


def first_difference(shown: Sequence[Span], derived: Sequence[Span]) -> tuple[int, Span | None, Span | None] | None:
    """(when, what was shown, what follows from the rows) of the first moment at which two accounts differ."""
    for a, b in zip(shown, derived, strict=False):
        if a == b:
            continue
        if a.from_ms != b.from_ms:
            return min(a.from_ms, b.from_ms), a, b
        return (a.from_ms if a.verdict != b.verdict else min(a.until_ms, b.until_ms)), a, b
    longer, other = (shown, derived) if len(shown) > len(derived) else (derived, shown)
    if len(longer) == len(other):
        return None
    extra = longer[len(other)]
    return (extra.from_ms, extra, None) if longer is shown else (extra.from_ms, None, extra)
