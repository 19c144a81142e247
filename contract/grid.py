"""A grid file (网格化): the tree of areas that sites and units lie in, who is responsible for what.

areas:
  - id: anyang
    kind: city
    title: {zh: 安阳市, en: Anyang}
    areas:
      - id: shuiye-town
        kind: street
        title: {zh: 水冶镇, en: Shuiye}
        heads: [{name: 王建国, role: head}]
        units:
          - {id: market, kind: key, title: {zh: 农贸市场, en: Market}, site: shuiye}
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.point import Ident, Text
from contract.site import Location, Site

AreaKind = Literal["city", "district", "street", "village"]
"""Widest first: city (市), district or county (区县), street or town (街道、乡镇), village or community (村、社区)."""
Premises = Literal[
    "shop", "restaurant", "hotel", "entertainment", "leisure", "clinic", "school", "workshop", "flammables"
]
"""The nine kinds of small premises (九小场所). Thresholds are local; one published set: shop < 300 m2, restaurant < 100
seats, hotel < 50 beds, entertainment < 200 m2 on floors 1-3, leisure < 200 m2, clinic < 30 beds, teaching (boarding
< 50, other < 500, kindergarten < 100), production < 50 staff, flammables < 100 m2. They are not checked here."""
UnitKind = Literal["key", "general", Premises]
"""key: key unit (消防安全重点单位); else one of the nine kinds of small premises, or general."""
AREA_KINDS: tuple[AreaKind, ...] = get_args(AreaKind)
ONE_SITE = "site:"
"""Before the name of a site where an area could stand."""
_EARTH_M = 6_371_008.8


class Member(Section):
    """Somebody of an area or unit: the number of a person of the gateway, or a name where none is kept."""

    person: int | None = Field(default=None, ge=1)
    """Number of the person in the gateway's register; then no name stands here."""
    name: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    """Name, for people the register does not know."""
    role: Literal["head", "deputy", "member", "worker", "responsible", "manager"] = "member"
    """head, deputy, member: of an area; worker: grid worker (网格员); responsible, manager: fire-safety responsible
    person and manager of a unit (消防安全责任人、管理人)."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Member:
        if (self.person is None) == (self.name is None):
            raise ValueError("got person and name both or neither, want one of them.")
        return self


class Unit(Section):
    """A unit (单位) of an area."""

    id: Ident
    """Name in links and reports."""
    title: Text
    """Name for people."""
    kind: UnitKind = "general"
    """key, general, or one of the nine kinds of small premises."""
    people: list[Member] = []
    """Its responsible persons."""
    location: Location | None = None
    site: Ident | None = None
    """The site that watches it."""
    address: Annotated[str, Field(max_length=200)] = ""


class Area(Section):
    """An area and everything within it."""

    id: Ident
    """Name in site files, links and reports."""
    kind: AreaKind
    """city, district, street or village; what lies within is of a narrower kind. Kinds may be left out."""
    title: Text
    """Name for people."""
    people: list[Member] = []
    """Heads and members."""
    units: list[Unit] = []
    areas: list[Area] = []

    def all(self) -> Iterator[Area]:
        """This area and all below it, each before what lies within it."""
        yield self
        for area in self.areas:
            yield from area.all()


class GridFile(Section):
    """What a grid file says."""

    areas: list[Area] = []


class PlacedUnit(NamedTuple):
    """A unit and its area."""

    area: str
    unit: Unit


class Grid:
    """The tree with the sites in it. Without a grid file it has no areas, and every site lies in none.

    Args:
        file: the tree. sites: all sites, by name.
    """

    def __init__(self, file: GridFile, sites: Mapping[str, Site]) -> None:
        self._file = file
        self._sites = sites

    @property
    def roots(self) -> list[Area]:
        """The widest areas, in file order."""
        return self._file.areas

    @cached_property
    def areas(self) -> dict[str, Area]:
        """Every area by its id, each before what lies within it."""
        return {area.id: area for root in self._file.areas for area in root.all()}

    @cached_property
    def units(self) -> dict[str, PlacedUnit]:
        """Every unit by its id."""
        return {unit.id: PlacedUnit(area.id, unit) for area in self.areas.values() for unit in area.units}

    @cached_property
    def content_hash(self) -> str:
        """Short hash of the tree, for telling whether two run the same."""
        return hashlib.sha256(self._file.model_dump_json().encode()).hexdigest()[:16]

    def __bool__(self) -> bool:
        return bool(self._file.areas)

    def below(self, area: str) -> frozenset[str]:
        """The area and all within it; empty for one that is not known. '': every area."""
        if not area:
            return frozenset(self.areas)
        found = self.areas.get(area)
        return frozenset() if found is None else frozenset(each.id for each in found.all())

    def path(self, area: str) -> tuple[Area, ...]:
        """The areas from the widest down to this one; empty for one that is not known."""
        found = self.areas.get(area)
        if found is None:
            return ()
        above = self._above.get(area)
        return (found,) if above is None else (*self.path(above), found)

    def sites_of(self, area: str) -> frozenset[str]:
        """Sites of the area and all within it. '': every site."""
        if not area:
            return frozenset(self._sites)
        areas = self.below(area)
        return frozenset(name for name, site in self._sites.items() if site.area in areas)

    def reach(self, area: str) -> frozenset[str] | None:
        """Sites and areas that whoever is for this area sees; `site:NAME`: that site alone. None: everything.

        An area or site that is not there any more has none.
        """
        if not area:
            return None
        site = area.removeprefix(ONE_SITE)
        if site != area:
            return frozenset({site}) & frozenset(self._sites)
        return self.sites_of(area) | self.below(area)

    def units_of(self, area: str) -> tuple[PlacedUnit, ...]:
        """Units of the area and all within it, in file order. '': every unit."""
        areas = self.below(area)
        return tuple(placed for placed in self.units.values() if placed.area in areas)

    def near(self, site: str, within_m: float, most: int) -> list[tuple[str, float]]:
        """Other sites with a micro fire station within a distance, the nearest first: (site, metres).

        Sites that do not say where they are are far from everything.
        """
        here = self._sites[site].location if site in self._sites else None
        if here is None:
            return []
        found = [
            (name, distance_m(here, other.location))
            for name, other in self._sites.items()
            if name != site and other.station is not None and other.location is not None
        ]
        return sorted((pair for pair in found if pair[1] <= within_m), key=lambda pair: (pair[1], pair[0]))[:most]

    @cached_property
    def _above(self) -> dict[str, str]:
        return {inner.id: area.id for area in self.areas.values() for inner in area.areas}


def distance_m(a: Location, b: Location) -> float:
    """Distance over the ground, metres (haversine on a sphere; within 0.6 % of the ellipsoid)."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half_lat, half_lon = (lat_b - lat_a) / 2, math.radians(b.lon - a.lon) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(chord)))


def load_grid(path: Path | None, sites: Mapping[str, tuple[Path, Site]]) -> Grid:
    """Read a grid file and see that it and the sites fit together.

    Args:
        path: the grid file; None: there is none. sites: every site by its name, with its file.

    Raises:
        ConfigError: with file:line for every problem found: form, an id twice, an area within one that is not wider,
            a unit of an unknown site, a site in an unknown area, a station that covers an unknown site.
    """
    known = {name: site for name, (_, site) in sites.items()}
    if path is None:
        return Grid(GridFile(), known)
    node = configfile.read_node(path)
    file = configfile.validate(configfile.build(node, path) or {}, GridFile, path, node)
    ids: dict[str, dict[str, str]] = {"area": {}, "unit": {}}
    problems: list[str] = []

    def at(*loc: int | str) -> str:
        line, key = configfile.locate(node, loc)
        return f"{path}:{line}: {key}"

    def once(what: str, name: str, place: str) -> None:
        first = ids[what].setdefault(name, place)
        if first != place:
            problems.append(f"{place}: got {name!r} again (first at {first}), want each {what} once.")

    def look(areas: list[Area], here: tuple[int | str, ...], above: Area | None) -> None:
        for a, area in enumerate(areas):
            where = (*here, "areas", a)
            once("area", area.id, at(*where, "id"))
            site = known.get(area.id)
            if site is not None and site.area not in {inner.id for inner in area.all()}:
                problems.append(
                    f"{at(*where, 'id')}: got {area.id!r}, which is a site elsewhere. Name the area otherwise."
                )
            if above is not None and AREA_KINDS.index(area.kind) <= AREA_KINDS.index(above.kind):
                narrower = ", ".join(AREA_KINDS[AREA_KINDS.index(above.kind) + 1 :]) or "none"
                problems.append(
                    f"{at(*where, 'kind')}: got {area.kind} within the {above.kind} {above.id!r}, want one of: "
                    f"{narrower}. Put it where it belongs."
                )
            for u, unit in enumerate(area.units):
                place = (*where, "units", u)
                once("unit", unit.id, at(*place, "id"))
                if unit.site is not None and unit.site not in known:
                    problems.append(
                        f"{at(*place, 'site')}: got {unit.site!r}, want one of {_some(known)}. Name a site file."
                    )
            look(area.areas, where, area)

    look(file.areas, (), None)
    grid = Grid(file, known)
    problems += _site_problems(grid, sites)
    if problems:
        raise ConfigError("\n".join(problems))
    return grid


def _site_problems(grid: Grid, sites: Mapping[str, tuple[Path, Site]]) -> Iterator[str]:
    """What sites name that is not there."""
    for path, site in sites.values():
        node = None
        covers = site.station.covers if site.station is not None else []
        wrong: list[tuple[tuple[int | str, ...], str, Mapping[str, object]]] = []
        if site.area is not None and site.area not in grid.areas:
            wrong.append((("area",), site.area, grid.areas))
        wrong += [
            (("station", "covers", n), name, sites)
            for n, name in enumerate(covers)
            if name not in sites or name == site.site
        ]
        for loc, name, known in wrong:
            node = node or configfile.read_node(path)
            line, key = configfile.locate(node, loc)
            yield f"{path}:{line}: {key}: got {name!r}, want one of {_some(known, site.site)}. Mend the name."


def _some(known: Mapping[str, object], but: str = "") -> str:
    names = sorted(name for name in known if name != but)
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") if names else "none (there are none)"


__all__ = [
    "AREA_KINDS", "Area", "AreaKind", "Grid", "GridFile", "Member", "PlacedUnit", "Premises", "Unit", "UnitKind",
    "distance_m", "load_grid",
]  # fmt: skip
