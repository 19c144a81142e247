"""The inbox as the history mirror drains it: read-only in a thread of its own; the cursor is written by the writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gateway.history.base import Row
from gateway.ingest.clock import corrected
from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import InboxRow
from gateway.ledger.store import Store


class InboxSource:
    """Implements gateway.history.mirror.MirrorSource on the ledger.

    Args:
        name: of the mirror; each has a cursor of its own.
        damaged: told of an inbox row whose checksum does not fit; its readings are left out.
    """

    def __init__(self, store: Store, name: str, damaged: Callable[[int], None]) -> None:
        self._store = store
        self._name = name
        self._damaged = damaged
        self._reader = LedgerReader(store.path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inbox-reader")

    async def __aenter__(self) -> InboxSource:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._reader.close)
        self._thread.shutdown()

    async def pending(self, after_id: int, limit: int) -> list[tuple[int, list[Row]]]:
        """The next batches after an inbox id. Raises RetryLater."""
        loop = asyncio.get_running_loop()
        batches, damaged = await loop.run_in_executor(self._thread, self._pending, after_id, limit)
        for row_id in damaged:
            self._damaged(row_id)
        return batches

    async def cursor(self) -> int:
        """How far this mirror has come. Raises RetryLater."""
        loop = asyncio.get_running_loop()
        mirrored = await loop.run_in_executor(self._thread, self._reader.mirrored)
        return mirrored.get(self._name, 0)

    async def advance(self, inbox_id: int) -> None:
        """Remember that everything up to inbox_id is in the history. Raises RetryLater."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO mirror VALUES (?, ?)", (self._name, inbox_id))

        await self._store.run(write)

    def _pending(self, after_id: int, limit: int) -> tuple[list[tuple[int, list[Row]]], list[int]]:
        batches, damaged = [], []
        for row in self._reader.inbox(after_id, limit):
            batches.append((row.id, _rows(row)))
            if not row.intact:
                damaged.append(row.id)
        return batches, damaged


def _rows(row: InboxRow) -> list[Row]:
    """At the times on the gateway's clock: what the history holds, charts show and exports give."""
    rows = []
    for reading in corrected(row.readings, row.correction_ms):
        device, _, point = reading.point.partition("/")
        rows.append(Row(row.site, device, point, reading.observed_ms, reading.value, reading.quality))
    return rows
