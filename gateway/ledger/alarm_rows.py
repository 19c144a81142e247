"""Rows of alarms and of what holds them: read at a start, and written by steps of a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from gateway.control.protocol import AlarmView
from gateway.ledger.records import Drill, Maintenance, OutOfService, Shelf

Step = Callable[[sqlite3.Connection], None]
FOUND_MS = 40 * 86_400_000
"""How far back findings matter to any rule."""
PAST_MS = 7 * 86_400_000
"""How long a drill that is over is remembered for readings that come late."""
_scope = msgspec.json.Decoder(tuple[str, ...])
_json = msgspec.json.Decoder()
ALARMS = (
    "SELECT id, rule, subject, site, device, severity, state, active, retrospective, raised_ms, recorded_ms, "
    "cleared_ms, acknowledged_ms, acknowledged_by, inputs, assignee, hold, hold_until_ms, cause, count, "
    "finding, drill, (SELECT leader FROM drill WHERE drill.id = alarm.drill), notes, suppressed FROM alarm "
)
MAINTENANCE = (
    "SELECT id, site, scope, from_ms, until_ms, reason, by, opened_ms, closed_ms, closed_by, note FROM maintenance "
)
DRILLS = "SELECT id, site, scope, from_ms, until_ms, reason, leader, closed_ms, closed_by, note FROM drill "


class Found(NamedTuple):
    """What an alarm was found to be; at_ms: when it was raised."""

    rule: str
    subject: str
    site: str
    device: str | None
    finding: str
    at_ms: int


class AlarmRows(NamedTuple):
    """Everything the life of alarms starts from."""

    alarms: list[AlarmView]
    next_alarm: int
    found: list[Found]
    shelves: list[Shelf]
    out_of_service: list[OutOfService]
    windows: list[Maintenance]
    next_window: int
    drills: list[Drill]
    next_drill: int
    items: list[tuple[int, str, bool]]
    """(drill, subject, whether it spoke) of the drills that run."""


def load_alarms(connection: sqlite3.Connection) -> AlarmRows:
    """Read it all, within the caller's transaction."""
    ask = connection.execute
    latest = ask("SELECT at_ms FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    now_ms = int(latest[0]) if latest else 0
    return AlarmRows(
        [alarm_view(row) for row in ask(ALARMS + "WHERE state <> 'normal' OR active ORDER BY id")],
        _next(connection, "alarm"),
        [
            Found._make(row)
            for row in ask(
                "SELECT rule, subject, site, device, finding, raised_ms FROM alarm "
                "WHERE raised_ms > ? AND finding IS NOT NULL ORDER BY raised_ms, id",
                (now_ms - FOUND_MS,),
            )
        ],
        [Shelf._make(row) for row in ask("SELECT * FROM shelf")],
        [OutOfService._make(row) for row in ask("SELECT * FROM out_of_service")],
        [maintenance_row(row) for row in ask(MAINTENANCE + "WHERE closed_ms IS NULL ORDER BY id")],
        _next(connection, "maintenance"),
        [
            drill_row(row)
            for row in ask(DRILLS + "WHERE closed_ms IS NULL OR closed_ms > ? ORDER BY id", (now_ms - PAST_MS,))
        ],
        _next(connection, "drill"),
        [
            (row[0], row[1], row[2] is not None)
            for row in ask(
                "SELECT drill, subject, spoke_ms FROM drill_item "
                "WHERE drill IN (SELECT id FROM drill WHERE closed_ms IS NULL)"
            )
        ],
    )


def alarm_view(row: Any) -> AlarmView:
    """A row as ALARMS asks for it."""
    fields = dict(zip(AlarmView.__struct_fields__, row, strict=True))
    for name in ("active", "retrospective", "suppressed"):
        fields[name] = bool(fields[name])
    fields["inputs"] = _json.decode(fields["inputs"])
    return AlarmView(**fields)


def _next(connection: sqlite3.Connection, table: str) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(row[0]) + 1 if row else 1


def maintenance_row(row: Any) -> Maintenance:
    """A row as MAINTENANCE asks for it."""
    return Maintenance._make((*row[:2], _scope.decode(row[2]), *row[3:]))


def drill_row(row: Any) -> Drill:
    """A row as DRILLS asks for it."""
    return Drill._make((*row[:2], _scope.decode(row[2]), *row[3:]))


def write_shelf(shelf: Shelf) -> Step:
    """Put it on, over an earlier one of the same rule and subject."""
    return statement("INSERT OR REPLACE INTO shelf VALUES (?,?,?,?,?,?,?,?)", *shelf)


def delete_shelf(shelf: Shelf) -> Step:
    """Take it off."""
    return statement("DELETE FROM shelf WHERE rule = ? AND subject = ?", shelf.rule, shelf.subject)


def write_out_of_service(row: OutOfService) -> Step:
    """Take it out."""
    return statement("INSERT INTO out_of_service VALUES (?,?,?,?)", *row)


def delete_out_of_service(row: OutOfService) -> Step:
    """Return it."""
    return statement("DELETE FROM out_of_service WHERE subject = ?", row.subject)


def write_window(row: Maintenance) -> Step:
    """Open a window, or write down how it was closed."""
    return statement(
        "INSERT OR REPLACE INTO maintenance VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        *row._replace(scope=_encode(row.scope)),  # type: ignore[arg-type] # JSON in the ledger
    )


def write_drill(row: Drill) -> Step:
    """Open a drill, or write down how it was closed."""
    values = row._replace(scope=_encode(row.scope))  # type: ignore[arg-type] # JSON in the ledger

    def step(connection: sqlite3.Connection) -> None:
        if row.closed_ms is None:
            connection.execute("INSERT INTO drill VALUES (?,?,?,?,?,?,?,?,?,?)", values)
        else:
            connection.execute(
                "UPDATE drill SET closed_ms = ?, closed_by = ?, note = ? WHERE id = ?",
                (row.closed_ms, row.closed_by, row.note, row.id),
            )

    return step


def write_items(drill: int, subjects: list[str]) -> Step:
    """What is to speak in a drill."""

    def step(connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO drill_item (drill, subject) VALUES (?,?)", [(drill, subject) for subject in subjects]
        )

    return step


def write_spoke(drill: Drill, subject: str, at_ms: int, how: str, alarm_id: int | None) -> Step:
    """It spoke: a line of the drill's list, and the point's own last test."""

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE drill_item SET spoke_ms = coalesce(spoke_ms, ?), how = ?, alarm_id = coalesce(alarm_id, ?) "
            "WHERE drill = ? AND subject = ?",
            (at_ms, how, alarm_id, drill.id, subject),
        )
        write_tested(subject, at_ms, drill.id, drill.leader)(connection)

    return step


def write_tested(subject: str, at_ms: int, drill: int | None, by: str) -> Step:
    """It was seen to work; an earlier test does not overrule a later one."""
    return statement(
        "INSERT INTO tested VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, "
        "drill = excluded.drill, by = excluded.by WHERE excluded.at_ms >= at_ms",
        subject,
        at_ms,
        drill,
        by,
    )


def statement(query: str, *values: Any) -> Step:
    """One statement as a step."""

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(query, values)

    return step


def _encode(scope: tuple[str, ...]) -> str:
    return msgspec.json.encode(scope).decode()
