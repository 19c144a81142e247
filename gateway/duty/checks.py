"""Duty checks (查岗): somebody asks whether the post is manned, and it is to be answered in time.

    open ──answered in time──> answered
      └──time over──> unanswered ──answered all the same──> late

A check asked by a monitoring centre is answered to it by type 24, bit 5 of GB/T 26875.3, written into that centre's
outbox in the same transaction as the answer.
"""

from __future__ import annotations

import sqlite3
from functools import partial

import msgspec

from contract.gb26875 import objects as o
from contract.gb26875.status import TRANSMITTER_OPERATION, mask_of
from contract.gb26875.time_tag import tag_from_ms
from gateway.ledger.changes import Changes
from gateway.upward.outbox import put
from gateway.upward.translate import Urgency, item

OPEN, ANSWERED, UNANSWERED, LATE = "open", "answered", "unanswered", "late"
CENTRE = "centre/"
"""Before the name of the centre that asked."""
SHOWN_MS = 3_600_000
"""A check that was not answered stays on the screens this long, and may be answered late."""


class DutyCheck(msgspec.Struct, frozen=True):
    """A duty check, as in table duty_check. Times ms UTC."""

    id: int
    site: str
    origin: str
    asked_ms: int
    until_ms: int
    state: str = OPEN
    answered_ms: int | None = None
    answered_by: str | None = None


class DutyChecks:
    """Checks that are open, or shown because nobody answered them. Restored from the ledger."""

    def __init__(self, rows: list[DutyCheck], next_id: int) -> None:
        self.shown = {check.id: check for check in rows}
        self.next_id = next_id

    def next_due_ms(self) -> int | None:
        """When a check's time is over, or a missed one leaves the screens."""
        ends = [c.until_ms if c.state == OPEN else c.until_ms + SHOWN_MS for c in self.shown.values()]
        return min(ends, default=None)


class DutyTurn:
    """What a turn does to the checks."""

    def __init__(self, checks: DutyChecks, changes: Changes, now_ms: int) -> None:
        self._checks = checks
        self._changes = changes
        self._now_ms = now_ms
        self.touched: dict[int, DutyCheck] = {}

    def ask(self, site: str, origin: str, minutes: int) -> DutyCheck:
        """Begin a check. One that this origin has still open is asked anew: its time counts from now."""
        for check in list(self._checks.shown.values()):
            if (check.site, check.origin, check.state) == (site, origin, OPEN):
                return self._note(
                    msgspec.structs.replace(check, until_ms=self._now_ms + minutes * 60_000), "duty.again"
                )
        number = self._checks.next_id
        self._checks.next_id += 1
        until_ms = self._now_ms + minutes * 60_000
        return self._note(DutyCheck(number, site, origin, self._now_ms, until_ms), "duty.ask")

    def answer(self, check: DutyCheck, actor: str) -> DutyCheck:
        """Somebody answers an open check, or one whose time was over."""
        state = ANSWERED if check.state == OPEN else LATE
        done = msgspec.structs.replace(check, state=state, answered_ms=self._now_ms, answered_by=actor)
        if check.origin.startswith(CENTRE):
            operation = mask_of(TRANSMITTER_OPERATION, "dutyCheckReply")
            told = item(Urgency.DUTY, 24, o.TransmitterOperation(operation, 0, tag_from_ms(self._now_ms)))
            self._changes.steps.append(
                partial(put, centre=check.origin.removeprefix(CENTRE), items=[told], now_ms=self._now_ms)
            )
        return self._note(done, f"duty.{state}", actor)

    def advance(self) -> None:
        """Let time pass up to now."""
        for check in list(self._checks.shown.values()):
            if check.state == OPEN and check.until_ms <= self._now_ms:
                self._note(msgspec.structs.replace(check, state=UNANSWERED), "duty.unanswered")
            elif check.state != OPEN and check.until_ms + SHOWN_MS <= self._now_ms:
                del self._checks.shown[check.id]

    def _note(self, check: DutyCheck, action: str, actor: str = "gateway") -> DutyCheck:
        if check.state in (OPEN, UNANSWERED):
            self._checks.shown[check.id] = check
        else:
            self._checks.shown.pop(check.id, None)
        self.touched[check.id] = check
        self._changes.steps.append(partial(_write, check=check))
        self._changes.add_audit(actor, action, check.site, check=check.id, origin=check.origin, until_ms=check.until_ms)
        return check


def load_duty(connection: sqlite3.Connection) -> tuple[list[DutyCheck], int]:
    """Open and missed checks, and the next number."""
    rows = connection.execute(
        "SELECT id, site, origin, asked_ms, until_ms, state, answered_ms, answered_by FROM duty_check "
        "WHERE state IN ('open', 'unanswered') ORDER BY id"
    )
    checks = [DutyCheck(*row) for row in rows]
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'duty_check'").fetchone()
    return checks, (last[0] if last else 0) + 1


def _write(connection: sqlite3.Connection, check: DutyCheck) -> None:
    connection.execute("INSERT OR REPLACE INTO duty_check VALUES (?,?,?,?,?,?,?,?)", msgspec.structs.astuple(check))
