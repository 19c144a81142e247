"""Shifts as they are: who is there, random duty checks, handover, control-room log."""

from __future__ import annotations

from gateway.ledger.entries import Register, SavedEntries


class Shifts(Register):
    """Shifts as they are: who is there, random duty checks, handover, control-room log."""

    def __init__(self, saved: SavedEntries) -> None:
        self._saved = saved
