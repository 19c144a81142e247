"""Commands about one alarm: acknowledge, assign, note, find, shelve, unshelve."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any, Literal

import msgspec

from gateway.alarms.holds import FIRE
from gateway.assignees import must_see_to
from gateway.commands_form import Command, Form, Load, Note, Said, refuse
from gateway.control.protocol import AlarmView
from gateway.ledger.alarm_rows import ALARMS, alarm_view
from gateway.turn import Turn

HOUR_MS = 3_600_000
SHELVE_FIRE_MS = 4 * HOUR_MS
"""A fire may lie on the shelf for this long at most; then it speaks again."""
SHELVE_MS = 7 * 24 * HOUR_MS
"""Any other alarm; what is to be quiet for longer is out of service."""


class _OnAlarm(Form):
    alarm_id: int
    note: Note = ""


class _Assign(Form):
    alarm_id: int
    person: str
    note: Note = ""


class _Note(Form):
    alarm_id: int
    note: Said


class _Find(Form):
    alarm_id: int
    finding: Literal["real", "false", "test", "unclear"]
    note: Note = ""


class _Shelve(Form):
    alarm_id: int
    until_ms: int
    reason: Said


def _acknowledge(args: _OnAlarm, actor: str, turn: Turn, _: None) -> Any:
    alarm = _open(turn, args.alarm_id, "nothing to acknowledge")
    done = turn.moves.acknowledge(alarm, actor, args.note)
    if done is None:
        raise refuse("conflict", f"alarm {args.alarm_id}: {alarm.acknowledged_by} has acknowledged it already.")
    return msgspec.to_builtins(done)


def _assign(args: _Assign, actor: str, turn: Turn, _: None) -> Any:
    alarm = _open(turn, args.alarm_id, "nobody has to see to it")
    if args.person:
        must_see_to(turn, args.person, alarm.site, actor)
    return msgspec.to_builtins(turn.moves.assign(alarm, args.person or None, actor, args.note))


def _write_note(args: _Note, actor: str, turn: Turn, loaded: AlarmView | None) -> Any:
    return msgspec.to_builtins(turn.moves.note(_any(turn, args.alarm_id, loaded), actor, args.note))


def _find(args: _Find, actor: str, turn: Turn, loaded: AlarmView | None) -> Any:
    alarm = _any(turn, args.alarm_id, loaded)
    return msgspec.to_builtins(turn.moves.find(alarm, args.finding, actor, args.note))


def _shelve(args: _Shelve, actor: str, turn: Turn, _: None) -> Any:
    alarm = _open(turn, args.alarm_id, "nothing to put on the shelf")
    most_ms = SHELVE_FIRE_MS if alarm.severity == FIRE else SHELVE_MS
    wanted_ms = args.until_ms - turn.now_ms
    if not 0 < wanted_ms <= most_ms:
        raise refuse(
            "invalid",
            f"until_ms: got {wanted_ms / HOUR_MS:.1f} h from now, want more than 0 and at most {most_ms // HOUR_MS} h"
            f"{' for a fire' if alarm.severity == FIRE else ''}. Choose an earlier time.",
        )
    return msgspec.to_builtins(turn.holding.shelve(alarm, args.until_ms, args.reason, actor))


def _unshelve(args: _OnAlarm, actor: str, turn: Turn, _: None) -> Any:
    shelves = turn.state.book.holds.shelves
    alarm = turn.state.book.open.get(args.alarm_id)
    # The alarm that was shelved may be over; its rule is still on the shelf for its subject.
    found = shelves.get((alarm.rule, alarm.subject)) if alarm is not None else None
    found = found or next((shelf for shelf in shelves.values() if shelf.alarm_id == args.alarm_id), None)
    if found is None:
        raise refuse("conflict", f"alarm {args.alarm_id}: is not on the shelf.")
    turn.holding.unshelve(found, actor, args.note, turn.now_ms)
    return {"rule": found.rule, "subject": found.subject}


def _open(turn: Turn, alarm_id: int, nothing: str) -> AlarmView:
    alarm = turn.state.book.open.get(alarm_id)
    if alarm is None:
        if 0 < alarm_id < turn.state.book.next_alarm:
            raise refuse("conflict", f"alarm {alarm_id}: is back to normal, {nothing}.")
        raise refuse("not_found", f"alarm {alarm_id}: got no such alarm, want the number of an open one.")
    return alarm


def _any(turn: Turn, alarm_id: int, loaded: AlarmView | None) -> AlarmView:
    """The alarm as it is now, also one that is over. What is in memory is newer than what the ledger told."""
    alarm = turn.state.book.open.get(alarm_id) or turn.state.book.closed.get(alarm_id) or loaded
    if alarm is None:
        raise refuse("not_found", f"alarm {alarm_id}: got no such alarm.")
    return alarm


def _row_of(args: _Note | _Find) -> Load:
    return partial(_read_alarm, alarm_id=args.alarm_id)


def _read_alarm(connection: sqlite3.Connection, alarm_id: int) -> AlarmView | None:
    row = connection.execute(ALARMS + "WHERE id = ?", (alarm_id,)).fetchone()
    return alarm_view(row) if row else None


COMMANDS = {
    "alarm.acknowledge": Command(_OnAlarm, _acknowledge),
    "alarm.assign": Command(_Assign, _assign),
    "alarm.note": Command(_Note, _write_note, _row_of),
    "alarm.find": Command(_Find, _find, _row_of),
    "alarm.shelve": Command(_Shelve, _shelve),
    "alarm.unshelve": Command(_OnAlarm, _unshelve),
}
