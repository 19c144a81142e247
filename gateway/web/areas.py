"""What a person of one area sees: the same pages, made of what lies there and nothing else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from contract.site import SYSTEM_SITE
from gateway.control.protocol import AlarmView
from gateway.ledger import records as r
from gateway.ledger.entries import E, Kind
from gateway.ledger.life_rows import LATEST, Place
from gateway.ledger.personal import Identity
from gateway.web.inventory import Inventory
from gateway.web.ledger import Message, ServicePeriod, WebLedger
from gateway.web.picture import Picture
from gateway.work.dates import Done
from gateway.work.public import PublicReport

T = TypeVar("T")
MOST = 5000
"""Rows of other areas that are passed over for a page of one's own."""
RULES_OF_SITES = """\
SELECT rule, count(*) FROM alarm WHERE raised_ms >= ? AND drill IS NULL AND site IN (SELECT value FROM json_each(?))
GROUP BY rule"""
PEOPLE_OF_SITES = "SELECT id FROM entry WHERE kind = 'person' AND site IN (SELECT value FROM json_each(?))"


def inventory_within(whole: Inventory, sites: frozenset[str]) -> Inventory:
    """Sites and devices of these sites; rules, profiles and the tree of areas stay whole."""
    made = Inventory(
        sites={name: site for name, site in whole.sites.items() if name in sites},
        rules=whole.rules,
        library=whole.library,
        rule_folders=whole.rule_folders,
        grid=whole.grid,
    )
    # Approved devices too, which no site file has.
    made.devices = {key: device for key, device in whole.devices.items() if device.site in sites}
    return made


def picture_within(whole: Picture, sites: frozenset[str], now_ms: Callable[[], int]) -> Picture:
    """The picture of these sites as it is now; what the gateway says of itself stays in it."""
    made = Picture(now_ms, lambda *_: None)

    def mine(site: str) -> bool:
        return site in sites or site == SYSTEM_SITE

    def path(name: str) -> bool:
        return mine(name.partition("/")[0])

    made.values = {point: current for point, current in whole.values.items() if path(point)}
    # By device, so what is of others is asked for by nobody; the rows made of them are the same for all.
    made.names, made.versions, made.rows = whole.names, whole.versions, whole.rows
    made.alarms = {n: alarm for n, alarm in whole.alarms.items() if mine(alarm.site)}
    made.agents = {key: agent for key, agent in whole.agents.items() if mine(key[0])}
    made.unknown_devices = {key: row for key, row in whole.unknown_devices.items() if mine(key[0])}
    made.told = {key: told for key, told in whole.told.items() if path(key)}
    for check in (*whole.duty.waiting(now_ms()), *whole.duty.answered(now_ms())):
        if check.site in sites:
            made.duty.apply(msgspec.to_builtins(check))
    made.entries = {
        kind: {n: row for n, row in rows.items() if mine(str(row["site"])) or _is_called(row, sites)}
        for kind, rows in whole.entries.items()
    }
    standing, kept = whole.standing, made.standing
    kept.drills = {n: row for n, row in standing.drills.items() if mine(row.site)}
    kept.maintenance = {n: row for n, row in standing.maintenance.items() if mine(row.site)}
    kept.shelves = {key: row for key, row in standing.shelves.items() if path(row.subject)}
    kept.out_of_service = {key: row for key, row in standing.out_of_service.items() if path(row.subject)}
    made.proofs = [row for row in whole.proofs if _is_of(str(row.get("target")), sites)]
    made.notices, made.centres = whole.notices, whole.centres
    made.snapshots, made.changes = whole.snapshots, whole.changes
    made.connected, made.since_ms = whole.connected, whole.since_ms
    return made


def _is_called(row: dict[str, Any], sites: frozenset[str]) -> bool:
    """Whether a station of these sites was called to this incident elsewhere."""
    return any(crew["site"] in sites for crew in row.get("calls", ()))


def _is_of(target: str, sites: frozenset[str]) -> bool:
    kind, _, rest = target.partition("/")
    return kind != "agent" or rest.partition("/")[0] in sites


class AreaLedger(WebLedger):
    """The ledger without what belongs to other sites. Asks through the whole ledger's connection."""

    def __init__(self, whole: WebLedger, sites: frozenset[str]) -> None:
        super().__init__(whole.path)
        self._whole = whole
        self._sites = sites

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return self._whole._ask(question)

    def _mine(self, rows: Iterable[T], site_of: Callable[[T], str] = lambda row: row.site) -> list[T]:  # type: ignore[attr-defined] # rows of the ledger have one
        return [row for row in rows if site_of(row) in self._sites or site_of(row) == SYSTEM_SITE]

    def open_alarms(self) -> list[AlarmView]:
        return self._mine(super().open_alarms())

    def alarm(self, alarm_id: int) -> AlarmView | None:
        found = super().alarm(alarm_id)
        return next(iter(self._mine([found] if found is not None else [])), None)

    def alarms(self, *, before: int | None = None, limit: int = 100, **terms: str | None) -> list[AlarmView]:
        found: list[AlarmView] = []
        for _ in range(MOST // limit + 1):
            rows = super().alarms(before=before, limit=limit, **terms)
            found += self._mine(rows)
            if len(found) >= limit or len(rows) < limit:
                break
            before = rows[-1].id
        return found[:limit]

    def alarms_raised(self, from_ms: int, until_ms: int, site: str | None = None) -> list[AlarmView]:
        return self._mine(super().alarms_raised(from_ms, until_ms, site))

    def alarms_standing(self, at_ms: int, site: str | None = None) -> list[AlarmView]:
        return self._mine(super().alarms_standing(at_ms, site))

    def device_alarms(self, site: str, device: str, limit: int, before: Place = LATEST) -> list[AlarmView]:
        return self._mine(super().device_alarms(site, device, limit, before))

    def device_alarm_count(self, site: str, device: str, until_ms: int) -> int:
        return super().device_alarm_count(site, device, until_ms) if site in self._sites else 0

    def device_steps(self, site: str, device: str, first_id: int, last_id: int) -> list[r.TransitionRow]:
        return super().device_steps(site, device, first_id, last_id) if site in self._sites else []

    def device_versions(self, site: str, device: str, first_id: int, last_id: int) -> dict[int, str]:
        return super().device_versions(site, device, first_id, last_id) if site in self._sites else {}

    def device_entries(self, kind: Kind[E], site: str, device: str) -> list[E]:
        return super().device_entries(kind, site, device) if site in self._sites else []

    def service_periods(self, site: str, device: str) -> list[ServicePeriod]:
        return super().service_periods(site, device) if site in self._sites else []

    def resent(self, site: str, agent: str, device: str, first_day: str, last_day: str) -> list[r.ResentRow]:
        return self._mine(super().resent(site, agent, device, first_day, last_day))

    def shelves(self) -> list[r.Shelf]:
        return self._mine(super().shelves(), lambda row: row.subject.partition("/")[0])

    def out_of_service(self) -> list[r.OutOfService]:
        return self._mine(super().out_of_service(), lambda row: row.subject.partition("/")[0])

    def maintenance(self, site: str | None = None, limit: int = 100) -> list[r.Maintenance]:
        return self._mine(super().maintenance(site, limit))

    def drills(self, site: str | None = None, limit: int = 100) -> list[r.Drill]:
        return self._mine(super().drills(site, limit))

    def drill(self, drill_id: int) -> r.Drill | None:
        found = super().drill(drill_id)
        return next(iter(self._mine([found] if found is not None else [])), None)

    def work(self, site: str | None = None, device: str | None = None, limit: int = 100) -> list[r.WorkRow]:
        return self._mine(super().work(site, device, limit))

    def work_done(self) -> Done:
        return {key: done for key, done in super().work_done().items() if key[0] in self._sites}

    def unknown_devices(self) -> list[r.UnknownDevice]:
        return self._mine(super().unknown_devices())

    def approved_devices(self) -> list[r.ApprovedDevice]:
        return self._mine(super().approved_devices())

    def quarantine(self) -> list[r.QuarantineRow]:
        # Sources name a site where they got so far; whatever does not is nobody's in particular.
        return self._mine(super().quarantine(), lambda row: row.source.partition("/")[0])

    def entries(self, kind: Kind[E], *, sites: tuple[str, ...] | None = None, **terms: Any) -> list[E]:
        wanted = self._sites if sites is None else self._sites.intersection(sites)
        return super().entries(kind, sites=tuple(sorted(wanted)), **terms)

    def entry(self, kind: Kind[E], entry_id: int) -> E | None:
        found = super().entry(kind, entry_id)
        if found is None or found.site in self._sites or _is_called(msgspec.to_builtins(found), self._sites):
            return found
        return None

    def question(self, question: Callable[[sqlite3.Connection], T]) -> T:
        del question
        raise PermissionError("a question of all areas was asked for a person of one")  # pages for these refuse before

    def messages(self, limit: int = 100, before: int | None = None) -> list[Message]:
        found = super().messages(limit, before)
        known = {number: self.alarm(number) is not None for row in found for number in row.alarms}
        return [row for row in found if not row.alarms or any(known[number] for number in row.alarms)]

    def alarms_by_rule(self, since_ms: int) -> dict[str, int]:
        return dict(self._all(RULES_OF_SITES, (since_ms, json.dumps([*sorted(self._sites), SYSTEM_SITE]))))

    def entry_history(self, kind: str, entry_id: int) -> list[r.AuditRow]:
        return super().entry_history(kind, entry_id) if self._has(kind, entry_id) else []

    def identities(self) -> dict[int, Identity]:
        mine = {row[0] for row in self._all(PEOPLE_OF_SITES, (json.dumps(sorted(self._sites)),))}
        return {number: found for number, found in super().identities().items() if number in mine}

    def dossier(self, person_id: int) -> dict[str, Any] | None:
        return super().dossier(person_id) if self._has("person", person_id) else None

    def public_report(self, hazard: int) -> PublicReport | None:
        return super().public_report(hazard) if self._has("hazard", hazard) else None

    def public_receipt(self, receipt: str) -> PublicReport | None:
        found = super().public_receipt(receipt)
        return found if found is not None and self._has("hazard", found.hazard) else None

    def _has(self, kind: str, entry_id: int) -> bool:
        """Whether a row of a register lies here, or is of a fire that a station of here was called to."""
        found = self._all("SELECT site, data FROM entry WHERE kind = ? AND id = ?", (kind, entry_id))
        return any(site in self._sites or _is_called(msgspec.json.decode(data), self._sites) for site, data in found)
