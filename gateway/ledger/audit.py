"""The audit chain: each row's hash covers the row and the hash before it.

    hash = SHA-256( JSON array [id, at_ms, actor, action, subject, detail, previous], UTF-8, no spaces )

An edit, a deletion or a swap anywhere breaks the chain from there on. A cut tail leaves a chain that is whole in
itself; it shows against a head (last id and hash) that was exported earlier.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from contract.errors import RetryLater
from gateway.ledger.records import AuditEntry
from gateway.ledger.rows import write_rows

_encode = msgspec.json.Encoder().encode
TELL_ROWS = 2000
"""How often somebody who waits hears how far verifying is."""
ROOT = "0" * 64
"""`previous` of the first row."""


class Head(NamedTuple):
    """The last row of a chain: its id and hash. Id 0 and ROOT for an empty chain."""

    id: int
    hash: str


class Broken(NamedTuple):
    """The first row that does not fit, and why."""

    id: int
    why: str


def link(row_id: int, at_ms: int, actor: str, action: str, subject: str, detail: str, previous: str) -> str:
    """The hash of a row."""
    return hashlib.sha256(_encode([row_id, at_ms, actor, action, subject, detail, previous])).hexdigest()


def append(connection: sqlite3.Connection, entries: Iterable[AuditEntry]) -> Head:
    """Add entries to the chain within the caller's transaction; gives the new head."""
    row_id, previous = head(connection)
    rows = []
    for entry in entries:
        row_id += 1
        detail = _encode(entry.detail).decode()
        digest = link(row_id, entry.at_ms, entry.actor, entry.action, entry.subject, detail, previous)
        rows.append((row_id, *entry[:4], detail, previous, digest))
        previous = digest
    write_rows(connection, "INSERT INTO audit", rows)
    return Head(row_id, previous)


def head(connection: sqlite3.Connection) -> Head:
    """The last row's id and hash."""
    row = connection.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head(0, ROOT)


def verify(path: Path, exported: Head | None = None, told: Callable[[int], None] | None = None) -> Broken | None:
    """Check the whole chain of a ledger file; None when it is whole.

    Args:
        path: the ledger; a running gateway is not disturbed.
        exported: a head noted down earlier; a chain that no longer holds it was cut or rewritten.
        told: hears the number of a row every so often.

    Raises:
        RetryLater: the file cannot be opened.
    """
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        try:
            return verify_chain(connection, exported, told)
        finally:
            connection.close()
    except sqlite3.OperationalError as exc:
        raise RetryLater(f"{path}: {exc}. Check that a ledger is there and readable.") from exc


def verify_chain(
    connection: sqlite3.Connection, exported: Head | None = None, told: Callable[[int], None] | None = None
) -> Broken | None:
    """As `verify`, on a connection; one read transaction is the caller's."""
    last, previous = 0, ROOT
    query = "SELECT id, at_ms, actor, action, subject, detail, previous, hash FROM audit ORDER BY id"
    for row_id, at_ms, actor, action, subject, detail, before, digest in connection.execute(query):
        if row_id != last + 1:
            return Broken(last + 1, f"row {last + 1} is missing")
        if before != previous:
            return Broken(row_id, f"row {row_id} does not follow row {last}")
        if digest != link(row_id, at_ms, actor, action, subject, detail, before):
            return Broken(row_id, f"row {row_id} was changed")
        if exported and row_id == exported.id and digest != exported.hash:
            return Broken(row_id, f"row {row_id} is not the one exported earlier")
        last, previous = row_id, digest
        if told is not None and not row_id % TELL_ROWS:
            told(row_id)
    if exported and exported.id > last:
        return Broken(last + 1, f"rows {last + 1} to {exported.id} were cut off")
    return None
