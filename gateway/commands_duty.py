"""Commands about duty: checks asked and answered, people who sign on and off, handovers, the log.

Who acts is the person of the login (`actor`), or the one whose PIN was verified by the pages (`person`, proof `pin`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from contract.station import Station
from gateway.commands_form import Command, Form, Load, Name, Note, Said, refuse
from gateway.duty.checks import CENTRE, Answered, DutyCheck, view
from gateway.duty.handover import Handover, Item, Side, Signature, Stay, Unsent, digest, read_unsent, standing
from gateway.duty.log import LOG, LogEntry, Topic
from gateway.duty.people import Person
from gateway.duty.proof import Proof
from gateway.ledger.entries import find_entry
from gateway.ledger.secret import is_signed, sign
from gateway.turn import Turn

Number = Annotated[int, msgspec.Meta(ge=1)]
LEADS = ("leader", "deputy")
"""Roles that may sign for an old crew that is not there."""


class _Ask(Form):
    site: str
    origin: Name
    minutes: Annotated[int, msgspec.Meta(ge=1, le=255)]


class _Who(Form, kw_only=True):
    """person: whose PIN was verified; None: the one of the login."""

    person: Number | None = None
    proof: Literal["login", "pin"] = "login"


class _Answer(_Who, kw_only=True):
    id: int
    post: str = ""
    code: Annotated[str, msgspec.Meta(max_length=64)] = ""


class _SignOn(_Who, kw_only=True):
    site: str
    post: str
    takes_over: bool = False


class _SignOff(_Who, kw_only=True):
    site: str


class _Sign(_Who, kw_only=True):
    site: str
    side: Side
    seen: str
    note: Note = ""


class _Write(_Who, kw_only=True):
    site: str
    text: Said
    topic: Topic = "other"
    alarm: Number | None = None
    corrects: Number | None = None


class _Site(Form):
    site: str


class _Post(Form):
    site: str
    post: str


class _Scanned(_Post):
    code: Annotated[str, msgspec.Meta(max_length=64)]


# --- duty checks ----------------------------------------------------------------------------------------------------


def _ask(args: _Ask, actor: str, turn: Turn, _: None) -> Any:  # noqa: ARG001  # the same call for every command
    if args.site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {args.site[:100]!r}: got no such site.")
    return msgspec.to_builtins(view(turn.state.duty.ask(turn.pen, args.site, args.origin, args.minutes)))


def _answer(args: _Answer, actor: str, turn: Turn, _: None) -> Any:
    check = turn.state.duty.shown.get(args.id)
    if check is None:
        if 0 < args.id < turn.state.duty.next_id:
            raise refuse("conflict", f"duty check {args.id}: was answered already, or its time is long over.")
        raise refuse("not_found", f"duty check {args.id}: got no such check.")
    by = _proven(check, args, actor, turn)
    return msgspec.to_builtins(view(turn.state.duty.answer(turn.pen, check, by)))


def _proven(check: DutyCheck, args: _Answer, actor: str, turn: Turn) -> Answered:
    """Who answers. A centre wants somebody at the desk; our own checks want somebody known, at the post."""
    person = _find(args, actor, turn)
    proof: Proof = args.proof
    if args.code:
        _check_code(check.site, args.post, args.code, turn)
        proof = "qr"
    if not check.origin.startswith(CENTRE):
        if proof == "login":
            raise refuse(
                "invalid", f"duty check {check.id}: want a PIN or the code of the post. A click proves nothing."
            )
        if person is None:
            raise refuse("invalid", f"duty check {check.id}: login {actor!r} is nobody of the people. Give a PIN.")
    return Answered(actor, person.id if person is not None else None, proof, args.post if args.code else "")


def _code(args: _Post, actor: str, turn: Turn, _: None) -> Any:  # noqa: ARG001  # the same call for every command
    if args.post not in {post.id for post in _station(turn, args.site).posts}:
        raise refuse("not_found", f"post {args.post[:60]!r}: got no such post at {args.site}.")
    return {"code": sign(turn.state.registers.secret, _purpose(args.site, args.post))}


def _scanned(args: _Scanned, actor: str, turn: Turn, _: None) -> Any:  # noqa: ARG001  # the same call for every command
    """What somebody is told who scanned the code of a post: who is on duty there and what is asked now."""
    _check_code(args.site, args.post, args.code, turn)
    checks = [view(check) for check in turn.state.duty.shown.values() if check.site == args.site]
    people = sorted({number for crew in turn.state.registers.shifts.present(args.site).values() for number in crew})
    return {"checks": msgspec.to_builtins(checks), "people": people}


def _check_code(site: str, post: str, code: str, turn: Turn) -> None:
    """Raises ControlError for a code that is not the one of that post; why is nobody's business."""
    station = turn.state.registers.shifts.station(site)
    known = station is not None and post in {each.id for each in station.posts}
    if not known or not is_signed(turn.state.registers.secret, _purpose(site, post), code):
        raise refuse("not_found", "code: is not that of a post. Scan the code that hangs there.")


def _purpose(site: str, post: str) -> str:
    return f"post/{site}/{post}"


# --- shifts ---------------------------------------------------------------------------------------------------------


def _sign_on(args: _SignOn, actor: str, turn: Turn, _: None) -> Any:
    station, shifts = _station(turn, args.site), turn.state.registers.shifts
    if args.post not in {post.id for post in station.posts}:
        posts = ", ".join(post.id for post in station.posts)
        raise refuse("not_found", f"post: got {args.post[:60]!r}, want one of {posts}.")
    person = _somebody(args, actor, turn)
    there = shifts.where(person.id)
    if there is not None and there != args.site:
        raise refuse("conflict", f"person {person.id}: is on duty at {there}. Sign off there first.")
    takes_over = args.takes_over or shifts.is_changing(args.site, turn.now_ms)
    shift = shifts.current(args.site)
    is_there = shift is not None and any(stay.person == person.id for stay in shift.present)
    if is_there and not takes_over:
        raise refuse("conflict", f"person {person.id}: is on duty here already.")
    stay = Stay(person.id, args.post, turn.now_ms, proof=args.proof)
    row = shifts.sign_on(turn.pen, args.site, stay, actor, takes_over=takes_over)
    return {"takes_over": takes_over, "row": msgspec.to_builtins(row)}


def _sign_off(args: _SignOff, actor: str, turn: Turn, _: None) -> Any:
    _station(turn, args.site)
    shifts, person = turn.state.registers.shifts, _somebody(args, actor, turn)
    shift, row = shifts.current(args.site), shifts.handover(args.site)
    if row is None or all(stay.person != person.id for stay in row.arriving):
        present = {stay.person for stay in shift.present} if shift is not None else set()
        if shift is None or person.id not in present:
            raise refuse("conflict", f"person {person.id}: is not on duty at {args.site}.")
        if turn.now_ms >= shift.ends_ms:
            raise refuse("conflict", "the shift is over as planned: the crew stays until the handover is signed.")
        if present == {person.id}:
            raise refuse("conflict", "nobody else is on duty here: hand over first.")
    return msgspec.to_builtins(shifts.sign_off(turn.pen, args.site, person.id, actor))


# --- handover -------------------------------------------------------------------------------------------------------


def _needs_unsent(args: _Site | _Sign) -> Load:
    return lambda connection: read_unsent(connection, args.site)


def _look(args: _Site, actor: str, turn: Turn, loaded: list[Unsent]) -> Any:  # noqa: ARG001  # as every command
    _station(turn, args.site)
    items = standing(turn.state, args.site, loaded)
    row = turn.state.registers.shifts.handover(args.site)
    return {
        "at_ms": turn.now_ms,
        "seen": digest(items),
        "items": msgspec.to_builtins(items),
        "handover": msgspec.to_builtins(row),
        "shift": msgspec.to_builtins(turn.state.registers.shifts.current(args.site)),
    }


def _sign(args: _Sign, actor: str, turn: Turn, loaded: list[Unsent]) -> Any:
    _station(turn, args.site)
    shifts = turn.state.registers.shifts
    row, person = shifts.handover(args.site), _somebody(args, actor, turn)
    if row is None:
        raise refuse("conflict", f"{args.site}: nobody has come to take over. The new crew signs on first.")
    signed, other = (row.old, row.new) if args.side == "old" else (row.new, row.old)
    if signed is not None:
        raise refuse("conflict", f"handover {row.id}: this side has signed already.")
    if other is not None and other.person == person.id:
        raise refuse("conflict", f"handover {row.id}: person {person.id} signed for the other side. Want two people.")
    instead = _may_sign(args, row, person, turn)
    items: tuple[Item, ...] = standing(turn.state, args.site, loaded)
    if args.seen != digest(items):
        raise refuse("conflict", "the sheet has changed since it was shown. Look at it again, then sign.")
    by = Signature(person.id, turn.now_ms, args.proof, actor, args.note.strip(), instead)
    return msgspec.to_builtins(shifts.sign(turn.pen, row, args.side, by, items, actor))


def _may_sign(args: _Sign, row: Handover, person: Person, turn: Turn) -> bool:
    """Whether it is signed instead of an old crew that is not there. Raises ControlError when they may not sign."""
    shifts = turn.state.registers.shifts
    if args.side == "new":
        if person.id not in {stay.person for stay in row.arriving}:
            raise refuse("conflict", f"person {person.id}: has not signed on for the new shift.")
        return False
    shift = shifts.current(args.site)
    if shift is None:
        return True  # a witness of a post that nobody held
    if person.id in {stay.person for stay in shift.present}:
        return False
    known = shifts.station(args.site)
    late_ms = row.due_ms + int(known.handover_s * 1000) if known is not None else 0
    if not set(person.roles) & set(LEADS) or turn.now_ms < late_ms:
        raise refuse(
            "conflict",
            f"person {person.id}: is not of the crew that hands over. Once it is overdue, the leader may sign instead.",
        )
    if not args.note.strip():
        raise refuse("invalid", "note: got nothing, want why the old crew does not sign.")
    return True


# --- log ------------------------------------------------------------------------------------------------------------


def _needs_corrected(args: _Write) -> Load:
    number = args.corrects
    return lambda connection: find_entry(connection, LOG, number) if number is not None else None


def _write(args: _Write, actor: str, turn: Turn, corrected: LogEntry | None) -> Any:
    _station(turn, args.site)
    person = _find(args, actor, turn)
    if args.corrects is not None and (corrected is None or corrected.site != args.site):
        raise refuse("not_found", f"log entry {args.corrects}: got no such entry of {args.site}.")
    if args.alarm is not None and not 0 < args.alarm < turn.state.book.next_alarm:
        raise refuse("not_found", f"alarm {args.alarm}: got no such alarm.")
    row = turn.state.registers.shifts.write_log(
        turn.pen, args.site, args.text.strip(), actor, person=person.id if person is not None else None,
        topic=args.topic, alarm=args.alarm, corrects=args.corrects,
    )  # fmt: skip
    return msgspec.to_builtins(row)


# --- who ------------------------------------------------------------------------------------------------------------


def _station(turn: Turn, site: str) -> Station:
    station = turn.state.registers.shifts.station(site)
    if station is None:
        raise refuse("not_found", f"site {site[:100]!r}: got no such site, or it has no station.")
    return station


def _find(args: _Who, actor: str, turn: Turn) -> Person | None:
    people = turn.state.registers.people
    if args.person is None:
        return people.of_user(actor)
    if args.proof != "pin":
        raise refuse("invalid", f"person {args.person}: want their PIN.")
    person = people.find(args.person)
    if person is None:
        raise refuse("not_found", f"person {args.person}: got nobody of that number.")
    return person


def _somebody(args: _Who, actor: str, turn: Turn) -> Person:
    person = _find(args, actor, turn)
    if person is None:
        raise refuse("invalid", f"login {actor!r} is nobody of the people. Give a PIN, or link the login to a person.")
    return person


COMMANDS = {
    "duty.ask": Command(_Ask, _ask),
    "duty.answer": Command(_Answer, _answer),
    "duty.code": Command(_Post, _code),
    "duty.scanned": Command(_Scanned, _scanned),
    "shift.sign_on": Command(_SignOn, _sign_on),
    "shift.sign_off": Command(_SignOff, _sign_off),
    "handover.look": Command(_Site, _look, _needs_unsent),
    "handover.sign": Command(_Sign, _sign, _needs_unsent),
    "log.write": Command(_Write, _write, _needs_corrected),
}
