"""The registers of the gateway together: what people keep and do beside what sensors say. Pure.

    commands, alarms that moved, time  ──> registers ──> rows (table entry, audit chain, screens)
                                                    └──> own readings of `site/register` ──> rules ──> alarms

So a post that is not manned or a hazard that is overdue is an alarm like any other: with rule, clause, life cycle,
notification and escalation. Readiness is what the standing alarms of a station take from it (rules: `readiness`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from contract import quality as q
from contract.messages import Reading, Value
from contract.site import REGISTER_DEVICE
from gateway.backup.register import Backups
from gateway.board.register import DutyBoard
from gateway.control.protocol import AlarmView
from gateway.duty.checks import DutyChecks
from gateway.duty.equipment import Equipment
from gateway.duty.freshness import Sight
from gateway.duty.people import People
from gateway.duty.readiness import Readiness
from gateway.duty.roster import Roster
from gateway.duty.shifts import Shifts
from gateway.incidents.register import Incidents
from gateway.installation import Installation
from gateway.ledger.entries import Entry, Pen, Register, SavedEntries
from gateway.sites.register import SiteVersions
from gateway.work.device_labels import DeviceLabels
from gateway.work.hazards import Hazards
from gateway.work.line_reports import LineReports
from gateway.work.orders import Orders
from gateway.work.patrols import Patrols
from gateway.work.witness import Witness

REPEAT_MS = 3_600_000
"""What was said is said again this often, so that the history shows no gap where nothing changed."""

NOT_KNOWN = q.unknown("not_known")
"""Quality of what a register cannot say now."""


class Registers:
    """All of them.

    Args:
        secret: the ledger's own (gateway/ledger/secret.py); derive from it what a register needs.
        said: last own readings of registers, `site/register/point` -> (value, observed_ms).
        sight: tells how fresh the data of sites is; None: nothing is ever too old.
        witness: tells when a thing was last seen to work; None: never.
    """

    def __init__(
        self,
        saved: SavedEntries,
        secret: bytes,
        installation: Installation,
        said: dict[str, tuple[Value, int]],
        sight: Sight | None = None,
        witness: Witness | None = None,
    ) -> None:
        self.secret = secret
        # In the order in which it was said: what has to be said again soonest stands first.
        self._said = dict(sorted(said.items(), key=lambda each: each[1][1]))
        self.people = People(saved)
        self.roster = Roster(saved, self.people)
        self.checks = DutyChecks(saved, secret)
        self.shifts = Shifts(saved, self.people)
        self.equipment = Equipment(saved)
        self.incidents = Incidents(saved)
        self.patrols = Patrols(saved, secret)
        self.hazards = Hazards(saved)
        self.orders = Orders(saved, self.hazards, witness)
        self.line_reports = LineReports(saved)
        self.board = DutyBoard(saved, self.shifts)
        self.labels = DeviceLabels(saved)
        self.readiness = Readiness(saved, sight)
        self.backups = Backups(saved)
        self.site_versions = SiteVersions(saved)
        self._all: tuple[Register, ...] = (
            self.people,
            self.roster,
            self.checks,
            self.shifts,
            self.equipment,
            self.incidents,
            self.patrols,
            self.hazards,
            self.orders,  # after the hazards they may stand on
            self.line_reports,
            self.board,
            self.labels,
            self.readiness,
            self.backups,
            self.site_versions,
        )
        # Most registers know no time: asked in every turn, they need not be asked when something is due.
        self._timed = tuple(each for each in self._all if type(each).next_due_ms is not Register.next_due_ms)
        for register in self._all:
            register.install(installation)

    def install(self, installation: Installation) -> None:
        """Other sites or rules are in force."""
        for register in self._all:
            register.install(installation)

    def restore(self, alarms: Iterable[AlarmView], alive_ms: int, now_ms: int) -> None:
        """After a start: the open alarms, and when a gateway last ran on this ledger (ms UTC; 0: never)."""
        known = list(alarms)
        for register in self._all:
            register.restore(known, alive_ms, now_ms)

    def find(self, kind: str, number: int) -> Entry | None:
        """The open row of a kind."""
        for register in self._all:
            for sheet in register.sheets():
                if sheet.kind.name == kind and number in sheet.rows:
                    found: Entry = sheet.rows[number]
                    return found
        return None

    def next_due_ms(self) -> int | None:
        """When time alone next changes something (ms UTC)."""
        dues = [due for register in self._timed if (due := register.next_due_ms()) is not None]
        if self._said:
            dues.append(next(iter(self._said.values()))[1] + REPEAT_MS)
        return min(dues, default=None)

    def advance(self, pen: Pen, moved: Iterable[tuple[AlarmView, str]]) -> None:
        """Tell every register what moved, and let time pass. Call it in every turn, after the alarms."""
        for alarm, event in moved:
            for register in self._all:
                register.alarm_moved(alarm, event, pen)
        for register in self._timed:
            due = register.next_due_ms()
            if due is not None and due <= pen.now_ms:
                register.advance(pen)

    def news(self, pen: Pen) -> dict[str, list[Reading]]:
        """Own readings that are news, or were not said for long, by site."""
        found: dict[str, list[Reading]] = {}
        told = {f"{site}/{REGISTER_DEVICE}/{point}": value for (site, point), value in pen.take_said().items()}
        again: dict[str, Value] = {}
        for point, (value, at_ms) in self._said.items():
            if at_ms + REPEAT_MS > pen.now_ms:
                break
            if point not in told:
                again[point] = value
        for point, value in (told | again).items():
            last = self._said.get(point)
            if last is not None and last[0] == value and pen.now_ms < last[1] + REPEAT_MS:
                continue
            self._said.pop(point, None)
            self._said[point] = (value, pen.now_ms)
            site, _, name = point.partition("/")
            quality = NOT_KNOWN if value is None else q.GOOD
            found.setdefault(site, []).append(Reading(name, pen.now_ms, value, quality))
        return found

    def rows(self, kind: str) -> list[Entry]:
        """Open rows of a kind."""
        sheets = (sheet for register in self._all for sheet in register.sheets() if sheet.kind.name == kind)
        return [row for sheet in sheets for row in sheet.rows.values()]

    def view(self) -> dict[str, list[dict[str, Any]]]:
        """Open rows of every kind that screens get whole."""
        return {
            sheet.kind.name: [msgspec.to_builtins(row) for row in sheet.rows.values()]
            for register in self._all
            for sheet in register.sheets()
            if sheet.kind.live
        }
