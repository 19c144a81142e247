"""The one writer of the ledger: a thread that owns the only writing connection and does every checkpoint.

SQLite below 3.51.3 can corrupt a WAL file when two connections write or checkpoint at the same time; one writer
that is also the only checkpointer rules that out. A lock on the data folder keeps a second gateway away.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from contract.errors import RetryLater, StartError
from gateway.ledger.upgrade import prepare

T = TypeVar("T")
FILE = "ledger.sqlite"
LOCK = "gateway.lock"


class Store:
    """The ledger, open for writing.

    `async with Store(data_dir) as store` makes the folder and the file when they are absent.

    Raises:
        StartError: another gateway holds the folder, or the file is none of ours or newer than this program.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FILE
        self._data_dir = data_dir
        self._lock_fd: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._writer: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Store:
        # Taken on the loop: it must be held before any thread touches the file, and it never waits.
        self._lock_fd = lock_folder(self._data_dir)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction of the writer thread; durable when this returns.

        Raises:
            RetryLater: disk full, I/O error, locked: nothing of it is counted on, try again after a pause.
        """
        assert self._writer is not None
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._transact, work)

    async def empty_log(self) -> bool:
        """Bring the whole write-ahead log into the file and cut it; False while a reader holds it.

        Raises:
            RetryLater: as `run`.
        """
        assert self._writer is not None
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._empty_log)

    def _empty_log(self) -> bool:
        try:
            connection = self._connection or self._open()
            # Nobody waits for a reader here: alarms are committed by this thread.
            wait_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
            connection.execute("PRAGMA busy_timeout=0")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            connection.execute(f"PRAGMA busy_timeout={wait_ms}")
        except sqlite3.Error as exc:
            self._drop_connection()
            raise RetryLater(f"{self.path}: {exc}. Free space or mend the disk; nothing is lost meanwhile.") from exc
        return not busy

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as exc:
            # After a failed write or fsync nothing in the page cache is to be trusted: start from the file.
            self._drop_connection()
            raise RetryLater(f"{self.path}: {exc}. Free space or mend the disk; nothing is lost meanwhile.") from exc
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        try:
            self._connection = open_ledger(self.path)
        except sqlite3.DatabaseError as exc:
            if isinstance(exc, sqlite3.OperationalError):
                raise
            raise StartError(f"{self.path}: {exc}. Put the file aside and restore the ledger from a backup.") from exc
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    async def _close(self) -> None:
        if self._writer is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._drop_connection)
            self._writer.shutdown()
            self._writer = None
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def lock_folder(data_dir: Path) -> int:
    """Hold the data folder for this process; gives the descriptor to close. Raises StartError naming the holder."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        fd = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        raise StartError(f"{data_dir}: {exc.strerror}. gateway.data_dir must be a folder we may write.") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise StartError(
            f"{data_dir}: got a gateway that runs there already (process {holder}), want one gateway a data folder. "
            "Stop it, or name another gateway.data_dir."
        ) from exc
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def open_ledger(path: Path) -> sqlite3.Connection:
    """The writing connection: WAL, every commit fsynced, schema in place. Raises StartError, sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, cached_statements=256)
    try:
        # EXTRA before the switch to WAL: the switch itself must survive a power cut.
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA journal_size_limit=67108864")
        connection.execute("PRAGMA temp_store=MEMORY")
        prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection
