"""Groups of a site, manual call points, the system's own devices; what is wrong with them is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.profile import AGENT_PROFILE, LINE_PROFILE, ProfileLibrary
from contract.site import Site, load_site

SITE = """\
site: shuiye
title: {zh: 水冶, en: Shuiye}
time_zone: Asia/Shanghai
agents:
  - id: edge-1
    lines:
      - id: tcp-1
        kind: modbus_tcp
        host: 127.0.0.1
        devices:
          - {id: hydrant-01, profile: hydrant-municipal, unit_id: 1}
          - {id: hydrant-02, profile: hydrant-municipal, unit_id: 2}
          - {id: bay-01, profile: extinguisher-bay, unit_id: 3, asset: {extinguisher: powder, made: 2024-03-01}}
      - id: printer-1
        kind: printer
        port: /dev/ttyS0
        devices:
          - id: panel-02
            profile: panel-printer
            title: {zh: 商场, en: Store}
            point_map: map.csv
groups:
  - {id: main-east, kind: main, title: {zh: 东干管, en: East main}, members: [hydrant-*/pressure_kpa]}
"""
MAP = """\
address,place_zh,type,zone
l001p001,一层东,感烟探测器,1F
l001p002,一层西,感烟探测器, 1f
l001p003,一层门厅,手动报警按钮,1F
l001p004,二层,感烟探测器,二层 东区
l001p005,二层楼梯间手报,,
"""


def load(tmp_path: Path, site: str = SITE, point_map: str = MAP) -> Site:
    (tmp_path / "map.csv").write_text(point_map, "utf-8")
    path = tmp_path / "site.yaml"
    path.write_text(site, "utf-8")
    return load_site(path, ProfileLibrary())


def test_groups_are_those_of_the_file_then_the_zones_when_a_point_map_names_zones(tmp_path: Path) -> None:
    """Ids of zones are made from panel and zone; spellings that differ in case and spaces are one zone."""
    groups = list(load(tmp_path).all_groups())

    assert [(group.id, group.kind, group.title.en, group.members) for group in groups] == [
        ("main-east", "main", "East main", ("hydrant-*/pressure_kpa",)),
        ("panel-02-zone-1f", "zone", "Store 1F", ("panel-02/l001p001", "panel-02/l001p002", "panel-02/l001p003")),
        (groups[2].id, "zone", "Store 二层 东区", ("panel-02/l001p004",)),
    ]
    assert groups[2].id.startswith("panel-02-zone-")
    assert groups[2].id != groups[1].id


@pytest.mark.parametrize(
    ("device", "point", "has"),
    [("hydrant-01", "pressure_kpa", True), ("hydrant-01", "flow_lps", False), ("bay-01", "pressure_kpa", False)],
)
def test_member_pattern_means_points_when_it_names_one(tmp_path: Path, device: str, point: str, *, has: bool) -> None:
    """`device/point` with `*` for any characters."""
    group = next(load(tmp_path).all_groups())

    assert group.has(device, point) is has


def test_member_pattern_means_every_point_when_it_names_a_device(tmp_path: Path) -> None:
    """`device` alone is all of its points."""
    group = next(load(tmp_path, SITE.replace("[hydrant-*/pressure_kpa]", "[hydrant-01]")).all_groups())

    assert group.has("hydrant-01", "cap_open")
    assert not group.has("hydrant-02", "cap_open")


@pytest.mark.parametrize(
    ("point", "manual"),
    [("l001p003", True), ("l001p001", False), ("l001p005", True), ("l009p009", False)],
)
def test_manual_call_point_is_known_by_its_type_or_place(tmp_path: Path, point: str, *, manual: bool) -> None:
    """By the map's type; by the place where no type was given; an address of no map is none."""
    assert load(tmp_path).is_manual("panel-02", point) is manual


def test_own_devices_are_agents_and_lines_when_asked(tmp_path: Path) -> None:
    """Each agent and each polled line, with the profile of its own points."""
    own = [each for each in load(tmp_path).own_devices() if each.device in ("agent-edge-1", "line-tcp-1")]

    assert own == [("edge-1", "agent-edge-1", AGENT_PROFILE), ("edge-1", "line-tcp-1", LINE_PROFILE)]


def test_hash_changes_when_only_a_zone_does(tmp_path: Path) -> None:
    """Two sides that group points otherwise do not run the same file."""
    before = load(tmp_path).content_hash

    assert load(tmp_path, point_map=MAP.replace("二层 东区", "2F")).content_hash != before


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("id: main-east", "id: hydrant-01",
         "site.yaml:23: groups[0].id: got 'hydrant-01', which names a device. Give the group another id."),
        ("id: main-east", "id: panel-02-zone-1f",
         "site.yaml:23: groups[0].id: got 'panel-02-zone-1f', which names a zone of a point map."),
        ("members: [hydrant-*/pressure_kpa]", "members: [hydrant-01, hydrant-09]",
         "site.yaml:23: groups[0].members[1]: got 'hydrant-09', which matches nothing, want `device` or"),
        ("[hydrant-*/pressure_kpa]", "[hydrant-*/presure_kpa]", "got 'hydrant-*/presure_kpa', which matches nothing"),
        ("[hydrant-*/pressure_kpa]", "[panel-02/l1p1]", "got 'panel-02/l1p1', which matches nothing"),
        ("Asia/Shanghai", "Asia/Shangai",
         "site.yaml:3: time_zone: got 'Asia/Shangai', want a name of the time zone database such as Asia/Shanghai."),
        ("Asia/Shanghai", "''", "site.yaml:3: time_zone: got '', want a name of the time zone database"),
        ("site: shuiye", "site: system", "site.yaml:1: site: got 'system', which names the gateway's own state."),
        ("id: bay-01", "id: agent-01", "got 'agent-01'; agent-... names an agent's own health. Rename it."),
        ("id: bay-01", "id: line-01", "got 'line-01'; line-... names a line's own health. Rename it."),
        ("made: 2024-03-01", "made: 2024-03-01, inspected: 2024-02-01",
         "site.yaml:13: agents[0].lines[0].devices[2].asset.inspected: got 2024-02-01, want 2024-03-01"),
        ("unit_id: 1}", "unit_id: 1, asset: {extinguisher: water}}",
         "site.yaml:11: agents[0].lines[0].devices[0].asset.extinguisher: 'hydrant-municipal' is no extinguisher."),
    ],
)  # fmt: skip
def test_wrong_group_or_date_is_refused_with_line_and_advice(tmp_path: Path, old: str, new: str, text: str) -> None:
    """Each fault has a message that says where, what was found and what is wanted."""
    assert old in SITE
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, SITE.replace(old, new, 1))

    assert text in str(caught.value)


def test_group_may_name_an_address_that_a_panel_could_speak_of(tmp_path: Path) -> None:
    """The points of a panel are known once it spoke; a well-formed address and a pattern will do."""
    groups = list(
        load(tmp_path, SITE.replace("[hydrant-*/pressure_kpa]", "[panel-02/l001p0*, panel-02/l009p009]")).all_groups()
    )

    assert groups[0].has("panel-02", "l001p005")
