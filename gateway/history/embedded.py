"""The history in SQLite files on this machine, one a month (UTC).

A month is dropped as a file, so retention costs nothing and leaves no holes to fill. Rows lie in order of (point,
time), so a chart of one point reads neighbouring pages. A damaged month is set aside under another name and noted in
the status: the others stay readable, and the month can be filled again from the ledger's inbox.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from contract.errors import RetryLater, StartError
from contract.quality import GOOD
from contract.topics import is_ident
from gateway.history import rollup
from gateway.history.base import (
    Bucket,
    History,
    HistoryStatus,
    Refused,
    Row,
    Sample,
    check_raw,
    check_read,
    sift,
    split_point,
)

log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_OPEN = 14
"""Most month files held open: those of a year in a chart."""
BUSY_S = 5.0
SETTLE_HOURS = 500
"""Hours counted at one go: a write waits that long at most, some 100 ms."""
DAMAGED = ".damaged"

# value: REAL a number, INTEGER 0/1 a truth, TEXT a state or text, NULL nothing measured; BLOB affinity keeps what is
# given. quality: NULL stands for good, which nearly every row is.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS point (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, device TEXT NOT NULL, point TEXT NOT NULL, UNIQUE (site, device, point)
);
CREATE TABLE IF NOT EXISTS sample (
    point_id INTEGER NOT NULL, observed_ms INTEGER NOT NULL, value BLOB, quality TEXT,
    PRIMARY KEY (point_id, observed_ms)
) WITHOUT ROWID;
"""
_INSERT = "INSERT OR REPLACE INTO sample VALUES (?, ?, ?, ?)"
_RAW = """
SELECT observed_ms, value, quality FROM sample
WHERE point_id = :id AND observed_ms >= :from AND observed_ms < :to ORDER BY observed_ms LIMIT :limit
"""


class _Month:
    """One open file. Raises sqlite3 errors."""

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path = path
        self.name = path.stem
        mode = "ro" if read_only else "rwc"
        self.db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if not read_only:
                self.db.execute("PRAGMA journal_mode=WAL")
                self.db.execute("PRAGMA synchronous=FULL")
                self.db.executescript(_SCHEMA)
                rollup.prepare(self.db)
            self.db.execute("PRAGMA cache_size=-4096")
            # The file may be dropped or replaced by another process; its number tells.
            self.inode = path.stat().st_ino
        except (sqlite3.Error, OSError):
            self.db.close()
            raise
        self._ids: dict[tuple[str, str, str], int] = {}
        self._marked: set[tuple[int, int]] = set()
        """Hours that are known to be dirty."""

    def id_for(self, site: str, device: str, point: str) -> int:
        """The id of a point, given now if it has none."""
        found = self.point_id(site, device, point, create=True)
        assert found is not None
        return found

    def point_id(self, site: str, device: str, point: str, create: bool = False) -> int | None:
        key = (site, device, point)
        found = self._ids.get(key)
        if found is None:
            sql = "SELECT id FROM point WHERE site = ? AND device = ? AND point = ?"
            row = self.db.execute(sql, key).fetchone()
            if row is None and not create:
                return None
            if row is None:
                insert = "INSERT INTO point (site, device, point) VALUES (?, ?, ?)"
                found = self.db.execute(insert, key).lastrowid
                assert found is not None
            else:
                found = int(row[0])
            self._ids[key] = found
        return found

    def insert(self, rows: Sequence[Row]) -> None:
        """All rows or none, durable on return."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            ready = [
                (
                    self.id_for(row.site, row.device, row.point),
                    row.observed_ms,
                    # A whole number is a number: an INTEGER here would come back as a truth.
                    float(row.value) if type(row.value) is int else row.value,
                    None if row.quality == GOOD else row.quality,
                )
                for row in rows
            ]
            # In the order of the tree, so that a page is touched once. The sort is stable: the last of equals wins.
            ready.sort(key=lambda item: item[:2])
            self.db.executemany(_INSERT, ready)
            hours = {(item[0], item[1] // rollup.HOUR_MS * rollup.HOUR_MS) for item in ready}
            rollup.mark(self.db, sorted(hours - self._marked))
            self.db.execute("COMMIT")
            self._marked |= hours
        except BaseException:
            # Ids given in this transaction are gone with it.
            self._ids.clear()
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise

    def count_hours(self, before_ms: int, limit: int) -> int:
        """How many hours that are over were counted."""
        self._marked.clear()
        return rollup.count_hours(self.db, before_ms, limit)


class EmbeddedHistory(History):
    """History in month files under a folder.

    Args:
        folder: made when absent.
        read_only: for other processes than the gateway: opens nothing for writing and makes no file.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder
        self._read_only = read_only
        self._pool: ThreadPoolExecutor | None = None
        self._open: OrderedDict[str, _Month] = OrderedDict()
        self._settled: set[str] = set()
        """Months with no hour left to count; a write takes its month out."""

    async def open(self) -> None:
        if not self._read_only:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise StartError(f"{self.folder}: {exc.strerror}. The history needs a folder it can write.") from exc
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="history")

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(pool, self._close_all)
        # The one thread has nothing left to do, so this does not block.
        pool.shutdown(wait=True)

    async def write(self, rows: Sequence[Row], refused: Refused) -> None:
        fine = sift(rows, refused)
        if fine:
            await self._run(lambda: self._write(fine))

    async def read(self, site: str, point: str, from_ms: int, to_ms: int, bucket_ms: int) -> list[Bucket]:
        check_read(from_ms, to_ms, bucket_ms)
        return await self._run(lambda: self._read(site, point, max(from_ms, 0), to_ms, bucket_ms))

    async def raw(self, site: str, point: str, from_ms: int, to_ms: int, limit: int) -> list[Sample]:
        check_raw(limit)
        return await self._run(lambda: self._raw(site, point, from_ms, to_ms, limit))

    async def settle(self, before_ms: int) -> bool:
        return await self._run(lambda: self._settle(before_ms))

    async def prune(self, before_ms: int) -> int:
        return await self._run(lambda: self._prune(before_ms))

    async def status(self) -> HistoryStatus:
        try:
            return await self._run(self._status)
        except RetryLater as exc:
            return HistoryStatus("embedded", False, str(exc))

    async def verify(self) -> list[str]:
        """Names of the months that did not pass SQLite's own check; the gateway sets them aside.

        Reads every page: minutes for years of data.
        """
        return await self._run(self._verify)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pool is None:
            raise RetryLater("history: got a request before open or after close. Open it first.")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except (sqlite3.Error, OSError) as exc:
            raise RetryLater(f"{self.folder}: {exc}. The history could not be used; it is tried again.") from exc

    # What follows runs in the one thread.

    def _write(self, rows: Sequence[Row]) -> None:
        if self._read_only:
            raise RetryLater(f"{self.folder}: opened for reading only. Only the gateway writes the history.")
        months: dict[str, list[Row]] = {}
        bounds = (0, 0, "")
        for row in rows:
            if not bounds[0] <= row.observed_ms < bounds[1]:
                bounds = _month_of(row.observed_ms)
            months.setdefault(bounds[2], []).append(row)
        for name, part in months.items():
            self._settled.discard(name)
            with self._guard(name):
                month = self._month(name)
                assert month is not None
                month.insert(part)

    def _read(self, site: str, point: str, from_ms: int, to_ms: int, step: int) -> list[Bucket]:
        merged: dict[int, tuple[float, float, float, int]] = {}
        for month, point_id in self._months_with(site, point, from_ms, to_ms):
            begin, end = max(from_ms, _start_of(month.name)), min(to_ms, _end_of(month.name))
            with self._guard(month.name):
                rows = rollup.read_parts(month.db, point_id, begin, end, step)
            for start, low, total, high, count in rows:
                before = merged.get(start)
                if before is not None:
                    # A bucket in parts: hours and samples, or before and after the turn of a month.
                    low, total = min(low, before[0]), total + before[1]
                    high, count = max(high, before[2]), count + before[3]
                merged[start] = (low, total, high, count)
        return [
            Bucket(start, low, total / count, high, count)
            for start, (low, total, high, count) in sorted(merged.items())
        ]

    def _raw(self, site: str, point: str, from_ms: int, to_ms: int, limit: int) -> list[Sample]:
        found: list[Sample] = []
        for month, point_id in self._months_with(site, point, from_ms, to_ms):
            with self._guard(month.name):
                args = {"id": point_id, "from": from_ms, "to": to_ms, "limit": limit}
                rows = month.db.execute(_RAW, args).fetchall()
            for observed_ms, value, quality in rows:
                kept = bool(value) if isinstance(value, int) else value
                found.append(Sample(observed_ms, kept, GOOD if quality is None else quality))
            if len(found) >= limit:
                break
        return found[:limit]

    def _prune(self, before_ms: int) -> int:
        if self._read_only:
            return 0
        dropped = 0
        for path in self._files():
            if _end_of(path.stem) <= before_ms:
                self._drop(path.stem)
                # The file itself goes first: a log without its file is never replayed into a new one of that name.
                for each in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
                    each.unlink(missing_ok=True)
                dropped += 1
                log.debug("history month %s dropped", path.stem)
        return dropped

    def _status(self) -> HistoryStatus:
        files = self._files()
        damaged = tuple(sorted(path.name for path in self.folder.glob(f"*{DAMAGED}*") if path.suffix != ".wal"))
        size = sum(path.stat().st_size for path in self.folder.glob("*") if path.is_file())
        oldest = _start_of(files[0].stem) if files else None
        text = f"{len(files)} months" + (f", {len(damaged)} damaged and set aside" if damaged else "")
        return HistoryStatus("embedded", True, text, size, oldest, damaged)

    def _verify(self) -> list[str]:
        bad = []
        for path in self._files():
            try:
                with self._guard(path.stem):
                    month = self._month(path.stem, create=False)
                    if month is not None and month.db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                        damage = sqlite3.DatabaseError("quick_check found damage")
                        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                        raise damage
            except RetryLater:
                bad.append(path.name)
        return bad

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9].sqlite"))

    def _settle(self, before_ms: int) -> bool:
        """A part of what is to do; the newest months first, which are looked at most."""
        if self._read_only:
            return False
        left = SETTLE_HOURS
        for name in [path.stem for path in reversed(self._files()) if path.stem not in self._settled]:
            with self._guard(name):
                month = self._month(name, create=False)
                if month is None:
                    continue
                left -= month.count_hours(before_ms, left)
                if left > 0 and not rollup.is_dirty(month.db):
                    self._settled.add(name)
            if left <= 0:
                return True
        return False

    def _months_with(self, site: str, point: str, from_ms: int, to_ms: int) -> Iterator[tuple[_Month, int]]:
        """The months that overlap the range and know the point, in order of time, with its id there."""
        names = split_point(point)
        if names is None or not is_ident(site):
            return
        for path in self._files():
            if _start_of(path.stem) < to_ms and from_ms < _end_of(path.stem):
                with self._guard(path.stem):
                    month = self._month(path.stem, create=False)
                    point_id = month.point_id(site, *names) if month is not None else None
                if month is not None and point_id is not None:
                    yield month, point_id

    @contextmanager
    def _guard(self, name: str) -> Iterator[None]:
        """Sets a month aside that turns out damaged. Raises RetryLater: the next try finds it out of the way."""
        try:
            yield
        except sqlite3.DatabaseError as exc:
            if not _is_damage(exc):
                raise
            if self._read_only:
                self._drop(name)
            else:
                self._set_aside(name)
            raise RetryLater(f"{self.folder / name}.sqlite: {exc}. The gateway sets a damaged month aside.") from exc

    def _month(self, name: str, create: bool = True) -> _Month | None:
        path = self.folder / f"{name}.sqlite"
        month = self._open.get(name)
        if month is not None:
            self._open.move_to_end(name)
            try:
                if path.stat().st_ino == month.inode:
                    return month
            except FileNotFoundError:
                pass
            self._drop(name)
        if not create and not path.exists():
            return None
        while len(self._open) >= MAX_OPEN:
            self._drop(next(iter(self._open)))
        month = self._open[name] = _Month(path, self._read_only)
        return month

    def _set_aside(self, name: str) -> None:
        self._drop(name)
        path = self.folder / f"{name}.sqlite"
        n = 1
        while (to := self.folder / f"{name}{DAMAGED}-{n}").exists():
            n += 1
        path.rename(to)
        wal = path.with_name(path.name + "-wal")
        if wal.exists():
            wal.rename(to.with_name(to.name + ".wal"))
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        log.warning("%s: damaged, set aside as %s. Fill it again from the ledger's inbox.", path, to.name)

    def _drop(self, name: str) -> None:
        month = self._open.pop(name, None)
        if month is not None:
            month.db.close()

    def _close_all(self) -> None:
        for name in list(self._open):
            self._drop(name)


def _is_damage(exc: sqlite3.DatabaseError) -> bool:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _month_of(observed_ms: int) -> tuple[int, int, str]:
    when = datetime.fromtimestamp(observed_ms / 1000, UTC)
    name = f"{when.year:04d}-{when.month:02d}"
    return _start_of(name), _end_of(name), name


def _start_of(name: str) -> int:
    return int(datetime(int(name[:4]), int(name[5:]), 1, tzinfo=UTC).timestamp()) * 1000


def _end_of(name: str) -> int:
    year, month = int(name[:4]), int(name[5:])
    return _start_of(f"{year + month // 12:04d}-{month % 12 + 1:02d}")
