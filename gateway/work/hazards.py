"""Hazards and their rectification: found, assigned, fixed, confirmed, closed."""

from __future__ import annotations

from gateway.ledger.entries import Register, SavedEntries


class Hazards(Register):
    """Hazards and their rectification: found, assigned, fixed, confirmed, closed."""

    def __init__(self, saved: SavedEntries) -> None:
        self._saved = saved
