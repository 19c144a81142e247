"""A gateway's life around an engine: what arrives, what is written down, restarts from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from contract.messages import Reading, Value
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from rules.engine import Engine
from rules.memory import RuleState, Transition
from rules.model import Rule, load_packs

LIBRARY = ProfileLibrary()
RULES = load_packs()
START = 1_700_000_000_000
HEARTBEAT_MS = 10_000
Decision = tuple[str, str, str, int]


class Sent(NamedTuple):
    """A batch as an agent would send it: what was measured, and on which lane."""

    agent: str
    lane: str
    readings: list[Reading]


def rule(raw: dict[str, Any]) -> Rule:
    """A rule with the words filled in."""
    words = {"zh": "字", "en": "words"}
    base = {"title": words, "advice": [words], "basis": words, "severity": "warning", "on_missing": "hold"}
    return Rule.model_validate({**base, **raw})


def site_of(folder: Path, lines: str, name: str = "s") -> Site:
    """A site from the text of its agents."""
    path = folder / f"{name}.yaml"
    path.write_text(f"site: {name}\ntitle: {{zh: 站, en: station}}\n{lines}", "utf-8")
    return load_site(path, LIBRARY)


class Run:
    """An engine, what was written down, and restarts from it.

    checkpoint_every: turns between two checkpoints; what was committed since is the tail that a restart sees again.
    """

    def __init__(
        self,
        make: Callable[[], Engine],
        agents: Iterable[tuple[str, str]] = (("s", "edge"),),
        checkpoint_every: int = 5,
        now_ms: int = START,
    ) -> None:
        self._make = make
        self.agents = dict.fromkeys(agents, True)
        self.now = now_ms
        self.states: dict[tuple[str, str], RuleState] = {}
        self.transitions: list[Transition] = []
        self._every = checkpoint_every
        self._turns = 0
        self._values: list[tuple[str, int, int, Value, str]] = []
        self._series: dict[str, Any] = {}
        self._tail: list[tuple[str, list[Reading], int, int]] = []
        self._beat_ms = now_ms
        self.beats = True
        self.engine = make()
        self.engine.restore([], [], [(*agent, True, now_ms) for agent in self.agents], now_ms)
        self.heartbeat()

    def set_clock(self, by_ms: int) -> None:
        """The gateway's clock is set while it runs."""
        self.now += by_ms
        self._beat_ms += by_ms
        self.engine.stepped(by_ms, self.now)

    def heartbeat(self) -> None:
        """Every agent that is connected says so, and that it holds nothing."""
        for (site, agent), online in self.agents.items():
            if online:
                self.engine.agent_heard(site, agent, True, self.now)
        self._beat_ms = self.now
        self.commit()

    def commit(self) -> None:
        """Write down what happened, as one transaction."""
        effects = self.engine.take()
        self.transitions += effects.transitions
        self.states.update({(s.rule, s.subject): s for s in effects.states})
        self._turns += 1
        if self._turns % self._every == 0:
            self._values = [
                (k, v.observed_ms, v.received_ms, v.value, v.quality) for k, v in self.engine.values() if v.received_ms
            ]
            self._series.update(json.loads(json.dumps(dict(self.engine.series()))))
            self._tail = []

    def advance(self, to_ms: int) -> None:
        """Let time pass, with heartbeats."""
        while self.now < to_ms:
            self.now = min(to_ms, self._beat_ms + HEARTBEAT_MS) if self.beats else to_ms
            while (due := self.engine.next_due_ms()) is not None and due <= self.now:
                self.engine.advance(due)
                self.commit()
            self.engine.advance(self.now)
            self.commit()
            if self.beats and self.now - self._beat_ms >= HEARTBEAT_MS:
                self.heartbeat()

    def observe(self, *readings: Reading, site: str = "s", offset_ms: int = 0) -> None:
        """A batch arrives now."""
        batch = list(readings)
        self.engine.observe(site, batch, self.now, offset_ms)
        self._tail.append((site, batch, self.now, offset_ms))
        self.engine.advance(self.now)
        self.commit()

    def say(self, point: str, value: Value, quality: str = "good", site: str = "s") -> None:
        """One reading measured now."""
        self.observe(Reading(point, self.now, value, quality), site=site)

    def restart(self) -> None:
        """Start anew from what was written down."""
        self.engine = self._make()
        self.engine.restore(
            [state for state in self.states.values() if state.phase != "rest"],
            self._values,
            [(*agent, online, self.now) for agent, online in self.agents.items()],
            self.now,
            self._series.items(),
            self._tail,
        )

    @property
    def decisions(self) -> list[Decision]:
        """What was decided: (rule, subject, event, event time)."""
        return [(t.rule, t.subject, t.event, t.event_ms) for t in self.transitions]

    def of(self, *rules: str) -> list[tuple[str, str, int]]:
        """Decisions of these rules: (subject, event, seconds since the start)."""
        return [
            (t.subject, t.event, (t.event_ms - START) // 1000) for t in self.transitions if not rules or t.rule in rules
        ]


def engine_of(rules: Mapping[str, Rule], *sites: Site) -> Callable[[], Engine]:
    """Makes engines that know these sites."""

    def make() -> Engine:
        engine = Engine(rules)
        for site in sites:
            engine.add_site(site)
        return engine

    return make
