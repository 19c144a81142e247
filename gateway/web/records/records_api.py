"""The JSON API of records: search, life, completeness, exports: the same as the pages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import FileResponse

from gateway.exports.desk import FileKind, Job
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import person_of, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.records import export_pages
from gateway.web.records.former import find_device
from gateway.web.records.life import Kind, life
from gateway.web.records.proof import certificate
from gateway.web.records.record_pages import month_of
from gateway.web.records.search import Terms, search

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
_FILE: dict[str, Any] = {
    "description": "The file, of the kind that was asked for.",
    "content": {"application/octet-stream": {"schema": {"type": "string"}, "example": "weizhan-export,1,alarms,..."}},
}
Name = Annotated[str, Query(max_length=60)]
Month = Annotated[str, Query(max_length=7, pattern=r"^(\d{4}-\d{2})?$", examples=["2026-11"])]


class RecordAnswer(Answer):
    """A device that fits. `then`: its state on the day that was asked for; null without one."""

    key: str = Field(examples=["shuiye/hydrant-01"])
    title: str
    kind: str
    place: str
    site: str
    unit: str
    area: str
    then: str | None
    now: str = Field(examples=["good"])


class EventAnswer(Answer):
    """Something in a device's life, the latest first."""

    at_ms: int
    kind: str = Field(examples=["alarm"])
    title: str
    severity: str
    until_ms: int | None
    who: str
    lines: list[str]


class LifeAnswer(Answer):
    """A page of what is known of a device. Of the time before `first_ms` nothing is."""

    key: str
    first_ms: int
    more: bool = Field(description="Older ones follow: ask for the next page.")
    next: str | None = Field(
        description="Send it as `after` for the next page; null: this was the last.",
        examples=["Wy0xNzY0NDYwODAwMDAwLDAsLTQxXQ"],
    )
    counts: dict[str, int] = Field(description="Of each kind in all.", examples=[{"alarm": 41, "work": 3}])
    removed_ms: int | None = Field(description="When it was taken out of its site file; null: it is installed.")
    events: list[EventAnswer]


class CountAnswer(Answer):
    """due = received + unchecked + late + the sum of lost."""

    due: int
    received: int
    unchecked: int = Field(description="Received; when, is no longer kept.")
    late: int
    lost: dict[str, int] = Field(description="Reason -> how many.")


class AgainAnswer(Answer):
    """What came again on a day (by the site's calendar) in a lane and was dropped: batches with something of the
    device, and its readings in them."""

    day: str
    lane: str
    batches: int
    readings: int


class CompletenessAnswer(Answer):
    """A certificate. `away`: the history could not be read, so nothing is said of values."""

    key: str
    month: str
    from_ms: int
    until_ms: int
    step_ms: int
    away: bool
    total: CountAnswer
    points: dict[str, CountAnswer]
    again: list[AgainAnswer] = Field(description="Came again and was dropped; in none of the counts above.")
    again_since_ms: int | None = Field(description="Counted since then only; null: over the whole month.")
    audit_rows: int
    audit_broken: int | None
    audit_head: str = Field(description="ID:HASH of the chain now.")


class ExportRequest(Answer):
    """An export to be made. Without site and area: everything the reader may see."""

    kind: str = Field(max_length=20, examples=["alarms"])
    file: FileKind = Field(examples=["csv"])
    month: str = Field(default="", max_length=7, pattern=r"^(\d{4}-\d{2})?$")
    site: str = Field(default="", max_length=60)
    device: str = Field(default="", max_length=60)
    area: str = Field(default="", max_length=60)


class ExportAnswer(Answer):
    """An export. state: waiting, running, done, failed or stopped; `why` for the last two."""

    id: str
    kind: str
    title: str
    file: str
    state: str
    percent: int
    rows: int
    code: str
    recorded: bool
    why: str


@router.get("/api/v1/records", **_API)
async def records(
    request: Request,
    turn: Turned,
    text: Annotated[str, Query(max_length=100)] = "",
    site: Name = "",
    area: Name = "",
    type: Name = "",  # noqa: A002  # name of the query parameter
    state: Name = "",
    on: Annotated[str, Query(max_length=10, description="YYYY-MM-DD: as it was at the end of that day")] = "",
) -> Page[RecordAnswer]:
    """Devices that fit, with their state then and now."""
    web, texts = web_of(request), web_of(request).texts(request)
    terms = Terms(text.strip(), site, area, type, state, on)
    found = await search(web, texts, terms, 1, 1_000_000)
    rows, after = cut(found.rows, turn, lambda row: (row.key,))
    return Page(items=[RecordAnswer(**row._asdict()) for row in rows], next=after)


@router.get("/api/v1/records/{site}/{device}", **_API)
async def device_life(
    request: Request,
    site: str,
    device: str,
    turn: Turned,
    kind: Annotated[Kind | None, Query(description="Only what is of this kind")] = None,
) -> LifeAnswer:
    """The life of a device, the latest first, also of one that was taken out of its site file."""
    web = web_of(request)
    known, gone = await find_device(web, site, device)
    whole = await life(web, web.texts(request), known, gone, turn, kind)
    events = [
        EventAnswer(
            at_ms=e.at_ms, kind=e.kind, title=e.title, severity=e.severity, until_ms=e.until_ms, who=e.who,
            lines=list(e.lines),
        )
        for e in whole.events
    ]  # fmt: skip
    removed_ms = None if gone is None else gone.removed_ms
    return LifeAnswer(
        key=known.key, first_ms=whole.first_ms, more=whole.next is not None, next=whole.next, counts=whole.counts,
        removed_ms=removed_ms, events=events,
    )  # fmt: skip


@router.get("/api/v1/records/{site}/{device}/completeness", **_API)
async def completeness(request: Request, site: str, device: str, month: Month = "") -> CompletenessAnswer:
    """What was due of a device in a month and what came; the running month when none is named.

    Of a device that was taken out nothing is due after.
    """
    web = web_of(request)
    known, gone = await find_device(web, site, device)
    shown = month_of(web, month)
    found = await certificate(web, known, shown, gone=gone)

    def count(of: Any) -> CountAnswer:
        return CountAnswer(due=of.due, received=of.received, unchecked=of.unchecked, late=of.late, lost=dict(of.lost))

    return CompletenessAnswer(
        key=known.key, month=shown.name, from_ms=found.from_ms, until_ms=found.until_ms, step_ms=found.over.step_ms,
        away=found.away, total=count(found.total), points={each.point.name: count(each.count) for each in found.points},
        again=[
            AgainAnswer(day=row.day, lane=row.lane, batches=row.batches, readings=row.readings)
            for row in found.again.rows
        ],
        again_since_ms=found.again.since_ms,
        audit_rows=found.audit.rows, audit_broken=found.audit.broken,
        audit_head=f"{found.audit.head.id}:{found.audit.head.hash}",
    )  # fmt: skip


@router.post("/api/v1/exports", **_API)
async def ask_export(request: Request, body: ExportRequest) -> ExportAnswer:
    """Have an export made in the background. Ask for its state until it is done, then for the file."""
    return _answer(
        await export_pages.order(request, body.kind, body.file, body.month, body.site, body.device, body.area)
    )


@router.get("/api/v1/exports/{job_id}", **_API)
async def export(request: Request, job_id: str) -> ExportAnswer:
    """How far an export is."""
    return _answer(export_pages.find_job(web_of(request), person_of(request), job_id))


@router.get("/api/v1/exports/{job_id}/file", response_class=FileResponse, responses={200: _FILE, **PROBLEMS})
async def export_file(request: Request, job_id: str) -> Any:
    """Its file."""
    return await export_pages.download(request, job_id)


def _answer(job: Job) -> ExportAnswer:
    return ExportAnswer(
        id=job.id, kind=job.kind, title=job.title, file=job.file, state=job.state, percent=job.percent,
        rows=job.total or job.rows, code=job.code, recorded=job.recorded, why=job.why,
    )  # fmt: skip
