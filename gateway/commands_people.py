"""Commands about people: passwords, sign-ins, what was handed out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.commands_form import Command, Form, refuse
from gateway.ledger.alarm_rows import statement
from gateway.turn import Turn
from gateway.users import ONE_TIME_MS


class _SetPassword(Form):
    name: str
    password_hash: Annotated[str, msgspec.Meta(pattern=r"^\$argon2id\$", max_length=300)]


class _SetArea(Form):
    name: str
    area: Annotated[str, msgspec.Meta(max_length=60)]
    """'' for everything."""


class _OpenSession(Form):
    token_hash: Annotated[str, msgspec.Meta(min_length=16, max_length=128)]
    user: str
    expires_ms: int


class _CloseSession(Form):
    token_hash: str


class _SignInFailed(Form):
    name: Annotated[str, msgspec.Meta(max_length=200)]
    address: Annotated[str, msgspec.Meta(max_length=200)] = ""


class _Exported(Form):
    what: Annotated[str, msgspec.Meta(max_length=500)]
    range: Any = None


def _set_password(args: _SetPassword, actor: str, turn: Turn, _: None) -> Any:
    _must_exist(turn, args.name)
    turn.changes.steps.append(
        statement(
            "UPDATE user SET password_hash = ?, one_time_until_ms = NULL WHERE name = ?", args.password_hash, args.name
        )
    )
    # Whoever held the old password is signed out.
    turn.changes.steps.append(statement("DELETE FROM session WHERE user = ?", args.name))
    turn.changes.add_audit(actor, "user.set_password", args.name)
    return {}


def _reset_password(args: _SetPassword, actor: str, turn: Turn, _: None) -> Any:
    _must_exist(turn, args.name)
    turn.changes.steps.append(
        statement(
            "UPDATE user SET password_hash = ?, one_time_until_ms = ? WHERE name = ?",
            args.password_hash,
            turn.now_ms + ONE_TIME_MS,
            args.name,
        )
    )
    turn.changes.steps.append(statement("DELETE FROM session WHERE user = ?", args.name))
    turn.changes.add_audit(actor, "user.reset", args.name)
    return {}


def _set_area(args: _SetArea, actor: str, turn: Turn, _: None) -> Any:
    _must_exist(turn, args.name)
    grid = turn.state.installation.grid
    if args.area and args.area not in grid.areas:
        known = ", ".join(list(grid.areas)[:20]) or "none (there is no grid file)"
        raise refuse("not_found", f"area: got {args.area!r}, want one of {known}.")
    turn.state.areas[args.name] = args.area
    turn.changes.steps.append(statement("UPDATE user SET area = ? WHERE name = ?", args.area, args.name))
    turn.changes.add_audit(actor, "user.set_area", args.name, area=args.area)
    return {}


def _open_session(args: _OpenSession, actor: str, turn: Turn, _: None) -> Any:
    _must_exist(turn, args.user)
    turn.changes.steps.append(
        statement(
            "INSERT OR REPLACE INTO session VALUES (?,?,?,?)", args.token_hash, args.user, turn.now_ms, args.expires_ms
        )
    )
    turn.changes.add_audit(actor, "session.open", args.user, expires_ms=args.expires_ms)
    return {}


def _close_session(args: _CloseSession, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.steps.append(statement("DELETE FROM session WHERE token_hash = ?", args.token_hash))
    turn.changes.add_audit(actor, "session.close", actor)
    return {}


def _sign_in_failed(args: _SignInFailed, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(actor, "sign_in.failed", args.name, address=args.address)
    return {}


def _exported(args: _Exported, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(actor, "exported", args.what, range=args.range)
    return {}


def _must_exist(turn: Turn, name: str) -> None:
    if name not in turn.state.users:
        raise refuse("not_found", f"user {name[:100]!r}: got no such user.")


COMMANDS = {
    "user.set_password": Command(_SetPassword, _set_password),
    "user.reset": Command(_SetPassword, _reset_password),
    "user.set_area": Command(_SetArea, _set_area),
    "session.open": Command(_OpenSession, _open_session),
    "session.close": Command(_CloseSession, _close_session),
    "sign_in.failed": Command(_SignInFailed, _sign_in_failed),
    "exported": Command(_Exported, _exported),
}
