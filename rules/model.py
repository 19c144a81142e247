"""Rules as records: what a rule watches, when it speaks, when it stops, on what basis, in whose words.

A condition is a tree. Its leaves look at points, at silence, at dates, at other alarms and at the clock; `all`, `any`
and `not` join them. Every condition is true, over, or neither: what is not known never raises and never clears.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from contract import configfile
from contract.configfile import Section
from contract.equipment import GroupKind, Limits
from contract.errors import ConfigError
from contract.profile import Ident, Text, matches
from contract.quality import is_valid
from contract.quality import kind as word_of

Severity = Literal["fire", "critical", "warning", "info"]
Scope = Literal["device", "line", "agent", "group", "site"]
"""How far around its own subject a rule looks for other alarms."""
PACKS = Path(__file__).parent / "packs"
_TIME = r"^([01]\d|2[0-3]):[0-5]\d$"


class _Leaf(Section):
    point: str | None = None
    """Point of the device it looks at; absent in a rule that judges each point by itself."""


class _Limit(_Leaf):
    below: float | None = None
    above: float | None = None
    clear: float
    """Level at which the condition counts as over (hysteresis); on the good side of the limit."""

    @model_validator(mode="after")
    def _limit_is_consistent(self) -> _Limit:
        if (self.below is None) == (self.above is None):
            raise ValueError("want exactly one of `below` and `above`.")
        if self.below is not None and self.clear < self.below:
            raise ValueError(f"got clear {self.clear}, want at least {self.below} (the limit it goes below).")
        if self.above is not None and self.clear > self.above:
            raise ValueError(f"got clear {self.clear}, want at most {self.above} (the limit it goes above).")
        return self


class Threshold(_Limit):
    """A number beyond a limit; over again only at `clear`."""

    kind: Literal["threshold"]
    at_20c: str | None = None
    """Point of the same device with the temperature (°C): the pressure (kPa, gauge) of a closed gas is judged as it
    would be at 20 °C. Without a temperature the condition is not known."""


class Window(_Limit):
    """A figure made of a point's values of the last `window_s`, beyond a limit.

    mean (weighted by time), min, max, range (max - min), rise (latest - min), fall (max - latest). Not known before
    values cover `window_s` and `samples` of them are there; rise and fall speak as soon as the change is there.
    """

    kind: Literal["window"]
    of: Literal["mean", "min", "max", "range", "rise", "fall"]
    window_s: float = Field(gt=0, le=40 * 86400)
    samples: int = Field(default=2, ge=1, le=10_000)


class State(_Leaf):
    """A truth or state word that is one of these."""

    kind: Literal["state"]
    equals: list[bool | str] = Field(min_length=1)


class Quality(_Leaf):
    """The quality of the point's latest reading is one of these; over when it is none of them.

    What a value says does not matter, and neither does `on_missing`: here a bad or unknown quality is the news itself,
    so it raises, and a `test` value is none of them. With `unknown` it speaks only of points whose path is whole: what
    lies below a lost line or agent is the fault of that line or agent.
    """

    kind: Literal["quality"]
    is_: list[str] = Field(alias="is", min_length=1)
    """A word (`bad`, `unknown`, `uncertain`) or a whole quality (`bad:missing`)."""
    except_for: list[str] = []
    """Whole qualities that do not count (`bad:missing` where a sensor may be left unconnected)."""

    @field_validator("is_", "except_for")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in ("bad", "unknown", "uncertain") and (not is_valid(name) or ":" not in name):
                raise ValueError(
                    f"got {name!r}, want bad, unknown, uncertain, or one of them with a cause (bad:missing)."
                )
        return names

    def fits(self, quality: str) -> bool:
        """Whether a quality is one of those meant."""
        return quality not in self.except_for and (quality in self.is_ or word_of(quality) in self.is_)


class Count(_Leaf):
    """The point entered one of these states at least `at_least` times within `within_s`."""

    kind: Literal["count"]
    equals: list[bool | str] = Field(min_length=1)
    at_least: int = Field(ge=1, le=1000)
    within_s: float = Field(gt=0, le=40 * 86400)


class Since(_Leaf):
    """The point was last in one of these states longer ago than this (counted from when the device became known)."""

    kind: Literal["since"]
    equals: list[bool | str] = Field(min_length=1)
    longer_than_s: float = Field(gt=0)


class Tally(Section):
    """At least `at_least` of the subject's points meet the condition, now or (`within_s`) one after the other.

    With `within_s` a point counts from when it entered until that long afterwards, whether it still holds or not.
    """

    kind: Literal["tally"]
    of: Threshold | State
    at_least: int = Field(ge=1, le=10_000)
    within_s: float | None = Field(default=None, gt=0, le=86400)
    manual_counts: bool = False
    """One manual call point is enough (as the panel's point map names it)."""


class Due(Section):
    """A date of the device's life has come: kept in its site entry and in the ledger's records of work done."""

    kind: Literal["due"]
    of: Literal["inspection", "maintenance", "scrap", "calibration", "battery"]
    ahead_s: float = Field(default=0.0, ge=0)
    """Speak this long before."""


class AlarmIs(Section):
    """An alarm of one of these rules is in one of these states, somewhere within `scope` of the subject."""

    kind: Literal["alarm"]
    rules: list[Ident] = Field(min_length=1)
    scope: Scope = "device"
    states: list[Literal["active", "unacknowledged", "returned_unacknowledged"]] = ["active"]


class Findings(Section):
    """More than `more_than` alarms of these rules were found to be this within `within_s` (say, false alarms a day)."""

    kind: Literal["findings"]
    rules: list[Ident] = Field(min_length=1)
    finding: Literal["false", "real", "unclear"]
    more_than: int = Field(ge=0, le=1000)
    within_s: float = Field(gt=0, le=40 * 86400)


class Clock(Section):
    """Local time of the site lies within these hours (`from` 23:00 `to` 05:00 spans midnight), on these days."""

    kind: Literal["time"]
    from_: str = Field(alias="from", pattern=_TIME)
    to: str = Field(pattern=_TIME)
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = []
    """Days on which the span begins; none named: every day."""


class Absence(Section):
    """No reading of any point of the device for this long although its path is whole, or its `online` is false."""

    kind: Literal["absence"]
    after_s: float = Field(gt=0)
    """Silence that counts as absence. The agent repeats every value within the profile's max_silence_s."""


class AgentLost(Section):
    """The agent's last will came, or its heartbeat stopped for `after_s`."""

    kind: Literal["agent_lost"]
    after_s: float = Field(gt=0)


class LineLost(Section):
    """A whole line is away: its port is gone, or all of its devices (two at least) are silent."""

    kind: Literal["line_lost"]


class AllOf(Section):
    """Every one of them; over as soon as one of them is."""

    kind: Literal["all"]
    of: list[Condition] = Field(min_length=1, max_length=16)


class AnyOf(Section):
    """One of them; over when all of them are."""

    kind: Literal["any"]
    of: list[Condition] = Field(min_length=1, max_length=16)


class Not(Section):
    """The condition is over; over when it holds."""

    kind: Literal["not"]
    of: Condition


Condition = Annotated[
    Threshold | Window | State | Quality | Count | Since | Tally | Due | AlarmIs | Findings | Clock | Absence
    | AgentLost | LineLost | AllOf | AnyOf | Not,
    Field(discriminator="kind"),
]  # fmt: skip
Per = Literal["point", "device", "group", "line", "agent"]


class Inhibit(Section):
    """While an alarm of that rule stands within `scope`, this rule keeps still; it is judged again afterwards."""

    rule: Ident
    scope: Scope = "device"


class Flap(Section):
    """A condition that comes and goes: from the `count`-th raise within `within_s` on it is ONE alarm with a count,
    which ends after `calm_s` without a new raise."""

    count: int = Field(default=5, ge=2, le=100)
    within_s: float = Field(default=600.0, gt=0, le=86400)
    calm_s: float = Field(default=600.0, gt=0, le=86400)


class Readiness(Section):
    """What a standing alarm takes from the readiness of its station."""

    state: Literal["degraded", "not_ready", "unknown"]
    points: float = Field(default=0.0, ge=0, le=100)
    """Deducted from 100 while it stands; a local measure, no official score."""


class Rule(Section):
    """One rule."""

    id: Ident
    title: Text
    advice: list[Text] = Field(min_length=1, max_length=12)
    """Check list for the person who reads the alarm, first things first."""
    basis: Text
    """Standard and clause where one supports it, else "practice" and why."""
    severity: Severity
    per: Per = "point"
    """What gets the alarm: each point, each device, each group of points, each line, each agent."""
    group: GroupKind | None = None
    """With per group: which kind of group of the site file."""
    applies_to: list[str] = []
    """Patterns `profile/point`; `profile/*` with per device; nothing with per line and agent."""
    when: Condition
    for_s: float = Field(default=0.0, ge=0)
    """The condition must have held this long (event time)."""
    clear_for_s: float = Field(default=0.0, ge=0)
    """The condition must have been over this long."""
    on_missing: Literal["hold", "clear"]
    """What a bad or unknown value does to an alarm that is up: hold it, or clear it. Never raises."""
    inhibit_by: list[Inhibit] = []
    flap: Flap | None = None
    readiness: Readiness | None = None
    """What it means for the station while it stands; None: nothing."""

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        where = f"rule {self.id}"
        leaves = list(self.leaves())
        kinds = {leaf.kind for leaf in leaves}
        for kind, per in (("absence", "device"), ("line_lost", "line"), ("agent_lost", "agent")):
            if kind in kinds and (len(leaves) > 1 or self.when.kind != kind or self.per != per):
                raise ValueError(f"{where}: want `{kind}` alone, with per: {per}.")
        if (self.per in ("line", "agent")) == bool(self.applies_to):
            raise ValueError(f"{where}: want `applies_to` exactly with per point, device or group.")
        if (self.per == "group") != (self.group is not None):
            raise ValueError(f"{where}: want `group` exactly with per: group.")
        named = [leaf for leaf in leaves if isinstance(leaf, _Leaf)]
        if self.per == "point" and any(leaf.point is not None for leaf in named):
            raise ValueError(f"{where}: a rule per point looks at its own point. Take `point` out or say per: device.")
        if self.per == "device" and any(leaf.point is None for leaf in named):
            raise ValueError(f"{where}: want `point` in every leaf of a rule per device.")
        if self.per != "point" and not self.applies_to and named:
            raise ValueError(f"{where}: a rule per {self.per} cannot look at a point.")
        if self.per == "group" and named:
            raise ValueError(f"{where}: a rule per group counts points. Put the condition into a `tally`.")
        if self.per not in ("device", "group") and "tally" in kinds:
            raise ValueError(f"{where}: want per: device or group with `tally`.")
        return self

    def leaves(self) -> Iterator[Any]:
        """The conditions at the ends of the tree, in order."""
        yield from _leaves(self.when)

    @property
    def version(self) -> str:
        """Short hash of the whole record: which rule was in force."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def applies(self, profile_id: str, point: str) -> bool:
        """Whether the rule watches that point of that profile."""
        return any(matches(pattern, profile_id, point) for pattern in self.applies_to)


def _leaves(condition: Any) -> Iterator[Any]:
    if isinstance(condition, AllOf | AnyOf):
        for part in condition.of:
            yield from _leaves(part)
    elif isinstance(condition, Not):
        yield from _leaves(condition.of)
    else:
        yield condition


class Pack(Section):
    """A file of rules."""

    pack: Ident
    title: Text
    rules: list[Rule] = Field(min_length=1)


def pack_files(folder: Path) -> list[Path]:
    """The packs of a folder; `NAME.cases.yaml` beside a pack holds its tests."""
    return sorted(path for path in folder.glob("*.yaml") if not path.name.endswith(".cases.yaml"))


def read_packs(folders: list[Path] | None = None) -> list[tuple[Path, Pack]]:
    """The shipped packs and those of further folders, in order; a pack with the name of an earlier folder's takes
    the place of that one, as a profile does.

    Raises:
        ConfigError: with file:line for what is wrong; two packs of one name in one folder.
    """
    packs: dict[str, tuple[Path, Pack]] = {}
    for folder in [PACKS, *(folders or [])]:
        here: dict[str, tuple[Path, Pack]] = {}
        for path in pack_files(folder):
            pack = configfile.load(path, Pack)
            if pack.pack in here:
                raise ConfigError(f"{path}: pack: got {pack.pack!r}, which {here[pack.pack][0]} has too. Rename one.")
            here[pack.pack] = path, pack
        packs |= here
    return list(packs.values())


def load_packs(folders: list[Path] | None = None, overrides: dict[str, Limits] | None = None) -> dict[str, Rule]:
    """All rules by id from the shipped packs and further folders.

    Raises:
        ConfigError: with file:line for what is wrong; a rule id that stands twice; an override for no rule.
    """
    rules: dict[str, Rule] = {}
    origin: dict[str, Path] = {}
    for path, pack in read_packs(folders):
        for rule in pack.rules:
            if rule.id in rules:
                raise ConfigError(f"{path}: rule {rule.id!r}: stands in {origin[rule.id]} too, want each id once.")
            rules[rule.id], origin[rule.id] = rule, path
    for rule in rules.values():
        _check_references(rule, rules, origin[rule.id])
    for rule_id, limits in (overrides or {}).items():
        if rule_id not in rules:
            raise ConfigError(
                f"gateway.rule_overrides.{rule_id}: got no such rule, want one of {', '.join(sorted(rules))}."
            )
        rules[rule_id] = with_limits(rules[rule_id], limits, f"gateway.rule_overrides.{rule_id}")
    return rules


def _check_references(rule: Rule, rules: dict[str, Rule], path: Path) -> None:
    named = [inhibit.rule for inhibit in rule.inhibit_by]
    named += [name for leaf in rule.leaves() if isinstance(leaf, AlarmIs | Findings) for name in leaf.rules]
    for name in named:
        if name not in rules:
            raise ConfigError(f"{path}: rule {rule.id!r}: got rule {name!r}, want one of {', '.join(sorted(rules))}.")


_TAKES = ("state", "points")


def with_limits(rule: Rule, limits: Limits, where: str) -> Rule:
    """The rule with durations and limits changed; a limit goes to the one leaf that has it.

    Raises:
        ConfigError: naming `where`, when no leaf or more than one has such a limit, or the result contradicts itself.
    """
    changes = limits.model_dump(exclude_none=True)
    data = rule.model_dump(by_alias=True)
    for key in ("for_s", "clear_for_s"):
        if key in changes:
            data[key] = changes.pop(key)
    if takes := {key: changes.pop(f"readiness_{key}") for key in _TAKES if f"readiness_{key}" in changes}:
        is_none = takes.get("state") == "none"
        data["readiness"] = None if is_none else {**(data["readiness"] or {"state": "degraded"}), **takes}
    leaves = list(_leaf_data(data["when"]))
    for key, value in changes.items():
        having = [leaf for leaf in leaves if leaf.get(key) is not None]
        if len(having) != 1:
            raise ConfigError(f"{where}: got {key}, which {len(having)} conditions of {rule.id} have, want one.")
        having[0][key] = value
    try:
        return Rule.model_validate(data)
    except ValueError as exc:
        text = "; ".join(line.strip() for line in str(exc).splitlines()[1:3])
        raise ConfigError(f"{where}: {text or exc}") from exc


def _leaf_data(when: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if when["kind"] in ("all", "any"):
        for part in when["of"]:
            yield from _leaf_data(part)
    elif when["kind"] == "not":
        yield from _leaf_data(when["of"])
    else:
        yield when
        if when["kind"] == "tally":
            yield when["of"]
