"""The JSON API of floor plans (which there are, their pictures, what stands where) and of the advice that was done."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.board.rows import MOST_MARKS, SPAN, FloorPlan
from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.board import plan_pictures as pictures
from gateway.web.board.pages import ticks_of
from gateway.web.board.plan_rows import find_plan, plan_view, plans_of
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.texts import msgid

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
_PICTURE: dict[str, Any] = {
    "description": "The picture.",
    "content": {"image/webp": {"schema": {"type": "string", "format": "binary"}, "example": "RIFF....WEBPVP8 "}},
}
At = Annotated[str, Field(max_length=130, examples=["hydrant-01"], description="`device` or `device/point`.")]
Place = Annotated[int, Field(ge=0, le=SPAN, examples=[5000])]


class MarkAnswer(Answer):
    """Something on a plan. x, y: ten-thousandths of its width and height, from the upper left corner."""

    at: At
    x: Place
    y: Place
    title: str = Field(examples=["1号消火栓"], description="In the language of the request; empty: not installed now.")
    state: str = Field(examples=["正常"], description="How it is now, in words; empty: not installed now.")
    kind: str = Field(examples=["good"], description="The same as one word: good, fire, critical, warning, unknown ...")
    burns: bool = Field(description="A fire there holds, or waits to be acknowledged.")


class FloorPlanAnswer(Answer):
    """A floor plan that is shown. width, height: pixels of its picture."""

    id: int
    site: str
    title: str = Field(examples=["一层 1st floor"])
    position: int = Field(examples=[1], description="Plans of a site are shown in this order.")
    width: int = Field(examples=[1600])
    height: int = Field(examples=[900])
    picture: str = Field(
        examples=["/api/v1/floor-plans/7/picture"], description="Where its picture is; another one has another address."
    )
    marks: list[MarkAnswer] = Field(max_length=MOST_MARKS)


class PlaceRequest(Answer):
    """Where something stands from now on; what is on the plan already moves there."""

    at: At
    x: Place
    y: Place


class UnplaceRequest(Answer):
    """What stands on this plan no more."""

    at: At


class StepAnswer(Answer):
    """A step of an alarm's advice. by, at_ms: who did it and when; null: nobody yet."""

    step: int = Field(examples=[0], description="Counted from 0.")
    text: str = Field(examples=["立即派人到现场确认"], description="In the language of the request.")
    by: str | None = Field(examples=["duty"])
    at_ms: int | None


class AdviceAnswer(Answer):
    """The advice of an alarm, and what was done of it."""

    alarm: int = Field(examples=[7])
    steps: list[StepAnswer]


class TickRequest(Answer):
    """A step was done; or, with done false, was not after all."""

    step: int = Field(ge=0, le=99, examples=[0])
    done: bool = True


@router.get("/api/v1/floor-plans", **_API)
async def floor_plans(
    request: Request, turn: Turned, site: Annotated[str | None, Query(max_length=60)] = None
) -> Page[FloorPlanAnswer]:
    """Floor plans that are shown, with everything on them as it is now; of a site, or of all that you may see."""
    web = web_of(request)
    if site is not None and site not in web.inventory.sites:
        raise Refused(404, msgid("There is no such site."))
    await web.refresh_approvals()
    part, after = cut(plans_of(web, site), turn, lambda plan: (plan.site, plan.position, plan.id))
    return Page(items=[_answer(request, plan) for plan in part], next=after)


@router.get("/api/v1/floor-plans/{plan_id}", **_API)
async def floor_plan(request: Request, plan_id: int) -> FloorPlanAnswer:
    """One of them."""
    web = web_of(request)
    await web.refresh_approvals()
    return _answer(request, _find(web, plan_id))


@router.get("/api/v1/floor-plans/{plan_id}/picture", response_class=Response, responses={200: _PICTURE, **PROBLEMS})
async def floor_plan_picture(request: Request, plan_id: int) -> Any:
    """The picture of a plan, as WebP."""
    web = web_of(request)
    plan = _find(web, plan_id)
    data = await asyncio.to_thread(pictures.read_plan, pictures.plan_folder(web), plan.picture)
    return Response(data, media_type="image/webp", headers={"ETag": f'"{plan.picture}"'})


@router.post("/api/v1/floor-plans/{plan_id}/place", **_API)
async def place(request: Request, plan_id: int, body: PlaceRequest) -> FloorPlanAnswer:
    """A device or point stands there from now on. Answers the plan once it is durable."""
    return await _changed(request, plan_id, "floor_plan.place", **body.model_dump())


@router.post("/api/v1/floor-plans/{plan_id}/unplace", **_API)
async def unplace(request: Request, plan_id: int, body: UnplaceRequest) -> FloorPlanAnswer:
    """A device or point stands on this plan no more; one that does not stand there is no fault."""
    return await _changed(request, plan_id, "floor_plan.unplace", at=body.at)


@router.get("/api/v1/alarms/{alarm_id}/advice", **_API)
async def advice(request: Request, alarm_id: int) -> AdviceAnswer:
    """The advice of an alarm with what was done of it, by whom and when; also once the alarm is over."""
    web, texts = web_of(request), web_of(request).texts(request)
    alarm = await web.read(web.ledger.alarm, alarm_id)
    if alarm is None:
        raise Refused(404, msgid("There is no such alarm."))
    rule = web.inventory.rules.get(alarm.rule)
    done = (await ticks_of(web, alarm_id)).get(alarm_id, {})
    told = {n: text.get(texts.language) for n, text in enumerate(rule.advice if rule is not None else ())}
    # A step that the rule of today has no more stands in the words it had when it was done.
    told |= {n: each.text for n, each in done.items() if n not in told}
    steps = [
        StepAnswer(
            step=n, text=told[n], by=done[n].by if n in done else None, at_ms=done[n].at_ms if n in done else None
        )
        for n in sorted(told)
    ]
    return AdviceAnswer(alarm=alarm_id, steps=steps)


@router.post("/api/v1/alarms/{alarm_id}/advice", **_API)
async def tick(request: Request, alarm_id: int, body: TickRequest) -> AdviceAnswer:
    """Tick a step off, or take the tick back. Done twice is done once, by who did it first."""
    web = web_of(request)
    await commands.do(web, person_of(request), "advice.tick", alarm_id=alarm_id, step=body.step, done=body.done)
    return await advice(request, alarm_id)


def _find(web: Web, number: int) -> FloorPlan:
    found = find_plan(web, number)
    if found is None:
        raise Refused(404, pictures.NOT_THERE)
    return found


async def _changed(request: Request, plan_id: int, op: Any, **args: Any) -> FloorPlanAnswer:
    web = web_of(request)
    _find(web, plan_id)
    row = await commands.do(web, person_of(request), op, id=plan_id, **args)
    return _answer(request, msgspec.convert(row, FloorPlan))


def _answer(request: Request, plan: FloorPlan) -> FloorPlanAnswer:
    web, texts = web_of(request), web_of(request).texts(request)
    now = {mark.at: mark for mark in plan_view(web, plan, texts).marks}
    marks = []
    for mark in plan.marks:
        row = now.get(mark.at)
        marks.append(
            MarkAnswer(
                at=mark.at, x=mark.x, y=mark.y, title=row.title if row else "", state=row.state if row else "",
                kind=row.icon if row else "", burns=bool(row and row.burns),
            )
        )  # fmt: skip
    return FloorPlanAnswer(
        id=plan.id, site=plan.site, title=plan.title, position=plan.position, width=plan.width, height=plan.height,
        picture=f"/api/v1/floor-plans/{plan.id}/picture?v={plan.picture[:12]}", marks=marks,
    )  # fmt: skip
