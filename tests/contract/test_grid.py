"""The grid: areas, their units and sites; what does not fit together is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.grid import Grid, distance_m, load_grid
from contract.profile import ProfileLibrary
from contract.site import Location, Site, load_site

GRID = """\
areas:
  - id: anyang
    kind: city
    title: {zh: 安阳市, en: Anyang}
    people: [{name: 王建国, role: head}, {person: 7, role: deputy}]
    areas:
      - id: yindu
        kind: district
        title: {zh: 殷都区, en: Yindu}
        areas:
          - id: shuiye-town
            kind: street
            title: {zh: 水冶镇, en: Shuiye}
            units:
              - {id: market, kind: key, title: {zh: 农贸市场, en: Market}, site: east}
              - {id: noodles, kind: restaurant, title: {zh: 面馆, en: Noodles}}
      - id: harbour
        kind: village
        title: {zh: 港口社区, en: Harbour}
"""
SITE = """\
site: SITE
title: {zh: 站, en: Station}
area: AREA
location: {lat: LAT, lon: 114.1}
station: {grade: 1, posts: [{id: room, title: {zh: 控制室, en: Control room}}], covers: [COVERS]}
agents:
  - id: edge1
    lines:
      - {id: tcp1, kind: modbus_tcp, host: h, devices: [{id: hydrant-01, profile: hydrant-municipal, unit_id: 1}]}
"""


def write(folder: Path, grid: str = GRID, covers: str = "") -> tuple[Path, dict[str, tuple[Path, Site]]]:
    """A grid file and three sites, one kilometre apart or so from south to north."""
    path = folder / "grid.yaml"
    path.write_text(grid, "utf-8")
    library, sites = ProfileLibrary(), {}
    for name, area, lat in (("east", "shuiye-town", "36.10"), ("west", "yindu", "36.11"), ("port", "harbour", "36.13")):
        file = folder / f"{name}.yaml"
        text = SITE.replace("SITE", name).replace("AREA", area).replace("LAT", lat).replace("COVERS", covers)
        file.write_text(text, "utf-8")
        sites[name] = file, load_site(file, library)
    return path, sites


def test_an_area_has_the_sites_and_units_of_all_below_it_when_it_is_asked(tmp_path: Path) -> None:
    """The city has all of them, a district its own; nobody asked for means everything."""
    grid = load_grid(*write(tmp_path))
    assert grid.below("yindu") == {"yindu", "shuiye-town"}
    assert grid.sites_of("anyang") == grid.sites_of("") == {"east", "west", "port"}
    assert grid.sites_of("shuiye-town") == {"east"}
    assert [area.id for area in grid.path("shuiye-town")] == ["anyang", "yindu", "shuiye-town"]
    assert [placed.unit.id for placed in grid.units_of("yindu")] == ["market", "noodles"]
    assert grid.units_of("harbour") == ()


def test_an_area_nobody_knows_has_nothing_when_it_is_asked(tmp_path: Path) -> None:
    """A person of an area that was taken out of the file sees nothing, not everything."""
    grid = load_grid(*write(tmp_path))
    assert (grid.below("atlantis"), grid.sites_of("atlantis"), grid.path("atlantis")) == (frozenset(), frozenset(), ())


def test_every_site_is_in_no_area_when_there_is_no_grid_file(tmp_path: Path) -> None:
    """Without a grid nothing is checked, and everybody sees everything."""
    grid: Grid = load_grid(None, write(tmp_path, covers="nowhere")[1])
    assert not grid
    assert grid.sites_of("") == {"east", "west", "port"}
    assert grid.units_of("") == ()


def test_neighbours_come_nearest_first_when_there_are_more_than_wanted(tmp_path: Path) -> None:
    """Only those within the radius, and no more than asked for."""
    grid = load_grid(*write(tmp_path))
    assert [name for name, _ in grid.near("east", 5000, 5)] == ["west", "port"]
    assert [name for name, _ in grid.near("east", 5000, 1)] == ["west"]
    assert [name for name, _ in grid.near("east", 2000, 5)] == ["west"]
    assert grid.near("nowhere", 5000, 5) == []


def test_a_distance_is_that_of_the_earth_when_it_crosses_the_date_line() -> None:
    """A degree of latitude is about 111.2 km; half a turn of the earth about 20,015 km."""
    assert distance_m(Location(lat=36, lon=114), Location(lat=37, lon=114)) == pytest.approx(111_195, abs=5)
    assert distance_m(Location(lat=0, lon=179.5), Location(lat=0, lon=-179.5)) == pytest.approx(111_195, abs=5)
    assert distance_m(Location(lat=0, lon=0), Location(lat=0, lon=180)) == pytest.approx(20_015_115, abs=50)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: yindu", "id: anyang", r"grid.yaml:7: areas\[0\]\.areas\[0\]\.id: got 'anyang' again"),
        ("id: harbour", "id: west", r"grid.yaml:17: .*id: got 'west', which is a site elsewhere"),
        ("id: noodles", "id: market", r"grid.yaml:16: .*units\[1\]\.id: got 'market' again"),
        ("kind: street", "kind: city", r"grid.yaml:12: .*kind: got city within the district 'yindu', want one of: str"),
        ("site: east", "site: moon", r"grid.yaml:15: .*site: got 'moon', want one of east, port, west"),
        ("id: harbour", "id: haven", r"port.yaml:3: area: got 'harbour', want one of anyang, haven, shuiye-town, y"),
        ("name: 王建国, role", "name: 王, person: 3, role", r"grid.yaml:5: .*people\[0\].*got person and name both"),
        ("kind: restaurant", "kind: bar", r"grid.yaml:16: .*units\[1\]\.kind: got 'bar', want .*'restaurant'"),
    ],
)
def test_file_and_line_are_named_when_something_does_not_fit(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Every problem says where it stands and what is wanted."""
    with pytest.raises(ConfigError, match=said):
        load_grid(*write(tmp_path, GRID.replace(old, new, 1)))


def test_the_site_file_is_named_when_a_station_covers_a_site_that_is_not_there(tmp_path: Path) -> None:
    """Neither an unknown site nor the station's own."""
    with pytest.raises(ConfigError) as refused:
        load_grid(*write(tmp_path, covers="moon, east"))
    assert "west.yaml:5: station.covers[0]: got 'moon', want one of east, port. Mend the name." in str(refused.value)
    assert "east.yaml:5: station.covers[1]: got 'east', want one of port, west." in str(refused.value)
