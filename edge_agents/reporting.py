"""Report by exception: which observations are worth a reading. Pure.

A point is reported when its quality changes, when its value moves by its deadband (any change for states and
truths), and when it has said nothing for the profile's `max_silence_s`. What was last reported of alarm points
survives a restart (see `Reported`), so that a restart neither repeats nor loses an edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from contract import quality as q
from contract.messages import Reading, Value
from contract.profile import ONLINE, Point


class Observation(NamedTuple):
    """What one read says of one point; `at` is the point's place in its `DeviceReport`."""

    at: int
    value: Value
    quality: str


class Reports(NamedTuple):
    """Readings to hand on, by lane. keep: state that goes to disk with them or after them, never before."""

    alarm: list[Reading]
    telemetry: list[Reading]
    keep: Mapping[str, bytes] = MappingProxyType({})


class Reported(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was last reported of a point, as kept in the outbox file."""

    value: float | bool | str | None
    quality: str
    observed_ms: int


class ReportRule(NamedTuple):
    """How a point is reported. Shared by all devices of a kind."""

    name: str
    is_alarm: bool
    deadband: float

    @classmethod
    def of(cls, point: Point) -> ReportRule:
        """The rule of a profile's point."""
        return cls(point.name, point.lane == "alarm", point.deadband if point.is_number else 0.0)


STEP_MS = 5000
"""A clock this far behind the last reading was set back; less is jitter."""
ERAS = 4
ONLINE_RULE = ReportRule(ONLINE, True, 0.0)


class DeviceReport:
    """What was last reported of one device's points.

    Args:
        device: its id.
        rules: of its points, in the order of its plan. `online` comes by itself.
        max_silence_s: report at least this often.
        misses_allowed: misses in a row that make it offline.
    """

    __slots__ = ("_allowed", "_device", "_last", "_misses", "_rules", "_silence_ms")

    def __init__(self, device: str, rules: tuple[ReportRule, ...], max_silence_s: float, misses_allowed: int) -> None:
        self._device = device
        self._rules = rules
        self._silence_ms = int(max_silence_s * 1000)
        self._allowed = misses_allowed
        self._misses = 0
        self._last: list[Reported | None] = [None] * (len(rules) + 1)

    @property
    def device(self) -> str:
        """The device's id."""
        return self._device

    @property
    def is_silent(self) -> bool:
        """Whether it has missed as many reads in a row as make it offline."""
        return self._misses >= self._allowed

    def restore(self, kept: Mapping[str, Reported]) -> None:
        """Take up what was reported before a restart; keys are `device/point`."""
        for index in range(len(self._last)):
            self._last[index] = kept.get(f"{self._device}/{self._rule(index).name}")

    def last(self, index: int) -> Reported | None:
        """What was last reported of a point."""
        return self._last[index]

    def edges(self, observations: Iterable[Observation]) -> set[int]:
        """Alarm points among these whose value or quality differs from what was last reported."""
        changed = set()
        for seen in observations:
            if self._rules[seen.at].is_alarm:
                last = self._last[seen.at]
                if last is None or last.value != seen.value or last.quality != seen.quality:
                    changed.add(seen.at)
        return changed

    def answered(self, observations: Iterable[Observation], now_ms: int) -> Reports:
        """Readings of a read that went well."""
        self._misses = 0
        readings = Reports([], [])
        self._judge(Observation(len(self._rules), True, q.GOOD), now_ms, readings)
        for seen in observations:
            self._judge(seen, now_ms, readings)
        return readings

    def missed(self, now_ms: int) -> Reports:
        """Readings of a read without an answer: after the allowed misses everything is unknown."""
        self._misses += 1
        if self._misses < self._allowed:
            return Reports([], [])
        return self._all(False, q.GOOD, q.unknown("no_answer"), now_ms)

    def overdue(self, now_ms: int) -> Reports:
        """Readings when there has been no answer for too long, however often it was asked: everything is unknown."""
        self._misses = max(self._misses, self._allowed)
        return self._all(False, q.GOOD, q.unknown("no_answer"), now_ms)

    def removed(self, now_ms: int) -> Reports:
        """Readings when the device is no longer in the configuration."""
        readings = Reports([], [])
        self._judge(Observation(len(self._rules), None, q.unknown("removed")), now_ms, readings)
        return readings

    def line_down(self, now_ms: int) -> Reports:
        """Readings when the line itself cannot be opened: nothing can be said of the device."""
        return self._all(None, q.unknown("line"), q.unknown("line"), now_ms)

    def _all(self, online: Value, online_quality: str, quality: str, now_ms: int) -> Reports:
        readings = Reports([], [])
        self._judge(Observation(len(self._rules), online, online_quality), now_ms, readings)
        for index in range(len(self._rules)):
            self._judge(Observation(index, None, quality), now_ms, readings)
        return readings

    def _rule(self, index: int) -> ReportRule:
        return self._rules[index] if index < len(self._rules) else ONLINE_RULE

    def _judge(self, seen: Observation, now_ms: int, out: Reports) -> None:
        last, rule = self._last[seen.at], self._rule(seen.at)
        if (
            last is not None
            and last.quality == seen.quality
            and is_near(seen.value, last.value, rule.deadband)
            and not self._is_silent(last, now_ms)
        ):
            return
        observed_ms = next_observed_ms(last, now_ms)
        self._last[seen.at] = Reported(seen.value, seen.quality, observed_ms)
        lane = out.alarm if rule.is_alarm else out.telemetry
        lane.append(Reading(f"{self._device}/{rule.name}", observed_ms, seen.value, seen.quality))

    def _is_silent(self, last: Reported, now_ms: int) -> bool:
        # A clock that stepped back must not stop the reports.
        return not 0 <= now_ms - last.observed_ms + 5000 < self._silence_ms + 5000


def next_observed_ms(last: Reported | None, now_ms: int) -> int:
    """The time of a new reading: now, to 4 ms, unique for the point.

    A clock that stepped back really (by 5 s or more) runs through times that were used already. So the remainder by 4
    tells the eras between such steps apart: it moves on by one with each, and readings of four eras never meet.
    """
    if last is None:
        return now_ms - now_ms % ERAS
    ahead_ms, era = last.observed_ms - now_ms, last.observed_ms % ERAS
    if ahead_ms >= STEP_MS:
        era = (era + 1) % ERAS
    elif ahead_ms > -ERAS:
        return last.observed_ms + ERAS
    return now_ms - now_ms % ERAS + era


def is_near(value: Value, last: Value, deadband: float) -> bool:
    """Whether a value is too close to the last one reported to be worth a reading."""
    if isinstance(value, float) and isinstance(last, float):
        return value == last or abs(value - last) < deadband
    return value == last
