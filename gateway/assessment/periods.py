"""Weeks and months of a time zone, one after the other. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

Length = Literal["week", "month"]


class Period(NamedTuple):
    """A week (from Monday) or a month. from_ms, until_ms: ms UTC, end not included."""

    length: Length
    day: date
    """Its first."""
    from_ms: int
    until_ms: int

    @property
    def end(self) -> date:
        """The first day after it."""
        return _next(self.length, self.day)

    @property
    def name(self) -> str:
        """2026-11, or the week as ISO 8601 names it: 2026-W47."""
        if self.length == "month":
            return f"{self.day:%Y-%m}"
        year, week, _ = self.day.isocalendar()
        return f"{year}-W{week:02d}"


def period_of(length: Length, day: date, zone: ZoneInfo) -> Period:
    """The week or month a day lies in."""
    first = day.replace(day=1) if length == "month" else day - timedelta(days=day.weekday())
    return Period(length, first, _midnight(first, zone), _midnight(_next(length, first), zone))


def named(name: str, zone: ZoneInfo) -> Period:
    """The period of a name. Raises ValueError for what is no name of one."""
    if "W" in name:
        year, _, week = name.partition("-W")
        return period_of("week", date.fromisocalendar(int(year), int(week), 1), zone)
    return period_of("month", datetime.strptime(name, "%Y-%m").date(), zone)  # noqa: DTZ007 # a month has no zone


def before(period: Period, zone: ZoneInfo) -> Period:
    """The one before."""
    return period_of(period.length, period.day - timedelta(days=1), zone)


def after(period: Period, zone: ZoneInfo) -> Period:
    """The next one."""
    return period_of(period.length, _next(period.length, period.day), zone)


def _next(length: Length, first: date) -> date:
    if length == "week":
        return first + timedelta(days=7)
    return (first + timedelta(days=32)).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
