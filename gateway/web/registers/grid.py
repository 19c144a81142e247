"""The grid: the tree of areas with their heads, sites and units, and what stands in each; which user is for which."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract.grid import Area, Member, Unit
from contract.site import REGISTER_DEVICE
from gateway.web.access import ADMINISTER
from gateway.web.alarm_cards import SEVERITIES
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.registers.staff import people_names
from gateway.web.render import page
from gateway.web.texts import Texts

router = APIRouter()
api = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}


class MemberRow(NamedTuple):
    """Somebody responsible, in words."""

    name: str
    role: str


class SiteRow(NamedTuple):
    """A site with what stands there. severity: of its worst alarm that holds; readiness: None where it says none."""

    id: str
    title: str
    severity: str | None
    alarms: int
    readiness: str | None
    readiness_pct: float | None
    hazards: int | None
    incident: bool


class UnitRow(NamedTuple):
    """A unit in words."""

    id: str
    title: str
    kind: str
    people: list[MemberRow]
    address: str
    site: SiteRow | None


class AreaRow(NamedTuple):
    """An area with everything in it. alarms, hazards, ready, stations: in it and all below; None: no site says."""

    id: str
    kind: str
    title: str
    people: list[MemberRow]
    sites: list[SiteRow]
    units: list[UnitRow]
    areas: list[AreaRow]
    alarms: int
    hazards: int | None
    ready: int
    stations: int


@router.get("/grid")
async def grid(request: Request) -> Response:
    """The tree, as far as the reader may see it."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    may = who.may(ADMINISTER) and not who.area
    areas = web.inventory.grid.areas
    return page(
        request,
        "grid.html",
        fragment="_grid.html",
        roots=await area_rows(web, who.area, texts),
        lonely=[site_row(web, name, texts) for name, site in web.inventory.sites.items() if site.area not in areas],
        may_set=may,
    )


async def area_rows(web: Web, area: str, texts: Texts) -> list[AreaRow]:
    """The tree below an area, itself on top; of '' everything."""
    tree, names = web.inventory.grid, await people_names(web)
    roots = tree.roots if not area else [found for found in [tree.areas.get(area)] if found is not None]
    return [_area(web, root, names, texts) for root in roots]


def _area(web: Web, area: Area, names: dict[int, str], texts: Texts) -> AreaRow:
    sites = [site_row(web, name, texts) for name, site in web.inventory.sites.items() if site.area == area.id]
    below = [_area(web, inner, names, texts) for inner in area.areas]
    stations = [row for row in sites if row.readiness is not None]
    counted = [row.hazards for row in sites] + [row.hazards for row in below]
    known = [count for count in counted if count is not None]
    return AreaRow(
        area.id,
        area.kind,
        area.title.get(texts.language),
        _members(area.people, names, texts),
        sites,
        [_unit(web, unit, names, texts) for unit in area.units],
        below,
        sum(row.alarms for row in sites) + sum(row.alarms for row in below),
        sum(known) if known else None,
        sum(row.readiness == "ready" for row in stations) + sum(row.ready for row in below),
        len(stations) + sum(row.stations for row in below),
    )


def _unit(web: Web, unit: Unit, names: dict[int, str], texts: Texts) -> UnitRow:
    watched = unit.site is not None and unit.site in web.inventory.sites
    return UnitRow(
        unit.id,
        unit.title.get(texts.language),
        unit.kind,
        _members(unit.people, names, texts),
        unit.address,
        site_row(web, unit.site, texts) if watched and unit.site is not None else None,
    )


def _members(people: list[Member], names: dict[int, str], texts: Texts) -> list[MemberRow]:
    return [
        MemberRow(each.name or names.get(each.person or 0, texts("No. %(n)s", n=each.person)), each.role)
        for each in people
    ]


def site_row(web: Web, site: str, texts: Texts) -> SiteRow:
    """A site and what stands there; what the gateway does not say now is not known."""
    standing = [a for a in web.picture.alarms.values() if a.site == site and a.active and a.hold is None]
    worst = min((SEVERITIES.index(a.severity) for a in standing), default=None)
    said = {name: _said(web, site, name) for name in ("readiness", "readiness_pct", "hazards_open_count", "incident")}
    pct, hazards = said["readiness_pct"], said["hazards_open_count"]
    return SiteRow(
        site,
        web.inventory.site_title(site).get(texts.language),
        None if worst is None else SEVERITIES[worst],
        len(standing),
        None if said["readiness"] is None else str(said["readiness"]),
        pct if isinstance(pct, float) else None,
        int(hazards) if isinstance(hazards, (int, float)) else None,
        said["incident"] == "open",
    )


def _said(web: Web, site: str, point: str) -> Any:
    current = web.picture.values.get(f"{site}/{REGISTER_DEVICE}/{point}")
    if current is None:
        return None
    # Unknown is never ready: what the gateway said before it went away is no state of now.
    return current.value if web.picture.connected else ("unknown" if point == "readiness" else None)


# --- API ------------------------------------------------------------------------------------------------------------


class AreaAnswer(Answer):
    """An area as the grid file has it, with what stands in it and all below."""

    area: str
    kind: str
    title: str
    people: list[dict[str, str]]
    sites: list[str]
    units: list[dict[str, Any]]
    areas: list[AreaAnswer]
    alarms: int
    hazards: int | None
    stations: int
    stations_ready: int


@api.get("/api/v1/grid", operation_id="grid_list", **_API)
async def grid_answer(request: Request, turn: Turned) -> Page[AreaAnswer]:
    """The tree of areas, as far as the person may see it."""
    web = web_of(request)
    rows = await area_rows(web, person_of(request).area, web.texts(request))
    part, after = cut(rows, turn, lambda row: (row.id,))
    return Page(items=[_answer(row) for row in part], next=after)


def _answer(row: AreaRow) -> AreaAnswer:
    return AreaAnswer(
        area=row.id,
        kind=row.kind,
        title=row.title,
        people=[member._asdict() for member in row.people],
        sites=[site.id for site in row.sites],
        units=[
            {"id": unit.id, "title": unit.title, "kind": unit.kind, "site": unit.site.id if unit.site else None}
            for unit in row.units
        ],
        areas=[_answer(inner) for inner in row.areas],
        alarms=row.alarms,
        hazards=row.hazards,
        stations=row.stations,
        stations_ready=row.ready,
    )
