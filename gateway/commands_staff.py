"""Commands about people of the stations and their rosters.

What stands in `identity` (name, phone, numbers of certificates, PIN) goes there and nowhere else: rows, audit chain,
refusals and screens have the number of the person.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from contract.station import CertificateKind
from gateway.assignees import must_be_let_in
from gateway.commands_form import Command, Form, Load, Said, refuse
from gateway.duty.people import PERSON, Certificate, Person, Role, expiry_ms
from gateway.duty.planning import Cell, Problem
from gateway.ledger.entries import find_entry
from gateway.ledger.personal import Identity, add_identity, change_identity, erase, find_identities, set_pin
from gateway.turn import Turn

MOST_PEOPLE = 2000
MOST_CELLS = 5000
PersonName = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^\S(.*\S)?$")]
Phone = Annotated[str, msgspec.Meta(pattern=r"^(\+?[0-9]{5,20})?$")]
PinHash = Annotated[str, msgspec.Meta(pattern=r"^(\$argon2id\$.*)?$", max_length=300)]


class _Certificate(Form):
    kind: CertificateKind
    number: Annotated[str, msgspec.Meta(max_length=60)] = ""
    until: date | None = None
    """Last day on which it is valid."""


class _Add(Form):
    site: str
    name: PersonName
    phone: Phone = ""
    roles: list[Role] = []
    certificates: Annotated[list[_Certificate], msgspec.Meta(max_length=12)] = []
    user: Annotated[str, msgspec.Meta(max_length=100)] = ""
    pin_hash: PinHash = ""


class _Change(Form):
    id: int
    site: str
    name: PersonName
    phone: Phone = ""
    roles: list[Role] = []
    certificates: Annotated[list[_Certificate], msgspec.Meta(max_length=12)] = []
    user: Annotated[str, msgspec.Meta(max_length=100)] = ""


class _Import(Form):
    people: Annotated[list[_Add], msgspec.Meta(min_length=1, max_length=MOST_PEOPLE)]


class _Leave(Form):
    id: int
    reason: Said = "left"


class _Return(Form):
    id: int


class _SetPin(Form):
    id: int
    pin_hash: PinHash
    """Empty: takes the PIN away."""


class _PinFailed(Form):
    id: int
    address: Annotated[str, msgspec.Meta(max_length=200)] = ""


class _Plan(Form):
    cells: Annotated[list[Cell], msgspec.Meta(min_length=1, max_length=MOST_CELLS)]
    accept: bool = False
    """Plan double duty and people without a certificate all the same: it stands as a finding."""


# --- people --------------------------------------------------------------------------------------------------------


def _add(args: _Add, actor: str, turn: Turn, known: dict[int, Identity]) -> Any:
    _check(args, turn, 0, known)
    return {"id": _keep_new(args, actor, turn)}


def _import(args: _Import, actor: str, turn: Turn, known: dict[int, Identity]) -> Any:
    users: set[str] = set()
    names: set[tuple[str, str]] = set()
    for number, each in enumerate(args.people, 1):
        _check(each, turn, 0, known, f"person {number}: ")
        if each.user in users or (each.name, each.phone) in names:
            raise refuse("invalid", f"person {number}: got the same person or login again, want each once.")
        users |= {each.user} - {""}
        names.add((each.name, each.phone))
    return {"ids": [_keep_new(each, actor, turn) for each in args.people]}


def _keep_new(args: _Add, actor: str, turn: Turn) -> int:
    people = turn.state.registers.people
    row = Person(
        id=people.sheet.take_id(),
        site=args.site,
        state="active",
        from_ms=turn.now_ms,
        roles=tuple(dict.fromkeys(args.roles)),
        certificates=_certificates(args, turn),
        user=args.user,
        has_pin=bool(args.pin_hash),
    )
    people.keep(turn.pen, row, "add", actor)
    turn.changes.steps.append(
        add_identity(Identity(row.id, args.name, args.phone, _numbers(args), args.pin_hash or None))
    )
    turn.state.registers.roster.people_changed(row.id, row.site)
    return row.id


def _change(args: _Change, actor: str, turn: Turn, known: dict[int, Identity]) -> Any:
    before = _active(turn, args.id)
    _check(args, turn, args.id, known)
    row = replace(
        before,
        site=args.site,
        roles=tuple(dict.fromkeys(args.roles)),
        certificates=_certificates(args, turn),
        user=args.user,
    )
    turn.state.registers.people.keep(turn.pen, row, "change", actor)
    turn.changes.steps.append(change_identity(row.id, args.name, args.phone, _numbers(args)))
    turn.state.registers.roster.people_changed(row.id, before.site, row.site)
    return {}


def _leave(args: _Leave, actor: str, turn: Turn, _: None) -> Any:
    row = _active(turn, args.id)
    row = replace(row, state="left", until_ms=turn.now_ms, user="")
    registers = turn.state.registers
    registers.people.keep(turn.pen, row, "leave", actor)
    registers.roster.people_changed(row.id, row.site)
    return {"planned": sum(each.duty.until_ms > turn.now_ms for each in registers.roster.plans.held(row.id))}


def _return(args: _Return, actor: str, turn: Turn, row: Person | None) -> Any:
    row = _found(args.id, row)
    if row.state != "left":
        raise refuse("conflict", f"person {row.id}: got one who is {row.state}, want one who left.")
    if row.site not in turn.state.installation.sites:
        raise refuse("invalid", f"site {row.site!r}: got no such site any more. Add the person to another one.")
    row = replace(row, state="active", until_ms=None)
    turn.state.registers.people.keep(turn.pen, row, "return", actor)
    turn.state.registers.roster.people_changed(row.id, row.site)
    return {}


def _erase(args: _Return, actor: str, turn: Turn, row: Person | None) -> Any:
    row = _found(args.id, row)
    if row.state == "erased":
        raise refuse("conflict", f"person {row.id}: was erased already.")
    if row.state != "left":
        raise refuse("conflict", f"person {row.id}: got one who is there, want one who left. Mark them as left first.")
    row = replace(row, state="erased", roles=(), certificates=(), user="", has_pin=False)
    turn.state.registers.people.keep(turn.pen, row, "erase", actor)
    turn.changes.steps.append(erase("identity", "person", row.id, turn.now_ms))
    return {}


def _set_pin(args: _SetPin, actor: str, turn: Turn, _: None) -> Any:
    row = replace(_active(turn, args.id), has_pin=bool(args.pin_hash))
    turn.state.registers.people.keep(turn.pen, row, "set_pin", actor)
    turn.changes.steps.append(set_pin(row.id, args.pin_hash or None))
    return {}


def _pin_failed(args: _PinFailed, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(actor, "person.pin_failed", f"person/{args.id}", address=args.address)
    return {}


def _check(args: _Add | _Change, turn: Turn, person_id: int, known: dict[int, Identity], head: str = "") -> None:
    """Refuse what cannot be of one person; nothing personal stands in the text."""
    if args.site not in turn.state.installation.sites:
        raise refuse("not_found", f"{head}site {args.site[:100]!r}: got no such site.")
    kinds = [each.kind for each in args.certificates]
    if len(set(kinds)) < len(kinds):
        raise refuse("invalid", f"{head}certificates: got a kind twice, want each once, with its latest date.")
    if args.user:
        if args.user not in turn.state.users:
            raise refuse("not_found", f"{head}user {args.user!r}: got no such login.")
        whose = turn.state.registers.people.of_user(args.user)
        if whose is not None and whose.id != person_id:
            raise refuse("conflict", f"{head}user {args.user!r}: is the login of person {whose.id}.")
        if whose is None or whose.site != args.site:  # a login that was switched off since stays with its person
            must_be_let_in(turn, args.user, args.site)
    for other in known.values():
        same = (other.name, other.phone) == (args.name, args.phone) and other.person != person_id
        if same and turn.state.registers.people.find(other.person) is not None:
            raise refuse("conflict", f"{head}got somebody with the same name and phone as person {other.person}.")


def _certificates(args: _Add | _Change, turn: Turn) -> tuple[Certificate, ...]:
    zone = ZoneInfo(turn.state.installation.sites[args.site].time_zone)
    return tuple(
        Certificate(each.kind, None if each.until is None else expiry_ms(each.until, zone))
        for each in sorted(args.certificates, key=lambda each: each.kind)
    )


def _numbers(args: _Add | _Change) -> dict[str, str]:
    return {each.kind: each.number for each in args.certificates if each.number}


def _active(turn: Turn, person_id: int) -> Person:
    row = turn.state.registers.people.find(person_id)
    if row is None:
        raise refuse("not_found", f"person {person_id}: got nobody with this number who is there.")
    return row


def _found(person_id: int, row: Person | None) -> Person:
    if row is None:
        raise refuse("not_found", f"person {person_id}: got no such number.")
    return row


def _identities(_: Form) -> Load:
    return find_identities


def _person(args: _Return) -> Load:
    return lambda connection: find_entry(connection, PERSON, args.id)


# --- rosters -------------------------------------------------------------------------------------------------------


def _plan(args: _Plan, actor: str, turn: Turn, _: None) -> Any:
    roster = turn.state.registers.roster
    draft = roster.draft()
    draft.take(args.cells, turn.now_ms)
    bars = [each for each in draft.problems if not (args.accept and each.code in ("double", "certificate"))]
    if bars:
        raise refuse("invalid", " ".join(_told(each, args.cells[each.cell]) for each in bars[:50]))
    detail = {"accepted": [_told(each, args.cells[each.cell]) for each in draft.problems]} if draft.problems else {}
    days = 0
    for (site, day), duties in sorted(draft.days.items()):
        before = roster.day(site, day)
        if duties != (before.duties if before is not None else ()):
            roster.keep(turn.pen, site, day, duties, actor, **detail)
            days += 1
    return {"days": days}


def _told(problem: Problem, cell: Cell) -> str:
    place = f"{cell.site}/{cell.post} {cell.day} {cell.shift}"
    want = f", want {' or '.join(problem.want)}" if problem.want else ""
    return f"{place}: {problem.field}: {problem.code}: got {problem.got[:60]}{want}."


COMMANDS = {
    "person.add": Command(_Add, _add, _identities),
    "person.import": Command(_Import, _import, _identities),
    "person.change": Command(_Change, _change, _identities),
    "person.leave": Command(_Leave, _leave),
    "person.return": Command(_Return, _return, _person),
    "person.erase": Command(_Return, _erase, _person),
    "person.set_pin": Command(_SetPin, _set_pin),
    "person.pin_failed": Command(_PinFailed, _pin_failed),
    "roster.plan": Command(_Plan, _plan),
}
