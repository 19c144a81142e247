"""People of the stations: who they are to the record, what they are certified for."""

from __future__ import annotations

from gateway.ledger.entries import Register, SavedEntries


class People(Register):
    """People of the stations: who they are to the record, what they are certified for."""

    def __init__(self, saved: SavedEntries) -> None:
        self._saved = saved
