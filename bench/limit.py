"""The limit of this machine: the same batches decoded by the same decoder and appended to the same kind of inbox.

The inbox takes the readings as the JSON they came as, like the product. Nothing is judged and nobody is told. Decoding
(caller's thread) and committing (one writer thread) overlap here, which flatters the limit: it is the most to be had.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import zlib
from pathlib import Path

import msgspec

from bench.load import Sent
from contract.messages import decode_batch

_SCHEMA = """
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site TEXT NOT NULL, agent TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL,
    received_ms INTEGER NOT NULL, readings BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE INDEX inbox_age ON inbox (received_ms);
"""
_INSERT = "INSERT INTO inbox (site, agent, epoch, lane, seq, received_ms, readings, crc) VALUES "
_PLACES = "(?, ?, ?, ?, ?, ?, ?, ?)"


class _Envelope(msgspec.Struct):
    readings: msgspec.Raw


_envelope = msgspec.json.Decoder(_Envelope).decode
_Rows = list[tuple[str, str, str, str, int, int, bytes, int]]


def append_all(folder: Path, batches: list[Sent], group: int) -> int:
    """Decode and append everything, `group` batches a commit. Returns the number of commits."""
    groups: queue.Queue[_Rows | None] = queue.Queue(maxsize=4)
    failed: list[Exception] = []
    writer = threading.Thread(target=_write, args=(folder / "limit.db", groups, failed), name="limit-writer")
    writer.start()
    commits = 0
    try:
        for at in range(0, len(batches), group):
            groups.put([_row(sent) for sent in batches[at : at + group]])
            commits += 1
    finally:
        groups.put(None)
        writer.join()
    if failed:
        raise failed[0]
    return commits


def _row(sent: Sent) -> tuple[str, str, str, str, int, int, bytes, int]:
    batch = decode_batch(sent.payload)
    readings = bytes(_envelope(sent.payload).readings)
    return (
        *(batch.site, batch.agent, batch.epoch, batch.lane, batch.seq),
        *(batch.sent_ms + 5, readings, zlib.crc32(readings)),
    )


def _write(path: Path, groups: queue.Queue[_Rows | None], failed: list[Exception]) -> None:
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        # EXTRA before the switch: the directory entry of the journal must be durable too.
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        while (rows := groups.get()) is not None:
            connection.execute("BEGIN IMMEDIATE")
            _insert(connection, rows)
            connection.execute("COMMIT")
        connection.close()
    except sqlite3.Error as exc:
        failed.append(exc)
        while groups.get() is not None:  # the feeder must not wait for a writer that is gone
            pass


def _insert(connection: sqlite3.Connection, rows: _Rows) -> None:
    """Many rows a statement, as the product does: the writer fights less for the interpreter."""
    at = 0
    for count in (64, 8, 1):
        statement = _INSERT + ",".join([_PLACES] * count)
        while len(rows) - at >= count:
            connection.execute(statement, [value for row in rows[at : at + count] for value in row])
            at += count
