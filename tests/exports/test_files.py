"""Exports as files: the same content whichever kind, checked from the file alone; nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from pypdf import PdfReader, PdfWriter

from gateway.exports.checking import check_file
from gateway.exports.document import MOST_CHARS, BadExport, Spool, TooLong, clean, guard, lines, number, unguard
from gateway.exports.layout import drawn_by
from gateway.exports.page_texts import compare
from gateway.exports.pdf_file import ATTACHED, MOST_PDF_ROWS, write_pdf
from gateway.exports.pdf_page import ticks
from tests.exports.papers import document, written
from tests.parts.codes import codes_in_pdf

HEADS = ("=", "+", "-", "@", "\t", "\r")
NASTY = [
    *(f"{head}cmd|' /C calc'!A0" for head in HEADS), "'=1+1", "''@x",
    "<img src=x onerror=alert(1)>", "a\u202eb\u200fc",
    "🔥" * 40, "很长的名称" * 2000,
    "a,b\n\"c\"\r\nd", "\x00\x07\ud800", " =1", "＝1", "_x0041_", "", "1e5", "TRUE", "#REF!",
]  # fmt: skip
name = st.one_of(
    st.sampled_from(NASTY), st.tuples(st.sampled_from(HEADS), st.text(max_size=30)).map("".join), st.text(max_size=60)
)


@pytest.mark.parametrize("kind", ["csv", "xlsx", "pdf"])
def test_a_file_is_whole_when_checked_as_it_was_written(kind: str, tmp_path: Path) -> None:
    """Names of every odd sort go into the file and come back out to the same code."""
    path, code = written(document(NASTY), kind, tmp_path)
    found = check_file(path)
    assert (found.is_whole, found.found, found.header.title) == (True, code, "设备档案 市政消火栓")


@given(st.lists(name, max_size=6))
@settings(max_examples=25, deadline=None)
def test_no_cell_is_a_formula_and_content_comes_back_when_names_are_anything(names: list[str]) -> None:
    """CSV and XLSX: no text begins like a formula, none is stored as one, numbers stay numbers."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("csv", "xlsx"):
            path, code = written(document(names, title=names[0] if names else "x"), kind, Path(folder))
            assert check_file(path).found == code
            if kind == "csv":
                with path.open(encoding="utf-8-sig", newline="") as file:
                    cells = [(cell, "s") for row in csv.reader(file) for cell in row]
            else:
                book = load_workbook(path)
                cells = [(c.value, c.data_type) for sheet in book for row in sheet for c in row if c.value is not None]
                assert "f" not in {kind for _, kind in cells}
                assert [c.data_type for c in book.worksheets[2]["C"]][1:] == ["n"] * len(names)
            assert [text for text, _ in cells if isinstance(text, str) and text[:1] in HEADS and text] == []


@given(name)
def test_a_guarded_text_comes_back_when_the_guard_is_taken_off(text: str) -> None:
    """Whatever the text, also one that had an apostrophe of its own."""
    plain = clean(text) or ""
    assert unguard(guard(plain)) == plain
    assert guard(plain)[:1] not in (*HEADS, "＝") or not plain


def test_a_csv_reads_as_a_table_when_opened_by_anything(tmp_path: Path) -> None:
    """A mark for Excel, times with their offset, numbers bare, the code at the end."""
    path, code = written(document(), "csv", tmp_path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert ["2025-11-22T10:00:00+08:00", "压力过低", "0.5", ""] in rows
    assert ["2025-11-22T15:00:00+08:00", "", "", ""] in rows  # the gap is said
    assert rows[-1] == ["code", code]


def test_a_workbook_has_typed_cells_when_read_back(tmp_path: Path) -> None:
    """A time is a time, a number a number; each table has its sheet, the first says what it is; a chart is drawn."""
    path, code = written(document(), "xlsx", tmp_path)
    book = load_workbook(path)
    assert book.sheetnames == ["weizhan", "1 压力", "2 报警", "3 工单"]
    assert [cell.value for cell in book["2 报警"][2]] == [
        *(datetime.fromisoformat("2025-11-22T10:00"), "压力过低", 0.5, None),
    ]
    assert [cell.value for cell in list(book["weizhan"].rows)[-1]][:2] == ["code", code]
    assert len(book["1 压力"]._charts) == 1


@pytest.mark.parametrize(("language", "made"), [("zh", "生成时间"), ("en", "Made")])
def test_a_pdf_can_be_read_and_searched_when_its_text_is_taken_out(language: str, made: str, tmp_path: Path) -> None:
    """Chinese text whole, head of the table on every page, pages numbered, the code on each and as QR, fonts inside."""
    path, code = written(document([f"消火栓压力过低 {n}" for n in range(120)], language=language), "pdf", tmp_path)
    pages = PdfReader(path).pages
    texts = [page.extract_text() for page in pages]
    assert len(pages) > 3
    for n, text in enumerate(texts, 1):
        assert f"{n} / {len(pages)}" in text
        assert code in text
        assert "设备档案 市政消火栓" in text
        assert "标题" in text
    assert codes_in_pdf(path) == [code]
    assert made in texts[0]
    assert all(f"消火栓压力过低 {n}" in "\n".join(texts) for n in range(120))
    fonts = pages[0]["/Resources"]["/Font"].get_object()
    files = [font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"] for font in fonts.values()]
    assert all("/FontFile2" in file or "/FontFile3" in file for file in files)
    assert path.stat().st_size < 300_000  # a part of the font, not all of it


@pytest.mark.parametrize(
    ("language", "legend"),
    [("zh", ("最低至最高", "平均", "报警限值")), ("en", ("lowest to highest", "mean", "limit of an"))],
)
def test_a_chart_says_what_is_drawn_how_when_it_is_printed(
    language: str, legend: tuple[str, ...], tmp_path: Path
) -> None:
    """Band, line and limit have their word; times stand under it without seconds."""
    path, _ = written(document(language=language), "pdf", tmp_path)
    text = PdfReader(path).pages[0].extract_text()
    for word in (*legend, "2025-11-22 10:00", "2025-11-22 21:00", drawn_by()):
        assert word in text, word


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_an_axis_has_a_few_round_values_when_anything_is_drawn(low: float, spread: float) -> None:
    """Two to seven of them, all within the chart."""
    found = ticks(low, low + spread)
    assert 2 <= len(found) <= 7
    assert all(low - spread * 1e-6 <= value <= low + spread * (1 + 1e-6) for value in found)


def test_a_pdf_says_what_it_cannot_draw_when_the_font_has_no_such_shape(tmp_path: Path) -> None:
    """Nothing is left out in silence."""
    path, _ = written(document(["着火 🔥"]), "pdf", tmp_path)
    assert "着火 [U+1F525]" in "\n".join(page.extract_text() for page in PdfReader(path).pages)


def test_a_changed_csv_or_workbook_is_found_out_when_checked(tmp_path: Path) -> None:
    """One digit is enough."""
    path, _ = written(document(), "csv", tmp_path)
    path.write_text(path.read_text("utf-8-sig").replace("0.5", "0.6"), "utf-8-sig")
    assert not check_file(path).is_whole
    path, _ = written(document(), "xlsx", tmp_path)
    book = load_workbook(path)
    book["2 报警"]["C2"] = 7
    book.save(path)
    assert not check_file(path).is_whole


@pytest.mark.parametrize("where", ["cell", "row", "sheet", "about"])
def test_what_was_put_in_beside_is_found_out_when_a_workbook_is_checked(where: str, tmp_path: Path) -> None:
    """Everything that was there is as it was; more is not."""
    path, _ = written(document(), "xlsx", tmp_path)
    book = load_workbook(path)
    if where == "cell":
        book["2 报警"]["H2"] = "checked, all well"
    elif where == "row":
        book["3 工单"].append([None, "repaired"])
    elif where == "sheet":
        book.create_sheet("4 x")["A1"] = "all well"
    else:
        book["weizhan"].append(["note", "all well"])
    book.save(path)
    assert not check_file(path).is_whole


def test_what_was_written_below_the_code_is_found_out_when_a_csv_is_checked(tmp_path: Path) -> None:
    """The code stands last."""
    path, _ = written(document(), "csv", tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write("note,all well\r\n")
    assert not check_file(path).is_whole


def test_a_changed_pdf_is_found_out_when_checked(tmp_path: Path) -> None:
    """Also where the attached content was left alone: what is printed has to be that content."""
    path, _ = written(document(), "pdf", tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = written(document(["一切正常"]), "pdf", tmp_path / "other")
    writer = PdfWriter()
    for page in PdfReader(other).pages:
        writer.add_page(page)
    writer.add_attachment("content.jsonl", PdfReader(path).attachments["content.jsonl"][0])
    forged = tmp_path / "forged.pdf"
    writer.write(forged)
    assert not check_file(forged).is_whole


def _drawn(folder: Path, version: str, names: list[str], code: str = "") -> Path:
    """A PDF that says that `version` drew it, with the code of its content printed or another."""
    spool = Spool(folder / "other.jsonl")
    spool.path.write_bytes(b"".join(lines(document(names), version)))
    write_pdf(spool, code or spool.code(), folder / "other.pdf", lambda _: None)
    return folder / "other.pdf"


def _swapped(pages: Path, content: bytes, to: Path) -> Path:
    """The pages of one PDF with the content of another."""
    writer = PdfWriter()
    for page in PdfReader(pages).pages:
        writer.add_page(page)
    writer.add_attachment(ATTACHED, content)
    writer.write(to)
    return to


@pytest.mark.parametrize("version", ["", "1 fpdf2-2.8.4 font-00000000", f"9{drawn_by()[1:]}"])
def test_a_pdf_of_another_version_is_proven_by_its_content_when_checked(version: str, tmp_path: Path) -> None:
    """Never called changed: the code fits, every text is on the pages, and the drawing is said not to be compared."""
    found = check_file(_drawn(tmp_path, version, NASTY))
    assert found.is_whole
    assert found.drawing is not None
    assert (found.drawing.version, found.drawing.absent, found.drawing.first) == (version, 0, "")
    assert found.drawing.texts > 3 * len(NASTY)


def test_what_the_pages_do_not_show_is_said_when_another_version_drew_them(tmp_path: Path) -> None:
    """Pages of one row less under the content of the whole: which text is absent is told; it is not called changed."""
    whole = _drawn(tmp_path, "1 x", ["a first name", "a second name"])
    content, code = PdfReader(whole).attachments[ATTACHED][0], check_file(whole).found
    less = _drawn(tmp_path, "1 x", ["a first name"], code)
    found = check_file(_swapped(less, content, tmp_path / "swapped.pdf"))
    assert found.is_whole
    assert found.drawing is not None
    assert found.drawing.absent >= 1
    assert "second name" in found.drawing.first or "1.5" in found.drawing.first or "2025" in found.drawing.first


def test_another_version_is_no_way_round_the_comparison_when_a_pdf_was_changed(tmp_path: Path) -> None:
    """Whoever has the content say that another version drew it has another code than the one that was handed out."""
    path, code = written(document(["a name"]), "pdf", tmp_path)
    content = PdfReader(path).attachments[ATTACHED][0].replace(drawn_by().encode(), b"1 x")
    found = check_file(_swapped(path, content, tmp_path / "swapped.pdf"))
    assert (found.is_whole, found.stated) == (False, code)


@pytest.mark.parametrize("name", ["🔥" * 40, "很长的名称" * 2000, "a long name " * 200], ids=["fire", "zh", "en"])
def test_every_text_is_found_on_the_pages_when_it_is_broken_cut_or_written_out(name: str, tmp_path: Path) -> None:
    """Lines, cut cells and characters without a shape make no text absent; one that is not there is."""
    path, code = written(document([name]), "pdf", tmp_path)
    pages = [page.extract_text() for page in PdfReader(path).pages]
    spool = Spool(tmp_path / "content.jsonl")
    assert compare(spool, pages, code).absent == 0
    assert compare(spool, [text.replace("水业", "水北") for text in pages], code).first == "水业"


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"%PDF-1.7\n%%EOF", b"\xff\xfe,1\n"])
@pytest.mark.parametrize("kind", ["csv", "xlsx", "pdf", "txt"])
def test_a_file_that_is_no_export_is_refused_when_checked(content: bytes, kind: str, tmp_path: Path) -> None:
    """With a sentence, whatever is in it."""
    path = tmp_path / f"x.{kind}"
    path.write_bytes(content)
    with pytest.raises(BadExport):
        check_file(path)


def test_a_pdf_of_too_many_rows_is_refused_when_written(tmp_path: Path) -> None:
    """Nobody turns a thousand pages; the sentence says what to ask for."""
    with pytest.raises(TooLong, match="XLSX or CSV"):
        written(document(["x"] * (MOST_PDF_ROWS + 1)), "pdf", tmp_path)


def test_numbers_and_texts_are_as_a_spreadsheet_gives_them_back() -> None:
    """Whole numbers are whole, what is no number is none, hidden characters are written out, long texts say so."""
    assert [number(x) for x in (3.0, 0.1 + 0.2, float("nan"), None)] == [3, 0.3, None, None]
    assert clean("a\u202eb") == "a[U+202E]b"
    assert (clean("x" * 5000) or "")[-8:] == "… [5000]"
    assert len(clean("x" * 5000) or "") < MOST_CHARS + 20
