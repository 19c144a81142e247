"""The owner of one Modbus line: opens it, polls by the schedule, turns answers into reports.

An alarm edge is reported only after a second read of the same block says the same; a CRC-16 lets one random frame in
65,536 through, and a contact may bounce. A device that has given no answer for its allowed number of periods has no
data, whether or not there was time to ask it as often.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable

from contract import quality as q
from contract.errors import DeviceError, RetryLater
from edge_agents.bus.health import DeviceHealth, HealthReport, LineCounters
from edge_agents.bus.identity import Identities
from edge_agents.bus.polled import LineRules, PolledDevice
from edge_agents.bus.port import FrameCounters, Port
from edge_agents.bus.presence import LinePresence
from edge_agents.drivers.modbus import Block, ReadGroup
from edge_agents.reporting import Observation, Reports
from edge_agents.schedule import ALARM, REST, Job, LineSchedule
from edge_agents.waiting import wait

log = logging.getLogger(__name__)
BACKOFF_S = (0.2, 4.0)
DOWN_AFTER = 3
"""Failed attempts to open after which the devices' points are unknown:line."""
SILENT_ERRORS = ("no_answer", "late_answer", "bad_answer", "busy", "line")
"""Causes that leave a device without an answer; an exception response is an answer."""
DEAF_S = 5.0
DEAF_AFTER = 4
"""So many requests without a byte heard, for so long: the connection is opened again, it may be half open."""
OVERDUE_FLOOR_S = 4.0
OVERDUE_EARLY = 0.4
"""Share of a period by which "no data" is said before the allowed number of periods is full."""
FULL_PROBE = 7
"""Every so many of the probes of a silent device wait the full timeout, the others its worst answer time."""
SUDDEN_S = 10.0
"""After a device that answered falls silent, others may have too (a cut cable): for so long none of those that still
count as answering is given more than its worst answer time."""
LOOK_S = 0.2
"""Whether devices are overdue is asked at most this often."""
IDLE_S = 2.5
"""Longest pause between two steps while nothing is due: so long it may take to see that the connection is gone."""
HELD_UP_S = 5.0
"""A longer pause between two steps means that this process was held up, not the devices."""


class ModbusLine:
    """Polls the devices of one line for ever.

    Args:
        line_id: its name.
        devices: what hangs on it.
        new_port: makes an unopened connection; a fresh one for each attempt.
        record: takes reports; never waits.
        now_ms: wall clock.
        monotonic: seconds.
        rules: retries and limits.
        frames: what the ports count into.
        uniform: a number between two, for jitter.
    """

    def __init__(
        self,
        line_id: str,
        devices: list[PolledDevice],
        new_port: Callable[[], Port],
        record: Callable[[Reports], None],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        rules: LineRules | None = None,
        frames: FrameCounters | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.id = line_id
        self._devices = devices
        self._changed: list[PolledDevice] | None = None
        self._new_port = new_port
        self._record = record
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._uniform = uniform
        self._rules = rules if rules is not None else LineRules()
        self._wake = asyncio.Event()
        start_s = monotonic()
        self._schedule = LineSchedule(
            [device.poll_s for device in devices],
            [[ALARM if group.is_alarm else REST for group in device.plan.groups] for device in devices],
            start_s,
            dead_share=self._rules.dead_share,
        )
        self._overdue_s = [self._overdue_after_s(device) for device in devices]
        self._answered_s = [start_s] * len(devices)
        self._group_misses = [[0] * len(device.plan.groups) for device in devices]
        self._failures = 0
        self._is_down = False
        self._look_s = start_s
        self._unheard_since_s = start_s
        self._unheard = 0
        self._short_until_s = start_s
        self.health = [DeviceHealth() for _ in devices]
        self._health_report = HealthReport(line_id, [device.id for device in devices], start_s)
        self._identities = Identities([device.id for device in devices], record, now_ms, monotonic, self._rules.ask_who)
        self.presence = LinePresence(line_id, record, now_ms)
        """Whether the line can be reached."""
        self._unanswered: set[int] = set()
        """Devices that have missed since anything answered on the line."""
        self.counters = LineCounters()
        self.frames = frames if frames is not None else FrameCounters()
        """What the line's connections count; the same object as the ports have."""
        self.is_open = False

    @property
    def devices(self) -> dict[str, PolledDevice]:
        """The devices by id, those of a change that is under way included."""
        return {device.id: device for device in (self._devices if self._changed is None else self._changed)}

    def change(self, devices: list[PolledDevice]) -> None:
        """Poll these devices, from the next read on; one with a report known here stays what it was. Never waits."""
        self._changed = list(devices)
        self._wake.set()

    def request(self, device_id: str | None) -> None:
        """Read this device (None: all of the line) before everything else."""
        for number, device in enumerate(self._devices):
            if device_id is None or device.id == device_id:
                self._schedule.request(number)
        self._wake.set()

    def status(self) -> dict[str, object]:
        """Counters for the status file."""
        counters, frames = self.counters, self.frames
        return {
            "open": self.is_open,
            "opened": counters.opened,
            "reads": counters.reads,
            "retries": counters.retries,
            "errors": dict(counters.errors),
            "disagreements": counters.disagreements,
            "frames": {
                "requests": frames.requests,
                "timeouts": frames.timeouts,
                "damaged": frames.damaged,
                "foreign": frames.foreign,
                "late": frames.late,
                "echoed": frames.echoed,
            },
            "devices": {
                device.id: {"breaker": self._schedule.breaker(number), **self.health[number].status()}
                for number, device in enumerate(self._devices)
            },
        }

    async def run(self) -> None:
        """Poll until cancelled."""
        pause_s, is_deaf = BACKOFF_S[0], False
        while True:
            self._take_change()
            port = self._new_port()
            try:
                await port.open()
                self.is_open = True
                self.counters.opened += 1
                if not is_deaf:
                    self._schedule.revive(self._monotonic())
                self._failures += 1  # until something is heard: one that takes us and hangs up is no better than none
                is_deaf = await self._poll(port)
                self._fail(f"line {self.id}: got a connection that is closed before any answer. Trying again.")
            except RetryLater as exc:
                is_deaf = False
                self._failures += 1
                self.counters.count("line")
                self._fail(str(exc))
            finally:
                self.is_open = False
                port.close()
            if self._failures == 0:
                pause_s = BACKOFF_S[0]
            await asyncio.sleep(pause_s * self._uniform(0.75, 1.0))
            pause_s = min(pause_s * 2, BACKOFF_S[1])

    def _fail(self, why: str) -> None:
        """After so many failures in a row nothing can be said of the devices."""
        if self._failures >= DOWN_AFTER:
            if not self._is_down:
                log.warning("%s", why)
                self._is_down = True
            self._mark_down()

    def _recover(self) -> None:
        """The connection carries something, or at least stays."""
        self._failures = 0
        if self._is_down:
            log.info("line %s: open again", self.id)
            self._is_down = False

    async def _poll(self, port: Port) -> bool:
        """Poll until the connection is lost; True when it was given up because nothing at all is heard on it."""
        now_s = self._monotonic()
        self._start_over(now_s)
        self._unheard_since_s, self._unheard = now_s, 0
        self._identities.watch.opened()
        while port.is_open:
            now_s = self._monotonic()
            self._take_change()
            self._look_around(now_s)
            if self._unheard >= DEAF_AFTER and now_s - self._unheard_since_s >= DEAF_S:
                self._recover()
                return True
            job, wake_s = self._schedule.next_job(now_s)
            if job is None:
                if await self._identities.use_idle(port, self._unit_of, self._usual_s, wake_s):
                    continue
                self._wake.clear()
                await wait(self._wake, min(wake_s, self._next_look_s(), now_s + IDLE_S) - now_s)
                continue
            self.counters.worst_drift_s = max(self.counters.worst_drift_s, 0.0 if job.is_probe else job.late_s)
            await self._do(port, job)
        return False

    def _unit_of(self, number: int) -> int:
        return self._devices[number].unit_id

    def _usual_s(self, number: int) -> float:
        return self.health[number].usual_s

    def _take_change(self) -> None:
        """Between two reads: other devices, the connection and the others' turns as they are."""
        if self._changed is None:
            return
        devices, self._changed = self._changed, None
        now_s, before = self._monotonic(), {id(device.report): n for n, device in enumerate(self._devices)}
        stays = [before.get(id(device.report)) for device in devices]
        ids = {device.id for device in devices}
        for device in self._devices:
            if device.id not in ids:
                self._record(device.report.removed(self._now_ms()))
        self._schedule.change(
            [device.poll_s for device in devices],
            [[ALARM if group.is_alarm else REST for group in device.plan.groups] for device in devices],
            stays,
            now_s,
        )
        self._overdue_s = [self._overdue_after_s(device) for device in devices]
        self._answered_s = [now_s if n is None else self._answered_s[n] for n in stays]
        self._group_misses = [
            [0] * len(device.plan.groups) if n is None else self._group_misses[n]
            for device, n in zip(devices, stays, strict=True)
        ]
        self.health = [DeviceHealth() if n is None else self.health[n] for n in stays]
        self._unanswered.clear()
        self._health_report.follow([device.id for device in devices])
        self._identities.watch.follow([device.id for device in devices], stays)
        self._devices = devices

    def _overdue_after_s(self, device: PolledDevice) -> float:
        return max(OVERDUE_FLOOR_S, max(self._rules.misses - OVERDUE_EARLY, 2 - OVERDUE_EARLY) * device.poll_s)

    def _start_over(self, now_s: float) -> None:
        """Nobody is overdue at this moment: the silence so far was not the devices'."""
        self._look_s = now_s
        self._answered_s = [now_s] * len(self._devices)

    def _next_look_s(self) -> float:
        """When looking around may find something new."""
        overdue_s = min(map(float.__add__, self._answered_s, self._overdue_s), default=math.inf)
        return max(self._look_s + LOOK_S, min(overdue_s + 0.001, self._health_report.due_s))

    def _look_around(self, now_s: float) -> None:
        """Say which devices have no data any more; report the figures when their minute is over."""
        if now_s - self._look_s > HELD_UP_S:
            self._start_over(now_s)
        # The same sum as in _next_look_s: else a wait for it could end just before it.
        if now_s < self._look_s + LOOK_S:
            return
        self._look_s = now_s
        for number, answered_s in enumerate(self._answered_s):
            if now_s - answered_s > self._overdue_s[number]:
                if self.presence.is_up is not False:
                    reports = self._devices[number].report.overdue(self._now_ms())
                    self._unanswered.add(number)
                    self._judge_line(reports, ask_others=False)
                self._answered_s[number] = now_s  # said once, and once more each so often
        if now_s >= self._health_report.due_s:
            readings = self._health_report.report(self.health, self.counters, self.frames, now_s, self._now_ms())
            self._record(Reports([], readings))
            self.presence.repeat()

    async def _do(self, port: Port, job: Job) -> None:
        device = self._devices[job.device]
        group = device.plan.groups[job.group]
        began_s = self._monotonic()
        again = False
        try:
            seen, now_ms = await self._read(port, job, device, group)
            edges = device.report.edges(seen)
            if edges:
                seen, again = await self._confirm(port, job, seen, edges)
        except DeviceError as exc:
            self._count_failure(job, exc)
            if exc.cause in SILENT_ERRORS:
                self._miss(port, job, exc, began_s)
                return
            seen, now_ms = [Observation(read.at, None, q.bad(exc.cause)) for read in group.points], self._now_ms()
        now_s = self._monotonic()
        self._answered_s[job.device] = now_s
        self._unheard_since_s, self._unheard = now_s, 0
        self._recover()
        self._group_misses[job.device][job.group] = 0
        self._unanswered.clear()
        self.presence.say(True)
        self._identities.watch.answered(job.device, now_s, was_silent=device.report.is_silent)
        self._record(device.report.answered(seen, now_ms))
        self._schedule.answered(job, now_s)
        if again:
            self._schedule.repeat(job, now_s)

    def _count_failure(self, job: Job, exc: DeviceError) -> None:
        self.counters.count(exc.cause)
        self.health[job.device].fail(exc.cause)

    def _miss(self, port: Port, job: Job, exc: DeviceError, began_s: float) -> None:
        """A group was not answered: hold the device back; without an answer for long it, or the group, is unknown."""
        if exc.cause == "line":
            return
        device, now_s = self._devices[job.device], self._monotonic()
        self._unheard = self._unheard + 1 if exc.cause == "no_answer" else 0
        if self._unheard == 0:
            self._unheard_since_s = now_s
        self._schedule.missed(job, now_s, now_s - began_s)
        self._identities.watch.missed(job.device)
        if (ready_s := port.ready_s(device.unit_id)) > now_s:
            self._schedule.hold(job.device, ready_s)
        misses = self._group_misses[job.device]
        misses[job.group] += 1
        if self.presence.is_up is False:
            return  # all there is to say of its devices has been said
        if self._schedule.misses(job.device):
            was_silent = device.report.is_silent
            reports = device.report.missed(self._now_ms())
            self._unanswered.add(job.device)
            self._judge_line(reports, ask_others=device.report.is_silent and not was_silent)
        elif misses[job.group] >= self._rules.misses:
            # The rest of the device answers: only these points are unknown.
            unread = [Observation(read.at, None, q.unknown(exc.cause)) for read in device.plan.groups[job.group].points]
            self._record(device.report.answered(unread, self._now_ms()))

    def _judge_line(self, reports: Reports, *, ask_others: bool) -> None:
        """A device has missed. Is nothing on the line answering any more, it is the line, and not the device.

        Whom nobody has asked since the last answer is asked at once.
        """
        left = [
            number
            for number, device in enumerate(self._devices)
            if number not in self._unanswered and not device.report.is_silent
        ]
        is_silent = any(self._devices[number].report.is_silent for number in self._unanswered)
        if is_silent and not left and len(self._devices) > 1:
            self._mark_down()
            return
        self._record(reports)
        if ask_others:
            for number in left:
                self._schedule.request(number)

    async def _read(
        self, port: Port, job: Job, device: PolledDevice, group: ReadGroup
    ) -> tuple[list[Observation], int]:
        answers = [await self._read_block(port, job, device, block) for block in group.blocks]
        return device.seen(job.group, answers), self._now_ms()

    async def _read_block(self, port: Port, job: Job, device: PolledDevice, block: Block) -> list[int]:
        """The words of a block; a damaged answer is asked for again."""
        misses, began_s = self._schedule.misses(job.device), self._monotonic()
        # Some probes wait the full timeout: a unit slower than its profile says must find its way back.
        is_short = misses % FULL_PROBE != 0 or (misses == 0 and began_s < self._short_until_s)
        for retries_left in range(0 if misses else self._rules.retries, -1, -1):
            began_s = self._monotonic()
            try:
                words = await port.read(device.unit_id, block, device.plan.answer_s, is_probe=is_short)
            except DeviceError as exc:
                now_s = self._monotonic()
                if misses == 0 and not is_short and exc.cause == "no_answer":
                    self._short_until_s = now_s + SUDDEN_S
                if not retries_left or exc.cause != "bad_answer" or port.ready_s(device.unit_id) > now_s:
                    raise
                self._count_failure(job, exc)
                self.counters.retries += 1
                continue
            self.counters.reads += 1
            self.health[job.device].answer(self._monotonic() - began_s, self._now_ms())
            return words
        raise AssertionError("unreachable")

    async def _confirm(
        self, port: Port, job: Job, first: list[Observation], edges: set[int]
    ) -> tuple[list[Observation], bool]:
        """A second read; where it agrees the edge stands, where not the point is left out and read again at once."""
        device = self._devices[job.device]
        second, _ = await self._read(port, job, device, device.plan.groups[job.group])
        before = {seen.at: seen for seen in first}
        doubtful = {seen.at for seen in second if seen.at in edges and seen != before[seen.at]}
        # An edge that only the second read shows waits for the next read, which confirms it.
        fresh = device.report.edges(second) - edges
        self.counters.disagreements += len(doubtful)
        return [seen for seen in second if seen.at not in doubtful | fresh], bool(doubtful | fresh)

    def _mark_down(self) -> None:
        self.presence.say(False)
        now_ms = self._now_ms()
        for device in self._devices:
            self._record(device.report.line_down(now_ms))
