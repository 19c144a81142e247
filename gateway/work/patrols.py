"""Patrols, self-checks, drills and training: planned, done, skipped, overdue."""

from __future__ import annotations

from gateway.ledger.entries import Register, SavedEntries


class Patrols(Register):
    """Patrols, self-checks, drills and training: planned, done, skipped, overdue."""

    def __init__(self, saved: SavedEntries) -> None:
        self._saved = saved
