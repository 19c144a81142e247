"""Golden incidents: real readings with the alarm they must raise (or must not), kept beside an installation's rules.

    title: {zh: 东门消火栓爆管, en: Burst at the east gate}
    noted: alarm 17
    site: shuiye
    from_ms: 1760000000000
    seconds: 2700
    devices: [{id: hydrant-01, profile: hydrant-municipal, agent: edge1}]
    expect: [{rule: hydrant-burst, subject: shuiye/hydrant-01, at: 1800.0, within_s: 60}]
    never: []
    readings:
      hydrant-01/pressure_kpa: [[0.0, 302.0], [1795.0, 110.0, good]]

Times are seconds from `from_ms`; a third item is a quality other than good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import Field, model_validator

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.messages import Reading, Value
from contract.profile import Ident, Text
from contract.quality import GOOD
from rules.engine import Engine
from rules.model import Rule
from rules.replay import Item, PastAlarm, Replay, Source

FOLDER = "golden"
"""Folder of the incidents within a folder of packs."""
WITHIN_S = 60.0
MOST_READINGS = 50_000


class Expect(Section):
    """An alarm that must come: a raise of one of these rules on that subject, at that second, give or take."""

    rule: Ident
    or_rules: list[Ident] = []
    """Rules that count as well, where a rule was split or has another name now."""
    subject: str
    at: float
    within_s: float = Field(default=WITHIN_S, gt=0)


class Never(Section):
    """An alarm that must not come."""

    rule: Ident
    subject: str


class GoldenDevice(Section):
    """A device as it was then, for a site that has it no more."""

    id: Ident
    profile: Ident
    agent: Ident
    points: int | None = None


class Incident(Section):
    """One incident."""

    title: Text
    noted: str = ""
    """Where it comes from: the alarm's number in the ledger, who labelled it."""
    site: Ident
    from_ms: int
    seconds: float = Field(gt=0)
    devices: list[GoldenDevice] = Field(min_length=1)
    expect: list[Expect] = []
    never: list[Never] = []
    readings: dict[str, list[tuple[float, Value] | tuple[float, Value, str]]]

    @model_validator(mode="after")
    def _says_something(self) -> Incident:
        if not self.expect and not self.never:
            raise ValueError("got neither `expect` nor `never`, want what the incident proves.")
        return self

    @property
    def until_ms(self) -> int:
        """Its end."""
        return self.from_ms + int(self.seconds * 1000)


class Verdict(NamedTuple):
    """What the rules make of an incident now. problems: why it would not be seen as it must; empty: fine."""

    path: Path
    incident: Incident
    problems: list[str]


def incident_files(folder: Path) -> list[Path]:
    """The incidents beside the packs of a folder."""
    return sorted((folder / FOLDER).glob("*.yaml"))


def load_incident(path: Path) -> Incident:
    """An incident. Raises ConfigError with file and line."""
    return configfile.load(path, Incident)


def judge_incident(path: Path, incident: Incident, rules: Mapping[str, Rule], engine: Engine) -> Verdict:
    """Run an incident through a fresh engine that knows its devices."""
    sources, items = _stream(incident)
    replay = Replay(engine, sources, {}, incident.from_ms)
    replay.feed(items)
    alarms = replay.end(incident.until_ms)
    problems = [*_missing(incident, rules, alarms), *_forbidden(incident, alarms)]
    return Verdict(path, incident, problems)


def write_incident(folder: Path, name: str, incident: Incident) -> Path:
    """Write an incident into a folder of packs under a name of its own. Raises ConfigError when the name is taken."""
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "incident"
    path = place / f"{slug[:60]}.yaml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_text(incident))
    except FileExistsError as exc:
        raise ConfigError(f"{path}: is there already. Give another --name.") from exc
    return path


def _stream(incident: Incident) -> tuple[list[Source], list[Item]]:
    agents = {device.id: device.agent for device in incident.devices}
    sources: list[Source] = []
    items: list[Item] = []
    for number, (point, rows) in enumerate(sorted(incident.readings.items())):
        agent = agents.get(point.partition("/")[0], incident.devices[0].agent)
        sources.append(Source(incident.site, point, (incident.site, agent)))
        for row in rows:
            at_ms = incident.from_ms + round(row[0] * 1000)
            value = float(row[1]) if isinstance(row[1], int) and not isinstance(row[1], bool) else row[1]
            items.append((at_ms, number, Reading(point, at_ms, value, row[2] if len(row) > 2 else GOOD)))
    items.sort(key=lambda item: item[:2])
    return sources, items


def _missing(incident: Incident, rules: Mapping[str, Rule], alarms: Iterable[PastAlarm]) -> Iterator[str]:
    for each in incident.expect:
        names = {each.rule, *each.or_rules}
        if not names & rules.keys():
            yield f"{each.rule}: stands in no pack any more. Keep it, or name in `or_rules` what sees this now."
            continue
        raised = [a for a in alarms if a.rule in names and a.subject == each.subject]
        due_ms = incident.from_ms + round(each.at * 1000)
        if any(abs(alarm.raised_ms - due_ms) <= each.within_s * 1000 for alarm in raised):
            continue
        came = ", ".join(f"a raise at {(alarm.raised_ms - incident.from_ms) / 1000:g} s" for alarm in raised)
        known = next(rules[name] for name in (each.rule, *each.or_rules) if name in rules)
        yield (
            f"{each.rule} on {each.subject}: got {came or 'no raise'}, want one at {each.at:g} s (give or take "
            f"{each.within_s:g} s). {_values(incident, each.subject, each.at)}; the rule now: {_condition(known)}"
        )


def _forbidden(incident: Incident, alarms: Iterable[PastAlarm]) -> Iterator[str]:
    for each in incident.never:
        for alarm in alarms:
            if (alarm.rule, alarm.subject) == (each.rule, each.subject):
                at_s = (alarm.raised_ms - incident.from_ms) / 1000
                yield f"{each.rule} on {each.subject}: got a raise at {at_s:g} s, want none: this was a false alarm."


def _values(incident: Incident, subject: str, at_s: float) -> str:
    """What the subject's numbers did up to the moment, in few words."""
    _, device, *point = subject.split("/")
    told = []
    for name, rows in sorted(incident.readings.items()):
        if name.partition("/")[0] != device or (point and name != f"{device}/{point[0]}"):
            continue
        values = [row[1] for row in rows if row[0] <= at_s]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if numbers and len(set(numbers)) > 1:
            told.append(f"{name} went from {numbers[0]:g} to {numbers[-1]:g} ({min(numbers):g}..{max(numbers):g})")
        elif point and values:
            told.append(f"{name} was {values[-1]}")
    return "; ".join(told[:4]) or "no values of it"


def _condition(rule: Rule) -> str:
    kept = rule.when.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = yaml.safe_dump(kept, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000).strip()
    return f"{text} for {rule.for_s:g} s"


def _text(incident: Incident) -> str:
    """The incident as YAML: what people edit first, one point a line last."""
    data: dict[str, Any] = incident.model_dump(mode="json", exclude_defaults=True)
    readings = data.pop("readings")
    when = datetime.fromtimestamp(incident.from_ms / 1000, UTC).isoformat(timespec="seconds")
    lines = [f"# From {when} on.", yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=100).rstrip()]
    lines.append("readings:")
    for point, rows in readings.items():
        told = yaml.safe_dump(rows, default_flow_style=True, allow_unicode=True, width=100).strip()
        lines.append(f"  {point}: " + told.replace("\n", "\n    "))
    return "\n".join(lines) + "\n"
