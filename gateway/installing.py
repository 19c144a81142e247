"""One installation after another in one working state: what changes, what stays, and what is written down for it.

Rules and devices that did not change keep everything: phases, timers, values. An alarm whose rule or subject is gone
is cleared by the gateway, which says so; nothing would ever clear it otherwise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from contract.site import Site
from gateway.alarms.book import GATEWAY
from gateway.installation import Installation
from gateway.ledger.changes import Changes
from gateway.ledger.digests import RULES_KEPT, digest
from gateway.ledger.records import AuditEntry
from gateway.turn import Turn
from gateway.work.dates import tell_dates
from rules.engine import Engine


class Install(NamedTuple):
    """An installation that is to come into force, and who asked."""

    installation: Installation
    actor: str


class Changed(NamedTuple):
    """What differs between two installations. Devices as `site/device`."""

    rules: dict[str, list[str]]
    """added, changed, removed -> ids."""
    devices: dict[str, list[str]]
    is_same: bool
    """Nothing at all differs, titles and times included."""

    def to_data(self) -> dict[str, Any]:
        """For answers and the audit; empty lists left out."""
        return {
            "rules": {name: ids for name, ids in self.rules.items() if ids},
            "devices": {name: ids for name, ids in self.devices.items() if ids},
        }


def compare(old: Installation, new: Installation) -> Changed:
    """What a new installation changes."""
    rules = _differ(
        {rule.id: rule.version for rule in old.rules.values()}, {rule.id: rule.version for rule in new.rules.values()}
    )
    devices = _differ(_devices(old), _devices(new))
    return Changed(rules, devices, old.hash == new.hash and not any(devices.values()))


def keep_versions(installation: Installation, changes: Changes) -> Callable[[sqlite3.Connection], None]:
    """Writes every version of every rule in force down, whole, within a transaction; those known already stay. The
    audit chain gets a digest of each that is new."""
    records = {(rule.id, rule.version): rule.model_dump_json(by_alias=True) for rule in installation.versions()}

    def step(connection: sqlite3.Connection) -> None:
        known = set(connection.execute("SELECT id, version FROM rule_version").fetchall())
        new = {key: record for key, record in records.items() if key not in known}
        connection.executemany(
            "INSERT INTO rule_version VALUES (?,?,?,?)",
            [(*key, changes.at_ms, record) for key, record in new.items()],
        )
        if new:
            kept = {f"{rule} {version}": digest([record]) for (rule, version), record in new.items()}
            # First of this transaction: everything else in it rests on these rules.
            changes.audit.insert(0, AuditEntry(changes.at_ms, GATEWAY, RULES_KEPT, "gateway", {"records": kept}))

    return step


def begin(turn: Turn) -> None:
    """At a start: write the rules in force down, and clear what nothing watches any more."""
    turn.changes.steps.append(keep_versions(turn.state.installation, turn.changes))
    _forget_unwatched(turn)


def install(asked: Install, turn: Turn) -> dict[str, Any]:
    """Put an installation in force in the working state; gives what it changed, to be told once it is durable."""
    state, new = turn.state, asked.installation
    changed = compare(state.installation, new)
    told = {"configuration": new.hash, **changed.to_data()}
    if changed.is_same:
        return told
    before = state.installation.hash
    if any(changed.rules.values()):
        state.engine.replace_rules(new.rules)
    _replace_sites(state.engine, state.installation, new, changed)
    state.install(new)
    tell_dates(state.engine, new, state.done)
    turn.installation = new
    turn.changes.steps.append(keep_versions(new, turn.changes))
    _forget_unwatched(turn)
    turn.changes.add_audit(
        asked.actor, "configuration.reload", "gateway", configuration=new.hash, before=before, **changed.to_data()
    )
    return told


def _replace_sites(engine: Engine, old: Installation, new: Installation, changed: Changed) -> None:
    gone = [tuple(key.split("/")) for key in changed.devices["removed"]]
    for key in [*changed.devices["changed"], *changed.devices["added"]]:
        # One that was approved before it came into the site file is taken over from there.
        engine.remove_device(*key.split("/"))
    for site, device in gone:
        engine.remove_device(site, device)
    for site, device in gone:
        engine.remove_line(site, device)
    for site, agent in _agents(old) - _agents(new):
        engine.remove_agent(site, agent)
    for name, loaded in new.sites.items():
        engine.add_site(loaded)
        if name in old.sites and _groups(old.sites[name]) != _groups(loaded):
            engine.replace_groups(loaded)


def _agents(installation: Installation) -> set[tuple[str, str]]:
    return {(site.site, agent.id) for site in installation.sites.values() for agent in site.agents}


def _groups(site: Site) -> tuple[Any, ...]:
    """What is judged together, and by which clock."""
    return site.time_zone, list(site.all_groups())


def _forget_unwatched(turn: Turn) -> None:
    """Clear alarms that nothing watches any more and forget their timers: a rule that comes back begins anew."""
    engine, book = turn.state.engine, turn.state.book
    for (rule, subject), alarm_id in list(book.active.items()):
        if not engine.watches(rule, subject):
            alarm = book.open[alarm_id]
            over = msgspec.structs.replace(alarm, active=False, suppressed=False, cleared_ms=turn.now_ms)
            why = {"reason": "no rule watches it any more"}
            engine.forget(rule, subject)
            turn.moves.move(over, "clear", turn.now_ms, GATEWAY, "", why, alarm)

    def forget(connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT rule, subject FROM rule_state WHERE rule NOT LIKE '~%'").fetchall()
        connection.executemany(
            "DELETE FROM rule_state WHERE rule = ? AND subject = ?", [row for row in rows if not engine.watches(*row)]
        )

    turn.changes.steps.append(forget)


def _devices(installation: Installation) -> dict[str, str]:
    """site/device -> everything of it that reading and judging depend on."""
    found = {}
    for site in installation.sites.values():
        for placed in site.placed():
            told = (placed.agent, placed.line.id, placed.entry.model_dump_json(), placed.profile.model_dump_json())
            found[f"{site.site}/{placed.entry.id}"] = repr((told, site.time_zone))
        for own in site.own_devices():
            found[f"{site.site}/{own.device}"] = repr((own.agent, own.profile.id))
    return found


def _differ(old: dict[str, str], new: dict[str, str]) -> dict[str, list[str]]:
    return {
        "added": sorted(new.keys() - old.keys()),
        "changed": sorted(key for key in old.keys() & new.keys() if old[key] != new[key]),
        "removed": sorted(old.keys() - new.keys()),
    }
