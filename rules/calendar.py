"""Hours of the day in a time zone, as moments: where a daily span begins and ends, summer time included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AHEAD = 8
"""Days looked ahead: a span on one weekday comes again after seven."""


class Span(NamedTuple):
    """Hours of the day, on the days on which it begins (0 Monday). Ends on the next day when `until` is not later
    than `begin`; the same hour twice is the whole day."""

    begin: time
    until: time
    days: frozenset[int]

    def at(self, local: datetime) -> tuple[bool, int | None]:
        """Whether that moment lies in the span, and the next moment (ms UTC) at which that changes."""
        now_ms = to_ms(local)
        assert local.tzinfo is not None, "want a time that knows its zone"
        inside, change_ms = False, None
        for begin_ms, until_ms in self._moments(local.date() - timedelta(days=1), local.tzinfo):
            if begin_ms <= now_ms < until_ms:
                inside, change_ms = True, until_ms
            elif begin_ms > now_ms and not inside:
                return False, begin_ms
            elif inside and change_ms is not None and begin_ms > change_ms:
                break
            elif inside and change_ms is not None:
                change_ms = max(change_ms, until_ms)  # one span runs into the next
        return inside, change_ms

    def _moments(self, first: date, zone: tzinfo) -> Iterator[tuple[int, int]]:
        for ahead in range(_AHEAD + 1):
            day = first + timedelta(days=ahead)
            if day.weekday() in self.days:
                last = day if self.until > self.begin else day + timedelta(days=1)
                yield moment_ms(day, self.begin, zone), moment_ms(last, self.until, zone)


def moment_ms(day: date, hour: time, zone: tzinfo) -> int:
    """When the clocks of that zone first show that time or, where they skip it, first show a later one; ms UTC."""
    local = datetime.combine(day, hour, zone)
    at_ms = to_ms(local)
    if datetime.fromtimestamp(at_ms / 1000, zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return at_ms
    # Skipped: the clocks go forward somewhere between the two readings of that time.
    before_ms, after_ms = sorted((at_ms, to_ms(local.replace(fold=1))))
    new_offset = datetime.fromtimestamp(after_ms / 1000, zone).utcoffset()
    while after_ms - before_ms > 1:
        middle_ms = (before_ms + after_ms) // 2
        if datetime.fromtimestamp(middle_ms / 1000, zone).utcoffset() == new_offset:
            after_ms = middle_ms
        else:
            before_ms = middle_ms
    return after_ms


def to_ms(moment: datetime) -> int:
    """A moment that knows its zone, as ms UTC."""
    return (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
