"""Rosters: who is planned for which post and shift, and what is wrong with that in the days to come."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from datetime import date
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from contract.station import Station
from gateway.duty.people import People
from gateway.duty.planning import Draft, Plans
from gateway.duty.roster_check import (
    HORIZON_MS,
    ROSTER,
    Duty,
    Finding,
    RosterDay,
    judge_roster,
    shifts_between,
    word_of,
)
from gateway.installation import Installation
from gateway.ledger.entries import Pen, Register, SavedEntries, Sheet

DAY_MS = 86_400_000
AT_ONCE = 20
"""Stations judged in one turn; each takes some milliseconds."""


class Roster(Register):
    """The rosters of all stations, a row a site and local day; days that are over are in the ledger only."""

    def __init__(self, saved: SavedEntries, people: People) -> None:
        self.sheet = Sheet(ROSTER, saved)
        self._people = people
        self.plans = Plans(self.sheet.rows.values())
        self.stations: dict[str, tuple[Station, ZoneInfo]] = {}
        self._again: set[str] = set()
        """Sites to be judged in this turn."""
        self._due_ms: dict[str, int] = {}
        self._judged: weakref.ref[Pen] | None = None
        """The turn in which some were judged; what it writes is not kept alive for that."""

    def sheets(self) -> Iterable[Sheet[RosterDay]]:
        """Its rows."""
        return (self.sheet,)

    def install(self, installation: Installation) -> None:
        """Posts, shifts and crews may be others."""
        sites = installation.sites.values()
        self.stations = {s.site: (s.station, ZoneInfo(s.time_zone)) for s in sites if s.station is not None}
        self._again = {*self.stations, *self.plans.days}
        self._due_ms = {}

    def next_due_ms(self) -> int | None:
        """When a shift ends, or comes into sight."""
        return 0 if self._again else min(self._due_ms.values(), default=None)

    def advance(self, pen: Pen) -> None:
        """Put away the days that are over, and judge the sites where something changed."""
        if self._judged is not None and self._judged() is pen:
            return
        self._judged = weakref.ref(pen)
        self._again |= {site for site, due_ms in self._due_ms.items() if due_ms <= pen.now_ms}
        # All stations of a city change shifts at the same moment: those that are left have the next turn.
        for site in sorted(self._again)[:AT_ONCE]:
            self._again.discard(site)
            for row in [row for row in self.plans.days.get(site, {}).values() if _is_over(row, pen.now_ms)]:
                self.plans.drop(row.site, row.day)
                pen.write(self.sheet, replace(row, state="past"), "end")
            if site in self.stations:
                pen.say(site, "roster", word_of(self.findings(site, pen.now_ms)))
            self._due_ms.pop(site, None)
            if (next_ms := self._next_ms(site, pen.now_ms)) is not None:
                self._due_ms[site] = next_ms

    # --- what is planned -------------------------------------------------------------------------------------------

    def day(self, site: str, day: date) -> RosterDay | None:
        """The roster of the shifts that begin on a local day."""
        return self.plans.days.get(site, {}).get(day.isoformat())

    def planned(self, site: str, at_ms: int) -> dict[str, tuple[int, ...]]:
        """Who is planned at that moment: post -> people."""
        rows = self.plans.days.get(site, {}).values()
        return {d.post: d.people for row in rows for d in row.duties if d.from_ms <= at_ms < d.until_ms}

    def findings(self, site: str, now_ms: int) -> list[Finding]:
        """What is wrong with a station's roster of the days to come."""
        station, zone = self.stations[site]
        return judge_roster(
            site,
            station,
            zone,
            self.plans.days.get(site, {}),
            find=self._people.find,
            listed=len(self._people.of_site(site)),
            held=self.plans.held,
            span_ms=(now_ms, now_ms + HORIZON_MS),
        )

    def draft(self) -> Draft:
        """What a change would make of it."""
        return Draft(self.plans, self.stations, self._people.find, lambda site: len(self._people.of_site(site)))

    def people_changed(self, person_id: int, *sites: str) -> None:
        """Certificates, site or state of somebody are others: judge again where they are planned, and these sites."""
        self._again |= {each.site for each in self.plans.held(person_id)} | {s for s in sites if s in self.stations}

    def keep(self, pen: Pen, site: str, day: date, duties: tuple[Duty, ...], actor: str, **detail: object) -> RosterDay:
        """Plan a day anew; no duties: nothing is planned for it any more."""
        before = self.day(site, day)
        over_ms = pen.now_ms if before is None or before.until_ms is None else before.until_ms
        row = RosterDay(
            id=before.id if before is not None else self.sheet.take_id(),
            site=site,
            state="planned",
            day=day.isoformat(),
            duties=duties,
            from_ms=min((d.from_ms for d in duties), default=before.from_ms if before is not None else pen.now_ms),
            until_ms=max((d.until_ms for d in duties), default=over_ms),
        )
        touched = {
            number for each in (before, row) if each is not None for duty in each.duties for number in duty.people
        }
        self.plans.put(row)
        pen.write(self.sheet, row, "plan", actor, **detail)
        self._again.add(site)
        # Double duty shows at the other site as well.
        for number in touched:
            self.people_changed(number)
        return row

    def _next_ms(self, site: str, now_ms: int) -> int | None:
        """When a shift ends or the next one comes into sight, or a day is over."""
        times = [row.until_ms + DAY_MS for row in self.plans.days.get(site, {}).values() if row.until_ms is not None]
        if site in self.stations:
            station, zone = self.stations[site]
            ahead_ms = now_ms + HORIZON_MS
            times += [shift.until_ms for shift in shifts_between(station, zone, now_ms, now_ms + 1)]
            times += [
                shift.from_ms - HORIZON_MS + 1
                for shift in shifts_between(station, zone, ahead_ms, ahead_ms + 2 * DAY_MS)
                if shift.from_ms >= ahead_ms
            ][:1]
        return min((at_ms for at_ms in times if at_ms > now_ms), default=None)


def _is_over(row: RosterDay, now_ms: int) -> bool:
    # A day longer than it is needed: the next shift may be taken by those of the one before.
    return row.until_ms is not None and row.until_ms + DAY_MS <= now_ms
