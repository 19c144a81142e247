"""Everything the ledger keeps of one person, as plain JSON: who they are, what was changed of them, what they did."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from gateway.ledger.personal import find_identities

NAMING = frozenset({"person", "people", "by"})
"""Fields of registers' rows that hold numbers of people. Logins are found whatever the field is called."""
_json = msgspec.json.Decoder()


class _Login(NamedTuple):
    """A login, and while it was theirs (ms UTC)."""

    name: str
    from_ms: int
    until_ms: int


def make_dossier(connection: sqlite3.Connection, person_id: int) -> dict[str, Any] | None:
    """What is kept of a person; None for a number nobody has. Free text that others wrote is not searched.

    Reads every row of the registers: seconds on a large ledger, so not on an event loop.
    """
    found = connection.execute("SELECT data FROM entry WHERE kind = 'person' AND id = ?", (person_id,)).fetchone()
    if found is None:
        return None
    changes = list(_audit(connection, "subject = ?", f"person/{person_id}"))
    logins = _logins(changes)
    names = {login.name for login in logins}
    identity = find_identities(connection, [person_id]).get(person_id)
    return {
        "person": _json.decode(found[0]),
        "identity": None
        if identity is None
        else {"name": identity.name, "phone": identity.phone, "certificates": identity.certificates},
        "sign_ins": [
            dict(zip(("name", "role", "created_ms"), row, strict=True))
            for row in connection.execute("SELECT name, role, created_ms FROM user ORDER BY name")
            if row[0] in names
        ],
        "changes": changes,
        "done": [row for login in logins for row in _done(connection, login)],
        "records": [
            {"kind": kind, **row}
            for kind, row in _records(connection)
            if kind != "person" and _names(row, person_id, names)
        ],
    }


def _audit(connection: sqlite3.Connection, where: str, *args: Any) -> Iterator[dict[str, Any]]:
    query = f"SELECT id, at_ms, actor, action, subject, detail FROM audit WHERE {where} ORDER BY id"  # noqa: S608 # ours
    for row in connection.execute(query, args):
        yield dict(zip(("id", "at_ms", "actor", "action", "subject"), row, strict=False)) | {
            "detail": _json.decode(row[5])
        }


def _logins(changes: list[dict[str, Any]]) -> list[_Login]:
    """The logins they had, one after the other, by the history of their row."""
    found: list[_Login] = []
    for change in changes:
        row = change["detail"].get("row")
        if row is None:
            continue
        user, at_ms = str(row.get("user", "")), int(change["at_ms"])
        if found and found[-1].until_ms == 2**62 and found[-1].name != user:
            found[-1] = found[-1]._replace(until_ms=at_ms)
        if user and not (found and found[-1].until_ms == 2**62):
            found.append(_Login(user, at_ms, 2**62))
    return found


def _done(connection: sqlite3.Connection, login: _Login) -> Iterator[dict[str, Any]]:
    yield from _audit(connection, "actor = ? AND at_ms >= ? AND at_ms <= ?", *login)


def _records(connection: sqlite3.Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, data in connection.execute("SELECT kind, data FROM entry ORDER BY kind, id"):
        yield kind, _json.decode(data)


def _names(value: Any, person_id: int, logins: set[str], field: str = "") -> bool:
    """Whether a person stands anywhere in a row, by number or login."""
    if isinstance(value, dict):
        return any(_names(each, person_id, logins, key) for key, each in value.items())
    if isinstance(value, list):
        return any(_names(each, person_id, logins, field) for each in value)
    if isinstance(value, str):
        return value in logins
    return field in NAMING and value == person_id and not isinstance(value, bool)
