"""Rows written many a statement.

Each step of a statement gives the interpreter away and has to win it back from a loop that is busy judging, up to 5 ms
later; so a thousand rows written one by one are not a matter of SQLite's speed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

SIZES = (64, 8, 1)
"""Rows of one statement; few sizes, so that the statements stay prepared."""


def write_rows(connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
    """Write rows in their order, within the caller's transaction.

    Args:
        head: the statement up to VALUES. tail: what stands behind the rows.
    """
    if not rows:
        return
    at, blanks = 0, f"({','.join('?' * len(rows[0]))})"
    for size in SIZES:
        query = f"{head} VALUES {','.join([blanks] * size)} {tail}"
        while len(rows) - at >= size:
            connection.execute(query, [value for row in rows[at : at + size] for value in row])
            at += size
