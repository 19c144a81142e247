"""Backups as rows of a register: asked for, made, failed, verified, deleted when they are too old."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from gateway.ledger.entries import Entry, Kind, Pen, Register, SavedEntries, Sheet

RUNNING, DONE, FAILED, DELETED = "running", "done", "failed", "deleted"


class Backup(Entry, frozen=True, kw_only=True):
    """A backup. from_ms: when it was asked for; until_ms: when it was complete or given up.

    covers_ms: what was committed before it is in; head: of the audit chain in it; why: of one that failed;
    problem: what verifying found, empty when nothing.
    """

    by: str
    file: str = ""
    bytes: int = 0
    files: int = 0
    covers_ms: int | None = None
    head: int = 0
    head_hash: str = ""
    why: str = ""
    verified_ms: int | None = None
    problem: str = ""


BACKUP = Kind("backup", Backup, frozenset({RUNNING, DONE}))


class Backups(Register):
    """All of them that are there."""

    def __init__(self, saved: SavedEntries) -> None:
        self.sheet = Sheet(BACKUP, saved)
        self._failed: bool | None = None
        """Whether the latest attempt failed; None: none was made since this start."""

    def sheets(self) -> Iterable[Sheet[Any]]:
        return (self.sheet,)

    @property
    def running(self) -> Backup | None:
        """The one that is being made."""
        return next((row for row in self.sheet.rows.values() if row.state == RUNNING), None)

    @property
    def done(self) -> list[Backup]:
        """Those that are complete, oldest first."""
        return sorted((row for row in self.sheet.rows.values() if row.state == DONE), key=lambda row: row.id)

    @property
    def word(self) -> str | None:
        """failed: the latest was not made; damaged: verifying found it so; ok; None: not known since this start."""
        if self._failed:
            return "failed"
        if self.done and self.done[-1].problem:
            return "damaged"
        return None if self._failed is None and not (self.done and self.done[-1].verified_ms) else "ok"

    def ask(self, by: str, pen: Pen) -> Backup:
        """Have one made; the one that is being made already counts for everybody."""
        running = self.running
        if running is not None:
            return running
        row = Backup(id=self.sheet.take_id(), site="", state=RUNNING, from_ms=pen.now_ms, by=by)
        return pen.write(self.sheet, row, "start", by)

    def settle(self, row: Backup, pen: Pen, **fields: Any) -> Backup:
        """It is complete, or given up (`why`)."""
        state = FAILED if fields.get("why") else DONE
        self._failed = state == FAILED
        settled = replace(row, state=state, until_ms=pen.now_ms, **fields)
        return pen.write(self.sheet, settled, "failed" if state == FAILED else "finish")

    def verified(self, row: Backup, problem: str, by: str, pen: Pen) -> Backup:
        """Somebody had it read through."""
        return pen.write(self.sheet, replace(row, verified_ms=pen.now_ms, problem=problem), "verify", by)

    def delete(self, row: Backup, pen: Pen) -> Backup:
        """Its file is gone: newer ones take its place."""
        return pen.write(self.sheet, replace(row, state=DELETED), "delete")
