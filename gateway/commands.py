"""Operator commands: each goes through the pipeline's transaction like a message does, and each is audited.

A command is checked against the working state, notes its changes in the turn, and gives its result; the result is
told only after the commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from contract.messages import Reading, Request, Value, encode_readings
from contract.topics import is_ident
from gateway.control.client import ControlError
from gateway.control.protocol import Ask, Problem
from gateway.ledger.reader import decode_value
from gateway.ledger.records import ApprovedDevice, UnknownDevice
from gateway.turn import Turn
from gateway.users import ONE_TIME_MS

APPROVED_EPOCH = "approved"
"""Epoch of inbox rows that hold what a device said before it was approved."""
_CHUNK = 500
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Note = Annotated[str, msgspec.Meta(max_length=2000)]


class _Acknowledge(msgspec.Struct, forbid_unknown_fields=True):
    alarm_id: int
    note: _Note = ""


class _Approve(msgspec.Struct, forbid_unknown_fields=True):
    site: str
    device: str
    profile: str
    title_zh: _Name
    title_en: _Name


class _Read(msgspec.Struct, forbid_unknown_fields=True):
    site: str
    device: str


class _Dismiss(msgspec.Struct, forbid_unknown_fields=True):
    id: int


class _SetPassword(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    password_hash: Annotated[str, msgspec.Meta(pattern=r"^\$argon2id\$", max_length=300)]


class _OpenSession(msgspec.Struct, forbid_unknown_fields=True):
    token_hash: Annotated[str, msgspec.Meta(min_length=16, max_length=128)]
    user: str
    expires_ms: int


class _CloseSession(msgspec.Struct, forbid_unknown_fields=True):
    token_hash: str


class _SignInFailed(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=200)]
    address: Annotated[str, msgspec.Meta(max_length=200)] = ""


class _Exported(msgspec.Struct, forbid_unknown_fields=True):
    what: Annotated[str, msgspec.Meta(max_length=500)]
    range: Any = None


class Kept(msgspec.Struct):
    """Readings kept of a device that is about to be approved: (point, observed_ms, received_ms, value, quality)."""

    rows: list[tuple[str, int, int, Value, str]]


def execute(ask: Ask, turn: Turn, kept: Kept | None = None) -> Any:
    """Do a command. Raises ControlError, having changed nothing, when it cannot be done."""
    if not 1 <= len(ask.actor) <= 100:
        raise _no("invalid", f"actor: got {ask.actor[:20]!r}, want 1..100 characters.")
    command = _COMMANDS.get(ask.op)
    if command is None:
        raise _no("invalid", f"op: got {ask.op!r}, want one of {', '.join(_COMMANDS)}.")
    shape, act = command
    try:
        args = msgspec.convert(ask.args, shape)
    except msgspec.ValidationError as exc:
        raise _no("invalid", f"{ask.op}: {exc}.") from exc
    return act(args, ask.actor, turn, kept)


def wants_kept(ask: Ask) -> tuple[str, str] | None:
    """The (site, device) whose kept readings `execute` needs; None for every other command."""
    if ask.op != "device.approve":
        return None
    return str(ask.args.get("site")), str(ask.args.get("device"))


def read_kept(connection: sqlite3.Connection, site: str, device: str) -> Kept:
    """The kept readings of an unknown device, in the order they came."""
    rows = connection.execute(
        "SELECT point, observed_ms, received_ms, value, quality FROM unknown_reading WHERE site = ? AND device = ? "
        "ORDER BY id",
        (site, device),
    )
    return Kept([(row[0], row[1], row[2], decode_value(row[3]), row[4]) for row in rows])


def _acknowledge(args: _Acknowledge, actor: str, turn: Turn, _: Kept | None) -> Any:
    alarm = turn.state.book.open.get(args.alarm_id)
    if alarm is None:
        if 0 < args.alarm_id < turn.state.book.next_alarm:
            raise _no("conflict", f"alarm {args.alarm_id}: is back to normal, nothing to acknowledge.")
        raise _no("not_found", f"alarm {args.alarm_id}: got no such alarm, want the number of an open one.")
    done = turn.moves.acknowledge(alarm, actor, args.note)
    if done is None:
        raise _no("conflict", f"alarm {args.alarm_id}: {alarm.acknowledged_by} has acknowledged it already.")
    return msgspec.to_builtins(done)


def _approve(args: _Approve, actor: str, turn: Turn, kept: Kept | None) -> Any:
    state, key = turn.state, (args.site, args.device)
    unknown = state.unknown.get(key)
    if unknown is None or kept is None:
        raise _no("not_found", f"device {args.site}/{args.device}: is not among the unknown devices.")
    if args.site not in state.installation.sites:
        raise _no("invalid", f"site: got {args.site!r}, want a configured one. Add its site file first.")
    if not is_ident(args.profile) or args.profile not in state.installation.library:
        raise _no(
            "invalid", f"profile: got {args.profile!r}, want one of {', '.join(state.installation.library.ids())}."
        )
    device = ApprovedDevice(
        args.site, args.device, unknown.agent, args.profile, args.title_zh, args.title_en, turn.now_ms, actor
    )
    state.engine.add_device(args.site, unknown.agent, args.device, state.installation.library[args.profile])
    state.approved[key] = device
    state.owners.setdefault(key, unknown.agent)
    del state.unknown[key]
    turn.new_devices[key] = unknown
    _release(unknown, device, turn, kept)
    turn.changes.add_audit(
        actor, "device.approve", f"{args.site}/{args.device}", profile=args.profile, readings=len(kept.rows)
    )
    return {"readings": len(kept.rows)}


def _release(unknown: UnknownDevice, device: ApprovedDevice, turn: Turn, kept: Kept) -> None:
    """Move the kept readings into the inbox, so that rules, screens and history get them."""

    def move(connection: sqlite3.Connection) -> None:
        where = (device.site, device.device)
        connection.execute("INSERT INTO approved_device VALUES (?,?,?,?,?,?,?,?)", device)
        connection.execute("DELETE FROM unknown_reading WHERE site = ? AND device = ?", where)
        connection.execute("DELETE FROM unknown_device WHERE site = ? AND device = ?", where)

    turn.changes.steps.append(move)
    readings = [Reading(f"{device.device}/{row[0]}", row[1], row[3], row[4]) for row in kept.rows]
    for at in range(0, len(readings), _CHUNK):
        part = readings[at : at + _CHUNK]
        turn.changes.add_inbox(
            device.site, unknown.agent, APPROVED_EPOCH, "telemetry", 0, turn.now_ms, encode_readings(part)
        )
        turn.state.engine.observe(device.site, part, turn.now_ms)
        turn.oldest_ms = min(turn.oldest_ms, turn.now_ms)
        turn.readings.append((device.site, part))
    turn.stored += len(readings)


def _read(args: _Read, actor: str, turn: Turn, _: Kept | None) -> Any:
    agent = turn.state.owners.get((args.site, args.device))
    if agent is None:
        raise _no("not_found", f"device {args.site}/{args.device}: got no such device.")
    known = turn.state.agents.get((args.site, agent))
    if known is None or not known.online:
        raise _no("unavailable", f"agent {args.site}/{agent}: got no connection to it. Try again when it is back.")
    turn.requests.append((args.site, agent, Request(kind="poll", device=args.device)))
    turn.changes.add_audit(actor, "device.read", f"{args.site}/{args.device}")
    return {}


def _dismiss(args: _Dismiss, actor: str, turn: Turn, _: Kept | None) -> Any:
    found = next((key for key, row_id in turn.state.quarantine.items() if row_id == args.id), None)
    if found is None:
        raise _no("not_found", f"quarantine {args.id}: got no such row.")
    del turn.state.quarantine[found]
    turn.changes.steps.append(_statement("DELETE FROM quarantine WHERE id = ?", args.id))
    turn.changes.add_audit(actor, "quarantine.dismiss", found[0], reason=found[1])
    return {}


def _set_password(args: _SetPassword, actor: str, turn: Turn, _: Kept | None) -> Any:
    _must_exist(turn, args.name)
    turn.changes.steps.append(
        _statement(
            "UPDATE user SET password_hash = ?, one_time_until_ms = NULL WHERE name = ?", args.password_hash, args.name
        )
    )
    # Whoever held the old password is signed out.
    turn.changes.steps.append(_statement("DELETE FROM session WHERE user = ?", args.name))
    turn.changes.add_audit(actor, "user.set_password", args.name)
    return {}


def _reset_password(args: _SetPassword, actor: str, turn: Turn, _: Kept | None) -> Any:
    _must_exist(turn, args.name)
    turn.changes.steps.append(
        _statement(
            "UPDATE user SET password_hash = ?, one_time_until_ms = ? WHERE name = ?",
            args.password_hash,
            turn.now_ms + ONE_TIME_MS,
            args.name,
        )
    )
    turn.changes.steps.append(_statement("DELETE FROM session WHERE user = ?", args.name))
    turn.changes.add_audit(actor, "user.reset", args.name)
    return {}


def _open_session(args: _OpenSession, actor: str, turn: Turn, _: Kept | None) -> Any:
    _must_exist(turn, args.user)
    turn.changes.steps.append(
        _statement(
            "INSERT OR REPLACE INTO session VALUES (?,?,?,?)", args.token_hash, args.user, turn.now_ms, args.expires_ms
        )
    )
    turn.changes.add_audit(actor, "session.open", args.user, expires_ms=args.expires_ms)
    return {}


def _close_session(args: _CloseSession, actor: str, turn: Turn, _: Kept | None) -> Any:
    turn.changes.steps.append(_statement("DELETE FROM session WHERE token_hash = ?", args.token_hash))
    turn.changes.add_audit(actor, "session.close", actor)
    return {}


def _sign_in_failed(args: _SignInFailed, actor: str, turn: Turn, _: Kept | None) -> Any:
    turn.changes.add_audit(actor, "sign_in.failed", args.name, address=args.address)
    return {}


def _exported(args: _Exported, actor: str, turn: Turn, _: Kept | None) -> Any:
    turn.changes.add_audit(actor, "exported", args.what, range=args.range)
    return {}


def _must_exist(turn: Turn, name: str) -> None:
    if name not in turn.state.users:
        raise _no("not_found", f"user {name[:100]!r}: got no such user.")


def _statement(query: str, *values: Any) -> Callable[[sqlite3.Connection], None]:
    def step(connection: sqlite3.Connection) -> None:
        connection.execute(query, values)

    return step


def _no(code: str, text: str) -> ControlError:
    return ControlError(Problem(code, text))


_COMMANDS: dict[str, tuple[type[msgspec.Struct], Callable[..., Any]]] = {
    "alarm.acknowledge": (_Acknowledge, _acknowledge),
    "device.approve": (_Approve, _approve),
    "device.read": (_Read, _read),
    "quarantine.dismiss": (_Dismiss, _dismiss),
    "user.set_password": (_SetPassword, _set_password),
    "user.reset": (_SetPassword, _reset_password),
    "session.open": (_OpenSession, _open_session),
    "session.close": (_CloseSession, _close_session),
    "sign_in.failed": (_SignInFailed, _sign_in_failed),
    "exported": (_Exported, _exported),
}
