"""Rules as records: what a rule watches, when it speaks, when it stops, on what basis, in whose words."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.profile import Ident, Text, matches

Severity = Literal["fire", "critical", "warning", "info"]
PACKS = Path(__file__).parent / "packs"


class Threshold(Section):
    """A number beyond a limit; over again only at `clear`, which must lie on the good side of the limit."""

    kind: Literal["threshold"]
    below: float | None = None
    above: float | None = None
    clear: float
    """Level at which the condition counts as over (hysteresis)."""

    @model_validator(mode="after")
    def _consistent(self) -> Threshold:
        if (self.below is None) == (self.above is None):
            raise ValueError("want exactly one of `below` and `above`.")
        if self.below is not None and self.clear < self.below:
            raise ValueError(f"got clear {self.clear}, want at least {self.below} (the limit it goes below).")
        if self.above is not None and self.clear > self.above:
            raise ValueError(f"got clear {self.clear}, want at most {self.above} (the limit it goes above).")
        return self


class State(Section):
    """A truth or state word that is one of these."""

    kind: Literal["state"]
    equals: list[bool | str] = Field(min_length=1)


class Absence(Section):
    """No reading of any point of the device for this long although its agent is connected, or its `online` is false."""

    kind: Literal["absence"]
    after_s: float = Field(gt=0)
    """Silence that counts as absence. The agent repeats every value within the profile's max_silence_s."""


class AgentLost(Section):
    """The agent's last will came, or its heartbeat stopped for `after_s`."""

    kind: Literal["agent_lost"]
    after_s: float = Field(gt=0)


Condition = Annotated[Threshold | State | Absence | AgentLost, Field(discriminator="kind")]


class Rule(Section):
    """One rule."""

    id: Ident
    title: Text
    advice: Text
    """First things to do, for the person who reads the alarm."""
    basis: str = Field(min_length=3)
    """Standard and clause where one supports it, else "practice" and why."""
    severity: Severity
    applies_to: list[str] = Field(default=[], min_length=0)
    """Patterns `profile/point`; `profile/*` for absence; nothing for agent_lost."""
    when: Condition
    for_s: float = Field(default=0.0, ge=0)
    """The condition must have held this long (event time)."""
    clear_for_s: float = Field(default=0.0, ge=0)
    """The condition must have been over this long."""
    on_missing: Literal["hold", "clear"]
    """What a bad or unknown value does to an alarm that is up: hold it, or clear it. Never raises."""

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if (self.when.kind == "agent_lost") == bool(self.applies_to):
            raise ValueError(f"rule {self.id}: want `applies_to` for every kind but agent_lost.")
        return self

    @property
    def version(self) -> str:
        """Short hash of the whole record: which rule was in force."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def applies(self, profile_id: str, point: str) -> bool:
        """Whether the rule watches that point of that profile."""
        return any(matches(pattern, profile_id, point) for pattern in self.applies_to)


class Pack(Section):
    """A file of rules."""

    pack: Ident
    title: Text
    rules: list[Rule] = Field(min_length=1)


class Override(Section):
    """Durations and limits of one rule changed for an installation."""

    for_s: float | None = Field(default=None, ge=0)
    clear_for_s: float | None = Field(default=None, ge=0)
    after_s: float | None = Field(default=None, gt=0)
    below: float | None = None
    above: float | None = None
    clear: float | None = None


def pack_files(folder: Path) -> list[Path]:
    """The packs of a folder; `NAME.cases.yaml` beside a pack holds its tests."""
    return sorted(path for path in folder.glob("*.yaml") if not path.name.endswith(".cases.yaml"))


def load_packs(folders: list[Path] | None = None, overrides: dict[str, Override] | None = None) -> dict[str, Rule]:
    """All rules by id from the shipped packs and further folders.

    Raises:
        ConfigError: with file:line for what is wrong; a rule id that stands twice; an override for no rule.
    """
    rules: dict[str, Rule] = {}
    origin: dict[str, Path] = {}
    for folder in [PACKS, *(folders or [])]:
        for path in pack_files(folder):
            for rule in configfile.load(path, Pack).rules:
                if rule.id in rules:
                    raise ConfigError(f"{path}: rule {rule.id!r}: stands in {origin[rule.id]} too, want each id once.")
                rules[rule.id], origin[rule.id] = rule, path
    for rule_id, override in (overrides or {}).items():
        if rule_id not in rules:
            raise ConfigError(
                f"gateway.rule_overrides.{rule_id}: got no such rule, want one of {', '.join(sorted(rules))}."
            )
        rules[rule_id] = _overridden(rules[rule_id], override)
    return rules


def _overridden(rule: Rule, override: Override) -> Rule:
    changes = override.model_dump(exclude_none=True)
    when = {k: changes.pop(k) for k in ("after_s", "below", "above", "clear") if k in changes}
    unknown = [k for k in when if k not in type(rule.when).model_fields]
    if unknown:
        raise ConfigError(
            f"gateway.rule_overrides.{rule.id}: got {unknown}, which a {rule.when.kind} rule does not have."
        )
    data = rule.model_dump()
    return Rule.model_validate({**data, **changes, "when": {**data["when"], **when}})
