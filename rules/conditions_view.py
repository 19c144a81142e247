"""What a condition is asked, what it may look at, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from contract.messages import Reading, Value
from contract.quality import GOOD, kind
from rules.series import Keep, Series


class Truth(NamedTuple):
    """Whether a condition holds. Neither violated nor over: it is not known, or lies between limit and clear level.

    inputs: what decided. A leaf gives its kind, point, value, quality, observed_ms, limit and the like; a tree gives
    `because`, the list of the leaves that decided. again_ms: the truth may change at this moment with nothing but time
    passing; None: only news can change it. Judged earlier than that, without news, it is the same.
    """

    violated: bool
    over: bool
    inputs: dict[str, Any]
    again_ms: int | None


class Calm(NamedTuple):
    """A condition that does not hold cannot come to hold: not before `until_ms` (None: time alone never does it), and
    not by good numbers of the points in `limits` within (lowest, highest), nor by good values of other points.

    Valid for readings from `from_ms` on.
    """

    limits: Mapping[str | None, tuple[float, float]]
    from_ms: int
    until_ms: int | None = None

    def covers(self, point: str | None, value: Value, at_ms: int) -> bool:
        """Whether a good value at that moment leaves the condition as it is: not holding."""
        if at_ms < self.from_ms or (self.until_ms is not None and at_ms >= self.until_ms):
            return False
        limits = self.limits.get(point)
        return limits is None or (value.__class__ is float and limits[0] <= value <= limits[1])


class Needs(NamedTuple):
    """What a condition looks at, so that nothing else need wake it.

    points: the points of the subject's device whose readings matter; None is the subject's own point.
    keeps: what the series of each of them has to remember; a point that is not named needs no series.
    tally: it looks at every point of the subject. tally_keeps: what their series have to remember.
    beside: points of the same device as a tallied point that it also looks at (a temperature).
    alarm_rules: alarms of these rules matter. finding_rules: findings about alarms of these rules do.
    dates, clock: it looks at dates of the device's life, at the hour of the day.
    """

    points: frozenset[str | None] = frozenset()
    keeps: Mapping[str | None, frozenset[Keep]] = {}
    tally: bool = False
    tally_keeps: frozenset[Keep] = frozenset()
    beside: frozenset[str] = frozenset()
    alarm_rules: frozenset[str] = frozenset()
    finding_rules: frozenset[str] = frozenset()
    dates: bool = False
    clock: bool = False


class View(Protocol):
    """What a condition may see of its subject.

    A point is None (the subject's own), the name of a point of the subject's device, or `device/point` as `points`
    gives it.
    """

    @property
    def known_ms(self) -> int:
        """When the subject became known; Since counts from here."""

    def last(self, point: str | None) -> Reading | None:
        """The latest reading, at the gateway's time; None when there never was one."""

    def series(self, point: str | None) -> Series | None:
        """What is remembered of the point."""

    def points(self) -> Iterable[str]:
        """The subject's points as `device/point`, for a tally."""

    def is_manual(self, point: str) -> bool:
        """Whether `device/point` is a manual call point."""

    def alarms(self, rules: Sequence[str], scope: str) -> Iterable[frozenset[str]]:
        """The states of each alarm of these rules within the scope."""

    def finding_times(self, rules: Sequence[str], finding: str, since_ms: int) -> Sequence[int]:
        """When alarms of these rules about the subject's device (group, line, agent) were found to be that: the
        times after `since_ms`, ascending."""

    def due_ms(self, what: str) -> int | None:
        """When that date of the device's life comes; None: not known."""

    def local(self, at_ms: int) -> datetime:
        """That moment in the site's time zone, aware of it."""


class Node(Protocol):
    """A compiled condition. Holds nothing that changes an answer: one serves every subject."""

    @property
    def needs(self) -> Needs:
        """What it looks at."""

    @property
    def knows_calm(self) -> bool:
        """Whether `calm` ever tells."""

    def judge(self, view: View, at_ms: int, /) -> Truth:
        """Whether it holds at `at_ms`, as far as the view tells."""

    def calm(self, view: View, at_ms: int, /) -> Calm | None:
        """For how long, and within which values, it goes on not to hold; None: it may hold, or nobody can say."""


def is_known(value: Value, quality: str) -> bool:
    """Whether a reading says something about the real world: good or uncertain, and a value."""
    return value is not None and (quality == GOOD or kind(quality) in ("good", "uncertain"))


def earliest(times: Iterable[int | None], after_ms: int) -> int | None:
    """The first of the times after that moment."""
    return min((t for t in times if t is not None and t > after_ms), default=None)


def joined(parts: Iterable[Needs]) -> Needs:
    """All of it."""
    points: frozenset[str | None] = frozenset()
    keeps: dict[str | None, frozenset[Keep]] = {}
    whole = Needs()
    for part in parts:
        points |= part.points
        for point, more in part.keeps.items():
            keeps[point] = keeps.get(point, frozenset()) | more
        whole = Needs(
            tally=whole.tally or part.tally,
            tally_keeps=whole.tally_keeps | part.tally_keeps,
            beside=whole.beside | part.beside,
            alarm_rules=whole.alarm_rules | part.alarm_rules,
            finding_rules=whole.finding_rules | part.finding_rules,
            dates=whole.dates or part.dates,
            clock=whole.clock or part.clock,
        )
    return whole._replace(points=points, keeps=keeps)
