"""The outbox's SQLite file: sealed batches of two lanes, gaps, and what the agent must remember over a restart.

Blocking; used by one thread at a time (see outbox.py). Nothing is deleted before the gateway's receipt except
telemetry over the budget, which leaves an exact record of what is gone. A row is checked when it is read, because
half of the bit flips in an SQLite file pass unnoticed.

A row stands for the sealed batches `first_seq..seq`. Usually both are equal; a row with gaps stands for batches that
were given up, and has their counts in place of their readings.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from contract.messages import LANES, Gap, Lane, Reading, encode_readings
from edge_agents.clock import Stamp
from edge_agents.outbox_row import MAX_GAP_READINGS, MAX_GAPS, Held, Loss, Row, is_sound, merge_gaps, row_of
from edge_agents.outside import random_name

WINDOW_ROWS = 32
"""Rows at the head of a lane that may have been sent already; the uplink never sends beyond them."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch (
  lane TEXT NOT NULL, seq INTEGER NOT NULL, first_seq INTEGER NOT NULL, sealed_ms INTEGER NOT NULL,
  readings INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  body BLOB NOT NULL, gaps BLOB NOT NULL, crc INTEGER NOT NULL,
  boot TEXT NOT NULL DEFAULT '', shift_ms INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (lane, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (
  lane TEXT NOT NULL, seq INTEGER NOT NULL, epoch TEXT NOT NULL, reason TEXT NOT NULL, set_aside_ms INTEGER NOT NULL,
  body BLOB NOT NULL, PRIMARY KEY (epoch, lane, seq)) WITHOUT ROWID;
"""
_KEEP = "INSERT OR REPLACE INTO kept VALUES "
_STAMP_COLUMNS = ("boot TEXT NOT NULL DEFAULT ''", "shift_ms INTEGER NOT NULL DEFAULT 0")
"""What a file of version 0.1 lacks; its rows get the defaults, which say that their clock is not known."""
_count = msgspec.json.Decoder(list[msgspec.Raw])


class OutboxFile:
    """An open outbox file.

    Args:
        path: the file; made when absent.
        now_ms: the agent's clock.
        stamp: of that clock.
        new_name: gives the name of a new epoch.
    """

    def __init__(
        self,
        path: Path,
        now_ms: Callable[[], int],
        stamp: Stamp = Stamp(),  # noqa: B008  # immutable
        new_name: Callable[[], str] = random_name,
    ) -> None:
        self._path = path
        self._now_ms = now_ms
        self._stamp = stamp
        self._new_name = new_name
        self._db: sqlite3.Connection | None = None
        # Known of the file while no transaction fails, so that it is not asked each time.
        self._rows: dict[Lane, int] = {}
        self._newest: dict[Lane, int] = {}
        self._used_bytes: int | None = None
        self._page_bytes = 0
        self.epoch = ""
        self.damaged_rows = 0
        """Rows found damaged since the file was opened."""

    def open(self) -> None:
        """Open or make the file. Raises sqlite3.Error; a file that is no database raises DatabaseError."""
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            # EXTRA must stand before the switch to WAL: otherwise a power cut during the switch can undo commits.
            db.execute("PRAGMA synchronous=EXTRA")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA journal_size_limit=4194304")
            db.execute("PRAGMA cache_size=-2048")
            db.executescript(_SCHEMA)
            _add_stamps(db)
            self._db = db
            self._page_bytes = int(db.execute("PRAGMA page_size").fetchone()[0])
            self.epoch = self._meta("epoch") or self._new_epoch()
        except sqlite3.Error:
            self._db = None
            db.close()
            raise

    def close(self) -> None:
        """Close; may be called again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection. Asserts that the file is open."""
        assert self._db is not None
        return self._db

    def append(
        self,
        work: Iterable[tuple[Lane, list[Reading], Mapping[str, bytes], Loss | None]],
        limit: int,
        stamp: Stamp | None = None,
    ) -> None:
        """Seal readings and keep state, all in one durable transaction. `limit`: bytes of one batch's readings.

        stamp: of the clock they were timed by, where it is not this file's.
        Raises sqlite3.Error; then nothing of it happened.
        """
        with self._transaction():
            for lane, readings, keep, loss in work:
                bodies = _cut(readings, limit) or ([([], b"[]")] if loss else [])
                for part, body in bodies:
                    self._seal(lane, part, body, loss, self._stamp if stamp is None else stamp)
                    loss = None
                self._keep(keep)

    def peek(self, lane: Lane, after: int, limit: int) -> list[Row]:
        """Up to `limit` undamaged rows of a lane beyond seq `after`; damaged or vanished rows become gaps first.

        `limit` less what is in flight already must not pass WINDOW_ROWS (see `thin`).
        """
        for _ in range(2 * WINDOW_ROWS):
            raw = self.db.execute(
                "SELECT * FROM batch WHERE lane=? AND seq>? ORDER BY seq LIMIT ?", (lane, after, limit)
            ).fetchall()
            damaged = next((entry for entry in raw if not is_sound(entry)), None)
            if damaged is not None:
                self._set_damaged_aside(lane, damaged)
                continue
            rows = [row_of(entry) for entry in raw]
            hole = _find_hole(rows, after)
            if hole is None:
                return rows
            self._name_hole(rows[hole], after if hole == 0 else rows[hole - 1].seq)
        return []

    def acknowledge(self, lane: Lane, seq: int) -> int:
        """Delete what the gateway has committed; returns how many rows went."""
        with self._transaction():
            gone = self.db.execute("DELETE FROM batch WHERE lane=? AND seq<=?", (lane, seq)).rowcount
            self._count(lane, -gone)
            return gone

    def set_aside(self, lane: Lane, seq: int, reason: str) -> bool:
        """Keep a row the gateway refused in `refused` and put a gap in its place. False: no such row."""
        found = self.db.execute("SELECT * FROM batch WHERE lane=? AND seq=?", (lane, seq)).fetchone()
        if found is None:
            return False
        row = row_of(found)
        gaps = row.gap_list()
        if row.readings:
            gaps.append(Gap(row.seq, row.readings, row.first_ms, row.last_ms, reason))
        with self._transaction():
            self._keep_refused(row, reason)
            self._replace([row], row._replace(readings=0, body=b"[]", gaps=msgspec.json.encode(merge_gaps(gaps))))
        return True

    def thin(self, max_bytes: int, before_ms: int, slice_rows: int = 256) -> int:
        """Give up the oldest telemetry over the budget or older than `before_ms`, one slice; returns readings given up.

        What may have been sent already (the window at the head) stays, so that the record is exact whatever the
        gateway has committed meanwhile.
        """
        if self._count_rows("telemetry") <= WINDOW_ROWS:
            return 0
        excess = self.used_bytes() - max_bytes
        rows = self._thinnable(slice_rows)
        if rows and not rows[0].readings and len(rows[0].gap_list()) >= MAX_GAPS // 2:
            rows = rows[1:]  # that record is full; begin another behind it
        chosen: list[Row] = []
        gaps: list[Gap] = []
        freed = lost = 0
        for row in rows:
            if freed >= excess and row.last_ms >= before_ms:
                break
            gaps += row.gap_list()
            if row.readings:
                reason = "budget" if freed < excess else "age"
                gaps.append(Gap(row.seq, row.readings, row.first_ms, row.last_ms, reason))
                freed += len(row.body) + 64
                lost += row.readings
            chosen.append(row)
        if not lost:
            return 0
        merged = chosen[-1]._replace(
            first_seq=chosen[0].first_seq, readings=0, body=b"[]", gaps=msgspec.json.encode(merge_gaps(gaps))
        )
        with self._transaction():
            self._replace(chosen, merged)
        return lost

    def used_bytes(self) -> int:
        """Bytes in use in the file, free pages not counted."""
        if self._used_bytes is None:
            ask = self.db.execute
            pages, free = (int(ask(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count"))
            self._used_bytes = (pages - free) * self._page_bytes
        return self._used_bytes

    def limit_pages(self, pages: int) -> None:
        """Let the file grow to so many pages at most; SQLite refuses more as it refuses on a full disk."""
        self.db.execute(f"PRAGMA max_page_count={int(pages)}")

    def held(self, lane: Lane) -> Held:
        """What a lane holds."""
        rows = self._count_rows(lane)
        oldest = (
            rows
            and self.db.execute(
                "SELECT first_seq, sealed_ms FROM batch WHERE lane=? ORDER BY seq LIMIT 1", (lane,)
            ).fetchone()
        )
        first_seq, sealed_ms = oldest or (0, 0)
        return Held(rows, first_seq, self.last_seq(lane), sealed_ms)

    def _count_rows(self, lane: Lane) -> int:
        if lane not in self._rows:
            self._rows[lane] = int(self.db.execute("SELECT count(*) FROM batch WHERE lane=?", (lane,)).fetchone()[0])
        return self._rows[lane]

    def known_newest(self, lane: Lane) -> int | None:
        """As `last_seq` when nothing has to be read for it; from any thread."""
        return self._newest.get(lane)

    def last_seq(self, lane: Lane) -> int:
        """The highest seq ever sealed in this epoch."""
        if lane not in self._newest:
            self._newest[lane] = int(self._meta(f"seq.{lane}") or 0)
        return self._newest[lane]

    def kept(self) -> dict[str, bytes]:
        """All kept state; damaged entries are left out."""
        return read_kept(self.db)

    def forget(self, keys: Iterable[str]) -> None:
        """Delete kept state."""
        with self._transaction():
            self.db.executemany("DELETE FROM kept WHERE key=?", [(key,) for key in keys])

    def begin_epoch(self) -> None:
        """Give everything held new names under a new epoch: the gateway already has others under the old ones."""
        with self._transaction():
            self._set_meta("epoch", self._new_name())
            self._newest.clear()
            for lane in LANES:
                raw = self.db.execute("SELECT * FROM batch WHERE lane=? ORDER BY seq", (lane,)).fetchall()
                self.db.execute("DELETE FROM batch WHERE lane=?", (lane,))
                self._rows.pop(lane, None)
                for seq, entry in enumerate(raw, 1):
                    row = row_of(entry)
                    gaps = [msgspec.structs.replace(gap, seq=seq) for gap in row.gap_list()]
                    self._insert(row._replace(seq=seq, first_seq=seq, gaps=msgspec.json.encode(gaps)))
                self._set_meta(f"seq.{lane}", str(len(raw)))
        self.epoch = self._meta("epoch") or ""

    def _seal(self, lane: Lane, part: list[Reading], body: bytes, loss: Loss | None, stamp: Stamp) -> None:
        seq = self.last_seq(lane) + 1
        times = [reading.observed_ms for reading in part] or [self._now_ms()]
        gaps = [Gap(seq, loss.readings, loss.first_ms, loss.last_ms, loss.reason)] if loss else []
        self._insert(
            Row(
                lane,
                seq,
                seq,
                self._now_ms(),
                len(part),
                min(times),
                max(times),
                body,
                msgspec.json.encode(gaps),
                *stamp,
            )
        )
        self._set_meta(f"seq.{lane}", str(seq))
        self._newest[lane] = seq

    def _keep(self, keep: Mapping[str, bytes]) -> None:
        """Many rows a statement: each step gives the interpreter away and has to win it back from a busy loop."""
        rows = [(key, value, _crc_kept(key, value)) for key, value in keep.items()]
        at = 0
        for size in (64, 8, 1):
            query = _KEEP + ",".join(["(?,?,?)"] * size)
            while len(rows) - at >= size:
                self.db.execute(query, [value for row in rows[at : at + size] for value in row])
                at += size

    def _thinnable(self, limit: int) -> list[Row]:
        raw = self.db.execute(
            "SELECT * FROM batch WHERE lane='telemetry' ORDER BY seq LIMIT ? OFFSET ?", (limit, WINDOW_ROWS)
        ).fetchall()
        rows = []
        for entry in raw:
            if not is_sound(entry):
                self._set_damaged_aside("telemetry", entry)
                return []
            rows.append(row_of(entry))
        return rows

    def _set_damaged_aside(self, lane: Lane, entry: tuple[object, ...]) -> None:
        """Put a gap in place of a damaged row; its count is the best that can still be read of it."""
        self.damaged_rows += 1
        seq, first_seq = int(str(entry[1])), int(str(entry[2]))
        body = entry[7] if isinstance(entry[7], bytes) else str(entry[7]).encode()
        try:
            readings, guessed = len(_count.decode(body)), ""
        except (msgspec.DecodeError, UnicodeDecodeError):
            readings, guessed = (
                (entry[4], "") if isinstance(entry[4], int) and 0 <= entry[4] <= 10**6 else (0, "_unknown")
            )
        now_ms = self._now_ms()
        sealed_ms, first_ms, last_ms = (
            number if isinstance(number, int) and 0 < number <= now_ms + 86_400_000 else now_ms
            for number in (entry[3], entry[5], entry[6])
        )
        first_seq = first_seq if 1 <= first_seq <= seq else seq
        gap = Gap(
            seq, min(readings, MAX_GAP_READINGS), min(first_ms, last_ms), max(first_ms, last_ms), f"damaged{guessed}"
        )
        row = Row(lane, seq, first_seq, sealed_ms, 0, gap.first_ms, gap.last_ms, b"[]", msgspec.json.encode([gap]))
        with self._transaction():
            self._keep_refused(row._replace(body=body), "damaged")
            self._replace([row], row)

    def _keep_refused(self, row: Row, reason: str) -> None:
        self.db.execute(
            "INSERT OR REPLACE INTO refused VALUES (?,?,?,?,?,?)",
            (row.lane, row.seq, self.epoch, reason, self._now_ms(), row.body),
        )
        # Kept for inspection, not for ever: the newest thousand.
        self.db.execute(
            "DELETE FROM refused WHERE set_aside_ms < (SELECT min(set_aside_ms) FROM "
            "(SELECT set_aside_ms FROM refused ORDER BY set_aside_ms DESC LIMIT 1000))"
        )

    def _replace(self, rows: list[Row], by: Row) -> None:
        between = (by.lane, rows[0].seq, rows[-1].seq)
        gone = self.db.execute("DELETE FROM batch WHERE lane=? AND seq BETWEEN ? AND ?", between).rowcount
        self._count(by.lane, -gone)
        self._insert(by)

    def _insert(self, row: Row) -> None:
        self.db.execute("INSERT INTO batch VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (*row[:9], row.crc, *row[9:]))
        self._count(row.lane, 1)

    def _name_hole(self, row: Row, previous: int) -> None:
        """Rows that vanished from a damaged file: the next row says so; how much was in them is lost."""
        self.damaged_rows += 1
        gap = Gap(row.first_seq - 1, 0, row.first_ms, row.first_ms, "damaged_unknown")
        gaps = msgspec.json.encode(merge_gaps([gap, *row.gap_list()]))
        with self._transaction():
            self._replace([row], row._replace(first_seq=previous + 1, gaps=gaps))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """BEGIN IMMEDIATE .. COMMIT, rolled back on any error."""
        db, self._used_bytes = self.db, None
        try:
            db.execute("BEGIN IMMEDIATE")  # one that fails half-way leaves a transaction open, too
            yield
            db.execute("COMMIT")
        except BaseException:
            self._rows.clear()
            self._newest.clear()
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _count(self, lane: Lane, change: int) -> None:
        if lane in self._rows:
            self._rows[lane] += change

    def _new_epoch(self) -> str:
        epoch = self._new_name()
        self._set_meta("epoch", epoch)
        return epoch

    def _meta(self, key: str) -> str | None:
        found = self.db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def _set_meta(self, key: str, value: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))


def _add_stamps(db: sqlite3.Connection) -> None:
    """Bring a file of version 0.1 up: what it holds keeps its names and its checksums."""
    if "boot" in {row[1] for row in db.execute("PRAGMA table_info(batch)")}:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for column in _STAMP_COLUMNS:
            db.execute(f"ALTER TABLE batch ADD COLUMN {column}")
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _find_hole(rows: list[Row], after: int) -> int | None:
    """Index of the first row that does not follow its predecessor; `after` 0 means that nothing is known of it."""
    for n, row in enumerate(rows):
        previous = rows[n - 1].seq if n else after
        if previous and row.first_seq > previous + 1:
            return n
    return None


def _cut(readings: list[Reading], limit: int) -> list[tuple[list[Reading], bytes]]:
    """Parts of at most `limit` bytes each; a single reading may be larger (its text is bounded by the contract)."""
    if not readings:
        return []
    body = encode_readings(readings)
    if len(body) <= limit or len(readings) == 1:
        return [(readings, body)]
    half = len(readings) // 2
    return _cut(readings[:half], limit) + _cut(readings[half:], limit)


def read_kept(db: sqlite3.Connection) -> dict[str, bytes]:
    """All kept state of a file; damaged entries are left out."""
    rows = db.execute("SELECT key, value, crc FROM kept")
    return {key: value for key, value, crc in rows if isinstance(value, bytes) and crc == _crc_kept(str(key), value)}


def _crc_kept(key: str, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key.encode()))
