"""The JSON API of hazards: the same commands as the pages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request

from contract.hazard import HazardLevel
from gateway.web import commands
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import person_of, web_of
from gateway.web.listing import Page, Turned, cut, cut_ordered, newest
from gateway.web.registers.hazard_counting import hazard_counts, open_hazards, place_of
from gateway.web.registers.hazard_steps import AnyStep, Photo, Short, Step, find_hazard, take_step
from gateway.work.rectification import HAZARD

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
Shown = Literal["open", "overdue", "reported", "all"]


class ReportRequest(Step):
    """A hazard somebody found. With `alarm_id` it stands on that alarm, and the data may confirm that it is gone."""

    text: Annotated[str, Field(max_length=2000)] = ""
    site: str = ""
    subject: Short = ""
    """site/device or site/device/point."""
    place: Short = ""
    level: HazardLevel = "general"
    alarm_id: int | None = None
    photo: Photo = ""


class HazardAnswer(Answer):
    """A hazard. `row` is as in the ledger; what each field means: docs/duty.md, Hazards."""

    id: int
    site: str
    state: str
    is_open: bool
    is_overdue: bool
    is_listed: bool
    due_ms: int | None
    row: dict[str, Any]


class HazardStep(Answer):
    """One line of its history."""

    at_ms: int
    actor: str
    action: str
    detail: dict[str, Any]


class HazardCountsAnswer(Answer):
    """Counts of a span; before + found - closed = after."""

    from_ms: int
    until_ms: int
    before: int
    found: int
    closed: int
    after: int
    overdue: int
    overdue_after: int
    in_time: int
    reported: int


@router.get("/api/v1/hazards", **_API)
async def hazards(
    request: Request,
    turn: Turned,
    show: Annotated[Shown, Query()] = "open",
    site: Annotated[str | None, Query(max_length=60)] = None,
) -> Page[HazardAnswer]:
    """Hazards: open ones by what to fix first; `all` newest first, page by page."""
    web = web_of(request)
    if show == "all":
        sites = None if site is None else (site,)
        terms = {"sites": sites, "before": turn.before, "limit": turn.limit + 1}
        rows, after = newest(await web.read(web.ledger.entries, HAZARD, **terms), turn)
    else:
        rows = [row for row in open_hazards(web) if site in (None, row.site)]
        rows = [row for row in rows if row.state == "reported" or row.is_open]
        rows = [row for row in rows if (row.state == "reported") == (show == "reported")]
        rows, after = cut_ordered([row for row in rows if show != "overdue" or row.is_overdue], turn, place_of)
    return Page(items=[_answer(row) for row in rows], next=after)


@router.post("/api/v1/hazards", **_API)
async def report_hazard(request: Request, body: ReportRequest) -> HazardAnswer:
    """Report a hazard. One that is at hand already is told again, not doubled."""
    row = await commands.do(web_of(request), person_of(request), "hazard.report", **body.model_dump(exclude_none=True))
    return _answer(msgspec.convert(row, HAZARD.form))


@router.get("/api/v1/hazards/{hazard_id}", **_API)
async def hazard(request: Request, hazard_id: int) -> HazardAnswer:
    """One hazard."""
    return _answer(await find_hazard(web_of(request), hazard_id))


@router.get("/api/v1/hazards/{hazard_id}/history", **_API)
async def history(request: Request, hazard_id: int, turn: Turned) -> Page[HazardStep]:
    """Everything that was done with it, oldest first, as the audit chain has it."""
    web = web_of(request)
    await find_hazard(web, hazard_id)
    rows = await web.read(web.ledger.entry_history, HAZARD.name, hazard_id)
    part, after = cut(rows, turn, lambda row: (row.id,))
    found = [
        HazardStep(at_ms=row.at_ms, actor=row.actor, action=row.action, detail=msgspec.json.decode(row.detail))
        for row in part
    ]
    return Page(items=found, next=after)


@router.post("/api/v1/hazards/{hazard_id}/steps", **_API)
async def take_a_step(request: Request, hazard_id: int, body: AnyStep) -> HazardAnswer:
    """Take a step."""
    web = web_of(request)
    await take_step(web, person_of(request), hazard_id, body)
    return _answer(await find_hazard(web, hazard_id))


@router.get("/api/v1/hazard-counts", **_API)
async def counts(
    request: Request,
    from_ms: Annotated[int, Query(ge=0)],
    until_ms: Annotated[int, Query(ge=0)],
    site: Annotated[str | None, Query(max_length=60)] = None,
) -> HazardCountsAnswer:
    """How many were found, closed, late in a span."""
    found = await hazard_counts(web_of(request), from_ms, until_ms, site)
    return HazardCountsAnswer(from_ms=from_ms, until_ms=until_ms, **found._asdict())


def _answer(row: Any) -> HazardAnswer:
    return HazardAnswer(
        id=row.id,
        site=row.site,
        state=row.state,
        is_open=row.is_open,
        is_overdue=row.is_overdue,
        is_listed=row.is_listed,
        due_ms=row.due_ms,
        row=msgspec.to_builtins(row),
    )
