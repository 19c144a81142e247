"""Checkpoints: last values and agents written down now and then, so that a start replays seconds and not days."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.ledger.changes import encode_value
from gateway.turn import Turn


class Checkpoint:
    """When the next one is due, and since when values wait for it.

    Args:
        every_s: seconds between two. monotonic: seconds.
    """

    def __init__(self, every_s: float, monotonic: Callable[[], float]) -> None:
        self._every_s = every_s
        self._monotonic = monotonic
        self._due_s: float | None = None
        self._moved: set[str] = set()
        self._all = True

    def forget(self) -> None:
        """The working state was built again: everything in it counts as not yet written."""
        self._moved.clear()
        self._all = True
        if self._due_s is None:
            self._due_s = self._monotonic() + self._every_s

    def is_due(self) -> bool:
        """Whether something moved and it is time to write it: what came last must not wait for whatever comes next."""
        return self._due_s is not None and bool(self._moved or self._all) and self._monotonic() >= self._due_s

    def add_to(self, turn: Turn, *, now: bool) -> None:
        """Put a checkpoint into the turn's changes when one is due, or `now`."""
        self._moved.update(f"{site}/{reading.point}" for site, readings in turn.readings for reading in readings)
        at_s = self._monotonic()
        if self._due_s is not None and at_s < self._due_s and not now:
            return
        self._due_s = at_s + self._every_s
        engine = turn.state.engine
        moved = engine.values() if self._all else ((point, engine.value(point)) for point in sorted(self._moved))
        turn.changes.last_values = [
            (point, slot.observed_ms, slot.received_ms, encode_value(slot.value), slot.quality)
            for point, slot in moved
            if slot is not None and slot.received_ms
        ]
        series = engine.series()
        turn.changes.series = [(point, msgspec.json.encode(data).decode()) for point, data in series]
        for key, agent in turn.state.agents.items():
            turn.changes.agents.setdefault(key, agent)
        self._all = False
        self._moved.clear()
