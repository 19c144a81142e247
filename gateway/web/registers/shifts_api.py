"""The JSON API of shifts: who is on duty, sign on and off, handover, log, duty checks."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.duty.checks import CHECKS
from gateway.duty.handover import HANDOVER, Side
from gateway.duty.log import LOG, Topic
from gateway.ledger.entries import Entry, Kind
from gateway.web import commands
from gateway.web.api import PROBLEMS
from gateway.web.context import person_of, web_of
from gateway.web.listing import Page, Turn, Turned, newest
from gateway.web.registers.pins import prove
from gateway.web.registers.shifts import choose_station, current, look

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
Row = dict[str, Any]


class Who(BaseModel):
    """Who acts: the person of the login, or one who gives their PIN."""

    person: int | None = Field(default=None, ge=1)
    """Number of the person; null: the one of the login."""
    pin: str = Field(default="", max_length=64)


class SignOn(Who):
    """Somebody comes."""

    post: str = Field(max_length=60)
    takes_over: bool = False
    """For the next shift, although the change is not near."""


class Sign(Who):
    """A signature under a handover sheet."""

    side: Side
    seen: str = Field(max_length=40)
    """`seen` of the sheet that was looked at; when it has changed since, the answer is 409."""
    note: str = Field(default="", max_length=2000)


class Write(Who):
    """An entry of the log."""

    text: str = Field(min_length=1, max_length=2000)
    topic: Topic = "other"
    alarm: int | None = Field(default=None, ge=1)
    corrects: int | None = Field(default=None, ge=1)


class ShiftAnswer(BaseModel):
    """The shift of a station now."""

    shift: Row | None
    """The running shift; null: nobody is on duty."""
    handover: Row | None
    """The handover that waits for signatures."""
    present: dict[str, list[int]]
    """Post -> numbers of the people there."""


@router.get("/api/v1/shifts/{site}", **_API)
async def shift(request: Request, site: str) -> ShiftAnswer:
    """Who is on duty."""
    web = web_of(request)
    _, station = choose_station(web, site)
    assert station is not None, "choose_station refuses a site without one"
    running, handover = current(web, site)
    stays = running.present if running is not None else ()
    return ShiftAnswer(
        shift=None if running is None else msgspec.to_builtins(running),
        handover=None if handover is None else msgspec.to_builtins(handover),
        present={post.id: [stay.person for stay in stays if stay.post == post.id] for post in station.posts},
    )


@router.get("/api/v1/shifts/{site}/sheet", **_API)
async def sheet(request: Request, site: str) -> Row:
    """Everything that a handover would list now, and `seen`, which a signature names."""
    choose_station(web_of(request), site)
    return await look(web_of(request), site)


@router.get("/api/v1/shifts/{site}/handovers", **_API)
async def handovers(request: Request, site: str, turn: Turned) -> Page[Row]:
    """Handovers, newest first, each with its sheet."""
    return await _rows(request, HANDOVER, site, turn)


@router.get("/api/v1/shifts/{site}/checks", **_API)
async def checks(request: Request, site: str, turn: Turned) -> Page[Row]:
    """Duty checks that were asked, newest first. What is still to come is known to nobody."""
    return await _rows(request, CHECKS, site, turn)


@router.get("/api/v1/shifts/{site}/log", **_API)
async def log(request: Request, site: str, turn: Turned) -> Page[Row]:
    """The control-room log, newest first."""
    return await _rows(request, LOG, site, turn)


@router.post("/api/v1/shifts/{site}/log", **_API)
async def write_log(request: Request, site: str, body: Write) -> Row:
    """Write into the log."""
    more = {"text": body.text, "topic": body.topic, "alarm": body.alarm, "corrects": body.corrects}
    return await _do(request, "log.write", site, body, **more)


@router.post("/api/v1/shifts/{site}/sign-on", **_API)
async def sign_on(request: Request, site: str, body: SignOn) -> Row:
    """Join the running shift, or come to take over."""
    return await _do(request, "shift.sign_on", site, body, post=body.post, takes_over=body.takes_over)


@router.post("/api/v1/shifts/{site}/sign-off", **_API)
async def sign_off(request: Request, site: str, body: Who) -> Row:
    """Leave while others stay."""
    return await _do(request, "shift.sign_off", site, body)


@router.post("/api/v1/shifts/{site}/sign", **_API)
async def sign(request: Request, site: str, body: Sign) -> Row:
    """Sign a handover for the old or the new crew; with both signatures the new shift begins."""
    return await _do(request, "handover.sign", site, body, side=body.side, seen=body.seen, note=body.note)


async def _rows(request: Request, kind: Kind[Any], site: str, turn: Turn) -> Page[Row]:
    web = web_of(request)
    choose_station(web, site)
    terms = {"sites": (site,), "before": turn.before, "limit": turn.limit + 1}
    found: list[Entry] = await web.read(web.ledger.entries, kind, **terms)
    part, after = newest(found, turn)
    return Page(items=[msgspec.to_builtins(row) for row in part], next=after)


async def _do(request: Request, op: str, site: str, who: Who, /, **args: Any) -> Row:
    proof = await prove(request, who.person, who.pin)
    row: Row = await commands.do(web_of(request), person_of(request), op, site=site, **args, **proof)
    return row
