"""Instruments between the physics and a register: noise, drift, offset, steps of resolution, a stuck or dead sensor."""

from __future__ import annotations

import random
from dataclasses import dataclass

DAY_S = 86_400.0


@dataclass(frozen=True)
class Kind:
    """How good an instrument is, in the unit of what it measures.

    noise: standard deviation of one reading. drift_day: most it drifts in a day. offset: most it is off from the
    start. step: its resolution. A pressure transmitter of class 0.5 on 1 MPa: noise 0.8 kPa, offset 2.5 kPa, step 0.1.
    """

    noise: float = 0.0
    drift_day: float = 0.0
    offset: float = 0.0
    step: float = 0.0


PRESSURE_KPA = Kind(noise=0.8, drift_day=0.02, offset=2.5, step=0.1)
LEVEL_M = Kind(noise=0.004, drift_day=0.0002, offset=0.01, step=0.001)
FLOW_LPS = Kind(noise=0.03, offset=0.05, step=0.01)
TEMPERATURE_C = Kind(noise=0.1, offset=0.3, step=0.1)


class Instrument:
    """One of a kind, with the errors it was built with.

    Args:
        rng: its own; the same seed gives the same errors.
    """

    def __init__(self, kind: Kind, rng: random.Random) -> None:
        self.kind = kind
        self._rng = rng
        self._offset = rng.uniform(-kind.offset, kind.offset)
        self._drift_day = rng.uniform(-kind.drift_day, kind.drift_day)
        self._stuck: float | None = None
        self._last = 0.0
        self.is_dead = False
        """A dead one gives no value at all."""

    def read(self, truth: float, at_s: float) -> float | None:
        """What it shows of the truth at that time; None when it is dead."""
        if self.is_dead:
            return None
        if self._stuck is not None:
            return self._stuck
        kind = self.kind
        value = truth + self._offset + self._drift_day * at_s / DAY_S + self._rng.gauss(0.0, kind.noise)
        self._last = round(value / kind.step) * kind.step if kind.step else value
        return self._last

    def stick(self, *, stuck: bool = True) -> None:
        """From here on it shows what it showed last; or it works again."""
        self._stuck = self._last if stuck else None
