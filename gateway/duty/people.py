"""People of the stations: who they are to the record, what they are certified for.

The record knows a person by number: name, phone, numbers of certificates and PIN stand apart in the table `identity`
(ledger/personal.py) and can be erased; rows and audit chain keep the number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from contract.station import CertificateKind
from gateway.installation import Installation
from gateway.ledger.entries import Entry, Kind, Pen, Register, SavedEntries, Sheet
from rules.calendar import moment_ms

Role = Literal["leader", "deputy", "fighter", "attendant", "driver"]
"""What somebody is in the station: 站长, 副站长, 队员, 控制室值班员, 驾驶员."""
COVERED_BY: dict[CertificateKind, frozenset[CertificateKind]] = {
    "operator": frozenset({"operator", "operator_senior", "technician"}),
    "operator_senior": frozenset({"operator_senior", "technician"}),
}
"""Levels of one profession: a higher one does for a lower one. Others stand for themselves."""
NEVER_DAYS = 36500.0
"""Said where no certificate of a station expires."""


class Certificate(msgspec.Struct, frozen=True):
    """A certificate. until_ms: beginning of the first day on which it is valid no more; None: it does not expire."""

    kind: CertificateKind
    until_ms: int | None = None

    def is_valid(self, at_ms: int) -> bool:
        """Whether it is valid at that moment."""
        return self.until_ms is None or at_ms < self.until_ms


class Person(Entry, frozen=True, kw_only=True):
    """A person, by number (`id`). site: where they belong. state: active | left | erased."""

    roles: tuple[Role, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    user: str = ""
    """Their login name; empty: they have none."""
    has_pin: bool = False

    def holds(self, kind: CertificateKind, at_ms: int) -> bool:
        """Whether they have that certificate, or a higher one, valid at that moment."""
        does = COVERED_BY.get(kind, frozenset({kind}))
        return any(each.kind in does and each.is_valid(at_ms) for each in self.certificates)

    def lacks(self, kinds: Iterable[CertificateKind], at_ms: int) -> tuple[CertificateKind, ...]:
        """Those of the certificates a post asks for that they do not have, valid at that moment."""
        return tuple(kind for kind in kinds if not self.holds(kind, at_ms))


PERSON = Kind("person", Person, frozenset({"active"}))


class People(Register):
    """The people who are there. Those who left are in the ledger only."""

    def __init__(self, saved: SavedEntries) -> None:
        self.sheet = Sheet(PERSON, saved)
        self._of_site: dict[str, dict[int, Person]] = {}
        for row in self.sheet.rows.values():
            self._of_site.setdefault(row.site, {})[row.id] = row
        self._zones: dict[str, ZoneInfo] = {}
        self._watchers: list[Callable[[Person], None]] = []
        self._due_ms: int | None = None

    def sheets(self) -> Iterable[Sheet[Person]]:
        """Its rows."""
        return (self.sheet,)

    def install(self, installation: Installation) -> None:
        """Only sites with a station have anything said of their people."""
        sites = installation.sites.values()
        self._zones = {site.site: ZoneInfo(site.time_zone) for site in sites if site.station is not None}
        self._due_ms = 0 if self._zones else None

    def next_due_ms(self) -> int | None:
        """The next midnight somewhere."""
        return self._due_ms

    def advance(self, pen: Pen) -> None:
        """Say how many days the certificates of each station are valid yet."""
        for site in self._zones:
            self._say(site, pen)
        zones = set(self._zones.values())
        self._due_ms = min((_midnight_after(pen.now_ms, zone) for zone in zones), default=None)

    # --- who is who ------------------------------------------------------------------------------------------------

    def find(self, person_id: int) -> Person | None:
        """Somebody who is there."""
        return self.sheet.rows.get(person_id)

    def of_user(self, login: str) -> Person | None:
        """Whose login that is."""
        return next((row for row in self.sheet.rows.values() if row.user == login), None) if login else None

    def of_site(self, site: str) -> list[Person]:
        """Everybody who belongs to a site, by number."""
        return sorted(self._of_site.get(site, {}).values(), key=lambda row: row.id)

    def watch(self, watcher: Callable[[Person], None]) -> None:
        """Tell of every change of a row."""
        self._watchers.append(watcher)

    def keep(self, pen: Pen, row: Person, verb: str, actor: str) -> Person:
        """Write a row as it is now."""
        before = self.sheet.rows.get(row.id)
        pen.write(self.sheet, row, verb, actor)
        if before is not None:
            self._of_site[before.site].pop(row.id, None)
        if row.id in self.sheet.rows:
            self._of_site.setdefault(row.site, {})[row.id] = row
        for site in {row.site, row.site if before is None else before.site}:
            self._say(site, pen)
        for watcher in self._watchers:
            watcher(row)
        return row

    def _say(self, site: str, pen: Pen) -> None:
        zone = self._zones.get(site)
        if zone is not None:
            certificates = (each for row in self._of_site.get(site, {}).values() for each in row.certificates)
            pen.say(site, "certificate_days", days_left(certificates, pen.now_ms, zone))


def days_left(certificates: Iterable[Certificate], now_ms: int, zone: tzinfo) -> float:
    """Days until the first of them expires: 0 on its last day, negative when it has; NEVER_DAYS when none does."""
    today = local_day(now_ms, zone)
    dates = (local_day(each.until_ms, zone) for each in certificates if each.until_ms is not None)
    return min((float((day - today).days - 1) for day in dates), default=NEVER_DAYS)


def local_day(at_ms: int, zone: tzinfo) -> date:
    """The date there at that moment."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date()


def expiry_ms(last: date, zone: tzinfo) -> int:
    """When a certificate ends that is valid through that day."""
    return moment_ms(last + timedelta(days=1), time(), zone)


def _midnight_after(now_ms: int, zone: tzinfo) -> int:
    return moment_ms(local_day(now_ms, zone) + timedelta(days=1), time(), zone)
