"""Equipment of the stations: the list, what is there, the form to tick it."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.station import Needed
from gateway.duty.equipment import NO_FAULTS, STATUSES, TICK, Faults, Line, Tick, judge
from gateway.web import commands
from gateway.web.access import HANDLE, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.registers.readiness import rows_of, stations_of
from gateway.web.render import page
from gateway.web.texts import msgid
from rules.calendar import moment_ms

router = APIRouter()
RESULTS = ("ok", "short", "defect")


class Shown(NamedTuple):
    """A line of the list in words. status: unknown while the gateway does not answer."""

    needed: Needed
    title: str
    line: Line
    status: str
    devices: list[tuple[str, str]]
    """(address of its page, title) of what watches it."""


class StationList(NamedTuple):
    """The list of a station."""

    site: str
    title: str
    status: str
    missing: int
    lines: list[Shown]


@router.get("/equipment")
async def equipment(request: Request) -> Response:
    """The lists of all stations."""
    web = web_of(request)
    return page(
        request,
        "equipment.html",
        fragment="_equipment.html",
        stations=[station_list(web, site, web.texts(request).language) for site in stations_of(web)],
        results=RESULTS,
        may_tick=person_of(request).may(HANDLE),
    )


@router.post("/equipment/{site}/{item}")
async def tick(
    request: Request,
    site: str,
    item: str,
    count: Annotated[int, Form(ge=0, le=999)],
    result: Annotated[Literal["ok", "short", "defect"], Form()],
    expires: Annotated[str, Form(max_length=20)] = "",
    note: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Tick a line."""
    web = web_of(request)
    if result != "ok" and not note.strip():
        raise Refused(422, msgid("Say what is missing or broken."))
    known = web.inventory.sites.get(site)
    if known is None:
        raise Refused(404, msgid("There is no such station."))
    args = {"site": site, "item": item, "count": count, "result": result, "note": note.strip()}
    expires_ms = expiry_ms(expires, known.time_zone)
    await commands.do(web, person_of(request), "equipment.tick", **args, expires_ms=expires_ms)
    return RedirectResponse("/equipment", 303)


def expiry_ms(day: str, zone: str) -> int | None:
    """The end of the last day on which something is valid, ms UTC; None for an empty field. Raises Refused."""
    if not day.strip():
        return None
    try:
        after = date.fromisoformat(day.strip()) + timedelta(days=1)
    except (ValueError, OverflowError) as exc:
        raise Refused(422, msgid("The date cannot be read.")) from exc
    return moment_ms(after, time(0), ZoneInfo(zone))


def station_list(web: Web, site: str, language: Literal["zh", "en"]) -> StationList:
    """The list of one station as it is."""
    known = web.inventory.sites[site]
    assert known.station is not None
    ticks = {tick.item: tick for tick in msgspec.convert(rows_of(web, TICK.name, site), list[Tick])}
    lines = []
    for needed in known.station.equipment:
        line = judge(needed, ticks.get(needed.id), _faults(web, site, needed), web.now_ms())
        devices = []
        for name in needed.devices:
            device = web.inventory.find(f"{site}/{name}")
            devices.append((f"/devices/{site}/{name}", device.title.get(language) if device else name))
        status = line.status if web.picture.connected else "unknown"
        lines.append(Shown(needed, needed.title.get(language), line, status, devices))
    status = max((shown.line.status for shown in lines), key=STATUSES.index, default="ok")
    missing = sum(shown.line.missing for shown in lines)
    return StationList(
        site,
        web.inventory.site_title(site).get(language),
        status if web.picture.connected else "unknown",
        missing,
        lines,
    )


def _faults(web: Web, site: str, needed: Needed) -> Faults:
    """As the gateway judges them: alarms that stand on the devices of the line and mean something for readiness."""
    if not needed.devices:
        return NO_FAULTS
    found = [
        alarm
        for alarm in web.picture.alarms.values()
        if alarm.active and alarm.drill is None and alarm.site == site and alarm.device in needed.devices
    ]
    rules = web.inventory.rules
    levels = {
        alarm.id: takes.state
        for alarm in found
        if (rule := rules.get(alarm.rule)) is not None and (takes := rule.readiness) is not None
    }
    return Faults(
        tuple(levels),
        frozenset(alarm.subject for alarm in found if levels.get(alarm.id, "unknown") != "unknown"),
        "unknown" in levels.values(),
    )
