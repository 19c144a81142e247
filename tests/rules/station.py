"""A station of one hydrant for tests of rules, fed second by second."""

from __future__ import annotations

from typing import Any

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
