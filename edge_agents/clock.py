"""The agent's clock: a time that never steps, and how far the wall clock has been stepped meanwhile.

A reading is timed by the wall clock as it stood when the agent started, carried on by CLOCK_BOOTTIME (which no one can
set and which runs on while the machine sleeps). So times of one run are in order whatever happens to the wall clock,
and no silence or age is misjudged by a step.

    wall   ──────────┐            shift = wall - time since boot; it changes when the wall clock is stepped, else never
                     └─────────   (slewing bends both alike)
    ours   ────────────────────

`Stamp` (boot id, shift) says by which clock readings were timed. Within one boot of the machine the step between then
and now is known exactly, over any restart of the agent; from another boot nothing is known.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)
STEP_LEAST_MS = 100
"""A smaller difference between the two clocks is the time it takes to read them."""
LATEST_S = 3600.0
"""A step is told for so long."""
_READ_MS = 5
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Stamp(NamedTuple):
    """By which clock something was timed. boot: of the machine, empty when not known; shift_ms: wall less steady."""

    boot: str = ""
    shift_ms: int = 0


class Moment(NamedTuple):
    """Both clocks at one instant, ms: UTC as the machine tells it, and since its boot."""

    wall_ms: int
    steady_ms: int


def wall_ms() -> int:
    """Wall clock, ms UTC."""
    return time.time_ns() // 1_000_000


def since_boot_ms() -> int:
    """Time since the machine's boot, sleep included, ms."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id() -> str:
    """Name of this boot of the machine; one of this process alone where the kernel gives none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return uuid.uuid4().hex


class AgentClock:
    """The time readings are given, and the steps of the wall clock against it.

    Args:
        wall: wall clock, ms UTC.
        steady: ms since boot.
        boot: name of this boot.
    """

    def __init__(
        self,
        wall: Callable[[], int] = wall_ms,
        steady: Callable[[], int] = since_boot_ms,
        boot: str | None = None,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self.boot = boot if boot is not None else boot_id()
        moment = self._read()
        self._shift_ms = moment.wall_ms - moment.steady_ms
        self._latest_ms, self._latest_at_ms = 0, moment.steady_ms
        self.stamp = Stamp(self.boot, self._shift_ms)
        """Of everything this run times."""

    def now_ms(self) -> int:
        """The agent's time, ms UTC: in order, without steps."""
        return self._steady() + self.stamp.shift_ms

    def moment(self) -> Moment:
        """Both clocks now; a step since the last call is noted."""
        moment = self._read()
        step_ms = moment.wall_ms - moment.steady_ms - self._shift_ms
        if abs(step_ms) >= STEP_LEAST_MS:
            self._shift_ms += step_ms
            self._latest_ms, self._latest_at_ms = step_ms, moment.steady_ms
            log.info("clock: stepped by %d ms; readings keep their order and are told so", step_ms)
        return moment

    def stepped_ms(self, stamp: Stamp | None = None) -> int | None:
        """How far the wall clock was stepped since `stamp` (None: since the start); None when nobody can know.

        As of the last `moment`.
        """
        stamp = self.stamp if stamp is None else stamp
        return self._shift_ms - stamp.shift_ms if stamp.boot == self.boot else None

    @property
    def latest_step_ms(self) -> int:
        """The latest step within the last hour; 0 without one."""
        return self._latest_ms if self._steady() - self._latest_at_ms < LATEST_S * 1000 else 0

    def _read(self) -> Moment:
        """Both clocks, read with nothing between: a pause there would look like a step."""
        for _ in range(5):
            before_ms = self._steady()
            moment = Moment(self._wall(), before_ms)
            if self._steady() - before_ms <= _READ_MS:
                break
        return moment
