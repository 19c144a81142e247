"""Planning: what a roster holds, and what it would hold after a change, judged before anything is kept. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from contract.station import Station
from gateway.duty.people import Person, local_day
from gateway.duty.roster_check import Duty, Finding, Held, RosterDay, Shift, judge_roster, shifts_of_day

AHEAD_DAYS = 400
"""Nobody plans further ahead."""
Field = Literal["site", "day", "shift", "post", "people"]
Code = Literal[
    "site", "station", "post", "shift", "past", "far", "again", "person", "person_again", "certificate", "double"
]
Stations = Mapping[str, tuple[Station, ZoneInfo]]


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is to be at a post for the shift that begins at that local day and time; nobody: an empty list."""

    site: str
    day: date
    shift: str
    post: str
    people: tuple[int, ...]


class Problem(NamedTuple):
    """Why a cell cannot be planned. cell: its place in the list; got, want: in words of the data."""

    cell: int
    field: Field
    code: Code
    got: str
    want: tuple[str, ...] = ()


class Plans:
    """Roster days by site and date, and every person's duties."""

    def __init__(self, rows: Iterable[RosterDay] = ()) -> None:
        self.days: dict[str, dict[str, RosterDay]] = {}
        self._held: dict[int, dict[tuple[str, str], tuple[Held, ...]]] = {}
        for row in rows:
            self.put(row)

    def put(self, row: RosterDay) -> None:
        """Take a day in, instead of what stood there."""
        self.drop(row.site, row.day)
        self.days.setdefault(row.site, {})[row.day] = row
        for number, duties in _by_person(row).items():
            self._held.setdefault(number, {})[row.site, row.day] = duties

    def drop(self, site: str, day: str) -> None:
        """Forget a day."""
        row = self.days.get(site, {}).pop(day, None)
        for number in _by_person(row) if row is not None else ():
            places = self._held[number]
            del places[site, day]
            if not places:
                del self._held[number]

    def held(self, person_id: int) -> Sequence[Held]:
        """Every duty somebody is planned for."""
        return [each for held in self._held.get(person_id, {}).values() for each in held]


class Draft:
    """What a list of cells would make of the plans: the days that change, and why it cannot be."""

    def __init__(
        self, plans: Plans, stations: Stations, find: Callable[[int], Person | None], listed: Callable[[str], int]
    ) -> None:
        self._plans = plans
        self._stations = stations
        self._find = find
        self._listed = listed
        self.days: dict[tuple[str, date], tuple[Duty, ...]] = {}
        self.problems: list[Problem] = []

    def take(self, cells: Sequence[Cell], now_ms: int) -> None:
        """Put cells in; those that cannot be are among the problems."""
        places: dict[tuple[str, str, str, str], int] = {}
        shifts: dict[int, Shift] = {}
        for number, cell in enumerate(cells):
            shift = self._place(number, cell, now_ms)
            if shift is None:
                continue
            place = (cell.site, cell.day.isoformat(), cell.shift, cell.post)
            if place in places:
                self._say(number, "post", "again", cell.post)
                continue
            if self._people(number, cell):
                places[place], shifts[number] = number, shift
        for number in places.values():
            self._put(cells[number], shifts[number])
        for finding in self._findings(cells, shifts):
            number = places.get((finding.site, finding.day, finding.shift, finding.post), -1)
            if number >= 0 and finding.kind == "double":
                self._say(number, "people", "double", str(finding.person), finding.also)
            elif number >= 0 and finding.kind == "unqualified":
                self._say(number, "people", "certificate", str(finding.person), *finding.lacks)
        self.problems.sort()

    def _say(self, number: int, field: Field, code: Code, got: str, *want: str) -> None:
        self.problems.append(Problem(number, field, code, got, want))

    def _place(self, number: int, cell: Cell, now_ms: int) -> Shift | None:
        """The shift of a cell; None when there is no such place."""
        found = self._stations.get(cell.site)
        if found is None:
            self._say(number, "site", "station", cell.site, *sorted(self._stations))
            return None
        station, zone = found
        said = len(self.problems)
        posts = [post.id for post in station.posts]
        if cell.post not in posts:
            self._say(number, "post", "post", cell.post, *posts)
        today = local_day(now_ms, zone)
        if not today - timedelta(days=2) <= cell.day <= today + timedelta(days=AHEAD_DAYS):
            self._say(number, "day", "past" if cell.day < today else "far", cell.day.isoformat())
            return None
        shifts = {shift.begins: shift for shift in shifts_of_day(station, zone, cell.day)}
        shift = shifts.get(cell.shift)
        if shift is None:
            self._say(number, "shift", "shift", cell.shift, *shifts)
        elif shift.until_ms <= now_ms:
            self._say(number, "day", "past", cell.day.isoformat())
        return shift if len(self.problems) == said else None

    def _people(self, number: int, cell: Cell) -> bool:
        said = len(self.problems)
        for person in dict.fromkeys(cell.people):
            if self._find(person) is None:
                self._say(number, "people", "person", str(person))
            if cell.people.count(person) > 1:
                self._say(number, "people", "person_again", str(person))
        return len(self.problems) == said

    def _put(self, cell: Cell, shift: Shift) -> None:
        duties = self.days.get((cell.site, cell.day))
        if duties is None:
            row = self._plans.days.get(cell.site, {}).get(cell.day.isoformat())
            duties = row.duties if row is not None else ()
        kept = [duty for duty in duties if (duty.shift, duty.post) != (cell.shift, cell.post)]
        if cell.people:
            kept.append(Duty(cell.post, cell.shift, shift.from_ms, shift.until_ms, cell.people))
        self.days[cell.site, cell.day] = tuple(sorted(kept, key=lambda duty: (duty.from_ms, duty.post)))

    def _findings(self, cells: Sequence[Cell], shifts: Mapping[int, Shift]) -> Iterable[Finding]:
        """What would be wrong at the hours of the cells."""
        spans: dict[str, tuple[int, int]] = {}
        for number, shift in shifts.items():
            site = cells[number].site
            from_ms, until_ms = spans.get(site, (shift.from_ms, shift.until_ms))
            spans[site] = (min(from_ms, shift.from_ms), max(until_ms, shift.until_ms))
        changed = self._changed()
        for site, span_ms in spans.items():
            station, zone = self._stations[site]
            days = {**self._plans.days.get(site, {}), **changed.days.get(site, {})}
            listed = self._listed(site)
            held = partial(self._held, changed)
            yield from judge_roster(
                site, station, zone, days, find=self._find, listed=listed, held=held, span_ms=span_ms
            )

    def _changed(self) -> Plans:
        """The days that change, as they would be."""
        changed = Plans()
        for (site, day), duties in self.days.items():
            row = self._plans.days.get(site, {}).get(day.isoformat())
            if row is None:
                row = RosterDay(id=0, site=site, state="planned", from_ms=0, day=day.isoformat())
            changed.put(replace(row, duties=duties))
        return changed

    def _held(self, changed: Plans, person_id: int) -> list[Held]:
        stays = [each for each in self._plans.held(person_id) if each.day not in changed.days.get(each.site, {})]
        return [*stays, *changed.held(person_id)]


def _by_person(row: RosterDay) -> dict[int, tuple[Held, ...]]:
    found: dict[int, tuple[Held, ...]] = {}
    for duty in row.duties:
        for number in duty.people:
            found[number] = (*found.get(number, ()), Held(row.site, row.day, duty))
    return found
