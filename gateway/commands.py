"""Operator commands: each goes through the pipeline's transaction like a message does, and each is audited.

A command is checked against the working state, notes its changes in the turn, and gives its result; the result is
told only after the commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway import (
    commands_accounts,
    commands_admin,
    commands_alarms,
    commands_board,
    commands_devices,
    commands_duty,
    commands_equipment,
    commands_hazards,
    commands_holds,
    commands_incidents,
    commands_labels,
    commands_notify,
    commands_orders,
    commands_patrols,
    commands_sessions,
    commands_staff,
)
from gateway.commands_form import Command, Form, Load, refuse
from gateway.control.client import ControlError
from gateway.control.protocol import AlarmView, Ask
from gateway.turn import Turn

KINDS = {"duty": "duty_check"}
"""Rows of registers that commands name otherwise."""
CALLED = frozenset({"incident.answer", "incident.depart", "incident.arrive"})
"""What a station enters that was called to a fire elsewhere."""


def execute(ask: Ask, turn: Turn, loaded: Any = None) -> Any:
    """Do a command. Raises ControlError, having changed nothing, when it cannot be done.

    loaded: what `needs` asked for.
    """
    command, args = _parse(ask)
    _check_area(ask, turn, loaded)
    turn.changes.via, turn.changes.mark = ask.via, ask.mark
    try:
        return command.act(args, ask.actor, turn, loaded)
    finally:
        turn.changes.via = turn.changes.mark = ""


def needs(ask: Ask) -> Load | None:
    """What is to be read from the ledger before `execute`; None for most commands, and for one that is refused."""
    try:
        command, args = _parse(ask)
    except ControlError:
        return None
    return None if command.needs is None else command.needs(args)


def _check_area(ask: Ask, turn: Turn, loaded: Any) -> None:
    """What lies in another area does not exist for a person (or token) of one area."""
    grid = turn.state.installation.grid
    for area in filter(None, (turn.state.areas.get(ask.actor), ask.area)):
        if ask.op in commands_admin.WHOLE:
            raise refuse("not_found", f"{ask.op}: got nothing of area {area!r}, which is all you may see.")
        mine = grid.reach(area) or frozenset()
        for what, site in _named_sites(ask, turn, loaded):
            if site not in mine and not _is_of_called(ask, turn, mine):
                raise refuse("not_found", f"{what}: got nothing of area {area!r}, which is all you may see.")
        for what, site in _named_people(ask, turn):
            if site not in mine:
                raise refuse("not_found", f"{what}: got nothing of area {area!r}, which is all you may see.")


def _named_people(ask: Ask, turn: Turn) -> Iterator[tuple[str, str]]:
    """People of stations whom a command names as doing something, and their sites.

    Not who has proved with a PIN to be there: somebody of another station may stand in.
    """
    args = ask.args
    named = [args.get("person") if args.get("proof") != "pin" else None, *_rows(args.get("people"))]
    for cell in _rows(args.get("cells")):
        named += _rows(cell.get("people")) if isinstance(cell, dict) else ()
    for number in named:
        row = turn.state.registers.people.find(number) if isinstance(number, int) else None
        if row is not None:
            yield f"person {row.id}", row.site


def _rows(given: object) -> list[Any]:
    return given if isinstance(given, list) else []


def _is_of_called(ask: Ask, turn: Turn, mine: frozenset[str]) -> bool:
    """Whether a station of theirs was called to a fire elsewhere, and it is the station they speak for."""
    station, number = ask.args.get("station"), ask.args.get("id")
    if ask.op not in CALLED or station not in mine or not isinstance(number, int):
        return False
    row = turn.state.registers.incidents.sheet.rows.get(number)
    return row is not None and any(crew.site == station for crew in row.calls)


def _named_sites(ask: Ask, turn: Turn, loaded: Any) -> Iterator[tuple[str, str]]:
    """What a command is about, and the site (or area) that lies in."""
    state, args = turn.state, ask.args
    if isinstance(site := args.get("site"), str) and site:
        yield f"site {site[:100]!r}", site
    for name in ("cells", "people"):  # of a roster or a list: each of its own site
        for each in _rows(args.get(name)):
            if isinstance(each, dict) and isinstance(site := each.get("site"), str):
                yield f"site {site[:100]!r}", site
    if isinstance(subject := args.get("subject"), str) and subject:
        yield f"subject {subject[:100]!r}", subject.partition("/")[0]
    number = args.get("alarm_id")
    if isinstance(number, int):
        alarm = state.book.open.get(number) or state.book.closed.get(number)
        alarm = alarm or (loaded if isinstance(loaded, AlarmView) else None)
        if alarm is not None:
            yield f"alarm {number}", alarm.site
    if isinstance(number := args.get("hazard"), int) and (hazard := state.registers.find("hazard", number)) is not None:
        yield f"hazard {number}", hazard.site
    number, kind = args.get("id"), ask.op.partition(".")[0]
    if isinstance(number, int):
        holds = state.book.holds
        held: dict[str, dict[int, Any]] = {"drill": {**holds.drills}, "maintenance": {**holds.windows}}
        row = held.get(kind, {}).get(number)
        row = row or state.registers.find(KINDS.get(kind, kind), number) or loaded
        if kind == "quarantine":  # a source that names no site is for those who are for everything
            sources = (source for (source, _), row_id in state.quarantine.items() if row_id == number)
            yield from ((f"quarantine {number}", source.partition("/")[0]) for source in sources)
        if isinstance(site := getattr(row, "site", None), str):
            yield f"{kind} {number}", site


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
    **commands_admin.COMMANDS,
    **commands_alarms.COMMANDS,
    **commands_holds.COMMANDS,
    **commands_duty.COMMANDS,
    **commands_equipment.COMMANDS,
    **commands_notify.COMMANDS,
    **commands_devices.COMMANDS,
    **commands_accounts.COMMANDS,
    **commands_sessions.COMMANDS,
    **commands_patrols.COMMANDS,
    **commands_staff.COMMANDS,
    **commands_hazards.COMMANDS,
    **commands_orders.COMMANDS,
    **commands_incidents.COMMANDS,
    **commands_labels.COMMANDS,
    **commands_board.COMMANDS,
}
