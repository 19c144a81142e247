"""Tables that people import, CSV or XLSX: read within limits, every cell that is wrong named by row and column.

    bytes ──read_table──> Table (rows of cells by column) + faults ──converters──> values + faults

Nothing here decides: whoever imports takes the values only when there is no fault at all.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Literal, NamedTuple, TypeVar
from xml.etree.ElementTree import ParseError  # the type openpyxl raises; nothing is parsed by it here

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from gateway.exports.document import unguard

T = TypeVar("T")
MOST_BYTES = 4 * 1024 * 1024
"""Largest file."""
MOST_UNPACKED = 48 * 1024 * 1024
"""Largest XLSX once unpacked; a short file that grows beyond it is no list of people."""
MOST_PARTS = 500
MOST_ROWS = 5000
"""Longest table, below its titles."""
MOST_COLUMNS = 64
MOST_TEXT = 500
"""Longest text of a cell."""
SHOWN = 60
"""So much of what was got is repeated."""
_LOSSY = 10**15
"""Excel keeps 15 digits; a longer number has lost its last ones."""
_FORMULA = re.compile(r"^(=|@|[+-](?![0-9(\s]))")
_DATES = (
    re.compile(r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]0{1,2}:00(?::00)?)?$"),
    re.compile(r"^(\d{4})年(\d{1,2})月(\d{1,2})日?$"),
    re.compile(r"^(\d{4})(\d{2})(\d{2})$"),
)
_TIME = re.compile(r"^(\d{1,2})[:点时](\d{1,2})?(?::00|分)?$")

Want = Literal[
    "file", "size", "rows", "columns", "encoding", "title", "title_once", "title_missing", "empty", "formula", "text",
    "name", "phone", "choice", "date", "time", "known_person", "one_person", "once", "known_user",
    "free_user", "same_person", "planned_once", "later", "nearer", "certificate", "elsewhere",
    "number",
]  # fmt: skip
"""What is wanted instead; the pages have words for each."""


class Fault(NamedTuple):
    """A cell that is wrong. row: as the program that made the file counts, titles are row 1; 0: the file itself.
    column: its title; want: see Want, with `choices` where there are few."""

    row: int
    column: str
    got: str
    want: Want
    choices: tuple[str, ...] = ()


class Column(NamedTuple):
    """A column a table may have: its name here, its titles, whether it must be there and filled."""

    key: str
    zh: str
    en: str
    is_needed: bool = False

    def is_called(self, title: str) -> bool:
        """Whether that is its title in one of the languages."""
        return fold(title) in (fold(self.zh), fold(self.en))


class Row(NamedTuple):
    """A row: its number in the file, its cells by column key; empty ones are not in it."""

    number: int
    cells: Mapping[str, object]


class Table(NamedTuple):
    """A table that was read. titles: of its columns, by key, as the file has them."""

    titles: Mapping[str, str]
    rows: Sequence[Row]


class Faults:
    """What is wrong with a file, in order of rows; a cell is named once for one thing."""

    def __init__(self) -> None:
        self._found: dict[Fault, None] = {}
        self._places: set[tuple[int, str]] = set()
        self._rows: set[int] = set()

    def add(self, fault: Fault) -> None:
        """Name a cell."""
        self._found[fault] = None
        self._places.add(fault[:2])
        self._rows.add(fault.row)

    def has_row(self, row: int) -> bool:
        """Whether anything is wrong with a row."""
        return row in self._rows

    def has_cell(self, row: int, column: str) -> bool:
        """Whether anything is wrong with a cell."""
        return (row, column) in self._places

    def listed(self) -> list[Fault]:
        """All of them."""
        return sorted(self._found)


class _Unreadable(Exception):  # carries the fault, is no error of ours
    def __init__(self, want: Want, got: str, row: int = 0) -> None:
        super().__init__(want)
        self.fault = Fault(row, "", got[:SHOWN], want)


def read_table(data: bytes, columns: Sequence[Column], faults: Faults) -> Table:
    """The rows of a file; what is wrong with its form is added. A file that cannot be read is one fault and no rows."""
    try:
        lines = list(_xlsx_lines(data) if data[:2] == b"PK" else _csv_lines(data, columns))
    except _Unreadable as exc:
        faults.add(exc.fault)
        return Table({}, ())
    filled = [(number, cells) for number, cells in lines if any(not _is_empty(cell) for cell in cells)]
    if not filled:
        faults.add(Fault(0, "", "", "rows"))
        return Table({}, ())
    first, titles = filled[0]
    places = _places(first, titles, columns, faults)
    rows = []
    for number, cells in filled[1:]:
        found: dict[str, object] = {}
        for place, cell in enumerate(cells):
            column = places.get(place)
            if column is None or _is_empty(cell):
                continue
            found[column.key] = cell
            title = str(titles[place]).strip()
            if isinstance(cell, _Formula) or (isinstance(cell, str) and _FORMULA.match(cell.strip())):
                faults.add(Fault(number, title, str(cell)[:SHOWN], "formula"))
            elif isinstance(cell, str) and len(cell) > MOST_TEXT:
                faults.add(Fault(number, title, f"{cell[:20]}…", "size"))
        rows.append(Row(number, found))
    if not rows:
        faults.add(Fault(0, "", "0", "rows"))
    table = Table({column.key: str(titles[place]).strip() for place, column in places.items()}, rows)
    for row in rows:
        for column in places.values():
            if column.is_needed and column.key not in row.cells:
                faults.add(Fault(row.number, table.titles[column.key], "", "empty"))
    return table


def _places(number: int, titles: Sequence[object], columns: Sequence[Column], faults: Faults) -> dict[int, Column]:
    """Column by place; titles that are unknown, missing or there twice are faults."""
    places: dict[int, Column] = {}
    for place, cell in enumerate(titles):
        if _is_empty(cell):
            continue
        title = str(cell).strip()[:SHOWN]
        column = next((each for each in columns if each.is_called(title)), None)
        if column is None:
            faults.add(Fault(number, title, title, "title", tuple(each.zh for each in columns)))
        elif column in places.values():
            faults.add(Fault(number, title, title, "title_once"))
        else:
            places[place] = column
    for each in columns:
        if each.is_needed and each not in places.values():
            faults.add(Fault(number, each.zh, "", "title_missing"))
    return places


# --- files ---------------------------------------------------------------------------------------------------------


class _Formula(str):
    """A cell that computes something: what it gives is not in the file for sure."""

    __slots__ = ()


def _xlsx_lines(data: bytes) -> Iterator[tuple[int, list[object]]]:
    _check_parts(data)
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=False, keep_links=False)
        try:
            if not book.worksheets:
                raise _Unreadable("file", "")
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # what the file says of its size is not to be relied on
            for number, cells in enumerate(sheet.iter_rows(), 1):
                if number > MOST_ROWS + 1:
                    raise _Unreadable("rows", str(number), number)
                if len(cells) > MOST_COLUMNS and any(cell.value is not None for cell in cells[MOST_COLUMNS:]):
                    raise _Unreadable("columns", str(len(cells)), number)
                yield number, [_xlsx_cell(cell) for cell in cells[:MOST_COLUMNS]]
        finally:
            book.close()
    except (
        zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError, TypeError, AttributeError,
        IndexError, EOFError, OSError, OverflowError, NotImplementedError,
    ) as exc:  # fmt: skip # what openpyxl raises for files that are not as they should be
        raise _Unreadable("file", type(exc).__name__) from exc


def _check_parts(data: bytes) -> None:
    """Refuse bombs: too much inside, or entities that grow. A part never gives more than the size it names."""
    if len(data) > MOST_BYTES:
        raise _Unreadable("size", f"{len(data)} B")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            infos = parts.infolist()
            size = sum(info.file_size for info in infos)
            if len(infos) > MOST_PARTS or size > MOST_UNPACKED:
                raise _Unreadable("size", f"{size} B")
            for info in infos:
                if info.flag_bits & 1:
                    raise _Unreadable("file", "encrypted")
                if info.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in parts.read(info):
                    raise _Unreadable("file", "DOCTYPE")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, ValueError, NotImplementedError) as exc:
        raise _Unreadable("file", type(exc).__name__) from exc
    except RuntimeError as exc:
        raise _Unreadable("file", "encrypted") from exc


def _xlsx_cell(cell: object) -> object:
    value = getattr(cell, "value", None)
    if getattr(cell, "data_type", "") == "f":
        return _Formula(value if isinstance(value, str) else "=")
    return value


def _csv_lines(data: bytes, columns: Sequence[Column]) -> Iterator[tuple[int, list[object]]]:
    text = decode_text(data, columns)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for cells in reader:
            if begin > MOST_ROWS + 1 or reader.line_num > 4 * MOST_ROWS:
                raise _Unreadable("rows", str(begin), begin)
            if len(cells) > MOST_COLUMNS:
                raise _Unreadable("columns", str(len(cells)), begin)
            yield begin, list(cells)
            begin += 1  # as a spreadsheet counts: a row may have several lines
    except csv.Error as exc:
        raise _Unreadable("file", str(exc), begin) from exc


def decode_text(data: bytes, columns: Sequence[Column]) -> str:
    """The text of a file: UTF-8, UTF-16 with its mark, or GB 18030; told apart by its marks and its titles."""
    if len(data) > MOST_BYTES:
        raise _Unreadable("size", f"{len(data)} B")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif data[:3] == b"\xef\xbb\xbf":
        encodings = ["utf-8-sig"]
    else:
        encodings = ["utf-8", "gb18030"]
    texts = []
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            texts.append(text)
    if not texts:
        raise _Unreadable("encoding", data[:12].hex())
    # Bytes that are right in both are read as the one whose titles make sense.
    return max(texts, key=lambda text: _known_titles(text, columns))


def _known_titles(text: str, columns: Sequence[Column]) -> int:
    titles = re.split(r"[,;\t]", text.lstrip().split("\n", 1)[0])
    return sum(any(column.is_called(title.strip(' "\r')) for column in columns) for title in titles)


# --- cells ---------------------------------------------------------------------------------------------------------


class Reader:
    """Reads the cells of one row; what is wrong is added to the faults, and the default given instead."""

    def __init__(self, table: Table, row: Row, faults: Faults) -> None:
        self._table = table
        self._row = row
        self._faults = faults

    def text(self, key: str) -> str:
        """Plain text, full-width letters as ASCII."""
        cell = self._row.cells.get(key)
        if isinstance(cell, float | int) and not isinstance(cell, bool) and abs(cell) >= _LOSSY:
            self.wrong(key, "text")
            return ""
        return plain(cell)

    def read(self, key: str, convert: Callable[[object], T | None], want: Want, default: T) -> T:
        """A cell by a converter; None from it is wrong. An empty cell gives the default."""
        cell = self._row.cells.get(key)
        if cell is None:
            return default
        value = convert(cell)
        if value is None:
            self.wrong(key, want)
            return default
        return value

    def choice(self, key: str, names: Mapping[str, T], default: T, told: tuple[str, ...] = ()) -> T:
        """One of several, by any of its names (folded). told: the names as they are written, where that differs."""
        cell = self._row.cells.get(key)
        if cell is None:
            return default
        if (found := names.get(fold(plain(cell)))) is None:
            self.wrong(key, "choice", choices=_choices(told or names))
            return default
        return found

    def choices(self, key: str, names: Mapping[str, T]) -> list[T]:
        """Several of several, parted by 、 , ; or /."""
        found = []
        for part in parts_of(plain(self._row.cells.get(key))):
            if (value := names.get(fold(part))) is None:
                self.wrong(key, "choice", got=part, choices=_choices(names))
            else:
                found.append(value)
        return list(dict.fromkeys(found))

    def wrong(self, key: str, want: Want, *, got: str | None = None, choices: tuple[str, ...] = ()) -> None:
        """Name a cell of this row. A cell whose form was wrong already is named once."""
        title = self._table.titles.get(key, key)
        if self._faults.has_cell(self._row.number, title):
            return
        cell = plain(self._row.cells.get(key)) if got is None else got
        self._faults.add(Fault(self._row.number, title, cell[:SHOWN], want, choices))


def read_date(cell: object) -> date | None:
    """A date in a spelling that means one day only: 2026-3-1, 2026/3/1, 2026.3.1, 2026年3月1日, 20260301, or a cell
    that is a date. Day or month first is not taken: nobody knows which."""
    if isinstance(cell, datetime):
        return cell.date() if cell.time() == time() else None
    if isinstance(cell, date):
        return cell
    text = plain(cell).replace(" ", "") if isinstance(cell, str) and "年" in cell else plain(cell)
    for pattern in _DATES:
        if (found := pattern.match(text)) is not None:
            try:
                return date(int(found[1]), int(found[2]), int(found[3]))
            except ValueError:
                return None
    return None


def read_time(cell: object) -> str | None:
    """A time of day as `08:00`: 8:00, 08:00, 8点, or a cell that is one; of a span (8:00-16:00) its begin."""
    if isinstance(cell, datetime):
        cell = cell.time()
    if isinstance(cell, time):
        return f"{cell:%H:%M}" if cell.second == 0 else None
    found = _TIME.match(re.split(r"[-~—–至]", plain(cell), maxsplit=1)[0].strip())
    if found is None:
        return None
    hour, minute = int(found[1]), int(found[2] or 0)
    if (hour, minute) == (24, 0):
        hour = 0
    return f"{hour:02d}:{minute:02d}" if hour < 24 and minute < 60 else None


def parts_of(text: str) -> list[str]:
    """The parts of a list in a cell."""
    return [part.strip() for part in re.split(r"[、,;/\n]", text) if part.strip()]


def plain(cell: object) -> str:
    """A cell as text: without the apostrophe of our own files before what looks like a formula, NFKC (full-width digits
    and letters as ASCII), whole numbers without a point, no control characters, no space around it."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _LOSSY:
        cell = int(cell)
    text = unicodedata.normalize("NFKC", unguard(str(cell))).replace("\u3001", "、")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c)[0] != "C").strip()


def fold(text: str) -> str:
    """A title or name for comparing: no case, no space, one width."""
    return re.sub(r"[\s*()]", "", unicodedata.normalize("NFKC", text)).casefold()


def _is_empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _choices(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))[:12]
