"""Commands about who is let in without a password: browsers after a sign-in, tokens of programs, wall displays; what
pages tell for the audit alone (a failed sign-in, an export) stands here too.
"""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

import msgspec

from gateway.commands_accounts import (
    ADMINISTRATOR,
    AreaName,
    UserForm,
    check_rights,
    end_all_of,
    is_within,
    must_exist,
)
from gateway.commands_form import Command, Form, Load, refuse
from gateway.ledger.alarm_rows import statement
from gateway.ledger.records import Session
from gateway.turn import Turn
from gateway.users import ROLES

MOST_TOKENS = 20
"""Tokens of one person."""
TOKEN_MS = 366 * 86_400_000
"""Longest life of a token."""
CODE_MS = 15 * 60_000
"""Longest life of the code for a wall display."""
_Hash = Annotated[str, msgspec.Meta(min_length=16, max_length=128)]
_Label = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"\S")]
_Agent = Annotated[str, msgspec.Meta(max_length=300)]
_Address = Annotated[str, msgspec.Meta(max_length=200)]


class _OpenSession(Form):
    token_hash: _Hash
    user: str
    expires_ms: int
    agent: _Agent = ""
    address: _Address = ""


class _CloseSession(Form):
    token_hash: str


class _EndSession(Form):
    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
    """The beginning of its hash."""


class _Used(Form):
    used: dict[str, int]
    """Hash of a session -> when it was last used, ms UTC."""


class _Token(Form):
    token_hash: _Hash
    name: _Label
    role: str
    expires_ms: int
    area: AreaName = ""
    read_only: bool = False


class _Wall(Form):
    code_hash: _Hash
    name: _Label
    until_ms: int
    area: AreaName = ""


class _Pair(Form):
    code_hash: _Hash
    token_hash: _Hash
    expires_ms: int
    agent: _Agent = ""
    address: _Address = ""


class _SignInFailed(Form):
    name: Annotated[str, msgspec.Meta(max_length=200)]
    address: Annotated[str, msgspec.Meta(max_length=200)] = ""


class _Seen(Form):
    what: Annotated[str, msgspec.Meta(max_length=100)]


class _Exported(Form):
    what: Annotated[str, msgspec.Meta(max_length=500)]
    range: Any = None


def _open_session(args: _OpenSession, actor: str, turn: Turn, _: None) -> Any:
    must_exist(turn, args.user)
    if args.user in turn.state.disabled:
        raise refuse("conflict", f"user {args.user!r}: is switched off.")
    row = Session(args.token_hash, args.user, turn.now_ms, args.expires_ms, agent=args.agent, address=args.address)
    _keep(turn, row._replace(used_ms=turn.now_ms))
    turn.changes.steps.append(statement("UPDATE user SET signed_in_ms = ? WHERE name = ?", turn.now_ms, args.user))
    turn.changes.add_audit(
        actor, "session.open", args.user, expires_ms=args.expires_ms, id=row.id, address=args.address
    )
    return {}


def _close_session(args: _CloseSession, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.steps.append(statement("DELETE FROM session WHERE token_hash = ?", args.token_hash))
    turn.changes.add_audit(actor, "session.close", actor, id=args.token_hash[:16])
    return {}


def _end_session(args: _EndSession, actor: str, turn: Turn, row: Session | None) -> Any:
    if row is None or (row.user != actor and turn.state.users.get(actor) != ADMINISTRATOR):
        raise refuse("not_found", f"session {args.id}: got none of yours.")
    turn.changes.steps.append(statement("DELETE FROM session WHERE token_hash = ?", row.token_hash))
    turn.changes.add_audit(
        actor, f"{'session' if row.kind == 'browser' else row.kind}.end", row.name or row.user, id=args.id
    )
    return {}


def _end_all(args: UserForm, actor: str, turn: Turn, _: None) -> Any:
    must_exist(turn, args.name)
    end_all_of(turn, args.name)
    turn.changes.add_audit(actor, "session.end_all", args.name)
    return {}


def _used(args: _Used, _actor: str, turn: Turn, _: None) -> Any:
    for token_hash, used_ms in args.used.items():
        query = "UPDATE session SET used_ms = max(used_ms, ?) WHERE token_hash = ?"
        turn.changes.steps.append(statement(query, min(used_ms, turn.now_ms), token_hash))
    return {}


def _create_token(args: _Token, actor: str, turn: Turn, counts: dict[str, int]) -> Any:
    held = counts.get(actor, 0)
    role, area = must_exist(turn, actor), turn.state.areas.get(actor, "")
    if args.role != role and role != ADMINISTRATOR:
        raise refuse("invalid", f"role: got {args.role[:40]!r}, want {role!r}: a token may not do more than you.")
    check_rights(turn, args.role, args.area, one_site=True)
    if not is_within(turn, args.area, area):
        raise refuse(
            "not_found", f"area: got {args.area!r}, want one within {area!r}: a token may not see more than you."
        )
    if not turn.now_ms < args.expires_ms <= turn.now_ms + TOKEN_MS:
        raise refuse("invalid", f"expires_ms: got {args.expires_ms}, want a time within a year.")
    if held >= MOST_TOKENS:
        raise refuse("conflict", f"tokens: got {held}, want at most {MOST_TOKENS}. Revoke one that is not used.")
    row = Session(
        args.token_hash, actor, turn.now_ms, args.expires_ms, "token", args.name.strip(), args.role, args.area
    )
    _keep(turn, row._replace(read_only=args.read_only))
    told = {"id": row.id, "role": args.role, "area": args.area, "read_only": args.read_only}
    turn.changes.add_audit(actor, "token.create", args.name.strip(), **told, expires_ms=args.expires_ms)
    return {"id": row.id}


def _create_wall(args: _Wall, actor: str, turn: Turn, _: None) -> Any:
    check_rights(turn, ROLES[0], args.area, one_site=True)
    if not turn.now_ms < args.until_ms <= turn.now_ms + CODE_MS:
        raise refuse("invalid", f"until_ms: got {args.until_ms}, want a time within {CODE_MS // 60_000} minutes.")
    row = Session(args.code_hash, "", turn.now_ms, args.until_ms, "code", args.name.strip(), "wall", args.area)
    _keep(turn, row)
    turn.changes.add_audit(actor, "wall.create", args.name.strip(), id=row.id, area=args.area)
    return {"id": row.id}


def _pair_wall(args: _Pair, actor: str, turn: Turn, code: Session | None) -> Any:
    if code is None or code.kind != "code" or code.expires_ms <= turn.now_ms:
        raise refuse("not_found", "code: got none that is valid. Have an administrator make a new one.")
    # The code becomes the display: whoever types it a moment later changes nothing.
    query = (
        "UPDATE session SET token_hash = ?, kind = 'wall', created_ms = ?, expires_ms = ?, agent = ?, address = ?, "
        "used_ms = ?, read_only = 1 WHERE token_hash = ? AND kind = 'code'"
    )
    times = (turn.now_ms, args.expires_ms, args.agent, args.address, turn.now_ms)
    turn.changes.steps.append(statement(query, args.token_hash, *times, code.token_hash))
    shown = args.token_hash[:16]
    turn.changes.add_audit(actor, "wall.pair", code.name, id=shown, area=code.area, address=args.address)
    return {"name": code.name}


def _sign_in_failed(args: _SignInFailed, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(actor, "sign_in.failed", args.name, address=args.address)
    return {}


def _seen(args: _Seen, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(actor, "personal.seen", args.what)
    return {}


def _exported(args: _Exported, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(actor, "exported", args.what, range=args.range)
    return {}


def _keep(turn: Turn, row: Session) -> None:
    marks = ",".join("?" * len(row))
    query = f"INSERT OR REPLACE INTO session ({', '.join(Session._fields)}) VALUES ({marks})"  # noqa: S608 # ours
    turn.changes.steps.append(statement(query, *row))


def _find(where: str, value: str) -> Load:
    query = f"SELECT {', '.join(Session._fields)} FROM session WHERE {where}"  # noqa: S608 # terms below

    def load(connection: sqlite3.Connection) -> Session | None:
        row = connection.execute(query, (value,)).fetchone()
        return Session(*row) if row else None

    return load


def _count_tokens(_: Form) -> Load:
    query = "SELECT user, count(*) FROM session WHERE kind = 'token' GROUP BY user"
    return lambda connection: dict(connection.execute(query).fetchall())


COMMANDS = {
    "session.open": Command(_OpenSession, _open_session),
    "session.close": Command(_CloseSession, _close_session),
    "session.end": Command(_EndSession, _end_session, lambda args: _find("substr(token_hash, 1, 16) = ?", args.id)),
    "session.end_all": Command(UserForm, _end_all),
    "session.used": Command(_Used, _used),
    "token.create": Command(_Token, _create_token, _count_tokens),
    "wall.create": Command(_Wall, _create_wall),
    "wall.pair": Command(_Pair, _pair_wall, lambda args: _find("token_hash = ?", args.code_hash)),
    "sign_in.failed": Command(_SignInFailed, _sign_in_failed),
    "personal.seen": Command(_Seen, _seen),
    "exported": Command(_Exported, _exported),
}
