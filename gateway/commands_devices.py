"""Commands about devices and messages: approve, read now, dismiss, record work that was done."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from contract.messages import Reading, Request, Value, encode_readings
from contract.panel import DUTY_ANSWER
from contract.profile import ONLINE
from contract.topics import is_ident
from gateway.commands_form import Command, Form, Load, Name, Note, is_known, refuse
from gateway.ledger.alarm_rows import statement, write_tested
from gateway.ledger.reader import decode_value
from gateway.ledger.records import ApprovedDevice, UnknownDevice
from gateway.turn import Turn
from gateway.work.dates import TEST, dates_of

APPROVED_EPOCH = "approved"
"""Epoch of inbox rows that hold what a device said before it was approved."""
OLDEST_WORK_MS = 3653 * 86_400_000
AHEAD_MS = 60_000
"""A clock of a screen may be ahead of ours by this much."""
_CHUNK = 500


class _Approve(Form):
    site: str
    device: str
    profile: str
    title_zh: Name
    title_en: Name


class _Read(Form):
    site: str
    device: str


class _CheckDuty(Form):
    site: str
    device: str
    minutes: Annotated[int, msgspec.Meta(ge=1, le=255)]


class _Dismiss(Form):
    id: int


class _Record(Form):
    site: str
    device: str
    work: Literal["inspection", "maintenance", "calibration", "battery", "test"]
    at_ms: int
    note: Note = ""


class Kept(msgspec.Struct):
    """Readings kept of a device that is about to be approved: (point, observed_ms, received_ms, value, quality)."""

    rows: list[tuple[str, int, int, Value, str]]


def _read_kept(connection: sqlite3.Connection, site: str, device: str) -> Kept:
    """The kept readings of an unknown device, in the order they came."""
    rows = connection.execute(
        "SELECT point, observed_ms, received_ms, value, quality FROM unknown_reading WHERE site = ? AND device = ? "
        "ORDER BY id",
        (site, device),
    )
    return Kept([(row[0], row[1], row[2], decode_value(row[3]), row[4]) for row in rows])


def _kept_of(args: _Approve) -> Load:
    return partial(_read_kept, site=args.site, device=args.device)


def _approve(args: _Approve, actor: str, turn: Turn, kept: Kept | None) -> Any:
    state, key = turn.state, (args.site, args.device)
    unknown = state.unknown.get(key)
    if unknown is None or kept is None:
        raise refuse("not_found", f"device {args.site}/{args.device}: is not among the unknown devices.")
    if args.site not in state.installation.sites:
        raise refuse("invalid", f"site: got {args.site!r}, want a configured one. Add its site file first.")
    if not is_ident(args.profile) or args.profile not in state.installation.library:
        raise refuse(
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


def _forget(args: _Read, actor: str, turn: Turn, _: None) -> Any:
    """Throw away what an unknown device said; one that speaks again is unknown anew."""
    key = (args.site, args.device)
    unknown = turn.state.unknown.pop(key, None)
    if unknown is None:
        raise refuse("not_found", f"device {args.site}/{args.device}: is not among the unknown devices.")
    turn.new_devices[key] = unknown
    turn.changes.steps.append(
        statement("DELETE FROM unknown_reading WHERE site = ? AND device = ?", args.site, args.device)
    )
    turn.changes.steps.append(
        statement("DELETE FROM unknown_device WHERE site = ? AND device = ?", args.site, args.device)
    )
    turn.changes.add_audit(actor, "device.forget", f"{args.site}/{args.device}", readings=unknown.readings)
    return {}


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
        turn.readings.append((device.site, part))
    turn.stored += len(readings)


def _read(args: _Read, actor: str, turn: Turn, _: None) -> Any:
    agent = turn.state.owners.get((args.site, args.device))
    if agent is None:
        raise refuse("not_found", f"device {args.site}/{args.device}: got no such device.")
    known = turn.state.agents.get((args.site, agent))
    if known is None or not known.online:
        raise refuse("unavailable", f"agent {args.site}/{agent}: got no connection to it. Try again when it is back.")
    turn.requests.append((args.site, agent, Request(kind="poll", device=args.device)))
    turn.changes.add_audit(actor, "device.read", f"{args.site}/{args.device}")
    return {}


def _check_duty(args: _CheckDuty, actor: str, turn: Turn, _: None) -> Any:
    """Pass a duty check to a transmitter; the answer comes as its reading `duty_answer`."""
    state, name = turn.state, f"{args.site}/{args.device}"
    agent = state.owners.get((args.site, args.device))
    if agent is None:
        raise refuse("not_found", f"device {name}: got no such device.")
    points = state.engine.points(args.site, agent)
    if f"{args.device}/{DUTY_ANSWER}" not in points:
        raise refuse("invalid", f"device {name}: got one that knows no duty checks, want a transmitter.")
    is_online = points[f"{args.device}/{ONLINE}"].value is True
    if not is_online or state.engine.cause_of(args.site, args.device) is not None:
        raise refuse("unavailable", f"device {name}: got no connection to it. Try again when it is back.")
    turn.requests.append((args.site, agent, Request(kind="duty", device=args.device, minutes=args.minutes)))
    turn.changes.add_audit(actor, "device.check_duty", name, minutes=args.minutes)
    return {}


def _dismiss(args: _Dismiss, actor: str, turn: Turn, _: None) -> Any:
    found = next((key for key, row_id in turn.state.quarantine.items() if row_id == args.id), None)
    if found is None:
        raise refuse("not_found", f"quarantine {args.id}: got no such row.")
    del turn.state.quarantine[found]
    turn.changes.steps.append(statement("DELETE FROM quarantine WHERE id = ?", args.id))
    turn.changes.add_audit(actor, "quarantine.dismiss", found[0], reason=found[1])
    return {}


def _record(args: _Record, actor: str, turn: Turn, _: None) -> Any:
    state, subject = turn.state, f"{args.site}/{args.device}"
    if args.site not in state.installation.sites or not is_known(turn, args.site, args.device):
        raise refuse("not_found", f"device {subject[:120]}: got no such device.")
    if not turn.now_ms - OLDEST_WORK_MS <= args.at_ms <= turn.now_ms + AHEAD_MS:
        raise refuse("invalid", f"at_ms: got {args.at_ms}, want a time that is past, at most ten years ago.")
    last = state.done.setdefault((args.site, args.device), {})
    last[args.work] = max(args.at_ms, last.get(args.work, 0))
    turn.changes.steps.append(
        statement(
            "INSERT INTO work (site, device, work, at_ms, recorded_ms, by, note) VALUES (?,?,?,?,?,?,?)",
            args.site,
            args.device,
            args.work,
            args.at_ms,
            turn.now_ms,
            actor,
            args.note,
        )
    )
    if args.work == TEST:
        turn.changes.steps.append(write_tested(subject, args.at_ms, None, actor))
    dates = dates_of(state.installation, state.done, args.site, args.device)
    state.engine.set_dates(args.site, args.device, dates)
    turn.changes.add_audit(actor, "work.record", subject, work=args.work, at_ms=args.at_ms, note=args.note)
    return {"due_ms": dates}


COMMANDS = {
    "device.approve": Command(_Approve, _approve, _kept_of),
    "device.check_duty": Command(_CheckDuty, _check_duty),
    "device.forget": Command(_Read, _forget),
    "device.read": Command(_Read, _read),
    "quarantine.dismiss": Command(_Dismiss, _dismiss),
    "work.record": Command(_Record, _record),
}
