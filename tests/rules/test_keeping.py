"""Who was there, written down and taken up again: a short stop changes nothing, a longer one gives all a grace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.messages import Reading
from contract.site import Site
from rules.decisions import RuleState
from rules.engine import Engine
from rules.keeping import PRESENCE, RESUME_MS, states_of, take_up
from rules.memory import COURSE, Agent, Device, Line
from tests.rules.engine_run import LIBRARY, RULES, START, Run, engine_of, rule, site_of

STATION = """\
agents:
  - id: edge
    lines:
      - id: bus
        kind: modbus_tcp
        host: 10.0.0.1
        port: 502
        devices:
          - {id: h1, profile: hydrant-municipal, unit_id: 1}
          - {id: h2, profile: hydrant-municipal, unit_id: 2}
      - id: pumps
        kind: modbus_tcp
        host: 10.0.0.2
        port: 502
        devices:
          - {id: pump-1, profile: pump-controller, unit_id: 1}
  - id: gate
    lines:
      - id: panel
        kind: modbus_tcp
        host: 10.0.0.3
        port: 502
        devices:
          - {id: panel-1, profile: panel-modbus, unit_id: 1, points: 4}
"""
OPEN_AND_LOW: dict[str, Any] = {
    "id": "open-and-low",
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
MANY_STARTS: dict[str, Any] = {
    "id": "many-starts",
    "applies_to": ["pump-controller/running"],
    "when": {"kind": "count", "equals": [True], "at_least": 3, "within_s": 3600},
}
LOW: dict[str, Any] = {
    "id": "low",
    "applies_to": ["hydrant-municipal/pressure_kpa"],
    "when": {"kind": "threshold", "below": 140, "clear": 150},
    "for_s": 10,
    "clear_for_s": 5,
    "inhibit_by": [{"rule": "critical"}],
}
CRITICAL: dict[str, Any] = {
    "id": "critical",
    "applies_to": ["hydrant-municipal/pressure_kpa"],
    "when": {"kind": "threshold", "below": 100, "clear": 110},
    "for_s": 5,
    "on_missing": "clear",
}
CAP: dict[str, Any] = {
    "id": "cap",
    "applies_to": ["hydrant-municipal/cap_open"],
    "when": {"kind": "state", "equals": [True]},
    "flap": {"count": 3, "within_s": 100, "calm_s": 60},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return site_of(tmp_path_factory.mktemp("kept"), STATION)


def make(site: Site) -> Engine:
    shipped = ("agent-lost", "line-lost", "device-silent", "panel-silent", "panel-fire", "pump-manual")
    own = {str(raw["id"]): rule(raw) for raw in (OPEN_AND_LOW, MANY_STARTS, LOW, CRITICAL, CAP)}
    return engine_of({**{name: RULES[name] for name in shipped}, **own}, site)()


class Life(Run):
    """A run whose restarts are short stops, or longer ones."""

    def __init__(self, site: Site, *, restarts: bool = False, checkpoint_every: int = 4) -> None:
        super().__init__(lambda: make(site), [("s", "edge"), ("s", "gate")], checkpoint_every)
        self._restarts = restarts

    def stop(self, stop_ms: int = 0) -> None:
        """Stop, and start anew so much later from what was written down."""
        alive_ms, self.now = self.now, self.now + stop_ms
        self.engine = self._make()
        kept = [RuleState(*json.loads(json.dumps(state))) for state in self.states.values() if state.phase != "rest"]
        self.engine.restore(
            kept,
            self._values,
            [(*agent, True, 0) for agent in self.agents],
            self.now,
            self._series.items(),
            self._tail,
            alive_ms,
        )

    def advance(self, to_ms: int) -> None:
        """As ever, with a stop at the end of it."""
        super().advance(to_ms)
        if self._restarts:
            self.stop()

    def observe(self, *readings: Reading, site: str = "s", offset_ms: int = 0) -> None:
        """As ever, with a stop after it."""
        super().observe(*readings, site=site, offset_ms=offset_ms)
        if self._restarts:
            self.stop()

    def heard(self, agent: str, online: bool, held: tuple[int, int] | None = (0, 0), waited_s: float = 0.0) -> None:
        """An agent says that it is there, or is said not to be."""
        self.agents["s", agent] = online
        self.engine.agent_heard("s", agent, online, self.now, held, waited_s)
        self.commit()
        if self._restarts:
            self.stop()

    def told(self) -> list[tuple[Any, ...]]:
        """Everything that was decided."""
        return [tuple(t) for t in self.transitions]


def story_of_presence(life: Life) -> None:
    """Devices that fall silent, a line that dies, and one that is said to be dead."""
    for device in ("h1", "h2", "pump-1", "panel-1"):
        life.say(f"{device}/online", True)
    life.advance(START + 30_000)
    life.say("h1/online", False)
    life.advance(START + 50_000)
    life.say("h2/online", False)
    life.advance(START + 90_000)
    life.say("h1/online", True)
    life.say("h2/online", True)
    life.advance(START + 120_000)
    life.say("line-bus/online", False)
    life.say("h1/online", False)
    life.advance(START + 150_000)
    life.say("line-bus/online", True)
    life.advance(START + 170_000)
    life.say("h1/online", True)
    life.advance(START + 760_000)  # pump and panel say nothing any more
    life.say("panel-1/online", True)
    life.say("pump-1/mode", "auto")
    life.advance(START + 790_000)


def story_of_an_outage(life: Life) -> None:
    """An agent that goes and comes back with a backlog; what it kept comes in pieces; rules on both of its lanes."""
    life.say("h1/cap_open", False)
    life.say("h1/pressure_kpa", 300.0)
    for running in (False, True, False, True, False):
        life.advance(life.now + 2_000)
        life.say("pump-1/running", running)
    life.advance(START + 30_000)
    life.heard("edge", False)
    life.advance(START + 80_000)
    life.heard("edge", True, (2, 3))
    life.observe(Reading("h1/cap_open", START + 35_000, True), Reading("pump-1/mode", START + 40_000, "manual"))
    life.observe(Reading("h1/cap_open", START + 60_000, False), Reading("pump-1/running", START + 44_000, True))
    life.observe(Reading("h1/pressure_kpa", START + 34_000, 120.0))
    life.observe(Reading("h1/pressure_kpa", START + 50_000, 90.0))
    life.observe(Reading("h1/pressure_kpa", START + 78_000, 300.0))
    life.advance(START + 120_000)
    life.heard("edge", True, (0, 40), 45.0)  # slow this time, not away
    life.observe(Reading("h1/pressure_kpa", START + 86_000, 95.0), Reading("h1/cap_open", START + 118_000, True))
    life.observe(Reading("h1/pressure_kpa", START + 119_000, 310.0))
    life.heard("edge", True, None)
    life.advance(START + 140_000)
    life.beats = False  # now the heartbeats stay away
    life.heard("gate", True)
    life.advance(START + 145_000)
    life.heard("edge", True)
    life.advance(START + 240_000)
    life.beats = True
    life.heartbeat()
    life.say("panel-1/p001", "fire")
    life.advance(START + 400_000)


def story_of_flapping(life: Life) -> None:
    """A valve that flaps, an alarm beneath another, a count of starts."""
    for number in range(12):
        life.say("h1/cap_open", number % 2 == 0)
        life.say("h1/pressure_kpa", 90.0 if number % 3 == 0 else 130.0)
        life.say("pump-1/running", number % 2 == 0)
        life.advance(START + number * 15_000)
    life.say("h1/pressure_kpa", None, "unknown:no_answer")
    life.advance(START + 300_000)
    life.say("h1/pressure_kpa", 300.0)
    life.advance(START + 600_000)


@pytest.mark.parametrize("checkpoint_every", [1, 3, 10**9])
@pytest.mark.parametrize("story", [story_of_presence, story_of_an_outage, story_of_flapping])
def test_nothing_is_decided_otherwise_when_every_turn_is_followed_by_a_short_stop(
    site: Site, story: Any, checkpoint_every: int
) -> None:
    """Stopped for a moment after each batch, the gateway decides the same at the same times for the same reasons,
    whatever part of its memory comes from the checkpoint."""
    undisturbed = Life(site)
    story(undisturbed)
    stopped = Life(site, restarts=True, checkpoint_every=checkpoint_every)
    story(stopped)

    assert len(undisturbed.transitions) >= 4
    assert stopped.told() == undisturbed.told()


def agent_of() -> tuple[Agent, Line, Device]:
    agent = Agent("s/edge")
    return agent, Line("s/line-bus", agent), Device("s", "h1", agent, LIBRARY["hydrant-municipal"])


def test_every_field_comes_back_when_it_was_written_down() -> None:
    """Each field of an agent, a line and a device is the same after it went through the ledger."""
    agent, line, device = agent_of()
    agent.online, agent.heard_ms, agent.returned_ms = True, 11, 12
    agent.lanes["alarm"].behind, agent.lanes["alarm"].held, agent.lanes["alarm"].newest_ms = False, None, 13
    agent.lanes["telemetry"].behind, agent.lanes["telemetry"].held, agent.lanes["telemetry"].newest_ms = True, 4, 14
    line.told = False
    line.fault.begin(15)
    line.fault.end(16)
    line.fault.begin(17)
    device.since_ms, device.silent = 18, True
    device.fault.begin(19)
    device.fault.end(20)
    written = [RuleState(*json.loads(json.dumps(state))) for state in states_of([agent, line, device])]

    assert {(state.rule, state.subject, state.phase) for state in written} == {
        (PRESENCE, "agent s/edge", "kept"),
        (PRESENCE, "line s/line-bus", "kept"),
        (PRESENCE, "device s/h1", "kept"),
    }
    kept = {state.subject: state for state in written}
    again = agent_of()
    again[1].fault.past.append((1, 2))  # what was there before goes
    assert [take_up(node, kept) for node in again] == [True, True, True]
    assert [RuleState(*json.loads(json.dumps(state))) for state in states_of(again)] == written
    lanes = [(lane.behind, lane.held, lane.newest_ms) for lane in again[0].lanes.values()]
    assert (again[0].online, again[0].heard_ms, again[0].returned_ms) == (True, 11, 12)
    assert lanes == [(False, None, 13), (True, 4, 14)]
    assert (again[1].told, again[1].fault.since_ms, list(again[1].fault.past)) == (False, 17, [(15, 16)])
    assert (again[2].since_ms, again[2].silent, list(again[2].fault.past)) == (18, True, [(19, 20)])


def test_node_stays_as_it_is_when_nothing_was_written_down_of_it() -> None:
    """What is new since the last run is not taken up."""
    assert [take_up(node, {}) for node in agent_of()] == [False, False, False]


@pytest.mark.parametrize(("stop_ms", "lost_s"), [(0, 20), (RESUME_MS, 20), (RESUME_MS + 1, None), (-1, None)])
def test_heartbeats_go_on_when_the_stop_was_short_and_begin_anew_when_it_was_not(
    site: Site, stop_ms: int, lost_s: int | None
) -> None:
    """An agent is lost counted from its last heartbeat over a stop of up to RESUME_MS, after it (or when the clock went
    back) from the start."""
    life = Life(site)
    life.beats = False
    life.advance(START + 6_000)
    life.stop(stop_ms)
    began_ms = life.now
    life.advance(START + 120_000)
    lost = RULES["agent-lost"]
    wait_ms = int((lost.when.after_s + lost.for_s) * 1000)  # type: ignore[union-attr]  # it is AgentLost
    raised = {t.event_ms for t in life.transitions if t.rule == "agent-lost" and t.subject == "s/edge"}

    assert raised == {(START if lost_s else began_ms) + wait_ms}


def test_agent_that_was_away_is_away_still_when_the_stop_was_short(site: Site) -> None:
    """Its loss explains what is below it from the first moment on; after a long stop it gets its grace."""
    life = Life(site)
    life.heard("edge", False)
    life.advance(START + 60_000)
    life.stop(1_000)

    assert life.engine.cause_of("s", "h1") == "s/edge"
    assert life.engine.cause_of("s", "panel-1") is None


def test_line_and_device_at_fault_are_so_still_when_the_gateway_is_back(site: Site) -> None:
    """After a short stop and after a long one the same node is the cause."""
    life = Life(site, checkpoint_every=1)
    for point in ("line-bus/online", "pump-1/online"):
        life.say(point, False)
    life.say("h1/online", True)
    life.advance(START + 120_000)
    for stop_ms in (1_000, 600_000):
        life.stop(stop_ms)
        assert [life.engine.cause_of("s", each) for each in ("h2", "pump-1", "panel-1")][1:] == ["s/pump-1", None]


def test_held_readings_wait_again_when_the_gateway_is_back(site: Site) -> None:
    """How far a course was judged is written with the phases while it holds readings back."""
    life = Life(site)
    life.heard("edge", False)
    life.advance(START + 60_000)
    life.heard("edge", True, (1, 1))
    life.observe(Reading("h1/cap_open", START + 20_000, True))

    assert {state.phase for state in life.states.values() if state.rule == COURSE} == {"holding"}
    life.heartbeat()
    assert {state.phase for state in life.states.values() if state.rule == COURSE} == {"rest"}
