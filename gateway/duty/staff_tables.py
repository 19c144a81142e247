"""The tables of people and rosters that are imported: their columns, and what their rows mean. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from contract.site import Site
from contract.station import CertificateKind
from gateway.duty.importing import (
    Column,
    Fault,
    Faults,
    Reader,
    Row,
    Want,
    fold,
    parts_of,
    read_date,
    read_table,
    read_time,
)
from gateway.duty.people import Person, Role
from gateway.duty.planning import Cell, Code, Draft
from gateway.duty.roster_check import shifts_of_day

CERTIFICATES = 3
"""Certificates a row of the list of people has room for."""
PEOPLE: tuple[Column, ...] = (
    Column("name", "姓名", "Name", True),
    Column("site", "站点", "Site"),
    Column("phone", "电话", "Telephone"),
    Column("roles", "职务", "Roles"),
    *(
        column
        for n in range(1, CERTIFICATES + 1)
        for column in (
            Column(f"kind{n}", f"证书{n}", f"Certificate {n}"),
            Column(f"number{n}", f"证书{n}编号", f"Certificate {n} number"),
            Column(f"until{n}", f"证书{n}有效期至", f"Certificate {n} valid until"),
        )
    ),
    Column("user", "登录名", "Sign-in name"),
)
ROSTER: tuple[Column, ...] = (
    Column("site", "站点", "Site"),
    Column("day", "日期", "Date", True),
    Column("shift", "班次", "Shift", True),
    Column("post", "岗位", "Post", True),
    Column("people", "人员", "People", True),
)
ROLE_NAMES: dict[str, Role] = {
    "站长": "leader",
    "leader": "leader",
    "副站长": "deputy",
    "deputy": "deputy",
    "队员": "fighter",
    "fighter": "fighter",
    "值班员": "attendant",
    "消防控制室值班员": "attendant",
    "attendant": "attendant",
    "驾驶员": "driver",
    "driver": "driver",
}
KIND_NAMES: dict[str, CertificateKind] = {
    "消防设施操作员": "operator",
    "消防设施操作员初级": "operator",
    "operator": "operator",
    "消防设施操作员高级": "operator_senior",
    "operator_senior": "operator_senior",
    "技师": "technician",
    "technician": "technician",
    "灭火救援员": "fire_fighter",
    "fire_fighter": "fire_fighter",
    "驾驶证": "driver",
    "driver": "driver",
    "急救证": "first_aid",
    "first_aid": "first_aid",
}
_WANTED: dict[Code, tuple[str, Want]] = {
    "site": ("site", "choice"),
    "station": ("site", "choice"),
    "post": ("post", "choice"),
    "shift": ("shift", "choice"),
    "past": ("day", "later"),
    "far": ("day", "nearer"),
    "again": ("post", "planned_once"),
    "person": ("people", "known_person"),
    "person_again": ("people", "once"),
    "certificate": ("people", "certificate"),
    "double": ("people", "elsewhere"),
}
"""What cannot be planned, as a fault: the column, and what is wanted there."""


class Known(NamedTuple):
    """What rows are checked against. sites: those that may be named; logins: of everybody who signs in."""

    sites: Mapping[str, Site]
    people: Mapping[int, Person]
    names: Mapping[int, str]
    phones: Mapping[int, str]
    logins: Collection[str] = ()

    def site_names(self) -> dict[str, str]:
        """Folded id or title -> site."""
        return {
            fold(name): key
            for key, site in self.sites.items()
            for name in (key, site.title.get("zh"), site.title.get("en"))
        }

    def site_words(self) -> tuple[str, ...]:
        """Ids and titles as they are written."""
        return tuple(name for key, site in self.sites.items() for name in (key, site.title.zh, site.title.en))

    def only_site(self) -> str:
        """The site of a table that names none; empty when there are several."""
        return next(iter(self.sites)) if len(self.sites) == 1 else ""


# --- people --------------------------------------------------------------------------------------------------------


def parse_people(
    data: bytes, known: Known, phone_of: Callable[[str], str | None], most: int
) -> tuple[list[dict[str, Any]], list[Fault]]:
    """People of a file as the command wants them, and every fault; what is given counts only without any.

    Args:
        phone_of: a telephone number as it is kept; None for what is none. most: people a command takes.
    """
    faults = Faults()
    table = read_table(data, PEOPLE, faults)
    people = [_person(Reader(table, row, faults), known, phone_of) for row in table.rows]
    if len(people) > most:
        faults.add(Fault(table.rows[most].number, "", str(len(people)), "rows"))
    taken = {(known.names.get(n, ""), known.phones.get(n, "")) for n in known.people}
    used = {person.user for person in known.people.values()} - {""}
    for row, each in zip(table.rows, people, strict=True):
        reader = Reader(table, row, faults)
        if (each["name"], each["phone"]) in taken and each["name"]:
            reader.wrong("name", "same_person")
        if each["user"] and each["user"] not in known.logins:
            reader.wrong("user", "known_user")
        elif each["user"] in used:
            reader.wrong("user", "free_user")
        taken.add((each["name"], each["phone"]))
        used |= {each["user"]} - {""}
    return people, faults.listed()


def _person(cells: Reader, known: Known, phone_of: Callable[[str], str | None]) -> dict[str, Any]:
    name = cells.text("name")
    if len(name) > 60 or "\n" in name:
        cells.wrong("name", "name")
    phone = phone_of(cells.text("phone"))
    if phone is None:
        cells.wrong("phone", "phone")
    site = cells.choice("site", known.site_names(), known.only_site(), known.site_words())
    if not site:
        cells.wrong("site", "choice", choices=tuple(known.sites)[:12])
    return {
        "site": site,
        "name": name,
        "phone": phone or "",
        "roles": cells.choices("roles", {fold(name): role for name, role in ROLE_NAMES.items()}),
        "certificates": list(_certificates(cells)),
        "user": cells.text("user"),
    }


def _certificates(cells: Reader) -> Iterator[dict[str, Any]]:
    names: dict[str, CertificateKind | None] = {fold(name): kind for name, kind in KIND_NAMES.items()}
    found: set[str] = set()
    for n in range(1, CERTIFICATES + 1):
        kind = cells.choice(f"kind{n}", names, None)
        number = cells.text(f"number{n}")
        until = cells.read(f"until{n}", read_date, "date", None)
        if len(number) > 60:
            cells.wrong(f"number{n}", "size")
        if kind is None:
            if number or until is not None:
                cells.wrong(f"kind{n}", "choice", choices=tuple(dict.fromkeys(KIND_NAMES.values())))
            continue
        if kind in found:
            cells.wrong(f"kind{n}", "once")
        found.add(kind)
        yield {"kind": kind, "number": number, "until": None if until is None else until.isoformat()}


# --- rosters -------------------------------------------------------------------------------------------------------


def parse_roster(data: bytes, known: Known, draft: Draft, now_ms: int) -> tuple[list[Cell], list[Fault]]:
    """Cells of a file, and every fault: of its cells, and of what they would make of the roster."""
    faults = Faults()
    table = read_table(data, ROSTER, faults)
    cells: list[Cell] = []
    rows: list[Row] = []
    for row in table.rows:
        cell = _cell(Reader(table, row, faults), known)
        if cell is not None and not faults.has_row(row.number):
            cells.append(cell)
            rows.append(row)
    draft.take(cells, now_ms)
    for problem in draft.problems:
        column, want = _WANTED[problem.code]
        got = problem.got
        if column == "people":
            got = known.names.get(int(problem.got), problem.got)
        faults.add(Fault(rows[problem.cell].number, table.titles.get(column, column), got, want, problem.want))
    return cells, faults.listed()


def _cell(cells: Reader, known: Known) -> Cell | None:
    site_id = cells.choice("site", known.site_names(), known.only_site(), known.site_words())
    if not site_id:
        cells.wrong("site", "choice", choices=tuple(known.sites)[:12])
    day = cells.read("day", read_date, "date", None)
    shift = cells.read("shift", read_time, "time", "")
    site = known.sites.get(site_id)
    posts: dict[str, str] = {}
    for post in site.station.posts if site is not None and site.station is not None else ():
        posts |= {fold(name): post.id for name in (post.id, post.title.get("zh"), post.title.get("en"))}
    post_id = cells.choice("post", posts, "") if posts else ""
    people = tuple(_people(cells, known, site_id))
    return Cell(site_id, day, shift, post_id, people) if day is not None else None


def _people(cells: Reader, known: Known, site: str) -> Iterator[int]:
    for part in parts_of(cells.text("people")):
        number = part.removeprefix("#")
        if number.isdecimal():
            if int(number) in known.people:
                yield int(number)
            else:
                cells.wrong("people", "known_person", got=part)
            continue
        named = [n for n, person in known.people.items() if known.names.get(n) == part]
        # Of several with one name the one of this site is meant.
        own = [n for n in named if known.people[n].site == site]
        if len(own or named) == 1:
            yield (own or named)[0]
        else:
            cells.wrong("people", "one_person" if named else "known_person", got=part)


def roster_lines(site: Site, days: Sequence[date]) -> list[list[str]]:
    """Lines of the template of a roster: every shift and post of these days, people to be filled in."""
    assert site.station is not None, "asked of sites with a station only"
    return [
        [site.site, day.isoformat(), shift.begins, post.title.get("zh"), ""]
        for day in days
        for shift in shifts_of_day(site.station, ZoneInfo(site.time_zone), day)
        for post in site.station.posts
    ]
