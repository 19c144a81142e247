"""Pages of drills and training: what is planned and overdue, what was held, the form to record it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.registers import patrol_rows as rows
from gateway.web.registers.photos import keep_photo
from gateway.web.registers.staff import people_names, people_now
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.work.plans import TRAINING_TITLES
from gateway.work.training import TRAINING_KIND, Training

router = APIRouter()
HELD = 60
"""Trainings on the page."""
DRILLS = 30
"""Walk tests to choose from."""


@router.get("/training")
async def training(request: Request) -> Response:
    """What is planned, what was held; the form."""
    web, texts = web_of(request), web_of(request).texts(request)
    names = await people_names(web)
    return page(
        request,
        "training.html",
        fragment="_training.html",
        lines=await rows.plan_lines(web, texts, trainings=True),
        held=await _held(web, texts, names),
        people=sorted((number, names.get(number, str(number))) for number in people_now(web)),
        drills=await web.read(web.ledger.drills, None, DRILLS),
    )


@router.post("/training")
async def record(
    request: Request,
    plan: Annotated[str, Form(max_length=120)],
    held: Annotated[str, Form(max_length=30)],
    people: Annotated[list[int], Form(max_length=500)] = [],  # noqa: B006  # FastAPI copies defaults
    count: Annotated[int, Form(ge=0, le=100_000)] = 0,
    drill: Annotated[str, Form(max_length=12)] = "",
    note: Annotated[str, Form(max_length=1000)] = "",
    photo: UploadFile | None = None,
) -> Response:
    """Record what was held. `plan` is `site plan`."""
    web = web_of(request)
    site, _, name = plan.partition(" ")
    held_ms = commands.local_ms(held, web.settings.timezone)
    if held_ms > web.now_ms() + 60_000:
        raise Refused(422, msgid("The time must lie in the past."))
    if not people and not count:
        raise Refused(422, msgid("Say who took part, or how many."))
    if drill and not drill.isdigit():
        raise Refused(422, msgid("There is no such drill."))
    await commands.do(
        web,
        person_of(request),
        "training.record",
        site=site,
        plan=name,
        held_ms=held_ms,
        people=people,
        count=count,
        note=note.strip(),
        photo=await keep_photo(web, photo),
        drill=int(drill) if drill else None,
    )
    return RedirectResponse("/training", 303)


async def _held(web: Web, texts: Texts, names: dict[int, str]) -> list[tuple[Training, str, list[str]]]:
    """What was held, newest first: row, title, who took part."""
    found: list[Training] = await web.read(web.ledger.entries, TRAINING_KIND, limit=HELD)
    titles = {kind: title[0 if texts.language == "zh" else 1] for kind, title in TRAINING_TITLES.items()}
    return [
        (row, titles.get(row.kind, row.kind), [names.get(number, str(number)) for number in row.people])  # type: ignore[call-overload] # a kind of an older version is none of ours
        for row in sorted(found, key=lambda row: -row.from_ms)
    ]
