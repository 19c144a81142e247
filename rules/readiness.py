"""Readiness of a station (战备状态) at an instant, from what takes from it. Pure.

    ready < degraded < unknown < not_ready

Something that is certainly missing makes a station not ready, whatever else is not known; what is not known might be
anything, so it never counts as ready or degraded. The score is 100 less the points of everything that stands; with
something unknown there is none. A local measure, not an official score.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["ready", "degraded", "not_ready", "unknown"]
LEVELS: tuple[Level, ...] = ("ready", "degraded", "unknown", "not_ready")
"""Best first; `not_ready` is the one that is certain."""
WHOLE = 100_000
"""Points are added up in thousandths, so that no order of adding gives another sum."""


class Verdict(NamedTuple):
    """What a station is. score: 0 to 100, None while something is unknown; unknown: how many things are not known."""

    level: Level
    score: float | None
    unknown: int


class Take(NamedTuple):
    """What one standing alarm takes. points in thousandths."""

    level: str
    points: int

    @classmethod
    def of(cls, level: str, points: float) -> Take:
        """As a rule says it."""
        return cls(level, round(points * 1000))


class Account:
    """Everything that takes from one station now."""

    __slots__ = ("_counts", "_points")

    def __init__(self) -> None:
        self._counts = {"degraded": 0, "unknown": 0, "not_ready": 0}
        self._points = 0

    def add(self, take: Take) -> None:
        """It stands from now on."""
        self._counts[take.level] += 1
        self._points += take.points

    def remove(self, take: Take) -> None:
        """It stands no more."""
        self._counts[take.level] -= 1
        self._points -= take.points

    def verdict(self, *, is_stale: bool) -> Verdict:
        """The station as of now. is_stale: some of its data is too old to be believed."""
        unknown = self._counts["unknown"] + is_stale
        level: Level = "ready"
        if self._counts["not_ready"]:
            level = "not_ready"
        elif unknown:
            level = "unknown"
        elif self._counts["degraded"]:
            level = "degraded"
        score = None if unknown else max(0, WHOLE - self._points) / 1000
        return Verdict(level, score, unknown)


def with_stale(verdict: Verdict) -> Verdict:
    """The same with data that has become too old to be believed."""
    level: Level = "not_ready" if verdict.level == "not_ready" else "unknown"
    return Verdict(level, None, verdict.unknown + 1)
