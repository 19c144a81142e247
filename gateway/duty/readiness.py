"""Readiness of the stations at every instant, from the alarms that stand."""

from __future__ import annotations

from gateway.ledger.entries import Register, SavedEntries


class Readiness(Register):
    """Readiness of the stations at every instant, from the alarms that stand."""

    def __init__(self, saved: SavedEntries) -> None:
        self._saved = saved
