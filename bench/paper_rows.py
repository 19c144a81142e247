"""Thousands of work orders and hazards in a ledger, as years of keeping leave them: for the benchmark of the pages."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.ledger.entries import Entry, Kind
from gateway.ledger.upgrade import prepare
from gateway.work.order_life import ORDER, Order
from gateway.work.rectification import HAZARD, Hazard, Overdue, Round

DAY_MS = 86_400_000
SPAN_MS = 730 * DAY_MS
"""The oldest is from so long ago."""


def write_rows(data_dir: Path, site: str, count: int, still_open: int) -> None:
    """So many of each kind, `still_open` of them open, a tenth of these late. Before a gateway runs on the folder."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "ledger.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        prepare(connection, path)
        connection.execute("BEGIN")
        for kind, rows in ((ORDER, _orders(site, count, still_open)), (HAZARD, _hazards(site, count, still_open))):
            connection.executemany("INSERT INTO entry VALUES (?,?,?,?,?,?,?,?)", (_row(kind, row) for row in rows))
        connection.execute("COMMIT")
    finally:
        connection.close()


def _row(kind: Kind[Order] | Kind[Hazard], row: Entry) -> tuple[object, ...]:
    is_open = row.state in kind.open
    data = msgspec.json.encode(row).decode()
    return kind.name, row.id, row.site, row.state, is_open, row.from_ms, row.until_ms, data


def _times(count: int, still_open: int, seed: int) -> Iterator[tuple[int, bool, bool, int, int]]:
    """(number, open, late, from_ms, until_ms) of each."""
    chance, now_ms = random.Random(seed), time.time_ns() // 1_000_000
    open_ones = set(chance.sample(range(1, count + 1), still_open))
    for number in range(1, count + 1):
        from_ms = now_ms - SPAN_MS + SPAN_MS * number // (count + 1)
        until_ms = min(now_ms, from_ms + chance.randrange(DAY_MS, 20 * DAY_MS))
        yield number, number in open_ones, chance.random() < 0.1, from_ms, until_ms


def _orders(site: str, count: int, still_open: int) -> Iterator[Order]:
    for number, is_open, is_late, from_ms, until_ms in _times(count, still_open, 1):
        ahead_ms = time.time_ns() // 1_000_000 + (1 + number % 60) * DAY_MS
        yield Order(
            id=number, site=site, state="open" if is_open else "filed", from_ms=from_ms,
            until_ms=None if is_open else until_ms, title=f"更换 {number} 号井盖并试水", place=f"胜利路 {number} 号",
            by="duty", due_ms=ahead_ms if is_open else None, deadline_ms=ahead_ms,
            priority=("normal", "high", "urgent", "low")[number % 4],
            overdue=(Overdue(from_ms + DAY_MS),) if is_open and is_late else (),
        )  # fmt: skip


def _hazards(site: str, count: int, still_open: int) -> Iterator[Hazard]:
    for number, is_open, is_late, from_ms, until_ms in _times(count, still_open, 2):
        ahead_ms = time.time_ns() // 1_000_000 + (1 + number % 60) * DAY_MS
        end_ms = None if is_open else until_ms
        yield Hazard(
            id=number, site=site, state="found" if is_open else "filed", from_ms=from_ms, until_ms=end_ms,
            source="person", text=f"{number} 号楼疏散通道堆放杂物", place=f"{number % 40} 号楼 {number % 30} 层",
            by="duty", due_ms=ahead_ms if is_open else None, rounds=(Round(from_ms, end_ms),),
            overdue=(Overdue(from_ms + DAY_MS),) if is_open and is_late else (),
        )  # fmt: skip
