"""The outbox for the rest of the agent: async, one writer thread, appends durable before they return.

Appends that wait while a commit is under way go into the next one together (group commit). An append that the disk
refuses raises `RetryLater` and has had no effect; the caller keeps the readings (see recorder.py).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from contract.errors import RetryLater, StartError
from contract.messages import LANES, Lane, Reading
from edge_agents.clock import Stamp
from edge_agents.outbox_file import OutboxFile
from edge_agents.outbox_row import Fill, Held, Loss, Row
from edge_agents.outside import random_name
from edge_agents.salvage import replace_damaged
from edge_agents.settings import OutboxSettings

log = logging.getLogger(__name__)
T = TypeVar("T")
FILE = "outbox.db"
THIN_EVERY = 50
"""Appends between two looks at the budget."""


class _Append(NamedTuple):
    lane: Lane
    readings: list[Reading]
    keep: Mapping[str, bytes]
    loss: Loss | None
    done: asyncio.Future[None]


class Outbox:
    """Sealed batches on disk until the gateway's receipt.

    Args:
        data_dir: folder of the file.
        settings: limits.
        now_ms: the agent's clock.
        stamp: of that clock; by default it is not known.
        new_name: gives the name of a new epoch.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: OutboxSettings,
        now_ms: Callable[[], int],
        stamp: Stamp = Stamp(),  # noqa: B008  # immutable
        new_name: Callable[[], str] = random_name,
    ) -> None:
        self._path = data_dir / FILE
        self._settings = settings
        self._now_ms = now_ms
        self._new_file = functools.partial(OutboxFile, self._path, now_ms, stamp, new_name)
        self._file = self._new_file()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[_Append] = []
        self._flush: asyncio.Task[None] | None = None
        self.commits = 0
        """Durable transactions of appends since the start."""
        self.thinned = 0
        """Readings given up for the budget since the start."""

    async def __aenter__(self) -> Outbox:
        self._thread = ThreadPoolExecutor(1, "outbox")
        try:
            await self._in_thread(self._open)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._flush is not None:
            await asyncio.wait([self._flush], timeout=5)
        assert self._thread is not None
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._file.close())
        self._thread.shutdown(wait=False)

    @property
    def epoch(self) -> str:
        """The name of this life of the outbox."""
        return self._file.epoch

    @property
    def damaged_rows(self) -> int:
        """Rows found damaged since the start; each went on as a gap."""
        return self._file.damaged_rows

    async def append(
        self, lane: Lane, readings: list[Reading], keep: Mapping[str, bytes], loss: Loss | None = None
    ) -> None:
        """Seal readings into batches and keep state with them; durable when this returns.

        Args:
            lane: which lane.
            readings: in the order they shall have.
            keep: state that must be on disk exactly when the readings are.
            loss: readings that were given up before this call, to be recorded with it.

        Raises:
            RetryLater: the disk took nothing of it.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Append(lane, readings, keep, loss, done))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_waiting(), name="outbox.flush")
        await done

    async def peek(self, lane: Lane, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows of a lane beyond seq `after`. Raises RetryLater."""
        return await self._call(lambda file: file.peek(lane, after, limit))

    async def ahead(self, lane: Lane, after: int, limit: int) -> tuple[list[Row], int]:
        """As `peek`, with the lowest seq the lane still holds. Raises RetryLater."""
        if self.newest(lane) == after:
            return [], 0

        def look(file: OutboxFile) -> tuple[list[Row], int]:
            rows = file.peek(lane, after, limit)
            return rows, file.held(lane).oldest if rows else 0

        return await self._call(look)

    def newest(self, lane: Lane) -> int | None:
        """The highest seq ever sealed, of a commit under way too; None: the file has to be asked."""
        return self._file.known_newest(lane)

    async def acknowledge(self, lane: Lane, seq: int) -> int:
        """Delete what the gateway has committed; returns the rows deleted. Raises RetryLater."""
        return await self._call(lambda file: file.acknowledge(lane, seq))

    async def set_aside(self, lane: Lane, seq: int, reason: str) -> bool:
        """Put a gap in place of a batch the gateway refused. Raises RetryLater."""
        return await self._call(lambda file: file.set_aside(lane, seq, reason))

    async def held(self) -> dict[Lane, Held]:
        """What each lane holds. Raises RetryLater."""
        return await self._call(lambda file: {lane: file.held(lane) for lane in LANES})

    async def fill(self) -> Fill:
        """What the lanes hold and the bytes of the file in use, at one moment. Raises RetryLater."""
        return await self._call(_fill)

    async def kept(self) -> dict[str, bytes]:
        """All state kept with the readings. Raises RetryLater."""
        return await self._call(lambda file: file.kept())

    async def forget(self, keys: Iterable[str]) -> None:
        """Delete kept state. Raises RetryLater."""
        await self._call(lambda file: file.forget(list(keys)))

    async def limit_pages(self, pages: int) -> None:
        """Let the file grow to so many pages at most; never below what it has. Raises RetryLater."""
        await self._call(lambda file: file.limit_pages(pages))

    async def begin_epoch(self) -> None:
        """Rename everything held under a new epoch. Raises RetryLater."""
        await self._call(lambda file: file.begin_epoch())

    async def keep_budget(self) -> Fill:
        """Give telemetry up until file and age are within the budget; tells what is held then. Raises RetryLater."""
        before_ms = self._now_ms() - int(self._settings.max_age_days * 86_400_000)

        def keep(file: OutboxFile) -> tuple[int, Fill]:
            return file.thin(self._settings.max_bytes, before_ms), _fill(file)

        while True:
            lost, fill = await self._call(keep)
            if not lost:
                return fill
            self.thinned += lost

    def _open(self) -> None:
        try:
            self._file.open()
        except sqlite3.OperationalError as exc:
            raise StartError(
                f"{self._path}: {exc}. Give the agent a folder it may write, on a disk with space."
            ) from exc
        except sqlite3.DatabaseError:
            self._replace_damaged()

    def _replace_damaged(self) -> None:
        self._file.close()
        self._file = replace_damaged(
            self._path,
            self._new_file,
            self._now_ms(),
            self._settings.batch_bytes,
        )

    def _work(self, work: Callable[[OutboxFile], T]) -> T:
        """In the writer's thread: a file found damaged is replaced before the caller is told to try again."""
        try:
            return work(self._file)
        except sqlite3.DatabaseError as exc:
            if type(exc) is sqlite3.DatabaseError:  # its subclasses say full, locked, I/O: the file itself is sound
                self._replace_damaged()
            raise

    async def _flush_waiting(self) -> None:
        while self._waiting:
            work, self._waiting = self._waiting, []
            try:
                await self._call(functools.partial(self._append, [entry[:4] for entry in work]))
            except RetryLater as exc:
                for entry in work:
                    if not entry.done.done():
                        entry.done.set_exception(RetryLater(str(exc)))
            else:
                for entry in work:
                    if not entry.done.done():
                        entry.done.set_result(None)
            self.commits += 1
            if self.commits % THIN_EVERY == 0:
                try:
                    await self.keep_budget()
                except RetryLater as exc:
                    log.debug("budget: %s", exc)

    def _append(
        self, work: list[tuple[Lane, list[Reading], Mapping[str, bytes], Loss | None]], file: OutboxFile
    ) -> None:
        file.append(work, self._settings.batch_bytes)

    async def _call(self, work: Callable[[OutboxFile], T]) -> T:
        return await self._in_thread(lambda: self._work(work))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        assert self._thread is not None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as exc:
            raise RetryLater(f"{self._path}: {exc}") from exc


def _fill(file: OutboxFile) -> Fill:
    return Fill({lane: file.held(lane) for lane in LANES}, file.used_bytes())
