"""Rosters: who is planned for which post and shift."""

from __future__ import annotations

from gateway.ledger.entries import Register, SavedEntries


class Roster(Register):
    """Rosters: who is planned for which post and shift."""

    def __init__(self, saved: SavedEntries) -> None:
        self._saved = saved
