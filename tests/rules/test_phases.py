"""The phases of an alarm, step by step: what each decision is, when, and on what it rests."""

from __future__ import annotations

from typing import Any

import pytest

from contract.messages import Reading
from contract.profile import ProfileLibrary
from rules.engine import Engine
from rules.memory import RuleState, Transition
from rules.model import Rule

SITE, AGENT = "case", "edge"
START_MS = 1_700_000_000_000
HYDRANT = ProfileLibrary()["hydrant-municipal"]
TITLE = {"zh": "测试", "en": "Test"}
LOW = {"kind": "threshold", "below": 100, "clear": 110}
UNKNOWN = "unknown:no_answer"


def a_rule(name: str = "low", point: str = "pressure_kpa", **more: Any) -> Rule:
    """A rule on one point of a hydrant."""
    given = {"title": TITLE, "advice": [TITLE], "basis": TITLE, "severity": "warning", "on_missing": "hold"}
    given |= {"applies_to": [f"hydrant-municipal/{point}"], "when": LOW, **more}
    return Rule.model_validate({"id": name, **given})


class Station:
    """An engine with one hydrant, fed second by second."""

    def __init__(self, *rules: Rule) -> None:
        self._rules = {rule.id: rule for rule in rules}
        self.engine = self._new()
        self.engine.restore([], [], [(SITE, AGENT, True, START_MS)], START_MS)
        self.engine.agent_heard(SITE, AGENT, True, START_MS)
        self.decided: list[Transition] = []
        self._known: dict[tuple[str, str], RuleState] = {}

    def _new(self) -> Engine:
        engine = Engine(self._rules)
        engine.add_device(SITE, AGENT, "h1", HYDRANT)
        return engine

    def restart(self, second: float) -> None:
        """A new engine goes on from what the old one gave to be written down."""
        self.go(second)
        old, now_ms = self.engine, START_MS + int(second * 1000)
        values = [(k, v.observed_ms, v.received_ms, v.value, v.quality) for k, v in old.values() if v.observed_ms]
        self.engine = self._new()
        states = [state for state in self._known.values() if state.phase != "rest"]
        self.engine.restore(states, values, [(SITE, AGENT, True, 0)], now_ms, series=list(old.series()))
        self.engine.agent_heard(SITE, AGENT, True, now_ms)

    def _write_down(self) -> None:
        effects = self.engine.take()
        self.decided += effects.transitions
        for state in effects.states:
            self._known[state.rule, state.subject] = state

    def at(
        self, second: float, value: Any, quality: str = "good", point: str = "pressure_kpa", late: float = 0
    ) -> None:
        """A reading of that second arrives `late` seconds later."""
        self.go(second + late)
        reading = Reading(f"h1/{point}", START_MS + int(second * 1000), value, quality)
        self.engine.observe(SITE, [reading], START_MS + int((second + late) * 1000))
        self._write_down()

    def go(self, second: float) -> None:
        """Time passes."""
        until_ms = START_MS + int(second * 1000)
        while (due_ms := self.engine.next_due_ms()) is not None and due_ms <= until_ms:
            self.engine.advance(due_ms)
        self.engine.advance(until_ms)
        self._write_down()

    def story(self, rule: str = "low") -> list[tuple[float, str]]:
        """What was decided about that rule: (second, event)."""
        return [((t.event_ms - START_MS) / 1000, t.event) for t in self.decided if t.rule == rule]


def played(rule: Rule, *steps: tuple[Any, ...], until: float = 1000) -> list[tuple[float, str]]:
    """The story of readings (second, value, quality)."""
    station = Station(rule)
    for step in steps:
        station.at(*step)
    station.go(until)
    return station.story()


@pytest.mark.parametrize(
    ("more", "steps", "expected"),
    [
        # at once
        ({}, [(0, 300.0), (5, 99.9)], [(5, "raise")]),
        ({}, [(0, 300.0), (5, 100.0)], []),
        ({}, [(5, 90.0), (9, 109.9)], [(5, "raise")]),
        ({}, [(5, 90.0), (9, 110.0)], [(5, "raise"), (9, "clear")]),
        # held for a while: due to the second, started anew by what breaks it, not by more of the same
        ({"for_s": 30}, [(5, 90.0)], [(35, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (20, 80.0)], [(35, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (34, 105.0), (34.5, 90.0)], [(64.5, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (35, 300.0)], [(35, "raise"), (35, "clear")]),
        ({"for_s": 30}, [(5, 90.0), (34.999, 300.0)], []),
        ({"for_s": 30}, [(5, 90.0), (20, None, UNKNOWN), (25, 90.0)], [(55, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (20, 90.0, "test"), (25, 90.0)], [(55, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (20, 90.0, "uncertain:stale")], [(35, "raise")]),
        # over for a while
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0)], [(5, "raise"), (40, "clear")]),
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0), (39, 90.0), (50, 300.0)], [(5, "raise"), (80, "clear")]),
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0), (39, 105.0)], [(5, "raise")]),
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0), (39, None, UNKNOWN)], [(5, "raise")]),
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0), (40, None, UNKNOWN)], [(5, "raise"), (40, "clear")]),
        # missing: held, or cleared where the rule says so
        ({}, [(5, 90.0), (9, None, UNKNOWN)], [(5, "raise")]),
        ({"on_missing": "clear"}, [(5, 90.0), (9, None, UNKNOWN)], [(5, "raise"), (9, "clear")]),
        ({"on_missing": "clear"}, [(5, 90.0), (9, 90.0, "bad:crc")], [(5, "raise"), (9, "clear")]),
        ({"on_missing": "clear", "clear_for_s": 30}, [(5, 90.0), (9, 300.0), (12, None, UNKNOWN)],
         [(5, "raise"), (12, "clear")]),
        ({}, [(5, None), (6, "words"), (7, True)], []),
        ({"on_missing": "clear"}, [(5, 90.0), (7, "words")], [(5, "raise"), (7, "clear")]),
        # above
        ({"when": {"kind": "threshold", "above": 400, "clear": 390}}, [(1, 400.0), (5, 400.1), (6, 390.1), (7, 390.0)],
         [(5, "raise"), (7, "clear")]),
    ],
)  # fmt: skip
def test_threshold_moves_through_its_phases(more: dict[str, Any], steps: list[Any], expected: list[Any]) -> None:
    """Every way from phase to phase, to the millisecond."""
    assert played(a_rule(**more), *steps) == expected


def test_state_is_no_number() -> None:
    """A truth or word; 1.0 is not true."""
    rule = a_rule(point="cap_open", when={"kind": "state", "equals": [True]})
    station = Station(rule)
    for second, value in ((1, 1.0), (2, True), (3, 1.0), (4, True), (5, False)):
        station.at(second, value, point="cap_open")
    assert station.story() == [(2, "raise"), (3, "clear"), (4, "raise"), (5, "clear")]


def test_decision_says_what_it_rests_on() -> None:
    """Rule, version, severity, subject, and the reading with its limit."""
    rule = a_rule(for_s=10)
    station = Station(rule)
    station.at(5, 90.0)
    station.go(60)
    station.at(70, 300.0)
    raised, cleared = station.decided
    assert raised == Transition(
        "low", rule.version, "warning", "case/h1/pressure_kpa", "case", "h1", "raise", START_MS + 15_000, False,
        {"value": 90.0, "quality": "good", "observed_ms": START_MS + 5_000, "limit": 100.0}, None, 1,
    )  # fmt: skip
    assert cleared.inputs == {"value": 300.0, "quality": "good", "observed_ms": START_MS + 70_000, "limit": 100.0}
    assert (cleared.event, cleared.retrospective, cleared.count) == ("clear", False, 1)


def test_missing_value_that_clears_stands_in_the_decision() -> None:
    """The bad reading is why."""
    station = Station(a_rule(on_missing="clear"))
    station.at(5, 90.0)
    station.at(7, None, "bad:crc")
    assert station.decided[-1].inputs == {"value": None, "quality": "bad:crc", "observed_ms": START_MS + 7_000}


# --- conditions that look at more than one reading -------------------------------------------------------------------

OPEN = {"kind": "state", "point": "cap_open", "equals": [True]}
LOW_AND_OPEN = {"kind": "all", "of": [{**LOW, "point": "pressure_kpa"}, OPEN]}


def a_device_rule(**more: Any) -> Rule:
    """The same on several points."""
    return a_rule(**{"applies_to": ["hydrant-municipal/*"], "per": "device", "when": LOW_AND_OPEN, **more})


def test_condition_on_two_points_moves_through_its_phases() -> None:
    """Pending since both hold; either one ends it; the leaf that decided stands in the decision."""
    station = Station(a_device_rule(for_s=10, clear_for_s=10))
    station.at(0, 90.0)
    station.at(5, True, point="cap_open")
    station.at(14, 300.0)
    station.at(20, 90.0)
    station.at(50, False, point="cap_open")
    station.at(55, True, point="cap_open")
    station.at(60, 300.0)
    station.go(100)
    assert station.story() == [(30, "raise"), (70, "clear")]
    raised, cleared = station.decided
    assert [leaf["point"] for leaf in raised.inputs["because"]] == ["pressure_kpa", "cap_open"]
    assert raised.inputs["at_ms"] == START_MS + 20_000
    assert [leaf["point"] for leaf in cleared.inputs["because"]] == ["pressure_kpa"]
    assert cleared.inputs["at_ms"] == START_MS + 60_000


@pytest.mark.parametrize(("on_missing", "expected"), [("hold", ["raise"]), ("clear", ["raise", "clear"])])
def test_condition_on_two_points_holds_or_clears_when_one_goes_missing(on_missing: str, expected: list[str]) -> None:
    """As the rule says; and a pending phase ends, because what is not known never raises."""
    station = Station(a_device_rule(on_missing=on_missing))
    station.at(0, 90.0)
    station.at(5, True, point="cap_open")
    station.at(20, None, UNKNOWN, point="cap_open")
    assert [event for _, event in station.story()] == expected
    pending = Station(a_device_rule(on_missing=on_missing, for_s=30))
    pending.at(0, 90.0)
    pending.at(5, True, point="cap_open")
    pending.at(20, None, UNKNOWN, point="cap_open")
    pending.go(100)
    assert pending.story() == []


def test_between_limit_and_clear_level_nothing_is_missing() -> None:
    """All points are known: an alarm that clears on missing values stays up."""
    station = Station(a_device_rule(on_missing="clear"))
    station.at(0, 90.0)
    station.at(5, True, point="cap_open")
    station.at(9, 105.0)
    station.go(100)
    assert station.story() == [(5, "raise")]


def test_window_is_judged_again_when_time_alone_changes_it() -> None:
    """The fall is over once the high value has left the window, without any reading."""
    window = {"kind": "window", "of": "fall", "window_s": 60, "samples": 1, "above": 50, "clear": 20}
    station = Station(a_rule(when=window))
    station.at(0, 300.0)
    station.at(70, 200.0)
    station.at(80, 201.0)
    station.go(300)
    assert station.story() == [(70, "raise"), (130, "clear")]


def test_hour_of_the_day_raises_what_holds_already() -> None:
    """The clock strikes 22:14 UTC, 40 s after the start."""
    night = {"kind": "time", "from": "22:14", "to": "22:15"}
    station = Station(a_device_rule(when={"kind": "all", "of": [night, OPEN]}))
    station.at(1, True, point="cap_open")
    station.go(300)
    assert station.story() == [(40, "raise"), (100, "clear")]


def test_longest_pause_counts_from_when_the_device_became_known() -> None:
    """Closed ever since: due 100 s after the start, whatever was heard in between."""
    pause = {"kind": "since", "equals": [True], "longer_than_s": 100}
    station = Station(a_rule(point="cap_open", when=pause))
    station.at(7, False, point="cap_open")
    station.at(60, False, point="cap_open")
    station.go(300)
    assert station.story() == [(100, "raise")]


def test_device_that_says_it_is_away_is_absent() -> None:
    """Its `online` is enough; it does not wait for silence."""
    rule = a_device_rule(when={"kind": "absence", "after_s": 600})
    station = Station(rule)
    station.at(5, True, point="online")
    station.at(10, False, point="online")
    station.at(50, True, point="online")
    station.go(60)
    assert [event for _, event in station.story()] == ["raise", "clear"]


# --- flapping --------------------------------------------------------------------------------------------------------

FLAP = {"count": 3, "within_s": 60, "calm_s": 100}


def test_flapping_is_one_alarm_with_a_count_that_ends_when_it_is_calm() -> None:
    """Two alarms, then one that counts; it ends 100 s after the last raise, whatever comes and goes between."""
    station = Station(a_rule(flap=FLAP))
    for second in (10, 20, 30, 40):
        station.at(second, 90.0)
        station.at(second + 5, 300.0)
    station.go(500)
    assert station.story() == [
        (10, "raise"), (15, "clear"), (20, "raise"), (25, "clear"), (30, "raise"), (40, "flap"), (140, "clear"),
    ]  # fmt: skip
    assert [t.count for t in station.decided if t.event in ("raise", "flap")] == [1, 1, 3, 4]
    assert station.decided[-1].inputs == {"calm_s": 100.0, "raises": 4}


def test_flapping_needs_its_raises_within_the_while() -> None:
    """The first has left the window of 60 s: no flapping."""
    station = Station(a_rule(flap=FLAP))
    for second in (10, 40, 70):
        station.at(second, 90.0)
        station.at(second + 5, 300.0)
    assert [event for _, event in station.story()] == ["raise", "clear"] * 3
    inside = Station(a_rule(flap=FLAP))
    for second in (10, 40, 69.9):
        inside.at(second, 90.0)
        inside.at(second + 5, 300.0)
    assert [event for _, event in inside.story()] == ["raise", "clear", "raise", "clear", "raise"]


def test_flapping_alarm_stays_up_when_its_condition_holds_at_the_end_of_the_calm() -> None:
    """It is no longer flapping, and clears as an ordinary one."""
    station = Station(a_rule(flap=FLAP))
    for second in (10, 20, 30):
        station.at(second, 300.0)
        station.at(second + 1, 90.0)
    station.go(200)
    assert station.story()[-1] == (31, "raise")
    station.at(210, 300.0)
    assert station.story()[-1] == (210, "clear")
    station.at(220, 90.0)
    assert station.decided[-1].count == 1


def test_flapping_ends_when_the_condition_is_only_pending_at_the_end_of_the_calm() -> None:
    """What has not held long enough is no alarm yet: the old one ends, and the next is new."""
    station = Station(a_rule(for_s=20, flap={"count": 3, "within_s": 200, "calm_s": 100}))
    for second in (0, 30, 60):
        station.at(second, 90.0)
        station.at(second + 25, 300.0)
    station.at(170, 90.0)
    station.go(185)
    assert station.story()[-2:] == [(80, "raise"), (180, "clear")]
    station.go(300)
    assert station.story()[-1] == (190, "raise")


@pytest.mark.parametrize("restarts", [(), (12,), (17,), (22,), (27,), (32,), (37,), (42,), (60,), (100,), (17, 32, 60)])
def test_flapping_goes_on_when_the_gateway_starts_anew(restarts: tuple[float, ...]) -> None:
    """Count, calm and clearing as if nothing had been."""
    station = Station(a_rule(flap=FLAP))
    steps = [(second + shift, value) for second in (10, 20, 30, 40) for shift, value in ((0, 90.0), (5, 300.0))]
    for second, value in sorted([*steps, *((at, None) for at in restarts)], key=lambda step: step[0]):
        if value is None:
            station.restart(second)
        else:
            station.at(second, value)
    station.go(500)
    assert [(t.event, t.count) for t in station.decided] == [
        ("raise", 1), ("clear", 1), ("raise", 1), ("clear", 1), ("raise", 3), ("flap", 4), ("clear", 1),
    ]  # fmt: skip
    assert station.story()[-1] == (140, "clear")


@pytest.mark.parametrize("restart", [8, 30, 99.999])
def test_what_time_alone_will_change_comes_when_the_gateway_starts_anew(restart: float) -> None:
    """A pause that is too long, a window that empties: neither waits for a reading."""
    pause = a_rule("pause", point="cap_open", when={"kind": "since", "equals": [True], "longer_than_s": 100})
    window = {"kind": "window", "of": "fall", "window_s": 100, "samples": 1, "above": 50, "clear": 20}
    station = Station(pause, a_rule(when=window))
    station.at(0, 300.0)
    station.at(6, False, point="cap_open")
    station.at(7, 200.0)
    station.restart(restart)
    station.go(300)
    assert station.story() == [(7, "raise"), (107, "clear")]
    assert station.story("pause") == [(100, "raise")]


# --- inhibition ------------------------------------------------------------------------------------------------------

CRITICAL = a_rule("critical", when={"kind": "threshold", "below": 50, "clear": 60})
INHIBITED = a_rule(inhibit_by=[{"rule": "critical"}])


def test_inhibited_alarm_waits_and_is_judged_again_afterwards() -> None:
    """It would have been raised at 10; the other one stood until 30; it still holds."""
    station = Station(CRITICAL, a_rule(for_s=5, inhibit_by=[{"rule": "critical"}]))
    station.at(5, 40.0)
    station.at(30, 70.0)
    station.go(31)
    assert station.story("critical") == [(5, "raise"), (30, "clear")]
    assert station.story() == [(30, "raise")]


def test_inhibited_alarm_says_nothing_when_it_is_over_by_then() -> None:
    """Both are over at once."""
    station = Station(CRITICAL, a_rule(for_s=5, inhibit_by=[{"rule": "critical"}]))
    station.at(5, 40.0)
    station.at(30, 300.0)
    station.go(100)
    assert station.story() == []


def test_alarm_that_is_up_is_suppressed_and_released() -> None:
    """It is low first and critical later; the cause is named."""
    station = Station(CRITICAL, INHIBITED)
    station.at(5, 90.0)
    station.at(20, 40.0)
    station.at(40, 70.0)
    station.at(60, 300.0)
    assert station.story() == [(5, "raise"), (20, "suppress"), (40, "release"), (60, "clear")]
    suppressed = next(t for t in station.decided if t.event == "suppress")
    released = next(t for t in station.decided if t.event == "release")
    assert suppressed.cause == "case/h1/pressure_kpa"
    assert released.inputs == {"reason": "its cause is over", "cause": "case/h1/pressure_kpa"}


def test_suppressed_alarm_that_clears_is_not_released() -> None:
    """It is over while it is suppressed, and the next one is new."""
    other = a_rule("critical", point="flow_lps", when={"kind": "threshold", "above": 5, "clear": 5})
    station = Station(other, INHIBITED)
    station.at(5, 90.0)
    station.at(20, 9.0, point="flow_lps")
    station.at(40, 300.0)
    station.at(50, 0.0, point="flow_lps")
    station.at(60, 90.0)
    assert station.story() == [(5, "raise"), (20, "suppress"), (40, "clear"), (60, "raise")]


# --- data of the past ------------------------------------------------------------------------------------------------


def test_back_filled_reading_is_judged_at_its_own_time() -> None:
    """What came late is decided for the moment it was measured at."""
    station = Station(a_rule(for_s=10))
    station.at(0, 300.0)
    station.at(10, 90.0, late=200)
    station.at(50, 300.0, late=170)
    assert station.story() == [(20, "raise"), (50, "clear")]


def test_decision_is_retrospective_when_it_is_long_over_and_more_is_to_come() -> None:
    """An agent comes back with a backlog: an alarm that began and ended while it was away is one of the past."""
    station = Station(a_rule())
    station.engine.agent_heard(SITE, AGENT, False, START_MS + 5_000)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 400_000, (0, 3))
    station.at(100, 90.0, late=301)
    station.at(200, 300.0, late=202)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 403_000, (0, 0))
    station.go(500)
    assert [(t.event, (t.event_ms - START_MS) / 1000, t.retrospective) for t in station.decided] == [
        ("raise", 100, True),
        ("clear", 200, True),
    ]


def test_alarm_of_the_past_is_released_when_it_is_still_true() -> None:
    """The backlog is in and the condition still holds: it is one of the present."""
    station = Station(a_rule())
    station.engine.agent_heard(SITE, AGENT, False, START_MS + 5_000)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 400_000, (0, 3))
    station.at(100, 90.0, late=301)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 403_000, (0, 0))
    station.go(500)
    assert [event for _, event in station.story()] == ["raise", "release"]
    assert station.decided[-1].inputs == {"reason": "still true"}
    assert [t.retrospective for t in station.decided] == [True, False]


@pytest.mark.parametrize(("late", "expected"), [(60, False), (60.001, True)])
def test_decision_is_retrospective_from_a_minute_on(late: float, expected: bool) -> None:
    """Just a minute ago is now."""
    station = Station(a_rule())
    station.engine.agent_heard(SITE, AGENT, False, START_MS + 5_000)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 400_000, (0, 3))
    station.at(341, 90.0, late=late)
    assert [t.retrospective for t in station.decided] == [expected]


# --- rules that go ---------------------------------------------------------------------------------------------------


def test_alarm_is_cleared_when_its_rule_is_removed() -> None:
    """With the reason; the other rule goes on undisturbed."""
    other = a_rule("other", for_s=100)
    station = Station(a_rule(), other)
    station.at(5, 90.0)
    station.go(50)
    station.engine.replace_rules({"other": other})
    station.go(200)
    assert station.story() == [(5, "raise"), (50, "clear")]
    assert next(t for t in station.decided if t.event == "clear").inputs == {"reason": "rule removed"}
    assert station.story("other") == [(105, "raise")]
