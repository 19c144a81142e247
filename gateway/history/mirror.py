"""The mirror: drains the ledger's inbox into the history, at the history's own pace.

The inbox is the truth and keeps its rows; the mirror remembers only how far it came. A store that is away costs nothing
but lag, at start as well as later, and is tried again with growing, jittered pauses.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from contract.errors import RetryLater
from gateway.history.base import History, Row

log = logging.getLogger(__name__)
BATCHES = 64
"""Most inbox batches taken at once: at most 4 MiB of wire, a few thousand rows."""
POLL_S = 1.0
"""Without a `wake` the inbox is looked at this often."""
PRUNE_S = 6 * 3600.0
SETTLE_S = 60.0
"""Pause before the history is asked again whether it has something to settle."""
SETTLED_MS = 10 * 60_000
"""What is older rarely changes any more; it may, and is then settled again."""
DAY_MS = 86_400_000


class MirrorSource(Protocol):
    """The side of the ledger the mirror drains."""

    async def pending(self, after_id: int, limit: int) -> list[tuple[int, list[Row]]]:
        """The next `limit` inbox batches with an id above after_id, in order: (id, rows)."""
        ...

    async def cursor(self) -> int:
        """The id up to which everything is in the history; 0 at first."""
        ...

    async def advance(self, inbox_id: int) -> None:
        """Remember, durably, that everything up to inbox_id is in the history."""
        ...


@dataclass(slots=True)
class MirrorCounts:
    """Rows since start; received = passed + refused + pending. errors counts tries that failed."""

    received: int = 0
    passed: int = 0
    refused: int = 0
    pending: int = 0
    errors: int = 0


class BackOff(NamedTuple):
    """Pauses between tries: from first_s, doubling to most_s, each shortened by up to half at random."""

    first_s: float = 0.5
    most_s: float = 30.0

    def pause_s(self, failures: int, rng: random.Random) -> float:
        """The pause after that many failures in a row (1 or more)."""
        whole = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return whole * (0.5 + rng.random() / 2)


class Mirror:
    """Copies inbox to history until cancelled: `async with history: await Mirror(...).run()`.

    Args:
        source: the ledger's side.
        history: an opened history.
        now_ms: wall clock, for retention.
        keep_days: what lies further back is pruned; None: never.
        refused: told of rows the store will never take, beside the count; they stay in the inbox.
    """

    def __init__(
        self,
        source: MirrorSource,
        history: History,
        now_ms: Callable[[], int],
        *,
        keep_days: int | None = None,
        refused: Callable[[Sequence[Row], str], None] | None = None,
        back_off: BackOff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._source = source
        self._history = history
        self._now_ms = now_ms
        self._keep_days = keep_days
        self._tell_refused = refused
        self._back_off = back_off or BackOff()
        self._monotonic = monotonic
        self._rng = rng or random.Random()  # noqa: S311 # jitter, not a secret
        self._wake = asyncio.Event()
        self._failures = 0
        self._behind_since: float | None = None
        self._refusal_said = False
        self._prune_at: float | None = None
        self._settle_at: float | None = None
        self.counts = MirrorCounts()
        self.mirrored_id = 0

    def wake(self) -> None:
        """Tell that the inbox has something new; cheap, call it after every commit."""
        self._wake.set()

    @property
    def away(self) -> bool:
        """Whether the store failed at the last try."""
        return self._failures > 0

    @property
    def lag_s(self) -> float:
        """Seconds since the history last held everything the inbox had; 0 while it does."""
        return 0.0 if self._behind_since is None else max(0.0, self._monotonic() - self._behind_since)

    async def run(self) -> None:
        """Mirror until cancelled. What the store cannot do now is tried again for ever."""
        cursor: int | None = None
        while True:
            try:
                if cursor is None:
                    cursor = await self._source.cursor()
                cursor, more = await self._step(cursor)
            except RetryLater as exc:
                self._note_away(exc)
                # A wake does not shorten this: the store is no better for more waiting rows.
                await asyncio.sleep(self._back_off.pause_s(self._failures, self._rng))
                continue
            self._note_back()
            if not more:
                await self._wait()

    async def _step(self, cursor: int) -> tuple[int, bool]:
        """Mirror what waits after the cursor; the new cursor, and whether more may wait."""
        self._wake.clear()
        batches = await self._source.pending(cursor, BATCHES)
        if not batches:
            self._behind_since = None
            await self._prune_when_due()
            return cursor, await self._settle()
        if self._behind_since is None:
            self._behind_since = self._monotonic()
        rows = [row for _, batch in batches for row in batch]
        self.counts.pending = len(rows)
        refused: list[tuple[Sequence[Row], str]] = []
        # Counted only once all is through: after a RetryLater all of it is written, and refused, again.
        await self._history.write(rows, lambda bad, why: refused.append((bad, why)))
        last = batches[-1][0]
        await self._source.advance(last)
        self._count(rows, refused)
        self.mirrored_id = last
        return last, True

    def _count(self, rows: list[Row], refused: list[tuple[Sequence[Row], str]]) -> None:
        bad = sum(len(each) for each, _ in refused)
        counts = self.counts
        counts.received += len(rows)
        counts.passed += len(rows) - bad
        counts.refused += bad
        counts.pending = 0
        for each, why in refused:
            if self._tell_refused is not None:
                self._tell_refused(each, why)
            if not self._refusal_said:
                first = each[0]
                log.warning(
                    "history: %s/%s/%s at %d was refused: %s. It stays in the ledger and among the refused messages.",
                    first.site,
                    first.device,
                    first.point,
                    first.observed_ms,
                    why,
                )
            self._refusal_said = True

    async def _prune_when_due(self) -> None:
        if self._keep_days is None or (self._prune_at is not None and self._monotonic() < self._prune_at):
            return
        await self._history.prune(self._now_ms() - self._keep_days * DAY_MS)
        self._prune_at = self._monotonic() + PRUNE_S

    async def _settle(self) -> bool:
        """Use the pause; True while more is to do."""
        if self._settle_at is not None and self._monotonic() < self._settle_at:
            return False
        more = await self._history.settle(self._now_ms() - SETTLED_MS)
        self._settle_at = None if more else self._monotonic() + SETTLE_S
        return more

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return

    def _note_away(self, exc: RetryLater) -> None:
        self._failures += 1
        self.counts.errors += 1
        if self._behind_since is None:
            self._behind_since = self._monotonic()
        if self._failures == 1:
            log.warning("history: away: %s Readings wait in the ledger.", exc)

    def _note_back(self) -> None:
        if self._failures:
            log.info("history: back after %d tries.", self._failures)
            self._failures = 0
