"""Retention: what the ledger no longer needs. Only the inbox and dead sessions; alarms and audit rows stay."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from contract.errors import RetryLater
from gateway.ledger.changes import LAST_VALUE_INBOX
from gateway.ledger.store import Store

EVERY_S = 60.0
CHUNK = 500
"""Rows in one transaction, so that a commit of readings never waits long for a trim."""
_log = logging.getLogger(__name__)


class Retention:
    """Trims the inbox of what every mirror has and `keep_ms` has passed. Rows a mirror lacks always stay."""

    def __init__(self, store: Store, keep_ms: int, now_ms: Callable[[], int], *, every_s: float = EVERY_S) -> None:
        self._store = store
        self._keep_ms = keep_ms
        self._now_ms = now_ms
        self._every_s = every_s
        self.trimmed = 0

    async def run(self) -> None:
        """Trim now and then until cancelled."""
        while True:
            try:
                trimmed = CHUNK
                while trimmed == CHUNK:
                    trimmed = await self.trim()
            except RetryLater as exc:
                _log.debug("trim left for later: %s", exc)  # the pipeline says aloud when the ledger is in trouble
            await asyncio.sleep(self._every_s)

    async def trim(self) -> int:
        """Delete one chunk; gives how many rows went. Raises RetryLater."""
        now_ms = self._now_ms()
        count = await self._store.run(lambda connection: _trim(connection, now_ms - self._keep_ms, now_ms))
        self.trimmed += count
        return count


def _trim(connection: sqlite3.Connection, before_ms: int, now_ms: int) -> int:
    connection.execute("DELETE FROM session WHERE expires_ms < ?", (now_ms,))
    mirrored = connection.execute("SELECT min(inbox_id) FROM mirror").fetchone()[0]
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (LAST_VALUE_INBOX,)).fetchone()
    if mirrored is None or row is None:
        return 0
    # Rows after the checkpoint of the last values are replayed at the next start.
    upto = min(mirrored, int(row[0]))
    return connection.execute(
        "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE id <= ? AND received_ms < ? ORDER BY id LIMIT ?)",
        (upto, before_ms, CHUNK),
    ).rowcount
