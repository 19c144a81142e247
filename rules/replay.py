"""History run through an engine again, in event time: what would have been decided.

A replay is to the engine what the gateway is: readings come in the order of their times, in short pieces as batches
do, timers speak when they are due, and the life of each alarm is told back for the rules that ask about alarms. What
a history does not keep is made up for, always in the same way, so that a replay gives the same every time:

* Heartbeats. An agent from which nothing came for 1.5 times the shortest silence its devices allow counts as away
  from then until its next reading. Rules about lost agents are left out (`replayable`).
* Times of receipt. A reading counts as received when it was measured; nothing is back-filled.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from contract.messages import Reading
from rules.engine import Engine
from rules.memory import Transition
from rules.model import Rule

PIECE_MS = 2000
"""Readings this close together are given to the engine in one go, as a batch of an agent is."""
AWAY_FACTOR = 1.5
AT_ONCE_MS = 1000
"""An alarm that its cause suppresses within this calls nobody."""
_LIVE = frozenset({"active", "unacknowledged"})
_SEEN = frozenset({"active"})
_RETURNED = frozenset({"returned_unacknowledged"})
_OVER: frozenset[str] = frozenset()


class Source(NamedTuple):
    """Where the readings of one point come from. agent: (site, agent), as in the site file."""

    site: str
    point: str
    agent: tuple[str, str]


Item = tuple[int, int, Reading]
"""A reading with its time (ms UTC) and the number of its source: what a replay is fed with, in order."""
_time = itemgetter(0)


class Acknowledged(NamedTuple):
    """Somebody acknowledged the alarm of that rule and subject."""

    at_ms: int
    rule: str
    subject: str


class Dated(NamedTuple):
    """Dates of a device's life are these from then on, ms UTC."""

    at_ms: int
    site: str
    device: str
    due_ms: Mapping[str, int]


class PastAlarm(NamedTuple):
    """An alarm as it would have been. cleared_ms: None while it still stood at the end. count: its raises."""

    rule: str
    version: str
    severity: str
    subject: str
    site: str
    device: str | None
    raised_ms: int
    cleared_ms: int | None
    count: int  # type: ignore[assignment] # the field's own name; nobody counts the members of an alarm
    cause: str | None
    suppressed: bool
    """It would have called nobody when it was raised: something else was the cause."""
    inputs: dict[str, Any]


class Replay:
    """Feeds one engine.

    Args:
        engine: a fresh one that knows the sites.
        sources: by number, as the items name them.
        silence_ms: how long an agent may say nothing before it counts as away; agents not named never do.
        from_ms: where time begins.
    """

    def __init__(
        self, engine: Engine, sources: list[Source], silence_ms: Mapping[tuple[str, str], int], from_ms: int
    ) -> None:
        self.engine = engine
        self.alarms: list[PastAlarm] = []
        self._sources = sources
        self._silence_ms = silence_ms
        self._heard_ms = dict.fromkeys(silence_ms, from_ms)
        self._away: set[tuple[str, str]] = set()
        self._standing: dict[tuple[str, str], PastAlarm] = {}
        self._unacknowledged: dict[tuple[str, str], PastAlarm] = {}
        agents = dict.fromkeys(source.agent for source in sources) | dict.fromkeys(silence_ms)
        self._waiting: dict[str, list[Reading]] = {source.site: [] for source in sources}
        self._by_number = [self._waiting[source.site] for source in sources]
        engine.restore([], [], [(*agent, True, from_ms) for agent in agents], from_ms)
        for site, agent in agents:
            engine.agent_heard(site, agent, True, from_ms)

    def feed(self, items: list[Item]) -> None:
        """Readings, in order of time and not before those fed already."""
        at, engine = 0, self.engine
        while at < len(items):
            start_ms = items[at][0]
            self.pass_time(start_ms)
            due_ms = engine.next_due_ms()
            end_ms = start_ms + PIECE_MS if due_ms is None else min(start_ms + PIECE_MS, max(due_ms, start_ms + 1))
            to = bisect.bisect_left(items, end_ms, at, key=_time)
            self._observe(items[at:to])
            at = to

    def acknowledge(self, done: Acknowledged) -> None:
        """Somebody acknowledged; without effect where no such alarm is open."""
        self._reach(done.at_ms)
        if self._unacknowledged.pop(key := (done.rule, done.subject), None) is not None:
            self._tell_life(key)

    def set_dates(self, dated: Dated) -> None:
        """Work was recorded, or this is how things stood at the beginning."""
        self._reach(dated.at_ms)
        self.engine.set_dates(dated.site, dated.device, dated.due_ms)

    def pass_time(self, until_ms: int) -> None:
        """Let timers speak that are due by then, each at its moment."""
        self._miss_agents(until_ms)
        while (due_ms := self.engine.next_due_ms()) is not None and due_ms <= until_ms:
            self.engine.advance(due_ms)
            self._collect()

    def end(self, until_ms: int) -> list[PastAlarm]:
        """Everything that was decided up to then, in order of time."""
        self._reach(until_ms)
        found = [*self.alarms, *self._standing.values()]
        return sorted(found, key=lambda alarm: (alarm.raised_ms, alarm.rule, alarm.subject))

    def _reach(self, at_ms: int) -> None:
        self.pass_time(at_ms)
        self.engine.advance(at_ms)
        self._collect()

    def _observe(self, piece: list[Item]) -> None:
        received_ms = piece[-1][0]
        sites: dict[str, list[Reading]] = {}
        by_number = self._by_number
        for _, number, reading in piece:
            by_number[number].append(reading)
        for number, at_ms in {number: at_ms for at_ms, number, _ in piece}.items():
            self._hear(self._sources[number].agent, at_ms)
            site = self._sources[number].site
            sites[site] = self._waiting[site]
        for site, readings in sites.items():
            self.engine.observe(site, readings, received_ms)
            readings.clear()
        self._collect()

    def _hear(self, agent: tuple[str, str], at_ms: int) -> None:
        if agent in self._heard_ms:
            self._heard_ms[agent] = at_ms
            if agent in self._away:
                self._away.discard(agent)
                self.engine.agent_heard(*agent, True, at_ms)

    def _miss_agents(self, until_ms: int) -> None:
        for agent, heard_ms in self._heard_ms.items():
            away_ms = heard_ms + self._silence_ms[agent]
            if away_ms <= until_ms and agent not in self._away:
                self._away.add(agent)
                while (due_ms := self.engine.next_due_ms()) is not None and due_ms < away_ms:
                    self.engine.advance(due_ms)
                    self._collect()
                self.engine.agent_heard(*agent, False, away_ms)
                self._collect()

    def _collect(self) -> None:
        effects = self.engine.take()
        while effects.transitions:
            for transition in effects.transitions:
                self._note(transition)
            # What an alarm means to other rules may have let them speak at once.
            effects = self.engine.take()

    def _note(self, told: Transition) -> None:
        key = (told.rule, told.subject)
        event = told.event
        known = self._standing.get(key)
        if event == "clear":
            if known is not None:
                del self._standing[key]
                self.alarms.append(known._replace(cleared_ms=told.event_ms))
        elif known is None:
            if event in ("raise", "flap"):
                self._standing[key] = self._unacknowledged[key] = PastAlarm(
                    told.rule, told.rule_version, told.severity, told.subject, told.site, told.device, told.event_ms,
                    None, max(told.count, 1), told.cause, False, told.inputs,
                )  # fmt: skip
        elif event == "flap":
            self._standing[key] = known._replace(count=max(known.count, told.count))
        elif event == "suppress" and told.event_ms - known.raised_ms < AT_ONCE_MS:
            self._standing[key] = known._replace(suppressed=True, cause=told.cause)
        elif event == "release":
            self._standing[key] = known._replace(suppressed=False)
        self._tell_life(key)

    def _tell_life(self, key: tuple[str, str]) -> None:
        standing, unseen = key in self._standing, key in self._unacknowledged
        states = (_LIVE if unseen else _SEEN) if standing else (_RETURNED if unseen else _OVER)
        rule, subject = key
        alarm = self._standing.get(key) or self._unacknowledged.get(key)
        device = alarm.device if alarm is not None else None
        self.engine.note_alarm(rule, subject, subject.partition("/")[0], device, states)


def replayable(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """The rules a history can answer for: all but those about heartbeats, which no history keeps."""
    return {rule_id: rule for rule_id, rule in rules.items() if rule.when.kind != "agent_lost"}


def merge_series(series: Iterable[tuple[int, list[Item]]]) -> list[Item]:
    """The items of several sources in one list, in order of time, equal times in order of the sources."""
    items = [item for _, part in series for item in part]
    # Sources come one behind the other, each in order: a sort that merges runs has little to do.
    items.sort(key=_time)
    return items
