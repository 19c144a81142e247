"""The live board and the wall display, and what people do from there: acts on an alarm, ticks, sound checks."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.board.rows import ADVICE, Advice, Done
from gateway.web import commands, decision, views
from gateway.web.access import HANDLE, Refused
from gateway.web.alarm_cards import alarm_card
from gateway.web.board.plan_rows import plan_of_fire, plan_view, plans_of
from gateway.web.board.station_strip import station_strip
from gateway.web.context import Web, person_of, web_of
from gateway.web.proofs import proof_line
from gateway.web.registers.incident_rows import incident_row, open_incidents
from gateway.web.render import local_path, page, wants_fragment
from gateway.web.texts import Texts, msgid

router = APIRouter()
SHELVES = (30, 120, 480)
FIRE_SHELVES = (30, 120, 240)
"""Minutes offered for a shelf."""
MOST_CHECKED = 10
"""Stations that one sound check is written down for."""
WALL_ALARMS = 12
"""Rows of the alarm list on a wall: what does not fit is counted."""


@router.get("/")
async def board(request: Request) -> Response:
    """The live board: what burns, where, since when, what next."""
    if "wall" in request.query_params:
        return RedirectResponse("/wall", 303)
    return page(request, "board.html", fragment="_board.html", **await _shown(request))


@router.get("/wall")
async def wall(
    request: Request,
    view: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    turn_s: Annotated[int, Query(ge=5, le=600)] = 20,
) -> Response:
    """The board for a wall: nothing to press. While nothing burns it shows board and plans in turn, each for turn_s
    seconds: `view` counts."""
    web, texts = web_of(request), web_of(request).texts(request)
    shown = await _shown(request)
    plans = [] if shown["board"].fires else plans_of(web)
    turn = view % (len(plans) + 1)
    plan = plan_view(web, plans[turn - 1], texts) if turn else None
    return page(
        request,
        "wall.html",
        fragment="_wall.html",
        **shown,
        wall_plan=plan,
        view=view,
        turn_s=turn_s,
        most_alarms=WALL_ALARMS,
    )


async def _shown(request: Request) -> dict[str, Any]:
    """What board and wall show."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    now_ms = web.now_ms()
    shown = views.board(web.picture, web.inventory, texts, now_ms)
    return {
        "board": shown,
        "title": _title(web, shown.headline, texts),
        "site_titles": [site.title.get(texts.language) for site in web.inventory.sites.values()],
        "unknown": _unknown_count(web),
        "drills": decision.drill_banners(web.picture, web.inventory, texts),
        "windows": decision.window_banners(web.picture, web.inventory, texts, now_ms),
        "incidents": [incident_row(web, row, {}, texts) for row in open_incidents(web)],
        "proof": proof_line(web.picture, web.inventory, texts, now_ms),
        "strip": await station_strip(web, texts),
        "ticks": ticks_now(web),
        "fire_plan": plan_of_fire(web, [fire.subject for fire in (*shown.fires, *shown.more_fires)], texts),
    }


# --- one alarm -------------------------------------------------------------------------------------------------------


@router.get("/alarms/{alarm_id}/acts")
async def acts(request: Request, alarm_id: int) -> Response:
    """What can be done with an alarm, for the dialog of the board and of the list of alarms."""
    web, texts = web_of(request), web_of(request).texts(request)
    alarm = await web.read(web.ledger.alarm, alarm_id)
    if alarm is None:
        raise Refused(404, msgid("There is no such alarm."))
    if not wants_fragment(request):
        return RedirectResponse(f"/alarms/{alarm_id}", 303)
    return page(
        request,
        "_acts.html",
        alarm=alarm_card(alarm, web.inventory, texts, web.picture.told),
        ticks=await ticks_of(web, alarm_id),
        people=[user.name for user in await web.accounts(HANDLE, alarm.site)],
        shelf=web.picture.standing.shelves.get((alarm.rule, alarm.subject)),
        shelves=FIRE_SHELVES if alarm.severity == "fire" else SHELVES,
        onward="/alarms" if urlsplit(request.headers.get("HX-Current-URL", "")).path == "/alarms" else "/",
    )


def ticks_now(web: Web) -> dict[int, dict[int, Done]]:
    """Steps that were done of the open alarms: alarm -> step -> who and when."""
    rows = web.picture.entries.get(ADVICE.name, {})
    return {number: _steps(msgspec.convert(row, Advice)) for number, row in rows.items()}


async def ticks_of(web: Web, alarm_id: int) -> dict[int, dict[int, Done]]:
    """The same of one alarm, open or over."""
    row: Advice | None = await web.read(web.ledger.entry, ADVICE, alarm_id)
    return {} if row is None else {alarm_id: _steps(row)}


def _steps(row: Advice) -> dict[int, Done]:
    return {done.step: done for done in row.done}


# --- sound -----------------------------------------------------------------------------------------------------------


@router.post("/sound-check")
async def sound_check(
    request: Request,
    heard: Annotated[bool, Form()],
    site: Annotated[str, Form(max_length=60)] = "",
    screen: Annotated[str, Form(max_length=200)] = "",
    onward: Annotated[str, Form(max_length=500, alias="next")] = "",
) -> Response:
    """Somebody listened to the test tone of their screen. Without a site it is of every station they may see."""
    web = web_of(request)
    sites = [site] if site else [name for name, one in web.inventory.sites.items() if one.station is not None]
    for name in sites[:MOST_CHECKED] or list(web.inventory.sites)[:1]:
        await commands.do(
            web, person_of(request), "sound_check.listen", site=name, heard=heard, screen=screen.strip()[:60]
        )
    return RedirectResponse(local_path(onward), 303) if onward else Response(status_code=204)


# --- parts -----------------------------------------------------------------------------------------------------------


def _title(web: Web, headline: str, texts: Texts) -> str:
    """What the tab says: the headline; a duty check that runs comes before everything but a fire."""
    if headline not in ("fire", "fire_over") and web.picture.duty.is_open(web.now_ms()):
        return texts("Duty check")
    return texts.word("headline", headline)


def _unknown_count(web: Web) -> int:
    return sum(f"{site}/{device}" not in web.inventory.devices for site, device in web.picture.unknown_devices)
