"""The ledger as the pages read it: what LedgerReader gives, and lists that only pages want. Read-only like it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from gateway.assessment.completeness import Stretches
from gateway.assessment.evidence import Arrivals, arrivals
from gateway.control.protocol import AlarmView
from gateway.ledger import life_rows
from gateway.ledger.dossier import make_dossier
from gateway.ledger.entries import E, Kind
from gateway.ledger.life_rows import LATEST, Place
from gateway.ledger.personal import Identity, find_identities
from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import TransitionRow
from gateway.ledger.secret import load_secret
from gateway.state import last_alive_ms
from gateway.work.dates import Done, load_work
from gateway.work.public import PublicReport, find_receipt, find_report

T = TypeVar("T")
LOOK_BACK = 200_000
"""Rows of the audit chain that are looked through for a command's mark."""
CLOCK_MS = 60_000
"""The clock may have been set back by so much between the command and its row."""


class Message(NamedTuple):
    """A message to a person on one way. error: why it did not go; None while nothing is wrong."""

    id: int
    person: str
    channel: str
    kind: str
    severity: str
    alarms: list[int]
    title_zh: str
    title_en: str
    state: str
    attempts: int
    due_ms: int
    sent_ms: int | None
    delivered_ms: int | None
    read_ms: int | None
    error: str | None


class Waiting(NamedTuple):
    """What a monitoring centre has not confirmed: how much, and when the gateway knew of the oldest (ms UTC)."""

    objects: int
    oldest_ms: int | None


class ServicePeriod(NamedTuple):
    """A time in which a device or a point of it was out of service. until_ms: None while it is; note: at its return."""

    subject: str
    from_ms: int
    until_ms: int | None
    reason: str
    by: str
    returned_by: str = ""
    note: str = ""


_ABOUT = (
    "SELECT data FROM entry WHERE kind = ? AND site = ? AND (json_extract(data, '$.subject') = ? "
    "OR substr(json_extract(data, '$.subject'), 1, ?) = ?) ORDER BY id DESC"
)
_SERVICE = (
    "SELECT at_ms, actor, action, subject, detail FROM audit WHERE (subject = ? OR (subject > ? AND subject < ?)) "
    "AND action IN ('service.take_out', 'service.return') ORDER BY id"
)


class WebLedger(LedgerReader):
    """LedgerReader with the lists of the pages. Raises RetryLater like it."""

    def messages(self, limit: int = 100, before: int | None = None) -> list[Message]:
        """Messages to people, newest first."""
        query = (
            "SELECT id, person, channel, kind, severity, alarms, title_zh, title_en, state, attempts, due_ms, sent_ms, "
            "delivered_ms, read_ms, error FROM notice WHERE id < ? ORDER BY id DESC LIMIT ?"
        )
        rows = self._all(query, (2**62 if before is None else before, limit))
        return [Message._make((*row[:5], msgspec.json.decode(row[5]), *row[6:])) for row in rows]

    def waiting_upward(self) -> dict[str, Waiting]:
        """Centre -> what waits for its confirm."""
        query = "SELECT centre, count(*), min(created_ms) FROM upward WHERE done_ms IS NULL GROUP BY centre"
        return {row[0]: Waiting(row[1], row[2]) for row in self._all(query, ())}

    def alarms_by_rule(self, since_ms: int) -> dict[str, int]:
        """How many alarms each rule raised since then; tests of drills are not counted."""
        query = "SELECT rule, count(*) FROM alarm WHERE raised_ms >= ? AND drill IS NULL GROUP BY rule"
        return dict(self._all(query, (since_ms,)))

    def work_done(self) -> Done:
        """The latest record of each kind of work on each device."""
        return self._ask(load_work)

    def dossier(self, person_id: int) -> dict[str, Any] | None:
        """Everything that is kept of a person; None for a number nobody has."""
        return self._ask(lambda connection: make_dossier(connection, person_id))

    def audit_of(self, actor: str, mark: str, at_ms: int) -> str | None:
        """Subject of the last audit row that a command with this mark, given then, wrote; None: it wrote none."""
        query = (
            "SELECT subject FROM audit WHERE id > (SELECT max(id) FROM audit) - ? AND at_ms > ? AND actor = ? "
            "AND instr(detail, ?) ORDER BY id DESC LIMIT 1"
        )
        rows = self._all(query, (LOOK_BACK, at_ms - CLOCK_MS, actor, f'"mark":"{mark}"'))
        return rows[0][0] if rows else None

    def identities(self) -> dict[int, Identity]:
        """Who the people of the registers are, by number; those erased are not in it."""
        return self._ask(find_identities)

    def question(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Anything an administrator's page asks of all areas together."""
        return self._ask(question)

    def secret(self) -> bytes:
        """The ledger's own secret, for checking and making the codes of printed links."""
        return self._ask(load_secret)

    def public_report(self, hazard: int) -> PublicReport | None:
        """What the public wrote, behind a hazard."""
        return self._ask(lambda connection: find_report(connection, hazard))

    def public_receipt(self, receipt: str) -> PublicReport | None:
        """The report a receipt (its hash) was given for."""
        return self._ask(lambda connection: find_receipt(connection, receipt))

    # --- records -----------------------------------------------------------------------------------------------------

    def device_alarms(self, site: str, device: str, limit: int, before: Place = LATEST) -> list[AlarmView]:
        """Alarms of a device and its points before a place, the latest first."""
        return self._ask(lambda connection: life_rows.device_alarms(connection, site, device, limit, before))

    def device_alarm_count(self, site: str, device: str, until_ms: int) -> int:
        """How many alarms a device and its points had up to then."""
        return self._ask(lambda connection: life_rows.device_alarm_count(connection, site, device, until_ms))

    def device_steps(self, site: str, device: str, first_id: int, last_id: int) -> list[TransitionRow]:
        """Every step of its alarms from this one to that, in order."""
        return self._ask(lambda connection: life_rows.device_steps(connection, site, device, first_id, last_id))

    def device_versions(self, site: str, device: str, first_id: int, last_id: int) -> dict[int, str]:
        """Version of the rule that decided each of its alarms from this one to that."""
        return self._ask(lambda connection: life_rows.device_versions(connection, site, device, first_id, last_id))

    def device_entries(self, kind: Kind[E], site: str, device: str) -> list[E]:
        """Every row of a register about a device or a point of it (its `subject`), the latest first."""
        key = f"{site}/{device}"
        decode = msgspec.json.Decoder(kind.form).decode
        return [decode(data) for (data,) in self._all(_ABOUT, (kind.name, site, key, len(key) + 1, f"{key}/"))]

    def service_periods(self, site: str, device: str) -> list[ServicePeriod]:
        """When it or a point of it was out of service, in order; from the audit chain: a table has what is out now."""
        found: list[ServicePeriod] = []
        out: dict[str, int] = {}
        key = f"{site}/{device}"
        for at_ms, actor, action, subject, detail in self._all(_SERVICE, (key, f"{key}/", f"{key}0")):
            told = msgspec.json.decode(detail)
            if action == "service.take_out":
                out[subject] = len(found)
                found.append(ServicePeriod(subject, at_ms, None, str(told.get("reason") or ""), actor))
            elif (number := out.pop(subject, None)) is not None:
                note = str(told.get("note") or "")
                found[number] = found[number]._replace(until_ms=at_ms, returned_by=actor, note=note)
        return found

    def arrivals(self, site: str, agent: str, device: str, over: Stretches, silence_ms: int) -> Arrivals:
        """What the inbox still has of a device's span."""
        return self._ask(lambda connection: arrivals(connection, site, agent, device, over, silence_ms))

    def export_rows(self, code: str) -> list[tuple[int, int, str, str]]:
        """Audit rows of an export with this code: (number, at_ms, who, what)."""
        return self._ask(lambda connection: life_rows.export_rows(connection, code))

    def audit_span(self, from_ms: int, until_ms: int) -> life_rows.AuditSpan:
        """The links of the audit chain over a span, checked."""
        return self._ask(lambda connection: life_rows.audit_span(connection, from_ms, until_ms))

    def alive_ms(self) -> int:
        """When a gateway is last known to have run, ms UTC."""
        return self._ask(last_alive_ms)
