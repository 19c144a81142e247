"""The JSON API of readiness and equipment: the same commands as the pages. Scores are local measures, not official."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request

from gateway.duty.readiness_report import LOCAL_MEASURE, as_data
from gateway.duty.readiness_rows import DEDUCTION
from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.registers.equipment import station_list
from gateway.web.registers.readiness import account_since, rows_of, station_now, stations_of
from gateway.web.texts import msgid

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
DAY_MS = 86_400_000


class ReadinessAnswer(Answer):
    """A station now. `level`: unknown while the gateway does not answer; `score`: null while anything is unknown."""

    site: str
    level: Literal["ready", "degraded", "not_ready", "unknown"]
    score: float | None
    since_ms: int | None
    unknown: int
    """How many things are not known."""
    stale: list[str]
    """Paths whose data is older than two periods."""
    deductions: list[dict[str, Any]]
    risks: list[dict[str, Any]]
    note: str = LOCAL_MEASURE


class RiskRequest(Answer):
    """Accept that a rule speaks of a subject, for 90 days at most."""

    rule: Annotated[str, Field(max_length=100)]
    subject: Annotated[str, Field(max_length=200)]
    reason: Annotated[str, Field(max_length=2000)]
    until_ms: int


class TickRequest(Answer):
    """What somebody saw. count: there and in order. expires_ms: first moment at which one is valid no more."""

    count: Annotated[int, Field(ge=0, le=999)]
    result: Literal["ok", "short", "defect"]
    expires_ms: int | None = None
    note: Annotated[str, Field(max_length=500)] = ""


class LineAnswer(Answer):
    """A line of a station's list. `tick`: the latest row, as in the ledger."""

    item: str
    kind: str
    wanted: int
    missing: int
    status: Literal["ok", "unchecked", "expired", "short", "unknown"]
    due_ms: int | None
    alarms: list[int]
    tick: dict[str, Any] | None


class EquipmentAnswer(Answer):
    """The list of a station."""

    site: str
    status: Literal["ok", "unchecked", "expired", "short", "unknown"]
    missing: int
    lines: list[LineAnswer]


@router.get("/api/v1/readiness", **_API)
async def readiness(request: Request, turn: Turned) -> Page[ReadinessAnswer]:
    """Every station now, with everything that takes from it."""
    web, texts = web_of(request), web_of(request).texts(request)
    found = []
    part, after = cut(stations_of(web), turn, lambda site: (site,))
    for site in part:
        now = await station_now(web, site, texts)
        rows = await web.read(web.ledger.entries, DEDUCTION, sites=(site,), is_open=True)
        found.append(
            ReadinessAnswer.model_validate(
                {
                    "site": site,
                    "level": now.level,
                    "score": now.score,
                    "since_ms": now.since_ms,
                    "unknown": now.unknown,
                    "stale": [cause for row in rows_of(web, "stale", site) for cause in row["causes"]],
                    "deductions": [msgspec.to_builtins(row) for row in rows],
                    "risks": rows_of(web, "risk", site),
                }
            )
        )
    return Page(items=found, next=after)


@router.get("/api/v1/readiness/{site}", **_API)
async def readiness_of(
    request: Request,
    site: str,
    from_ms: Annotated[int | None, Query(ge=0)] = None,
    until_ms: Annotated[int | None, Query(ge=0)] = None,
) -> dict[str, Any]:
    """What a station was in a span (the last thirty days unless given): percents, raw milliseconds, deductions."""
    web = web_of(request)
    _check(web, site)
    begin_ms = from_ms if from_ms is not None else web.now_ms() - 30 * DAY_MS
    return as_data(await account_since(web, site, begin_ms, until_ms))


@router.post("/api/v1/readiness/{site}/risks", **_API)
async def accept_risk(request: Request, site: str, body: RiskRequest) -> dict[str, Any]:
    """Accept a risk; gives its row."""
    _check(web_of(request), site)
    row: dict[str, Any] = await commands.do(
        web_of(request), person_of(request), "risk.accept", site=site, **body.model_dump()
    )
    return row


@router.post("/api/v1/risks/{risk_id}/withdraw", **_API)
async def withdraw_risk(request: Request, risk_id: int) -> dict[str, Any]:
    """Accept it no more; gives its row."""
    row: dict[str, Any] = await commands.do(web_of(request), person_of(request), "risk.withdraw", id=risk_id)
    return row


@router.get("/api/v1/equipment", **_API)
async def equipment(request: Request, turn: Turned) -> Page[EquipmentAnswer]:
    """The equipment of every station."""
    web, texts = web_of(request), web_of(request).texts(request)
    found = []
    part, after = cut(stations_of(web), turn, lambda site: (site,))
    for site in part:
        listed = station_list(web, site, texts.language)
        lines = [
            LineAnswer.model_validate(
                {
                    "item": shown.needed.id,
                    "kind": shown.needed.kind,
                    "wanted": shown.needed.count,
                    "missing": shown.line.missing,
                    "status": shown.status,
                    "due_ms": shown.line.due_ms,
                    "alarms": list(shown.line.alarms),
                    "tick": None if shown.line.tick is None else msgspec.to_builtins(shown.line.tick),
                }
            )
            for shown in listed.lines
        ]
        found.append(
            EquipmentAnswer.model_validate(
                {"site": site, "status": listed.status, "missing": listed.missing, "lines": lines}
            )
        )
    return Page(items=found, next=after)


@router.post("/api/v1/equipment/{site}/{item}/tick", **_API)
async def tick(request: Request, site: str, item: str, body: TickRequest) -> dict[str, Any]:
    """Tick a line; gives the tick."""
    _check(web_of(request), site)
    row: dict[str, Any] = await commands.do(
        web_of(request), person_of(request), "equipment.tick", site=site, item=item, **body.model_dump()
    )
    return row


def _check(web: Web, site: str) -> None:
    if site not in stations_of(web):
        raise Refused(404, msgid("There is no such station."))
