"""Deadlines in days: calendar or working days, holidays and days worked in their place, nights without an hour."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.hazard import HazardHandling
from gateway.work.deadlines import MOST_DAYS, deadline_ms, is_working_day

SHANGHAI = ZoneInfo("Asia/Shanghai")
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC")
GOLDEN_WEEK = HazardHandling(
    holidays=[date(2026, 10, day) for day in range(1, 8)], workdays=[date(2026, 9, 20), date(2026, 10, 10)]
)


def ms(text: str, zone: str = "Asia/Shanghai") -> int:
    """ms UTC of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("found", "days", "working", "until"),
    [
        ("2026-09-29T10:00", 0, False, "2026-09-30T00:00"),
        ("2026-09-29T23:59", 3, False, "2026-10-03T00:00"),
        ("2026-09-29T10:00", 1, True, "2026-10-01T00:00"),
        # Thursday to Wednesday off, Saturday 10 October worked.
        ("2026-09-29T10:00", 2, True, "2026-10-09T00:00"),
        ("2026-09-29T10:00", 4, True, "2026-10-11T00:00"),
        ("2026-09-29T10:00", 5, True, "2026-10-13T00:00"),
        # On a day off, today is not the last day: the next one worked is.
        ("2026-10-03T10:00", 0, True, "2026-10-09T00:00"),
        ("2026-09-18T10:00", 1, True, "2026-09-21T00:00"),
    ],
)
def test_a_deadline_ends_with_its_day_across_a_holiday(found: str, days: int, working: bool, until: str) -> None:
    """The national holiday of 2026, with its Saturday and Sunday that are worked."""
    assert deadline_ms(ms(found), days, SHANGHAI, GOLDEN_WEEK, working=working) == ms(until)


@pytest.mark.parametrize(
    ("zone", "found", "until_utc"),
    [
        # The clocks go forward on the last day: it has 23 hours.
        ("Europe/Berlin", "2026-03-28T12:00", "2026-03-29T22:00"),
        # They go back: 25 hours.
        ("Europe/Berlin", "2026-10-24T12:00", "2026-10-25T23:00"),
        # The midnight that ends the day does not exist: it ends where the clocks jump to one o'clock.
        ("America/Sao_Paulo", "2018-11-02T12:00", "2018-11-04T03:00"),
    ],
)
def test_a_deadline_ends_with_the_local_day_when_the_clocks_change(zone: str, found: str, until_utc: str) -> None:
    """Not some multiple of 24 hours later."""
    got = deadline_ms(ms(found, zone), 1, ZoneInfo(zone), HazardHandling(), working=False)
    assert datetime.fromtimestamp(got / 1000, UTC).replace(tzinfo=None) == datetime.fromisoformat(until_utc)


def naive(from_ms: int, days: int, zone: ZoneInfo, handling: HazardHandling, working: bool) -> int:
    """The same, hour by hour: the first hour of a day that comes after the last day."""
    at = datetime.fromtimestamp(from_ms / 1000, UTC)
    local = at.astimezone(zone).date()
    left = days
    while left or (working and not is_working_day(local, handling)):
        at += timedelta(minutes=15)
        if at.astimezone(zone).date() != local:
            local = at.astimezone(zone).date()
            left -= 1 if left and (not working or is_working_day(local, handling)) else 0
    at = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
    while at.astimezone(zone).date() == local:
        at += timedelta(minutes=15)
    return int(at.timestamp() * 1000)


@given(
    st.integers(1_420_000_000_000, 2_050_000_000_000),
    st.integers(0, 12),
    st.sampled_from(ZONES),
    st.lists(st.integers(0, 20), max_size=8),
    st.lists(st.integers(0, 20), max_size=4),
    st.booleans(),
)
def test_a_deadline_is_where_a_calendar_on_the_wall_has_it(
    from_ms: int, days: int, zone: str, off: list[int], worked: list[int], working: bool
) -> None:
    """Against walking through the days a quarter of an hour at a time."""
    here = ZoneInfo(zone)
    first = datetime.fromtimestamp(from_ms / 1000, here).date()
    handling = HazardHandling(
        holidays=[first + timedelta(days=n) for n in off], workdays=[first + timedelta(days=n) for n in worked]
    )
    got = deadline_ms(from_ms, days, here, handling, working=working)
    assert got == naive(from_ms, days, here, handling, working)
    assert got > from_ms


@pytest.mark.parametrize("days", [-1, MOST_DAYS + 1])
def test_days_out_of_reach_are_refused(days: int) -> None:
    """Said, not clamped."""
    with pytest.raises(ValueError, match="want 0"):
        deadline_ms(0, days, SHANGHAI, HazardHandling(), working=False)


def test_a_day_worked_in_place_of_a_holiday_counts_although_it_is_listed_as_both() -> None:
    """The list of days worked is the later word."""
    both = HazardHandling(holidays=[date(2026, 10, 10)], workdays=[date(2026, 10, 10)])
    assert is_working_day(date(2026, 10, 10), both)
