"""When to read which device of a line: fixed rate on the monotonic clock, alarm points first, dead devices held back.

Pure: `now_s` is handed in (monotonic seconds). A cycle of a device is a read of each of its groups; cycles start at
phase + k * period, so a late or long read never shifts the next one, and a missed start is skipped, not made up.

The circuit breaker of a device, and of each of its groups while others of the device answer:

    closed ──miss──> suspect ──second miss in a row──> open: only probed, ever more rarely ──answer──> closed

What suspects and open ones cost together is bounded: a wait in vain is followed by time for the others, as much while a
device is still being judged (so that many deaths at once are noticed soon), and as `dead_share` says once it is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

REQUEST, ALARM, REST = 0, 1, 2
"""Priorities, first served first."""
BACKOFF_MAX_S = 50.0
"""A device that answers again is shown as good within a minute, reading, sealing and storing included."""
FIRST_WITHIN_S = 10.0
"""Every device is due for the first time within this time after the start."""
STARVED_PERIODS = 3.0
"""A read so much overdue goes before alarm points that are not."""


class Job(NamedTuple):
    """Read this group of this device now.

    is_probe: it has been silent; expect nothing. late_s: how long after it was due.
    """

    device: int
    group: int
    is_probe: bool
    late_s: float = 0.0


@dataclass(slots=True)
class _Unit:
    period_s: float
    priorities: tuple[int, ...]
    next_start_s: float
    todo: list[int]
    group_misses: list[int]
    group_not_before_s: list[float]
    first: int = 0
    has_answered: bool = False
    requested: bool = False
    misses: int = 0
    hold_s: float = field(default=0.0)


class LineSchedule:
    """The order of reads on one line.

    Args:
        periods_s: period of each device.
        priorities: for each device the priority of each read group (ALARM or REST).
        start_s: monotonic time of the start; phases are spread from here.
        open_after: misses in a row after which a device, or a group of it, is only probed.
        dead_share: largest part of the line's time that silent devices may take.
    """

    def __init__(
        self,
        periods_s: Sequence[float],
        priorities: Sequence[Sequence[int]],
        start_s: float,
        *,
        open_after: int = 2,
        dead_share: float = 0.1,
    ) -> None:
        count = max(1, len(periods_s))
        self._open_after = open_after
        self._dead_share = dead_share
        self._suspect_not_before_s = start_s
        self._probe_not_before_s = start_s
        self._units: list[_Unit] = []
        self._due: list[float] = []
        for n, (period_s, groups) in enumerate(zip(periods_s, priorities, strict=True)):
            size = len(groups)
            # The first read comes soon; from then on cycles are spread over the whole period.
            due_s, phase_s = start_s + min(period_s, FIRST_WITHIN_S) * n / count, start_s + period_s * n / count
            self._due.append(due_s)
            self._units.append(
                _Unit(period_s, tuple(groups), phase_s, list(range(size)), [0] * size, [start_s] * size)
            )  # fmt: skip

    def request(self, device: int) -> None:
        """Read this device before everything else."""
        self._units[device].requested = True

    def hold(self, device: int, until_s: float) -> None:
        """Do not ask this device before, whatever is due or requested."""
        self._units[device].hold_s = until_s

    def next_job(self, now_s: float) -> tuple[Job | None, float]:
        """What to read now, or None and the monotonic time at which to ask again."""
        best: tuple[int, float, int] | None = None
        wake_s = now_s + 3600.0
        for number, due_s in enumerate(self._due):
            unit = self._units[number]
            if due_s > now_s and not unit.requested:
                if due_s < wake_s:
                    wake_s = due_s
                continue
            ready_s = self._ready_s(unit, due_s)
            if ready_s > now_s:
                wake_s = min(wake_s, ready_s)
                continue
            rank = (self._rank(unit, now_s - due_s), due_s, number)
            if best is None or rank < best:
                best = rank
        if best is None:
            return None, wake_s
        unit = self._units[best[2]]
        return Job(best[2], unit.todo[0], self._is_probe(unit), max(0.0, now_s - best[1])), now_s

    def answered(self, job: Job, now_s: float) -> None:
        """The group was read; the next group of the device follows, or its next cycle."""
        unit = self._units[job.device]
        unit.misses = unit.group_misses[job.group] = 0
        unit.has_answered = True
        self._end_group(job, now_s)

    def missed(self, job: Job, now_s: float, took_s: float) -> None:
        """No answer after `took_s` of line time: the cycle ends, unless another group was answered in it."""
        unit = self._units[job.device]
        unit.group_misses[job.group] += 1
        group_misses = unit.group_misses[job.group]
        if unit.has_answered:
            unit.group_not_before_s[job.group] = now_s + self._backoff_s(unit, group_misses)
            self._end_group(job, now_s)
        else:
            unit.misses += 1
            unit.first = (job.group + 1) % len(unit.priorities)  # another group first, lest one alone is the silent one
            self._end_cycle(job.device, now_s)
            if unit.misses >= self._open_after:
                self._due[job.device] = max(self._due[job.device], now_s + self._backoff_s(unit, unit.misses))
        self._suspect_not_before_s = now_s + took_s
        self._probe_not_before_s = now_s + took_s * (1 / self._dead_share - 1)

    def repeat(self, job: Job, now_s: float) -> None:
        """Read this device again at once: two reads did not agree."""
        self._due[job.device] = now_s

    def misses(self, device: int) -> int:
        """Reads without an answer in a row."""
        return self._units[device].misses

    def breaker(self, device: int) -> str:
        """`closed`, `suspect` or `open`."""
        misses = self._units[device].misses
        return "closed" if misses == 0 else "suspect" if misses < self._open_after else "open"

    def revive(self, now_s: float) -> None:
        """The line came back: forget the misses and read every device soon."""
        for number, unit in enumerate(self._units):
            unit.misses, unit.hold_s, unit.has_answered = 0, 0.0, False
            unit.group_misses = [0] * len(unit.priorities)
            unit.todo = list(range(len(unit.priorities)))
            spread_s = min(unit.period_s, FIRST_WITHIN_S) * number / len(self._units)
            self._due[number] = min(self._due[number], now_s + spread_s)

    def change(
        self,
        periods_s: Sequence[float],
        priorities: Sequence[Sequence[int]],
        stays: Sequence[int | None],
        now_s: float,
    ) -> None:
        """Serve these devices from now on. stays: the number each had before, None for a new one, which is due now.

        A device that stays keeps its turn; with another period its next cycle starts when either would have it.
        """
        units, due = [], []
        for period_s, groups, before in zip(periods_s, priorities, stays, strict=True):
            if before is None:
                size = len(groups)
                units.append(_Unit(period_s, tuple(groups), now_s, list(range(size)), [0] * size, [now_s] * size))
                due.append(now_s)
                continue
            unit, due_s = self._units[before], self._due[before]
            if unit.period_s != period_s:
                unit.period_s = period_s
                unit.next_start_s = min(unit.next_start_s, now_s + period_s)
                due_s = min(due_s, unit.next_start_s) if unit.misses == 0 else due_s
            units.append(unit)
            due.append(due_s)
        self._units, self._due = units, due

    # --- how it is decided ------------------------------------------------------------------------------------------

    def _is_probe(self, unit: _Unit) -> bool:
        return unit.misses >= self._open_after or unit.group_misses[unit.todo[0]] >= self._open_after

    def _ready_s(self, unit: _Unit, due_s: float) -> float:
        if unit.requested:
            return unit.hold_s
        if self._is_probe(unit):
            return max(due_s, unit.hold_s, self._probe_not_before_s)
        if unit.misses or unit.group_misses[unit.todo[0]]:
            return max(due_s, unit.hold_s, self._suspect_not_before_s)
        return max(due_s, unit.hold_s)

    def _rank(self, unit: _Unit, late_s: float) -> int:
        if unit.requested:
            return REQUEST
        if unit.misses or self._is_probe(unit):
            return unit.priorities[unit.todo[0]] + REST  # after everybody who answers
        return ALARM if late_s > STARVED_PERIODS * unit.period_s else unit.priorities[unit.todo[0]]

    def _backoff_s(self, unit: _Unit, misses: int) -> float:
        doublings = min(max(0, misses - self._open_after), 10)
        return min(unit.period_s * float(2**doublings), max(BACKOFF_MAX_S, unit.period_s))

    def _end_group(self, job: Job, now_s: float) -> None:
        unit = self._units[job.device]
        unit.todo = [group for group in unit.todo if group != job.group]
        if not unit.todo:
            self._end_cycle(job.device, now_s)

    def _end_cycle(self, device: int, now_s: float) -> None:
        unit = self._units[device]
        unit.requested = unit.has_answered = False
        late_s = now_s - unit.next_start_s
        if late_s >= 0:
            unit.next_start_s += (late_s // unit.period_s + 1) * unit.period_s
        self._due[device] = unit.next_start_s
        count = len(unit.priorities)
        order = [(unit.first + n) % count for n in range(count)] if unit.misses else range(count)
        # A silent group is left out while it is held back; when all are, the device's own turn decides.
        unit.todo = [
            group
            for group in order
            if unit.group_misses[group] < self._open_after or unit.group_not_before_s[group] <= unit.next_start_s
        ] or list(order)
