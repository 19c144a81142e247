"""The pages people work with: board, devices, alarms."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.topics import IDENT
from contract.units import unit_of
from gateway.control.protocol import AlarmView
from gateway.ledger.records import QuarantineRow
from gateway.web import views
from gateway.web.access import Refused
from gateway.web.alarm_cards import SEVERITIES, alarm_card
from gateway.web.commands import acknowledge
from gateway.web.context import Web, person_of, web_of
from gateway.web.inventory import Device
from gateway.web.panel_events import latest_events
from gateway.web.render import local_path, page, wants_fragment
from gateway.web.texts import Texts, msgid

router = APIRouter()
PAGE_ROWS = 50
STATES = ("unacknowledged", "acknowledged", "returned_unacknowledged", "normal")
Ident = Annotated[str, Form(pattern=f"^{IDENT}$")]


@router.get("/")
async def board(request: Request) -> Response:
    """The live board: what burns, where, since when, what next."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    shown = views.board(web.picture, web.inventory, texts, web.now_ms())
    sites = [site.title.get(texts.language) for site in web.inventory.sites.values()]
    return page(
        request, "board.html", fragment="_board.html", board=shown, site_titles=sites, unknown=_unknown_count(web)
    )


@router.get("/devices")
async def devices(request: Request, show: str = "all") -> Response:
    """Every device with its points, then what is not known: unknown devices and refused messages."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    agents = views.agent_rows(web.picture, web.inventory, texts, web.now_ms())
    unknown = await web.read(web.ledger.unknown_devices)
    samples = {
        (row.site, row.device): await web.read(web.ledger.unknown_readings, row.site, row.device, 8) for row in unknown
    }
    return page(
        request,
        "devices.html",
        fragment="_devices.html",
        agents=agents,
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
    await web.refresh_approvals()
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
    known = web.inventory.devices.get(f"{site}/{device}")
    if known is None:
        raise Refused(404, msgid("There is no such device."))
    row = views.device_row(known, web.picture, texts, web.now_ms())
    alarms = await web.read(web.ledger.alarms, site=site, device=device, limit=10)
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
        limits={p.name: _limits(web, known, p.name, texts) for p in charted},
    )


@router.get("/alarms")
async def alarms(
    request: Request,
    severity: str = "",
    state: str = "",
    site: str = "",
    device: str = "",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Alarms of any age, newest first."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    rows: list[AlarmView] = await web.read(
        web.ledger.alarms,
        severity=severity if severity in SEVERITIES else None,
        state=state if state in STATES else None,
        site=site or None,
        device=device or None,
        before=before,
        limit=PAGE_ROWS + 1,
    )
    terms = {"severity": severity, "state": state, "site": site, "device": device}
    return page(
        request,
        "alarms.html",
        fragment="_alarms.html",
        alarms=[alarm_card(alarm, web.inventory, texts, web.picture.told) for alarm in rows[:PAGE_ROWS]],
        next_before=rows[PAGE_ROWS - 1].id if len(rows) > PAGE_ROWS else None,
        terms=terms,
        severities=SEVERITIES,
        states=STATES,
        device_titles=[(d.site, d.id, d.title.get(texts.language)) for d in web.inventory.devices.values()],
        older=before is not None,
    )


@router.get("/alarms/{alarm_id}")
async def alarm_page(request: Request, alarm_id: int) -> Response:
    """One alarm: what, on what basis, what next, who did what."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    alarm = await web.read(web.ledger.alarm, alarm_id)
    if alarm is None:
        raise Refused(404, msgid("There is no such alarm."))
    found = web.inventory.point(alarm.subject) if alarm.subject.count("/") == 2 else None
    return page(
        request,
        "alarm.html",
        fragment="_alarm.html",
        alarm=alarm_card(alarm, web.inventory, texts, web.picture.told),
        transitions=await web.read(web.ledger.transitions, alarm_id),
        inputs=_inputs(alarm.inputs, found, texts),
    )


@router.post("/devices/{site}/{device}/read")
async def read_device(request: Request, site: str, device: str) -> Response:
    """Ask the agent to read a device now; the values come by the stream."""
    await web_of(request).link.ask("device.read", person_of(request).name, site=site, device=device)
    return RedirectResponse(f"/devices/{quote(site)}/{quote(device)}", 303)


@router.post("/alarms/{alarm_id}/acknowledge")
async def acknowledge_alarm(
    request: Request,
    alarm_id: int,
    note: Annotated[str, Form(max_length=500)] = "",
    next: Annotated[str, Form(max_length=500)] = "/",  # noqa: A002  # name of the form field
) -> Response:
    """Acknowledge an alarm: from the board the fresh board comes back, else on to `next`."""
    web = web_of(request)
    await acknowledge(web, person_of(request).name, alarm_id, note)
    if wants_fragment(request):
        return await (alarm_page(request, alarm_id) if next.startswith("/alarms/") else board(request))
    return RedirectResponse(local_path(next), 303)


def _unknown_count(web: Web) -> int:
    return sum(f"{site}/{device}" not in web.inventory.devices for site, device in web.picture.unknown_devices)


def _limits(web: Web, device: Device, point: str, texts: Texts) -> list[dict[str, Any]]:
    return [
        {
            "at": when.below if when.below is not None else when.above,
            "side": "below" if when.below is not None else "above",
            "severity": rule.severity,
            "title": rule.title.get(texts.language),
        }
        for rule, when in web.inventory.limits(device, point)
    ]


def _refused(row: QuarantineRow) -> dict[str, Any]:
    """A refused message with its sample as text; what is no UTF-8 shows as replacement characters."""
    return {**msgspec.structs.asdict(row), "sample": row.sample.decode("utf-8", "replace")}


def _inputs(inputs: dict[str, Any], found: tuple[Device, Any] | None, texts: Texts) -> list[tuple[str, str]]:
    """The readings a decision rests on, as label and text."""
    shown: list[tuple[str, str]] = []
    for key, value in inputs.items():
        if key == "value" and found is not None:
            unit = unit_of(found[1].name)
            text = texts.value(found[1], value)
            shown.append((texts("Value"), f"{text} {unit.symbol}".strip() if unit else text))
        elif key == "quality":
            shown.append((texts("Quality"), texts.quality(str(value)) or texts("good")))
        elif key.endswith("_ms") and isinstance(value, int | float):
            label = texts("Measured") if key == "observed_ms" else key
            shown.append((label, texts.stamp(int(value))))
        else:
            shown.append((key, str(value)))
    return shown
