"""Files that people import: told apart, limited, every wrong cell named; nothing of a wrong file is taken."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from contract.site import Site
from gateway.duty.importing import MOST_ROWS, Column, Fault, Faults, Table, read_date, read_table, read_time
from gateway.duty.people import Certificate, Person
from gateway.duty.planning import Draft, Plans
from gateway.duty.staff_tables import PEOPLE, Known, parse_people, parse_roster, roster_lines
from tests.gateway.harness import START_MS
from tests.gateway.staff import install_stations

COLUMNS = (Column("name", "姓名", "Name", True), Column("day", "日期", "Date"))


def read(data: bytes, columns: Sequence[Column] = COLUMNS) -> tuple[Table, list[Fault]]:
    """A file, and what is wrong with its form."""
    faults = Faults()
    return read_table(data, columns, faults), faults.listed()


def xlsx(*lines: Sequence[Any]) -> bytes:
    """A workbook with one sheet."""
    book = Workbook()
    for line in lines:
        book.active.append(list(line))
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def csv_of(*lines: Sequence[str], encoding: str = "utf-8") -> bytes:
    """A CSV without quotes."""
    return "\r\n".join(",".join(line) for line in lines).encode(encoding)


# --- the form of a file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("name", ["王小明", "联通", "𠮷野", "Ünal"])
def test_text_is_read_in_the_encoding_it_was_written_in(name: str, encoding: str) -> None:
    """Excel on a Chinese machine writes GB 18030, others UTF-8 with or without its mark."""
    table, faults = read(csv_of(["姓名", "日期"], [name, "2026-03-01"], encoding=encoding))
    assert faults == []
    assert [dict(row.cells) for row in table.rows] == [{"name": name, "day": "2026-03-01"}]


def test_bytes_that_are_right_in_both_encodings_are_read_by_their_titles() -> None:
    """The body alone would pass for UTF-8; the titles say that it is GB 18030, and the other way round."""
    tricky = "漏"  # its two bytes in GB 18030 are a character of UTF-8 as well
    assert tricky.encode("gb18030").decode("utf-8")
    for encoding in ("gb18030", "utf-8"):
        table, faults = read(csv_of(["姓名"], [tricky], encoding=encoding))
        assert (faults, table.rows[0].cells["name"]) == ([], tricky)


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"", "rows"),
        (b"\xff\xfe\x00", "encoding"),
        (b"\x80\x81\xff\xff", "encoding"),
        ("姓名\0日期".encode(), "encoding"),
        ("姓名".encode(), "rows"),
        ('姓名\n"王'.encode(), "file"),
        (b"PK\x03\x04 not a workbook", "file"),
        (("姓名\n" + "王\n" * (MOST_ROWS + 1)).encode(), "rows"),
        (("姓名" + "," * 70).encode() + b"\n", "columns"),
        (b"x" * (5 * 1024 * 1024), "size"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_fault(data: bytes, want: str) -> None:
    """It says what was wanted, and no row is taken."""
    table, faults = read(data)
    assert [fault.want for fault in faults] == [want]
    assert table.rows == () if want != "rows" else True


def test_titles_are_named_when_they_are_unknown_missing_or_doubled() -> None:
    """Chinese or English, any case; a column nobody knows is not silently left out."""
    _, faults = read(csv_of(["日期", "日 期", "Birthday", "DATE"], ["a", "b", "c", "d"]))
    assert [(f.row, f.column, f.want) for f in faults] == [
        (1, "Birthday", "title"),
        (1, "DATE", "title_once"),
        (1, "姓名", "title_missing"),
        (1, "日 期", "title_once"),
    ]


@pytest.mark.parametrize("formula", ["=1+1", "@SUM(A1)", "+HYPERLINK(1)", "-cmd", '=HYPERLINK("http://a")'])
def test_a_formula_is_refused_in_either_format(formula: str) -> None:
    """What it gives is not in the file for sure; a telephone number that begins with + is none."""
    quoted = '"' + formula.replace('"', '""') + '"'
    assert [(f.row, f.column, f.want) for f in read(csv_of(["姓名"], [quoted]))[1]] == [(2, "姓名", "formula")]
    assert [(f.row, f.column, f.want) for f in read(xlsx(["姓名"], [formula]))[1]] == [(2, "姓名", "formula")]
    assert read(csv_of(["姓名"], ["+86 138"]))[1] == []


def test_rows_are_numbered_as_a_spreadsheet_shows_them() -> None:
    """Empty lines before and between count, in both formats."""
    for data in (csv_of([""], ["姓名", "日期"], ["", ""], ["", "x"]), xlsx([], ["姓名", "日期"], [], [None, "x"])):
        assert [(f.row, f.column, f.want) for f in read(data)[1]] == [(4, "姓名", "empty")]


GOOD = (xlsx(["姓名", "日期"], ["王", date(2026, 3, 1)], ["李", None]), csv_of(["姓名", "日期"], ["王", "2026-03-01"]))


# --- bombs ---------------------------------------------------------------------------------------------------------


def repack(data: bytes, name: str, content: bytes) -> bytes:
    """A workbook with one part replaced."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename == name else old.read(info))
    return made.getvalue()


def test_a_workbook_that_grows_beyond_all_measure_is_refused_unread() -> None:
    """Fifty kilobytes that unpack to fifty megabytes, entities that multiply, parts without end."""
    good = xlsx(["姓名"], ["王"])
    bomb = repack(good, "xl/worksheets/sheet1.xml", b"<worksheet>" + b" " * (50 * 1024 * 1024))
    assert len(bomb) < 100_000
    assert [f.want for f in read(bomb)[1]] == ["size"]
    sheet = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
    sheet += '<c r="A1" t="inlineStr"><is><t>姓名&e;</t></is></c></row></sheetData></worksheet>'.encode()
    laughs = b'<!DOCTYPE worksheet [<!ENTITY e " ">]>' + sheet
    assert [f.want for f in read(repack(good, "xl/worksheets/sheet1.xml", laughs))[1]] == ["file"]
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as parts:
        for number in range(600):
            parts.writestr(f"{number}", b"")
    assert [f.want for f in read(many.getvalue())[1]] == ["size"]


def test_a_sheet_that_claims_a_million_rows_is_read_as_far_as_it_may_go() -> None:
    """A single cell at the far end makes no million rows, and a wrong dimension hides none."""
    space = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    head = b'<worksheet xmlns="%s"><dimension ref="A1:A1"/><sheetData>' % space
    cell = '<row r="%d"><c r="A%d" t="inlineStr"><is><t>%s</t></is></c></row>'
    far = head + (cell % (1, 1, "姓名") + cell % (1_048_576, 1_048_576, "王")).encode() + b"</sheetData></worksheet>"
    good = xlsx(["姓名"], ["王"])
    assert [f.want for f in read(repack(good, "xl/worksheets/sheet1.xml", far))[1]] == ["rows"]
    near = head + (cell % (1, 1, "姓名") + cell % (2, 2, "王")).encode() + b"</sheetData></worksheet>"
    table, faults = read(repack(good, "xl/worksheets/sheet1.xml", near))
    assert ([row.cells["name"] for row in table.rows], faults) == (["王"], [])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_a_fault_and_never_a_crash(data: st.DataObject) -> None:
    """Bytes changed, cut or put in anywhere: rows or faults, nothing else."""
    raw = bytearray(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    read(bytes(raw))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
@example(b"PK\x05\x06" + b"\0" * 18)
def test_any_bytes_are_a_fault_and_never_a_crash(raw: bytes) -> None:
    """Whatever somebody uploads."""
    read(raw)
    read(b"PK" + raw)


# --- cells ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "2026-03-01", "2026-3-1", "2026/3/1", "2026.03.01", "2026年3月1日", "2026 年 3 月 1 日", "20260301", 20260301,
        "２０２６-０３-０１", "2026-03-01 00:00:00", date(2026, 3, 1), datetime(2026, 3, 1),  # noqa: DTZ001 # as openpyxl gives it
    ],
)  # fmt: skip
def test_a_date_is_read_in_every_spelling_that_means_one_day(cell: object) -> None:
    """As people and spreadsheets write it."""
    assert read_date(cell) == date(2026, 3, 1)


@pytest.mark.parametrize(
    "cell", ["01/03/2026", "3-1", "2026-02-30", "2026-13-01", "tomorrow", 46082, 46082.5, True, "", "26-3-1"]
)
def test_a_date_that_could_be_another_day_is_not_taken(cell: object) -> None:
    """Day or month first, days that do not exist, numbers of a spreadsheet."""
    assert read_date(cell) is None


@pytest.mark.parametrize(
    ("cell", "begins"),
    [
        ("8:00", "08:00"), ("08:00", "08:00"), ("8：00", "08:00"), ("8点", "08:00"), ("16:00-24:00", "16:00"),
        ("24:00", "00:00"), ("0:00", "00:00"), ("8点30分", "08:30"), (time(8), "08:00"), ("08:00:00", "08:00"),
        ("25:00", None), ("8", None), ("night", None), (8, None),
    ],
)  # fmt: skip
def test_a_shift_is_known_by_the_time_it_begins(cell: object, begins: str | None) -> None:
    """Of a span the begin; what is no time of day is none."""
    assert read_time(cell) == begins


# --- people --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sites(tmp_path: Path) -> dict[str, Site]:
    return dict(install_stations(tmp_path).sites)


def known_of(sites: dict[str, Site], *people: tuple[Person, str, str]) -> Known:
    """People as (row, name, phone)."""
    return Known(
        sites,
        {row.id: row for row, _, _ in people},
        {row.id: name for row, name, _ in people},
        {row.id: phone for row, _, phone in people},
        {"wang", "li"},
    )


def person(number: int, *kinds: str, site: str = "shuiye", user: str = "") -> Person:
    """Somebody with certificates that do not expire."""
    certificates = tuple(Certificate(kind) for kind in kinds)  # type: ignore[arg-type] # kinds of the tests
    return Person(id=number, site=site, state="active", from_ms=0, certificates=certificates, user=user)


def phone_of(text: str) -> str | None:
    return text if text.lstrip("+").isdigit() or not text else None


def test_every_wrong_cell_of_a_list_of_people_is_named_at_once(sites: dict[str, Site]) -> None:
    """Row, column, what was got, what is wanted; the good rows between them are not taken either."""
    known = known_of(sites, (person(1, user="li"), "王小明", "13800138000"))
    titles = ["姓名", "站点", "电话", "职务", "证书1", "证书1编号", "证书1有效期至", "登录名"]
    data = xlsx(
        titles,
        ["赵一", "水冶微站", 13800000001, "队员、驾驶员", "消防设施操作员（初级）", "A1", date(2031, 5, 1), "wang"],
        ["钱二", "北京", "12ab", "厨师", "博士", 12345678901234567, "01/05/2031", "nobody"],
        [None, "shuiye", None, None, None, "X9", None, None],
        ["王小明", "shuiye", "13800138000", None, None, None, None, "li"],
        ["赵一", "shuiye", "13800000001", None, None, None, None, "wang"],
    )
    people, faults = parse_people(data, known, phone_of, 100)
    assert people[0] == {
        "site": "shuiye",
        "name": "赵一",
        "phone": "13800000001",
        "roles": ["fighter", "driver"],
        "certificates": [{"kind": "operator", "number": "A1", "until": "2031-05-01"}],
        "user": "wang",
    }
    assert [(f.row, f.column, f.got, f.want) for f in faults] == [
        (3, "电话", "12ab", "phone"),
        (3, "登录名", "nobody", "known_user"),
        (3, "站点", "北京", "choice"),
        (3, "职务", "厨师", "choice"),
        (3, "证书1", "博士", "choice"),
        (3, "证书1有效期至", "01/05/2031", "date"),
        (3, "证书1编号", "1.234567890123457e+16", "text"),
        (4, "姓名", "", "empty"),
        (4, "证书1", "", "choice"),
        (5, "姓名", "王小明", "same_person"),
        (5, "登录名", "li", "free_user"),
        (6, "姓名", "赵一", "same_person"),
        (6, "登录名", "wang", "free_user"),
    ]


def test_a_list_without_a_site_is_of_the_only_one(sites: dict[str, Site]) -> None:
    """Where there are several each row must name its own."""
    data = csv_of(["Name"], ["Li Lei"])
    assert parse_people(data, known_of({"shuiye": sites["shuiye"]}), phone_of, 10)[1] == []
    assert [(f.row, f.want) for f in parse_people(data, known_of(sites), phone_of, 10)[1]] == [(2, "choice")]
    assert [
        f.want
        for f in parse_people(csv_of(["Name"], ["a"], ["b"]), known_of({"shuiye": sites["shuiye"]}), phone_of, 1)[1]
    ] == ["rows"]


# --- rosters -------------------------------------------------------------------------------------------------------


def draft_of(known: Known) -> Draft:
    stations = {key: (site.station, ZoneInfo(site.time_zone)) for key, site in known.sites.items() if site.station}
    return Draft(Plans(), stations, known.people.get, lambda _: 9)


def test_every_wrong_cell_of_a_roster_is_named_at_once(sites: dict[str, Site]) -> None:
    """What is no date or person, what overlaps, who lacks a certificate: each by its row and column."""
    known = known_of(
        sites,
        (person(1, "operator"), "王", ""),
        (person(2, "technician"), "李", ""),
        (person(3), "张", ""),
        (person(4), "同名", ""),
        (person(5), "同名", ""),
    )
    day = datetime.fromtimestamp(START_MS / 1000, UTC).date().replace(day=20).isoformat()
    data = csv_of(
        ["站点", "日期", "班次", "岗位", "人员"],
        ["水冶微站", day, "8:00-16:00", "消防控制室", "王、李"],
        ["shuiye", day, "08:00", "gate", "王"],
        ["dongfeng", day, "08:00", "control", "李、张"],
        ["shuiye", day, "09:00", "gate", "张"],
        ["shuiye", "2020-01-01", "08:00", "gate", "张"],
        ["shuiye", "someday", "08:00", "gate", "张"],
        ["shuiye", day, "16:00", "gate", "同名"],
        ["shuiye", day, "16:00", "roof", "陈"],
        ["shuiye", day, "08:00", "门岗", "#3"],
        ["shuiye", day, "00:00", "gate", "3、3"],
    )
    cells, faults = parse_roster(data, known, draft_of(known), START_MS)
    assert cells[0].people == (1, 2)
    assert [(f.row, f.column, f.got, f.want) for f in faults] == [
        (2, "人员", "李", "elsewhere"),
        (2, "人员", "王", "elsewhere"),
        (3, "人员", "王", "elsewhere"),
        (4, "人员", "张", "certificate"),
        (4, "人员", "李", "elsewhere"),
        (5, "班次", "09:00", "choice"),
        (6, "日期", "2020-01-01", "later"),
        (7, "日期", "someday", "date"),
        (8, "人员", "同名", "one_person"),
        (9, "人员", "陈", "known_person"),
        (9, "岗位", "roof", "choice"),
        (10, "岗位", "gate", "planned_once"),
        (11, "人员", "张", "once"),
    ]


def test_the_template_of_a_roster_is_taken_once_people_are_filled_in(sites: dict[str, Site]) -> None:
    """Its lines are the shifts and posts there are."""
    known = known_of({"shuiye": sites["shuiye"]}, *((person(n, "operator"), f"n{n}", "") for n in range(1, 4)))
    day = datetime.fromtimestamp(START_MS / 1000, UTC).date().replace(day=20)
    lines = roster_lines(sites["shuiye"], [day])
    assert [line[2:4] for line in lines] == [
        [t, p] for t in ("00:00", "08:00", "16:00") for p in ("消防控制室", "门岗")
    ]
    filled = [[*line[:4], "n1、n2" if line[3] != "门岗" else "n3"] for line in lines]
    cells, faults = parse_roster(
        xlsx(["站点", "日期", "班次", "岗位", "人员"], *filled), known, draft_of(known), START_MS
    )
    assert (len(cells), faults) == (6, [])


def test_the_template_of_people_has_titles_that_are_known() -> None:
    """In both languages."""
    for titles in ([c.zh for c in PEOPLE], [c.en for c in PEOPLE]):
        faults = Faults()
        read_table(csv_of(titles, ["x"]), PEOPLE, faults)
        assert faults.listed() == []
