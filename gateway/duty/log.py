"""The control-room log: what people write down of their shift. What alarms and commands did is not copied into it."""

from __future__ import annotations

from typing import Literal

from gateway.ledger.entries import Entry, Kind

Topic = Literal["round", "panel", "visit", "work", "other"]
"""round: nothing special; panel: the controller was looked at or operated; visit: somebody came; work: on equipment."""


class LogEntry(Entry, frozen=True, kw_only=True):
    """An entry; it is never changed. from_ms: when it was written.

    alarm: the alarm it is about. corrects: the entry that it puts right.
    """

    text: str
    by: str
    person: int | None = None
    topic: Topic = "other"
    alarm: int | None = None
    corrects: int | None = None
    shift: int | None = None


LOG = Kind("log", LogEntry, frozenset(), live=False)
