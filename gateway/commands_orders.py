"""Commands about work orders: open, take, plan, parts, done, reject, close, withdraw, window; and line reports."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from contract.order import Priority
from contract.site import REGISTER_DEVICE, SYSTEM_SITE
from gateway import commands_devices, commands_holds
from gateway.assignees import must_not_be_idle
from gateway.commands_form import Command, Form, Load, Name, Note, Said, is_known, refuse
from gateway.commands_hazards import Photo, Place
from gateway.ledger.entries import find_entry
from gateway.turn import Turn
from gateway.work import order_life as o
from gateway.work.deadlines import MOST_DAYS
from gateway.work.line_reports import LINE_REPORT, LineReport, Report
from gateway.work.order_life import ORDER, Cause, Order, Part
from gateway.work.rectification import DAY_MS

Works = Annotated[
    tuple[Literal["inspection", "maintenance", "calibration", "battery", "test"], ...], msgspec.Meta(max_length=5)
]


class _Open(Form):
    """Of an alarm or a hazard that is known, or of a subject, or of a place."""

    site: str = ""
    cause: Cause = "other"
    title: Note = ""
    subject: Annotated[str, msgspec.Meta(max_length=200)] = ""
    place: Place = ""
    priority: Priority = "normal"
    alarm_id: int | None = None
    hazard: int | None = None
    deadline_ms: int | None = None
    owner: Annotated[str, msgspec.Meta(max_length=100)] = ""
    photo: Photo = ""


class _Take(Form):
    id: int
    owner: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """Empty: who asks."""


class _Plan(Form):
    id: int
    deadline_ms: int | None = None
    priority: Priority | None = None
    note: Note = ""


class _Use(Form):
    id: int
    name: Name
    count: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1


class _Write(Form):
    id: int
    note: Said
    photo: Photo = ""


class _Finish(Form):
    id: int
    note: Said
    at_ms: int | None = None
    works: Works = ()
    photo: Photo = ""


class _Explain(Form):
    id: int
    note: Said


class _MayExplain(Form):
    id: int
    note: Note = ""


class _Window(Form):
    id: int
    until_ms: int
    reason: Note = ""


class _Keep(Form):
    site: str
    line: Name
    report: Report


def _open(args: _Open, actor: str, turn: Turn, _: None) -> Any:
    site, subject, title = args.site, args.subject.strip("/"), args.title.strip()
    alarm = hazard = None
    if args.hazard is not None:
        hazard = turn.state.registers.hazards.find(args.hazard)
        if hazard is None or not hazard.is_open:
            raise refuse("conflict", f"hazard {args.hazard}: is not open. Open the order without it.")
        site, subject, title = hazard.site, subject or hazard.subject, title or hazard.text
        alarm = turn.state.book.open.get(hazard.alarm_id or 0)
        alarm = alarm if alarm is not None and alarm.active else None
    if args.alarm_id is not None:
        alarm = turn.state.book.open.get(args.alarm_id)
        if alarm is None or not alarm.active:
            raise refuse("conflict", f"alarm {args.alarm_id}: does not stand. Open the order without it.")
        if alarm.drill is not None:
            raise refuse("conflict", f"alarm {args.alarm_id}: belongs to a drill.")
    if alarm is not None:
        if alarm.device == REGISTER_DEVICE:
            raise refuse("conflict", f"alarm {alarm.id}: speaks of people's work, which no order mends. See to that.")
        site, subject = alarm.site, alarm.subject
    _must_be_there(turn, site, subject)
    if not (title or args.place.strip() or alarm or subject):
        raise refuse("invalid", "title: got nothing, want what is to be done.")
    if args.deadline_ms is not None:
        _check_deadline(turn, args.deadline_ms)
    owner = args.owner.strip()
    must_not_be_idle(turn, owner, site)
    order = turn.state.registers.orders.ask(
        turn.pen, site, actor, cause=args.cause, title=title, subject=subject, place=args.place.strip(),
        priority=args.priority, alarm=alarm, hazard=args.hazard, deadline_ms=args.deadline_ms, photo=args.photo,
    )  # fmt: skip
    if owner and order.state == "open":
        order = turn.state.registers.orders.step(
            turn.pen, order, "take", actor, lambda row: o.take(row, owner, turn.now_ms)
        )
    return msgspec.to_builtins(order)


def _take(args: _Take, actor: str, turn: Turn, loaded: Order | None) -> Any:
    owner = args.owner.strip() or actor
    must_not_be_idle(turn, owner, _at_hand(turn, args.id, loaded).site)
    return _step(turn, args.id, loaded, "take", actor, lambda row: o.take(row, owner, turn.now_ms))


def _plan(args: _Plan, actor: str, turn: Turn, loaded: Order | None) -> Any:
    if args.deadline_ms is not None:
        _check_deadline(turn, args.deadline_ms)
    return _step(
        turn, args.id, loaded, "plan", actor,
        lambda row: o.plan(row, turn.now_ms, deadline_ms=args.deadline_ms, priority=args.priority),
        note=args.note.strip(),
    )  # fmt: skip


def _use(args: _Use, actor: str, turn: Turn, loaded: Order | None) -> Any:
    part = Part(args.name.strip(), args.count)
    said = f"{part.name} × {part.count}"
    return _step(turn, args.id, loaded, "use", actor, lambda row: o.use(row, (part,)), note=said)


def _write(args: _Write, actor: str, turn: Turn, loaded: Order | None) -> Any:
    return _step(
        turn, args.id, loaded, "note", actor, lambda row: row, note=args.note.strip(), photo=args.photo
    )  # fmt: skip


def _finish(args: _Finish, actor: str, turn: Turn, loaded: Order | None) -> Any:
    order = _at_hand(turn, args.id, loaded)
    device = "/".join(order.subject.split("/")[:2])
    site, _, name = device.partition("/")
    at_ms = turn.now_ms if args.at_ms is None else args.at_ms
    if args.works and not (site in turn.state.installation.sites and is_known(turn, site, name)):
        raise refuse("invalid", f"works: order {order.id} is about no device. Leave the kinds of work out.")
    done = o.Done(by=actor, at_ms=at_ms, note=args.note.strip(), works=args.works, photo=args.photo)
    handling = turn.state.registers.orders.handling(order.site)
    o.finish(order, done, turn.now_ms, handling)  # refuses before anything is written
    for work in args.works:
        record = commands_devices.COMMANDS["work.record"]
        record.act(record.form(site=site, device=name, work=work, at_ms=at_ms, note=done.note), actor, turn, None)
    return _step(
        turn, args.id, loaded, "done", actor, lambda row: o.finish(row, done, turn.now_ms, handling), note=done.note
    )


def _reject(args: _Explain, actor: str, turn: Turn, loaded: Order | None) -> Any:
    handling = turn.state.registers.orders.handling(_at_hand(turn, args.id, loaded).site)
    return _step(
        turn, args.id, loaded, "reject", actor, lambda row: o.reject(row, turn.now_ms, handling), note=args.note.strip()
    )


def _close(args: _MayExplain, actor: str, turn: Turn, loaded: Order | None) -> Any:
    return _step(
        turn, args.id, loaded, "close", actor, lambda row: o.close(row, actor, turn.now_ms), note=args.note.strip()
    )


def _withdraw(args: _Explain, actor: str, turn: Turn, loaded: Order | None) -> Any:
    return _step(
        turn, args.id, loaded, "withdraw", actor, lambda row: o.withdraw(row, turn.now_ms), note=args.note.strip()
    )


def _window(args: _Window, actor: str, turn: Turn, loaded: Order | None) -> Any:
    order = _at_hand(turn, args.id, loaded)
    if not order.is_open:
        raise refuse("conflict", f"order {order.id}: is {order.state}, want one with work left to do.")
    device = order.subject.partition("/")[2].partition("/")[0]
    if not device:
        raise refuse("invalid", f"order {order.id}: is about no device. Open the window on the page of maintenance.")
    reason = args.reason.strip() or f"order {order.id}"
    opened = commands_holds.COMMANDS["maintenance.open"]
    form = opened.form(site=order.site, scope=[device], from_ms=turn.now_ms, until_ms=args.until_ms, reason=reason)
    window = opened.act(form, actor, turn, None)
    return _step(
        turn, args.id, loaded, "window", actor, lambda row: msgspec.structs.replace(row, window=window["id"]),
        note=reason,
    )  # fmt: skip


def _keep_report(args: _Keep, actor: str, turn: Turn, loaded: LineReport | None) -> Any:
    site = turn.state.installation.sites.get(args.site)
    lines = {line.id for agent in site.agents for line in agent.lines} if site is not None else set()
    if args.line not in lines:
        raise refuse("not_found", f"line {args.site[:60]}/{args.line[:60]}: got no such line.")
    if loaded is not None:
        return msgspec.to_builtins(loaded)  # the same report again
    row = turn.state.registers.line_reports.keep(turn.pen, args.site, args.line, actor, args.report)
    return msgspec.to_builtins(row)


def _step(
    turn: Turn, order_id: int, loaded: Order | None, verb: str, actor: str, change: Callable[[Order], Order],
    **detail: object,
) -> Any:  # fmt: skip
    said = {name: value for name, value in detail.items() if value}
    orders, order = turn.state.registers.orders, _at_hand(turn, order_id, loaded)
    return msgspec.to_builtins(orders.step(turn.pen, order, verb, actor, change, **said))


def _at_hand(turn: Turn, order_id: int, loaded: Order | None) -> Order:
    found = turn.state.registers.orders.find(order_id)
    if found is not None:
        return found
    if loaded is not None or turn.state.registers.orders.is_number(order_id):
        raise refuse("conflict", f"order {order_id}: is filed or withdrawn. Open a new one.")
    raise refuse("not_found", f"order {order_id}: got no such order.")


def _must_be_there(turn: Turn, site: str, subject: str) -> None:
    if site != SYSTEM_SITE and site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {site[:100]!r}: got no such site.")
    if not subject:
        return
    parts = subject.split("/")
    if parts[0] != site or not 2 <= len(parts) <= 3:
        raise refuse("invalid", f"subject: got {subject[:100]!r}, want {site}/device or {site}/device/point.")
    if not is_known(turn, site, parts[1]) and (site, parts[1]) not in turn.state.agents:
        raise refuse("not_found", f"subject {subject[:100]!r}: got no such device.")


def _check_deadline(turn: Turn, at_ms: int) -> None:
    if not turn.now_ms < at_ms <= turn.now_ms + MOST_DAYS * DAY_MS:
        raise refuse("invalid", f"deadline: got a time that is over or more than {MOST_DAYS} days ahead.")


def _order_of(args: Any) -> Load:
    return partial(find_entry, kind=ORDER, entry_id=args.id)


def _report_of(args: _Keep) -> Load:
    return partial(_find_report, site=args.site, line=args.line, report=args.report)


def _find_report(connection: sqlite3.Connection, site: str, line: str, report: Report) -> LineReport | None:
    """The same report, kept before."""
    if report.at_ms is None:
        return None
    rows = connection.execute(
        "SELECT data FROM entry WHERE kind = ? AND site = ? AND from_ms = ?", (LINE_REPORT.name, site, report.at_ms)
    )
    found = (msgspec.json.decode(data, type=LineReport) for (data,) in rows)
    return next((row for row in found if row.line == line and row.report == report), None)


COMMANDS = {
    "order.open": Command(_Open, _open),
    "order.take": Command(_Take, _take, _order_of),
    "order.plan": Command(_Plan, _plan, _order_of),
    "order.use": Command(_Use, _use, _order_of),
    "order.note": Command(_Write, _write, _order_of),
    "order.done": Command(_Finish, _finish, _order_of),
    "order.reject": Command(_Explain, _reject, _order_of),
    "order.close": Command(_MayExplain, _close, _order_of),
    "order.withdraw": Command(_Explain, _withdraw, _order_of),
    "order.window": Command(_Window, _window, _order_of),
    "line_report.keep": Command(_Keep, _keep_report, _report_of),
}
