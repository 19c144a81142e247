"""The JSON API of incidents: the same commands as the pages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from gateway.incidents.rows import INCIDENT, FalseClass, Finding, Incident, missing
from gateway.web import commands
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import person_of, web_of
from gateway.web.listing import Page, Turned, cut, newest
from gateway.web.registers.incident_rows import find_incident, open_incidents, story_of

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
Text = Annotated[str, Field(max_length=2000)]


class OpenIncident(BaseModel):
    """A fire that somebody saw."""

    model_config = ConfigDict(extra="forbid")

    site: Annotated[str, Field(max_length=60)]
    text: Annotated[str, Field(min_length=1, max_length=2000)]


class IncidentStep(BaseModel):
    """One step. `station`: a site; `at_ms`: when, where it is entered afterwards."""

    model_config = ConfigDict(extra="forbid")

    step: Literal["confirm", "call", "answer", "depart", "arrive", "brigade", "find", "note", "close"]
    station: Annotated[str, Field(max_length=60)] | None = None
    people: Annotated[list[int], Field(max_length=100)] | None = None
    at_ms: int | None = None
    what: Literal["called", "arrived", "not_needed"] | None = None
    finding: Finding | None = None
    false_class: FalseClass | None = None
    found: Text | None = None
    cause: Text | None = None
    text: Text | None = None
    note: Text | None = None


class IncidentAnswer(Answer):
    """An incident. `row` is as in the ledger; what each field means: docs/duty.md, Incidents."""

    id: int
    site: str
    state: str
    drill: int | None
    missing: list[str]
    """What its sheet still lacks."""
    row: dict[str, Any]


class IncidentLine(Answer):
    """One line of the timeline."""

    at_ms: int
    source: str
    what: str
    who: str
    text: str


class IncidentStory(IncidentAnswer):
    """With the timeline, worked out from the ledger as it is now."""

    alarms: list[int]
    timeline: list[IncidentLine]


@router.get("/api/v1/incidents", **_API)
async def incidents(
    request: Request,
    turn: Turned,
    open: bool = True,  # noqa: A002  # name of the query parameter
    site: Annotated[str | None, Query(max_length=60)] = None,
) -> Page[IncidentAnswer]:
    """Open incidents; with open=false those of any age, newest first."""
    web = web_of(request)
    if open:
        rows, after = cut((row for row in open_incidents(web) if site in (None, row.site)), turn, lambda row: (row.id,))
    else:
        terms = {"sites": None if site is None else (site,), "before": turn.before, "limit": turn.limit + 1}
        rows, after = newest(await web.read(web.ledger.entries, INCIDENT, **terms), turn)
    return Page(items=[_answer(row) for row in rows], next=after)


@router.get("/api/v1/incidents/{incident_id}", **_API)
async def incident(request: Request, incident_id: int) -> IncidentStory:
    """One incident with its timeline."""
    web = web_of(request)
    row = await find_incident(web, incident_id)
    story = await story_of(web, row, web.texts(request))
    return IncidentStory(
        **_answer(row).model_dump(),
        alarms=[alarm.id for alarm in story.alarms],
        timeline=[IncidentLine(**line._asdict()) for line in story.lines],
    )


@router.post("/api/v1/incidents", **_API)
async def open_incident(request: Request, body: OpenIncident) -> IncidentAnswer:
    """Open one by hand. Answers once it is durable."""
    row = await commands.do(web_of(request), person_of(request), "incident.open", **body.model_dump())
    return _answer(msgspec.convert(row, Incident))


@router.post("/api/v1/incidents/{incident_id}/steps", **_API)
async def take_step(request: Request, incident_id: int, body: IncidentStep) -> IncidentAnswer:
    """Enter one step. Answers once it is durable."""
    web = web_of(request)
    await find_incident(web, incident_id)
    args = body.model_dump(exclude={"step"}, exclude_none=True)
    row = await commands.do(web, person_of(request), f"incident.{body.step}", id=incident_id, **args)
    return _answer(msgspec.convert(row, Incident))


def _answer(row: Incident) -> IncidentAnswer:
    return IncidentAnswer(
        id=row.id,
        site=row.site,
        state=row.state,
        drill=row.drill,
        missing=missing(row),
        row=msgspec.to_builtins(row),
    )
