"""Conditions that need no looking at for a while: what they promise holds, and no decision changes by it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import Reading, Value
from rules.conditions import compile_condition
from rules.engine import Engine
from rules.model import Rule, Window
from tests.rules.engine_run import LIBRARY, RULES, START, Run, rule
from tests.rules.test_conditions_windows import Subject

FIGURES = ["min", "max", "rise", "fall", "range", "mean"]
VALUES = st.one_of(st.integers(-2, 10).map(float), st.floats(-3, 11, width=32).map(float))
SAMPLES = st.lists(st.tuples(st.integers(1, 40), VALUES), min_size=1, max_size=20)


def window(of: str, limit: str, window_s: int, level: float, samples: int) -> dict[str, Any]:
    """A condition on a window."""
    raw = {"kind": "window", "of": of, "window_s": window_s, "samples": samples, "clear": level, limit: level}
    return Window.model_validate(raw).model_dump()


@pytest.mark.parametrize("limit", ["below", "above"])
@pytest.mark.parametrize("of", FIGURES)
@given(st.sampled_from([5, 30, 100]), st.sampled_from([1.0, 2.5, 5.0]), st.integers(1, 3), SAMPLES, st.data())
@settings(max_examples=40, deadline=None)
def test_window_does_not_come_to_hold_while_it_promised_calm(
    of: str, limit: str, window_s: int, level: float, samples: int, came: list[tuple[int, float]], data: st.DataObject
) -> None:
    """Whatever good values within the limits come, in order or late, and at whatever moment before the end of the
    promise the condition is asked: it does not hold."""
    node = compile_condition(Window.model_validate(window(of, limit, window_s, level, samples)))
    subject = Subject(node)
    at_ms = 0
    for apart_s, value in came:
        at_ms += apart_s * 1000
        subject.observe(at_ms, value)
    calm = node.calm(subject, at_ms)
    if calm is None:
        return
    assert not node.judge(subject, at_ms).violated
    end_ms = at_ms + 200_000 if calm.until_ms is None else calm.until_ms
    assert end_ms > at_ms
    for moment_ms in range(at_ms, end_ms, max((end_ms - at_ms) // 20, 1)):
        assert not node.judge(subject, moment_ms).violated
    assert not node.judge(subject, end_ms - 1).violated
    lowest, highest = max(calm.limits[None][0], -20.0), min(calm.limits[None][1], 20.0)
    inside = st.one_of(st.sampled_from([lowest, highest]), st.floats(lowest, highest))
    for read_ms in sorted(data.draw(st.lists(st.integers(at_ms, end_ms - 1), max_size=6))):
        late_ms = data.draw(st.sampled_from([0, 0, 3_000]))
        value = data.draw(inside)
        if calm.covers(None, value, read_ms - late_ms):
            subject.observe(read_ms - late_ms, value)
        assert not node.judge(subject, read_ms).violated
    assert not node.judge(subject, end_ms - 1).violated


def hydrant(rules: dict[str, Rule]) -> Callable[[], Engine]:
    """Makes engines that know one hydrant."""

    def make() -> Engine:
        engine = Engine(rules)
        engine.add_device("s", "edge", "h", LIBRARY["hydrant-municipal"])
        return engine

    return make


def deep(name: str, when: dict[str, Any], for_s: int = 0) -> Rule:
    """A rule of that condition on the whole device."""
    return rule({"id": name, "per": "device", "applies_to": ["hydrant-municipal/*"], "when": when, "for_s": for_s})


def named_calls(work: Callable[[], object], *names: str) -> int:
    """How often functions of these names are called."""
    count = 0

    def on(frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_name in names

    sys.setprofile(on)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_nothing_is_judged_when_ordinary_values_come() -> None:
    """An ordinary day costs no judging: of the shipped rules none looks at a value that cannot make it speak. A fall
    is looked at."""
    run = Run(hydrant(RULES), checkpoint_every=10**9)

    def minute(pressure: float) -> None:
        run.say("h/pressure_kpa", pressure)
        run.say("h/flow_lps", 0.0)
        run.say("h/water_temperature_c", 12.0)

    for second in range(0, 600, 10):
        run.advance(START + second * 1000)
        minute(280.0 + second % 7)
    assert named_calls(lambda: minute(283.0), "judge", "look") == 0
    assert named_calls(lambda: minute(150.0), "judge", "look") > 0


def test_alarm_comes_at_its_time_when_nothing_came_since_the_promise() -> None:
    """A value that keeps the least value of a window low leaves it, with nothing but time passing: the alarm comes at
    that moment, though the reading in between needed no looking at."""
    leak = {"kind": "window", "point": "flow_lps", "of": "min", "window_s": 40, "above": 1, "clear": 0.5, "samples": 1}
    run = Run(hydrant({"leak": deep("leak", leak)}), checkpoint_every=1)
    run.say("h/flow_lps", 0.0)
    run.advance(START + 10_000)
    run.say("h/flow_lps", 5.0)
    run.advance(START + 300_000)
    assert run.of("leak") == [("s/h", "raise", 50)]


@pytest.mark.parametrize("value", [90.0, 900.0])
def test_alarm_comes_when_either_of_two_limits_on_a_point_is_passed(value: float) -> None:
    """What one limit of a pair allows the other may forbid: both are heeded."""
    limits = [
        {"kind": "threshold", "point": "pressure_kpa", "below": 100, "clear": 110},
        {"kind": "threshold", "point": "pressure_kpa", "above": 800, "clear": 750},
    ]
    run = Run(hydrant({"odd": deep("odd", {"kind": "any", "of": limits})}), checkpoint_every=1)
    run.say("h/pressure_kpa", 300.0)
    run.say("h/pressure_kpa", value)
    assert run.of("odd") == [("s/h", "raise", 0)]


def test_alarm_comes_when_the_hours_begin() -> None:
    """By day nothing is looked at; at the hour it is, and what was so before counts."""
    night = {"kind": "time", "from": "22:15", "to": "22:17"}
    flow = {"kind": "threshold", "point": "flow_lps", "above": 2, "clear": 1}
    run = Run(hydrant({"use": deep("use", {"kind": "all", "of": [night, flow]})}), checkpoint_every=1)
    run.say("h/flow_lps", 5.0)
    run.advance(START + 10_000)
    run.say("h/flow_lps", 6.0)
    run.advance(START + 300_000)
    assert run.of("use") == [("s/h", "raise", 100), ("s/h", "clear", 220)]


STUCK = {"kind": "window", "point": "pressure_kpa", "of": "range", "window_s": 60, "below": 30, "clear": 60}
LOW = {"kind": "window", "point": "pressure_kpa", "of": "max", "window_s": 60, "below": 100, "clear": 110}
LEAK = {"kind": "window", "point": "flow_lps", "of": "min", "window_s": 40, "above": 1, "clear": 0.5}


@pytest.mark.parametrize("when", [LEAK, LOW, STUCK], ids=["min", "max", "range"])
def test_nothing_is_looked_at_when_no_value_comes_for_ten_years(when: dict[str, Any]) -> None:
    """A value holds until another comes: no time that passes by itself, and no clock that is set, is gone through."""
    run = Run(hydrant({"odd": deep("odd", when)}), checkpoint_every=10**9)
    for second, pressure in ((0, 300.0), (10, 250.0), (20, 300.0)):
        run.advance(START + second * 1000)
        run.say("h/pressure_kpa", pressure)
        run.say("h/flow_lps", 0.0)
    assert named_calls(lambda: run.engine.advance(START + 10 * 365 * 86_400_000), "look") <= 10


LEAVES = [
    {"kind": "window", "point": "pressure_kpa", "of": "fall", "window_s": 60, "above": 100, "clear": 40},
    {"kind": "window", "point": "pressure_kpa", "of": "range", "window_s": 60, "below": 30, "clear": 60, "samples": 2},
    {"kind": "window", "point": "flow_lps", "of": "min", "window_s": 40, "above": 1, "clear": 0.5},
    {"kind": "threshold", "point": "flow_lps", "above": 2, "clear": 1},
    {"kind": "threshold", "point": "pressure_kpa", "below": 150, "clear": 180},
    {"kind": "state", "point": "cap_open", "equals": [True]},
    {"kind": "time", "from": "22:14", "to": "22:16"},
    {"kind": "window", "point": "pressure_kpa", "of": "mean", "window_s": 30, "below": 150, "clear": 180},
    {"kind": "alarm", "rules": ["wet"], "states": ["active"]},
]
TREES = st.recursive(
    st.sampled_from(LEAVES),
    lambda part: st.tuples(st.sampled_from(["all", "any"]), st.lists(part, min_size=1, max_size=3)).map(
        lambda found: {"kind": found[0], "of": found[1]}
    ),
    max_leaves=5,
)
READING = st.one_of(
    st.tuples(st.just("pressure_kpa"), st.sampled_from([None, 90.0, 150.0, 151.0, 200.0, 240.0, 250.0, 255.0])),
    st.tuples(st.just("flow_lps"), st.sampled_from([None, 0.0, 0.6, 1.5, 2.0, 2.5, 9.0])),
    st.tuples(st.just("cap_open"), st.sampled_from([None, False, True])),
)
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 500, 5_000, 17_000, 61_000]), st.sampled_from([0, 0, 0, 700, 20_000]), READING),
    min_size=3,
    max_size=30,
)
WET = rule(
    {
        "id": "wet",
        "applies_to": ["hydrant-municipal/flow_lps"],
        "when": {"kind": "threshold", "above": 5, "clear": 4},
        "for_s": 3,
    }
)


@given(TREES, STEPS, st.sampled_from([0, 10]), st.sampled_from([0, 4]))
@settings(max_examples=40, deadline=None)
def test_decisions_are_the_same_when_a_condition_is_looked_at_each_time(
    tree: dict[str, Any], steps: list[tuple[int, int, tuple[str, Value]]], for_s: int, restart_every: int
) -> None:
    """The negation of a negation promises no calm, so it is looked at whenever anything comes: it raises and ends at
    the same moments, also with late readings, unknown values and restarts."""
    plain = deep("plain", tree, for_s)
    twice = deep("twice", {"kind": "not", "of": {"kind": "not", "of": tree}}, for_s)
    run = Run(hydrant({"plain": plain, "twice": twice, "wet": WET}), checkpoint_every=1)
    for number, (wait_ms, late_ms, (point, value)) in enumerate(steps, 1):
        run.advance(run.now + wait_ms)
        quality = "unknown:no_answer" if value is None else "good"
        run.observe(Reading(f"h/{point}", max(run.now - late_ms, START), value, quality))
        if restart_every and number % restart_every == 0:
            run.restart()
            run.heartbeat()
    run.advance(run.now + 200_000)
    decided = {name: [t[2:] for t in run.decisions if t[0] == name] for name in ("plain", "twice")}
    assert decided["plain"] == decided["twice"]
