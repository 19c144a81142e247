"""The JSON API of patrols, drills and training: the same commands as the pages."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request

from gateway.ledger.entries import Kind
from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import person_of, web_of
from gateway.web.listing import Page, Turn, Turned, cut, newest
from gateway.web.registers import patrol_rows as rows
from gateway.web.registers.hazard_steps import Photo, Step
from gateway.web.registers.photos import keep_picture
from gateway.web.texts import msgid
from gateway.work.plans import PLAN
from gateway.work.routes import ROUND, Result
from gateway.work.training import TRAINING_KIND

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
Note = Annotated[str, Field(max_length=2000)]


class StartRequest(Step):
    """A round to begin."""

    site: Annotated[str, Field(max_length=60)]
    plan: Annotated[str, Field(max_length=60)]


class TickRequest(Step):
    """A stop answered: the token of its label or the code below it, and a result for each of its items."""

    spot: Annotated[str, Field(max_length=60)]
    proof: Annotated[str, Field(max_length=200)]
    answers: Annotated[list[Result], Field(min_length=1, max_length=20)]
    """In the order of the items; one for a stop without items."""
    note: Note = ""
    photo: Photo = ""


class FinishRequest(Step):
    """A round to end."""

    note: Note = ""


class JudgeRequest(Step):
    """Another person's word on an implausible round."""

    accept: bool
    note: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class TrainingRequest(Step):
    """A drill, training or assessment that was held."""

    site: Annotated[str, Field(max_length=60)]
    plan: Annotated[str, Field(max_length=60)]
    """`training/station_drill`, `training/unit_drill`, `training/training` or `training/assessment`."""
    held_ms: int
    people: Annotated[list[int], Field(max_length=500)] = []
    count: Annotated[int, Field(ge=0, le=100_000)] = 0
    note: Note = ""
    photo: Photo = ""
    drill: int | None = None


class PlanAnswer(Answer):
    """A plan in force and how it stands."""

    site: str
    plan: str
    title: str
    kind: str
    cycle: str
    basis: str
    state: str
    """overdue | due | done | ahead"""
    at_ms: int
    """Overdue since, due or done until, ahead from."""
    done_ms: int | None
    """When the last whole round began, or the last training was held."""
    is_training: bool


class RowAnswer(Answer):
    """A row of a register as the ledger has it: docs/duty.md, Patrols and training."""

    id: int
    site: str
    state: str
    row: dict[str, Any]


class RoundAnswer(RowAnswer):
    """A round with the answers of its stops."""

    visits: list[dict[str, Any]]


class CompletionAnswer(Answer):
    """What was walked of what was due in a month: raw counts."""

    site: str
    title: str
    kind: str
    due: int
    complete: int
    late: int
    partial: int
    implausible: int
    refused: int
    missed: int


class PhotoAnswer(Answer):
    """A photo that was kept."""

    photo: str
    """Its name, for the field `photo` of other requests."""


@router.get("/api/v1/patrols", **_API)
async def plans(request: Request, turn: Turned) -> Page[PlanAnswer]:
    """Every plan in force: routes, then drills and training."""
    web, texts = web_of(request), web_of(request).texts(request)
    found = [
        PlanAnswer(**{k: v for k, v in line._asdict().items() if k in PlanAnswer.model_fields}, is_training=trainings)
        for trainings in (False, True)
        for line in await rows.plan_lines(web, texts, trainings=trainings)
    ]
    part, after = cut(found, turn, lambda line: (int(line.is_training), line.site, line.plan))
    return Page(items=part, next=after)


@router.get("/api/v1/patrols/completion", **_API)
async def completion(
    request: Request,
    turn: Turned,
    month: Annotated[str, Query(pattern=r"^\d{4}-\d{2}$")],
    site: Annotated[str | None, Query(max_length=60)] = None,
) -> Page[CompletionAnswer]:
    """What was walked of what was due in a month of each site's own clock."""
    web, texts = web_of(request), web_of(request).texts(request)
    found = await rows.completion_lines(web, texts, rows.month_of(month, web), site)
    places = {id(line): n for n, line in enumerate(found)}
    part, after = cut(found, turn, lambda line: (line.site, line.kind, line.title, places[id(line)]))
    lines = [
        CompletionAnswer(site=line.site, title=line.title, kind=line.kind, **line.counts._asdict()) for line in part
    ]
    return Page(items=lines, next=after)


@router.get("/api/v1/patrols/rounds", **_API)
async def rounds(request: Request, turn: Turned) -> Page[RowAnswer]:
    """Rounds, newest first."""
    return await _rows(request, ROUND, turn)


@router.get("/api/v1/patrols/rounds/{round_id}", **_API)
async def one_round(request: Request, round_id: int) -> RoundAnswer:
    """A round with every answer of its stops."""
    return await _round(request, round_id)


@router.post("/api/v1/patrols/rounds", **_API)
async def start(request: Request, body: StartRequest) -> RoundAnswer:
    """Begin a round; who asks walks it."""
    walk = await commands.do(web_of(request), person_of(request), "round.start", **body.model_dump())
    return await _round(request, walk["id"])


@router.post("/api/v1/patrols/rounds/{round_id}/tick", **_API)
async def tick(request: Request, round_id: int, body: TickRequest) -> RoundAnswer:
    """Answer a stop."""
    args = {**body.model_dump(), "answers": list(enumerate(body.answers)), "id": round_id}
    await commands.do(web_of(request), person_of(request), "round.tick", **args)
    return await _round(request, round_id)


@router.post("/api/v1/patrols/rounds/{round_id}/finish", **_API)
async def finish(request: Request, round_id: int, body: FinishRequest) -> RoundAnswer:
    """End a round as it is."""
    await commands.do(web_of(request), person_of(request), "round.finish", id=round_id, **body.model_dump())
    return await _round(request, round_id)


@router.post("/api/v1/patrols/rounds/{round_id}/judge", **_API)
async def judge(request: Request, round_id: int, body: JudgeRequest) -> RoundAnswer:
    """Say whether an implausible round counts."""
    await commands.do(web_of(request), person_of(request), "round.judge", id=round_id, **body.model_dump())
    return await _round(request, round_id)


@router.get("/api/v1/trainings", **_API)
async def trainings(request: Request, turn: Turned) -> Page[RowAnswer]:
    """Drills and training that were recorded, the latest record first."""
    return await _rows(request, TRAINING_KIND, turn)


@router.post("/api/v1/trainings", **_API)
async def record(request: Request, body: TrainingRequest) -> RowAnswer:
    """Record a drill or training that was held."""
    made = await commands.do(web_of(request), person_of(request), "training.record", **body.model_dump())
    return RowAnswer(id=made["id"], site=made["site"], state=made["state"], row=made)


@router.post("/api/v1/photos", **_API)
async def photo(request: Request) -> PhotoAnswer:
    """Keep a photo: the body is the JPEG, PNG or WebP itself."""
    return PhotoAnswer(photo=await keep_picture(web_of(request), await request.body()))


async def _round(request: Request, round_id: int) -> RoundAnswer:
    web, texts = web_of(request), web_of(request).texts(request)
    walk = await web.read(web.ledger.entry, ROUND, round_id)
    plan = await web.read(web.ledger.entry, PLAN, walk.row) if walk is not None else None
    if walk is None or plan is None:
        raise Refused(404, msgid("There is no such round."))
    stops = await rows.stop_lines(web, walk, plan.spec, texts)
    visits = [msgspec.to_builtins(stop.visit) for stop in stops if stop.visit is not None]
    return RoundAnswer(id=walk.id, site=walk.site, state=walk.state, row=msgspec.to_builtins(walk), visits=visits)


async def _rows(request: Request, kind: Kind[Any], turn: Turn) -> Page[RowAnswer]:
    web = web_of(request)
    found = await web.read(web.ledger.entries, kind, before=turn.before, limit=turn.limit + 1)
    part, after = newest(found, turn)
    rows = [RowAnswer(id=row.id, site=row.site, state=row.state, row=msgspec.to_builtins(row)) for row in part]
    return Page(items=rows, next=after)
