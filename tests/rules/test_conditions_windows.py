"""Windows, counts, "when last" and tallies, against plain definitions of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import Reading, Value
from rules.conditions import Node, compile_condition
from rules.model import Count, Since, Tally, Window
from rules.series import PLACED, Series, WindowKeep
from rules.series_window import GRAINS, MOST, WindowTrack

Sample = tuple[int, Value]
"""(ms, value); None is a reading of unknown quality."""
LIMITS = st.sampled_from([0.0, 1.0, 2.5, 5.0, 7.0])
VALUES = st.one_of(st.none(), st.integers(0, 8).map(float))
SAMPLES = st.lists(st.tuples(st.integers(1, 120), VALUES), min_size=1, max_size=25)
WORDS = st.sampled_from(["on", "off", None])


class Subject:
    """What a condition sees, with nothing behind it but what the test says."""

    def __init__(self, node: Node, points: Sequence[str] = (), manual: Iterable[str] = ()) -> None:
        self.known_ms = 0
        self._points = points
        self._manual = set(manual)
        self._last: dict[str | None, Reading] = {}
        keeps = {None: node.needs.keeps.get(None, frozenset())} | dict.fromkeys(points, node.needs.tally_keeps)
        self._series = {point: Series(keep) for point, keep in keeps.items()}

    def observe(self, at_ms: int, value: Value, point: str | None = None) -> None:
        quality = "unknown:no_answer" if value is None else "good"
        last = self._last.get(point)
        if last is None or last.observed_ms <= at_ms:
            self._last[point] = Reading(point or "d/p", at_ms, value, quality)
        self._series[point].append(at_ms, value, quality)

    def restart(self) -> None:
        """Everything remembered goes through JSON and back."""
        for series in self._series.values():
            series.load(json.loads(json.dumps(series.dump())))

    def last(self, point: str | None) -> Reading | None:
        return self._last.get(point)

    def series(self, point: str | None) -> Series | None:
        return self._series.get(point)

    def points(self) -> Sequence[str]:
        return self._points

    def is_manual(self, point: str) -> bool:
        return point in self._manual

    def alarms(self, rules: Sequence[str], scope: str) -> list[frozenset[str]]:
        return []

    def finding_times(self, rules: Sequence[str], finding: str, since_ms: int) -> list[int]:
        return []

    def due_ms(self, what: str) -> int | None:
        return None

    def local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, UTC)


def in_order(samples: list[Sample]) -> list[Sample]:
    """By time; of one time as they came."""
    return sorted(samples, key=lambda sample: sample[0])


def held_by(samples: list[Sample], at_ms: int, window_ms: int) -> list[tuple[int, int, Value]]:
    """(from, until, value) of everything that held within (at - window, at]."""
    rows = in_order(samples)
    ends = [row[0] for row in rows[1:]] + [at_ms + 1]
    begin = at_ms - window_ms
    return [(max(t, begin), end, v) for (t, v), end in zip(rows, ends, strict=True) if end > begin]


def window_truth(leaf: Window, samples: list[Sample], at_ms: int) -> tuple[bool, bool]:
    """(violated, over) by definition."""
    window_ms = round(leaf.window_s * 1000)
    held = held_by(samples, at_ms, window_ms)
    known = [(t, end, v) for t, end, v in held if isinstance(v, float)]
    if held[-1][2] is None:
        return False, False
    covered = len(known) == len(held) >= leaf.samples and held[0][0] <= at_ms - window_ms
    numbers = [v for _, _, v in known]
    latest = numbers[-1]
    if leaf.of == "mean":
        figure = sum(v * (min(end, at_ms) - t) for t, end, v in known) / window_ms
    else:
        figure = {
            "min": min(numbers),
            "max": max(numbers),
            "range": max(numbers) - min(numbers),
            "rise": latest - min(numbers),
            "fall": max(numbers) - latest,
        }[leaf.of]
    if leaf.below is not None:
        violated, over = figure < leaf.below, figure >= leaf.clear
    else:
        assert leaf.above is not None
        violated, over = figure > leaf.above, figure <= leaf.clear
    if covered:
        return violated, over
    return violated and leaf.of in ("rise", "fall"), False


def assert_truth_lasts(node: Node, subject: Subject, at_ms: int, expected: list[tuple[bool, bool]]) -> None:
    """Judged at each of the next ms it says what is expected, and it changes nowhere before `again_ms`."""
    again_ms: int | None = at_ms
    truth = (False, False)
    for ms, wanted in enumerate(expected, at_ms):
        judged = node.judge(subject, ms)
        assert (judged.violated, judged.over) == wanted, f"at {ms}: {judged}"
        if again_ms is not None and ms >= again_ms:
            truth, again_ms = (judged.violated, judged.over), judged.again_ms
            assert again_ms is None or again_ms > ms
        assert truth == wanted, f"at {ms} it changed, and said again at {again_ms}"


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """A condition over a window of some ms."""
    limit, gap = draw(LIMITS), draw(st.sampled_from([0.0, 1.0]))
    side: dict[str, Any] = draw(
        st.sampled_from([{"below": limit, "clear": limit + gap}, {"above": limit, "clear": limit - gap}])
    )
    of = draw(st.sampled_from(["mean", "min", "max", "range", "rise", "fall"]))
    window_s, samples = draw(st.integers(1, 60)) / 1000, draw(st.integers(1, 4))
    return Window.model_validate({"kind": "window", "of": of, "window_s": window_s, "samples": samples, **side})


@settings(max_examples=200, deadline=None)
@given(windows(), SAMPLES, st.integers(0, 25), st.booleans())
def test_window_is_judged_as_defined_when_values_come_in_any_order(
    leaf: Window, samples: list[Sample], restart_after: int, sort: bool
) -> None:
    """Every figure, at every moment, as its definition gives it; and `again_ms` misses no change."""
    node = compile_condition(leaf)
    subject = Subject(node)
    come = in_order(samples) if sort else samples
    for n, (at_ms, value) in enumerate(come, 1):
        subject.observe(at_ms, value)
        if n == restart_after:
            subject.restart()
        newest_ms = max(t for t, _ in come[:n])
        judged = node.judge(subject, newest_ms)
        assert (judged.violated, judged.over) == window_truth(leaf, come[:n], newest_ms)
    newest_ms = max(t for t, _ in come)
    expected = [window_truth(leaf, come, ms) for ms in range(newest_ms, newest_ms + 130)]
    assert_truth_lasts(node, subject, newest_ms, expected)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 8).map(float)), min_size=4, max_size=12),
    st.sampled_from([1.0, 2.5, 4.0, 5.5]),
    st.integers(15, 45),
    st.booleans(),
)
def test_mean_says_when_it_will_cross_its_limit_with_nothing_new(
    steps: list[tuple[int, float]], limit: float, window_ms: int, is_below: bool
) -> None:
    """While old values leave the window one after the other the mean moves: each crossing is announced in time."""
    side = {"below": limit, "clear": limit + 0.5} if is_below else {"above": limit, "clear": limit - 0.5}
    leaf = Window.model_validate({"kind": "window", "of": "mean", "window_s": window_ms / 1000, "samples": 1, **side})
    node = compile_condition(leaf)
    subject = Subject(node)
    samples: list[Sample] = []
    at_ms = 0
    for step_ms, value in [(0, 4.0), (window_ms, 4.0), *steps]:
        at_ms += step_ms
        samples.append((at_ms, value))
        subject.observe(at_ms, value)

    expected = [window_truth(leaf, samples, ms) for ms in range(at_ms, at_ms + 60)]

    assert_truth_lasts(node, subject, at_ms, expected)


def test_mean_is_not_asked_at_every_value_that_leaves_when_the_limit_is_far() -> None:
    """A mean of 300 that moves by a few kPa cannot fall below 140 before one value is left: nobody need ask."""
    node = compile_condition(
        Window.model_validate(
            {"kind": "window", "of": "mean", "window_s": 60, "samples": 1, "below": 140, "clear": 150}
        )
    )
    subject = Subject(node)
    for second in range(100):
        subject.observe(second * 1000, 300.0 + second % 4)

    assert node.judge(subject, 99_000).again_ms is None


def test_window_keeps_extremes_and_sum_when_more_values_come_than_it_holds() -> None:
    """Memory stays bounded; a mean and the extremes are off by no more than the grain at the window's beginning."""
    window_ms = 1_000_000
    track = WindowTrack(window_ms, mean=True)
    samples: list[Sample] = [(ms, float((ms * 7919) % 1000)) for ms in range(0, 3 * window_ms, 97)]
    for n, (ms, value) in enumerate(samples):
        assert isinstance(value, float)
        track.append(ms, value)
        if n % 1000 == 0:
            assert len(track.dump()) <= MOST
    look = track.look(samples[-1][0], 1)
    assert look is not None
    low, high = track.lowest(look), track.highest(look)
    assert low is not None
    assert high is not None
    for grain_ms, inside in ((0, True), (window_ms // GRAINS, False)):
        numbers = [v for _, _, v in held_by(samples, look.at_ms, window_ms + grain_ms) if isinstance(v, float)]
        assert (low[0] <= min(numbers)) if inside else (low[0] >= min(numbers))
        assert (high[0] >= max(numbers)) if inside else (high[0] <= max(numbers))
    held = held_by(samples, look.at_ms, window_ms)
    mean = sum(float(v) * (min(end, look.at_ms) - t) for t, end, v in held if isinstance(v, float)) / window_ms
    assert track.area(look) / window_ms / 1e6 == pytest.approx(mean, abs=1000 / GRAINS)
    assert look.seen == pytest.approx(len(held), abs=window_ms / GRAINS / 97 + 1)
    again = WindowTrack(window_ms, mean=True)
    again.load(json.loads(json.dumps(track.dump())))
    same = again.look(look.at_ms, 1)
    assert same is not None
    assert (again.area(same), again.lowest(same), same.seen) == (track.area(look), low, look.seen)


def test_window_is_unknown_when_the_number_is_not_finite() -> None:
    """A number that is none begins a hole, as unknown quality does."""
    track = WindowTrack(10, mean=False)
    for ms, value in ((0, 1.0), (5, float("inf")), (20, 2.0)):
        track.append(ms, value)

    look = track.look(25, 1)

    assert look is not None
    assert (look.latest, look.covered, look.covered_ms) == (2.0, False, 30)


# --- entries ---------------------------------------------------------------------------------------------------------


def entries_of(samples: list[Sample]) -> tuple[list[int], int | None, int | None, bool | None, int | None]:
    """(entries into "on", first known, when last known to be on, whether it is on now, found on at first)."""
    entries: list[int] = []
    watched = left = found = None
    inside: bool | None = None
    now: bool | None = None
    for at_ms, value in in_order(samples):
        if now and value != "on":
            left = at_ms
        now = None if value is None else value == "on"
        if now is None:
            continue
        if watched is None:
            watched = at_ms
            found = at_ms if now else None
        if now and inside is False:
            entries.append(at_ms)
        inside = now
    return entries, watched, left, now, found


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 120), WORDS), min_size=1, max_size=PLACED),
    st.integers(1, 4),
    st.integers(1, 60),
    st.integers(0, PLACED),
)
def test_count_is_judged_as_defined_when_readings_come_in_any_order(
    samples: list[Sample], at_least: int, within_ms: int, restart_after: int
) -> None:
    """Entries within the while, known only with the point; and `again_ms` misses no change."""
    leaf = Count(kind="count", equals=["on"], at_least=at_least, within_s=within_ms / 1000)
    node = compile_condition(leaf)
    subject = Subject(node)
    for n, (at_ms, value) in enumerate(samples, 1):
        subject.observe(at_ms, value)
        if n == restart_after:
            subject.restart()
    newest_ms = max(t for t, _ in samples)
    entries, watched, _, now, _ = entries_of(samples)

    def truth(ms: int) -> tuple[bool, bool]:
        count = sum(ms - within_ms < entry <= ms for entry in entries)
        over = count < at_least and now is not None and watched is not None and watched + within_ms <= ms
        return count >= at_least, over

    assert_truth_lasts(node, subject, newest_ms, [truth(ms) for ms in range(newest_ms, newest_ms + 130)])


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 120), WORDS), min_size=1, max_size=PLACED),
    st.integers(1, 60),
    st.integers(0, 100),
)
def test_since_is_judged_as_defined_when_readings_come_in_any_order(
    samples: list[Sample], longer_ms: int, known_ms: int
) -> None:
    """Due when the point was last known to be in the state that long ago; and `again_ms` misses no change."""
    node = compile_condition(Since(kind="since", equals=["on"], longer_than_s=longer_ms / 1000))
    subject = Subject(node)
    subject.known_ms = known_ms
    for at_ms, value in samples:
        subject.observe(at_ms, value)
    newest_ms = max(t for t, _ in samples)
    _, _, left, now, _ = entries_of(samples)

    def truth(ms: int) -> tuple[bool, bool]:
        if now:
            return False, True
        if ms < max(known_ms, left or 0) + longer_ms:
            return False, True
        return now is False, False

    assert_truth_lasts(node, subject, newest_ms, [truth(ms) for ms in range(newest_ms, newest_ms + 130)])


def test_entries_stay_in_order_when_one_of_many_readings_is_late() -> None:
    """A late reading finds its place among the last ones, however many there were; an older one changes nothing."""
    leaf = Count(kind="count", equals=["on"], at_least=3, within_s=0.1)
    node = compile_condition(leaf)
    subject = Subject(node)
    for ms in range(0, 1000, 5):
        subject.observe(ms, "off")
    for late_ms, count in ((993, 1), (988, 2), (200, 2), (981, 3)):
        subject.observe(late_ms, "on")
        assert node.judge(subject, 1000).inputs["count"] == count
    subject.restart()
    assert node.judge(subject, 1000).violated


# --- tally -----------------------------------------------------------------------------------------------------------

POINTS = ["p/1", "p/2", "p/3"]


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 100), st.sampled_from(POINTS), WORDS), min_size=1, max_size=30),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 60)),
    st.booleans(),
)
def test_tally_is_judged_as_defined_when_points_speak_in_any_order(
    samples: list[tuple[int, str, Value]], at_least: int, within_ms: int | None, manual_counts: bool
) -> None:
    """Points that meet it now, or entered it within the while; a manual call point is enough where that is said."""
    within_s = None if within_ms is None else within_ms / 1000
    of = {"kind": "state", "equals": ["on"]}
    leaf = Tally.model_validate(
        {"kind": "tally", "of": of, "at_least": at_least, "within_s": within_s, "manual_counts": manual_counts}
    )
    node = compile_condition(leaf)
    subject = Subject(node, POINTS, manual=["p/3"])
    for at_ms, point, value in samples:
        subject.observe(at_ms, value, point)
    newest_ms = max(sample[0] for sample in samples)
    of_point = {
        p: entries_of([(t, v) for t, q, v in samples if q == p]) for p in POINTS if any(s[1] == p for s in samples)
    }
    meeting = {p for p, (_, _, _, now, _) in of_point.items() if now}
    unknown = {p for p, (_, _, _, now, _) in of_point.items() if now is None}

    def truth(ms: int) -> tuple[bool, bool]:
        counted = meeting
        if within_ms is not None:
            counted = {
                p
                for p, (entries, _, _, _, found) in of_point.items()
                if any(ms - within_ms < t <= ms for t in [*entries, *([] if found is None else [found])])
            }
        violated = len(counted) >= at_least or (manual_counts and "p/3" in counted)
        maybe = meeting | unknown
        over = len(maybe) < at_least and not (manual_counts and "p/3" in maybe) and len(unknown) < len(of_point)
        return violated, over and not violated

    assert_truth_lasts(node, subject, newest_ms, [truth(ms) for ms in range(newest_ms, newest_ms + 130)])


def test_tally_counts_a_limit_with_its_hysteresis_when_it_looks_back() -> None:
    """Beyond the limit, back, and beyond again before the clear level is one entry; after it there is a second."""
    of = {"kind": "threshold", "below": 100, "clear": 110}
    node = compile_condition(
        Tally.model_validate({"kind": "tally", "of": of, "at_least": 2, "within_s": 10, "manual_counts": False})
    )
    subject = Subject(node, ["a/p", "b/p"])
    for second, point, value in ((1, "a/p", 120.0), (2, "a/p", 90.0), (3, "b/p", 90.0), (4, "a/p", 105.0)):
        subject.observe(second * 1000, value, point)
    assert node.judge(subject, 4000)[:2] == (True, False)
    assert node.judge(subject, 4000).again_ms == 12_000

    subject.observe(13_000, 99.0, "a/p")  # never left

    assert node.judge(subject, 13_000)[:2] == (False, False)
    assert node.judge(subject, 13_000).inputs["points"] == []


def test_series_is_the_same_when_tracks_come_and_go() -> None:
    """A track that stays keeps what it knows when rules are changed around it."""
    kept, dropped = WindowKeep(1000), WindowKeep(2000)
    series = Series([kept, dropped])
    series.append(10, 1.0, "good")
    series.keep([kept, WindowKeep(3000)])
    series.append(20, 2.0, "good")

    assert series.dump() == [20, ["window:1000", [[10, 1.0], [20, 2.0]]], ["window:3000", [[20, 2.0]]]]
    assert series.window(dropped) is None
