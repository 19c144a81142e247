"""Drills and maintenance windows: begin, follow, end; what was not tested for long; records of work."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.profile import BUILT_IN, ONLINE
from gateway.alarms.coverage import untested
from gateway.ledger.records import Drill, Maintenance
from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.decision import scope_text, subject_title
from gateway.web.inventory import Device
from gateway.web.pages import WORKS
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
DAY_MS = 86_400_000
UNTESTED_DAYS = 90
"""What was not tested for this long stands on the list unless the reader asks for another time."""
Scope = Annotated[list[str], Form(max_length=200)]
Reason = Annotated[str, Form(max_length=500)]


class Choice(NamedTuple):
    """Something a scope may name. kind: device | zone."""

    site: str
    pattern: str
    title: str
    place: str
    kind: str


class DrillRow(NamedTuple):
    """A drill in words. closed_ms None: it runs. expected, ticked: None where nobody counted."""

    id: int
    site: str
    scope: str
    from_ms: int
    until_ms: int
    reason: str
    leader: str
    closed_ms: int | None
    closed_by: str
    note: str
    expected: int
    ticked: int


class Item(NamedTuple):
    """One line of the coverage list."""

    subject: str
    title: str
    spoke_ms: int | None
    how: str
    alarm_id: int | None


class Untested(NamedTuple):
    """A device of which something was not seen to work for long. points: (name, last test or None: never)."""

    key: str
    title: str
    place: str
    last_ms: int | None
    points: list[tuple[str, int | None]]


@router.get("/drills")
async def drills(request: Request, days: Annotated[int, Query(ge=1, le=3660)] = UNTESTED_DAYS) -> Response:
    """Drills that run and ran, the form to begin one, and what was not tested for `days`."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    rows = [await _drill_row(web, row, texts) for row in await web.read(web.ledger.drills)]
    found = untested(testable(web), await web.read(web.ledger.tested), web.now_ms() - days * DAY_MS)
    return page(
        request,
        "drills.html",
        fragment="_drills.html",
        running=[row for row in rows if row.closed_ms is None],
        past=[row for row in rows if row.closed_ms is not None][:30],
        choices=choices(web, texts),
        sites=_sites(web, texts),
        days=days,
        untested=_by_device(web, found, texts),
        untested_count=len(found),
        hours=(0.5, 1, 2, 4, 8),
    )


@router.post("/drills")
async def open_drill(
    request: Request,
    site: Annotated[str, Form(max_length=60)],
    reason: Reason,
    hours: Annotated[float, Form(gt=0, le=8)],
    scope: Scope = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """Begin a drill; the person who begins it leads it."""
    web = web_of(request)
    if not scope:
        raise Refused(422, msgid("Choose what the drill covers."))
    if not reason.strip():
        raise Refused(422, msgid("Say what it is for."))
    await commands.do(
        web,
        person_of(request),
        "drill.open",
        site=site,
        scope=patterns(scope),
        until_ms=web.now_ms() + int(hours * commands.HOUR_MS),
        reason=reason.strip(),
    )
    return RedirectResponse("/drills", 303)


@router.get("/drills/{drill_id}")
async def drill_page(request: Request, drill_id: int) -> Response:
    """One drill with its coverage list, live while it runs."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    found = await web.read(web.ledger.drill, drill_id)
    if found is None:
        raise Refused(404, msgid("There is no such drill."))
    items = [
        Item(row.subject, subject_title(row.subject, web.inventory, texts), row.spoke_ms, row.how or "", row.alarm_id)
        for row in await web.read(web.ledger.drill_items, drill_id)
    ]
    return page(
        request,
        "drill.html",
        fragment="_drill.html",
        drill=await _drill_row(web, found, texts),
        items=sorted(items, key=lambda item: (item.spoke_ms is not None, -(item.spoke_ms or 0), item.subject)),
    )


@router.post("/drills/{drill_id}/close")
async def close_drill(request: Request, drill_id: int, note: Reason = "") -> Response:
    """End a drill before its time."""
    await commands.do(web_of(request), person_of(request), "drill.close", id=drill_id, note=note.strip())
    return RedirectResponse(f"/drills/{drill_id}", 303)


@router.get("/maintenance")
async def maintenance(request: Request) -> Response:
    """Windows of planned work: in force, ahead, past."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    now_ms = web.now_ms()
    rows = [(row, scope_text(row.site, list(row.scope), web.inventory, texts)) for row in await _windows(web)]
    return page(
        request,
        "maintenance.html",
        fragment="_maintenance.html",
        current=[pair for pair in rows if pair[0].closed_ms is None and pair[0].from_ms <= now_ms < pair[0].until_ms],
        ahead=[pair for pair in rows if pair[0].closed_ms is None and pair[0].from_ms > now_ms],
        past=[pair for pair in rows if pair[0].closed_ms is not None or pair[0].until_ms <= now_ms][:30],
        site_titles={key: web.inventory.site_title(key).get(texts.language) for key in web.inventory.sites},
        choices=choices(web, texts),
        sites=_sites(web, texts),
        begin=texts.local(now_ms),
        end=texts.local(now_ms + 2 * commands.HOUR_MS),
    )


@router.post("/maintenance")
async def open_window(
    request: Request,
    site: Annotated[str, Form(max_length=60)],
    reason: Reason,
    begin: Annotated[str, Form(max_length=30)],
    end: Annotated[str, Form(max_length=30)],
    scope: Scope = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """Plan a window, or open one at once."""
    web = web_of(request)
    if not scope:
        raise Refused(422, msgid("Choose what the work covers."))
    if not reason.strip():
        raise Refused(422, msgid("Say what it is for."))
    zone = web.settings.timezone
    from_ms, until_ms = commands.local_ms(begin, zone), commands.local_ms(end, zone)
    if until_ms <= max(from_ms, web.now_ms()):
        raise Refused(422, msgid("The time must lie in the future."))
    args = {"site": site, "scope": patterns(scope), "from_ms": from_ms, "until_ms": until_ms, "reason": reason.strip()}
    await commands.do(web, person_of(request), "maintenance.open", **args)
    return RedirectResponse("/maintenance", 303)


@router.post("/maintenance/{window_id}/close")
async def close_window(request: Request, window_id: int, note: Reason = "") -> Response:
    """End a window before its time, or call a planned one off."""
    await commands.do(web_of(request), person_of(request), "maintenance.close", id=window_id, note=note.strip())
    return RedirectResponse("/maintenance", 303)


@router.post("/devices/{site}/{device}/work")
async def record_work(
    request: Request,
    site: str,
    device: str,
    work: Annotated[str, Form(max_length=20)],
    at: Annotated[str, Form(max_length=30)] = "",
    note: Reason = "",
) -> Response:
    """Record work done on a device: it moves the dates at which the next is due."""
    web = web_of(request)
    if work not in WORKS:
        raise Refused(422, msgid("Choose what was done."))
    at_ms = commands.local_ms(at, web.settings.timezone) if at else web.now_ms()
    args = {"site": site, "device": device, "work": work, "at_ms": min(at_ms, web.now_ms()), "note": note.strip()}
    await commands.do(web, person_of(request), "work.record", **args)
    return RedirectResponse(f"/devices/{site}/{device}#work", 303)


def patterns(scope: list[str]) -> list[str]:
    """The patterns of what was ticked: a zone stands for all of its members."""
    return list(dict.fromkeys(pattern for one in scope for pattern in one.split()))


def choices(web: Web, texts: Texts) -> list[Choice]:
    """Devices and zones a scope may name, in the order of the site files."""
    found = [
        Choice(
            device.site,
            device.id,
            device.title.get(texts.language),
            device.place.get(texts.language) if device.place else device.profile.title.get(texts.language),
            "device",
        )
        for device in web.inventory.devices.values()
    ]
    for site in web.inventory.sites.values():
        for group in site.all_groups():
            title = group.title.get(texts.language)
            # A group's members are what a scope is made of; one choice stands for all of them.
            found.append(Choice(site.site, " ".join(group.members), title, texts.word("group", group.kind), "zone"))
    return found


def testable(web: Web) -> list[str]:
    """What a test can show to work: points that carry states; of a device without any, the device."""
    found: list[str] = []
    for device in web.inventory.devices.values():
        points = [name for name, point in device.points.items() if _speaks(device, name) and not point.is_number]
        found += [f"{device.key}/{name}" for name in points] or [device.key]
    return found


def _speaks(device: Device, name: str) -> bool:
    return name not in BUILT_IN and name != ONLINE and not device.points[name].text


def _by_device(web: Web, found: list[tuple[str, int | None]], texts: Texts) -> list[Untested]:
    """What was not tested, device by device, the longest first."""
    rows: dict[str, Untested] = {}
    for subject, last_ms in found:
        key = "/".join(subject.split("/")[:2])
        if key not in rows:
            device = web.inventory.find(key)
            place = device.place.get(texts.language) if device and device.place else ""
            rows[key] = Untested(key, subject_title(key, web.inventory, texts), place, last_ms, [])
        if subject != key:
            point = web.inventory.point(subject)
            name = point[1].title.get(texts.language) if point else subject.rpartition("/")[2]
            rows[key].points.append((name, last_ms))
    return list(rows.values())


async def _drill_row(web: Web, row: Drill, texts: Texts) -> DrillRow:
    items = await web.read(web.ledger.drill_items, row.id)
    return DrillRow(
        row.id,
        web.inventory.site_title(row.site).get(texts.language),
        scope_text(row.site, list(row.scope), web.inventory, texts),
        row.from_ms,
        row.until_ms,
        row.reason,
        row.leader,
        row.closed_ms,
        row.closed_by or "",
        row.note,
        len(items),
        sum(item.spoke_ms is not None for item in items),
    )


async def _windows(web: Web) -> list[Maintenance]:
    rows: list[Maintenance] = await web.read(web.ledger.maintenance)
    return sorted(rows, key=lambda row: -row.from_ms)


def _sites(web: Web, texts: Texts) -> list[tuple[str, str]]:
    return [(key, site.title.get(texts.language)) for key, site in web.inventory.sites.items()]
