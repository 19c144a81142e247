"""From reports to sealed batches: alarms at once, telemetry gathered for a moment; bounded memory when the disk fails.

Lines hand readings over without waiting. One task writes: whenever alarms wait they go first and alone. While the
disk takes nothing, alarms stay here (the reserve) in order and telemetry beyond its bound is given up, oldest first;
what was given up is recorded with the next batch of that lane.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from contract.errors import RetryLater
from contract.messages import LANES, Lane, Reading
from edge_agents.outbox import Outbox
from edge_agents.outbox_row import Loss
from edge_agents.reporting import Reported, Reports
from edge_agents.waiting import wait

log = logging.getLogger(__name__)
KEPT = "point/"
"""Prefix of the kept state of a point."""
TELEMETRY_BOUND = 20_000
"""Telemetry readings held in memory while the disk takes nothing; beyond it the oldest are given up."""
RETRY_S = 1.0
MAX_WRITE = 5_000
"""Readings of one append."""


class Recorder:
    """Gathers readings and appends them to the outbox.

    Args:
        outbox: where to.
        seal_ms: how long telemetry is gathered.
        reserve_edges: alarm readings held while the disk takes nothing; beyond it the oldest are given up and recorded.
        sealed: called after each durable append with its lane.
        monotonic: seconds.
    """

    def __init__(
        self,
        outbox: Outbox,
        seal_ms: int,
        reserve_edges: int,
        sealed: Callable[[Lane], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._seal_s = seal_ms / 1000
        self._bounds: dict[Lane, int] = {"alarm": reserve_edges, "telemetry": TELEMETRY_BOUND}
        self._waiting: dict[Lane, deque[Reading]] = {"alarm": deque(), "telemetry": deque()}
        self._keep: dict[str, bytes] = {}
        self._lost: dict[Lane, Loss | None] = {"alarm": None, "telemetry": None}
        self._sealed = sealed
        self._monotonic = monotonic
        self._wake = asyncio.Event()
        self._is_idle = False
        """Nothing waits and no timer runs: the next report, whatever it is, starts one."""
        # Readings ever taken and ever done with, by lane: what was taken before a moment is on disk once the second
        # has reached what the first was then.
        self._taken: dict[Lane, int] = {"alarm": 0, "telemetry": 0}
        self._done: dict[Lane, int] = {"alarm": 0, "telemetry": 0}
        self._progress = asyncio.Event()
        self.fault: str | None = None
        """Why the disk takes nothing; None while all is well."""

    def record(self, reports: Reports) -> None:
        """Take readings; never waits."""
        for lane, readings in (("alarm", reports.alarm), ("telemetry", reports.telemetry)):
            if readings:
                self._take(lane, readings)  # type: ignore[arg-type]  # mypy widens the tuple's literals to str
        self._keep.update(reports.keep)
        if reports.alarm or (self._is_idle and not self._has_nothing()):
            self._wake.set()

    @property
    def waiting(self) -> int:
        """Readings not yet on disk."""
        return sum(len(queue) for queue in self._waiting.values())

    @property
    def alarms_waiting(self) -> int:
        """Alarm readings not yet on disk; while there are some, nothing that depends on them is acknowledged."""
        return len(self._waiting["alarm"])

    async def durable(self, lanes: Iterable[Lane] = LANES) -> None:
        """Wait until everything recorded so far on these lanes is on disk; for ever while the disk takes nothing."""
        marks = {lane: self._taken[lane] for lane in lanes}
        while self.fault is not None or any(self._done[lane] < mark for lane, mark in marks.items()):
            progress = self._progress
            await progress.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        began_s = self._monotonic()
        seal_at_s = began_s + self._seal_s
        while True:
            if self._has_nothing():
                self._is_idle = True
                await self._wake.wait()
                self._is_idle = False
                if not self._waiting["alarm"]:
                    self._wake.clear()
                seal_at_s = max(seal_at_s, self._next_seal_s(began_s))
            await wait(self._wake, RETRY_S if self.fault else seal_at_s - self._monotonic())
            self._wake.clear()
            if not await self._write("alarm"):
                await asyncio.sleep(RETRY_S)
                continue
            if self._monotonic() >= seal_at_s:
                seal_at_s = self._next_seal_s(began_s)
                await self._write("telemetry")

    def _has_nothing(self) -> bool:
        return not (self.waiting or self._keep or self.fault or any(self._lost.values()))

    def _next_seal_s(self, began_s: float) -> float:
        """The next of moments `seal_s` apart: what lines read at one time shares a batch, whatever came before."""
        return began_s + ((self._monotonic() - began_s) // self._seal_s + 1) * self._seal_s

    async def flush(self) -> None:
        """Write what waits, once; used at the end."""
        await self._write("alarm")
        await self._write("telemetry")

    async def _write(self, lane: Lane) -> bool:
        queue = self._waiting[lane]
        while queue or self._lost[lane] or (lane == "telemetry" and self._keep):
            readings = [queue[n] for n in range(min(len(queue), MAX_WRITE))]
            loss, self._lost[lane] = self._lost[lane], None
            keep = {}
            if lane == "alarm":
                keep = {
                    KEPT + r.point: msgspec.json.encode(Reported(r.value, r.quality, r.observed_ms)) for r in readings
                }
            handed: dict[str, bytes] = {}
            if lane == "telemetry" and len(readings) == len(queue) and not self._waiting["alarm"]:
                # State handed over with readings says that these are taken: it must not be on disk before them.
                handed, self._keep = self._keep, {}
                keep = handed
            append = asyncio.create_task(self._outbox.append(lane, readings, keep, loss), name=f"recorder.{lane}")
            try:
                await asyncio.shield(append)
            except RetryLater as exc:
                self._lost[lane] = _add(loss, self._lost[lane])
                self._keep = handed | self._keep
                if self.fault is None:
                    log.warning("outbox: %s. Alarms are kept in memory; free some space.", exc)
                self.fault = str(exc)
                return False
            except asyncio.CancelledError:
                # The append goes on; only its end tells whether these readings still wait.
                await asyncio.wait([append], timeout=2)
                if append.done() and not append.cancelled() and append.exception() is None:
                    self._drop_written(lane, readings)
                else:
                    self._lost[lane] = _add(loss, self._lost[lane])
                    self._keep = handed | self._keep
                raise
            # Readings given up while the append was under way came off the front: they are on disk now.
            self._drop_written(lane, readings)
            if self.fault is not None:
                log.info("outbox: the disk takes readings again")
                self.fault = None
                self._advance()
            self._sealed(lane)
            if lane == "telemetry" and self._waiting["alarm"]:
                await self._write("alarm")
        return True

    def _drop_written(self, lane: Lane, readings: list[Reading]) -> None:
        queue = self._waiting[lane]
        for reading in readings:
            if not queue or queue[0] is not reading:
                break
            queue.popleft()
            self._done[lane] += 1
        self._advance()

    def _advance(self) -> None:
        """Wake those who wait for the disk."""
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    def _take(self, lane: Lane, readings: list[Reading]) -> None:
        queue = self._waiting[lane]
        queue.extend(readings)
        self._taken[lane] += len(readings)
        while len(queue) > self._bounds[lane]:
            gone = queue.popleft()
            self._done[lane] += 1
            self._lost[lane] = _add(self._lost[lane], Loss(1, gone.observed_ms, gone.observed_ms, "disk"))


def _add(first: Loss | None, second: Loss | None) -> Loss | None:
    if first is None or second is None:
        return first or second
    return Loss(
        first.readings + second.readings,
        min(first.first_ms, second.first_ms),
        max(first.last_ms, second.last_ms),
        second.reason,
    )
