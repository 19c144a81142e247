"""Brings a ledger of an older version up to the schema of this program: a copy beside it first, then one transaction.

What a version adds stands in schema.sql alone: tables, indexes and triggers that are missing are made, columns that
are missing are added with their defaults. A version that must do more (move or rewrite rows) says so in STEPS.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from contract.errors import StartError
from gateway.ledger import audit
from gateway.ledger.records import AuditEntry
from gateway.ledger.secret import SECRET, make_secret

SCHEMA = Path(__file__).with_name("schema.sql")
VERSION = 6
"""Version of the schema this code writes."""
RESENT_SINCE = "resent_since_ms"
"""meta key: since when what comes again is counted; absent: since the ledger began."""


def _move_duty_checks(connection: sqlite3.Connection) -> None:
    """To version 3: duty checks are rows of a register, and the ledger has a secret of its own."""
    connection.execute("INSERT INTO meta VALUES (?, ?)", (SECRET, make_secret()))
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'duty_check'").fetchone():
        return  # version 1 knew none
    (now_ms,) = connection.execute("SELECT coalesce(max(at_ms), 0) FROM audit").fetchone()
    rows = connection.execute(
        "SELECT id, site, origin, asked_ms, until_ms, state, answered_ms, answered_by FROM duty_check"
    ).fetchall()
    for number, site, origin, asked_ms, until_ms, state, answered_ms, answered_by in rows:
        row = {
            "id": number, "site": site, "state": "missed" if state == "unanswered" else state, "from_ms": asked_ms,
            "until_ms": until_ms, "origin": origin, "answered_ms": answered_ms, "answered_by": answered_by,
        }  # fmt: skip
        values = (number, site, row["state"], state == "open", asked_ms, until_ms, json.dumps(row, ensure_ascii=False))
        connection.execute("INSERT INTO entry VALUES ('duty_check',?,?,?,?,?,?,?)", values)
        moved = AuditEntry(now_ms, "gateway", "duty_check.move", f"duty_check/{number}", {"row": row})
        audit.append(connection, [moved])
    connection.execute("DROP TABLE duty_check")


def _date_passwords(connection: sqlite3.Connection) -> None:
    """To version 4: when a password was chosen is kept; of earlier ones the day the user was made is known."""
    connection.execute("UPDATE user SET password_ms = created_ms")


def _date_resent(connection: sqlite3.Connection) -> None:
    """To version 6: what comes again is counted from here on; before, it was dropped and not counted."""
    connection.execute("INSERT INTO meta SELECT ?, coalesce(max(at_ms), 0) FROM audit", (RESENT_SINCE,))


STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {3: _move_duty_checks, 4: _date_passwords, 6: _date_resent}
"""What else is to be done to reach a version, within the same transaction."""


def prepare(connection: sqlite3.Connection, path: Path) -> Path | None:
    """Make the schema in an empty file, or bring an older one up to date; gives the copy made before, if any.

    Raises:
        StartError: the ledger is newer than this program, or none of ours; the copy cannot be made.
        sqlite3.Error: the file cannot be used; it is then as it was.
    """
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        script = SCHEMA.read_text("utf-8")
        connection.executescript(
            f"BEGIN EXCLUSIVE;\n{script}\nINSERT INTO meta VALUES ('schema','{VERSION}'), "
            f"('{SECRET}','{make_secret()}');\nCOMMIT;"
        )
        return None
    try:
        row = connection.execute("SELECT value FROM meta WHERE key='schema'").fetchone()
    except sqlite3.OperationalError:
        row = None
    version = int(row[0]) if row else 0
    if version == VERSION:
        return None
    if not 0 < version < VERSION:
        raise StartError(
            f"{path}: got ledger version {version}, want {VERSION}. "
            + ("Update this program." if version > VERSION else "This is no ledger of ours; name another data_dir.")
        )
    copy = _copy(connection, path, version)
    _upgrade(connection, version)
    return copy


def _copy(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """The ledger as it was, whole and on the disk, under a name that says its version."""
    copy = path.with_name(f"{path.name}.v{version}")
    temporary = path.with_name(f"{path.name}.copying")
    try:
        temporary.unlink(missing_ok=True)
        # Made by SQLite, so that what still stands in the write-ahead log is in it.
        connection.execute("VACUUM INTO ?", (str(temporary),))
        temporary.chmod(0o640)
        _sync(temporary)
        temporary.rename(copy)  # over the copy of an upgrade that did not come to its end
        _sync(path.parent)
    except (OSError, sqlite3.Error) as exc:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StartError(
            f"{copy}: {exc}. A ledger of version {version} is copied before it is changed; free as much space as it "
            "takes and start again."
        ) from exc
    return copy


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    wanted = sqlite3.connect(":memory:")
    try:
        wanted.executescript(SCHEMA.read_text("utf-8"))
        connection.execute("BEGIN EXCLUSIVE")
        try:
            _add_columns(connection, wanted)
            _add_objects(connection, wanted)
            for number in range(version + 1, VERSION + 1):
                if number in STEPS:
                    STEPS[number](connection)
            connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(VERSION),))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    finally:
        wanted.close()


def _add_columns(connection: sqlite3.Connection, wanted: sqlite3.Connection) -> None:
    for (table,) in wanted.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        having = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if not having:
            continue  # a new table, made whole below
        for _, name, kind, not_null, default, _ in wanted.execute(f"PRAGMA table_info({table})"):
            if name not in having:
                rest = (" NOT NULL" if not_null else "") + (f" DEFAULT {default}" if default is not None else "")
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}{rest}")


def _add_objects(connection: sqlite3.Connection, wanted: sqlite3.Connection) -> None:
    having = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    query = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type <> 'table', rowid"
    for name, sql in wanted.execute(query):
        if name not in having and not name.startswith("sqlite_"):
            connection.execute(sql)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
