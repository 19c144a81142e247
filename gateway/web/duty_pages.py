"""Duty checks (查岗): what every page of the duty desk shows of them, and the answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.web import commands
from gateway.web.board.pages import board
from gateway.web.context import person_of, web_of
from gateway.web.registers.pins import prove
from gateway.web.render import local_path, page, wants_fragment

router = APIRouter()


@router.get("/duty")
async def duty(request: Request) -> Response:
    """The checks alone, for a page that is open."""
    if not wants_fragment(request):
        return RedirectResponse("/", 303)
    return page(request, "_duty.html")


@router.post("/duty/{check_id}/answer")
async def answer(
    request: Request,
    check_id: int,
    onward: Annotated[str, Form(alias="next", max_length=500)] = "/",
    person: Annotated[int | None, Form(ge=1)] = None,
    pin: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Somebody is here. The fresh board, or the fresh checks of another page."""
    who = await prove(request, person, pin)
    await commands.answer_duty(web_of(request), person_of(request), check_id, **who)
    if not wants_fragment(request):
        return RedirectResponse(local_path(onward), 303)
    return await board(request) if onward == "/" else page(request, "_duty.html")
