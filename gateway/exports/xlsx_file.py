"""An export as a workbook: a sheet `weizhan` with what the export says of itself, then a sheet a table.

Numbers are numbers and times are times, in the zone that the first sheet names. A text that a spreadsheet would take
for a formula has an apostrophe before it. Rows are written as they come: memory does not grow with them.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zoneinfo import ZoneInfo

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.chart import LineChart, Reference
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from gateway.exports.csv_file import EVERY, Told, preamble, read_preamble, table_of
from gateway.exports.document import (
    BadExport,
    Cell,
    Spool,
    TableHead,
    encode_line,
    guard,
    iso,
    number,
    unguard,
)

ABOUT = "weizhan"
STAMP = "yyyy-mm-dd hh:mm:ss"
WIDTHS = {"time": 20.0, "number": 12.0, "text": 26.0}
MOST_CHARTED = 5000
"""Rows that a chart of a spreadsheet is drawn of."""
MOST_BYTES = 2 * 1024**3
"""Of a workbook that is read back, unpacked."""
_BOLD = Font(bold=True)


def write_xlsx(spool: Spool, code: str, path: Path, told: Told) -> None:
    """Write the file. told: called with the rows written so far."""
    header = spool.header()
    zone = ZoneInfo(header.zone)
    book = Workbook(write_only=True)
    about = book.create_sheet(ABOUT)
    about.column_dimensions["A"].width, about.column_dimensions["B"].width = 16, 40
    about.column_dimensions["C"].width = 70
    for row in preamble(header):
        about.append([_string(about, text) for text in row])
    done = 0
    for n, (head, rows) in enumerate(spool.tables(), 1):
        sheet = book.create_sheet(_sheet_name(n, head.table))
        about.append(
            [_string(about, text) for text in ("table", guard(head.table), sheet.title, *(k for _, k in head.columns))]
            + ([_string(about, json.dumps(head.chart))] if head.chart else [])
        )
        sheet.freeze_panes = "A2"
        for place, (_, kind) in enumerate(head.columns, 1):
            sheet.column_dimensions[get_column_letter(place)].width = WIDTHS[kind]
        sheet.append([_string(sheet, guard(title), bold=True) for title, _ in head.columns])
        count = 0
        for cells in rows:
            sheet.append([_cell(sheet, cell, kind, zone) for cell, (_, kind) in zip(cells, head.columns, strict=True)])
            done, count = done + 1, count + 1
            if done % EVERY == 0:
                told(done)
        if head.chart and 1 < count <= MOST_CHARTED:
            sheet.add_chart(_chart(sheet, head, count), "F2")
    about.append([_string(about, "code"), _string(about, code)])
    book.save(path)


def read_xlsx(path: Path, most: int = MOST_BYTES) -> Iterator[bytes | str]:
    """The canonical lines (bytes), and at last the code that stands in the file (str). Raises BadExport.

    What was put in beside (a cell, a row, a sheet) comes as a further line, so that the content has another code.
    most: bytes, unpacked.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(each.file_size for each in packed.infolist())
        if size > most:
            raise BadExport(f"{path.name}: got {size} bytes unpacked, want at most {most}.")
        book = load_workbook(path, read_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, ParseError) as exc:
        raise BadExport(f"{path.name}: {exc}. This is no workbook.") from exc
    try:
        if ABOUT not in book.sheetnames:
            raise BadExport(f"{path.name}: got no sheet {ABOUT}, want one. This is no export.")
        yield from _read(book)
    finally:
        book.close()


def _read(book: Any) -> Iterator[bytes | str]:
    about = [[_told(cell) for cell in row if cell is not None] for row in book[ABOUT].iter_rows(values_only=True)]
    # An empty text is no cell: what may be one is filled up again.
    wanted = {"title": 2, "fact": 3, "note": 2}
    about = [row + [""] * (wanted.get(row[0], 0) - len(row)) for row in about if row]
    at = next((n for n, row in enumerate(about) if row[0] in ("table", "code")), len(about))
    header = read_preamble(iter(about[:at]))
    zone = ZoneInfo(header.zone)
    yield encode_line(header)
    known = {ABOUT}
    for n, row in enumerate(about[at:], at + 1):
        if row[0] == "code" and len(row) == 2:
            yield from (encode_line(further) for further in about[n:])
            yield from (encode_line([name]) for name in book.sheetnames if name not in known)
            yield row[1]
            return
        if row[0] != "table" or len(row) < 4 or row[2] not in book.sheetnames:
            raise BadExport(f"sheet {ABOUT}: got a line that begins with {row[0][:40]!r}.")
        chart = row[-1] if row[-1].startswith("{") else None
        types = row[3:-1] if chart else row[3:]
        known.add(row[2])
        rows = (_wide(cells, len(types)) for cells in book[row[2]].iter_rows(values_only=True))
        titles = [_told(cell) if cell is not None else "" for cell in next(rows, ())]
        yield encode_line(table_of(row[1], types, titles, chart))
        for cells in rows:
            made = [_back(cell, kind, zone) for cell, kind in zip(cells, types, strict=False)]
            yield encode_line(made + [str(cell) for cell in cells[len(types) :]])
    raise BadExport(f"sheet {ABOUT}: got no code, want one.")


def _wide(cells: tuple[Any, ...], columns: int) -> tuple[Any, ...]:
    """A row as wide as its table; wider only where something stands beside it."""
    beside = cells[columns:]
    while beside and beside[-1] is None:
        beside = beside[:-1]
    return cells[:columns] + (None,) * (columns - len(cells)) + beside


def _told(cell: Any) -> str:
    if not isinstance(cell, str):
        raise BadExport(f"got {cell!r} where a text stands in an export.")
    return cell


def _back(cell: Any, kind: str, zone: ZoneInfo) -> Cell:
    if cell is None:
        return None
    if isinstance(cell, datetime):
        return iso(round(cell.replace(tzinfo=zone).timestamp() * 1000), zone)
    if kind == "number" and isinstance(cell, int | float):
        return number(cell)
    return unguard(_told(cell))


def _cell(sheet: Any, cell: Cell, kind: str, zone: ZoneInfo) -> Any:
    if cell is None or not isinstance(cell, str):
        return cell
    if kind == "time":
        at = datetime.fromisoformat(cell)
        local = at.astimezone(zone).replace(tzinfo=None)
        # Of the hour that comes twice a spreadsheet could not say which one it is.
        if not _comes_twice(local, zone):
            made = WriteOnlyCell(sheet, local)
            made.number_format = STAMP if not local.microsecond else f"{STAMP}.000"
            return made
    return _string(sheet, guard(cell))


def _comes_twice(local: datetime, zone: ZoneInfo) -> bool:
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return first != second


def _string(sheet: Any, text: str, *, bold: bool = False) -> Any:
    made = WriteOnlyCell(sheet)
    made._value, made.data_type = text, "s"  # not by `value`: that looks for formulas, errors and numbers
    if bold:
        made.font = _BOLD
    return made


def _sheet_name(n: int, title: str) -> str:
    plain = re.sub(r"[^\w .-]", " ", title)
    return f"{n} {plain}"[:31].strip()


def _chart(sheet: Any, head: TableHead, count: int) -> LineChart:
    drawn = LineChart()
    drawn.title, drawn.height, drawn.width = head.table, 10, 24
    drawn.y_axis.title = (head.chart or {}).get("unit") or None
    drawn.add_data(Reference(sheet, min_col=2, max_col=len(head.columns), min_row=1, max_row=count + 1), True)
    drawn.set_categories(Reference(sheet, min_col=1, min_row=2, max_row=count + 1))
    return drawn
