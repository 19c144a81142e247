"""Incidents: opened by fire, with the 1-3-5 minute clocks."""

from __future__ import annotations

from gateway.ledger.entries import Register, SavedEntries


class Incidents(Register):
    """Incidents: opened by fire, with the 1-3-5 minute clocks."""

    def __init__(self, saved: SavedEntries) -> None:
        self._saved = saved
