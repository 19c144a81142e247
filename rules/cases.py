"""Tests of rules as data: readings and time in, expected decisions out. `NAME.cases.yaml` stands beside `NAME.yaml`.

cases:
  - name: fires after 30 s below the limit
    rule: hydrant-pressure-low
    input:                      # what arrives, at which second
      - {at: 0, value: 300}
      - {at: 10, value: 120}
    until: 60
    expect:                     # an empty list: must not fire
      - {at: 40, event: raise}
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.messages import Reading
from contract.profile import ONLINE, Profile, ProfileLibrary
from contract.quality import GOOD
from rules.engine import Engine
from rules.memory import RuleState
from rules.model import Rule

START_MS = 1_700_000_000_000
_SITE, _AGENT, _DEVICE = "case", "edge", "device"


class Arrival(Section):
    """Something that arrives."""

    at: float = Field(ge=0)
    """Second of the case."""
    value: float | bool | str | None = None
    quality: str = GOOD
    online: bool | None = None
    """For absence: the device's `online`; for agent_lost: the agent's state message."""
    observed: float | None = None
    """When it was measured; `at` when absent (a later `at` is back-filled data)."""


class Expected(Section):
    """A decision that must be made, at that second of event time."""

    at: float
    event: Literal["raise", "clear"]


class Case(Section):
    """One test of one rule."""

    name: str
    rule: str
    input: list[Arrival]
    until: float = Field(gt=0)
    """Time passes up to this second."""
    restart_at: list[float] = []
    """The gateway starts anew at these seconds; the decisions must stay the same."""
    expect: list[Expected]


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
    rule = rules.get(case.rule)
    if rule is None:
        raise ConfigError(f"case {case.name!r}: rule: got {case.rule!r}, want one of {', '.join(sorted(rules))}.")
    profile, point = _watched(rule, library)
    engine = _fresh({rule.id: rule}, profile)
    engine.restore([], [], [(_SITE, _AGENT, True, START_MS)], START_MS)
    engine.agent_heard(_SITE, _AGENT, True, START_MS)
    got: list[Expected] = []
    known: dict[tuple[str, str], RuleState] = {}
    moments = sorted(
        [(a.at, 1, a) for a in case.input] + [(t, 0, None) for t in case.restart_at] + [(case.until, 2, None)],
        key=lambda moment: moment[:2],
    )
    for at_s, order, arrival in moments:
        _pass_time(engine, START_MS + int(at_s * 1000), got, known)
        if order == 0:
            values = [
                (k, v.observed_ms, v.received_ms, v.value, v.quality) for k, v in engine.values() if v.observed_ms
            ]
            engine = _fresh({rule.id: rule}, profile)
            states = [state for state in known.values() if state.phase != "rest"]
            engine.restore(states, values, [(_SITE, _AGENT, True, 0)], START_MS + int(at_s * 1000))
        elif arrival is not None:
            _arrive(engine, rule, point, arrival)
        _collect(engine, got, known)
    return Outcome(case, got)


def _watched(rule: Rule, library: ProfileLibrary) -> tuple[Profile, str]:
    """A profile and point the rule applies to."""
    for profile in library:
        names = [p.name for p in profile.points_for(None)]
        for pattern in rule.applies_to:
            wanted_profile, _, wanted_point = pattern.partition("/")
            if fnmatch.fnmatchcase(profile.id, wanted_profile):
                found = next((name for name in names if fnmatch.fnmatchcase(name, wanted_point)), None)
                if found is None and profile.is_listened_to and profile.point(wanted_point) is not None:
                    found = wanted_point  # a panel's points are those it speaks of
                if found or rule.when.kind == "absence":
                    return profile, found or ONLINE
    if rule.when.kind == "agent_lost":
        return next(iter(library)), ONLINE
    raise ConfigError(f"rule {rule.id!r}: applies_to: got {rule.applies_to}, want a pattern that fits a profile.")


def _fresh(rules: Mapping[str, Rule], profile: Profile) -> Engine:
    engine = Engine(rules)
    engine.add_device(_SITE, _AGENT, _DEVICE, profile)
    return engine


def _arrive(engine: Engine, rule: Rule, point: str, arrival: Arrival) -> None:
    now_ms = START_MS + int(arrival.at * 1000)
    observed_ms = START_MS + int((arrival.at if arrival.observed is None else arrival.observed) * 1000)
    if rule.when.kind == "agent_lost":
        engine.agent_heard(_SITE, _AGENT, arrival.online is True, now_ms)
        return
    name, value = (ONLINE, arrival.online) if arrival.online is not None else (point, arrival.value)
    value = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    engine.observe(_SITE, [Reading(f"{_DEVICE}/{name}", observed_ms, value, arrival.quality)], now_ms)


def _pass_time(engine: Engine, until_ms: int, got: list[Expected], known: dict[tuple[str, str], RuleState]) -> None:
    while (due_ms := engine.next_due_ms()) is not None and due_ms <= until_ms:
        engine.advance(due_ms)
        _collect(engine, got, known)
    engine.advance(until_ms)
    _collect(engine, got, known)


def _collect(engine: Engine, got: list[Expected], known: dict[tuple[str, str], RuleState]) -> None:
    effects = engine.take()
    got += [Expected(at=(t.event_ms - START_MS) / 1000, event=t.event) for t in effects.transitions]
    for state in effects.states:
        known[state.rule, state.subject] = state
