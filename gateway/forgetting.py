"""Forgetting: who left a station long enough ago is erased by the gateway itself, as an administrator would do it.

Each erasure is a command through the pipeline: audited by the person's number, gone from every page of the ledger's
files (ledger/personal.py). What the public wrote into the report form goes when its hazard is filed (work/hazards.py).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

from contract.errors import RetryLater
from gateway.control.client import ControlError
from gateway.control.protocol import Ask
from gateway.ledger.entries import GATEWAY
from gateway.ledger.store import Store

EVERY_S = 600.0
SURE_S = 3600.0
"""Nobody is erased before their time was over for so long: a clock that jumped ahead is put right by then."""
AT_ONCE = 200
"""Erasures of one look; further ones wait for the next."""
DAY_MS = 86_400_000
_log = logging.getLogger(__name__)


class Forgetting:
    """Erases who left `keep_days` ago by the gateway's own clock. The store is only read here.

    Args:
        ask: does a command; raises ControlError when it is refused.
        monotonic: s.
    """

    def __init__(
        self,
        store: Store,
        ask: Callable[[Ask], Awaitable[Any]],
        keep_days: float,
        now_ms: Callable[[], int],
        *,
        every_s: float = EVERY_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._ask = ask
        self._keep_ms = int(keep_days * DAY_MS)
        self._now_ms = now_ms
        self._every_s = every_s
        self._monotonic = monotonic
        self._over: dict[int, float] = {}
        """Whose time is over, and since when that was seen."""

    async def run(self) -> None:
        """Look now and then until cancelled."""
        while True:
            try:
                await self.look()
            except (RetryLater, ControlError) as exc:
                _log.debug("personal data is erased later: %s", exc)  # the pipeline says aloud what is wrong
            await asyncio.sleep(self._every_s)

    async def look(self) -> list[int]:
        """Erase whose time was over long enough; gives their numbers. Raises RetryLater, ControlError."""
        until_ms, now_s = self._now_ms() - self._keep_ms, self._monotonic()
        found = await self._store.run(lambda connection: _left_before(connection, until_ms))
        self._over = {number: self._over.get(number, now_s) for number in found}
        due = [number for number, since_s in self._over.items() if now_s - since_s >= SURE_S]
        for number in due:
            try:
                await self._ask(Ask(id=0, op="person.erase", actor=GATEWAY, args={"id": number}))
            except ControlError as exc:
                if exc.code == "unavailable":
                    raise
                _log.debug("person %d is not erased: %s", number, exc)  # somebody came back just now
        return due


def _left_before(connection: sqlite3.Connection, until_ms: int) -> list[int]:
    rows = connection.execute(
        "SELECT id FROM entry WHERE kind = 'person' AND state = 'left' AND until_ms <= ? ORDER BY id LIMIT ?",
        (until_ms, AT_ONCE),
    )
    return [row[0] for row in rows]
