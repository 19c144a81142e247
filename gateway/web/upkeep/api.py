"""The JSON API of the maintainer's work: causes and orders, the same as the pages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Body, Query
from starlette.requests import Request

from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import person_of, web_of
from gateway.web.listing import Page, Turned, cut, cut_ordered, newest
from gateway.web.upkeep.dates import due_rows
from gateway.web.upkeep.health import causes, place
from gateway.web.upkeep.health_pages import narrowed
from gateway.web.upkeep.lines import LineReportAnswer, keep, report_answer, row_of
from gateway.web.upkeep.order_steps import (
    AnyStep,
    OpenOrder,
    find_order,
    open_order,
    orders_at_hand,
    place_of,
    take_step,
)
from gateway.web.upkeep.trending import rank, trends
from gateway.work.line_reports import LINE_REPORT
from gateway.work.order_life import ORDER, Cause, Order

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
Short = Annotated[str | None, Query(max_length=60)]


class CauseAnswer(Answer):
    """Something unhealthy. The list is in the order of what to fix first: `blind`, `effect`, `points`, `since_ms`."""

    kind: Cause
    node: str
    """Path of what is at fault; of dates site/rule."""
    title: str
    where: str
    site: str
    since_ms: int
    devices: int
    """How many devices are below it."""
    blind: int
    """Fire points that cannot be seen because of it."""
    effect: Literal["not_ready", "unknown", "degraded", ""]
    """What it makes of the readiness of its station."""
    points: float
    alarms: list[int]
    orders: list[int]


class NearAnswer(Answer):
    """A value near its limit, of which no alarm stands. The list has the nearest first."""

    kind: Cause
    point: str
    """site/device/point."""
    title: str
    where: str
    value: float
    unit: str
    side: Literal["below", "above"]
    limit: float
    near: float
    """0 where it begins to be told, 1 at the limit, beyond it more."""
    behind: int
    """Fire points that are seen through the device."""
    rule: str | None
    """The rule that will speak; null: the limit is practice and no rule's."""
    observed_ms: int


class OrderAnswer(Answer):
    """A work order. `row` is as in the ledger; what each field means: docs/upkeep.md."""

    id: int
    site: str
    state: str
    is_open: bool
    is_overdue: bool
    needs_data: bool
    due_ms: int | None
    row: dict[str, Any]


class OrderStep(Answer):
    """One line of its history."""

    at_ms: int
    actor: str
    action: str
    detail: dict[str, Any]


@router.get("/api/v1/causes", **_API)
async def list_causes(
    request: Request, turn: Turned, kind: Cause | None = None, site: Short = None, area: Short = None
) -> Page[CauseAnswer]:
    """What is unhealthy, what to fix first on top."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    rows = narrowed(
        web, causes(web.picture, web.inventory, orders_at_hand(web), texts, web.now_ms()), site or "", area or ""
    )
    part, after = cut((row for row in rows if kind in (None, row.kind)), turn, place)
    found = [
        CauseAnswer(
            kind=row.kind, node=row.node, title=row.title, where=row.where, site=row.site, since_ms=row.since_ms,
            devices=row.devices, blind=row.blind, effect=row.effect, points=row.points,
            alarms=[alarm.id for alarm in row.alarms], orders=[order.id for order in row.orders],
        )
        for row in part
    ]  # fmt: skip
    return Page(items=found, next=after)


@router.get("/api/v1/near-limits", **_API)
async def list_near_limits(
    request: Request, turn: Turned, kind: Cause | None = None, site: Short = None, area: Short = None
) -> Page[NearAnswer]:
    """Battery, signal, clock, backlog and lines on their way to a limit, the nearest first."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    rows = narrowed(web, trends(web.picture, web.inventory, texts, web.now_ms()), site or "", area or "")
    part, after = cut((row for row in rows if kind in (None, row.kind)), turn, rank)
    found = [
        NearAnswer(
            kind=row.kind, point=row.key, title=row.title, where=row.where, value=row.value, unit=row.unit,
            side=row.side, limit=row.limit, near=round(row.near, 2), behind=row.behind, rule=row.rule or None,
            observed_ms=row.observed_ms,
        )
        for row in part
    ]  # fmt: skip
    return Page(items=found, next=after)


@router.get("/api/v1/orders", **_API)
async def list_orders(
    request: Request,
    turn: Turned,
    show: Annotated[Literal["open", "overdue", "done", "all"], Query()] = "open",
    site: Short = None,
) -> Page[OrderAnswer]:
    """Work orders: open ones by what to do first; `all` newest first, page by page."""
    web = web_of(request)
    if show == "all":
        terms = {"sites": None if site is None else (site,), "before": turn.before, "limit": turn.limit + 1}
        rows, after = newest(await web.read(web.ledger.entries, ORDER, **terms), turn)
    else:
        fits = {"open": lambda o: o.is_open, "overdue": lambda o: o.is_overdue, "done": lambda o: o.state == "done"}
        at_hand = [row for row in orders_at_hand(web) if site in (None, row.site) and fits[show](row)]
        rows, after = cut_ordered(at_hand, turn, place_of)
    return Page(items=[_answer(row) for row in rows], next=after)


@router.post("/api/v1/orders", **_API)
async def add_order(request: Request, body: OpenOrder) -> OrderAnswer:
    """Open an order. One that is at hand already is asked for again, not doubled."""
    return _answer(msgspec.convert(await open_order(web_of(request), person_of(request), body), Order))


@router.get("/api/v1/orders/{order_id}", **_API)
async def one_order(request: Request, order_id: int) -> OrderAnswer:
    """One order."""
    return _answer(await find_order(web_of(request), order_id))


@router.get("/api/v1/orders/{order_id}/history", **_API)
async def order_history(request: Request, order_id: int, turn: Turned) -> Page[OrderStep]:
    """Everything that was done with it, oldest first, as the audit chain has it."""
    web = web_of(request)
    await find_order(web, order_id)
    rows = await web.read(web.all.ledger.entry_history, ORDER.name, order_id)
    part, after = cut(rows, turn, lambda row: (row.id,))
    found = [
        OrderStep(at_ms=row.at_ms, actor=row.actor, action=row.action, detail=msgspec.json.decode(row.detail))
        for row in part
    ]
    return Page(items=found, next=after)


@router.post("/api/v1/orders/{order_id}/steps", **_API)
async def order_step(request: Request, order_id: int, body: AnyStep) -> OrderAnswer:
    """Take a step."""
    web = web_of(request)
    await take_step(web, person_of(request), order_id, body)
    return _answer(await find_order(web, order_id))


class DateAnswer(Answer):
    """A date of a device's life. `basis`: whether its interval is the standard's or practice."""

    device: str
    what: str
    due_ms: int
    overdue: bool
    basis: Literal["GB 50444-2008", "practice"]
    order: int | None


@router.get("/api/v1/dates", **_API)
async def list_dates(request: Request, turn: Turned, site: Short = None) -> Page[DateAnswer]:
    """When equipment is to be inspected, maintained, calibrated, replaced: the soonest first."""
    web, texts = web_of(request), web_of(request).texts(request)
    rows = [row for row in await due_rows(web, texts) if site in (None, row.device.site)]
    part, after = cut(rows, turn, lambda row: (row.at_ms, row.device.key, row.what))
    found = [
        DateAnswer(
            device=row.device.key, what=row.what, due_ms=row.at_ms, overdue=row.is_late, order=row.order,
            basis="GB 50444-2008" if row.is_standard else "practice",
        )
        for row in part
    ]  # fmt: skip
    return Page(items=found, next=after)


@router.get("/api/v1/lines/{site}/{line}/reports", **_API)
async def line_reports(request: Request, site: str, line: str, turn: Turned) -> Page[LineReportAnswer]:
    """Reports of the line doctor kept of a line, newest first."""
    web = web_of(request)
    row_of(web, site, line, web.texts(request))
    rows = await web.read(web.ledger.entries, LINE_REPORT, sites=(site,), before=turn.before)
    part, after = newest([row for row in rows if row.line == line][: turn.limit + 1], turn)
    return Page(items=[report_answer(row) for row in part], next=after)


@router.post("/api/v1/lines/{site}/{line}/reports", **_API)
async def keep_line_report(
    request: Request, site: str, line: str, body: Annotated[dict[str, Any], Body()]
) -> LineReportAnswer:
    """Keep what `weizhan line doctor --json` printed. The same report again is kept once."""
    web = web_of(request)
    row_of(web, site, line, web.texts(request))
    return report_answer(await keep(web, person_of(request).name, site, line, msgspec.json.encode(body)))


def _answer(row: Order) -> OrderAnswer:
    return OrderAnswer(
        id=row.id, site=row.site, state=row.state, is_open=row.is_open, is_overdue=row.is_overdue,
        needs_data=row.needs_data, due_ms=row.due_ms, row=msgspec.to_builtins(row),
    )  # fmt: skip
