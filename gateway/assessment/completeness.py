"""How complete the data of a device is over a span: what was due, what came, late or not, what was lost and why. Pure.

A device says nothing while nothing moves, but repeats every value within its longest silence. So time is cut into
stretches of twice that (what the pages call missing is the same measure), and in each one report of every point is due:

    due = received + arrival no longer kept + late + lost for each reason

Each stretch of each point is counted once and under one heading, so the sum is exact. A report that says that no value
could be had (`bad`, `unknown`) counts as lost, with the cause it gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

LEAST_MS = 60_000
"""Shortest stretch; shorter ones would say more of the seconds of a line than of the device."""
Span = tuple[int, int]


class Stretches(NamedTuple):
    """Equal stretches of a span, on multiples of their length since the epoch. first: number of the first; count: how
    many are whole within the span."""

    step_ms: int
    first: int
    count: int  # type: ignore[assignment] # the field's own name

    @property
    def from_ms(self) -> int:
        """Beginning of the first, ms UTC."""
        return self.first * self.step_ms

    @property
    def until_ms(self) -> int:
        """End of the last, ms UTC."""
        return (self.first + self.count) * self.step_ms

    def at(self, at_ms: int) -> int:
        """The stretch a time lies in."""
        return at_ms // self.step_ms


class Evidence(NamedTuple):
    """What is known of a point, by stretch. values: those with a value that holds; said: those that say why there is
    none, with the cause; arrived: whether something of the stretch came in time, where the arrival is still kept."""

    values: frozenset[int]
    said: Mapping[int, str]
    arrived: Mapping[int, bool]


class Outage(NamedTuple):
    """A span in which nothing could come. reason: gap | gateway | agent | line | device."""

    reason: str
    from_ms: int
    until_ms: int


class Count(NamedTuple):
    """The account of one point or of many together. lost: reason -> how many."""

    due: int = 0
    received: int = 0
    unchecked: int = 0
    late: int = 0
    lost: Mapping[str, int] = {}  # never changed

    @property
    def lost_in_all(self) -> int:
        """All reasons together."""
        return sum(self.lost.values())

    @property
    def adds_up(self) -> bool:
        """Whether every report that was due is accounted for once."""
        return self.due == self.received + self.unchecked + self.late + self.lost_in_all

    @property
    def percent(self) -> float | None:
        """Share that came, late or not; None where nothing was due."""
        return 100 * (self.due - self.lost_in_all) / self.due if self.due else None


def stretches(max_silence_s: float, from_ms: int, until_ms: int) -> Stretches:
    """The whole stretches of a span. What is left at its ends is not due within it."""
    step_ms = max(LEAST_MS, round(2000 * max_silence_s))
    first = -(-from_ms // step_ms)
    return Stretches(step_ms, first, max(0, until_ms // step_ms - first))


def account(over: Stretches, found: Evidence, outages: Sequence[Outage], first_ms: int | None) -> Count:
    """The account of one point.

    outages: the first that touches a stretch gives the reason. first_ms: when the point was first heard of, or None.
    """
    received = unchecked = late = 0
    lost: Counter[str] = Counter()
    ordered = sorted(outages, key=lambda each: REASONS.index(each.reason))
    for number in range(over.first, over.first + over.count):
        if number in found.values:
            in_time = found.arrived.get(number)
            received += in_time is True
            late += in_time is False
            unchecked += in_time is None
        else:
            lost[_reason(over, number, found, ordered, first_ms)] += 1
    return Count(over.count, received, unchecked, late, dict(lost))


REASONS = ("gap", "gateway", "agent", "line", "device")
"""Of outages, the one nearest to the ledger first."""
NEVER = "never"
"""Before the point was heard of for the first time."""
UNEXPLAINED = "unexplained"


def added(counts: Iterable[Count]) -> Count:
    """Of all of them together."""
    total, lost = [0, 0, 0, 0], Counter[str]()
    for each in counts:
        total = [a + b for a, b in zip(total, each[:4], strict=True)]
        lost.update(each.lost)
    return Count(total[0], total[1], total[2], total[3], dict(lost))


def _reason(over: Stretches, number: int, found: Evidence, outages: Sequence[Outage], first_ms: int | None) -> str:
    begin, end = number * over.step_ms, (number + 1) * over.step_ms
    if number in found.said:
        return found.said[number]
    if first_ms is None or end <= first_ms:
        return NEVER
    touching = (each.reason for each in outages if each.from_ms < end and each.until_ms > begin)
    return next(touching, UNEXPLAINED)
