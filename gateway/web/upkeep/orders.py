"""Work orders: the list by what to do first, one order with its whole life, the form to open one."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from fastapi import APIRouter, File, Form, Query, UploadFile
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.order import PRIORITIES
from gateway.control.protocol import AlarmView
from gateway.web.access import HANDLE, MAINTAIN, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.decision import subject_title
from gateway.web.listing import paged
from gateway.web.once import HIDDEN
from gateway.web.registers.hazard_counting import open_hazards
from gateway.web.registers.hazards import devices_of, sites_of
from gateway.web.registers.photos import keep_photo
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.web.upkeep.order_steps import (
    MAY,
    STEP,
    OpenOrder,
    Work,
    find_order,
    open_order,
    orders_at_hand,
    take_step,
)
from gateway.work.order_life import ORDER, Order

router = APIRouter()
SHOWN = ("open", "overdue", "done", "closed")
WORKS: tuple[Work, ...] = ("inspection", "maintenance", "calibration", "battery", "test")
PAGE = 100
FAULT = msgid("The gateway did not take this. Check what you entered.")
_decode = msgspec.json.Decoder().decode


class OrderRow(NamedTuple):
    """An order in words. late_ms: since when its next step is late; None: it is not."""

    order: Order
    title: str
    where: str
    site: str
    late_ms: int | None


class Line(NamedTuple):
    """One line of an order's history."""

    at_ms: int
    who: str
    step: str
    note: str
    photo: str


@router.get("/upkeep/orders")
async def orders(
    request: Request,
    show: Annotated[Literal["open", "overdue", "done", "closed"], Query()] = "open",
    before: Annotated[int | None, Query(ge=1)] = None,
    mine: bool = False,
    number: Annotated[int, Query(ge=1, le=10_000, alias="page")] = 1,
) -> Response:
    """The list, a page at a time."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    at_hand = orders_at_hand(web)
    found = await _closed(web, before) if show == "closed" else [o for o in at_hand if _fits(o, show)]
    found = [order for order in found if not mine or order.owner == who.name]
    last = found[-1].id if show == "closed" and len(found) == PAGE else None
    shown = paged(found, number, PAGE)
    return page(
        request,
        "upkeep/orders.html",
        fragment="upkeep/_orders.html",
        show=show,
        mine=mine,
        rows=[row_of(web, order, texts) for order in shown.items],
        paged=shown,
        numbers={name: sum(_fits(order, name) for order in at_hand) for name in SHOWN[:3]},
        shown=SHOWN,
        may_open=who.may(HANDLE),
        onward=last,
    )


@router.get("/upkeep/orders/new")
async def new_order(
    request: Request,
    alarm: Annotated[int | None, Query(ge=1)] = None,
    hazard: Annotated[int | None, Query(ge=1)] = None,
    subject: Annotated[str, Query(max_length=200)] = "",
    cause: Annotated[str, Query(max_length=20)] = "other",
) -> Response:
    """The form to open one; of an alarm, of a hazard, of a device, or by hand."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    found = web.picture.alarms.get(alarm) if alarm is not None else None
    if alarm is not None and (found is None or not found.active):
        raise Refused(404, msgid("This alarm does not stand any more."))
    wrong = next((row for row in open_hazards(web) if row.id == hazard), None)
    if hazard is not None and wrong is None:
        raise Refused(404, msgid("There is no such hazard."))
    subject = found.subject if found else wrong.subject if wrong and wrong.subject else subject
    return page(
        request,
        "upkeep/order_new.html",
        alarm=found,
        hazard=wrong,
        known=_known(web, found, subject) if found or subject else None,
        subject=subject,
        subject_words=subject_title(subject, web.inventory, texts) if subject else "",
        rule_title=_rule_title(web, found, texts),
        cause=cause,
        sites=sites_of(web, texts),
        devices=devices_of(web, texts),
        priorities=PRIORITIES,
        usual=_usual(found),
        owners=await _owners(web) if who.may(MAINTAIN) else [],
    )


@router.post("/upkeep/orders")
async def add_order(
    request: Request,
    photo: Annotated[UploadFile | None, File()] = None,
    title: Annotated[str, Form(max_length=2000)] = "",
    alarm_id: Annotated[str, Form(max_length=20)] = "",
    hazard: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Open an order."""
    web, form = web_of(request), await request.form()
    if not (title.strip() or alarm_id or hazard or form.get("subject")):
        raise Refused(422, msgid("Say what is to be done."))
    given: dict[str, Any] = {
        key: value for key, value in form.items() if isinstance(value, str) and value.strip() and key not in HIDDEN
    }
    given["photo"] = await keep_photo(web, photo)
    try:
        body = OpenOrder.model_validate(given)
    except ValidationError as exc:
        raise Refused(422, FAULT) from exc
    row = await open_order(web, person_of(request), body)
    return RedirectResponse(f"/upkeep/orders/{row['id']}", 303)


@router.get("/upkeep/orders/{order_id}")
async def order_page(request: Request, order_id: int) -> Response:
    """One order: what, where, who, by when, what the data says, and everything that was done. It prints."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    found = await find_order(web, order_id)
    history = await web.read(web.all.ledger.entry_history, ORDER.name, order_id)
    key = "/".join(found.subject.split("/")[:2])
    device = web.inventory.find(key) if found.subject else None
    alarm = web.picture.alarms.get(found.alarm_id or 0)
    return page(
        request,
        "upkeep/order.html",
        fragment="upkeep/_order.html",
        row=row_of(web, found, texts),
        order=found,
        lines=[_line(each) for each in history],
        device=key if device is not None else None,
        is_equipment=key in web.inventory.devices,
        alarm=alarm,
        stands=alarm is not None and alarm.active,
        seen_ms=_seen_ms(web, found),
        window=web.picture.standing.maintenance.get(found.window or 0),
        confirm_h=_confirm_h(web, found.site),
        may={step for step, roles in MAY.items() if who.may(roles)},
        owners=await _owners(web, found.site) if who.may(MAINTAIN) else [],
        priorities=PRIORITIES,
        works=WORKS,
        now_local=texts.local(web.now_ms()),
    )


@router.post("/upkeep/orders/{order_id}/steps")
async def take_a_step(request: Request, order_id: int) -> Response:
    """Take a step; the field `step` says which (order_steps.py)."""
    web, form = web_of(request), await request.form()
    given: dict[str, Any] = {k: v for k, v in form.items() if isinstance(v, str) and v.strip() and k not in HIDDEN}
    upload = form.get("photo")
    if "works" in given:
        given["works"] = [str(each) for each in form.getlist("works")]
    try:
        if hasattr(upload, "filename"):
            given["photo"] = await keep_photo(web, upload)  # type: ignore[arg-type] # told apart by its filename
        body = STEP.validate_python(given)
    except ValidationError as exc:
        raise Refused(422, FAULT) from exc
    await take_step(web, person_of(request), order_id, body)
    return RedirectResponse(f"/upkeep/orders/{order_id}", 303)


def row_of(web: Web, order: Order, texts: Texts) -> OrderRow:
    """An order in the reader's words."""
    rule = web.inventory.rules.get(order.rule)
    where = subject_title(order.subject, web.inventory, texts) if order.subject else order.place
    title = order.title or (rule.title.get(texts.language) if rule else "") or texts.word("cause_kind", order.cause)
    late_ms = order.overdue[-1].since_ms if order.is_overdue else None
    return OrderRow(order, title, where, web.inventory.site_title(order.site).get(texts.language), late_ms)


async def _closed(web: Web, before: int | None) -> list[Order]:
    over = ("closed", "filed", "withdrawn")
    return await web.read(web.ledger.entries, ORDER, state=over, before=before, limit=PAGE)


def _fits(order: Order, show: str) -> bool:
    if show == "overdue":
        return order.is_overdue
    return order.state == "done" if show == "done" else order.is_open


def _known(web: Web, alarm: AlarmView | None, subject: str) -> Order | None:
    """The order that is open for it already."""
    rule = alarm.rule if alarm else ""
    rows = (row for row in orders_at_hand(web) if row.is_open and row.subject == subject)
    return next((row for row in rows if not alarm or row.rule == rule), None)


def _rule_title(web: Web, alarm: AlarmView | None, texts: Texts) -> str:
    rule = web.inventory.rules.get(alarm.rule) if alarm else None
    return rule.title.get(texts.language) if rule else ""


def _usual(alarm: AlarmView | None) -> str:
    """The priority that is offered first."""
    return (
        {"fire": "urgent", "critical": "urgent", "warning": "high"}.get(alarm.severity, "normal") if alarm else "normal"
    )


def _seen_ms(web: Web, order: Order) -> int | None:
    """When a good value of what it is about was measured last, as the screens know it."""
    head = order.subject if order.subject.count("/") == 2 else order.subject + "/"
    values = (v for key, v in web.picture.values.items() if order.subject and key.startswith(head))
    return max((value.observed_ms for value in values if value.quality == "good"), default=None)


def _confirm_h(web: Web, site: str) -> float:
    known = web.inventory.sites.get(site)
    return known.orders.confirm_h if known is not None else 0.5


async def _owners(web: Web, site: str = "") -> list[str]:
    return [user.name for user in await web.accounts(MAINTAIN, site)]


def _line(row: Any) -> Line:
    detail = _decode(row.detail)
    step = row.action.partition(".")[2]
    return Line(row.at_ms, row.actor, step, str(detail.get("note", "")), str(detail.get("photo", "")))
