"""What is judged before what, and what waits for what: lanes that are behind, timers of other courses, restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.messages import Reading
from rules.engine import Engine
from rules.memory import RuleState
from rules.model import Rule
from tests.rules.engine_run import LIBRARY, START, Run, engine_of, rule, site_of

HYDRANT = LIBRARY["hydrant-municipal"]
CAP = {"id": "cap", "applies_to": ["hydrant-municipal/cap_open"], "when": {"kind": "state", "equals": [True]}}
LOW = {
    "id": "low",
    "applies_to": ["hydrant-municipal/pressure_kpa"],
    "when": {"kind": "threshold", "below": 140, "clear": 150},
    "for_s": 30,
}
IS_LOW = {"kind": "threshold", "point": "pressure_kpa", "below": 140, "clear": 150}
IS_OPEN = {"kind": "state", "point": "cap_open", "equals": [True]}
CAP_STANDS = {"kind": "alarm", "rules": ["cap"]}


def both(name: str, *parts: dict[str, Any]) -> Rule:
    """A rule on the whole hydrant that wants all of these."""
    return rule(
        {"id": name, "per": "device", "applies_to": ["hydrant-municipal/*"], "when": {"kind": "all", "of": list(parts)}}
    )


def station(*rules: Rule, devices: tuple[str, ...] = ("h", "g"), due_ms: int | None = None) -> Run:
    """Hydrants on one agent. due_ms: when their calibration is due, as it is told at every start."""

    def make() -> Engine:
        engine = Engine({each.id: each for each in rules})
        for device in devices:
            engine.add_device("s", "edge", device, HYDRANT)
            if due_ms is not None:
                engine.set_dates("s", device, {"calibration": due_ms})
        return engine

    return Run(make, checkpoint_every=1)


def back_with(run: Run, alarm: int, telemetry: int) -> None:
    """The agent was away for ten minutes and is back with so many batches on each lane."""
    run.engine.agent_heard("s", "edge", False, run.now)
    run.agents["s", "edge"] = False
    run.advance(START + 600_000)
    run.agents["s", "edge"] = True
    run.engine.agent_heard("s", "edge", True, run.now, (alarm, telemetry))
    run.commit()


def at(second: int, point: str, value: float | bool) -> Reading:
    return Reading(point, START + second * 1000, value)


# --- lanes -----------------------------------------------------------------------------------------------------------


def test_lane_has_caught_up_when_as_many_batches_came_as_the_agent_held() -> None:
    """Nothing more is to come, so what was measured last is true now: the alarm comes without another word."""
    run = station(rule(LOW))
    back_with(run, 0, 2)
    run.observe(at(10, "h/pressure_kpa", 100.0))
    assert run.of() == []
    run.observe(at(20, "h/pressure_kpa", 100.0))
    assert run.of() == [("s/h/pressure_kpa", "raise", 40)]


def test_time_of_a_lane_does_not_go_back_when_an_older_batch_follows() -> None:
    """What was complete up to a moment is so still: an alarm that was due before it comes at once."""
    run = station(rule(LOW))
    back_with(run, 0, 9)
    run.observe(at(10, "h/pressure_kpa", 100.0), at(100, "h/flow_lps", 0.0))
    assert run.of() == [("s/h/pressure_kpa", "raise", 40)]
    run.observe(at(45, "g/pressure_kpa", 100.0), at(50, "g/flow_lps", 0.0))
    assert run.of()[1:] == [("s/g/pressure_kpa", "raise", 75)]


def test_reading_is_judged_when_every_lane_has_come_to_its_very_moment() -> None:
    """A moment is complete as soon as each lane has spoken of it; nobody waits for a later one."""
    run = station(both("open-and-low", IS_OPEN, IS_LOW))
    back_with(run, 5, 5)
    run.observe(at(15, "h/cap_open", True))
    run.observe(at(10, "h/pressure_kpa", 120.0), at(15, "h/flow_lps", 0.0))
    assert run.of() == [("s/h", "raise", 15)]


def test_value_that_ends_a_wait_counts_when_both_are_held_back() -> None:
    """A low value and the good one after it wait for the other lane: when it has come, the dip was a short one. Once
    judged they are not kept any longer."""
    run = station(rule(CAP), rule({**LOW, "inhibit_by": [{"rule": "cap"}]}))
    back_with(run, 1, 1)
    run.observe(at(10, "h/pressure_kpa", 100.0), at(20, "h/pressure_kpa", 300.0))
    assert [key for key, data in run.engine.series() if any(kept["held"] for kept in data.values())] == [
        "s/h/pressure_kpa"
    ]
    run.observe(at(60, "h/cap_open", False))
    run.advance(run.now + 60_000)
    assert run.of() == []
    list(run.engine.series())
    assert list(run.engine.series()) == []


def test_alarm_that_is_due_comes_before_a_reading_of_the_same_moment() -> None:
    """A cap that has been open for its ten seconds inhibits what is measured at that very moment."""
    run = station(
        rule({**CAP, "for_s": 10}), rule({**LOW, "for_s": 0, "inhibit_by": [{"rule": "cap", "scope": "site"}]})
    )
    run.say("h/cap_open", True)
    run.now = START + 10_000
    run.say("g/pressure_kpa", 100.0)
    run.advance(START + 11_000)
    assert run.of() == [("s/h/cap_open", "raise", 10)]


# --- restarts --------------------------------------------------------------------------------------------------------


def test_alarm_to_look_at_is_not_forgotten_when_the_gateway_restarts_while_it_catches_up() -> None:
    """An alarm came on the lane that is complete; those who look at it have still to come that far, and do so after a
    restart too."""
    run = station(rule(CAP), both("low-while-open", CAP_STANDS, IS_LOW))
    run.advance(START + 1_000)
    back_with(run, 1, 2)
    run.observe(at(5, "h/pressure_kpa", 100.0))
    run.observe(at(20, "h/cap_open", True))
    assert run.of("low-while-open") == []
    run.restart()
    run.engine.agent_heard("s", "edge", True, run.now, (0, 1))
    run.observe(at(60, "g/flow_lps", 0.0))
    run.advance(run.now + 5_000)
    assert run.of("low-while-open") == [("s/h", "raise", 20)]


def test_what_an_earlier_run_wrote_down_to_be_looked_at_is_looked_at() -> None:
    """The words in the ledger mean the same for ever: a reading that was committed is judged at the moment noted."""
    run = station(both("low", IS_LOW))
    noted = RuleState("low", "s/h", "past", 0, None, {"_": {"dues": [[START + 5_000, "look"]]}})
    engine = run.engine = run._make()
    seen = [("s", [Reading("h/pressure_kpa", START - 1_000, 100.0)], START - 1_000, 0)]
    engine.restore([noted], [], [("s", "edge", True, START)], START, tail=seen)
    run.heartbeat()
    run.advance(START + 60_000)
    assert run.of() == [("s/h", "raise", 5)]


def test_dates_are_heeded_when_they_are_told_before_the_memory_is_restored() -> None:
    """The gateway tells dates at its start and goes on from its ledger afterwards: neither is in the other's way."""
    due = {"kind": "due", "of": "calibration"}
    run = station(both("due-and-low", due, IS_LOW), devices=("h",), due_ms=START + 100_000)
    run.say("h/pressure_kpa", 100.0)
    run.advance(START + 10_000)
    run.restart()
    run.heartbeat()
    run.advance(START + 200_000)
    assert run.of() == [("s/h", "raise", 100)]


# --- courses ---------------------------------------------------------------------------------------------------------


def test_group_that_waits_goes_on_waiting_when_a_device_of_another_agent_joins_it(tmp_path: Path) -> None:
    """A hydrant that is approved while its group waits changes nothing about the wait, nor about another group's."""
    site = site_of(
        tmp_path,
        """\
agents:
  - id: edge
    lines:
      - id: bus
        kind: modbus_tcp
        host: 10.0.0.1
        port: 502
        devices:
          - {id: h1, profile: hydrant-municipal, unit_id: 1}
          - {id: g, profile: hydrant-municipal, unit_id: 2}
groups:
  - {id: north, kind: main, title: {zh: 北, en: North}, members: ["h*"]}
  - {id: south, kind: main, title: {zh: 南, en: South}, members: [g]}
""",
    )
    tally = {"kind": "tally", "of": {"kind": "threshold", "above": 5, "clear": 4}, "at_least": 1}
    few = {"id": "few", "per": "group", "group": "main", "applies_to": ["hydrant-municipal/flow_lps"], "when": tally}
    run = Run(engine_of({"few": rule({**few, "for_s": 30})}, site), (("s", "edge"), ("s", "edge2")), checkpoint_every=1)
    run.say("h1/flow_lps", 9.0)
    run.say("g/flow_lps", 9.0)
    run.advance(START + 10_000)
    run.engine.add_device("s", "edge2", "h2", HYDRANT)
    run.heartbeat()
    run.advance(START + 60_000)
    assert sorted(run.of()) == [("s/north", "raise", 30), ("s/south", "raise", 30)]
