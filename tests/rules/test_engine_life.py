"""What the engine is told beside readings: who is there, what is taken out, dates, findings, times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.errors import ConfigError
from contract.messages import Reading
from contract.profile import AGENT_PROFILE
from rules.engine import LATE_MS, MOST_POINTS, Engine
from rules.model import Rule
from tests.rules.engine_run import LIBRARY, RULES, START, Run, engine_of, rule, site_of

HYDRANT = LIBRARY["hydrant-municipal"]
LOST, SILENT, LINE = RULES["agent-lost"], RULES["device-silent"], RULES["line-lost"]
PRESSURE = "s/h/pressure_kpa"
LOW: dict[str, Any] = {
    "id": "low",
    "applies_to": ["hydrant-municipal/pressure_kpa"],
    "when": {"kind": "threshold", "below": 140, "clear": 150},
}
CAP: dict[str, Any] = {
    "id": "cap",
    "applies_to": ["hydrant-municipal/cap_open"],
    "when": {"kind": "state", "equals": [True]},
}
DUE: dict[str, Any] = {
    "id": "due",
    "per": "device",
    "applies_to": ["hydrant-municipal/*"],
    "when": {"kind": "due", "of": "inspection"},
}
BOTH: dict[str, Any] = {
    "id": "both",
    "per": "device",
    "applies_to": ["hydrant-municipal/*"],
    "when": {
        "kind": "all",
        "of": [
            {"kind": "state", "point": "cap_open", "equals": [True]},
            {"kind": "threshold", "point": "pressure_kpa", "below": 140, "clear": 150},
        ],
    },
}
TWO_LINES = """\
agents:
  - id: edge
    lines:
      - {id: bus, kind: modbus_tcp, host: 10.0.0.1, port: 502, devices: [{id: h, profile: hydrant-municipal, unit_id: 1}]}
      - {id: bus2, kind: modbus_tcp, host: 10.0.0.2, port: 502, devices: [{id: g, profile: hydrant-municipal, unit_id: 1}]}
"""  # noqa: E501  # the text of a site file


def run_of(*rules: Rule, devices: tuple[str, ...] = ("h",)) -> Run:
    def make() -> Engine:
        engine = Engine({each.id: each for each in rules})
        for device in devices:
            engine.add_device("s", "edge", device, HYDRANT)
        return engine

    return Run(make)


def test_limits_of_a_device_hold_and_their_place_is_named_when_they_are_wrong(tmp_path: Path) -> None:
    """A device has its own limit; one the rule does not have is told with where it stands."""
    lines = TWO_LINES.replace("unit_id: 1}", "unit_id: 1, limits: {low: {below: 90, clear: 95}}}", 1)
    run = Run(engine_of({"low": rule(LOW)}, site_of(tmp_path, lines)))
    run.say("h/pressure_kpa", 100.0)
    run.say("g/pressure_kpa", 100.0)
    assert run.of() == [("s/g/pressure_kpa", "raise", 0)]
    assert len(run.engine.rules_in_force()) == 2
    assert {key[0]: each.id for key, each in run.engine.rules_in_force().items()} == {"low": "low"}

    wrong = TWO_LINES.replace("unit_id: 1}", "unit_id: 1, limits: {low: {above: 90}}}", 1)
    with pytest.raises(ConfigError, match=r"^sites\.s\.h\.limits\.low: "):
        engine_of({"low": rule(LOW)}, site_of(tmp_path, wrong))()


def test_own_readings_of_the_gateway_wait_for_nobody_when_the_agent_is_away() -> None:
    """What the gateway measures of an agent is judged while that agent is gone, and has no cause above it."""
    backlog = rule(
        {"id": "backlog", "applies_to": ["agent/outbox_count"], "when": {"kind": "threshold", "above": 5, "clear": 4}}
    )
    engine = Engine({"backlog": backlog})
    engine.add_device("s", "edge", "agent-edge", AGENT_PROFILE)
    engine.add_device("s", "edge", "h", HYDRANT)
    engine.restore([], [], [], START)
    engine.agent_heard("s", "edge", False, START)
    engine.observe("s", [Reading("agent-edge/outbox_count", START, 9.0)], START)

    assert [t.subject for t in engine.take().transitions] == ["s/agent-edge/outbox_count"]
    assert engine.cause_of("s", "agent-edge") is None
    assert engine.cause_of("s", "h") == "s/edge"


def test_points_of_an_agent_grow_when_a_point_is_made_on_demand() -> None:
    """The picture of an agent holds the points that its profile made, and those named for the first time later."""
    engine = Engine({})
    engine.add_device("s", "edge", "h", HYDRANT)
    of_agent = engine.points("s", "edge")
    twice = [Reading("h/extra", START, 1.0), Reading("h/extra", START + 1, 2.0)]
    assert engine.observe("s", twice, START + 1) == []
    assert of_agent is engine.points("s", "edge")
    assert of_agent["h/extra"].value == 2.0
    assert of_agent["h/extra"].key == "s/h/extra"
    assert "h/pressure_kpa" in of_agent
    assert list(engine.points("s", "other")) == []


def test_point_is_refused_when_a_device_has_as_many_as_it_may_have() -> None:
    """A device that names ever new points fills no memory."""
    engine = Engine({})
    engine.add_device("s", "edge", "h", HYDRANT)
    room = MOST_POINTS - len(engine.points("s", "edge"))
    many = [Reading(f"h/x{n}", START, 1.0) for n in range(room + 2)]

    assert engine.observe("s", many, START) == many[-2:]
    assert engine.observe("s", [Reading("h/", START, 1.0)], START) == [Reading("h/", START, 1.0)]


def test_readings_after_a_stranger_and_after_a_calm_one_are_judged() -> None:
    """One reading that changes nothing keeps none of those behind it in the batch from being judged."""
    run = run_of(rule(LOW), rule(CAP))
    run.observe(
        Reading("nobody/x", START, 1.0),
        Reading("h/pressure_kpa", START, 300.0),
        Reading("h/cap_open", START, False),
        Reading("h/cap_open", START, True),
        Reading("h/pressure_kpa", START, 100.0),
    )
    assert sorted(run.of()) == [("s/h/cap_open", "raise", 0), (PRESSURE, "raise", 0)]


@pytest.mark.parametrize(("value", "raised"), [(140.0, []), (139.9, ["low"]), (200.0, []), (200.1, ["high"])])
def test_value_at_the_limit_is_calm(value: float, raised: list[str]) -> None:
    """A limit itself is still in order, on both sides."""
    high = {**LOW, "id": "high", "when": {"kind": "threshold", "above": 200, "clear": 190}}
    run = run_of(rule(LOW), rule(high))
    run.say("h/pressure_kpa", value)

    assert [t.rule for t in run.transitions] == raised


def test_device_is_silent_counted_from_when_it_was_added() -> None:
    """A device that was approved while the gateway runs is missed like any other, and not before its time."""
    run = run_of(rule(LOW), SILENT, devices=())
    run.advance(START + 100_000)
    run.engine.add_device("s", "edge", "h", HYDRANT)
    run.engine.agent_heard("s", "edge", True, run.now)
    run.advance(START + 2_000_000)
    silent_s = int(SILENT.when.after_s + SILENT.for_s)  # type: ignore[union-attr]  # it is Absence

    assert run.of("device-silent") == [("s/h", "raise", 100 + silent_s)]


def test_what_is_taken_out_is_missed_no_more() -> None:
    """A device, a line and an agent that left the site file raise nothing and explain nothing."""
    rules = {"agent-lost": LOST, "line-lost": LINE, "device-silent": SILENT}
    engine = Engine(rules)
    engine.add_device("s", "edge", "h", HYDRANT, line="line-bus")
    engine.restore([], [], [("s", "edge", True, START)], START)
    up = [("agent-lost", "s/edge"), ("line-lost", "s/line-bus"), ("device-silent", "s/h")]
    assert [engine.watches(*each) for each in up] == [True] * 3
    engine.remove_device("s", "h")
    assert [engine.watches(*each) for each in up] == [True, True, False]
    assert not engine.knows("s", "h")
    engine.remove_line("s", "line-bus")
    assert [engine.watches(*each) for each in up] == [True, False, False]
    engine.remove_agent("s", "edge")
    assert [engine.watches(*each) for each in up] == [False] * 3
    engine.advance(START + 10_000_000)
    assert engine.take().transitions == []


def test_every_rule_that_looks_at_a_subject_is_named() -> None:
    """On the point, on its device, on another device: who looks at it, by itself or beside others."""
    engine = Engine({each.id: each for each in (rule(LOW), rule(CAP), rule(BOTH), rule(DUE), SILENT)})
    for device in ("h", "hh"):
        engine.add_device("s", "edge", device, HYDRANT)

    def looking(subject: str) -> set[tuple[str, str]]:
        return {(watch.rule.id, watch.subject) for watch in engine.watching(subject)}

    assert looking(PRESSURE) == {("low", PRESSURE), ("both", "s/h")}
    assert looking("s/h/flow_lps") == set()
    assert looking("s/h") == {
        ("low", PRESSURE),
        ("cap", "s/h/cap_open"),
        ("both", "s/h"),
        ("due", "s/h"),
        ("device-silent", "s/h"),
    }
    assert looking("s/nobody") == set()


def test_group_is_named_when_it_counts_a_point(tmp_path: Path) -> None:
    """A rule of a group looks at each point it counts, and at another set of points when the site file says so."""
    tally = {
        "id": "many",
        "per": "group",
        "group": "main",
        "applies_to": ["hydrant-municipal/pressure_kpa"],
        "when": {"kind": "tally", "of": {"kind": "threshold", "below": 140, "clear": 150}, "at_least": 1},
    }
    text = TWO_LINES + "groups: [{id: m, kind: main, title: {zh: 管, en: Main}, members: [%s]}]\n"
    one, two = (site_of(tmp_path, text % members) for members in ("h", "g"))
    run = Run(engine_of({"many": rule(tally)}, one))
    assert [watch.subject for watch in run.engine.watching("s/h/pressure_kpa")] == ["s/m"]
    assert [watch.subject for watch in run.engine.watching("s/g/pressure_kpa")] == []
    run.say("g/pressure_kpa", 100.0)
    assert run.of() == []

    run.engine.replace_groups(two)
    assert [watch.subject for watch in run.engine.watching("s/g/pressure_kpa")] == ["s/m"]
    assert [watch.subject for watch in run.engine.watching("s/h/pressure_kpa")] == []
    run.say("g/pressure_kpa", 99.0)
    assert [subject for subject, event, _ in run.of() if event == "raise"] == ["s/m"]


def test_dates_are_looked_at_again_only_when_they_change() -> None:
    """A new date speaks; the same one once more, or one of a device nobody knows, wakes nobody."""
    run = run_of(rule(DUE), rule(LOW), devices=("h", "g"))
    run.advance(START + 1_000)
    run.engine.set_dates("s", "nobody", {"inspection": START})
    dates = {"inspection": START + 500}
    run.engine.set_dates("s", "h", dates)
    dates.clear()  # the engine keeps its own
    run.advance(START + 2_000)
    assert run.of() == [("s/h", "raise", 1)] or run.of() == [("s/h", "raise", 0)]
    idle = run.engine.next_due_ms()
    run.engine.set_dates("s", "h", {"inspection": START + 500})
    assert run.engine.next_due_ms() == idle


def test_number_of_an_alarm_is_written_down_when_the_ledger_gave_it() -> None:
    """The number goes into the state of the rule; for a rule that judges nothing it is dropped."""
    run = run_of(rule(LOW))
    run.say("h/pressure_kpa", 100.0)
    run.engine.bind("low", PRESSURE, 77)
    run.engine.bind("low", "s/nobody/pressure_kpa", 78)
    run.commit()

    assert run.states["low", PRESSURE].alarm_id == 77


def test_time_goes_on_with_whatever_arrives() -> None:
    """A batch, a sign of life and the broker tell the time, and none turns it back: what follows is looked at then."""
    for tell in ("observe", "agent", "broker", "woke", "advance"):
        run = run_of(rule(DUE))
        run.advance(START + 1)
        later = START + 10 * LATE_MS
        for at_ms in (later, later - 5_000):
            if tell == "observe":
                run.engine.observe("s", [Reading("h/cap_open", START, False)], at_ms)
            elif tell == "agent":
                run.engine.agent_heard("s", "edge", True, at_ms)
            elif tell == "broker":
                run.engine.broker(at_ms != later, at_ms)
            elif tell == "woke":
                run.engine.woke(at_ms)
            else:
                run.engine.advance(at_ms)
        assert run.engine.next_due_ms() is None, tell
        run.engine.set_dates("s", "h", {"inspection": START})
        assert run.engine.next_due_ms() == later, tell


@pytest.mark.parametrize("finding", ["false", "real"])
def test_findings_are_counted_when_they_were_noted(finding: str) -> None:
    """Two alarms of a device that were found to be false speak; real ones do not."""
    doubtful = {
        "id": "doubtful",
        "per": "device",
        "applies_to": ["hydrant-municipal/*"],
        "when": {"kind": "findings", "rules": ["low"], "finding": "false", "more_than": 1, "within_s": 3600},
    }
    run = run_of(rule(LOW), rule(doubtful))
    for at in (10_000, 20_000):
        run.engine.note_finding("low", PRESSURE, "s", "h", finding, START + at)
    run.advance(START + 30_000)

    assert [t.event for t in run.transitions] == (["raise"] if finding == "false" else [])


def test_device_that_came_back_goes_on_only_after_the_start() -> None:
    """A device that is added after the start is judged from its first reading."""
    run = run_of(rule(LOW), devices=())
    run.engine.add_device("s", "edge", "h", HYDRANT)
    run.engine.add_device("s", "edge", "h", LIBRARY["pump-controller"])  # known already: no effect
    run.say("h/pressure_kpa", 100.0)
    run.say("h/pressure_kpa", 300.0)

    assert run.of() == [(PRESSURE, "raise", 0), (PRESSURE, "clear", 0)]


def test_alarm_of_a_rule_that_is_gone_is_over_with_all_that_belongs_to_it() -> None:
    """A flapping alarm of a rule that goes clears once, stands no more in the ledger, and inhibits nobody any more."""
    flapping = rule({**CAP, "flap": {"count": 2, "within_s": 100, "calm_s": 60}})
    low = rule({**LOW, "inhibit_by": [{"rule": "cap"}]})
    run = run_of(flapping, low)
    for is_open in (True, False, True):
        run.advance(run.now + 1_000)
        run.say("h/cap_open", is_open)
    run.say("h/pressure_kpa", 100.0)
    assert run.of("low") == []
    run.engine.replace_rules({"low": low})
    run.advance(run.now + 20_000)

    assert run.of("cap")[-1] == ("s/h/cap_open", "clear", 3)
    assert run.states["cap", "s/h/cap_open"].phase == "past"
    assert [event for _, event, _ in run.of("low")] == ["raise"]


def test_pending_phase_begins_anew_when_the_clock_of_the_agent_went_back() -> None:
    """A reading of an earlier time that violates too moves the beginning there."""
    run = run_of(rule({**LOW, "for_s": 30}))
    run.advance(START + 60_000)
    run.say("h/pressure_kpa", 100.0)
    run.observe(Reading("h/pressure_kpa", START + 50_000, 90.0))
    run.advance(START + 200_000)

    assert run.of() == [(PRESSURE, "raise", 80)]
    assert run.transitions[0].inputs["value"] == 90.0


@pytest.mark.parametrize(("at_s", "event"), [(59, "rest"), (60, "clear")])
def test_flapping_alarm_ends_with_its_condition_when_it_was_calm_for_exactly_so_long(at_s: int, event: str) -> None:
    """One second too early the one alarm stays up; at the calm time it clears."""
    run = run_of(rule({**CAP, "flap": {"count": 2, "within_s": 100, "calm_s": 60}}))
    for is_open in (True, False, True):
        run.say("h/cap_open", is_open)
    run.advance(START + at_s * 1000)
    before = len(run.transitions)
    run.say("h/cap_open", False)
    told = [t.event for t in run.transitions[before:]]

    assert told == ([] if event == "rest" else ["clear"]) or (event == "clear" and run.transitions[-1].event == "clear")
    run.advance(START + 300_000)
    assert [(e, s) for _, e, s in run.of()][-1] == ("clear", 60)
    assert [e for _, e, _ in run.of()] == ["raise", "clear", "raise", "clear"]


def test_state_of_a_condition_of_several_readings_is_written_down_when_it_begins_and_ends() -> None:
    """The phase in the ledger is that of the engine at each moment."""
    run = run_of(rule({**BOTH, "for_s": 10, "clear_for_s": 10}))
    run.say("h/cap_open", True)
    run.say("h/pressure_kpa", 100.0)
    phases = []
    for value in (100.0, 300.0, None, 300.0):
        run.advance(run.now + 10_000)
        phases.append(run.states["both", "s/h"].phase)
        run.observe(Reading("h/pressure_kpa", run.now, value, "good" if value else "unknown:no_answer"))
        phases.append(run.states["both", "s/h"].phase)

    assert phases == ["active", "active", "active", "clearing", "rest", "rest", "rest", "rest"]
    assert run.of() == [("s/h", "raise", 10), ("s/h", "clear", 30)]


def test_unknown_ends_a_clearing_phase() -> None:
    """Unknown is never OK: an alarm that was about to clear is active again, also one of several readings."""
    for raw, subject in ((BOTH, "s/h"), (LOW, PRESSURE)):
        run = run_of(rule({**raw, "clear_for_s": 10}))
        run.say("h/cap_open", True)
        run.say("h/pressure_kpa", 100.0)
        run.advance(run.now + 5_000)
        run.say("h/pressure_kpa", 300.0)
        assert run.states[str(raw["id"]), subject].phase == "clearing"
        run.say("h/pressure_kpa", None, "unknown:no_answer")
        assert run.states[str(raw["id"]), subject].phase == "active"
        run.advance(run.now + 60_000)
        assert [event for _, event, _ in run.of()] == ["raise"]


def test_alarm_is_a_new_one_when_a_flapping_one_was_calm_and_over() -> None:
    """After the one flapping alarm cleared the next raise opens another, and its end clears that."""
    run = run_of(rule({**CAP, "flap": {"count": 2, "within_s": 10, "calm_s": 60}}))
    for at_s, is_open in ((0, True), (1, False), (2, True), (80, False), (100, True), (101, False)):
        run.advance(START + at_s * 1000)
        run.say("h/cap_open", is_open)
    run.advance(START + 400_000)

    assert [(event, at) for _, event, at in run.of()] == [
        ("raise", 0),
        ("clear", 1),
        ("raise", 2),
        ("clear", 80),
        ("raise", 100),
        ("clear", 101),
    ]
    assert "_" not in run.states["cap", "s/h/cap_open"].detail or (
        "flapping" not in run.states["cap", "s/h/cap_open"].detail["_"]
    )


def test_quality_raises_and_clears_by_itself() -> None:
    """Where the quality is the news, a bad one raises and a good one ends it."""
    bad = {"id": "bad", "applies_to": ["hydrant-municipal/pressure_kpa"], "when": {"kind": "quality", "is": ["bad"]}}
    run = run_of(rule(bad))
    for at_s, quality in ((0, "good"), (1, "bad:range"), (2, "good"), (3, "unknown:no_answer"), (4, "bad:range")):
        run.advance(START + at_s * 1000)
        run.say("h/pressure_kpa", 300.0, quality)

    assert [(event, at) for _, event, at in run.of()] == [("raise", 1), ("clear", 2), ("raise", 4)]


def test_alarm_inhibits_nobody_when_its_rule_was_told_to_forget_the_subject() -> None:
    """What was held still by it is judged at once."""
    run = run_of(rule({**LOW, "inhibit_by": [{"rule": "cap"}]}), rule(CAP))
    run.say("h/cap_open", True)
    run.say("h/pressure_kpa", 100.0)
    run.advance(START + 5_000)
    assert run.of("low") == []
    run.engine.forget("cap", "s/h/cap_open")
    run.advance(START + 6_000)

    assert run.of("low") == [(PRESSURE, "raise", 5)]
