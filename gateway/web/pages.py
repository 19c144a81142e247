"""The pages about devices: all of them, one with everything about it, what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.topics import IDENT
from gateway.ledger.records import QuarantineRow, WorkRow
from gateway.web import views
from gateway.web.access import Refused
from gateway.web.alarm_cards import alarm_card
from gateway.web.context import Web, person_of, web_of
from gateway.web.device_facts import HOURS, dated_rows, line_strip, standing_alarms, watched_since, worst_point
from gateway.web.device_list import By, list_devices
from gateway.web.firmware import firmware_of
from gateway.web.inventory import Device
from gateway.web.panel_events import latest_events
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.web.upkeep.order_steps import in_order, orders_at_hand

router = APIRouter()
WORKS = ("inspection", "maintenance", "calibration", "battery", "test")
"""Kinds of work that are recorded."""
Ident = Annotated[str, Form(pattern=f"^{IDENT}$")]


@router.get("/devices")
async def devices(
    request: Request,
    show: str = "all",
    q: Annotated[str, Query(max_length=100)] = "",
    agent: Annotated[str, Query(max_length=130)] = "",
    by: By = "line",
    n: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """Every device with its points, then what is not known: unknown devices and refused messages."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    agents = views.agent_rows(web.picture, web.inventory, texts, web.now_ms())
    listed = list_devices(agents, words=q, only_attention=show == "attention", agent=agent, by=by, number=n)
    unknown = await web.read(web.ledger.unknown_devices)
    samples = {
        (row.site, row.device): await web.read(web.ledger.unknown_readings, row.site, row.device, 8) for row in unknown
    }
    return page(
        request,
        "devices.html",
        fragment="_devices.html",
        agents=[(f"{each.site}/{each.agent}", each.title) for each in agents],
        listed=listed,
        own=_own_rows(web, texts, show) if not q and not agent and n == 1 else [],
        q=q,
        agent=agent,
        by=by,
        site_titles={site: web.inventory.site_title(site).get(texts.language) for site in web.inventory.sites},
        show=show if show in ("all", "attention") else "all",
        unknown=unknown,
        samples=samples,
        refused=[_refused(row) for row in await web.read(web.ledger.quarantine)],
        profiles=[(p.id, p.title.get(texts.language)) for p in web.inventory.library],
    )


@router.post("/devices/approve")
async def approve(
    request: Request,
    site: Ident,
    device: Ident,
    profile: Ident,
    title_zh: Annotated[str, Form(min_length=1, max_length=80)],
    title_en: Annotated[str, Form(min_length=1, max_length=80)],
) -> Response:
    """Take an unknown device in: from now on it is watched by the profile's rules."""
    web = web_of(request)
    await web.link.ask(
        "device.approve",
        person_of(request).name,
        site=site,
        device=device,
        profile=profile,
        title_zh=title_zh.strip(),
        title_en=title_en.strip(),
    )
    web.picture.unknown_devices.pop((site, device), None)
    await web.refresh_approvals(anew=True)
    return RedirectResponse(f"/devices/{site}/{device}", 303)


@router.post("/refused/{refused_id}/dismiss")
async def dismiss(request: Request, refused_id: int) -> Response:
    """Take a refused message off the list; it stays in the audit."""
    web = web_of(request)
    await web.link.ask("quarantine.dismiss", person_of(request).name, id=refused_id)
    return RedirectResponse("/devices#refused", 303)


@router.get("/devices/{site}/{device}")
async def device_page(request: Request, site: str, device: str, point: str = "") -> Response:
    """One device: values, alarms, facts, history."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    known = web.inventory.find(f"{site}/{device}")
    if known is None:
        raise Refused(404, msgid("There is no such device."))
    row = views.device_row(known, web.picture, texts, web.now_ms())
    alarms = await web.read(web.ledger.alarms, site=site, device=device, limit=10)
    work = await web.read(web.ledger.work, site, device, 500)
    charted = [p for p in row.points if not p.is_text]
    chosen = next((p for p in charted if p.name == point), None) or next(
        (p for p in charted if p.severity), charted[0] if charted else None
    )
    return page(
        request,
        "device.html",
        fragment="_device_values.html",
        device=known,
        row=row,
        health=views.health_rows(known, web.picture, texts, web.now_ms()),
        agent_title=web.inventory.agent_title(site, known.agent).get(texts.language),
        site_title=web.inventory.site_title(site).get(texts.language),
        alarms=[alarm_card(alarm, web.inventory, texts, web.picture.told) for alarm in alarms],
        charted=charted,
        chosen=chosen,
        events=await latest_events(web.history, known, web.now_ms(), texts),
        limits={p.name: chart_limits(web, known, p.name, texts) for p in charted},
        is_equipment=known.key in web.inventory.devices,
        work=work,
        works=WORKS,
        firmware=await firmware_of(known, web),
        dated=dated_rows(known, work, web, texts),
        since_first_ms=await watched_since(known, web),
        strip=await line_strip(known, web, texts),
        strip_hours=HOURS,
        worst=worst_point(row),
        standing=standing_alarms(known, web, texts),
        out=web.picture.standing.out(known.key),
        orders=[
            order
            for order in in_order(orders_at_hand(web))
            if order.is_open and f"{order.subject}/".startswith(f"{known.key}/")
        ],
        now_local=texts.local(web.now_ms()),
    )


@router.post("/devices/{site}/{device}/read")
async def read_device(request: Request, site: str, device: str) -> Response:
    """Ask the agent to read a device now; the values come by the stream."""
    await web_of(request).link.ask("device.read", person_of(request).name, site=site, device=device)
    return RedirectResponse(f"/devices/{quote(site)}/{quote(device)}", 303)


def _own_rows(web: Web, texts: Texts, show: str) -> list[views.DeviceRow]:
    """What reports on itself and has reported: the gateway, agents, lines."""
    reported = {key.rpartition("/")[0] for key in web.picture.values}
    found = [device for key, device in web.inventory.own.items() if key in reported]
    rows = [views.device_row(device, web.picture, texts, web.now_ms()) for device in found]
    return [row for row in rows if show != "attention" or row.needs_somebody]


class Due(NamedTuple):
    """Something due in a device's life. state: overdue | soon | later."""

    what: str
    at_ms: int
    state: str


def due_rows(device: Device, work: Sequence[WorkRow], web: Web, texts: Texts) -> list[Due]:
    """What is due and when, the soonest first: from the site entry and the records of work."""
    return [
        Due(row.what, row.due_ms, row.state) for row in dated_rows(device, work, web, texts) if row.due_ms is not None
    ]


def chart_limits(web: Web, device: Device, point: str, texts: Texts) -> list[dict[str, Any]]:
    """The limits that are drawn across a chart of a point."""
    return [
        {
            "at": when.below if when.below is not None else when.above,
            "side": "below" if when.below is not None else "above",
            "severity": rule.severity,
            "title": rule.title.get(texts.language),
            "rule": rule.id,
        }
        for rule, when in web.inventory.limits(device, point)
    ]


def _refused(row: QuarantineRow) -> dict[str, Any]:
    """A refused message with its sample as text; what is no UTF-8 shows as replacement characters."""
    return {**msgspec.structs.asdict(row), "sample": row.sample.decode("utf-8", "replace")}
