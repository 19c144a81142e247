"""What a station is from what takes from it, and shares of time from spans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rules.readiness import LEVELS, Account, Take, Verdict, with_stale
from rules.readiness_spans import UNRECORDED, Span, cut, first_difference, joined, summed

READY = Verdict("ready", 100.0, 0)
DEGRADED = Verdict("degraded", 90.0, 0)
TAKES = st.lists(st.tuples(st.sampled_from(["degraded", "unknown", "not_ready"]), st.integers(0, 1000)), max_size=20)


@given(TAKES, st.booleans(), st.randoms(use_true_random=False))
def test_the_verdict_is_the_same_in_whatever_order_things_came_and_went(
    takes: list[tuple[str, int]], is_stale: bool, chance: object
) -> None:
    """Points are added up without rounding: what came and went leaves nothing behind."""
    account, again = Account(), Account()
    made = [Take.of(level, points / 10) for level, points in takes]
    for take in made:
        account.add(take)
    for take in [*made, *made]:
        again.add(take)
    shuffled = list(made)
    chance.shuffle(shuffled)  # type: ignore[attr-defined] # a Random
    for take in shuffled:
        again.remove(take)
    assert again.verdict(is_stale=is_stale) == account.verdict(is_stale=is_stale)


@given(TAKES, st.booleans())
def test_unknown_never_looks_better_than_it_is(takes: list[tuple[str, int]], is_stale: bool) -> None:
    """With anything unknown a station is neither ready nor degraded and has no score; what is certain wins."""
    account = Account()
    for level, points in takes:
        account.add(Take.of(level, points / 10))
    levels = {level for level, _ in takes}
    verdict = account.verdict(is_stale=is_stale)
    if "not_ready" in levels:
        assert verdict.level == "not_ready"
    elif "unknown" in levels or is_stale:
        assert verdict.level == "unknown"
    else:
        assert verdict.level == ("degraded" if levels else "ready")
    assert (verdict.score is None) == (verdict.unknown > 0)
    assert LEVELS.index(with_stale(verdict).level) >= LEVELS.index("unknown")


def test_time_without_a_row_is_never_ready() -> None:
    """Shares are of the whole span; what nobody recorded stands by itself."""
    spans = cut([Span(0, 60, READY), Span(60, 100, DEGRADED), Span(100, 100, READY)], 20, 220)
    summary = summed(spans, 20, 220)
    assert summary.ms == {"ready": 40, "degraded": 40, "unknown": 0, "not_ready": 0, UNRECORDED: 120}
    assert summary.percent("ready") == 20.0
    assert summary.score == 95.0
    assert summed([], 5, 5).percent("ready") is None


def test_neighbours_that_say_the_same_are_one_span() -> None:
    """However often a row was written anew."""
    assert joined([Span(0, 5, READY), Span(5, 5, DEGRADED), Span(5, 9, READY), Span(10, 12, READY)]) == [
        Span(0, 9, READY),
        Span(10, 12, READY),
    ]


def test_the_first_moment_at_which_two_accounts_differ_is_found() -> None:
    """Another verdict, another end, a span too many on either side."""
    one = [Span(0, 10, READY), Span(10, 20, DEGRADED)]
    assert first_difference(one, list(one)) is None
    assert first_difference(one, [Span(0, 12, READY), Span(12, 20, DEGRADED)]) == (10, one[0], Span(0, 12, READY))
    assert first_difference(one, [one[0], Span(10, 20, READY)]) == (10, one[1], Span(10, 20, READY))
    assert first_difference(one, one[:1]) == (10, one[1], None)
    assert first_difference(one[:1], one) == (10, None, one[1])
