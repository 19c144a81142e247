"""Notification within the working state: planner and proofs, moved by each turn, written in its transaction."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from gateway.control.protocol import AlarmView
from gateway.notify.outbox import Plans, SavedPlans, load_plans
from gateway.notify.plan import Planner
from gateway.notify.proof import ProofChanges, Proofs, SavedProofs, load_proofs
from gateway.notify.settings import NotifySettings
from gateway.notify.texts import Names, Writer
from gateway.notify.ways import Ways


def random_token() -> str:
    """128 random bits, as text."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class NotifyParts:
    """What outlives a working state: settings, the key of receipts, how the ways are doing."""

    settings: NotifySettings
    key: bytes
    ways: Ways
    new_token: Callable[[], str] = random_token
    """Name of a test of the path that nobody can guess."""


class SavedNotification(NamedTuple):
    """The ledger's rows."""

    plans: SavedPlans
    proofs: SavedProofs


class NotifyChanges(NamedTuple):
    """What a turn wants written."""

    plans: Plans
    proofs: ProofChanges

    def __bool__(self) -> bool:
        return bool(self.plans) or bool(self.proofs.proofs)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it, within the caller's transaction."""
        self.plans.write(connection)
        self.proofs.write(connection)


def load_notification(connection: sqlite3.Connection) -> SavedNotification:
    """Read the rows, within the caller's transaction."""
    return SavedNotification(load_plans(connection), load_proofs(connection))


def no_parts() -> NotifyParts:
    """Nobody is told of anything and no path is tested."""
    settings = NotifySettings.model_validate({"proof": {"enabled": False}})
    return NotifyParts(settings, secrets.token_bytes(32), Ways(settings))


TEST_MS = 120_000
"""A message sent by hand is given up after this."""
TEST_AGAIN_MS = 10_000
"""Asked for again so soon, the same test counts: a button that is pressed twice sends once."""


class HandTest(NamedTuple):
    """A test that somebody asked for. token: what a screen answers with."""

    notice: int
    token: str
    at_ms: int


class Notification:
    """Planner and proofs of one working state. names: asked for each message, so that a reload shows at once."""

    def __init__(self, parts: NotifyParts, names: Callable[[], Names]) -> None:
        self.parts = parts
        writer = Writer(names, parts.settings.time_zone)
        self.planner = Planner(parts.settings, writer)
        self.proofs = Proofs(parts.settings, self.planner, writer, parts.new_token)
        self._writer = writer
        self._tests: dict[tuple[str, str], HandTest] = {}
        """The latest by hand of each way; forgotten with the process, as its screens' answers are."""

    def restore(self, saved: SavedNotification, alarms: Iterable[AlarmView], now_ms: int) -> None:
        """Go on where the ledger stands."""
        self.planner.restore(saved.plans, alarms, now_ms)
        self.proofs.restore(saved.proofs, now_ms)

    def test(self, person: str, channel: str, now_ms: int) -> tuple[HandTest, bool]:
        """Plan a marked test message by one way; gives it, and whether it is new."""
        last = self._tests.get((person, channel))
        if last is not None and last.at_ms + TEST_AGAIN_MS > now_ms:
            return last, False
        token = self.parts.new_token()
        message = self._writer.test(now_ms)
        number = self.planner.add(person, channel, "test", message, now_ms, now_ms + TEST_MS, token)
        made = self._tests[person, channel] = HandTest(number, token, now_ms)
        return made, True

    def test_answered(self, token: str) -> int | None:
        """The message of a test by hand that a screen has painted and sounded; None: no such test is under way."""
        return next((test.notice for test in self._tests.values() if secrets.compare_digest(test.token, token)), None)

    def advance(self, now_ms: int, online: Iterable[tuple[str, str]]) -> NotifyChanges:
        """Let time pass after the alarms of a turn have moved; gives what is to be written with them."""
        self.proofs.advance(now_ms, online)
        self.planner.advance(now_ms)
        return NotifyChanges(self.planner.take(), self.proofs.take())

    def next_due_ms(self) -> int | None:
        """When `advance` has something to do (ms UTC)."""
        due = (self.planner.next_due_ms(), self.proofs.next_due_ms())
        return min((at_ms for at_ms in due if at_ms is not None), default=None)
