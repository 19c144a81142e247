"""An agent's clock against ours, and the time its readings get from it. Pure.

An agent times readings by a clock that does not step, and says with each message what its wall clock and its time since
boot are, and how far its wall clock was stepped since the readings were made (contract.messages.Batch). So one number
is left to be estimated: how far its time since boot is ahead of our clock. A message takes time to come, which only
makes it seem further behind: the largest difference seen is the best. When for a minute of sending all messages agree
with each other on less, it was no delay: the clocks moved against each other (ours was stepped, or they drift).

    corrected = observed + stepped - offset        offset: of the agent's wall clock at the moment of sending

Corrected times of a lane keep the order of the observed ones: where a better estimate would place readings earlier,
the change is spread so that time never runs backwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contract import quality as q
from contract.messages import Batch, Lane, Reading

OFFSET_LEAST_MS = 1000
"""A smaller difference of clocks is not told from the network's delay and is not corrected."""
WINDOW_MS = 60_000
"""Messages of so long a time of sending must agree before a smaller difference is believed."""
AGREE_MS = 1000
DRIFT_MS = 100
EARLIEST_MS = 1_420_070_400_000
"""A time before 2015 is a clock that was never set."""
BOOTS = 8
"""Of so many lives of a machine, or machines that take turns, it is remembered what was heard of them last."""
CLOCK = q.uncertain("clock")
SAID = "said"
"""Key of `AgentTime.said` in what is kept of an agent: a gateway that starts anew knows what it has heard."""


class AgentTime:
    """What is known of one agent's clock. said: what was heard of it when the gateway last ran, see `said`."""

    __slots__ = ("_bases", "_best", "_boot", "_high", "_low", "_said", "_since_ms")

    def __init__(self, said: Mapping[str, Sequence[int]] | None = None) -> None:
        self._boot: str | None = None
        self._best = 0
        self._low = self._high = self._since_ms = 0
        self._bases: dict[Lane, tuple[int, int]] = {}
        self._said = {boot: (steady_ms, sent_ms) for boot, (steady_ms, sent_ms) in (said or {}).items()}

    @property
    def said(self) -> dict[str, tuple[int, int]]:
        """Of each of the last boots: its time since boot and its wall clock (ms) when it said its newest state."""
        return dict(self._said)

    def is_said_before(self, boot: str, steady_ms: int, sent_ms: int) -> bool:
        """Whether a state was said no later than one that was heard already: it came once more and proves no life.

        Notes it as heard. boot empty: the agent does not say, so nobody can tell. Both clocks must say so: a machine
        that is set back to a snapshot, or names every boot alike, begins its time since boot anew and is there.
        """
        if not boot:
            return False
        latest = self._said.get(boot)
        if latest is not None and steady_ms <= latest[0] and sent_ms <= latest[1]:
            return True
        if len(self._said) >= BOOTS and boot not in self._said:
            del self._said[next(iter(self._said))]
        self._said[boot] = (steady_ms, sent_ms)
        return False

    def hear(self, boot: str, steady_ms: int, sent_ms: int, received_ms: int) -> int:
        """Take a message's times; gives how far the agent's wall clock is ahead of ours (ms).

        boot empty: the agent does not say; its wall clock must do.
        """
        if not boot:
            steady_ms = sent_ms
        sample = steady_ms - received_ms
        if boot != self._boot:
            self._boot, self._best = boot, sample
            self._bases.clear()
            self._begin(sample, steady_ms)
        elif sample > self._best:
            self._best = sample
            self._begin(sample, steady_ms)
        else:
            low, high = min(self._low, sample), max(self._high, sample)
            if high - low > AGREE_MS:
                self._begin(sample, steady_ms)
            elif steady_ms - self._since_ms < WINDOW_MS:
                self._low, self._high = low, high
            else:
                if high < self._best - DRIFT_MS:
                    self._best = high
                self._begin(sample, steady_ms)
        return self._best + sent_ms - steady_ms

    def place(self, batch: Batch, received_ms: int) -> int:
        """What to add to the batch's observed times to get them on our clock (ms). Call it after `hear`, in order."""
        if not batch.readings:
            return 0
        if batch.clock_lost:
            # Of another boot: taken as they are, unless they cannot be right.
            newest_ms = max(reading.observed_ms for reading in batch.readings)
            return 0 if EARLIEST_MS <= newest_ms <= received_ms else received_ms - newest_ms
        steady_ms = batch.steady_ms if batch.boot else batch.sent_ms
        shift_ms = batch.sent_ms - steady_ms
        base = -self._best if abs(self._best + shift_ms) >= OFFSET_LEAST_MS else shift_ms
        to_steady_ms = batch.stepped_ms - shift_ms
        last = self._bases.get(batch.lane)
        newest_ms = min(steady_ms, batch.readings[-1].observed_ms + to_steady_ms)
        if last is not None:
            if base < last[0]:
                first_ms = min(reading.observed_ms for reading in batch.readings) + to_steady_ms
                base = max(base, last[0] - max(0, first_ms - last[1]) // 2)
            newest_ms = max(newest_ms, last[1])
        self._bases[batch.lane] = (base, newest_ms)
        return base + to_steady_ms

    def _begin(self, sample: int, steady_ms: int) -> None:
        self._low = self._high = sample
        self._since_ms = steady_ms


def corrected(readings: list[Reading], correction_ms: int) -> list[Reading]:
    """The readings at their times on our clock; the same list when there is nothing to correct."""
    if not correction_ms:
        return readings
    return [Reading(r.point, max(0, r.observed_ms + correction_ms), r.value, r.quality) for r in readings]


def doubted(readings: list[Reading]) -> list[Reading]:
    """The readings as of a clock nobody knows: what was `good` is `uncertain:clock`."""
    return [Reading(r.point, r.observed_ms, r.value, CLOCK if r.quality == q.GOOD else r.quality) for r in readings]
