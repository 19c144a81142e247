"""What the pipeline counts of messages: received = passed + dropped{reason} + pending."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway.turn import Turn


class Counts:
    """Counters since the start."""

    def __init__(self) -> None:
        self.received = self.commits = 0
        self._passed = self._stored = self._strangers_dropped = 0
        self._dropped: Counter[str] = Counter()

    def drop(self, reason: str) -> None:
        """A message was not taken."""
        self._dropped[reason] += 1

    def told(self, turn: Turn) -> None:
        """A turn is durable."""
        self._passed += turn.passed
        self._stored += turn.stored
        self._strangers_dropped += turn.strangers_dropped
        self._dropped.update(turn.dropped)

    def view(self) -> dict[str, Any]:
        """For `status`."""
        return {
            "received": self.received,
            "passed": self._passed,
            "dropped": dict(self._dropped),
            "pending": self.received - self._passed - sum(self._dropped.values()),
            "readings_stored": self._stored,
            "unknown_readings_dropped": self._strangers_dropped,
            "commits": self.commits,
        }
