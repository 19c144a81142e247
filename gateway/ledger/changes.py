"""What one transaction writes, gathered in memory and written in one go."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contract.messages import Value
from gateway.control.protocol import AgentView, AlarmView
from gateway.ingest.door import Refusal
from gateway.ingest.order import Lost
from gateway.ingest.resent import Resent
from gateway.ledger import audit
from gateway.ledger.records import AuditEntry
from gateway.ledger.rows import write_rows
from rules.memory import RuleState

_encode = msgspec.json.Encoder().encode
LAST_VALUE_INBOX = "last_value_inbox_id"
"""meta key: the inbox row up to which last_value was written."""
ALIVE = "alive_ms"
"""meta key: when the gateway is known to have run."""
_INSERT_INBOX = "INSERT INTO inbox (site, agent, epoch, lane, seq, received_ms, readings, crc, correction_ms)"
_INSERT_TRANSITION = (
    "INSERT INTO transition (alarm_id, event, from_state, to_state, event_ms, recorded_ms, actor, note, inputs)"
)
_WRITE_ALARM = (
    "INSERT INTO alarm (id, rule, rule_version, subject, site, device, severity, retrospective, raised_ms, "
    "recorded_ms, state, active, cleared_ms, acknowledged_ms, acknowledged_by, inputs, assignee, hold, hold_until_ms, "
    "cause, count, finding, drill, notes, suppressed)"
)
_RENEW_ALARM = (
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, active = excluded.active, "
    "retrospective = excluded.retrospective, "
    "cleared_ms = excluded.cleared_ms, acknowledged_ms = excluded.acknowledged_ms, "
    "acknowledged_by = excluded.acknowledged_by, assignee = excluded.assignee, hold = excluded.hold, "
    "hold_until_ms = excluded.hold_until_ms, cause = excluded.cause, count = excluded.count, "
    "finding = excluded.finding, drill = excluded.drill, notes = excluded.notes, suppressed = excluded.suppressed"
)
Lane = tuple[str, str, str, str]


@dataclass(slots=True)
class Changes:
    """Everything a turn of the pipeline wants written. Rows are plain tuples in the order of schema.sql."""

    at_ms: int
    inbox: list[tuple[str, str, str, str, int, int, bytes, int, int]] = field(default_factory=list)
    watermarks: dict[Lane, int] = field(default_factory=dict)
    lost: list[tuple[str, str, str, str, Lost]] = field(default_factory=list)
    resent: dict[Resent, tuple[int, int]] = field(default_factory=dict)
    """Batches and readings that came again, to be added to their counters."""
    agents: dict[tuple[str, str], AgentView] = field(default_factory=dict)
    rule_states: dict[tuple[str, str], RuleState] = field(default_factory=dict)
    alarms: dict[int, AlarmView] = field(default_factory=dict)
    rule_versions: dict[int, str] = field(default_factory=dict)
    transitions: list[tuple[int, str, str, str, int, int, str, str, str]] = field(default_factory=list)
    refusals: list[tuple[int, int, Refusal]] = field(default_factory=list)
    unknown_readings: list[tuple[str, str, str, int, int, str, str]] = field(default_factory=list)
    unknown_devices: dict[tuple[str, str], tuple[str, int, int, int, int]] = field(default_factory=dict)
    last_values: list[tuple[str, int, int, str, str]] | None = None
    series: list[tuple[str, str]] = field(default_factory=list)
    """What is remembered of points beside their last values; written with these."""
    audit: list[AuditEntry] = field(default_factory=list)
    steps: list[Callable[[sqlite3.Connection], None]] = field(default_factory=list)
    via: str = ""
    """What the actor of the command at hand acts through, beside a browser: a token. Stands in its audit rows."""
    mark: str = ""
    """Of the command at hand (as in Ask). Stands in its audit rows, so that what became of it is known for ever."""

    def add_inbox(
        self,
        site: str,
        agent: str,
        epoch: str,
        lane: str,
        seq: int,
        received_ms: int,
        readings: bytes,
        correction_ms: int = 0,
    ) -> None:
        """Add a batch's readings (JSON) with their checksum. correction_ms: to add to their times to get ours."""
        self.inbox.append((site, agent, epoch, lane, seq, received_ms, readings, zlib.crc32(readings), correction_ms))

    def add_resent(self, found: Mapping[Resent, int]) -> None:
        """Count a batch that came again: counter -> its readings of that counter."""
        for key, readings in found.items():
            known = self.resent.get(key, (0, 0))
            self.resent[key] = (known[0] + 1, known[1] + readings)

    def add_audit(self, actor: str, action: str, subject: str, **detail: Any) -> None:
        """Add a row to the audit chain."""
        told = detail | ({"via": self.via} if self.via else {}) | ({"mark": self.mark} if self.mark else {})
        self.audit.append(AuditEntry(self.at_ms, actor, action, subject, told))

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(
            self.inbox
            or self.watermarks
            or self.lost
            or self.resent
            or self.agents
            or self.rule_states
            or self.alarms
            or self.transitions
            or self.refusals
            or self.unknown_readings
            or self.unknown_devices
            or self.last_values is not None
            or self.audit
            or self.steps
        )

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it all, within the caller's transaction."""
        many = connection.executemany
        # Steps first: an approved device's kept readings move before new ones of it are added.
        for step in self.steps:
            step(connection)
        write_rows(connection, _INSERT_INBOX, self.inbox)
        if self.watermarks:
            many(
                "INSERT INTO watermark VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE "
                "SET seq = excluded.seq, updated_ms = excluded.updated_ms WHERE excluded.seq > seq",
                [(*lane, seq, self.at_ms) for lane, seq in self.watermarks.items()],
            )
        if self.lost:
            many(
                "INSERT INTO gap (site, agent, epoch, lane, first_seq, seq, readings, first_ms, last_ms, reason, "
                "recorded_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                [(*row[:4], *row[4], self.at_ms) for row in self.lost],
            )
        if self.resent:
            many(
                "INSERT INTO resent VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE "
                "SET batches = batches + excluded.batches, readings = readings + excluded.readings",
                [(*key, *counts) for key, counts in self.resent.items()],
            )
        self._write_alarms(connection)
        self._write_strangers(connection)
        if self.agents:
            many(
                "INSERT OR REPLACE INTO agent VALUES (?,?,?,?,?,?)",
                [
                    (a.site, a.agent, a.online, a.heard_ms, a.clock_offset_ms, _encode(a.state).decode())
                    for a in self.agents.values()
                ],
            )
        if self.last_values is not None:
            write_rows(connection, "INSERT OR REPLACE INTO last_value", self.last_values)
            write_rows(connection, "INSERT OR REPLACE INTO series", self.series)
            connection.execute(
                "INSERT OR REPLACE INTO meta "
                "SELECT ?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0)",
                (LAST_VALUE_INBOX,),
            )
        if self.audit:
            audit.append(connection, self.audit)

    def _write_alarms(self, connection: sqlite3.Connection) -> None:
        versions = self.rule_versions
        rows = [alarm_row(alarm, versions.get(alarm.id, "")) for alarm in self.alarms.values()]
        write_rows(connection, _WRITE_ALARM, rows, _RENEW_ALARM)
        write_rows(connection, _INSERT_TRANSITION, self.transitions)
        states = self.rule_states.values()
        resting = [(state.rule, state.subject) for state in states if state.phase == "rest"]
        write_rows(connection, "DELETE FROM rule_state WHERE (rule, subject) IN (", resting, ")")
        busy = [(*state[:5], _encode(state.detail).decode()) for state in states if state.phase != "rest"]
        write_rows(connection, "INSERT OR REPLACE INTO rule_state", busy)

    def _write_strangers(self, connection: sqlite3.Connection) -> None:
        if not (self.refusals or self.unknown_readings or self.unknown_devices):
            return
        connection.executemany(
            "INSERT INTO quarantine VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (source, reason) DO UPDATE SET "
            "detail = excluded.detail, last_ms = excluded.last_ms, count = count + excluded.count, "
            "bytes = excluded.bytes, sample = excluded.sample",
            [
                (row_id, r.source, r.reason, r.detail, r.received_ms, r.received_ms, count, r.size, r.sample)
                for row_id, count, r in self.refusals
            ],
        )
        write_rows(
            connection,
            "INSERT INTO unknown_reading (site, device, point, observed_ms, received_ms, value, quality)",
            self.unknown_readings,
        )
        connection.executemany(
            "INSERT OR REPLACE INTO unknown_device (site, device, agent, first_ms, last_ms, readings, dropped) "
            "VALUES (?,?,?,?,?,?,?)",
            [(*key, *row) for key, row in self.unknown_devices.items()],
        )


def encode_value(value: Value) -> str:
    """A value as the ledger keeps it."""
    return _encode(value).decode()


def alarm_row(alarm: AlarmView, rule_version: str) -> tuple[Any, ...]:
    """An alarm as its table keeps it, in the order of _WRITE_ALARM."""
    return (
        alarm.id,
        alarm.rule,
        rule_version,
        alarm.subject,
        alarm.site,
        alarm.device,
        alarm.severity,
        alarm.retrospective,
        alarm.raised_ms,
        alarm.recorded_ms,
        alarm.state,
        alarm.active,
        alarm.cleared_ms,
        alarm.acknowledged_ms,
        alarm.acknowledged_by,
        _encode(alarm.inputs).decode(),
        alarm.assignee,
        alarm.hold,
        alarm.hold_until_ms,
        alarm.cause,
        alarm.count,
        alarm.finding,
        alarm.drill,
        alarm.notes,
        alarm.suppressed,
    )
