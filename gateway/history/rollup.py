"""Hours of a month file counted beforehand, so that a year of a point is read as fast as a day.

`hour` holds minimum, sum, maximum and count of the numbers of a point in an hour. `dirty` names the hours whose row in
`hour` may not be what the samples say: every write names its hours in the same transaction, so whatever comes late, or
again with another value, is never counted twice nor left out. A reader takes dirty hours from the samples and all
others from `hour`; the gateway counts dirty hours that are over when it has nothing else to do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

HOUR_MS = 3_600_000
WHOLE = -1
"""In place of an hour: all hours of the point; of files written before there were hours."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS hour (
    point_id INTEGER NOT NULL, start_ms INTEGER NOT NULL, low REAL NOT NULL, total REAL NOT NULL, high REAL NOT NULL,
    count INTEGER NOT NULL, PRIMARY KEY (point_id, start_ms)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dirty (
    point_id INTEGER NOT NULL, start_ms INTEGER NOT NULL, PRIMARY KEY (point_id, start_ms)
) WITHOUT ROWID;
"""
_COUNT = (
    "SELECT point_id, observed_ms / 3600000 * 3600000, min(value), coalesce(sum(value), 0.0), max(value), "
    "count(*) FROM sample WHERE point_id = ? "
    "AND observed_ms >= ? AND observed_ms < ? AND typeof(value) = 'real' GROUP BY 1, 2"
)
_SAMPLES = """
SELECT observed_ms / :step * :step, min(value), sum(value), max(value), count(*) FROM sample
WHERE point_id = :id AND observed_ms >= :from AND observed_ms < :to AND typeof(value) = 'real' GROUP BY 1
"""
_HOURS = """
SELECT start_ms / :step * :step, min(low), sum(total), max(high), sum(count) FROM hour
WHERE point_id = :id AND start_ms >= :from AND start_ms < :to
AND NOT EXISTS (SELECT 1 FROM dirty WHERE dirty.point_id = hour.point_id AND dirty.start_ms = hour.start_ms)
GROUP BY 1
"""
Part = tuple[int, float, float, float, int]
"""start_ms, lowest, sum, highest, count of a bucket, or of a part of one."""


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables; in a file that has samples already everything is dirty at first."""
    known = has_hours(db)
    db.executescript(SCHEMA)
    if not known:
        db.execute("INSERT OR IGNORE INTO dirty SELECT id, ? FROM point", (WHOLE,))


def has_hours(db: sqlite3.Connection) -> bool:
    """Whether the file has the tables."""
    query = "SELECT count(*) FROM sqlite_master WHERE name IN ('hour', 'dirty')"
    return int(db.execute(query).fetchone()[0]) == 2


def is_dirty(db: sqlite3.Connection) -> bool:
    """Whether any hour is yet to be counted, those that run on among them."""
    return db.execute("SELECT 1 FROM dirty LIMIT 1").fetchone() is not None


def mark(db: sqlite3.Connection, hours: Iterable[tuple[int, int]]) -> None:
    """Name hours (point_id, start_ms) that are being written, within the writer's transaction."""
    db.executemany("INSERT OR IGNORE INTO dirty VALUES (?, ?)", hours)


def count_hours(db: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """Count up to `limit` dirty hours that end by before_ms, in one transaction.

    Returns how many were dirty; `limit` when more may be. A whole point takes the time of many hours, so it goes alone.
    """
    query = "SELECT point_id, start_ms FROM dirty WHERE start_ms + ? <= ? ORDER BY start_ms, point_id LIMIT ?"
    db.execute("BEGIN IMMEDIATE")
    try:
        found = db.execute(query, (HOUR_MS, before_ms, limit)).fetchall()
        if found and found[0][1] == WHOLE:
            found = found[:1]
        for point_id, start_ms in found:
            if start_ms == WHOLE:
                # The hours that run on stay dirty by themselves: they are named before this is taken away.
                last = before_ms // HOUR_MS * HOUR_MS
                rest = "SELECT DISTINCT point_id, observed_ms / 3600000 * 3600000 FROM sample "
                rest += "WHERE point_id = ? AND observed_ms >= ?"
                db.execute("INSERT OR IGNORE INTO dirty " + rest, (point_id, last))
                span = (0, last)
            else:
                span = (start_ms, start_ms + HOUR_MS)
            db.execute("DELETE FROM hour WHERE point_id = ? AND start_ms >= ? AND start_ms < ?", (point_id, *span))
            db.execute("INSERT INTO hour " + _COUNT, (point_id, *span))
            db.execute("DELETE FROM dirty WHERE point_id = ? AND start_ms = ?", (point_id, start_ms))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return limit if found and found[0][1] == WHOLE else len(found)


def read_parts(db: sqlite3.Connection, point_id: int, from_ms: int, to_ms: int, step: int) -> list[Part]:
    """Buckets of a file, in parts that are yet to be put together: the same numbers as from the samples alone.

    Hours serve where a bucket is made of whole ones; the ends of the range, and dirty hours, are read from the samples.
    """
    args = {"id": point_id, "from": from_ms, "to": to_ms, "step": step}
    first, last = -(-from_ms // HOUR_MS) * HOUR_MS, to_ms // HOUR_MS * HOUR_MS
    if step % HOUR_MS or first >= last or not has_hours(db):
        return db.execute(_SAMPLES, args).fetchall()
    db.execute("BEGIN")  # one state of the file for all that follows
    try:
        query = "SELECT start_ms FROM dirty WHERE point_id = ? AND (start_ms = ? OR start_ms >= ? AND start_ms < ?)"
        dirty = [row[0] for row in db.execute(query, (point_id, WHOLE, first, last))]
        if WHOLE in dirty:
            return db.execute(_SAMPLES, args).fetchall()
        found: list[Part] = db.execute(_HOURS, {**args, "from": first, "to": last}).fetchall()
        spans = [(from_ms, min(first, to_ms)), (max(last, from_ms), to_ms), *((at, at + HOUR_MS) for at in dirty)]
        for begin, end in spans:
            if begin < end:
                found += db.execute(_SAMPLES, {**args, "from": begin, "to": end}).fetchall()
        return found
    finally:
        db.execute("COMMIT")
