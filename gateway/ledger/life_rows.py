"""What the ledger has of one device, and of a span: questions of the records pages. Read-only; within a connection."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

import msgspec

from gateway.control.protocol import AlarmView
from gateway.ledger import records as r
from gateway.ledger.alarm_rows import ALARMS, alarm_view
from gateway.ledger.audit import Head, head, link

_decode = msgspec.json.Decoder().decode
_STEPS = (
    "SELECT t.id, t.alarm_id, t.event, t.from_state, t.to_state, t.event_ms, t.recorded_ms, t.actor, t.note, t.inputs "
    "FROM transition t JOIN alarm a ON a.id = t.alarm_id WHERE (a.subject = ? OR (a.subject > ? AND a.subject < ?)) "
    "AND a.id BETWEEN ? AND ? ORDER BY t.id"
)
Place = tuple[int, int]
"""Where a page of alarms begins: before this raised_ms and number."""
LATEST: Place = (2**62, 0)


class AuditSpan(NamedTuple):
    """The part of the audit chain of a span. first, last: its first and last row; None: none lies in it.

    broken: number of the first row of the span that does not fit the one before it; None: all fit. head: of the whole
    chain now.
    """

    rows: int
    first: Head | None
    last: Head | None
    broken: int | None
    head: Head


def device_alarms(
    connection: sqlite3.Connection, site: str, device: str, limit: int, before: Place = LATEST
) -> list[AlarmView]:
    """Alarms of a device and its points before a place, the latest first."""
    query = (
        f"{ALARMS}WHERE (subject = ? OR (subject > ? AND subject < ?)) AND (raised_ms, id) < (?, ?) "
        "ORDER BY raised_ms DESC, id DESC LIMIT ?"
    )
    return [alarm_view(row) for row in connection.execute(query, (*_below(site, device), *before, limit))]


def device_alarm_count(connection: sqlite3.Connection, site: str, device: str, until_ms: int) -> int:
    """How many alarms a device and its points had up to then."""
    query = "SELECT count(*) FROM alarm WHERE (subject = ? OR (subject > ? AND subject < ?)) AND raised_ms <= ?"
    return int(connection.execute(query, (*_below(site, device), until_ms)).fetchone()[0])


def device_steps(
    connection: sqlite3.Connection, site: str, device: str, first_id: int, last_id: int
) -> list[r.TransitionRow]:
    """Every step of the life of its alarms from this number to that, in the order they were committed."""
    rows = connection.execute(_STEPS, (*_below(site, device), first_id, last_id))
    return [r.TransitionRow._make((*row[:9], _decode(row[9]))) for row in rows]


def device_versions(
    connection: sqlite3.Connection, site: str, device: str, first_id: int, last_id: int
) -> dict[int, str]:
    """Version of the rule that decided each of its alarms from this number to that."""
    query = (
        "SELECT id, rule_version FROM alarm WHERE (subject = ? OR (subject > ? AND subject < ?)) AND id BETWEEN ? AND ?"
    )
    return dict(connection.execute(query, (*_below(site, device), first_id, last_id)).fetchall())


def export_rows(connection: sqlite3.Connection, code: str) -> list[tuple[int, int, str, str]]:
    """Audit rows that say that an export with this code was handed out: (number, at_ms, who, what it was)."""
    rows = connection.execute(
        "SELECT id, at_ms, actor, detail FROM audit WHERE subject = ? AND action = 'exported' ORDER BY id",
        (f"export/{code}",),
    )
    return [(row[0], row[1], row[2], str(_decode(row[3]).get("range") or "")) for row in rows]


def audit_span(connection: sqlite3.Connection, from_ms: int, until_ms: int) -> AuditSpan:
    """Check the links of the chain over a span. Reads every row of it: not on an event loop.

    Rows before the span are vouched for by the first link's `previous`; `weizhan audit verify` checks them all.
    """
    connection.execute("BEGIN")
    try:
        # Times follow the numbers but for steps of the clock; so all between the first and the last is looked at.
        bounds = "SELECT min(id), max(id) FROM audit WHERE at_ms >= ? AND at_ms < ?"
        low, high = connection.execute(bounds, (from_ms, until_ms)).fetchone()
        newest = head(connection)
        if low is None:
            return AuditSpan(0, None, None, None, newest)
        first = last = None
        broken: int | None = None
        rows = 0
        query = (
            "SELECT id, at_ms, actor, action, subject, detail, previous, hash FROM audit WHERE id BETWEEN ? AND ? "
            "ORDER BY id"
        )
        for row_id, at_ms, actor, action, subject, detail, previous, digest in connection.execute(query, (low, high)):
            fits = digest == link(row_id, at_ms, actor, action, subject, detail, previous)
            if last is not None:
                fits = fits and previous == last.hash and row_id == last.id + 1
            if not fits and broken is None:
                broken = row_id
            last = Head(row_id, digest)
            first = first or last
            rows += 1
        return AuditSpan(rows, first, last, broken, newest)
    finally:
        connection.execute("COMMIT")


def _below(site: str, device: str) -> tuple[str, str, str]:
    """A device's own subject, and the bounds of its points': `/` is followed by `0`."""
    return f"{site}/{device}", f"{site}/{device}/", f"{site}/{device}0"
