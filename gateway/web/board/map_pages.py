"""The map of a site: its floor plans with everything on them as it is now, and how plans are put there and edited."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Form, Query, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.board.rows import SPAN, FloorPlan
from gateway.web import commands
from gateway.web.access import MAINTAIN, Refused
from gateway.web.board import plan_pictures as pictures
from gateway.web.board.plan_rows import find_plan, plan_view, plans_of, schematic, unplaced
from gateway.web.context import Web, person_of, web_of
from gateway.web.render import page
from gateway.web.texts import Language, msgid

router = APIRouter()
Site = Annotated[str, Form(max_length=60)]
Title = Annotated[str, Form(max_length=80)]
At = Annotated[str, Form(max_length=130)]
MOST_POINTS = 600
"""Points offered for a place of their own; the rest is typed."""


@router.get("/map")
async def site_map(
    request: Request,
    site: Annotated[str, Query(max_length=60)] = "",
    plan: Annotated[int, Query(ge=0)] = 0,
    edit: bool = False,
    part: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """A plan of a site; the first one where none is named, the schematic where there is none."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    if not web.inventory.sites:
        return page(request, "map.html", site="", plan=None, plans=[], sites=[], may_edit=False, edit=False)
    known = find_plan(web, plan) if plan else None
    if plan and known is None:
        raise Refused(404, pictures.NOT_THERE)
    name = known.site if known is not None else _site(web, site)
    plans = plans_of(web, name)
    chosen = known or (plans[0] if plans else None)
    may_edit = person_of(request).may(MAINTAIN)
    return page(
        request,
        "map.html",
        fragment="_map.html",
        site=name,
        plan=plan_view(web, chosen, texts) if chosen is not None else schematic(web, name, texts, part=part),
        chosen=chosen,
        plans=plans,
        sites=[(key, web.inventory.site_title(key).get(texts.language)) for key in web.inventory.sites],
        unplaced=unplaced(web, name, plans, texts),
        points=_points(web, name, chosen, texts.language) if may_edit and edit else [],
        may_edit=may_edit,
        edit=edit and may_edit and chosen is not None,
        span=SPAN,
    )


@router.get("/map/plans/{plan_id}/picture")
async def picture(request: Request, plan_id: int) -> Response:
    """The picture of a plan."""
    web = web_of(request)
    plan = _plan(web, plan_id)
    data = await asyncio.to_thread(pictures.read_plan, pictures.plan_folder(web), plan.picture)
    # Its address carries the picture's name.
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Content-Disposition": "inline"}
    return Response(data, media_type="image/webp", headers=headers)


@router.post("/map/plans")
async def add(request: Request, site: Site, title: Title = "", picture: UploadFile | None = None) -> Response:
    """Put a further plan there."""
    web = web_of(request)
    _site(web, site)
    if not title.strip():
        raise Refused(422, msgid("Give the plan a title, for example “1st floor”."))
    kept = await pictures.keep_plan(web, picture)
    args = {"picture": kept.name, "width": kept.width, "height": kept.height}
    row = await commands.do(web, person_of(request), "floor_plan.add", site=site, title=title.strip(), **args)
    return RedirectResponse(f"/map?plan={row['id']}&edit=true", 303)


@router.post("/map/plans/{plan_id}")
async def change(
    request: Request,
    plan_id: int,
    title: Title = "",
    position: Annotated[int | None, Form(ge=0, le=10_000)] = None,
    picture: UploadFile | None = None,
) -> Response:
    """Another title, place in the order or picture; what stands on it stays."""
    web = web_of(request)
    _plan(web, plan_id)
    if not title.strip():
        raise Refused(422, msgid("Give the plan a title, for example “1st floor”."))
    args: dict[str, object] = {"title": title.strip(), "position": position}
    if picture is not None and picture.filename:
        kept = await pictures.keep_plan(web, picture)
        args |= {"picture": kept.name, "width": kept.width, "height": kept.height}
    await commands.do(web, person_of(request), "floor_plan.change", id=plan_id, **args)
    return RedirectResponse(f"/map?plan={plan_id}&edit=true", 303)


@router.post("/map/plans/{plan_id}/remove")
async def remove(request: Request, plan_id: int) -> Response:
    """Show a plan no more; the picture and the audit trail stay."""
    web = web_of(request)
    plan = _plan(web, plan_id)
    await commands.do(web, person_of(request), "floor_plan.remove", id=plan_id)
    return RedirectResponse(f"/map?site={plan.site}", 303)


@router.post("/map/plans/{plan_id}/place")
async def place(
    request: Request,
    plan_id: int,
    at: At,
    x: Annotated[int, Form(ge=0, le=SPAN)],
    y: Annotated[int, Form(ge=0, le=SPAN)],
    onward: Annotated[str, Form(max_length=10, alias="next")] = "",
) -> Response:
    """A device or point stands there."""
    _plan(web_of(request), plan_id)
    await commands.do(web_of(request), person_of(request), "floor_plan.place", id=plan_id, at=at.strip(), x=x, y=y)
    return RedirectResponse(f"/map?plan={plan_id}&edit=true", 303) if onward else Response(status_code=204)


@router.post("/map/plans/{plan_id}/unplace")
async def unplace(request: Request, plan_id: int, at: At) -> Response:
    """A device or point stands on this plan no more."""
    _plan(web_of(request), plan_id)
    await commands.do(web_of(request), person_of(request), "floor_plan.unplace", id=plan_id, at=at)
    return Response(status_code=204)


def _plan(web: Web, number: int) -> FloorPlan:
    found = find_plan(web, number)
    if found is None:
        raise Refused(404, pictures.NOT_THERE)
    return found


def _site(web: Web, site: str) -> str:
    """The site somebody asks for; the first one when they name none. Raises Refused (404)."""
    if site and site not in web.inventory.sites:
        raise Refused(404, msgid("There is no such site."))
    return site or next(iter(web.inventory.sites))


def _points(web: Web, site: str, plan: FloorPlan | None, language: Language) -> list[tuple[str, str]]:
    """Points of panels that may have a place of their own, as (`device/point`, title)."""
    placed = {mark.at for mark in plan.marks} if plan is not None else set()
    found = [
        (f"{device.id}/{name}", f"{device.title.get(language)} · {point.title.get(language)}")
        for device in web.inventory.devices.values()
        if device.site == site and device.profile.category == "panel"
        for name, point in device.points.items()
        if f"{device.id}/{name}" not in placed and name != "online"
    ]
    return found[:MOST_POINTS]
