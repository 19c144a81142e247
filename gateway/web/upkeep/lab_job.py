"""The rule lab's work, in a process of its own so that pages never wait for it: `python -m gateway.web.upkeep.lab_job`.

A job comes as JSON on the standard input; lines of JSON go out: `{"at_ms", "readings"}` now and then, at the end
`{"result": ...}` or `{"error": "..."}`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import TypeAdapter

from contract.equipment import Limits
from contract.errors import ConfigError, RetryLater
from gateway.history.settings import HistorySettings
from gateway.replaying import DAY_MS, Plant, load_plant, run_replays
from gateway.settings import GatewaySettings
from rules.lab import compare_runs, find_affected, find_needed, to_data
from rules.model import Rule, load_packs, with_limits
from rules.replay import PastAlarm, Replay, replayable

NICE = 10
MOST_DEVICES = 60
"""Devices that are drawn; those with the most changes come first."""
MOST_CHANGES = 500


class Job(msgspec.Struct):
    """What is to be compared. limits: changes to `rule`; pack: text of a pack that takes the place of its name."""

    gateway: dict[str, Any]
    history: dict[str, Any]
    sites: list[str] | None
    """Of these only; None: of all."""
    from_ms: int
    until_ms: int
    rule: str = ""
    limits: dict[str, Any] = {}
    pack_name: str = ""
    pack: str = ""


def proposed(job: Job, gateway: GatewaySettings, folder: Path) -> dict[str, Rule]:
    """The rules as they would be. folder: where a pack may be put meanwhile. Raises ConfigError."""
    if job.pack:
        (folder / f"{job.pack_name}.yaml").write_text(job.pack, "utf-8")
        return load_packs([*gateway.rule_folders, folder], gateway.rule_overrides)
    rules = load_packs(gateway.rule_folders, gateway.rule_overrides)
    if job.rule not in rules:
        raise ConfigError(f"rule: got {job.rule!r}, want one that is in force.")
    rules[job.rule] = with_limits(rules[job.rule], Limits.model_validate(job.limits), job.rule)
    return rules


async def compare(job: Job) -> dict[str, Any]:
    """Replay the history through both sets of rules. Raises ConfigError, RetryLater."""
    gateway = GatewaySettings.model_validate(job.gateway)
    stored: HistorySettings = TypeAdapter(HistorySettings).validate_python(job.history)
    with tempfile.TemporaryDirectory() as folder:
        rules = load_packs(gateway.rule_folders, gateway.rule_overrides), proposed(job, gateway, Path(folder))
    plant = _narrowed(load_plant(gateway), job.sites)
    span = job.from_ms, job.until_ms
    affected = find_affected(*rules)
    replays = [
        Replay(plant.engine(find_needed(each, affected)), plant.sources(), plant.silence_ms(), span[0])
        for each in rules
    ]

    def tell(at_ms: int, readings: int) -> None:
        _say({"at_ms": at_ms, "readings": readings})

    readings = await run_replays(gateway, stored, plant, replays if affected else [], span, tell, DAY_MS)
    before, after = ([a for a in replay.end(span[1]) if a.rule in affected] for replay in replays)
    diff = compare_runs(before, after, rules, span, plant.zones)
    data = to_data(diff)
    left_out = {rule for each in rules for rule in each if rule not in replayable(each)} & affected
    return {
        **data,
        "changes": data["changes"][:MOST_CHANGES],
        "change_count": len(data["changes"]),
        "readings": readings,
        "compared": sorted(affected),
        "not_replayed": sorted(left_out),
        "devices": _devices(before, after, data["changes"]),
    }


def _narrowed(plant: Plant, sites: list[str] | None) -> Plant:
    if sites is None:
        return plant
    kept = {name: site for name, site in plant.sites.items() if name in sites}
    return dataclasses.replace(
        plant,
        sites=kept,
        approved=[row for row in plant.approved if row.site in kept],
        points=[point for point in plant.points if point.partition("/")[0] in kept],
        works=[row for row in plant.works if row.site in kept],
        gaps=[row for row in plant.gaps if row.site in kept],
    )


def _devices(before: list[PastAlarm], after: list[PastAlarm], changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """When alarms of changed subjects stood, device by device: [from_ms, until_ms or None] of both runs."""
    found: dict[str, dict[str, Any]] = {}
    touched = {(change["rule"], change["subject"]) for change in changes}
    for change in changes:
        row = found.setdefault(_device(change["subject"]), {"before": [], "after": [], "kinds": {}})
        row["kinds"][change["kind"]] = row["kinds"].get(change["kind"], 0) + 1
    for name, run in (("before", before), ("after", after)):
        for alarm in run:
            if (alarm.rule, alarm.subject) in touched:
                found[_device(alarm.subject)][name].append([alarm.raised_ms, alarm.cleared_ms])
    most = sorted(found.items(), key=lambda item: (-sum(item[1]["kinds"].values()), item[0]))
    return [{"device": device, **row} for device, row in most[:MOST_DEVICES]]


def _device(subject: str) -> str:
    return "/".join(subject.split("/")[:2])


def _say(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Do the job of the standard input."""
    os.nice(NICE)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        _say({"result": asyncio.run(compare(job))})
    except (ConfigError, RetryLater, ValueError, OSError) as exc:
        _say({"error": str(exc)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
