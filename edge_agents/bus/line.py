"""The owner of one Modbus line: opens it, polls by the schedule, turns answers into reports.

An alarm edge is reported only after a second read of the same block says the same; a CRC-16 lets one random frame in
65,536 through, and a contact may bounce.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from contract import quality as q
from contract.errors import DeviceError, RetryLater
from edge_agents.bus.modbus import Port
from edge_agents.drivers.modbus import ReadGroup, ReadPlan, decode_group
from edge_agents.reporting import DeviceReport, Observation, Reports
from edge_agents.schedule import ALARM, REST, Job, LineSchedule

log = logging.getLogger(__name__)
BACKOFF_S = (0.2, 30.0)
DOWN_AFTER = 3
"""Failed attempts to open after which the devices' points are unknown:line."""
SILENT_ERRORS = ("no_answer", "late_answer", "bad_answer", "busy", "line")
"""Causes that leave a device without an answer; an exception response is an answer."""


@dataclass(slots=True)
class PolledDevice:
    """One device of a line."""

    id: str
    unit_id: int
    poll_s: float
    plan: ReadPlan
    word_order: str
    report: DeviceReport


@dataclass(slots=True)
class LineCounters:
    """What happened on a line since the start."""

    reads: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    disagreements: int = 0
    opened: int = 0

    def count(self, cause: str) -> None:
        """One more error of this cause."""
        self.errors[cause] = self.errors.get(cause, 0) + 1


class ModbusLine:
    """Polls the devices of one line for ever.

    Args:
        line_id: its name.
        devices: what hangs on it.
        new_port: makes an unopened connection; a fresh one for each attempt.
        record: takes reports; never waits.
        now_ms: wall clock.
        monotonic: seconds.
    """

    def __init__(
        self,
        line_id: str,
        devices: list[PolledDevice],
        new_port: Callable[[], Port],
        record: Callable[[Reports], None],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = line_id
        self._devices = devices
        self._new_port = new_port
        self._record = record
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._wake = asyncio.Event()
        self._schedule = LineSchedule(
            [device.poll_s for device in devices],
            [[ALARM if group.is_alarm else REST for group in device.plan.groups] for device in devices],
            monotonic(),
        )
        self.counters = LineCounters()
        self.is_open = False

    def request(self, device_id: str | None) -> None:
        """Read this device (None: all of the line) before everything else."""
        for number, device in enumerate(self._devices):
            if device_id is None or device.id == device_id:
                self._schedule.request(number)
        self._wake.set()

    def status(self) -> dict[str, object]:
        """Counters for the status file."""
        counters = self.counters
        return {
            "open": self.is_open,
            "opened": counters.opened,
            "reads": counters.reads,
            "errors": dict(counters.errors),
            "disagreements": counters.disagreements,
        }

    async def run(self) -> None:
        """Poll until cancelled."""
        failures, pause_s = 0, BACKOFF_S[0]
        while True:
            port = self._new_port()
            try:
                await port.open()
                if failures >= DOWN_AFTER:
                    log.info("line %s: open again", self.id)
                failures, pause_s, self.is_open = 0, BACKOFF_S[0], True
                self.counters.opened += 1
                self._schedule.revive(self._monotonic())
                await self._poll(port)
            except RetryLater as exc:
                failures += 1
                self.counters.count("line")
                if failures == DOWN_AFTER:
                    log.warning("%s", exc)
                if failures >= DOWN_AFTER:
                    self._mark_down()
            finally:
                self.is_open = False
                port.close()
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.0))  # noqa: S311  # jitter, no secret
            pause_s = min(pause_s * 2, BACKOFF_S[1])

    async def _poll(self, port: Port) -> None:
        """Poll until the connection is lost."""
        while port.is_open:
            job, wake_s = self._schedule.next_job(self._monotonic())
            if job is None:
                self._wake.clear()
                try:
                    async with asyncio.timeout(max(0.0, min(wake_s - self._monotonic(), 1.0))):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                continue
            await self._do(port, job)

    async def _do(self, port: Port, job: Job) -> None:
        device = self._devices[job.device]
        group = device.plan.groups[job.group]
        began_s = self._monotonic()
        try:
            seen, now_ms = await self._read(port, device, group)
            edges = device.report.edges(seen)
            again = False
            if edges:
                seen, again = await self._confirm(port, device, group, seen, edges)
        except DeviceError as exc:
            self.counters.count(exc.cause)
            now_s = self._monotonic()
            if exc.cause in SILENT_ERRORS:
                if exc.cause != "line":
                    self._schedule.missed(job, now_s, now_s - began_s)
                    self._record(device.report.missed(self._now_ms()))
                return
            seen = [Observation(read.at, None, q.bad(exc.cause)) for read in group.points]
            now_ms, again = self._now_ms(), False
        self._record(device.report.answered(seen, now_ms))
        self._schedule.answered(job, self._monotonic())
        if again:
            self._schedule.repeat(job, self._monotonic())

    async def _read(self, port: Port, device: PolledDevice, group: ReadGroup) -> tuple[list[Observation], int]:
        registers: dict[int, int] = {}
        for block in group.blocks:
            words = await port.read(device.unit_id, block, device.plan.answer_s)
            self.counters.reads += 1
            registers.update(zip(range(block.address, block.address + block.size), words, strict=True))
        decoded = decode_group(group, registers, device.word_order)
        return [Observation(read.at, *result) for read, result in decoded], self._now_ms()

    async def _confirm(
        self, port: Port, device: PolledDevice, group: ReadGroup, first: list[Observation], edges: set[int]
    ) -> tuple[list[Observation], bool]:
        """A second read; where it agrees the edge stands, where not the point is left out and read again at once."""
        second, _ = await self._read(port, device, group)
        before = {seen.at: seen for seen in first}
        doubtful = {seen.at for seen in second if seen.at in edges and seen != before[seen.at]}
        # An edge that only the second read shows waits for the next read, which confirms it.
        fresh = device.report.edges(second) - edges
        self.counters.disagreements += len(doubtful)
        return [seen for seen in second if seen.at not in doubtful | fresh], bool(doubtful | fresh)

    def _mark_down(self) -> None:
        now_ms = self._now_ms()
        for device in self._devices:
            self._record(device.report.line_down(now_ms))
