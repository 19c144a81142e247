"""Heartbeats, silence and lines to the millisecond, and after a start that gives everybody a grace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contract.messages import Reading
from rules.engine import Engine
from rules.model import Absence, AgentLost
from tests.rules.engine_run import LIBRARY, RULES, START, Run, engine_of, site_of

LOST, SILENT, LINE = RULES["agent-lost"], RULES["device-silent"], RULES["line-lost"]
assert isinstance(LOST.when, AgentLost)
assert isinstance(SILENT.when, Absence)
HEARD_MS, FOR_MS = int(LOST.when.after_s * 1000), int(LOST.for_s * 1000)
SILENT_MS = int(SILENT.when.after_s * 1000)
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


def engine_with_agent() -> Engine:
    engine = Engine({"agent-lost": LOST})
    engine.add_device("s", "edge", "h", LIBRARY["hydrant-municipal"])
    engine.restore([], [], [("s", "edge", True, START)], START)
    return engine


def test_engine_asks_to_be_woken_when_the_next_heartbeat_is_missing() -> None:
    """The next moment is that of the agent's silence, then that of the phase; after the last will there is none."""
    engine = engine_with_agent()
    engine.agent_heard("s", "edge", True, START + 4_000)
    engine.advance(START + HEARD_MS)
    assert engine.next_due_ms() == START + 4_000 + HEARD_MS
    engine.advance(START + 4_000 + HEARD_MS)
    assert engine.next_due_ms() == START + 4_000 + HEARD_MS + FOR_MS
    engine.advance(START + 4_000 + HEARD_MS + FOR_MS)
    told = engine.take().transitions

    assert [(t.event_ms, t.inputs) for t in told] == [
        (START + 4_000 + HEARD_MS + FOR_MS, {"online": False, "heard_ms": START + 4_000})
    ]
    assert (engine.next_due_ms() or 2**62) > START + 4_000 + HEARD_MS + FOR_MS


STEPS_MS = (-86_400_000, -3_600_000, 3_600_000, 86_400_000)


@pytest.mark.parametrize("by_ms", STEPS_MS)
def test_lost_agent_is_told_as_soon_as_without_it_when_the_clock_is_set_before(by_ms: int) -> None:
    """Silence is time that passed: neither early when the clock goes forward, nor an hour late when it goes back."""
    engine = engine_with_agent()
    engine.agent_heard("s", "edge", True, START + 4_000)
    engine.advance(START + 10_000)
    engine.stepped(by_ms, START + 10_000 + by_ms)
    lost_ms = START + by_ms + 4_000 + HEARD_MS
    assert engine.next_due_ms() == lost_ms
    engine.advance(lost_ms - 1)
    engine.advance(lost_ms)
    assert engine.take().transitions == []
    engine.advance(lost_ms + FOR_MS)
    assert [t.event_ms for t in engine.take().transitions] == [lost_ms + FOR_MS]


@pytest.mark.parametrize("by_ms", STEPS_MS)
def test_loss_that_is_not_told_yet_counts_anew_when_the_clock_is_set(by_ms: int) -> None:
    """It is told once more of that time has passed, by the clock as it is now."""
    engine = engine_with_agent()
    engine.advance(START + HEARD_MS)
    engine.advance(START + HEARD_MS + 1_000)
    set_ms = START + HEARD_MS + 1_000 + by_ms
    engine.stepped(by_ms, set_ms)
    engine.advance(set_ms + FOR_MS - 1)
    assert engine.take().transitions == []
    engine.advance(set_ms + FOR_MS)
    assert [t.event_ms for t in engine.take().transitions] == [set_ms + FOR_MS]


@pytest.mark.parametrize("by_ms", STEPS_MS)
def test_silent_device_is_told_as_soon_as_without_it_when_the_clock_is_set_before(by_ms: int) -> None:
    """What was received before the step was received so long ago as it was."""
    run = Run(engine_of_one())
    run.advance(START + 100_000)
    run.say("h/pressure_kpa", 300.0)
    run.advance(START + 110_000)
    run.set_clock(by_ms)
    silent_ms = START + 100_000 + by_ms + SILENT_MS
    run.advance(silent_ms - 1)
    assert run.engine.cause_of("s", "h") is None
    run.advance(silent_ms + 60_000)
    assert run.engine.cause_of("s", "h/pressure_kpa") == "s/h"
    assert [(t.event, t.event_ms) for t in run.transitions] == [("raise", silent_ms + int(SILENT.for_s * 1000))]
    run.set_clock(-2 * by_ms)
    run.say("h/pressure_kpa", 300.0)
    run.advance(run.now + 1_000)
    assert run.engine.cause_of("s", "h") is None


def test_last_will_and_return_are_told_with_what_was_heard() -> None:
    """The words of the record say whether the agent was there and when it was heard last."""
    engine = engine_with_agent()
    engine.agent_heard("s", "edge", False, START + 1_000)
    engine.advance(START + 1_000 + FOR_MS)
    engine.agent_heard("s", "edge", True, START + 90_000)
    told = [(t.event, t.event_ms, t.inputs) for t in engine.take().transitions]

    assert told == [
        ("raise", START + 1_000 + FOR_MS, {"online": False, "heard_ms": START + 1_000}),
        ("clear", START + 90_000, {"online": True, "heard_ms": START + 90_000}),
    ]


def test_heartbeats_count_anew_when_the_gateway_itself_did_not_run() -> None:
    """Woken after a pause the gateway counts nobody as silent before a grace from then."""
    engine = engine_with_agent()
    engine.advance(START + 1_000)
    engine.woke(START + 500_000)
    engine.advance(START + 500_000 + HEARD_MS - 1)
    assert engine.cause_of("s", "h") is None
    engine.advance(START + 500_000 + HEARD_MS)
    assert engine.cause_of("s", "h") == "s/edge"


def test_silence_is_counted_from_the_last_reading_and_ended_by_the_next() -> None:
    """A silent device is the cause itself from the moment its time is over; any reading ends it within a second."""
    run = Run(engine_of_one())
    run.advance(START + 100_000)
    run.say("h/pressure_kpa", 300.0)
    run.advance(START + 100_000 + SILENT_MS - 1)
    assert run.engine.cause_of("s", "h") is None
    run.advance(START + 100_000 + SILENT_MS + 60_000)
    assert run.engine.cause_of("s", "h/pressure_kpa") == "s/h"
    assert [(t.event, t.event_ms, t.inputs) for t in run.transitions] == [
        ("raise", START + 100_000 + SILENT_MS + int(SILENT.for_s * 1000), {"heard_ms": START + 100_000})
    ]
    came_ms = run.now
    run.say("h/pressure_kpa", 300.0)
    run.advance(came_ms + 999)
    assert run.engine.cause_of("s", "h") is None or run.now - came_ms < 1_000
    run.advance(came_ms + 1_000)
    assert run.engine.cause_of("s", "h") is None
    run.advance(came_ms + 60_000)
    last = run.transitions[-1]
    assert (last.event, last.event_ms) == ("clear", came_ms + int(SILENT.clear_for_s * 1000))


def test_word_of_the_device_itself_stands_though_its_readings_come() -> None:
    """An alarm that the point `online` raised is not ended by silence being over."""
    run = Run(engine_of_one())
    run.say("h/online", False)
    run.advance(START + 20_000)
    run.say("h/pressure_kpa", 300.0)
    run.advance(START + 60_000)

    assert [event for _, event, _ in run.of()] == ["raise"]
    run.say("h/online", True)
    run.advance(START + 90_000)
    assert [event for _, event, _ in run.of()] == ["raise", "clear"]


def engine_of_one() -> Callable[[], Engine]:
    def make() -> Engine:
        engine = Engine({"device-silent": SILENT})
        engine.add_device("s", "edge", "h", LIBRARY["hydrant-municipal"])
        return engine

    return make


def test_devices_are_not_silent_while_their_agent_is_away_and_count_anew_after_it() -> None:
    """What nobody could have heard is no silence; counting begins when the agent is back."""
    run = Run(engine_of_one())
    run.say("h/pressure_kpa", 300.0)
    run.advance(START + 60_000)
    run.agents["s", "edge"] = False
    run.engine.agent_heard("s", "edge", False, run.now)
    run.advance(START + 3 * SILENT_MS)
    run.agents["s", "edge"] = True
    back_ms = run.now
    run.heartbeat()
    run.advance(back_ms + SILENT_MS - 1)
    assert run.engine.cause_of("s", "h") is None
    run.advance(back_ms + 2 * SILENT_MS)
    assert [event for _, event, _ in run.of()] == ["raise"]


@pytest.mark.parametrize(("value", "quality", "is_lost"), [
    (False, "good", True),
    (False, "uncertain:held", True),
    (False, "bad:range", False),
    (None, "unknown:no_answer", False),
    ("no", "good", False),
])  # fmt: skip
def test_line_is_lost_only_when_its_agent_says_so(
    tmp_path: Path, value: bool | str | None, quality: str, is_lost: bool
) -> None:
    """A word of bad quality, or none, changes nothing."""
    run = Run(engine_of(ALL, site_of(tmp_path, TWO)))
    run.say("line-bus/online", True)
    run.say("line-bus/online", value, quality)
    run.advance(START + 60_000)

    assert ([t.rule for t in run.transitions] == ["line-lost"]) is is_lost
    assert run.engine.cause_of("s", "h") == ("s/line-bus" if is_lost else None)


def test_line_is_lost_when_the_last_of_its_devices_is_and_back_with_the_first(tmp_path: Path) -> None:
    """Several devices that are all gone are one line; its record says how many of how many."""
    run = Run(engine_of(ALL, site_of(tmp_path, TWO)))
    run.say("h/online", False)
    run.advance(START + 1_000)
    assert run.engine.cause_of("s", "h") == "s/h"
    assert run.engine.cause_of("s", "g") is None
    run.say("g/online", False)
    assert run.engine.cause_of("s", "g") == "s/line-bus"
    run.advance(START + 60_000)
    assert [(t.rule, t.inputs) for t in run.transitions] == [
        ("line-lost", {"online": None, "silent": 2, "devices": 2, "observed_ms": START + 1_000})
    ]
    run.say("h/online", True)
    assert run.engine.cause_of("s", "g") == "s/g"
    assert run.engine.cause_of("s", "h") is None


@pytest.mark.parametrize("gone", [("line-bus",), ("h",), ("h", "g")])
def test_what_was_at_fault_is_the_cause_still_after_a_long_stop(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """From the last values and the phases the same node is at fault, and what was well is well."""
    run = Run(engine_of(ALL, site_of(tmp_path, TWO)), checkpoint_every=1)
    for device in ("h", "g", "line-bus"):
        run.say(f"{device}/online", device not in gone)
    run.advance(START + 120_000)
    causes = [run.engine.cause_of("s", each) for each in ("h", "g")]
    up = {(t.rule, t.subject) for t in run.transitions}
    run.restart()
    run.heartbeat()
    assert [run.engine.cause_of("s", each) for each in ("h", "g")] == causes
    run.advance(run.now + 60_000)
    assert {(t.rule, t.subject) for t in run.transitions} == up
    for device in gone:
        run.say(f"{device}/online", True)
    run.advance(run.now + 120_000)
    assert [t.event for t in run.transitions if t.rule == "line-lost"] in ([], ["raise", "clear"])
    assert [run.engine.cause_of("s", each) for each in ("h", "g")] == [None, None]


def test_loss_of_heartbeats_makes_what_comes_later_late(tmp_path: Path) -> None:
    """Of an agent whose heartbeats stay away nothing is complete: what comes after it is about the past."""
    rules = {**ALL, "pump-manual": RULES["pump-manual"]}
    site = site_of(tmp_path, TWO.replace("hydrant-municipal, unit_id: 2", "pump-controller, unit_id: 2"))
    run = Run(engine_of(rules, site))
    run.beats = False
    run.advance(START + 600_000)
    run.observe(Reading("g/mode", START + 100_000, "manual"))
    run.observe(Reading("g/mode", START + 200_000, "auto"))

    assert [(t.event, t.retrospective) for t in run.transitions if t.rule == "pump-manual"][:1] == [("raise", True)]


def test_agents_are_not_lost_while_the_broker_is_away_and_count_anew_after_it() -> None:
    """Nobody can be heard without a broker; back again, everybody has the whole time."""
    engine = engine_with_agent()
    engine.broker(False, START + 10_000)
    engine.broker(False, START + 20_000)  # once more says nothing
    for second in range(600):
        engine.advance(START + 20_000 + second * 1_000)
    assert engine.take().transitions == []
    assert engine.cause_of("s", "h") == "broker"
    engine.broker(True, START + 700_000)
    engine.advance(START + 700_000 + HEARD_MS - 1)
    assert engine.cause_of("s", "h") is None
    engine.advance(START + 700_000 + HEARD_MS)
    assert engine.cause_of("s", "h") == "s/edge"
