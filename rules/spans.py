"""Since when something is so, and when it was before."""

from __future__ import annotations

from collections import deque

SPANS = 64
"""Past spans that are kept of a fault or an alarm, for those who look back while data is being caught up."""


class Spans:
    """When something was so: since when now, and the latest times before."""

    __slots__ = ("past", "since_ms")

    def __init__(self) -> None:
        self.since_ms: int | None = None
        self.past: deque[tuple[int, int]] = deque(maxlen=SPANS)

    def begin(self, at_ms: int) -> bool:
        """It is so from then on; False when it was so already."""
        if self.since_ms is not None:
            return False
        self.since_ms = at_ms
        return True

    def end(self, at_ms: int) -> bool:
        """It is over from then on; False when it was over already."""
        if self.since_ms is None:
            return False
        self.past.append((self.since_ms, max(at_ms, self.since_ms)))
        self.since_ms = None
        return True

    def at(self, at_ms: int, grace_ms: int = 0) -> bool:
        """Whether it was so at that moment, or had ended less than `grace_ms` before."""
        if self.since_ms is not None and at_ms >= self.since_ms:
            return True
        return any(start <= at_ms < end + grace_ms for start, end in reversed(self.past))
