"""When to read which device of a line: fixed rate on the monotonic clock, alarm points first, dead devices held back.

Pure: `now_s` is handed in (monotonic seconds). A cycle of a device is a read of each of its groups; cycles start at
phase + k * period, so a late or long read never shifts the next one, and a missed start is skipped, not made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

REQUEST, ALARM, REST = 0, 1, 2
"""Priorities, first served first."""
BACKOFF_MAX_S = 60.0


class Job(NamedTuple):
    """Read this group of this device now. `is_probe`: the device has been silent; expect nothing."""

    device: int
    group: int
    is_probe: bool


@dataclass(slots=True)
class _Unit:
    period_s: float
    priorities: tuple[int, ...]
    due_s: float
    group: int = 0
    requested: bool = False
    misses: int = 0
    next_start_s: float = field(default=0.0)


class LineSchedule:
    """The order of reads on one line.

    Args:
        periods_s: period of each device.
        priorities: for each device the priority of each read group (ALARM or REST).
        start_s: monotonic time of the start; phases are spread from here.
        open_after: misses in a row after which a device is only probed.
        dead_share: largest part of the line's time that silent devices may take.
    """

    def __init__(
        self,
        periods_s: Sequence[float],
        priorities: Sequence[Sequence[int]],
        start_s: float,
        *,
        open_after: int = 3,
        dead_share: float = 0.1,
    ) -> None:
        count = max(1, len(periods_s))
        self._open_after = open_after
        self._dead_share = dead_share
        self._suspect_not_before_s = start_s
        self._probe_not_before_s = start_s
        self._units = [
            _Unit(period, tuple(groups), due := start_s + min(period, 10.0) * n / count, next_start_s=due)
            for n, (period, groups) in enumerate(zip(periods_s, priorities, strict=True))
        ]

    def request(self, device: int) -> None:
        """Read this device before everything else."""
        self._units[device].requested = True

    def next_job(self, now_s: float) -> tuple[Job | None, float]:
        """What to read now, or None and the monotonic time at which to ask again."""
        best: tuple[int, float, int] | None = None
        wake_s = now_s + 3600.0
        for number, unit in enumerate(self._units):
            is_probe = unit.misses >= self._open_after and not unit.requested
            due_s = unit.due_s
            if unit.misses and not unit.requested:
                due_s = max(due_s, self._probe_not_before_s if is_probe else self._suspect_not_before_s)
            if not unit.requested and due_s > now_s:
                wake_s = min(wake_s, due_s)
                continue
            rank = REQUEST if unit.requested else unit.priorities[unit.group] + (REST if is_probe else 0)
            if best is None or (rank, due_s) < best[:2]:
                best = (rank, due_s, number)
        if best is None:
            return None, wake_s
        unit = self._units[best[2]]
        return Job(best[2], unit.group, unit.misses >= self._open_after), now_s

    def answered(self, job: Job, now_s: float) -> None:
        """The group was read; the next group of the device follows, or its next cycle."""
        unit = self._units[job.device]
        unit.misses = 0
        if unit.group + 1 < len(unit.priorities):
            unit.group += 1
            return
        self._end_cycle(unit, now_s)

    def missed(self, job: Job, now_s: float, took_s: float) -> None:
        """No answer after `took_s` of line time: the cycle ends; silent devices are held back more and more."""
        unit = self._units[job.device]
        unit.misses += 1
        self._end_cycle(unit, now_s)
        if unit.misses >= self._open_after:
            doublings = min(unit.misses - self._open_after, 10)
            unit.due_s = max(unit.due_s, now_s + min(unit.period_s * 2**doublings, max(BACKOFF_MAX_S, unit.period_s)))
        # A wait for a silent device is followed by time for the living: as much while it is still being judged
        # (so that many deaths at once are noticed soon), nine times as much once it is known to be silent.
        self._suspect_not_before_s = now_s + took_s
        self._probe_not_before_s = now_s + took_s * (1 / self._dead_share - 1)

    def repeat(self, job: Job, now_s: float) -> None:
        """Read this device again at once: two reads did not agree."""
        self._units[job.device].due_s = now_s

    def misses(self, device: int) -> int:
        """Reads without an answer in a row."""
        return self._units[device].misses

    def revive(self, now_s: float) -> None:
        """The line came back: forget the misses and read every device soon."""
        for number, unit in enumerate(self._units):
            unit.misses, unit.group = 0, 0
            unit.due_s = min(unit.due_s, now_s + min(unit.period_s, 10.0) * number / len(self._units))

    def _end_cycle(self, unit: _Unit, now_s: float) -> None:
        unit.group, unit.requested = 0, False
        late_s = now_s - unit.next_start_s
        if late_s >= 0:
            unit.next_start_s += (late_s // unit.period_s + 1) * unit.period_s
        unit.due_s = unit.next_start_s
