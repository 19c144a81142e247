"""Commands about accounts: who may sign in, as what, for which area, with which password.

Who may give one is judged by the pages (gateway/web/access.py); what would lock everybody out is refused here.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Annotated, Any

import msgspec

from contract.grid import ONE_SITE
from gateway.commands_form import Command, Form, Load, refuse
from gateway.ledger.alarm_rows import statement
from gateway.ledger.records import User
from gateway.turn import Turn
from gateway.users import ONE_TIME_MS, ROLES

ADMINISTRATOR = "administrator"
MOST_USERS = 1000
NAME = re.compile(r"[\w][\w.-]{0,39}")
"""A name to sign in with: letters (of any script), digits, dots, dashes."""
RESERVED = frozenset({"local", "gateway", "rule", "public", "wall", "nobody", "system"})
"""Names that stand for something else in the audit trail."""

_PasswordHash = Annotated[str, msgspec.Meta(pattern=r"^\$argon2id\$", max_length=300)]
AreaName = Annotated[str, msgspec.Meta(max_length=65)]
"""'' for everything."""


class UserForm(Form):
    """About one account."""

    name: str


class _Rights(Form):
    name: str
    role: str
    area: AreaName = ""


class _Create(_Rights, kw_only=True):
    password_hash: _PasswordHash


class _SetArea(Form):
    name: str
    area: AreaName


class _SetPassword(Form):
    name: str
    password_hash: _PasswordHash


class _UseOneTime(_SetPassword):
    """password_hash: the one that was checked; a password given meanwhile is another one."""


class _Rehash(_SetPassword):
    before: str
    """The hash it replaces; another one meanwhile stays."""


# --- accounts -------------------------------------------------------------------------------------------------------


def _create(args: _Create, actor: str, turn: Turn, _: None) -> Any:
    users = turn.state.users
    if NAME.fullmatch(args.name) is None or args.name.casefold() in RESERVED:
        raise refuse("invalid", f"name: got {args.name[:60]!r}, want up to 40 letters, digits, dots and dashes.")
    if args.name.casefold() in {name.casefold() for name in users}:
        raise refuse("conflict", f"user {args.name!r}: is there already. Choose another name.")
    if len(users) >= MOST_USERS:
        raise refuse("conflict", f"users: got {len(users)}, want at most {MOST_USERS}.")
    check_rights(turn, args.role, args.area)
    users[args.name] = args.role
    turn.state.unused.add(args.name)
    _keep_area(turn, args.name, args.area)
    columns = "name, role, password_hash, one_time_until_ms, created_ms, area, password_ms"
    query = f"INSERT INTO user ({columns}) VALUES (?,?,?,?,?,?,?)"  # noqa: S608 # columns are ours
    until_ms = turn.now_ms + ONE_TIME_MS
    row = (args.name, args.role, args.password_hash, until_ms, turn.now_ms, args.area, turn.now_ms)
    turn.changes.steps.append(statement(query, *row))
    turn.changes.add_audit(actor, "user.create", args.name, role=args.role, area=args.area)
    return {"one_time_until_ms": until_ms}


def _set_rights(args: _Rights, actor: str, turn: Turn, _: None) -> Any:
    before = must_exist(turn, args.name), turn.state.areas.get(args.name, "")
    check_rights(turn, args.role, args.area)
    if (args.role, args.area) != (ADMINISTRATOR, ""):
        _must_not_be_last(turn, args.name)
    turn.state.users[args.name] = args.role
    _keep_area(turn, args.name, args.area)
    query = "UPDATE user SET role = ?, area = ? WHERE name = ?"
    turn.changes.steps.append(statement(query, args.role, args.area, args.name))
    told = {"role": args.role, "area": args.area, "before": list(before)}
    turn.changes.add_audit(actor, "user.set_rights", args.name, **told)
    return {}


def _set_area(args: _SetArea, actor: str, turn: Turn, _: None) -> Any:
    return _set_rights(_Rights(args.name, must_exist(turn, args.name), args.area), actor, turn, None)


def _set_password(args: _SetPassword, actor: str, turn: Turn, _: None) -> Any:
    must_exist(turn, args.name)
    turn.state.unused.discard(args.name)
    columns = "password_hash = ?, one_time_until_ms = NULL, one_time_used_ms = NULL, password_ms = ?"
    query = f"UPDATE user SET {columns} WHERE name = ?"  # noqa: S608 # columns are ours
    turn.changes.steps.append(statement(query, args.password_hash, turn.now_ms, args.name))
    # Whoever held the old password is signed out; tokens are no passwords and stay until they are revoked.
    turn.changes.steps.append(statement("DELETE FROM session WHERE user = ? AND kind = 'browser'", args.name))
    turn.changes.add_audit(actor, "user.set_password", args.name)
    return {}


def _use_one_time(args: _UseOneTime, actor: str, turn: Turn, row: User | None) -> Any:
    must_exist(turn, args.name)
    # The set says what this turn's commands did, the row which password it is about.
    if args.name not in turn.state.unused or row is None or row.password_hash != args.password_hash:
        raise refuse("conflict", f"user {args.name!r}: this one-time password was used already. Ask for a new one.")
    turn.state.unused.discard(args.name)
    query = "UPDATE user SET one_time_used_ms = ? WHERE name = ?"
    turn.changes.steps.append(statement(query, turn.now_ms, args.name))
    turn.changes.add_audit(actor, "user.use_one_time", args.name)
    return {}


def _rehash(args: _Rehash, actor: str, turn: Turn, _: None) -> Any:
    must_exist(turn, args.name)
    query = "UPDATE user SET password_hash = ? WHERE name = ? AND password_hash = ?"
    turn.changes.steps.append(statement(query, args.password_hash, args.name, args.before))
    turn.changes.add_audit(actor, "user.rehash", args.name)
    return {}


def _reset_password(args: _SetPassword, actor: str, turn: Turn, _: None) -> Any:
    must_exist(turn, args.name)
    until_ms = turn.now_ms + ONE_TIME_MS
    turn.state.unused.add(args.name)
    query = "UPDATE user SET password_hash = ?, one_time_until_ms = ?, one_time_used_ms = NULL WHERE name = ?"
    turn.changes.steps.append(statement(query, args.password_hash, until_ms, args.name))
    end_all_of(turn, args.name)
    turn.changes.add_audit(actor, "user.reset", args.name)
    return {"one_time_until_ms": until_ms}


def _disable(args: UserForm, actor: str, turn: Turn, _: None) -> Any:
    must_exist(turn, args.name)
    if args.name == actor:
        raise refuse("invalid", f"user {actor!r}: nobody switches their own account off. Ask another administrator.")
    if args.name in turn.state.disabled:
        return {}
    _must_not_be_last(turn, args.name)
    turn.state.disabled.add(args.name)
    turn.changes.steps.append(statement("UPDATE user SET disabled_ms = ? WHERE name = ?", turn.now_ms, args.name))
    end_all_of(turn, args.name)
    turn.changes.add_audit(actor, "user.disable", args.name)
    return {}


def _enable(args: UserForm, actor: str, turn: Turn, _: None) -> Any:
    must_exist(turn, args.name)
    if args.name not in turn.state.disabled:
        return {}
    turn.state.disabled.discard(args.name)
    turn.changes.steps.append(statement("UPDATE user SET disabled_ms = NULL WHERE name = ?", args.name))
    turn.changes.add_audit(actor, "user.enable", args.name)
    return {}


def _user_of(args: _UseOneTime) -> Load:
    query = f"SELECT {', '.join(User._fields)} FROM user WHERE name = ?"  # noqa: S608 # columns are ours

    def load(connection: sqlite3.Connection) -> User | None:
        row = connection.execute(query, (args.name,)).fetchone()
        return User(*row) if row else None

    return load


# --- checks ---------------------------------------------------------------------------------------------------------


def is_within(turn: Turn, inner: str, outer: str) -> bool:
    """Whether everything of an area (or `site:NAME`) lies in another one; '' is everything."""
    if not outer or inner == outer:
        return True
    grid = turn.state.installation.grid
    mine, theirs = grid.reach(inner), grid.reach(outer) or frozenset()
    return bool(mine) and mine is not None and mine <= theirs


def check_rights(turn: Turn, role: str, area: str, *, one_site: bool = False) -> None:
    if role not in ROLES:
        raise refuse("invalid", f"role: got {role[:40]!r}, want one of {', '.join(ROLES)}.")
    grid = turn.state.installation.grid
    if one_site and area.startswith(ONE_SITE) and grid.reach(area):
        return
    if area and area not in grid.areas:
        known = ", ".join(list(grid.areas)[:20]) or "none (there is no grid file)"
        raise refuse("not_found", f"area: got {area!r}, want one of {known}.")


def must_exist(turn: Turn, name: str) -> str:
    """The role of a user."""
    if name not in turn.state.users:
        raise refuse("not_found", f"user {name[:100]!r}: got no such user.")
    return turn.state.users[name]


def _must_not_be_last(turn: Turn, name: str) -> None:
    """Somebody must be left who can make accounts: an administrator for everything who may sign in."""
    state = turn.state
    left = {user for user, role in state.users.items() if role == ADMINISTRATOR} - set(state.areas) - state.disabled
    if left == {name}:
        raise refuse("conflict", f"user {name!r}: is the last administrator for everything. Make another one first.")


def _keep_area(turn: Turn, name: str, area: str) -> None:
    if area:
        turn.state.areas[name] = area
    else:
        turn.state.areas.pop(name, None)


def end_all_of(turn: Turn, name: str) -> None:
    """Browsers and tokens of a user are let in no more."""
    turn.changes.steps.append(statement("DELETE FROM session WHERE user = ?", name))


COMMANDS = {
    "user.create": Command(_Create, _create),
    "user.set_rights": Command(_Rights, _set_rights),
    "user.set_area": Command(_SetArea, _set_area),
    "user.set_password": Command(_SetPassword, _set_password),
    "user.use_one_time": Command(_UseOneTime, _use_one_time, needs=_user_of),
    "user.rehash": Command(_Rehash, _rehash),
    "user.reset": Command(_SetPassword, _reset_password),
    "user.disable": Command(UserForm, _disable),
    "user.enable": Command(UserForm, _enable),
}
