"""Whether the wall clock was set: it went on by more, or by less, than the monotonic clock did."""

from __future__ import annotations

from collections.abc import Callable

STEP_MS = 1000
"""What is less is no step: clocks are drawn right slowly, and two clocks are never read at one instant."""


class ClockSteps:
    """Notices steps. Ask often: what passes slowly between two questions is followed, and is none.

    Args:
        now_ms: wall clock, ms UTC. monotonic: seconds.
    """

    def __init__(self, now_ms: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._wall_ms, self._steady_s = now_ms(), monotonic()

    def take(self) -> int:
        """How far the clock was set forward since the last question, ms; less than 0: back; 0: it was not."""
        wall_ms, steady_s = self._now_ms(), self._monotonic()
        by_ms = wall_ms - self._wall_ms - round((steady_s - self._steady_s) * 1000)
        self._wall_ms, self._steady_s = wall_ms, steady_s
        return by_ms if abs(by_ms) >= STEP_MS else 0
