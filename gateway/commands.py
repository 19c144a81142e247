"""Operator commands: each goes through the pipeline's transaction like a message does, and each is audited.

A command is checked against the working state, notes its changes in the turn, and gives its result; the result is
told only after the commit.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway import commands_alarms, commands_devices, commands_duty, commands_holds, commands_notify, commands_people
from gateway.commands_form import Command, Form, Load, refuse
from gateway.control.client import ControlError
from gateway.control.protocol import Ask
from gateway.turn import Turn


def execute(ask: Ask, turn: Turn, loaded: Any = None) -> Any:
    """Do a command. Raises ControlError, having changed nothing, when it cannot be done.

    loaded: what `needs` asked for.
    """
    command, args = _parse(ask)
    return command.act(args, ask.actor, turn, loaded)


def needs(ask: Ask) -> Load | None:
    """What is to be read from the ledger before `execute`; None for most commands, and for one that is refused."""
    try:
        command, args = _parse(ask)
    except ControlError:
        return None
    return None if command.needs is None else command.needs(args)


def _parse(ask: Ask) -> tuple[Command, Form]:
    if not 1 <= len(ask.actor) <= 100:
        raise refuse("invalid", f"actor: got {ask.actor[:20]!r}, want 1..100 characters.")
    command = COMMANDS.get(ask.op)
    if command is None:
        raise refuse("invalid", f"op: got {ask.op!r}, want one of {', '.join(COMMANDS)}.")
    try:
        return command, msgspec.convert(ask.args, command.form)
    except msgspec.ValidationError as exc:
        raise refuse("invalid", f"{ask.op}: {exc}.") from exc


COMMANDS: dict[str, Command] = {
    **commands_alarms.COMMANDS,
    **commands_holds.COMMANDS,
    **commands_duty.COMMANDS,
    **commands_notify.COMMANDS,
    **commands_devices.COMMANDS,
    **commands_people.COMMANDS,
}
