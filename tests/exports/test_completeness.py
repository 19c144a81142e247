"""The account of a device's data: every report that was due is counted once, whatever came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.assessment.completeness import Evidence, Outage, account, added, stretches

MIN = 60_000
numbers = st.integers(0, 40)
outage = st.builds(
    lambda reason, begin, length: Outage(reason, begin * MIN, (begin + length) * MIN),
    st.sampled_from(["gap", "gateway", "agent", "line", "device"]), numbers, numbers,
)  # fmt: skip


@given(
    st.sets(numbers),
    st.dictionaries(numbers, st.sampled_from(["no_answer", "line"])),
    st.dictionaries(numbers, st.booleans()),
    st.lists(outage, max_size=6), st.one_of(st.none(), st.integers(0, 40 * MIN)), st.integers(0, 20 * MIN),
    st.integers(0, 40 * MIN), st.floats(1, 400),
)  # fmt: skip
def test_an_account_adds_up_when_anything_came_in_any_way(
    values: set[int], said: dict[int, str], arrived: dict[int, bool], outages: list[Outage], first_ms: int | None,
    from_ms: int, length_ms: int, silence_s: float,
) -> None:  # fmt: skip
    """due = received + arrival no longer kept + late + lost, for each point and for all together."""
    over = stretches(silence_s, from_ms, from_ms + length_ms)
    one = account(over, Evidence(frozenset(values), said, arrived), outages, first_ms)
    two = account(over, Evidence(frozenset(), {}, {}), outages, first_ms)
    both = added([one, two])
    assert [one.adds_up, two.adds_up, both.adds_up] == [True, True, True]
    assert both.due == 2 * over.count
    assert from_ms <= over.from_ms or not over.count
    assert over.until_ms <= from_ms + length_ms or not over.count


def test_each_report_has_its_heading_when_one_of_every_sort_came() -> None:
    """In time, late, arrival no longer kept, told as no answer, lost below a gap, before the first, unexplained."""
    over = stretches(30, 0, 8 * MIN)
    found = Evidence(frozenset({1, 2, 3}), {4: "no_answer"}, {1: True, 2: False})
    outages = [Outage("line", 5 * MIN, 6 * MIN), Outage("gap", 5 * MIN + 1, 5 * MIN + 2)]
    counted = account(over, found, outages, MIN)
    assert counted[:4] == (8, 1, 1, 1)
    assert counted.lost == {"never": 1, "no_answer": 1, "gap": 1, "unexplained": 2}
    assert counted.percent == 37.5
