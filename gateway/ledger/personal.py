"""Personal data in the ledger: written so that what was there before is gone, erased so that nothing of it is left.

SQLite leaves what was deleted in free space of its pages, and a page that was split may keep a second copy. So tables
of personal data are only ever written with `secure_delete` on, which fills what is freed with zeros; an erasure in
addition frees every page of the table, which zeroes them whole, and fills it anew with the rows that stay. What still
stands in the write-ahead log goes once that was brought into the file and cut (`Wiping`); until then `meta('wipe')`
says so, also over a crash. Copies made before (backups, the copy of an upgrade) are not ours to change.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from contract.errors import RetryLater
from gateway.ledger.store import Store

WIPE = "wipe"
"""meta key: an erasure of this time is not yet out of the write-ahead log."""
PAUSE_S = 2.0
_SETTINGS = ("OFF", "ON", "FAST")
_encode = msgspec.json.Encoder().encode
_numbers = msgspec.json.Decoder(dict[str, str])


class Identity(NamedTuple):
    """Who a person is. certificates: kind -> number; pin_hash: argon2id, None without a PIN."""

    person: int
    name: str
    phone: str
    certificates: dict[str, str]
    pin_hash: str | None


def find_identities(connection: sqlite3.Connection, people: Iterable[int] | None = None) -> dict[int, Identity]:
    """Who these people are, or all; those erased are not in it."""
    query = "SELECT person, name, phone, certificates, pin_hash FROM identity"
    wanted = None if people is None else set(people)
    return {
        row[0]: Identity(row[0], row[1], row[2], _numbers.decode(row[3]), row[4])
        for row in connection.execute(query)
        if wanted is None or row[0] in wanted
    }


def add_identity(identity: Identity) -> Callable[[sqlite3.Connection], None]:
    """A step of a transaction: keep who somebody new is."""
    values = (*identity[:3], _encode(identity.certificates).decode(), identity.pin_hash)
    return partial(_write, "INSERT INTO identity VALUES (?,?,?,?,?)", values)


def change_identity(
    person: int, name: str, phone: str, certificates: dict[str, str]
) -> Callable[[sqlite3.Connection], None]:
    """A step of a transaction: somebody's name, phone, numbers of certificates are others."""
    values = (name, phone, _encode(certificates).decode(), person)
    return partial(_write, "UPDATE identity SET name = ?, phone = ?, certificates = ? WHERE person = ?", values)


def set_pin(person: int, pin_hash: str | None) -> Callable[[sqlite3.Connection], None]:
    """A step of a transaction: give somebody a PIN, or take it away."""
    return partial(_write, "UPDATE identity SET pin_hash = ? WHERE person = ?", (pin_hash, person))


def _write(query: str, values: tuple[Any, ...], connection: sqlite3.Connection) -> None:
    with _overwriting(connection):
        connection.execute(query, values)


def erase(table: str, key: str, value: Any, at_ms: int) -> Callable[[sqlite3.Connection], None]:
    """A step of a transaction: take the rows with `key` = value out of a table of personal data, without a trace."""

    def step(connection: sqlite3.Connection) -> None:
        with _overwriting(connection):
            kept: Sequence[tuple[Any, ...]] = connection.execute(
                f"SELECT * FROM {table} WHERE {key} <> ?",  # noqa: S608 # both are ours
                (value,),
            ).fetchall()
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 # the same
            if kept:
                blanks = ",".join("?" * len(kept[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({blanks})", kept)  # noqa: S608 # the same
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (WIPE, str(at_ms)))

    return step


@contextlib.contextmanager
def _overwriting(connection: sqlite3.Connection) -> Iterator[None]:
    before = _SETTINGS[connection.execute("PRAGMA secure_delete").fetchone()[0]]
    connection.execute("PRAGMA secure_delete=ON").fetchall()
    try:
        yield
    finally:
        # Elsewhere it would only make the trimming of the inbox dearer.
        connection.execute(f"PRAGMA secure_delete={before}").fetchall()


class Wiping:
    """Takes what was erased out of the write-ahead log as well, as soon as no reader holds it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self) -> None:
        """Look for erasures now and then; never ends."""
        while True:
            with contextlib.suppress(RetryLater):
                await self.wipe()
            await asyncio.sleep(PAUSE_S)

    async def wipe(self) -> bool:
        """Whether nothing of an erasure is left in the log. Raises RetryLater as Store.run."""
        erased = await self._store.run(_pending)
        if erased is None:
            return True
        if not await self._store.empty_log():
            return False
        await self._store.run(lambda connection: _done(connection, erased))
        return True


def _pending(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (WIPE,)).fetchone()
    return None if row is None else str(row[0])


def _done(connection: sqlite3.Connection, erased: str) -> None:
    # Another erasure may have come in between: that one is looked for again.
    connection.execute("DELETE FROM meta WHERE key = ? AND value = ?", (WIPE, erased))
