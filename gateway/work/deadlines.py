"""Deadlines in days: calendar days, or working days by the holidays of a site. Pure."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contract.hazard import HazardHandling
from rules.calendar import moment_ms

SATURDAY = 5
MOST_DAYS = 3660
"""Longest deadline that may be given in days."""


def is_working_day(day: date, handling: HazardHandling) -> bool:
    """Whether that day is worked."""
    if day in handling.workdays:
        return True
    return day.weekday() < SATURDAY and day not in handling.holidays


def deadline_ms(from_ms: int, days: int, zone: ZoneInfo, handling: HazardHandling, *, working: bool) -> int:
    """The end of the local day that lies so many days after the day of `from_ms`; ms UTC.

    Args:
        days: 0 is today. working: count working days only; then a day off is never the last one.

    Raises:
        ValueError: days is not 0..MOST_DAYS, or no working day comes.
    """
    if not 0 <= days <= MOST_DAYS:
        raise ValueError(f"days: got {days}, want 0..{MOST_DAYS}.")
    day = datetime.fromtimestamp(from_ms / 1000, zone).date()
    if working:
        day = _nth_working_day(day, days, handling)
    else:
        day += timedelta(days=days)
    # The clocks of the zone say when a day ends: it may have 23 or 25 hours.
    return moment_ms(day + timedelta(days=1), time(), zone)


def _nth_working_day(day: date, days: int, handling: HazardHandling) -> date:
    left = days
    for _ in range(8 * MOST_DAYS):
        if left == 0 and is_working_day(day, handling):
            return day
        day += timedelta(days=1)
        if left and is_working_day(day, handling):
            left -= 1
    raise ValueError("holidays: got no working day in sight, want some.")
