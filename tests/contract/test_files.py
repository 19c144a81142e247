"""Profiles and site files: what is shipped is sound, what is wrong is said with file, line, got, wanted, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.profile import PROFILES, ProfileLibrary, load_profile
from contract.site import load_site

GOOD = """\
site: shuiye
title: {zh: 水冶, en: Shuiye}
agents:
  - id: edge-1
    lines:
      - id: tcp-1
        kind: modbus_tcp
        host: 127.0.0.1
        devices:
          - {id: hydrant-01, profile: hydrant-municipal, unit_id: 1}
          - {id: panel-01, profile: panel-modbus, unit_id: 2, points: 16}
"""


def problems(tmp_path: Path, text: str) -> str:
    path = tmp_path / "site.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_site(path, ProfileLibrary())
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_site_gives_every_device_with_its_profile(tmp_path: Path) -> None:
    """Devices come with agent, line, profile and points."""
    path = tmp_path / "site.yaml"
    path.write_text(GOOD, "utf-8")

    placed = list(load_site(path, ProfileLibrary()).placed())

    assert [(p.agent, p.line.id, p.entry.id, len(p.points)) for p in placed] == [
        ("edge-1", "tcp-1", "hydrant-01", 8),
        ("edge-1", "tcp-1", "panel-01", 20),
    ]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("unit_id: 1}", "unit_id: 300}",
         "site.yaml:10: agents[0].lines[0].devices[0].unit_id: got 300, want less than or equal to 247."),
        ("unit_id: 1}", "unit_idd: 1}",
         "site.yaml:10: agents[0].lines[0].devices[0].unit_idd: got an unknown key. Did you mean 'unit_id'?"),
        (", unit_id: 1}", "}", "site.yaml:10: agents[0].lines[0].devices[0].unit_id: got nothing, want 1..247. "
         "Give the address set on the device's switch."),
        ("unit_id: 2", "unit_id: 1",
         "site.yaml:11: agents[0].lines[0].devices[1].unit_id: got 1, which hydrant-01 has"),
        ("id: panel-01", "id: hydrant-01", "site.yaml:11: agents[0].lines[0].devices[1].id: got 'hydrant-01' again"),
        ("profile: panel-modbus", "profile: panel-moodbus",
         "site.yaml:11: agents[0].lines[0].devices[1].profile: got 'panel-moodbus', want one of"),
        ("kind: modbus_tcp", "kind: modbus_udp",
         "site.yaml:6: agents[0].lines[0]: got kind 'modbus_udp', want one of modbus_tcp,"),
        ("        host: 127.0.0.1\n", "",
         "site.yaml:6: agents[0].lines[0].host: got nothing, want a value. Add the key."),
        ("site: shuiye", "site: Shuiye", "site.yaml:1: site: got 'Shuiye', want match pattern"),
        ("site: shuiye", "site: shuiye\nsite: two", "site.yaml:2: site: got the key twice (first at line 1)"),
        ("  - id: edge-1", "\t- id: edge-1", "site.yaml:4: "),
        ("points: 16", "points: none", "site.yaml:11: agents[0].lines[0].devices[1].points: got 'none', want integer"),
        ("unit_id: 1}", "unit_id: 1, points: 3}",
         "site.yaml:10: agents[0].lines[0].devices[0].points: 'hydrant-municipal' has no repeated"),
    ],
)  # fmt: skip
def test_wrong_site_file_is_refused_with_line_and_advice(tmp_path: Path, old: str, new: str, text: str) -> None:
    """Each fault has a message that says where, what was found and what is wanted."""
    assert old in GOOD

    assert text in problems(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("x: " + "[" * 200_000 + "]" * 200_000, "got more than 100 levels, want fewer"),  # ended the process
        ("a0: &a0 {k: 1}\n" + "".join(
            f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 20)}]}}\n" for n in range(1, 9)
        ), "keys taken over by `<<`"),
        ("a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 3000)),
         "got levels within levels without end"),
        ("? " * 8000, "got levels within levels without end"),
    ],
)  # fmt: skip
def test_a_text_that_would_take_all_memory_or_the_process_is_refused_at_once(
    tmp_path: Path, more: str, text: str
) -> None:
    """Levels and keys taken over are counted before anything is made of them: pages take such files from people."""
    assert text in problems(tmp_path, f"{GOOD}{more}\n")


def test_a_short_text_of_many_levels_is_told_like_every_wrong_value(tmp_path: Path) -> None:
    """It is read whole; what was found is not written out."""
    text = GOOD.replace("site: shuiye", f"site: {'[' * 7000}{']' * 7000}", 1)
    assert "site.yaml:1: site: got levels without end, want" in problems(tmp_path, text)


def test_all_problems_of_a_file_are_listed_at_once(tmp_path: Path) -> None:
    """Nobody has to mend a file one error at a time."""
    text = problems(tmp_path, GOOD.replace("unit_id: 1}", "unit_id: 0}").replace("points: 16", "points: 0"))

    assert len(text.splitlines()) == 2


def test_absent_file_is_named(tmp_path: Path) -> None:
    """A missing file says so, with its path."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file or directory\. Check the path\."):
        load_site(tmp_path / "nowhere.yaml", ProfileLibrary())


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_profile_is_sound(path: Path) -> None:
    """Each profile loads, names its source, and its vector speaks only of its own points."""
    profile = load_profile(path)

    assert len(profile.source.en) > 40
    if profile.modbus is not None:
        names = {point.name for point in profile.points_for(None)}
        assert set(profile.test_vector.values) <= names  # type: ignore[union-attr]  # a Modbus profile's vector


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("range: [0, 2500]", "range: [2500, 0]", "point pressure_kpa: got range [2500.0, 0.0], want low < high."),
        ("type: bit, bit: 0", "type: bit", "point cap_open: got type bit without `bit`, want 0..15. Name the bit."),
        ("name: flow_lps", "name: pressure_kpa", "points: got ['pressure_kpa'] more than once, want each name once."),
        ("register: 1,", "", "point flow_lps: got no register, want one. Name its address."),
        ("function: 3", "function: 6", "want 1, 2, 3 or 4"),
        ("id: hydrant-municipal", "id: other",
         "id: got 'other', want 'hydrant-municipal'. The file is named after its id."),
    ],
)  # fmt: skip
def test_profile_that_contradicts_itself_is_refused(tmp_path: Path, old: str, new: str, text: str) -> None:
    """The reason names the point and what is wanted; a function code that writes cannot even be named."""
    source = (PROFILES / "hydrant-municipal.yaml").read_text("utf-8")
    assert old in source
    path = tmp_path / "hydrant-municipal.yaml"
    path.write_text(source.replace(old, new, 1), "utf-8")

    with pytest.raises(ConfigError) as caught:
        load_profile(path)

    assert text in str(caught.value)
    assert str(path) in str(caught.value)
