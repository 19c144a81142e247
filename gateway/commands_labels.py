"""Commands about the labels of devices: issue, revoke."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.commands_form import Command, Form, Note, is_known, refuse
from gateway.turn import Turn
from gateway.work.device_labels import MOST_AT_ONCE, MOST_DAYS


class _Issue(Form):
    site: str
    devices: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MOST_AT_ONCE)]
    days: Annotated[int, msgspec.Meta(ge=1, le=MOST_DAYS)]


class _Revoke(Form):
    id: int
    note: Note = ""


def _issue(args: _Issue, actor: str, turn: Turn, _: None) -> Any:
    for device in args.devices:
        if not is_known(turn, args.site, device):
            raise refuse("not_found", f"device {args.site}/{device[:60]}: got no such device.")
    made = turn.state.registers.labels.issue(turn.pen, args.site, list(dict.fromkeys(args.devices)), args.days, actor)
    return [{"id": row.id, "device": row.device, "until_ms": row.expires_ms} for row in made]


def _revoke(args: _Revoke, actor: str, turn: Turn, _: None) -> Any:
    labels = turn.state.registers.labels
    row = labels.sheet.rows.get(args.id)
    if row is None:
        raise refuse("not_found", f"label {args.id}: got none that holds.")
    labels.revoke(turn.pen, row, actor, args.note)
    return {}


COMMANDS = {"label.issue": Command(_Issue, _issue), "label.revoke": Command(_Revoke, _revoke)}
