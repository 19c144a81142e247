"""Restarts with something under way, and data that comes late: what waits, in which order, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.messages import Reading
from rules.engine import Engine
from rules.memory import RuleState
from rules.model import Rule
from tests.rules.engine_run import LIBRARY, RULES, START, Run, engine_of, rule, site_of

HYDRANT = LIBRARY["hydrant-municipal"]
SILENT = RULES["device-silent"]
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
UNKNOWN: dict[str, Any] = {
    "id": "unknown",
    "applies_to": ["hydrant-municipal/pressure_kpa"],
    "when": {"kind": "quality", "is": ["unknown"]},
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
OFTEN: dict[str, Any] = {
    "id": "often",
    "per": "device",
    "applies_to": ["hydrant-municipal/*"],
    "when": {"kind": "count", "point": "cap_open", "equals": [True], "at_least": 2, "within_s": 100},
}
TWO_AGENTS = """\
agents:
  - id: edge
    lines:
      - {id: bus, kind: modbus_tcp, host: 10.0.0.1, port: 502, devices: [{id: h, profile: hydrant-municipal, unit_id: 1}]}
  - id: edge2
    lines:
      - {id: bus2, kind: modbus_tcp, host: 10.0.0.2, port: 502, devices: [{id: g, profile: hydrant-municipal, unit_id: 1}]}
groups: [{id: m, kind: main, title: {zh: 管, en: Main}, members: [h, g]}]
"""  # noqa: E501  # the text of a site file


def maker(*rules: Rule) -> Any:
    def make() -> Engine:
        engine = Engine({each.id: each for each in rules})
        engine.add_device("s", "edge", "h", HYDRANT)
        return engine

    return make


def station(*rules: Rule, checkpoint_every: int = 1) -> Run:
    return Run(maker(*rules), checkpoint_every=checkpoint_every)


def events(run: Run, name: str) -> list[tuple[str, float]]:
    return [(t.event, (t.event_ms - START) / 1000) for t in run.transitions if t.rule == name]


def short_stop(run: Run) -> None:
    """Stop, and be back at once."""
    kept = [state for state in run.states.values() if state.phase != "rest"]
    agents = [(*agent, online, run.now) for agent, online in run.agents.items()]
    run.engine = run._make()
    run.engine.restore(kept, run._values, agents, run.now, run._series.items(), run._tail, run.now)
    run.commit()


def heard(run: Run, online: bool, held: tuple[int, int] | None = (0, 0), waited_s: float = 0.0) -> None:
    run.agents["s", "edge"] = online
    run.engine.agent_heard("s", "edge", online, run.now, held, waited_s)
    run.commit()


# --- restarts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint_every", [1, 10**9])
def test_point_made_on_demand_is_known_after_a_restart(checkpoint_every: int) -> None:
    """A point the profile did not name keeps its last value, from the checkpoint and from what came after it."""
    run = station(rule(LOW), checkpoint_every=checkpoint_every)
    run.say("h/extra", 7.0)
    run.restart()
    assert {key: slot.value for key, slot in run.engine.values()}["s/h/extra"] == 7.0


def test_nothing_is_written_down_by_a_restart_itself() -> None:
    """Going on from what was written down is no news."""
    run = station(rule(LOW), rule(CAP))
    run.say("h/pressure_kpa", 100.0)
    run.restart()
    assert [state for state in run.engine.take().states if state.rule in ("low", "cap")] == []


def test_what_is_remembered_is_found_again_beside_a_rule_that_is_new() -> None:
    """After a restart with one rule more on a point the others remember what they did."""
    fall = {"kind": "window", "point": "pressure_kpa", "of": "fall", "window_s": 100, "above": 50, "clear": 40}
    both = rule({**BOTH, "when": {"kind": "all", "of": [fall, BOTH["when"]["of"][0]]}})
    run = station(both)
    run.say("h/cap_open", True)
    run.say("h/pressure_kpa", 300.0)
    run.advance(START + 20_000)
    run._make = maker(both, rule({**OFTEN, "id": "lows", "when": {**fall, "above": 900, "clear": 800}}))
    run.restart()
    run.heartbeat()
    run.say("h/pressure_kpa", 200.0)
    run.advance(START + 21_000)
    assert events(run, "both") == [("raise", 20)]


@pytest.mark.parametrize(("offset_s", "ahead_s", "raised"), [
    (0, 0, True), (-40, 0, False), (40, -40, True), (0, 900, True), (-900, 900, True), (-980, 900, False),
])  # fmt: skip
def test_what_came_after_the_checkpoint_is_seen_at_its_own_time(offset_s: int, ahead_s: int, raised: bool) -> None:
    """Over a restart, too, the agent's clock is corrected, and nothing was measured after it came."""
    run = station(rule(OFTEN), checkpoint_every=10**9)
    run.advance(START + 100_000)
    run.say("h/cap_open", False, site="s")
    run.advance(START + 110_000)
    for second, value in enumerate((True, False)):
        reading = Reading("h/cap_open", run.now + second + ahead_s * 1_000, value)
        run.observe(reading, offset_ms=offset_s * 1_000)
    run.restart()
    run.heartbeat()
    run.advance(START + 190_000)
    run.say("h/cap_open", True)
    assert [event for event, _ in events(run, "often")] == (["raise"] if raised else [])


@pytest.mark.parametrize("is_running", [False, True])
def test_suppressed_alarm_is_released_when_nothing_inhibits_its_rule_any_more(is_running: bool) -> None:
    """A rule that loses what inhibited it, while running or over a stop, leaves no alarm suppressed for ever."""
    low = rule({**LOW, "inhibit_by": [{"rule": "cap"}]})
    run = station(low, rule(CAP))
    run.say("h/pressure_kpa", 100.0)
    run.say("h/cap_open", True)
    run.advance(START + 1_000)
    assert [event for event, _ in events(run, "low")] == ["raise", "suppress"]
    run._make = maker(rule(LOW))
    if is_running:
        run.engine.replace_rules({"low": rule(LOW)})
    else:
        run.restart()
    run.heartbeat()
    run.advance(START + 20_000)
    assert [event for event, _ in events(run, "low")] == ["raise", "suppress", "release"]


@pytest.mark.parametrize("is_running", [False, True])
def test_standing_alarm_is_suppressed_when_its_rule_is_inhibited_from_now_on(is_running: bool) -> None:
    """A changed rule is judged by what inhibits it, put in force while running or by a start."""
    inhibited = rule({**LOW, "inhibit_by": [{"rule": "cap"}]})
    run = station(rule(LOW), rule(CAP))
    run.say("h/pressure_kpa", 100.0)
    run.say("h/cap_open", True)
    run._make = maker(inhibited, rule(CAP))
    if is_running:
        run.engine.replace_rules({"low": inhibited, "cap": rule(CAP)})
    else:
        run.restart()
    run.heartbeat()
    run.advance(START + 20_000)
    assert [event for event, _ in events(run, "low")] == ["raise", "suppress"]


def test_grace_after_a_fault_goes_on_over_a_short_stop() -> None:
    """A value that stays unknown after its device is back is told when its grace is over, stop or no stop."""
    run = station(rule(UNKNOWN), SILENT)
    run.say("h/pressure_kpa", None, "unknown:no_answer")
    run.advance(START + 10_000)
    run.say("h/online", False)
    run.advance(START + 20_000)
    run.say("h/online", True)
    run.advance(START + 25_000)
    short_stop(run)
    run.advance(START + 60_000)
    assert events(run, "unknown") == [("raise", 0), ("suppress", 10), ("release", 35)]
    assert [t.inputs for t in run.transitions if t.event == "suppress"] == [{"cause": "s/h"}]


def test_alarm_the_broker_explains_is_released_when_its_grace_is_over() -> None:
    """What was up before the broker went is suppressed by it, and told again 15 s after the broker is back."""
    run = station(rule(UNKNOWN))
    run.say("h/pressure_kpa", None, "unknown:no_answer")
    run.advance(START + 10_000)
    run.engine.broker(False, run.now)
    run.commit()
    run.advance(START + 30_000)
    run.engine.broker(True, run.now)
    run.heartbeat()
    run.advance(START + 90_000)
    assert events(run, "unknown") == [("raise", 0), ("suppress", 10), ("release", 45)]
    assert [t.cause for t in run.transitions if t.event == "suppress"] == ["broker"]


def test_review_that_an_earlier_run_wrote_down_is_made() -> None:
    """A timer in the ledger is taken up as it stands there."""
    run = station(rule(LOW))
    detail = {"_": {"up_ms": START, "suppressed": "s/h", "dues": [[START + 5_000, "review"]]}}
    run.states["low", "s/h/pressure_kpa"] = RuleState("low", "s/h/pressure_kpa", "active", START, 1, detail)
    short_stop(run)
    run.advance(START + 20_000)
    assert events(run, "low") == [("release", 5)]


# --- flapping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [short_stop, Run.restart])
def test_flapping_alarm_ends_after_its_calm_over_a_restart(stop: Any) -> None:
    """Calm is counted from the last raise, whatever happened to the gateway meanwhile."""
    run = station(rule({**CAP, "flap": {"count": 2, "within_s": 100, "calm_s": 60}}))
    for second in (0, 10, 20):
        run.advance(START + second * 1_000)
        run.say("h/cap_open", True)
        run.say("h/cap_open", False)
    run.advance(START + 30_000)
    stop(run)
    run.heartbeat()
    run.advance(START + 100_000)
    assert events(run, "cap") == [("raise", 0), ("clear", 0), ("raise", 10), ("flap", 20), ("clear", 80)]


# --- late data -------------------------------------------------------------------------------------------------------


def late_alarm(run: Run) -> None:
    """The agent was away for minutes and comes back with a backlog, whose first batch tells of an open cap."""
    heard(run, False)
    run.advance(START + 300_000)
    heard(run, True, (2, 0))
    run.observe(Reading("h/cap_open", START + 100_000, True))
    assert [(t.event, t.retrospective) for t in run.transitions] == [("raise", True)]


def test_late_alarm_is_told_as_present_when_all_has_come() -> None:
    """What is still true at the end of the backlog is true now, and said at once."""
    run = station(rule(CAP))
    late_alarm(run)
    heard(run, True, (0, 0))
    assert events(run, "cap") == [("raise", 100), ("release", 300)]


@pytest.mark.parametrize("stop", [None, short_stop, Run.restart])
def test_late_alarm_is_told_as_present_after_a_minute_though_more_is_to_come(stop: Any) -> None:
    """Nobody waits for the end of a long backlog, nor is it forgotten over a restart."""
    run = station(rule(CAP))
    late_alarm(run)
    run.beats = False
    run.advance(START + 310_000)
    if stop is not None:
        stop(run)
    run.advance(START + 359_999)
    assert [event for event, _ in events(run, "cap")] == ["raise"]
    run.advance(START + 360_000)
    assert events(run, "cap") == [("raise", 100), ("release", 360)]


@pytest.mark.parametrize(("waited_s", "is_late"), [(30.0, False), (30.5, True)])
def test_agent_that_waits_long_for_receipts_has_a_backlog(waited_s: float, is_late: bool) -> None:
    """Who waits for half a minute is behind though it never was away: what comes is about the past."""
    run = station(rule(CAP))
    run.advance(START + 200_000)
    heard(run, True, (3, 0), waited_s)
    run.observe(Reading("h/cap_open", START + 100_000, True))
    assert [(t.event, t.retrospective) for t in run.transitions] == [("raise", is_late)]


def test_reading_that_is_held_back_reaches_everybody_who_waits_for_it(tmp_path: Path) -> None:
    """A point in a rule over both lanes and in a group over two agents is judged in both once its time has come."""
    few = rule({
        "id": "few",
        "per": "group",
        "group": "main",
        "applies_to": ["hydrant-municipal/pressure_kpa"],
        "when": {"kind": "tally", "of": {"kind": "threshold", "below": 140, "clear": 150}, "at_least": 1},
    })  # fmt: skip
    rules = {"few": few, "both": rule(BOTH)}
    run = Run(engine_of(rules, site_of(tmp_path, TWO_AGENTS)), [("s", "edge"), ("s", "edge2")])
    run.say("h/cap_open", True)
    run.advance(START + 10_000)
    heard(run, False)
    run.advance(START + 60_000)
    heard(run, True, (1, 2))
    run.observe(Reading("h/pressure_kpa", START + 30_000, 100.0))
    heard(run, True)
    run.advance(START + 70_000)
    assert events(run, "both") == [("raise", 30)]
    assert events(run, "few") == [("raise", 30)]


@pytest.mark.parametrize(("over_s", "told"), [(40.0, [("raise", 40.0), ("clear", 40.0)]), (39.999, [])])
def test_time_that_is_over_comes_before_the_reading_of_the_same_moment(over_s: float, told: list[Any]) -> None:
    """A condition that held for its whole time is told, also when late data ends it at that very moment."""
    run = station(rule({**BOTH, "for_s": 10}))
    run.say("h/cap_open", True)
    heard(run, False)
    run.advance(START + 100_000)
    heard(run, True, (1, 1))
    run.observe(
        Reading("h/pressure_kpa", START + 30_000, 100.0), Reading("h/pressure_kpa", START + int(over_s * 1000), 300.0)
    )
    heard(run, True)
    run.advance(START + 110_000)
    assert events(run, "both") == told
