"""The disk of a simulated process: real SQLite files, and what of them is there after a kill or a power cut.

In WAL mode a commit appends frames to the log and, with synchronous=FULL, waits for them to reach the disk. So

    kill -9      the files as they stand: what was written is in the kernel's hands
    power cut    the log cut at the end of the last commit that was waited for, and of what came after it any part:
                 nothing, all, or torn at some byte (SQLite's own checksums must find that out)

A connection with less than FULL has waited for nothing: after a power cut its files are what they were when it was
opened. The checkpoint of a FULL connection waits for the log first, so the main file never runs ahead of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from asyncio import events
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.world.loop import ProcessLoop, Timeline

FULL = 2
"""`PRAGMA synchronous` that waits for each commit."""


@dataclass
class _Job:
    loop: ProcessLoop
    work: Callable[[], Any]
    done: asyncio.Future[Any]


@dataclass
class Disk:
    """The folder of one process, whatever runs on it.

    Args:
        file: the database in it.
        connection: gives the process's open connection to it, None while there is none.
        each: called after each piece of work that was done, before anybody is told: (is durable).
    """

    folder: Path
    file: str
    timeline: Timeline
    random: Random
    connection: Callable[[], sqlite3.Connection | None] = lambda: None
    each: Callable[[bool], None] = lambda _: None
    settled: Callable[[], object] = lambda: None
    """Called when a piece of work was told to who waits for it."""
    effect: Callable[[str], bool] = lambda _: False
    """Told of each effect before it is done (`work`) and before it is told (`told`); True: the process was killed."""
    fault: str | None = None
    """What every piece of work fails with; None: nothing."""
    slow: float = 1.0
    jobs: int = 0
    in_doubt: tuple[int, int] | None = None
    """Sizes of the log before and after work whose result nobody was told yet."""
    _durable: int = 0
    _unsynced: dict[str, bytes] | None = None
    _queue: list[_Job] = field(default_factory=list)
    _busy: bool = False
    _log: str = ""
    _changes: int = -1
    _level: int = -1
    _connected: sqlite3.Connection | None = None

    def __post_init__(self) -> None:
        self._log = str(self.folder / f"{self.file}-wal")

    _life: int = 0

    @property
    def path(self) -> Path:
        return self.folder / self.file

    def log_bytes(self) -> int:
        """Size of the log now."""
        try:
            return os.stat(self._log).st_size  # noqa: PTH116  # many thousand times a run
        except OSError:
            return 0

    # --- work ----------------------------------------------------------------------------------------------------

    def submit(self, loop: ProcessLoop, work: Callable[[], Any], done: asyncio.Future[Any]) -> None:
        """What the product gives to a thread: done one after the other, each a moment later."""
        if loop.dead:  # no effect any more: the files are put back afterwards
            result, failed = _run(work)
            _settle(done, result, failed)
            return
        self._queue.append(_Job(loop, work, done))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        if not self._queue:
            self._busy = False
            return
        self._busy = True
        job, life = self._queue.pop(0), self._life
        wait_s = self.random.uniform(0.0001, 0.001) * self.slow
        self.timeline.after(wait_s, lambda: self._do(job) if life == self._life else None)

    def _do(self, job: _Job) -> None:
        if self.effect("work"):
            return
        self.jobs += 1
        if self.fault is None or self.connection() is None:
            result, failed = _run(job.work)
        else:
            result, failed = self._run_stopped(job.work)
        self._note()
        if self.effect("told"):
            return
        life, wait_s = self._life, self.random.uniform(0.00005, 0.0005) * self.slow
        self.timeline.after(wait_s, lambda: self._tell(job, result, failed) if life == self._life else None)

    def _run_stopped(self, work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        """The disk fails at the beginning or in the middle of the work: SQLite is stopped there and must undo it."""
        connection = self.connection()
        assert connection is not None
        left, every = self.random.choice(((1, 1), (self.random.randint(1, 5), 10)))

        def stop() -> int:
            nonlocal left
            left -= 1
            return int(left == 0)

        connection.set_progress_handler(stop, every)
        try:
            return _run(work)
        finally:
            with contextlib.suppress(sqlite3.ProgrammingError):  # closed by whom it failed, as it should be
                connection.set_progress_handler(None, 0)

    def _tell(self, job: _Job, result: Any, failed: BaseException | None) -> None:
        self.in_doubt = None
        self.settled()
        _settle(job.done, result, failed)
        self._next()

    def _note(self) -> None:
        """What is durable now."""
        connection = self.connection()
        if connection is None:
            return
        if connection is not self._connected:
            self._connected, self._changes, self._unsynced = connection, -1, None
            self._level = connection.execute("PRAGMA synchronous").fetchone()[0]
            self._durable = self.log_bytes()
        if connection.total_changes == self._changes:
            return
        self._changes = connection.total_changes
        if self._level >= FULL:
            before, self._durable = self._durable, self.log_bytes()
            self.in_doubt = (before, self._durable) if self._durable > before else None
        elif self._unsynced is None:
            self._unsynced = self.image()
        self.each(self._level >= FULL)

    # --- the end -------------------------------------------------------------------------------------------------

    def image(self) -> dict[str, bytes]:
        """The files as they stand."""
        names = (self.file, f"{self.file}-wal", f"{self.file}-journal")
        return {name: (self.folder / name).read_bytes() for name in names if (self.folder / name).exists()}

    def image_after_power_cut(self) -> dict[str, bytes]:
        """The files as they are found when the power is back."""
        if self._unsynced is not None:
            return self._unsynced
        found = self.image()
        name = f"{self.file}-wal"
        if name in found and self.in_doubt is not None:
            before, after = self.in_doubt
            # The commit was under way: nobody was told, so anything from nothing to all of it may be there.
            found[name] = found[name][: self.random.choice((before, after, self.random.randint(before, after)))]
        return found

    def put_back(self, found: dict[str, bytes]) -> None:
        """The next process finds these files."""
        for path in self.folder.glob(f"{self.file}*"):
            path.unlink()
        for name, data in found.items():
            (self.folder / name).write_bytes(data)
        self._queue.clear()
        self._life += 1
        self._busy, self.in_doubt, self._unsynced, self._connected = False, None, None, None

    def remove(self) -> None:
        """Throw everything away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _run(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """As in a thread: no loop runs there."""
    before = events._get_running_loop()
    events._set_running_loop(None)
    try:
        return work(), None
    except BaseException as exc:  # noqa: BLE001  # a thread hands every exception to who waits
        return None, exc
    finally:
        events._set_running_loop(before)


def _settle(done: asyncio.Future[Any], result: Any, failed: BaseException | None) -> None:
    if done.done():
        return
    if failed is None:
        done.set_result(result)
    else:
        done.set_exception(failed)
