"""The point map of a panel: its addresses and the places they stand for, from CSV or XLSX as installers keep it.

    address,  place_zh,    place_en,      type,   zone          address: the state point, such as l004p012
    loop, point [, controller], place_zh, ...                   or the numbers the panel shows
    code [, controller], place_zh, ...                          or its secondary code (二次码)

The first row names the columns, in English or Chinese. A map is taken whole or not at all: every wrong row is listed
with row, column, what it holds and what is wanted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from contract.errors import ConfigError
from contract.panel import code_address, is_address, point_address

MAX_BYTES = 16 * 1024 * 1024
MAX_ROWS = 50_000
MAX_TEXT = 100
COLUMNS = {
    "address": ("address", "地址名"), "controller": ("controller", "控制器", "控制器号", "机号"),
    "loop": ("loop", "回路", "回路号"), "point": ("point", "地址", "地址号", "点号"),
    "code": ("code", "编码", "二次码"), "place_zh": ("place_zh", "place", "位置", "安装位置", "部位"),
    "place_en": ("place_en", "英文位置"), "type": ("type", "类型", "设备类型"), "zone": ("zone", "分区", "防火分区"),
}  # fmt: skip
"""Column -> the names it may have in the first row."""
Row = tuple[int, dict[str, str]]


class MappedPoint(NamedTuple):
    """What stands at an address. place_en is the Chinese place where none was given."""

    place_zh: str
    place_en: str
    type: str
    zone: str

    @property
    def title(self) -> tuple[str, str]:
        """Title zh, en: the place, and what hangs there."""
        return f"{self.place_zh} {self.type}".strip(), f"{self.place_en} {self.type}".strip()


def load_point_map(path: Path) -> dict[str, MappedPoint]:
    """State point -> what stands there. Raises ConfigError naming every wrong row, or why the file cannot be read."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(f"{path}: got {size} bytes, want at most {MAX_BYTES}. Split the map.")
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror or exc}. Check the path.") from exc
    table = _xlsx(path, data) if data[:4] == b"PK\x03\x04" else _csv(path, data)
    return _build(path, _rows(path, table))


def _csv(path: Path, data: bytes) -> Iterator[list[str]]:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise ConfigError(f"{path}: got text that is neither UTF-8 nor GB 18030. Save it as UTF-8 CSV or XLSX.")
    try:
        yield from csv.reader(io.StringIO(text, newline=""))
    except csv.Error as exc:
        raise ConfigError(f"{path}: {exc}. Save the file as CSV again.") from exc


def _xlsx(path: Path, data: bytes) -> Iterator[list[str]]:
    """The first sheet, as text. Raises ConfigError when it is no workbook."""
    import zipfile
    from xml.etree.ElementTree import ParseError  # the error type only: openpyxl parses

    import openpyxl  # where a map is a workbook: an agent without one does not carry it
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        try:
            for cells in book.worksheets[0].iter_rows(values_only=True):
                yield [_cell(cell) for cell in cells]
        finally:
            book.close()
    except (InvalidFileException, zipfile.BadZipFile, ParseError, KeyError, IndexError, ValueError, EOFError) as exc:
        raise ConfigError(f"{path}: got no readable workbook ({exc}). Save it as XLSX or CSV again.") from exc


def _cell(cell: object) -> str:
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _rows(path: Path, table: Iterator[list[str]]) -> Iterator[Row]:
    known = {name: column for column, names in COLUMNS.items() for name in names}
    head = [known.get(name.strip().lower(), "") for name in next(table, [])]
    if "place_zh" not in head or not {"address", "code", "loop"} & set(head):
        raise ConfigError(
            f"{path}: row 1: got columns {', '.join(filter(None, head)) or 'none'}, want place_zh and one of address, "
            "code, or loop and point. Name the columns in the first row."
        )
    twice = sorted({name for name in head if name and head.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: row 1: got {', '.join(twice)} twice, want each column once. Take one out.")
    for number, cells in enumerate(table, 2):
        if number > MAX_ROWS:
            raise ConfigError(f"{path}: got more than {MAX_ROWS} rows. Split the map.")
        if any(cell.strip() for cell in cells):
            yield number, {name: cell.strip() for name, cell in zip(head, cells, strict=False) if name}


def _build(path: Path, rows: Iterator[Row]) -> dict[str, MappedPoint]:
    made: dict[str, MappedPoint] = {}
    first: dict[str, int] = {}
    problems: list[str] = []
    for number, row in rows:
        found = list(_problems(row))
        address = None if found else _address(row)
        if address is not None and address in first:
            found = [("address", address, f"it once (first at row {first[address]})")]
        problems += [f"{path}: row {number}, column {name}: got {got!r}, want {want}." for name, got, want in found]
        if address is not None and not found:
            first[address] = number
            place = row["place_zh"]
            made[address] = MappedPoint(place, row.get("place_en") or place, row.get("type", ""), row.get("zone", ""))
    if problems:
        raise ConfigError("\n".join([*problems, f"{path}: nothing of it was taken. Mend these rows."]))
    return made


def _problems(row: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """(column, got, wanted) of everything wrong in a row."""
    if row.get("address"):
        if not is_address(row["address"]):
            yield "address", row["address"][:60], "a state point such as l004p012, c1l004p012 or p001004"
    elif row.get("code"):
        if not row["code"].isdecimal() or len(row["code"]) > 12:
            yield "code", row["code"][:60], "up to 12 digits"
    else:
        for name in ("loop", "point"):
            if not _is_number(row.get(name, "")):
                yield name, row.get(name, "")[:60], "0..999"
    if row.get("controller") and not _is_number(row["controller"]):
        yield "controller", row["controller"][:60], "0..999 or nothing"
    if not row.get("place_zh"):
        yield "place_zh", "", "the name of the place"
    for name in ("place_zh", "place_en", "type", "zone"):
        text = row.get(name, "")
        if len(text) > MAX_TEXT or not text.isprintable():
            yield name, text[:60], f"at most {MAX_TEXT} printable characters"


def _address(row: dict[str, str]) -> str | None:
    controller = int(row["controller"]) if row.get("controller") else None
    if row.get("address"):
        return row["address"]
    if row.get("code"):
        return code_address(row["code"], controller)
    return point_address(int(row["loop"]), int(row["point"]), controller)


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= 3
