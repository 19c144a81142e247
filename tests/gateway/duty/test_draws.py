"""When random duty checks come: uniform over the shift, never close together, the same after every restart."""

from __future__ import annotations

import math
from datetime import time
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.station import Station
from gateway.duty.draws import GAP_MS, MARGIN_MS, Span, draw_checks, most_checks
from gateway.duty.roster_check import shifts_between
from gateway.ledger.secret import derive

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_759_939_200_000
SEEDS = 40
DAYS = 30


def secret(seed: int) -> bytes:
    """The secret of one of many ledgers."""
    return derive(b"a fixed seed", str(seed))


def month(seed: int, count: int, hours: int = 8) -> list[tuple[Span, list[int]]]:
    """The shifts of 30 days with their checks."""
    spans = [
        Span(START_MS + at * hours * HOUR_MS, START_MS + (at + 1) * hours * HOUR_MS) for at in range(DAYS * 24 // hours)
    ]
    return [(span, draw_checks(secret(seed), "shuiye", span, count)) for span in spans]


def places(count: int, hours: int) -> list[float]:
    """Where in its shift each check lies, 0..1, of all ledgers and shifts."""
    found = []
    for seed in range(SEEDS):
        for span, times in month(seed, count, hours):
            length = span.until_ms - span.from_ms - 2 * MARGIN_MS
            found += [(at_ms - span.from_ms - MARGIN_MS) / length for at_ms in times]
    return found


@pytest.mark.parametrize(("count", "hours"), [(1, 8), (2, 8), (3, 6)])
def test_checks_are_uniform_over_the_shift_when_many_ledgers_are_looked_at(count: int, hours: int) -> None:
    """By Kolmogorov and Smirnov (1 %), and by chi-square in as many parts as there are ten minutes; seeds are fixed."""
    found = sorted(places(count, hours))
    n = len(found)
    assert n == SEEDS * DAYS * 24 // hours * count
    distance = max(max((at + 1) / n - x, x - at / n) for at, x in enumerate(found))
    assert distance < 1.63 / math.sqrt(n)
    parts = hours * 6
    counts = [0] * parts
    for x in found:
        counts[int(x * parts)] += 1
    chi = sum((c - n / parts) ** 2 / (n / parts) for c in counts)
    # Mean parts - 1, deviation sqrt(2 (parts - 1)): three of them.
    assert chi < parts - 1 + 3 * math.sqrt(2 * (parts - 1))


def test_one_check_tells_nothing_of_those_of_the_next_shift_when_it_is_known() -> None:
    """The correlation of the first checks of neighbouring shifts is that of chance."""
    pairs = []
    for seed in range(SEEDS):
        firsts = [times[0] - span.from_ms for span, times in month(seed, 1)]
        pairs += list(pairwise(firsts))
    mean = sum(a for a, _ in pairs) / len(pairs)
    spread = sum((a - mean) ** 2 for a, _ in pairs)
    correlation = sum((a - mean) * (b - mean) for a, b in pairs) / spread
    assert abs(correlation) < 3 / math.sqrt(len(pairs))


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(min_value=1, max_value=8),
    st.lists(st.sampled_from([4, 6, 7, 8, 9, 12]), min_size=2, max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_no_two_checks_are_near_each_other_when_shifts_are_of_any_length(
    key: bytes, count: int, lengths: list[int]
) -> None:
    """Within a shift and over its change; none in the first and in the last minute."""
    at_ms, times = START_MS, []
    for hours in lengths:
        span = Span(at_ms, at_ms + hours * HOUR_MS)
        drawn = draw_checks(key, "shuiye", span, count)
        assert len(drawn) == min(count, most_checks(hours * HOUR_MS))
        assert all(span.from_ms + MARGIN_MS <= each < span.until_ms - MARGIN_MS for each in drawn)
        times += drawn
        at_ms = span.until_ms
    assert all(after - before >= GAP_MS for before, after in pairwise(times))


def test_the_same_times_come_again_and_are_others_for_another_site_or_ledger() -> None:
    """A function of secret, site and shift, and of nothing else."""
    span = Span(START_MS, START_MS + 8 * HOUR_MS)
    drawn = draw_checks(secret(1), "shuiye", span, 2)
    assert draw_checks(secret(1), "shuiye", span, 2) == drawn
    assert draw_checks(secret(1), "anyang", span, 2) != drawn
    assert draw_checks(secret(2), "shuiye", span, 2) != drawn


def test_a_shift_too_short_for_chance_is_not_checked() -> None:
    """What would be predictable is not called random."""
    assert most_checks(2 * HOUR_MS - 8 * 60_000) == 0
    assert draw_checks(secret(1), "shuiye", Span(START_MS, START_MS + HOUR_MS), 2) == []
    assert most_checks(8 * HOUR_MS) == 5


def test_shifts_follow_the_clock_on_the_wall_when_summer_time_begins_and_ends() -> None:
    """In Berlin the night shift of 30 March 2025 has seven hours, that of 26 October nine; checks lie within them."""
    post = {"id": "a", "title": {"zh": "一", "en": "A"}}
    station = Station.model_validate({"grade": 3, "posts": [post], "shifts": [time(6), time(14), time(22)]})
    zone = ZoneInfo("Europe/Berlin")
    spans = list(shifts_between(station, zone, 1_735_700_000_000, 1_735_700_000_000 + 364 * DAY_MS))
    lengths = [(shift.until_ms - shift.from_ms) / HOUR_MS for shift in spans]
    assert sorted(set(lengths)) == [7, 8, 9]
    assert (lengths.count(7), lengths.count(9)) == (1, 1)
    times = [at for s in spans for at in draw_checks(secret(1), "shuiye", Span(s.from_ms, s.until_ms), 2)]
    assert len(times) == 2 * len(spans)
    assert all(after - before >= GAP_MS for before, after in pairwise(times))
