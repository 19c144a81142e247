"""What an export holds, as canonical lines: the same bytes whichever kind of file they are written to. Pure.

    {"weizhan_export":1,"kind":"life","title":"...","facts":[["Site","..."]],"notes":["..."],"head":"17:9f..", ...}
    {"table":"Alarms","columns":[["Raised","time"],["Title","text"],["Times","number"]]}
    ["2026-11-01T08:00:00+08:00","Pressure low",3]
    {"table":"Pressure","columns":[...],"chart":{"unit":"kPa","limits":[["critical",140]]}}
    ["2026-11-01T08:00:00+08:00",150.1,152.0,153.4]        a gap is a row of a time and nothing else

The code of an export is the SHA-256 over these lines, UTF-8, each with a line feed at its end. The header of a PDF also
says which version draws its pages.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from contract.errors import WeizhanError

VERSION = 1
ColumnType = Literal["text", "number", "time"]
Cell = str | int | float | None
MOST_CHARS = 4000
"""Longest text of a cell; a spreadsheet takes no more than 32,767."""
MOST_ROWS = 1_000_000
"""Rows of one table; a sheet of a spreadsheet has 1,048,576."""
FORMULA = "=+-@\t\r\n＝＋－＠"  # full-width signs too: some spreadsheets take them for their fellows
"""A text that begins with one of these is a formula to a spreadsheet."""
_encode = msgspec.json.Encoder().encode
# Bidirectional controls turn what is read around; other controls and half characters cannot stand in XML.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_GUARDED = re.compile(f"'+[{re.escape(FORMULA)}]")


class BadExport(WeizhanError):
    """A file is no export of ours, or cannot be read as one; the text says why."""


class TooLong(WeizhanError):
    """More rows than this kind of file can hold; the text says what to ask for instead."""


class Column(NamedTuple):
    """A column of a table."""

    title: str
    type: ColumnType = "text"


class Chart(NamedTuple):
    """That a table (time, lowest, mean, highest) is to be drawn. limits: (label, value) lines across it."""

    unit: str
    limits: tuple[tuple[str, float], ...] = ()


class Table(NamedTuple):
    """A table; its rows are made while they are written. Times in cells of a time column are ms UTC."""

    title: str
    columns: tuple[Column, ...]
    rows: Iterable[tuple[Any, ...]]
    chart: Chart | None = None


class Document(NamedTuple):
    """An export. kind: life | completeness | ...; head: head of the audit chain when it was made, `ID:HASH`."""

    kind: str
    title: str
    language: str
    zone: str
    made_ms: int
    head: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    tables: Iterable[Table]


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line. drawn: what draws the pages (`layout.drawn_by`); of a PDF only."""

    weizhan_export: int
    kind: str
    title: str
    language: str
    zone: str
    made: str
    head: str
    facts: list[tuple[str, str]]
    notes: list[str]
    drawn: str = ""


class TableHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that begins a table."""

    table: str
    columns: list[tuple[str, ColumnType]]
    chart: dict[str, Any] | None = None


def clean(text: str) -> str | None:
    """A text as every kind of file can hold it: what cannot be seen is written out, line ends are line feeds."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", plain)
    if len(plain) > MOST_CHARS:
        plain = f"{plain[:MOST_CHARS]}… [{len(plain)}]"
    return plain or None


def guard(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `unguard` gives it back."""
    return f"'{text}" if (text[:1] in FORMULA and text) or _GUARDED.match(text) else text


def unguard(text: str) -> str:
    """What `guard` was given."""
    return text[1:] if _GUARDED.match(text) else text


def iso(at_ms: int, zone: ZoneInfo) -> str:
    """A time with its offset; milliseconds only where there are any."""
    at = datetime.fromtimestamp(at_ms / 1000, zone)
    return at.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds")


def number(value: float | None) -> int | float | None:
    """A number as it comes back out of a spreadsheet: whole ones whole, nothing that is not finite."""
    if value is None or not math.isfinite(value):
        return None
    value = float(f"{value:.12g}")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def lines(document: Document, drawn: str = "") -> Iterator[bytes]:
    """The canonical lines, each with its line feed. drawn: of a PDF, what draws its pages."""
    zone = ZoneInfo(document.zone)
    header = Header(
        weizhan_export=VERSION,
        kind=document.kind,
        title=clean(document.title) or "",
        language=document.language,
        zone=document.zone,
        made=iso(document.made_ms, zone),
        head=document.head,
        facts=[(clean(name) or "", clean(value) or "") for name, value in document.facts],
        notes=[clean(note) or "" for note in document.notes],
        drawn=drawn,
    )
    yield _encode(header) + b"\n"
    for table in document.tables:
        chart = (
            None if table.chart is None else {"unit": table.chart.unit, "limits": [list(x) for x in table.chart.limits]}
        )
        columns = [(clean(column.title) or "", column.type) for column in table.columns]
        yield _encode(TableHead(table=clean(table.title) or "", columns=columns, chart=chart)) + b"\n"
        types = [column.type for column in table.columns]
        for count, row in enumerate(table.rows, 1):
            if count > MOST_ROWS:
                raise TooLong(
                    f"{table.title}: got more than {MOST_ROWS} rows. Ask for a shorter time or a smaller area."
                )
            yield _encode([_cell(value, kind, zone) for value, kind in zip(row, types, strict=True)]) + b"\n"


def code_of(canonical: Iterable[bytes]) -> str:
    """The code of an export."""
    digest = hashlib.sha256()
    for line in canonical:
        digest.update(line)
    return digest.hexdigest()


class Spool:
    """Canonical lines in a file, read back as often as a writer wants."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def header(self) -> Header:
        """The first line. Raises BadExport."""
        with self.path.open("rb") as file:
            return decode_header(file.readline())

    def tables(self) -> Iterator[tuple[TableHead, Iterator[list[Cell]]]]:
        """Each table with its rows. The rows of one have to be taken before the next table."""
        with self.path.open("rb") as file:
            file.readline()
            line = file.readline()
            while line:
                head = decode_table(line)
                rest = _Rows(iter(file.readline, b""))
                yield head, rest
                for _ in rest:
                    pass
                line = rest.following

    def code(self) -> str:
        """SHA-256 over the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class _Rows:
    """The rows up to the next table, whose line is kept in `following`."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self.following = b""
        self._done = False

    def __iter__(self) -> Iterator[list[Cell]]:
        return self

    def __next__(self) -> list[Cell]:
        if self._done:
            raise StopIteration
        line = next(self._source, b"")
        if line[:1] != b"[":
            self.following, self._done = line, True
            raise StopIteration
        return decode_row(line)


def decode_header(line: bytes) -> Header:
    """Raises BadExport."""
    try:
        found = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise BadExport(f"first line: {exc}.") from exc
    if found.weizhan_export != VERSION:
        raise BadExport(f"version: got {found.weizhan_export}, want {VERSION}. Use the version that wrote it.")
    return found


def decode_table(line: bytes) -> TableHead:
    """Raises BadExport."""
    try:
        return msgspec.json.decode(line, type=TableHead)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise BadExport(f"table: {exc}.") from exc


def decode_row(line: bytes) -> list[Cell]:
    """Raises BadExport."""
    try:
        row: list[Cell] = msgspec.json.decode(line, type=list[str | int | float | None])
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise BadExport(f"row: {exc}.") from exc
    return row


def encode_line(value: Any) -> bytes:
    """A canonical line of a header, table or row."""
    return _encode(value) + b"\n"


def _cell(value: Any, kind: ColumnType, zone: ZoneInfo) -> Cell:
    if value is None:
        return None
    if kind == "time":
        return iso(int(value), zone)
    if kind == "number":
        return number(value)
    return clean(str(value))
