"""Commands about incidents: open by hand, confirm, who goes and arrives, the brigade, what was found, close."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.alarms.holds import FIRE
from gateway.commands_form import Command, Form, Note, Said, refuse
from gateway.incidents.rows import CLOSED, Crew, FalseClass, Finding, Incident, burns, missing
from gateway.turn import Turn

CREW = 100
"""People of one station at one fire."""
CALLS = 50
"""Stations at one fire."""
_People = Annotated[list[int], msgspec.Meta(max_length=CREW)]
replace = msgspec.structs.replace


class _Open(Form):
    site: str
    text: Said


class _On(Form):
    id: int


class _Station(Form):
    """station: a site with a micro fire station. at_ms: when, where it is written down afterwards; None: now."""

    id: int
    station: str
    people: _People = []
    at_ms: int | None = None


class _Call(Form):
    id: int
    station: str


class _Brigade(Form):
    id: int
    what: Literal["called", "arrived", "not_needed"]
    at_ms: int | None = None


class _Find(Form):
    id: int
    finding: Finding
    found: Said
    cause: Note = ""
    false_class: FalseClass | None = None


class _Note(Form):
    id: int
    text: Said


class _Close(Form):
    id: int
    note: Note = ""


def _open(args: _Open, actor: str, turn: Turn, _: None) -> Any:
    if args.site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {args.site[:100]!r}: got no such site.")
    register = turn.state.registers.incidents
    if (there := register.of_site(args.site)) is not None:
        raise refuse("conflict", f"site {args.site}: incident {there.id} is open already. Go on with that one.")
    return msgspec.to_builtins(register.open_by_hand(args.site, args.text, actor, turn.pen))


def _confirm(args: _On, actor: str, turn: Turn, _: None) -> Any:
    row = _row(turn, args.id)
    if row.confirmed_ms is not None:
        raise refuse("conflict", f"incident {row.id}: is confirmed already.")
    return msgspec.to_builtins(turn.state.registers.incidents.confirm(row, "person", turn.pen, actor))


def _call(args: _Call, actor: str, turn: Turn, _: None) -> Any:
    row = _row(turn, args.id)
    if row.drill is not None:
        raise refuse("invalid", f"incident {row.id}: belongs to drill {row.drill}, which calls nobody outside.")
    _station(turn, args.station)
    if args.station == row.site or any(crew.site == args.station for crew in row.calls):
        raise refuse("conflict", f"station {args.station}: has been called already.")
    if len(row.calls) >= CALLS:
        raise refuse("conflict", f"incident {row.id}: got {CALLS} stations already, want no more.")
    grid = turn.state.installation.grid
    far = dict(grid.near(row.site, float("inf"), len(turn.state.installation.sites)))
    called = turn.state.registers.incidents.call(row, [(args.station, far.get(args.station))], actor, turn.pen)
    return msgspec.to_builtins(called)


def _answer(args: _Station, actor: str, turn: Turn, _: None) -> Any:
    row, crew, at_ms = _crew(turn, args)
    if crew.called_ms is None:
        raise refuse("invalid", f"station {args.station}: was not called to incident {row.id}.")
    return _moves(turn, row, replace(crew, answered_ms=at_ms), "answer", actor)


def _depart(args: _Station, actor: str, turn: Turn, _: None) -> Any:
    row, crew, at_ms = _crew(turn, args)
    if crew.arrived_ms is not None and crew.arrived_ms < at_ms:
        raise refuse("invalid", "at_ms: got a time after the arrival, want one before.")
    return _moves(turn, row, replace(crew, departed_ms=at_ms), "depart", actor)


def _arrive(args: _Station, actor: str, turn: Turn, _: None) -> Any:
    row, crew, at_ms = _crew(turn, args)
    if crew.departed_ms is not None and crew.departed_ms > at_ms:
        raise refuse("invalid", "at_ms: got a time before the departure, want one after.")
    return _moves(turn, row, replace(crew, arrived_ms=at_ms), "arrive", actor)


def _brigade(args: _Brigade, actor: str, turn: Turn, _: None) -> Any:
    row = _row(turn, args.id)
    if row.drill is not None and args.what != "not_needed":
        raise refuse("invalid", f"incident {row.id}: belongs to drill {row.drill}, which calls nobody outside.")
    at_ms = _time(turn, row, args.at_ms)
    if args.what == "called":
        row = replace(row, brigade_called_ms=at_ms, brigade_needed=True)
    elif args.what == "arrived":
        row = replace(row, brigade_arrived_ms=at_ms, brigade_needed=True)
        row = replace(row, brigade_called_ms=row.brigade_called_ms or at_ms)
    elif row.brigade_called_ms is not None:
        raise refuse("conflict", f"incident {row.id}: the brigade has been called already.")
    else:
        row = replace(row, brigade_needed=False)
    kept = turn.state.registers.incidents.keep(row, "brigade", actor, turn.pen, what=args.what)
    return msgspec.to_builtins(kept)


def _find(args: _Find, actor: str, turn: Turn, _: None) -> Any:
    row = _row(turn, args.id)
    if row.drill is not None and args.finding != "test":
        raise refuse("invalid", f"finding: got {args.finding}, want test: it belongs to drill {row.drill}.")
    row = replace(
        row,
        finding=args.finding,
        found=args.found.strip(),
        cause=args.cause.strip(),
        false_class=args.false_class if args.finding == "false" else None,
    )
    kept = turn.state.registers.incidents.keep(row, "find", actor, turn.pen)
    book = turn.state.book
    # The fires at hand are what the incident was, so that figures about false alarms count them.
    for alarm in [*book.open.values(), *book.closed.values()]:
        mine = alarm.site == row.site and alarm.severity == FIRE and alarm.drill == row.drill
        if mine and (alarm.id == row.alarm or alarm.recorded_ms >= row.from_ms) and alarm.finding != args.finding:
            turn.moves.find(alarm, args.finding, actor, "")
    return msgspec.to_builtins(kept)


def _note(args: _Note, actor: str, turn: Turn, _: None) -> Any:
    row = _row(turn, args.id)
    return msgspec.to_builtins(turn.pen.write(_sheet(turn), row, "note", actor, text=args.text.strip()))


def _close(args: _Close, actor: str, turn: Turn, _: None) -> Any:
    row = _row(turn, args.id)
    burning = [alarm.id for alarm in turn.state.book.open.values() if burns(alarm, row)]
    if burning:
        raise refuse(
            "invalid",
            f"incident {row.id}: fire alarm {burning[0]} still stands. Reset the panel once it is safe; shelve the "
            "alarm of a detector that is at fault.",
        )
    if lacks := missing(row):
        raise refuse("invalid", f"incident {row.id}: lacks {', '.join(lacks)}. Fill in the sheet first.")
    row = replace(row, state=CLOSED, until_ms=turn.now_ms, closed_by=actor, note=args.note.strip())
    return msgspec.to_builtins(turn.state.registers.incidents.keep(row, "close", actor, turn.pen))


def _row(turn: Turn, number: int) -> Incident:
    row = turn.state.registers.incidents.sheet.rows.get(number)
    if row is None:
        raise refuse("not_found", f"incident {number}: got none that is open.")
    return row


def _sheet(turn: Turn) -> Any:
    return turn.state.registers.incidents.sheet


def _station(turn: Turn, name: str) -> None:
    if name not in turn.state.installation.sites:
        raise refuse("not_found", f"station {name[:100]!r}: got no such site.")


def _crew(turn: Turn, args: _Station) -> tuple[Incident, Crew, int]:
    """The incident, what is known of the station there, and the time; everything checked."""
    row = _row(turn, args.id)
    _station(turn, args.station)
    if row.drill is not None and args.station != row.site:
        raise refuse("invalid", f"incident {row.id}: belongs to drill {row.drill}, which calls nobody outside.")
    for number in args.people:
        if turn.state.registers.people.find(number) is None:
            raise refuse("not_found", f"people: got {number}, want numbers of people of the register.")
    crew = row.own if args.station == row.site else next((c for c in row.calls if c.site == args.station), None)
    crew = crew or Crew(site=args.station)
    if crew.site != row.site and crew not in row.calls and len(row.calls) >= CALLS:
        raise refuse("conflict", f"incident {row.id}: got {CALLS} stations already, want no more.")
    people = tuple(dict.fromkeys([*crew.people, *args.people]))[:CREW]
    return row, replace(crew, people=people), _time(turn, row, args.at_ms)


def _time(turn: Turn, row: Incident, at_ms: int | None) -> int:
    if at_ms is None:
        return turn.now_ms
    if not row.from_ms <= at_ms <= turn.now_ms:
        raise refuse("invalid", "at_ms: got a time outside the incident, want one since it began and not ahead.")
    return at_ms


def _moves(turn: Turn, row: Incident, crew: Crew, verb: str, actor: str) -> Any:
    return msgspec.to_builtins(turn.state.registers.incidents.crew_moves(row, crew, verb, actor, turn.pen))


COMMANDS = {
    "incident.open": Command(_Open, _open),
    "incident.confirm": Command(_On, _confirm),
    "incident.call": Command(_Call, _call),
    "incident.answer": Command(_Station, _answer),
    "incident.depart": Command(_Station, _depart),
    "incident.arrive": Command(_Station, _arrive),
    "incident.brigade": Command(_Brigade, _brigade),
    "incident.find": Command(_Find, _find),
    "incident.note": Command(_Note, _note),
    "incident.close": Command(_Close, _close),
}
