"""The JSON API, /api/v1: the same facts as the pages, with the same session and roles."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.units import unit_of
from gateway.control.protocol import AlarmView
from gateway.web import api_models as m
from gateway.web import charts, views
from gateway.web.access import Refused
from gateway.web.alarm_cards import SEVERITIES
from gateway.web.api_firmware import OneDeviceAnswer, firmware_answer
from gateway.web.commands import acknowledge
from gateway.web.context import Web, person_of, web_of
from gateway.web.firmware import firmware_of
from gateway.web.inventory import Device
from gateway.web.listing import Page, Turned, cut, cut_ordered, newest
from gateway.web.openapi import described
from gateway.web.records.former import find_point
from gateway.web.situation import Situation
from gateway.web.texts import Texts, msgid
from gateway.web.views import DeviceRow

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": m.Problem, "description": text, "content": {"application/problem+json": {}}}
    for code, text in ((401, "Not signed in"), (403, "Role or CSRF token"), (404, "Not found"), (503, "Gateway away"))
}
router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
YEARS_MS = 5 * 366 * 86_400_000


@router.get("/api/v1/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """This API as OpenAPI 3.1."""
    return JSONResponse(described(request.app))


@router.get("/api/v1/session", **_API)
async def session(request: Request) -> m.SessionAnswer:
    """Who is signed in, and the token for requests that change something."""
    who = person_of(request)
    return m.SessionAnswer(name=who.name, role=who.role, csrf=who.csrf, area=who.area, token=who.via or None)


@router.get("/api/v1/status", **_API)
async def status(request: Request) -> m.StatusAnswer:
    """Whether the gateway answers, alarms and devices counted, agents."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    board = views.board(web.picture, web.inventory, texts, web.now_ms())
    agents = []
    for row in board.agents:
        known = web.picture.agents.get((row.site, row.agent))
        agents.append(
            m.AgentAnswer(
                site=row.site,
                agent=row.agent,
                title=web.inventory.agent_title(row.site, row.agent),
                connected=row.connected,
                heard_ms=row.heard_ms,
                clock_offset_ms=known.clock_offset_ms if known else None,
            )
        )
    return m.StatusAnswer(
        connected=web.picture.connected,
        since_ms=web.picture.since_ms,
        now_ms=web.now_ms(),
        screens=web.hub.screens,
        alarms={severity: board.severities[severity] for severity in SEVERITIES},
        devices=dict(board.devices),
        agents=agents,
    )


@router.get("/api/v1/sites", **_API)
async def sites(request: Request, turn: Turned) -> Page[m.SiteAnswer]:
    """Every station."""
    inventory = web_of(request).inventory
    part, after = cut(inventory.sites.values(), turn, lambda site: (site.site,))
    counts = Counter(device.site for device in inventory.devices.values())
    found = [
        m.SiteAnswer(
            site=site.site,
            title=site.title,
            agents=[agent.id for agent in site.agents],
            devices=counts[site.site],
        )
        for site in part
    ]
    return Page(items=found, next=after)


@router.get("/api/v1/devices", **_API)
async def devices(request: Request, turn: Turned, site: str | None = None) -> Page[m.DeviceAnswer]:
    """Devices with their last values, in the order of site and id."""
    web = web_of(request)
    await web.refresh_approvals()
    known = web.inventory.in_order()
    wanted = known if site is None else [d for d in known if d.site == site]
    part, after = cut_ordered(wanted, turn, lambda device: (device.site, device.id))
    texts, situation = web.texts(request), Situation(web.picture, web.now_ms())
    return Page(items=[_device(texts, web, each, situation) for each in part], next=after)


@router.get("/api/v1/devices/{site}/{device}", **_API)
async def device(request: Request, site: str, device: str) -> OneDeviceAnswer:
    """One device with its last values, and who it says it is: maker, product, firmware."""
    web = web_of(request)
    await web.refresh_approvals()
    known = _known(web, f"{site}/{device}")
    firmware = await firmware_of(known, web)
    told = None if firmware is None else firmware_answer(firmware)
    return OneDeviceAnswer(**dict(_device(web.texts(request), web, known)), firmware=told)


@router.get("/api/v1/values", **_API)
async def values(
    request: Request,
    turn: Turned,
    point: Annotated[list[str], Query(max_length=1000)] = [],  # noqa: B006  # FastAPI copies defaults
) -> Page[m.ValueAnswer]:
    """Last values of the named points (`site/device/point`, repeated), or of all, in the order of their names."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    names, of = frozenset(point), {key.rpartition("/")[0] for key in point}
    devices = web.inventory.devices
    known = devices.values() if not point else [devices[key] for key in of if key in devices]
    situation = Situation(web.picture, web.now_ms())
    rows = [row for each in known for row in views.device_row(each, web.picture, texts, web.now_ms(), situation).points]
    part, after = cut((row for row in rows if not names or row.key in names), turn, lambda row: (row.key,))
    return Page(items=[_value(web, row) for row in part], next=after)


@router.get("/api/v1/alarms", **_API)
async def alarms(
    request: Request,
    turn: Turned,
    open: bool = True,  # noqa: A002  # name of the query parameter
    site: str | None = None,
    device: str | None = None,
    severity: str | None = None,
) -> Page[m.AlarmAnswer]:
    """Open alarms, worst first; with open=false alarms of any age, newest first."""
    web = web_of(request)
    if not open:
        terms = {"site": site, "device": device, "severity": severity, "before": turn.before, "limit": turn.limit + 1}
        rows, older = newest(await web.read(web.ledger.alarms, **terms), turn)
        return Page(items=[alarm_answer(web, alarm) for alarm in rows], next=older)
    found = await web.read(web.ledger.open_alarms)
    cards = [
        a for a in found if site in (None, a.site) and device in (None, a.device) and severity in (None, a.severity)
    ]
    part, after = cut(cards, turn, lambda a: (SEVERITIES.index(a.severity), int(not a.active), -a.raised_ms, a.id))
    return Page(items=[alarm_answer(web, alarm) for alarm in part], next=after)


@router.get("/api/v1/alarms/{alarm_id}", **_API)
async def alarm(request: Request, alarm_id: int) -> m.AlarmWithSteps:
    """One alarm with everything that happened to it."""
    web = web_of(request)
    found = await web.read(web.ledger.alarm, alarm_id)
    if found is None:
        raise Refused(404, msgid("There is no such alarm."))
    steps = await web.read(web.ledger.transitions, alarm_id)
    return m.AlarmWithSteps(
        **alarm_answer(web, found).model_dump(),
        transitions=[m.TransitionAnswer(**{k: v for k, v in s._asdict().items() if k in _STEP}) for s in steps],
    )


@router.post("/api/v1/alarms/{alarm_id}/acknowledge", **_API)
async def acknowledge_alarm(request: Request, alarm_id: int, body: m.AcknowledgeRequest) -> m.AlarmAnswer:
    """Acknowledge an alarm. Answers once it is durable."""
    web = web_of(request)
    await acknowledge(web, person_of(request).name, alarm_id, body.note)
    found = await web.read(web.ledger.alarm, alarm_id)
    if found is None:
        raise Refused(404, msgid("There is no such alarm."))
    return alarm_answer(web, found)


@router.get("/api/v1/history", **_API)
async def history(
    request: Request,
    point: Annotated[str, Query(description="site/device/point", examples=["shuiye/hydrant-01/pressure_kpa"])],
    from_ms: Annotated[int, Query(ge=0)],
    to_ms: Annotated[int, Query(ge=0)],
    buckets: Annotated[int, Query(ge=10, le=charts.BUCKETS)] = charts.BUCKETS,
) -> m.HistoryAnswer:
    """History of a point, thinned to what a screen can show."""
    web = web_of(request)
    of, what, _ = await find_point(web, point)
    if not from_ms < to_ms <= from_ms + YEARS_MS:
        raise Refused(422, msgid("The period must be longer than nothing and at most five years."))
    unit = unit_of(what.name)
    step_ms: int | None = None
    rows: list[Any] = []
    stretches: list[Any] = []
    complete = True
    if what.is_number:
        step_ms = charts.bucket_ms(from_ms, to_ms, buckets)
        rows = await charts.numbers(web.history, of, what.name, from_ms, to_ms, step_ms)
    else:
        stretches, complete = await charts.states(web.history, of, what.name, from_ms, to_ms)
    return m.HistoryAnswer(
        point=point,
        unit=unit.symbol if unit and what.is_number else "",
        from_ms=from_ms,
        to_ms=to_ms,
        bucket_ms=step_ms,
        buckets=rows,
        segments=stretches,
        complete=complete,
    )


_STEP = frozenset(m.TransitionAnswer.model_fields)


def _known(web: Web, key: str) -> Device:
    found = web.inventory.devices.get(key)
    if found is None:
        raise Refused(404, msgid("There is no such device."))
    return found


def _device(texts: Texts, web: Web, of: Device, situation: Situation | None = None) -> m.DeviceAnswer:
    row: DeviceRow = views.device_row(of, web.picture, texts, web.now_ms(), situation)
    return m.DeviceAnswer(
        site=of.site,
        device=of.id,
        agent=of.agent,
        profile=of.profile.id,
        title=of.title,
        place=of.place,
        status=row.status,
        reason=row.reason,
        severity=row.severity,
        values=[_value(web, p) for p in row.points],
    )


def _value(web: Web, row: views.PointRow) -> m.ValueAnswer:
    current = web.picture.values.get(row.key)
    return m.ValueAnswer(
        point=row.key,
        title=row.point.title,
        unit=row.unit,
        value=current.value if current else None,
        quality=current.quality if current else "unknown:never_reported",
        observed_ms=row.observed_ms,
        status=row.status,
        reason=row.reason,
    )


def alarm_answer(web: Web, alarm: AlarmView) -> m.AlarmAnswer:
    """An alarm as the API tells it."""
    rule = web.inventory.rules.get(alarm.rule)
    return m.AlarmAnswer(
        **{name: getattr(alarm, name) for name in AlarmView.__struct_fields__},
        title=rule.title if rule else None,
        advice=rule.advice if rule else [],
        basis=rule.basis if rule else None,
    )
