"""An export as CSV: UTF-8 with a mark, times with their offset, every table under its title, the code at the end.

    weizhan-export,1,life,zh,Asia/Shanghai,2026-11-30T08:00:00+08:00,17:9f...
    title,...
    fact,Site,...                       one line a fact
    note,...                            one line a note
                                        (blank)
    table,Alarms,"{chart, or nothing}"
    types,time,text,number
    Raised,Title,Times
    2026-11-01T08:00:00+08:00,...,3
                                        (blank)
    code,SHA-256

A text that a spreadsheet would take for a formula has an apostrophe before it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.exports.document import (
    BadExport,
    Cell,
    Header,
    Spool,
    TableHead,
    encode_line,
    guard,
    unguard,
)

MARK = "\ufeff"
Told = Callable[[int], None]
EVERY = 2000
"""Rows between two words about progress."""


def write_csv(spool: Spool, code: str, path: Path, told: Told) -> None:
    """Write the file. told: called with the rows written so far."""
    header = spool.header()
    done = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(MARK)
        writer = csv.writer(file)
        writer.writerows(preamble(header))
        for head, rows in spool.tables():
            writer.writerow([])
            writer.writerow(["table", guard(head.table), *([json.dumps(head.chart)] if head.chart else [])])
            writer.writerow(["types", *(kind for _, kind in head.columns)])
            writer.writerow([guard(title) for title, _ in head.columns])
            for row in rows:
                writer.writerow([_text(cell) for cell in row])
                done += 1
                if done % EVERY == 0:
                    told(done)
        writer.writerow([])
        writer.writerow(["code", code])


def preamble(header: Header) -> Iterator[list[str]]:
    """What stands before the tables, as rows of texts."""
    yield [
        "weizhan-export", str(header.weizhan_export), header.kind, header.language, header.zone, header.made,
        header.head,
    ]  # fmt: skip
    yield ["title", guard(header.title)]
    for name, value in header.facts:
        yield ["fact", guard(name), guard(value)]
    for note in header.notes:
        yield ["note", guard(note)]


def read_csv(path: Path) -> Iterator[bytes | str]:
    """The canonical lines (bytes), and at last the code that stands in the file (str). Raises BadExport."""
    csv.field_size_limit(1_000_000)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield from _read(csv.reader(file))
        except (csv.Error, UnicodeDecodeError) as exc:
            raise BadExport(f"{path.name}: {exc}.") from exc


def _read(reader: Iterator[list[str]]) -> Iterator[bytes | str]:
    header = read_preamble(iter(lambda: next(reader, []), []))
    yield encode_line(header)
    for first in reader:
        if first[:1] == ["code"] and len(first) == 2:
            # What was written below it belongs to no export: then the content has another code.
            yield from (encode_line(further) for further in reader if further)
            yield first[1]
            return
        if first[:1] != ["table"] or len(first) not in (2, 3):
            raise BadExport(f"got a line that begins with {first[:1]}, want a table or the code.")
        types, titles = next(reader, []), next(reader, [])
        yield encode_line(table_of(first[1], types[1:], titles, first[2] if len(first) == 3 else None))
        for row in iter(lambda: next(reader, []), []):
            yield encode_line(row_of(row, types[1:]))
    raise BadExport("got no code at the end, want one. Is the file whole?")


def read_preamble(rows: Iterator[list[str]]) -> Header:
    """The header of these rows. Raises BadExport."""
    first = next(rows, [])
    if len(first) != 7 or first[0] != "weizhan-export" or not first[1].isdigit():
        raise BadExport("got no line `weizhan-export`, want it first. This is no export.")
    title, facts, notes = "", list[tuple[str, str]](), list[str]()
    for row in rows:
        if row[0] == "title" and len(row) == 2:
            title = unguard(row[1])
        elif row[0] == "fact" and len(row) == 3:
            facts.append((unguard(row[1]), unguard(row[2])))
        elif row[0] == "note" and len(row) == 2:
            notes.append(unguard(row[1]))
        else:
            raise BadExport(f"got a line that begins with {row[0][:40]!r} before the tables.")
    return Header(
        weizhan_export=int(first[1]), kind=first[2], title=title, language=first[3], zone=first[4], made=first[5],
        head=first[6], facts=facts, notes=notes,
    )  # fmt: skip


def table_of(title: str, types: list[str], titles: list[str], chart: str | None) -> TableHead:
    """The line that begins a table. Raises BadExport."""
    if len(types) != len(titles):
        raise BadExport(f"table {title[:40]!r}: got {len(titles)} titles for {len(types)} columns.")
    try:
        return msgspec.convert(
            {
                "table": unguard(title),
                "columns": [(unguard(name), kind) for name, kind in zip(titles, types, strict=True)],
                "chart": json.loads(chart) if chart else None,
            },
            TableHead,
        )
    except (msgspec.ValidationError, ValueError) as exc:
        raise BadExport(f"table {title[:40]!r}: {exc}.") from exc


def row_of(row: list[str], types: list[str]) -> list[Cell]:
    """The cells of a row of texts. Raises BadExport."""
    if len(row) != len(types):
        raise BadExport(f"got a row of {len(row)} cells, want {len(types)}.")
    return [_value(text, kind) for text, kind in zip(row, types, strict=True)]


def _text(cell: Cell) -> Any:
    return guard(cell) if isinstance(cell, str) else "" if cell is None else repr(cell)


def _value(text: str, kind: str) -> Cell:
    if not text:
        return None
    if kind != "number":
        return unguard(text)
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        raise BadExport(f"got {text[:40]!r} in a column of numbers.") from None
