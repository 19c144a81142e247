"""Rows written many a statement are the rows, in their order, however many they are."""

from __future__ import annotations

import sqlite3

import pytest

from gateway.ledger.rows import write_rows


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 137])
def test_every_row_is_written_in_its_order_when_they_are_so_many(count: int) -> None:
    """Numbers are given in the order of the rows, over every border between statements."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b INTEGER)")
    rows = [(f"r{n}", n) for n in range(count)]
    write_rows(connection, "INSERT INTO t (a, b)", rows)
    assert connection.execute("SELECT id, a, b FROM t ORDER BY id").fetchall() == [(n + 1, a, b) for n, (a, b) in
                                                                                  enumerate(rows)]  # fmt: skip
    connection.close()


def test_the_last_of_equals_counts_when_rows_renew_one_another() -> None:
    """What stands behind the rows holds for each of them; rows may be named for deleting, too."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a TEXT, b INTEGER, c INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID")
    rows = [("x", n % 70, n) for n in range(140)]
    write_rows(connection, "INSERT INTO t", rows, "ON CONFLICT (a, b) DO UPDATE SET c = excluded.c")
    assert connection.execute("SELECT b, c FROM t ORDER BY b").fetchall() == [(n, n + 70) for n in range(70)]
    write_rows(connection, "DELETE FROM t WHERE (a, b) IN (", [("x", n) for n in range(69)], ")")
    assert connection.execute("SELECT b FROM t").fetchall() == [(69,)]
    connection.close()
