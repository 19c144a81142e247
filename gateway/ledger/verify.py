"""The ledger checked against its own audit chain: rows that were altered, taken out or put in, by their names.

    audit        each row's hash covers the row and the hash before it
    transition   each is held by the audit row of its move, in the same order
    alarm        each is held by the audit row of its latest move
    rule_version each is held by the audit row of the start that wrote it down
    entry        each is held by the audit row of its latest change, which has the whole row

What was written before digests stood in the chain is checked as far as its audit rows go.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from gateway.ledger import audit
from gateway.ledger.digests import COLUMNS, RULES_KEPT, STEP, digest

_decode = msgspec.json.Decoder().decode
_MOVES = "SELECT id, at_ms, actor, action, detail FROM audit WHERE action >= 'alarm.' AND action < 'alarm/' ORDER BY id"
_ENTRIES = "SELECT subject, max(id) FROM audit WHERE substr(detail, 1, 8) = '{\"row\":{' GROUP BY subject"


class Damage(NamedTuple):
    """A row that is not what was written. row: as people name it, `alarm 7`; audit: the audit row that says so."""

    row: str
    why: str
    audit: int | None


class Checked(NamedTuple):
    """How much was looked at."""

    transitions: int
    alarms: int
    rule_versions: int
    entries: int


def damages(connection: sqlite3.Connection) -> Iterator[Damage | Checked]:
    """Everything that is wrong, table by table, and how much was looked at as the last. The chain itself is checked by
    `audit.verify`. One read transaction is the caller's."""
    last: dict[int, tuple[int, str | None]] = {}
    versions: dict[int, str] = {}
    steps = 0
    for found in _moves(connection, last, versions):
        if isinstance(found, Damage):
            yield found
        else:
            steps = found
    alarms = 0
    for number, wrong in _alarms(connection, last, versions):
        alarms = number
        if wrong is not None:
            yield wrong
    kept, wrongs = _rules(connection)
    yield from wrongs
    rows = 0
    for number, wrong in _entries(connection):
        rows = number
        if wrong is not None:
            yield wrong
    yield Checked(steps, alarms, kept, rows)


def check_all(
    connection: sqlite3.Connection, told: Callable[[int], None] | None = None
) -> Iterator[audit.Broken | Damage | Checked]:
    """The chain, then every row it holds; one read transaction is the caller's. Ends with the chain where that broke:
    rows cannot be held against what is not whole.

    told: hears how far it is, in rows of the chain looked at; each is looked at twice.
    """
    broken = audit.verify_chain(connection, None, told)
    if broken is not None:
        yield broken
        return
    length = audit.head(connection).id
    if told is not None:
        told(length)
    yield from damages(connection)
    if told is not None:
        told(2 * length)


def _moves(
    connection: sqlite3.Connection, last: dict[int, tuple[int, str | None]], versions: dict[int, str]
) -> Iterator[Damage | int]:
    """Transitions beside the audit rows of the moves; gives the first that does not fit, or how many there are."""
    steps = connection.execute(f"SELECT id, {STEP} FROM transition ORDER BY id")  # noqa: S608 # columns are ours
    wrong: Damage | None = None
    count = 0
    for step, move in zip_longest(steps, connection.execute(_MOVES)):
        if move is not None:
            audit_id, at_ms, actor, action, detail = move
            told = _decode(detail)
            last[told["alarm"]] = (audit_id, told.get("row"))
            if "version" in told:
                versions[told["alarm"]] = told["version"]
        if wrong is not None:
            continue  # the rest of the moves is still wanted for the alarms
        count += 1
        if move is None:
            wrong = Damage(f"transition {step[0]}", "was put in: no audit row speaks of it", None)
        elif step is None:
            wrong = Damage(f"transition of alarm {told['alarm']}", f"{action} was taken out", audit_id)
        elif (step[1], f"alarm.{step[2]}") != (told["alarm"], action):
            wrong = Damage(
                f"transition {step[0]}",
                f"is {step[2]} of alarm {step[1]}, want {action} of alarm {told['alarm']}: it was altered, or one "
                "before it taken out or put in",
                audit_id,
            )
        elif not _fits(step, told, at_ms, actor):
            wrong = Damage(f"transition {step[0]}", f"({step[2]} of alarm {step[1]}) was altered", audit_id)
        if wrong is not None:
            yield wrong
    if wrong is None:
        yield count


def _fits(step: tuple[Any, ...], told: dict[str, Any], at_ms: int, actor: str) -> bool:
    if "step" in told:
        return bool(digest(step[1:]) == told["step"])
    _, _, _, _, to_state, event_ms, recorded_ms, by, note, _ = step
    return (to_state, event_ms, note) == (told["state"], told["event_ms"], told["note"]) and (recorded_ms, by) == (
        at_ms,
        actor,
    )


def _alarms(
    connection: sqlite3.Connection, last: dict[int, tuple[int, str | None]], versions: dict[int, str]
) -> Iterator[tuple[int, Damage | None]]:
    query = f"SELECT rule_version, {COLUMNS} FROM alarm ORDER BY id"  # noqa: S608 # columns are ours
    count = 0
    for version, *row in connection.execute(query):
        count += 1
        audit_id, told = last.pop(row[0], (None, None))
        wrong = None
        if audit_id is None:
            wrong = Damage(f"alarm {row[0]}", "was put in: no audit row speaks of it", None)
        elif told is not None and digest(row) != told:
            wrong = Damage(f"alarm {row[0]}", "was altered", audit_id)
        elif row[0] in versions and versions[row[0]] != version:
            wrong = Damage(f"alarm {row[0]}", "has another version of its rule than it was raised under", audit_id)
        yield count, wrong
    for alarm_id, (audit_id, _) in last.items():
        yield count, Damage(f"alarm {alarm_id}", "was taken out", audit_id)


def _rules(connection: sqlite3.Connection) -> tuple[int, list[Damage]]:
    wanted: dict[str, tuple[int, str]] = {}
    for audit_id, detail in connection.execute("SELECT id, detail FROM audit WHERE action = ?", (RULES_KEPT,)):
        wanted.update({name: (audit_id, told) for name, told in _decode(detail)["records"].items()})
    wrong, count = [], 0
    for rule, version, record in connection.execute("SELECT id, version, json FROM rule_version ORDER BY id, version"):
        count += 1
        audit_id, told = wanted.pop(f"{rule} {version}", (None, None))
        if told is not None and digest([record]) != told:
            wrong.append(Damage(f"rule_version {rule} {version}", "was altered", audit_id))
    wrong += [Damage(f"rule_version {name}", "was taken out", audit_id) for name, (audit_id, _) in wanted.items()]
    return count, wrong


def _entries(connection: sqlite3.Connection) -> Iterator[tuple[int, Damage | None]]:
    told: dict[str, int] = dict(connection.execute(_ENTRIES).fetchall())
    detail_of = "SELECT detail FROM audit WHERE id = ?"
    count = 0
    for kind, number, site, state, from_ms, until_ms, data in connection.execute(
        "SELECT kind, id, site, state, from_ms, until_ms, data FROM entry ORDER BY kind, id"
    ):
        count += 1
        name = f"{kind}/{number}"
        audit_id = told.pop(name, None)
        if audit_id is None:
            yield count, Damage(f"entry {name}", "was put in: no audit row speaks of it", None)
            continue
        row = _decode(connection.execute(detail_of, (audit_id,)).fetchone()[0])["row"]
        columns = (row["site"], row["state"], row["from_ms"], row["until_ms"])
        is_same = _decode(data) == row and columns == (site, state, from_ms, until_ms)
        yield count, None if is_same else Damage(f"entry {name}", "was altered", audit_id)
    for name, audit_id in told.items():
        yield count, Damage(f"entry {name}", "was taken out", audit_id)
