"""Equipment of the stations: what is there, ticked when, valid until when."""

from __future__ import annotations

from gateway.ledger.entries import Register, SavedEntries


class Equipment(Register):
    """Equipment of the stations: what is there, ticked when, valid until when."""

    def __init__(self, saved: SavedEntries) -> None:
        self._saved = saved
