"""Tests of rules as data: what arrives and when, expected decisions out. `NAME.cases.yaml` stands beside `NAME.yaml`.

cases:
  - name: fires after 30 s below the limit
    rule: hydrant-pressure-low
    input:                      # what arrives, at which second
      - {at: 0, value: 300}
      - {at: 10, value: 120}
    until: 60
    expect:                     # an empty list: must not fire
      - {at: 40, event: raise}  # raise, clear, flap, suppress, release

The station of a case is one site with one agent `edge`, one polled line `bus` and, unless `devices` names others, one
device `device` of the first profile the rule applies to. A rule of the system's own points gets that device.

A name is `{zh: ..., en: ...}`, or a plain text where one language will do. Further keys of a case:

    profile: pump-diesel            # the device's profile, where the rule applies to several
    devices: {h1: hydrant-municipal, h2: hydrant-municipal}
    members: ["h*/pressure_kpa"]    # of the one group of a rule per group; all devices unless named
    manual: ["panel/p7"]            # points that are manual call points
    starts: 2026-03-01 22:50        # local time at second 0; `time_zone: Asia/Shanghai` unless named
    beside: [panel-fire]            # further rules that run; only `rule`'s own decisions are expected
    restart_at: [20, 40]            # the gateway starts anew at these seconds; the decisions must stay the same

Kinds of input, each with `at`; `device` is the first device unless it is named:

    {at: 0, value: 3}                                   the point the rule looks at first
    {at: 0, point: flow_lps, value: 3}                  a named point of the first device
    {at: 0, point: h2/pressure_kpa, value: 120}         a point of another device, `line-bus/online`, `agent-edge/proof`
    {at: 0, value: null, quality: "bad:missing"}        any quality
    {at: 90, observed: 10, value: 120}                  measured earlier than it arrives
    {at: 5, online: false}                              the device's `online`; the agent's state with agent_lost
    {at: 5, agent: false}                               the agent's state (its last will), with any rule
    {at: 5, broker: false}                              the gateway's connection to the broker
    {at: 5, alarm: panel-fire, states: [active]}        an alarm of another rule; `states: []` when it is gone
    {at: 9, alarm: panel-fire, finding: "false"}        what an alarm was found to be
    {at: 0, due: {inspection: 86400}}                   dates of the device: second of the case, or 2026-04-01
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.messages import Reading
from contract.point import Words
from contract.profile import ONLINE, ProfileLibrary
from contract.quality import GOOD
from rules.calendar import to_ms
from rules.cases_stage import AGENT, SITE, Stage, set_stage
from rules.engine import Engine
from rules.memory import RuleState, Transition
from rules.model import Rule

START_MS = 1_700_000_000_000


class Arrival(Section):
    """Something that arrives."""

    at: float = Field(ge=0)
    """Second of the case."""
    point: str | None = None
    """`point` of the first device, or `device/point`."""
    value: float | bool | str | None = None
    quality: str = GOOD
    online: bool | None = None
    """The device's `online`; for agent_lost the agent's state message."""
    agent: bool | None = None
    """The agent's state message."""
    broker: bool | None = None
    """The gateway's connection to the broker."""
    observed: float | None = None
    """When it was measured; `at` when absent (a later `at` is back-filled data)."""
    device: str | None = None
    """Of an alarm or date: the device; the first one when absent."""
    alarm: str | None = None
    """An alarm of this rule, with `states` or `finding`."""
    states: list[Literal["active", "unacknowledged", "returned_unacknowledged"]] | None = None
    finding: Literal["false", "real", "test", "unclear"] | None = None
    due: dict[Literal["inspection", "maintenance", "scrap", "calibration", "battery"], float | date] = {}
    """Dates of the device's life: seconds of the case, or days."""

    @model_validator(mode="after")
    def _one_thing(self) -> Arrival:
        if (self.alarm is None) != (self.states is None and self.finding is None):
            raise ValueError("want `alarm` together with `states` or `finding`.")
        return self


class Expected(Section):
    """A decision that must be made, at that second of event time."""

    at: float
    event: Literal["raise", "clear", "flap", "suppress", "release"]
    subject: str | None = None
    """`device/point`, `device`, group, line or agent, where several subjects could speak; any when absent."""


class Case(Section):
    """One test of one rule."""

    name: Words
    rule: str
    profile: str | None = None
    devices: dict[str, str] = {}
    """Profile of each device."""
    members: list[str] = []
    manual: list[str] = []
    beside: list[str] = []
    starts: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2})?$")
    time_zone: str = "Asia/Shanghai"
    input: list[Arrival]
    until: float = Field(gt=0)
    """Time passes up to this second."""
    restart_at: list[float] = []
    """The gateway starts anew at these seconds; the decisions must stay the same."""
    expect: list[Expected]

    @property
    def start_ms(self) -> int:
        """Second 0, ms UTC."""
        if self.starts is None:
            return START_MS
        return to_ms(datetime.fromisoformat(self.starts).replace(tzinfo=ZoneInfo(self.time_zone)))


class CaseFile(Section):
    """A file of cases."""

    cases: list[Case]


class Outcome(NamedTuple):
    """What a case gave."""

    case: Case
    got: list[Expected]

    @property
    def passed(self) -> bool:
        return self.got == self.case.expect


def load_cases(path: Path) -> list[Case]:
    """The cases of a file. Raises ConfigError with file and line."""
    return configfile.load(path, CaseFile).cases


def run_case(case: Case, rules: Mapping[str, Rule], library: ProfileLibrary) -> Outcome:
    """Run one case on the real engine, second by second.

    Raises:
        ConfigError: the case names a rule or profile that is not there.
    """
    for name in (case.rule, *case.beside):
        if name not in rules:
            raise ConfigError(f"case {case.name.en!r}: rule: got {name!r}, want one of {', '.join(sorted(rules))}.")
    mine = {name: rules[name] for name in (case.rule, *case.beside)}
    stage = set_stage(
        mine[case.rule], library, case.profile, case.devices, case.members, frozenset(case.manual), case.time_zone
    )
    play = _Play(case, mine, stage)
    moments = sorted(
        [(a.at, 1, a) for a in case.input] + [(t, 0, None) for t in case.restart_at] + [(case.until, 2, None)],
        key=lambda moment: moment[:2],
    )
    for at_s, order, arrival in moments:
        play.pass_time(play.ms(at_s))
        if order == 0:
            play.restart(play.ms(at_s))
        elif arrival is not None:
            play.arrive(arrival)
        play.collect()
    return Outcome(case, play.got())


class _Play:
    """A case while it runs: the engine, and what the gateway around it would keep."""

    def __init__(self, case: Case, rules: Mapping[str, Rule], stage: Stage) -> None:
        self._case = case
        self._rules = rules
        self._stage = stage
        self._decided: list[Transition] = []
        self._known: dict[tuple[str, str], RuleState] = {}
        self._told: list[Arrival] = []
        """Notes about alarms, findings and dates: the gateway tells them again after a start."""
        self._engine = stage.engine(rules)
        self._engine.restore([], [], [(SITE, AGENT, True, case.start_ms)], case.start_ms)
        self._engine.agent_heard(SITE, AGENT, True, case.start_ms)

    def ms(self, at_s: float) -> int:
        """A second of the case, ms UTC."""
        return self._case.start_ms + round(at_s * 1000)

    def restart(self, now_ms: int) -> None:
        """A new engine, from what the old one wrote down."""
        old = self._engine
        values = [(k, v.observed_ms, v.received_ms, v.value, v.quality) for k, v in old.values() if v.observed_ms]
        states = [state for state in self._known.values() if state.phase != "rest"]
        self._engine = self._stage.engine(self._rules)
        self._engine.restore(states, values, [(SITE, AGENT, True, 0)], now_ms, series=list(old.series()))
        self._engine.agent_heard(SITE, AGENT, True, now_ms)
        for arrival in self._told:
            self._note(self._engine, arrival)

    def arrive(self, arrival: Arrival) -> None:
        """Give the engine what arrives."""
        now_ms = self.ms(arrival.at)
        if arrival.broker is not None:
            self._engine.broker(arrival.broker, now_ms)
            return
        heard = arrival.online if self._stage.rule.when.kind == "agent_lost" else arrival.agent
        if heard is not None or self._stage.rule.when.kind == "agent_lost":
            self._engine.agent_heard(SITE, AGENT, heard is True, now_ms)
            return
        if arrival.alarm is not None or arrival.due:
            self._told.append(arrival)
            self._note(self._engine, arrival)
            return
        name, value = arrival.point or self._stage.point, arrival.value
        if arrival.online is not None:
            name, value = arrival.point or ONLINE, arrival.online
        if "/" not in name:
            name = f"{self._stage.device}/{name}"
        value = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        observed_ms = self.ms(arrival.at if arrival.observed is None else arrival.observed)
        self._engine.observe(self._stage.site_id, [Reading(name, observed_ms, value, arrival.quality)], now_ms)

    def _note(self, engine: Engine, arrival: Arrival) -> None:
        device, site = arrival.device or self._stage.device, self._stage.site_id
        if arrival.due:
            engine.set_dates(site, device, {what: self._date_ms(day) for what, day in arrival.due.items()})
        if arrival.alarm is None:
            return
        subject = f"{site}/{device}" if arrival.point is None else f"{site}/{device}/{arrival.point}"
        if arrival.states is not None:
            engine.note_alarm(arrival.alarm, subject, site, device, frozenset(arrival.states))
        if arrival.finding is not None:
            engine.note_finding(arrival.alarm, subject, site, device, arrival.finding, self.ms(arrival.at))

    def _date_ms(self, day: float | date) -> int:
        if isinstance(day, date):
            return to_ms(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self._case.time_zone)))
        return self.ms(day)

    def pass_time(self, until_ms: int) -> None:
        """Timers speak when they are due."""
        while (due_ms := self._engine.next_due_ms()) is not None and due_ms <= until_ms:
            self._engine.advance(due_ms)
            self.collect()
        self._engine.advance(until_ms)
        self.collect()

    def collect(self) -> None:
        """Write down what happened."""
        effects = self._engine.take()
        self._decided += [t for t in effects.transitions if t.rule == self._case.rule]
        for state in effects.states:
            self._known[state.rule, state.subject] = state

    def got(self) -> list[Expected]:
        """The decisions, in the words of the case: with a subject where the case says one."""
        wanted = [each.subject for each in self._case.expect] + [None] * len(self._decided)
        return [
            Expected(
                at=(t.event_ms - self._case.start_ms) / 1000,
                event=t.event,
                subject=None if subject is None else t.subject.partition("/")[2],
            )
            for t, subject in zip(self._decided, wanted, strict=False)
        ]
