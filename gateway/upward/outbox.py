"""What each centre is still to be told, in the ledger: filled from what was committed, emptied by its confirms.

    inbox, transitions ──(cursor and rows in one transaction)──> upward ──confirmed──> gone (fires: kept, with the time)

A crash before the confirm was written down sends the object once more, the same to the byte, in a frame with another
serial number: one event by its identity.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import UpwardRow
from gateway.ledger.rows import write_rows
from gateway.ledger.store import Store
from gateway.upward.numbers import Number
from gateway.upward.translate import Item, Urgency

DENIED_MOST = 3
"""An object that the centre denied so often is set aside; it stays in the ledger, marked."""


class Cursors(NamedTuple):
    """How far a centre's outbox has been filled."""

    inbox_id: int
    transition_id: int


class UpwardOutbox:
    """The outbox of one centre.

    Args:
        store: written by. reader: looked at by, so that looking does not wait behind a commit.
    """

    def __init__(self, store: Store, reader: LedgerReader, centre: str) -> None:
        self._store = store
        self._reader = reader
        self._centre = centre

    async def open(self) -> tuple[Cursors, list[tuple[str, Number]], dict[str, str]]:
        """Where filling goes on (a new centre: at the end of what there is) the numbers given so far, and
        the state word each point was told with last."""
        return await self._store.run(self._open)

    def _open(self, connection: sqlite3.Connection) -> tuple[Cursors, list[tuple[str, Number]], dict[str, str]]:
        name = _mirror(self._centre)
        row = connection.execute("SELECT inbox_id FROM mirror WHERE name = ?", (name,)).fetchone()
        if row is None:
            last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'inbox'").fetchone()
            latest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'transition'").fetchone()
            cursors = Cursors(last[0] if last else 0, latest[0] if latest else 0)
            _note_cursors(connection, self._centre, cursors)
        else:
            key = _transition_key(self._centre)
            done = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            cursors = Cursors(row[0], int(done[0]) if done else 0)
        numbers = connection.execute(
            "SELECT point, sys_type, sys_addr, comp_type, comp_addr FROM upward_number WHERE centre = ?",
            (self._centre,),
        )
        given = [(row[0], Number(*row[1:])) for row in numbers]
        words = connection.execute("SELECT point, word FROM upward_state WHERE centre = ?", (self._centre,))
        return cursors, given, dict(words.fetchall())

    async def fill(
        self, cursors: Cursors, items: Sequence[Item], numbers: dict[str, Number], words: dict[str, str], now_ms: int
    ) -> None:
        """Add objects and move the cursors, in one transaction. Raises RetryLater."""

        def write(connection: sqlite3.Connection) -> None:
            put(connection, self._centre, items, now_ms)
            given = [(self._centre, key, *number) for key, number in numbers.items()]
            write_rows(connection, "INSERT OR REPLACE INTO upward_number", given)
            said = [(self._centre, key, word) for key, word in words.items()]
            write_rows(connection, "INSERT OR REPLACE INTO upward_state", said)
            _note_cursors(connection, self._centre, cursors)

        await self._store.run(write)

    async def add(self, items: Sequence[Item], now_ms: int) -> None:
        """Add objects that come from nowhere in the ledger (the station's own state). Raises RetryLater."""
        await self._store.run(lambda connection: put(connection, self._centre, items, now_ms))

    async def waiting(self, besides: set[int], fires: int, others: int) -> list[UpwardRow]:
        """At most so many fires, then the most urgent of the rest, oldest first, without these. Raises RetryLater."""
        return await asyncio.to_thread(self._reader.upward_next, self._centre, besides, fires, others)

    async def count(self) -> int:
        """How many objects wait. Raises RetryLater."""
        query = "SELECT count(*) FROM upward WHERE centre = ? AND done_ms IS NULL"
        return int(await self._store.run(lambda connection: connection.execute(query, (self._centre,)).fetchone()[0]))

    async def confirmed(self, ids: list[int], now_ms: int) -> None:
        """The centre has these. Fires keep their row, so that it can be shown when the centre knew."""

        def write(connection: sqlite3.Connection) -> None:
            numbers = json.dumps(ids)
            connection.execute(
                "UPDATE upward SET done_ms = ? WHERE id IN (SELECT value FROM json_each(?)) AND urgency = ?",
                (now_ms, numbers, int(Urgency.FIRE)),
            )
            connection.execute(
                "DELETE FROM upward WHERE id IN (SELECT value FROM json_each(?)) AND done_ms IS NULL", (numbers,)
            )

        await self._store.run(write)

    async def denied(self, ids: list[int], now_ms: int) -> None:
        """The centre refused these; after a few times they are set aside with the time."""

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("UPDATE upward SET denied = denied + 1 WHERE id = ?", [(i,) for i in ids])
            connection.executemany(
                "UPDATE upward SET done_ms = ? WHERE id = ? AND denied >= ?", [(now_ms, i, DENIED_MOST) for i in ids]
            )

        await self._store.run(write)


def put(connection: sqlite3.Connection, centre: str, items: Iterable[Item], now_ms: int) -> None:
    """Add objects within the caller's transaction."""
    rows = [(centre, int(i.urgency), i.unit_type, i.body, now_ms) for i in items]
    write_rows(connection, "INSERT INTO upward (centre, urgency, type, object, created_ms)", rows)


def _note_cursors(connection: sqlite3.Connection, centre: str, cursors: Cursors) -> None:
    connection.execute("INSERT OR REPLACE INTO mirror VALUES (?, ?)", (_mirror(centre), cursors.inbox_id))
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES (?, ?)", (_transition_key(centre), str(cursors.transition_id))
    )


def _mirror(centre: str) -> str:
    return f"upward/{centre}"


def _transition_key(centre: str) -> str:
    return f"upward/{centre}/transition"


def forget_others(connection: sqlite3.Connection, centres: list[str]) -> None:
    """Drop the cursors of centres that are no longer configured: they would hold the inbox for ever."""
    names = {_mirror(centre) for centre in centres}
    for (name,) in connection.execute("SELECT name FROM mirror WHERE name LIKE 'upward/%'").fetchall():
        if name not in names:
            connection.execute("DELETE FROM mirror WHERE name = ?", (name,))
