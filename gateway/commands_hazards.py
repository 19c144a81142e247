"""Commands about hazards: report, look at what the public reported, assign, extend, fix, verify, close, supervise."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec

from contract.hazard import HazardLevel
from contract.site import REGISTER_DEVICE
from gateway.assignees import must_not_be_idle
from gateway.commands_form import Command, Form, Load, Name, Note, Said, refuse
from gateway.ledger.entries import find_entry
from gateway.turn import Turn
from gateway.work import public
from gateway.work import rectification as r
from gateway.work.deadlines import MOST_DAYS, deadline_ms
from gateway.work.rectification import HAZARD, Hazard

PUBLIC = "public"
Photo = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")]
Receipt = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Place = Annotated[str, msgspec.Meta(max_length=200)]
Days = Annotated[int, msgspec.Meta(ge=0, le=MOST_DAYS)]


class _Report(Form):
    site: str = ""
    text: Note = ""
    subject: Annotated[str, msgspec.Meta(max_length=200)] = ""
    place: Place = ""
    level: HazardLevel = "general"
    alarm_id: int | None = None
    photo: Photo = ""


class _Receive(Form):
    receipt: Receipt
    text: Said
    site: str = ""
    place: Place = ""
    phone: Annotated[str, msgspec.Meta(max_length=40)] = ""
    photo: Photo = ""


class _Take(Form):
    id: int
    site: str
    text: Said
    subject: Annotated[str, msgspec.Meta(max_length=200)] = ""
    place: Place = ""
    level: HazardLevel = "general"


class _Explain(Form):
    id: int
    note: Said


class _MayExplain(Form):
    id: int
    note: Note = ""


class _Assign(Form):
    """By when: `days` from today (the site's habit, or `working`), or the moment itself."""

    id: int
    owner: Name
    measure: Said
    days: Days | None = None
    working: bool | None = None
    deadline_ms: int | None = None
    person: int | None = None
    department: Annotated[str, msgspec.Meta(max_length=100)] = ""
    interim: Note = ""
    money_fen: Annotated[int, msgspec.Meta(ge=0, le=10**13)] | None = None
    level: HazardLevel | None = None


class _Extend(Form):
    id: int
    note: Said
    days: Days | None = None
    working: bool | None = None
    until_ms: int | None = None


class _Fix(Form):
    id: int
    note: Said
    photo: Photo = ""


class _List(Form):
    id: int
    number: Name
    authority: Name
    deadline_ms: int


class _Erase(Form):
    id: int


class _Refused(Form):
    counts: dict[str, Annotated[int, msgspec.Meta(ge=1)]]


class _Received(NamedTuple):
    """What `hazard.receive` needs: the report this receipt was given for before."""

    known: public.PublicReport | None


# --- found ---------------------------------------------------------------------------------------------------------


def _report(args: _Report, actor: str, turn: Turn, _: None) -> Any:
    site, subject, text = args.site, args.subject.strip("/"), args.text.strip()
    if args.alarm_id is not None:
        alarm = turn.state.book.open.get(args.alarm_id)
        if alarm is None or not alarm.active:
            raise refuse("conflict", f"alarm {args.alarm_id}: does not stand. Report the hazard without it.")
        if alarm.drill is not None:
            raise refuse("conflict", f"alarm {args.alarm_id}: belongs to a drill.")
        if alarm.subject.startswith(f"{alarm.site}/{REGISTER_DEVICE}/hazards_"):
            raise refuse("conflict", f"alarm {args.alarm_id}: speaks of hazards that are known. See to these.")
        site, subject = alarm.site, alarm.subject
        rule = turn.state.installation.rules.get(alarm.rule)
        text = text or (f"{rule.title.zh} / {rule.title.en}" if rule else alarm.rule)
    _must_be_site(turn, site)
    _must_be_of(site, subject)
    if not text:
        raise refuse("invalid", "text: got nothing, want what is wrong.")
    hazard = turn.state.registers.hazards.report(
        turn.pen, site, subject, "person", text, actor, photo=args.photo, alarm_id=args.alarm_id, level=args.level,
        place=args.place.strip(),
    )  # fmt: skip
    return _row(hazard)


def _receive(args: _Receive, actor: str, turn: Turn, loaded: _Received) -> Any:  # noqa: ARG001 # the same call for all
    if loaded.known is not None:
        return {"id": loaded.known.hazard}
    if args.site:
        _must_be_site(turn, args.site)
    words = public.PublicReport(0, args.receipt, args.text.strip(), args.place.strip(), args.phone.strip())
    hazard = turn.state.registers.hazards.receive(turn.pen, args.site, words, args.photo)
    if hazard is None:
        raise refuse("unavailable", "report: got more than may wait to be looked at. Try again later.")
    return {"id": hazard.id}


def _refused(args: _Refused, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(actor, "report.refused", PUBLIC, counts=args.counts)
    return {}


def _take(args: _Take, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    _must_be_site(turn, args.site)
    subject = args.subject.strip("/")
    _must_be_of(args.site, subject)
    words = {
        "site": args.site, "text": args.text.strip(), "subject": subject, "place": args.place.strip(),
        "level": args.level,
    }  # fmt: skip
    handling = turn.state.registers.hazards.handling(args.site)
    return _step(turn, hazard, "take", actor, lambda row: r.take(row, turn.now_ms, handling, **words))


def _dismiss(args: _Explain, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    return _step(turn, hazard, "dismiss", actor, lambda row: r.dismiss(row, turn.now_ms), note=args.note.strip())


def _erase(args: _Erase, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = turn.state.registers.hazards.find(args.id) or loaded
    if hazard is None or not hazard.receipt:
        raise refuse("not_found", f"hazard {args.id}: got no report of the public.")
    if hazard.state == "reported":
        raise refuse("conflict", f"hazard {args.id}: nobody has looked at it. Take it on or dismiss it first.")
    public.erase(turn.pen, hazard.id)
    turn.changes.add_audit(actor, "hazard.erase", f"hazard/{hazard.id}")
    return {"id": hazard.id}


# --- rectified -----------------------------------------------------------------------------------------------------


def _assign(args: _Assign, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    if args.person is not None and turn.state.registers.people.find(args.person) is None:
        raise refuse("not_found", f"person {args.person}: got no such person.")
    owner = args.owner.strip()
    must_not_be_idle(turn, owner, hazard.site)
    order = r.Order(
        owner=owner,
        deadline_ms=_deadline(turn, hazard, args.days, args.working, args.deadline_ms),
        person=args.person,
        department=args.department.strip(),
        measure=args.measure.strip(),
        interim=args.interim.strip(),
        money_fen=args.money_fen,
        by=actor,
        at_ms=turn.now_ms,
    )
    if hazard.is_listed and args.level == "general":
        raise refuse("conflict", f"hazard {hazard.id}: is under listed supervision, so it is a major one.")
    level = args.level or hazard.level

    def change(row: Hazard) -> Hazard:
        return r.assign(msgspec.structs.replace(row, level=level), order, turn.now_ms)

    return _step(turn, hazard, "assign", actor, change)


def _extend(args: _Extend, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    until_ms = _deadline(turn, hazard, args.days, args.working, args.until_ms)
    return _step(
        turn, hazard, "extend", actor, lambda row: r.extend(row, until_ms, turn.now_ms), note=args.note.strip()
    )


def _fix(args: _Fix, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    handling = turn.state.registers.hazards.handling(hazard.site)
    done = r.Fix(by=actor, at_ms=turn.now_ms, note=args.note.strip(), photo=args.photo, person=_person(turn, actor))
    if hazard.state == "found":
        change = partial(r.fix_on_the_spot, done=done, now_ms=turn.now_ms, handling=handling)
        return _step(turn, hazard, "spot_fix", actor, change, note=done.note)
    change = partial(r.fix, done=done, now_ms=turn.now_ms, handling=handling)
    return _step(turn, hazard, "fix", actor, change, note=done.note)


def _verify(args: _MayExplain, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    handling = turn.state.registers.hazards.handling(hazard.site)
    person = _person(turn, actor)
    return _step(
        turn, hazard, "verify", actor, lambda row: r.verify(row, actor, person, turn.now_ms, handling), note=args.note
    )


def _reject(args: _Explain, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    handling = turn.state.registers.hazards.handling(hazard.site)
    return _step(
        turn, hazard, "reject", actor, lambda row: r.reject(row, turn.now_ms, handling), note=args.note.strip()
    )


def _close(args: _MayExplain, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    person = _person(turn, actor)
    return _step(
        turn, hazard, "close", actor, lambda row: r.close(row, actor, person, turn.now_ms), note=args.note.strip()
    )


def _list(args: _List, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    listing = r.Listing(args.number.strip(), args.authority.strip(), args.deadline_ms, turn.now_ms, actor)
    return _step(turn, hazard, "list", actor, lambda row: r.put_on_list(row, listing, turn.now_ms))


def _delist(args: _Explain, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    return _step(
        turn, hazard, "delist", actor, lambda row: r.take_off_list(row, actor, turn.now_ms), note=args.note.strip()
    )


def _note(args: _Explain, actor: str, turn: Turn, loaded: Hazard | None) -> Any:
    hazard = _at_hand(turn, args.id, loaded)
    return _step(turn, hazard, "note", actor, lambda row: row, note=args.note.strip())


# --- parts ---------------------------------------------------------------------------------------------------------


def _step(
    turn: Turn, hazard: Hazard, verb: str, actor: str, change: Callable[[Hazard], Hazard], **detail: object
) -> Any:
    said = {name: value for name, value in detail.items() if value}
    return _row(turn.state.registers.hazards.step(turn.pen, hazard, verb, actor, change, **said))


def _row(hazard: Hazard) -> Any:
    return msgspec.to_builtins(hazard)


def _at_hand(turn: Turn, hazard_id: int, loaded: Hazard | None) -> Hazard:
    found = turn.state.registers.hazards.find(hazard_id)
    if found is not None:
        return found
    if loaded is not None or turn.state.registers.hazards.is_number(hazard_id):
        raise refuse("conflict", f"hazard {hazard_id}: is filed. Report it anew if it is there again.")
    raise refuse("not_found", f"hazard {hazard_id}: got no such hazard.")


def _deadline(turn: Turn, hazard: Hazard, days: int | None, working: bool | None, at_ms: int | None) -> int:
    if (days is None) == (at_ms is None):
        raise refuse("invalid", "deadline: got both or neither, want either a number of days or a date.")
    if at_ms is not None:
        if at_ms > turn.now_ms + MOST_DAYS * r.DAY_MS:
            raise refuse("invalid", f"deadline: got more than {MOST_DAYS} days from now. Name an earlier one.")
        return at_ms
    assert days is not None, "one of the two is there"
    hazards = turn.state.registers.hazards
    handling = hazards.handling(hazard.site)
    try:
        by_habit = handling.working_days if working is None else working
        return deadline_ms(turn.now_ms, days, hazards.zone(hazard.site), handling, working=by_habit)
    except ValueError as exc:
        raise refuse("invalid", str(exc)) from exc


def _person(turn: Turn, login: str) -> int | None:
    found = turn.state.registers.people.of_user(login)
    return None if found is None else found.id


def _must_be_site(turn: Turn, site: str) -> None:
    if site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {site[:100]!r}: got no such site.")


def _must_be_of(site: str, subject: str) -> None:
    if subject and (subject.split("/")[0] != site or not 2 <= len(subject.split("/")) <= 3):
        raise refuse("invalid", f"subject: got {subject[:100]!r}, want {site}/device or {site}/device/point.")


def _hazard_of(args: Any) -> Load:
    return partial(find_entry, kind=HAZARD, entry_id=args.id)


def _receipt_of(args: _Receive) -> Load:
    return partial(_read_receipt, receipt=args.receipt)


def _read_receipt(connection: sqlite3.Connection, receipt: str) -> _Received:
    return _Received(public.find_receipt(connection, receipt))


COMMANDS = {
    "hazard.report": Command(_Report, _report),
    "hazard.receive": Command(_Receive, _receive, _receipt_of),
    "hazard.refused": Command(_Refused, _refused),
    "hazard.take": Command(_Take, _take, _hazard_of),
    "hazard.dismiss": Command(_Explain, _dismiss, _hazard_of),
    "hazard.erase": Command(_Erase, _erase, _hazard_of),
    "hazard.assign": Command(_Assign, _assign, _hazard_of),
    "hazard.extend": Command(_Extend, _extend, _hazard_of),
    "hazard.fix": Command(_Fix, _fix, _hazard_of),
    "hazard.verify": Command(_MayExplain, _verify, _hazard_of),
    "hazard.reject": Command(_Explain, _reject, _hazard_of),
    "hazard.close": Command(_MayExplain, _close, _hazard_of),
    "hazard.list": Command(_List, _list, _hazard_of),
    "hazard.delist": Command(_Explain, _delist, _hazard_of),
    "hazard.note": Command(_Explain, _note, _hazard_of),
}
