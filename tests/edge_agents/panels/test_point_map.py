"""Point maps from CSV and XLSX: places for addresses, and every wrong row at once."""

from __future__ import annotations

import contextlib
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.settings import load_checked
from contract.errors import ConfigError
from contract.point_map import load_point_map
from contract.profile import PROFILES, ProfileLibrary
from contract.site import load_site

GOOD = "回路,地址,位置,place_en,类型,分区\n4,4,裙楼一层上空,Podium 1F,感烟,3\n4,5,裙楼二层,,手报,\n"
SITE = """\
site: shuiye
title: {zh: 水冶, en: Shuiye}
agents:
  - id: edge-1
    lines:
      - id: panel-1
        kind: panel_serial
        port: /dev/ttyS7
        devices:
          - {id: panel-01, profile: panel-esc-printer, point_map: map.csv}
"""


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    """The text as a file."""
    path = tmp_path / "map.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_places_are_known_when_a_csv_is_loaded(tmp_path: Path, encoding: str) -> None:
    """Chinese column names and both encodings Excel writes."""
    points = load_point_map(written(tmp_path, GOOD, encoding))
    assert {name: point.title for name, point in points.items()} == {
        "l004p004": ("裙楼一层上空 感烟", "Podium 1F 感烟"),
        "l004p005": ("裙楼二层 手报", "裙楼二层 手报"),
    }
    assert points["l004p004"].zone == "3"


def test_places_are_known_when_a_workbook_is_loaded(tmp_path: Path) -> None:
    """Numbers of cells are numbers, empty rows are nothing."""
    book = openpyxl.Workbook()
    for row in (["code", "controller", "place_zh"], ["001004", None, "大厅"], [], [1005, 2.0, "走廊"]):
        book.worksheets[0].append(row)
    book.save(tmp_path / "map.xlsx")
    assert list(load_point_map(tmp_path / "map.xlsx")) == ["p001004", "c2p1005"]


def test_every_wrong_row_is_listed_when_a_map_is_wrong(tmp_path: Path) -> None:
    """Row, column, got, wanted; and nothing is taken."""
    text = "controller,loop,point,place_zh\n1,4,4,大厅\nx,4,1000,\n1,4,4,走廊\n1,,5,走廊\n"
    with pytest.raises(ConfigError) as caught:
        load_point_map(written(tmp_path, text))
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "map.csv: row 3, column point: got '1000', want 0..999.",
        "map.csv: row 3, column controller: got 'x', want 0..999 or nothing.",
        "map.csv: row 3, column place_zh: got '', want the name of the place.",
        "map.csv: row 4, column address: got 'c1l004p004', want it once (first at row 2).",
        "map.csv: row 5, column loop: got '', want 0..999.",
        "map.csv: nothing of it was taken. Mend these rows.",
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a,b\n1,2\n", "row 1: got columns none, want place_zh and one of address"),
        (b"place_zh,place,loop,point\n", "row 1: got place_zh twice, want each column once"),
        (b"\xff\xff\xff\xff,\x81", "got text that is neither UTF-8 nor GB 18030"),
        (b"PK\x03\x04 no workbook", "got no readable workbook"),
        (b"", "row 1: got columns none"),
    ],
)
def test_file_is_refused_with_the_reason_when_it_is_no_map(tmp_path: Path, data: bytes, text: str) -> None:
    """Each kind of wrong file has its own text."""
    path = tmp_path / "map.csv"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_point_map(path)
    assert text in str(caught.value)


@settings(deadline=None, max_examples=150)
@given(
    data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda s: ("loop,point,place\n" + s).encode()))
)
def test_only_a_config_error_comes_of_it_when_a_file_is_rubbish(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """No file makes the import crash."""
    path = tmp_path_factory.getbasetemp() / "rubbish.csv"
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        load_point_map(path)


def test_points_have_their_places_when_a_site_names_a_map(tmp_path: Path) -> None:
    """The title on screens is the place; an address that is not in the map keeps its numbers."""
    written(tmp_path, GOOD)
    (tmp_path / "site.yaml").write_text(SITE, "utf-8")
    site = load_site(tmp_path / "site.yaml", ProfileLibrary())
    (placed,) = site.placed()
    titles = [point.title.zh for name in ("l004p004", "l004p009") if (point := placed.profile.point(name))]
    assert titles == ["裙楼一层上空 感烟", "回路 4 地址 9"]
    written(tmp_path, GOOD.replace("一层", "三层"))
    assert load_site(tmp_path / "site.yaml", ProfileLibrary()).content_hash != site.content_hash


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("point_map: map.csv", "point_map: none.csv", "none.csv: No such file or directory. Check the path."),
        ("panel-esc-printer", "panel-modbus, unit_id: 1", "want a modbus_tcp, modbus_rtu or modbus_rtu_tcp line."),
        ("panel_serial", "printer", "'panel-esc-printer' on a printer line, want a panel_serial or panel_tcp line."),
        ("panel-esc-printer", "panel-gst-crt, unit_id: 95", "unit_id: got 95, want none of [12, 15, 27, 31, 95]."),
    ],
)  # fmt: skip
def test_site_is_refused_when_a_panel_cannot_be_so(tmp_path: Path, old: str, new: str, text: str) -> None:
    """A missing map, a wrong line, a controller that may not be called."""
    written(tmp_path, GOOD)
    assert old in SITE
    (tmp_path / "site.yaml").write_text(SITE.replace(old, new), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_site(tmp_path / "site.yaml", ProfileLibrary())
    assert text in str(caught.value)


def test_start_is_refused_when_a_profile_names_patterns_that_are_not_there(tmp_path: Path) -> None:
    """`weizhan check` says of a panel's options what a start would."""
    source = (PROFILES / "panel-esc-printer.yaml").read_text("utf-8")
    (tmp_path / "panel-mine.yaml").write_text(
        source.replace("panel-esc-printer", "panel-mine").replace("patterns: esc", "patterns: mine"), "utf-8"
    )
    written(tmp_path, GOOD)
    (tmp_path / "site.yaml").write_text(SITE.replace("panel-esc-printer", "panel-mine"), "utf-8")
    config = f"mqtt: {{}}\nagent: {{site_file: site.yaml, agent_id: edge-1, profiles: [{tmp_path}], data_dir: data}}\n"
    (tmp_path / "weizhan.yaml").write_text(config, "utf-8")
    with pytest.raises(ConfigError, match="device panel-01, profile panel-mine: patterns: got 'mine', want one of esc"):
        load_checked(tmp_path / "weizhan.yaml", "agent")
