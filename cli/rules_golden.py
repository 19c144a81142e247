"""`weizhan rules golden ...`: incidents of the ledger kept as proofs of the rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from cli.rules_history import Plant, load_plant
from cli.settings import Settings
from contract.errors import ConfigError
from contract.profile import Text
from contract.quality import GOOD
from gateway.control.protocol import AlarmView
from gateway.history import open_history
from gateway.history.base import MAX_RAW
from gateway.installation import Installation
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from rules.engine import Engine
from rules.golden import (
    MOST_READINGS,
    Expect,
    GoldenDevice,
    Incident,
    Never,
    Verdict,
    incident_files,
    judge_incident,
    load_incident,
    write_incident,
)
from rules.model import AlarmIs, Count, Rule, Since, Tally, Window
from rules.replay import replayable

LEAD_S = 1800.0
TAIL_S = 600.0
MOST_LEAD_S = 7 * 86_400.0


async def add_incident(settings: Settings, alarm_id: int, title: str, folder: Path, name: str, never: bool) -> Path:
    """Keep the readings around an alarm as an incident beside the packs of `folder`.

    Args:
        title: for people. never: the alarm was false and must not come again.

    Raises:
        ConfigError: no such alarm; its rule cannot be replayed; nothing is stored of that time.
        RetryLater: ledger or history cannot be read now.
    """
    assert settings.gateway is not None
    alarm, rule = _alarm(settings.gateway.data_dir, alarm_id)
    plant = load_plant(settings, alarm.site)
    if not replayable({rule.id: rule}):
        raise ConfigError(f"alarm {alarm_id}: {rule.id} is about heartbeats, which no history keeps.")
    devices = list(_devices(plant, alarm, rule))
    before_s = lead_s(plant, rule, devices)
    from_ms = alarm.raised_ms - int(before_s * 1000)
    until_ms = max(alarm.raised_ms, alarm.cleared_ms or 0) + int(TAIL_S * 1000)
    until_ms = min(until_ms, alarm.raised_ms + int(MOST_LEAD_S * 1000))
    readings = await _readings(settings, plant, alarm.site, {device.id for device in devices}, from_ms, until_ms)
    at_s = (alarm.raised_ms - from_ms) / 1000
    incident = Incident(
        title=Text(zh=title, en=title),
        noted=f"alarm {alarm_id}",
        site=alarm.site,
        from_ms=from_ms,
        seconds=(until_ms - from_ms) / 1000,
        devices=devices,
        expect=[] if never else [Expect(rule=alarm.rule, subject=alarm.subject, at=at_s)],
        never=[Never(rule=alarm.rule, subject=alarm.subject)] if never else [],
        readings=readings,
    )
    return write_incident(folder, name or f"{alarm.rule}-{alarm_id}", incident)


def judge_all(folder: Path, rules: Mapping[str, Rule], plant: Plant) -> list[Verdict]:
    """What these rules make of every incident beside the packs of a folder. Raises ConfigError."""
    found = []
    for path in incident_files(folder):
        incident = load_incident(path)
        found.append(judge_incident(path, incident, rules, make_engine(plant, incident, rules)))
    return found


def make_engine(plant: Plant, incident: Incident, rules: Mapping[str, Rule]) -> Engine:
    """An engine that knows the incident's site as it is today, and those of its devices that are there no more."""
    sites = {name: site for name, site in plant.sites.items() if name == incident.site}
    engine = Installation(sites, replayable(rules), plant.library).engine(plant.approved)
    for device in incident.devices:
        if device.profile not in plant.library:
            raise ConfigError(f"incident {incident.title.en}: got profile {device.profile!r}, which is known no more.")
        if not engine.knows(incident.site, device.id):
            profile = plant.library[device.profile]
            engine.add_device(incident.site, device.agent, device.id, profile, device.points)
    return engine


def _alarm(data_dir: Path, alarm_id: int) -> tuple[AlarmView, Rule]:
    with LedgerReader(data_dir / FILE) as ledger:
        alarm, kept = ledger.alarm(alarm_id), ledger.deciding_rule(alarm_id)
    if alarm is None or kept is None:
        raise ConfigError(f"alarm {alarm_id}: got no such alarm.")
    if not kept.json:
        raise ConfigError(f"alarm {alarm_id}: the record of its rule was not kept. Take a later alarm.")
    return alarm, Rule.model_validate_json(kept.json)


def _devices(plant: Plant, alarm: AlarmView, rule: Rule) -> Iterator[GoldenDevice]:
    """The devices the decision may rest on: its own, or the whole site where the rule looks further."""
    scopes = {inhibit.scope for inhibit in rule.inhibit_by}
    scopes |= {leaf.scope for leaf in rule.leaves() if isinstance(leaf, AlarmIs)}
    is_wide = rule.per not in ("point", "device") or bool(scopes - {"device"})
    known = [
        GoldenDevice(id=p.entry.id, profile=p.entry.profile, agent=p.agent, points=p.entry.points)
        for site in plant.sites.values()
        for p in site.placed()
    ] + [GoldenDevice(id=d.device, profile=d.profile, agent=d.agent) for d in plant.approved]
    found = [device for device in known if is_wide or device.id == alarm.device]
    if not found:
        raise ConfigError(f"alarm {alarm.id}: got device {alarm.device}, which stands in no site file any more.")
    yield from found


def lead_s(plant: Plant, rule: Rule, devices: list[GoldenDevice]) -> float:
    """How much before the alarm a replay needs: every value once, and what the rule looks back at."""
    spans = [LEAD_S + rule.for_s, *(2 * plant.library[device.profile].max_silence_s for device in devices)]
    for leaf in rule.leaves():
        if isinstance(leaf, Window):
            spans.append(1.2 * leaf.window_s)
        elif isinstance(leaf, Count | Tally) and leaf.within_s is not None:
            spans.append(1.2 * leaf.within_s)
        elif isinstance(leaf, Since):
            spans.append(1.2 * leaf.longer_than_s)
    return min(MOST_LEAD_S, max(spans))


async def _readings(
    settings: Settings, plant: Plant, site: str, devices: set[str], from_ms: int, until_ms: int
) -> dict[str, list[tuple[float, object] | tuple[float, object, str]]]:
    assert settings.gateway is not None
    found: dict[str, list[tuple[float, object] | tuple[float, object, str]]] = {}
    count = 0
    async with open_history(settings.history, settings.gateway.data_dir, read_only=True) as history:
        for source in plant.sources():
            if source.site != site or not ({source.point.partition("/")[0]} & devices or _is_own(source.point)):
                continue
            samples = await history.raw(site, source.point, from_ms, until_ms, MAX_RAW)
            count += len(samples)
            if count > MOST_READINGS:
                raise ConfigError(f"golden: got more than {MOST_READINGS} readings around it, want fewer.")
            rows = [((s.observed_ms - from_ms) / 1000, s.value, s.quality) for s in samples]
            if rows:
                found[source.point] = [row if row[2] != GOOD else row[:2] for row in rows]
    if not found:
        raise ConfigError("golden: got nothing from the history around that alarm. Has the history been kept so long?")
    return found


def _is_own(point: str) -> bool:
    """A line's or agent's own readings say whether the path was whole."""
    return point.startswith(("line-", "agent-"))
