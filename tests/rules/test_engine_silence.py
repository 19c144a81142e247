"""Who counts as silent, since when, and what wakes the engine for it: devices, agents and lines in detail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.messages import Reading
from rules.engine import Engine
from rules.model import Absence, AgentLost, Rule
from tests.rules.engine_run import LIBRARY, RULES, START, Run, engine_of, rule, site_of

HYDRANT = LIBRARY["hydrant-municipal"]
LOST, SILENT, LINE = RULES["agent-lost"], RULES["device-silent"], RULES["line-lost"]
assert isinstance(LOST.when, AgentLost)
assert isinstance(SILENT.when, Absence)
HEARD_MS, LOST_FOR_MS = int(LOST.when.after_s * 1000), int(LOST.for_s * 1000)
FOR_MS = int(SILENT.for_s * 1000)
LEAST_MS = int(2 * HYDRANT.max_silence_s * 1000)
"""A hydrant repeats its values within half of this."""
ALL = {"agent-lost": LOST, "device-silent": SILENT, "line-lost": LINE}
TWO = """\
agents:
  - id: edge
    lines:
      - id: bus
        kind: modbus_tcp
        host: 10.0.0.1
        port: 502
        devices:
          - {id: h, profile: hydrant-municipal, unit_id: 1}
          - {id: g, profile: hydrant-municipal, unit_id: 2}
"""
OTHER_LINE = """\
      - {id: bus2, kind: modbus_tcp, host: 10.0.0.2, port: 502, devices: [{id: k, profile: hydrant-municipal, unit_id: 1}]}
"""  # noqa: E501  # the text of a site file


def absent(after_s: float, name: str = "absent") -> Rule:
    when = {"kind": "absence", "after_s": after_s}
    return rule({"id": name, "per": "device", "applies_to": ["hydrant-municipal/*"], "when": when})


def station(*rules: Rule) -> Run:
    def make() -> Engine:
        engine = Engine({each.id: each for each in rules})
        engine.add_device("s", "edge", "h", HYDRANT)
        return engine

    return Run(make, checkpoint_every=1)


def lines_of(folder: Path, text: str = TWO, **more: Rule) -> Run:
    return Run(engine_of({**ALL, **more}, site_of(folder, text)), checkpoint_every=1)


def events(run: Run, name: str) -> list[tuple[str, int]]:
    return [(t.event, t.event_ms - START) for t in run.transitions if t.rule == name]


def next_s(run: Run) -> float | None:
    """Seconds until something is due, when all that is due by now is done."""
    run.engine.advance(run.now)
    due_ms = run.engine.next_due_ms()
    return None if due_ms is None else (due_ms - run.now) / 1000


# --- devices ---------------------------------------------------------------------------------------------------------


def restarted(run: Run, alive_ms: int) -> None:
    """Start anew; the last run is known to have run until then."""
    states = [state for state in run.states.values() if state.phase != "rest"]
    values = [(key, v.observed_ms, v.received_ms, v.value, v.quality) for key, v in run.engine.values()]
    agents = [(*agent, online, run.now) for agent, online in run.agents.items()]
    run.engine = run._make()
    run.engine.restore(states, [value for value in values if value[2]], agents, run.now, alive_ms=alive_ms)
    run.commit()


@pytest.mark.parametrize(("after_s", "silent_ms"), [(10.0, LEAST_MS), (5_000.0, 5_000_000)])
def test_device_is_silent_at_the_longer_of_the_rule_and_its_own_repetition(after_s: float, silent_ms: int) -> None:
    """A rule cannot call a device silent that was not yet due to repeat itself, and may wait longer than that."""
    run = station(absent(after_s))
    run.advance(START + silent_ms - 1)
    assert run.of() == []
    run.advance(START + silent_ms + 2_000)
    assert events(run, "absent") == [("raise", silent_ms)]


def test_first_of_two_rules_counts_when_one_device_has_both() -> None:
    """The shorter silence of two rules is the one at which the device is at fault."""
    run = station(absent(700.0), absent(5_000.0, "later"))
    run.advance(START + 702_000)
    assert events(run, "absent") == [("raise", 700_000)]
    assert run.engine.cause_of("s", "h") == "s/h"


def test_device_is_not_looked_at_before_it_can_be_silent() -> None:
    """Nothing wakes the engine until a device's time is over; a silent one is looked at every second."""
    run = station(absent(10.0))
    assert next_s(run) == LEAST_MS / 1000
    run.advance(START + 100_000)
    run.say("h/pressure_kpa", 300.0)
    run.advance(START + LEAST_MS)
    assert next_s(run) == 100
    run.advance(START + 100_000 + LEAST_MS)
    assert next_s(run) == 1
    run.say("h/pressure_kpa", 300.0)
    run.advance(run.now + 1_000)
    assert events(run, "absent") == [("raise", 100_000 + LEAST_MS), ("clear", 100_000 + LEAST_MS)]
    run.advance(run.now + 1_000)
    assert next_s(run) == LEAST_MS / 1000 - 2


def test_device_is_not_missed_when_no_rule_misses_it() -> None:
    """Without a rule about silence nobody waits for anything."""
    run = station(rule({
        "id": "low", "applies_to": ["hydrant-municipal/pressure_kpa"],
        "when": {"kind": "threshold", "below": 140, "clear": 150},
    }))  # fmt: skip
    assert next_s(run) is None
    restarted(run, START)
    assert next_s(run) is None
    run.advance(START + 10_000_000)
    assert run.engine.cause_of("s", "h") is None


def test_silence_in_clearing_begins_again_when_the_device_falls_silent() -> None:
    """One reading in a long silence is told; it ends the alarm after the rule's time only."""
    calm = rule({**absent(700.0).model_dump(by_alias=True), "clear_for_s": 5_000})
    run = station(calm)
    run.advance(START + 710_000)
    run.say("h/pressure_kpa", 300.0)
    run.advance(START + 712_000)
    assert run.engine.cause_of("s", "h") is None
    run.advance(START + 4_000_000)
    assert run.engine.cause_of("s", "h") == "s/h"
    run.say("h/pressure_kpa", 300.0)
    for _ in range(25):
        run.advance(run.now + 250_000)
        run.say("h/pressure_kpa", 300.0)
    assert events(run, "absent") == [("raise", 700_000), ("clear", 9_000_000)]


def test_device_that_was_silent_is_so_still_after_a_short_stop() -> None:
    """Back within seconds nothing counts anew: a silent device stays so and the reading that came ends it."""
    run = station(absent(700.0))
    run.advance(START + 600_000)
    restarted(run, run.now)
    assert next_s(run) == 100
    run.advance(START + 710_000)
    restarted(run, run.now)
    assert run.engine.cause_of("s", "h") == "s/h"
    assert next_s(run) == 1
    run.say("h/pressure_kpa", 300.0)
    restarted(run, run.now)
    run.advance(run.now + 2_000)
    assert run.engine.cause_of("s", "h") is None
    assert events(run, "absent") == [("raise", 700_000), ("clear", 710_000)]


def test_word_of_the_device_is_looked_at_soon_after_a_short_stop() -> None:
    """A device that says itself that it is gone is no silent one, and the stop does not change that."""
    run = station(absent(700.0))
    run.say("h/online", False)
    restarted(run, run.now)
    assert next_s(run) == 1
    run.advance(run.now + 60_000)
    assert run.engine.cause_of("s", "h") == "s/h"
    run.say("h/online", True)
    assert events(run, "absent") == [("raise", 0), ("clear", 60_000)]


@pytest.mark.parametrize("for_s", [0, 60])
def test_silence_is_the_cause_still_after_a_long_stop(for_s: int) -> None:
    """Up or only noticed, the silence of before a long stop is the cause until a reading comes."""
    slow = rule({**absent(700.0).model_dump(by_alias=True), "for_s": for_s})
    run = station(slow)
    run.advance(START + 710_000)
    restarted(run, 0)
    run.heartbeat()
    assert run.engine.cause_of("s", "h") == "s/h"
    for _ in range(3):
        run.say("h/pressure_kpa", 300.0)
        run.advance(run.now + 300_000)
    assert run.engine.cause_of("s", "h") is None


# --- agents ----------------------------------------------------------------------------------------------------------


def agent_station(*rules: Rule) -> Engine:
    engine = Engine({each.id: each for each in rules})
    engine.add_device("s", "edge", "h", HYDRANT)
    engine.restore([], [], [("s", "edge", True, START)], START)
    engine.agent_heard("s", "edge", True, START)
    return engine


def lost(after_s: float, for_s: float, name: str) -> Rule:
    return rule({"id": name, "per": "agent", "when": {"kind": "agent_lost", "after_s": after_s}, "for_s": for_s})


def told(engine: Engine) -> list[tuple[str, str, int]]:
    return [(t.rule, t.event, t.event_ms - START) for t in engine.take().transitions]


def pass_time(engine: Engine, to_ms: int) -> None:
    while (due_ms := engine.next_due_ms()) is not None and due_ms <= to_ms:
        engine.advance(due_ms)
    engine.advance(to_ms)


def test_loss_that_silence_began_counts_anew_when_the_gateway_itself_did_not_run() -> None:
    """A pause of the gateway proves nothing against an agent: what waited is taken first, then the time runs anew."""
    engine = agent_station(LOST)
    pass_time(engine, START + HEARD_MS + 1)
    engine.woke(START + 500_000)
    assert engine.cause_of("s", "h") == "s/edge"
    pass_time(engine, START + 500_000 + HEARD_MS + LOST_FOR_MS - 1)
    assert told(engine) == []
    pass_time(engine, START + 500_000 + HEARD_MS + LOST_FOR_MS)
    assert told(engine) == [("agent-lost", "raise", 500_000 + HEARD_MS + LOST_FOR_MS)]


def test_loss_is_not_told_when_the_broker_took_the_heartbeats_away() -> None:
    """Heartbeats stay away before the broker's loss is noticed; once it is back the agent has its whole time."""
    engine = agent_station(LOST)
    pass_time(engine, START + HEARD_MS + 1)
    engine.broker(False, START + HEARD_MS + 2)
    pass_time(engine, START + 300_000)
    engine.broker(True, START + 300_000)
    pass_time(engine, START + 305_000)
    engine.agent_heard("s", "edge", True, START + 305_000)
    pass_time(engine, START + 305_000 + HEARD_MS - 1)
    assert told(engine) == []
    assert engine.cause_of("s", "h") is None


def test_last_will_stands_when_the_gateway_itself_did_not_run() -> None:
    """What the last will said needs no silence: the loss is told when its time is over."""
    engine = agent_station(LOST)
    engine.agent_heard("s", "edge", False, START + 1_000)
    engine.woke(START + 500_000)
    pass_time(engine, START + 501_000)
    assert told(engine) == [("agent-lost", "raise", 1_000 + LOST_FOR_MS)]


def test_each_rule_about_an_agent_has_its_own_time() -> None:
    """Of two rules the shorter speaks first; the agent is gone then, and back with its first word."""
    engine = agent_station(lost(100, 0, "soon"), lost(300, 0, "late"))
    assert engine.next_due_ms() == START + 100_000
    pass_time(engine, START + 200_000)
    assert told(engine) == [("soon", "raise", 100_000)]
    assert engine.cause_of("s", "h") == "s/edge"
    engine.agent_heard("s", "edge", True, START + 250_000)
    assert told(engine) == [("soon", "clear", 250_000)]
    pass_time(engine, START + 250_000)
    assert engine.next_due_ms() == START + 350_000


def test_agent_is_woken_for_no_earlier_than_its_next_word_is_due() -> None:
    """A pause gives one whole time; the timers of before say nothing."""
    engine = agent_station(LOST)
    pass_time(engine, START + 1_000)
    engine.woke(START + 2_000)
    pass_time(engine, START + HEARD_MS)
    assert engine.next_due_ms() == START + 2_000 + HEARD_MS


def test_devices_count_anew_each_time_their_agent_comes_back_and_not_at_each_word() -> None:
    """The return of an agent gives its devices their time; a heartbeat gives them none."""
    run = Run(lambda: _agent_and_silence())
    run.advance(START + LEAST_MS - 1)
    assert run.engine.cause_of("s", "h") is None
    run.advance(START + LEAST_MS)
    assert run.engine.cause_of("s", "h") == "s/h"


def _agent_and_silence() -> Engine:
    engine = Engine({"absent": absent(10.0), "agent-lost": LOST})
    engine.add_device("s", "edge", "h", HYDRANT)
    return engine


# --- lines -----------------------------------------------------------------------------------------------------------


def test_last_reading_before_a_stop_tells_the_line_once(tmp_path: Path) -> None:
    """A line the agent called lost is so after a long stop though its devices never said a word."""
    run = lines_of(tmp_path)
    run.say("line-bus/online", False)
    run.advance(START + 120_000)
    restarted(run, 0)
    run.heartbeat()
    assert run.engine.cause_of("s", "g") == "s/line-bus"
    run.say("line-bus/online", True)
    run.advance(run.now + 60_000)
    assert [event for event, _ in events(run, "line-lost")] == ["raise", "clear"]


def test_one_silent_device_is_no_lost_line(tmp_path: Path) -> None:
    """A line with a single device is told only by its agent; the device is the fault."""
    run = lines_of(tmp_path, TWO + OTHER_LINE)
    run.say("k/online", False)
    run.advance(START + 120_000)
    assert run.engine.cause_of("s", "k") == "s/k"
    assert run.of("line-lost") == []
    restarted(run, 0)
    run.heartbeat()
    assert run.engine.cause_of("s", "k") == "s/k"


def test_line_told_lost_is_back_when_any_device_of_it_answers(tmp_path: Path) -> None:
    """An answer proves more than what was said of the port."""
    run = lines_of(tmp_path)
    run.say("line-bus/online", False)
    run.say("h/online", False)
    run.say("g/online", False)
    assert run.engine.cause_of("s", "g") == "s/line-bus"
    run.say("g/online", True)
    assert run.engine.cause_of("s", "g") is None
    assert run.engine.cause_of("s", "h") == "s/h"
    assert [event for event, _ in events(run, "line-lost")] in ([], ["raise"])
    run.advance(START + 60_000)
    assert [event for event, _ in events(run, "line-lost")] == ["raise", "clear"]


def test_silent_devices_make_a_lost_line_without_a_word(tmp_path: Path) -> None:
    """Devices of which nothing is heard any more are one line, and the line's record counts them."""
    run = lines_of(tmp_path)
    run.advance(START + 3 * LEAST_MS)
    raised = [t for t in run.transitions if t.event == "raise"]
    assert [(t.rule, t.subject, t.inputs["silent"], t.inputs["online"]) for t in raised] == [
        ("line-lost", "s/line-bus", 2, None)
    ]
    run.say("h/pressure_kpa", 300.0)
    run.say("g/pressure_kpa", 300.0)
    run.advance(run.now + 60_000)
    assert [event for event, _ in events(run, "line-lost")] == ["raise", "clear"]


def test_word_that_is_neither_yes_nor_no_changes_no_device() -> None:
    """A device that says something else about being there is neither gone nor back."""
    run = station(absent(700.0))
    run.observe(Reading("h/online", run.now, None, "unknown:no_answer"))
    assert run.engine.cause_of("s", "h") is None
    run.say("h/online", False)
    run.observe(Reading("h/online", run.now, None, "unknown:no_answer"))
    assert run.engine.cause_of("s", "h") == "s/h"
    words: dict[str, Any] = {t.event: t.inputs for t in run.transitions}
    assert words["raise"]["value"] is False
