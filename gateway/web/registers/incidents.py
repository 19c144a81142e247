"""Incidents: those that are open with their clocks, one with everything people enter, its sheet for the file."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.duty.people import PERSON
from gateway.incidents.rows import INCIDENT, Incident, burns, missing
from gateway.web import commands
from gateway.web.access import ACKNOWLEDGE, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.registers.incident_rows import find_incident, incident_row, open_incidents, story_of
from gateway.web.registers.staff import people_names
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.web.words import WORDS

router = APIRouter()
PAGE = 50
STEPS = ("confirm", "call", "answer", "depart", "arrive", "brigade", "find", "note", "close")
Words = Annotated[str, Form(max_length=2000)]


@router.get("/incidents")
async def incidents(request: Request, before: Annotated[int | None, Query(ge=1)] = None) -> Response:
    """The open ones, the closed ones, the form to open one by hand."""
    web, texts = web_of(request), web_of(request).texts(request)
    names = await people_names(web)
    closed = await web.read(web.ledger.entries, INCIDENT, is_open=False, before=before, limit=PAGE)
    return page(
        request,
        "incidents.html",
        fragment="_incidents.html",
        running=[incident_row(web, row, names, texts) for row in open_incidents(web)],
        closed=[incident_row(web, row, names, texts) for row in closed],
        sites=_sites(web, texts),
        onward=closed[-1].id if len(closed) == PAGE else None,
        may_act=person_of(request).may(ACKNOWLEDGE),
    )


@router.post("/incidents")
async def open_incident(request: Request, site: Annotated[str, Form(max_length=60)], text: Words = "") -> Response:
    """Somebody saw a fire."""
    if not text.strip():
        raise Refused(422, msgid("Say what was seen and where."))
    row = await commands.do(web_of(request), person_of(request), "incident.open", site=site, text=text.strip())
    return RedirectResponse(f"/incidents/{row['id']}", 303)


@router.get("/incidents/{incident_id}")
async def incident_page(request: Request, incident_id: int) -> Response:
    """One incident: clocks, crews, what is to be entered, the timeline."""
    web, texts = web_of(request), web_of(request).texts(request)
    row = await find_incident(web, incident_id)
    story = await story_of(web, row, texts)
    names = await people_names(web)
    return page(
        request,
        "incident.html",
        fragment="_incident.html",
        story=story,
        incident=story.incident,
        row=row,
        people=[
            (number, names.get(number, texts("No. %(n)s", n=number)))
            for number, each in sorted(web.picture.entries.get(PERSON.name, {}).items())
            if each["site"] == row.site
        ],
        others=[(site, title) for site, title in _sites(web.all, texts) if site != row.site],
        findings=("test",) if row.drill is not None else WORDS["finding"],
        classes=WORDS["false_class"],
        may_act=person_of(request).may(ACKNOWLEDGE) and row.until_ms is None,
    )


@router.get("/incidents/{incident_id}/sheet")
async def incident_sheet(request: Request, incident_id: int) -> Response:
    """The after-action sheet, for print; it says what it lacks."""
    web, texts = web_of(request), web_of(request).texts(request)
    row = await find_incident(web, incident_id)
    story = await story_of(web, row, texts)
    return page(request, "incident_sheet.html", story=story, incident=story.incident, row=row)


@router.post("/incidents/{incident_id}/steps")
async def take_step(
    request: Request,
    incident_id: int,
    step: Annotated[str, Form(max_length=20)],
    station: Annotated[str, Form(max_length=60)] = "",
    people: Annotated[list[int], Form(max_length=100)] = [],  # noqa: B006  # FastAPI copies defaults
    at: Annotated[str, Form(max_length=30)] = "",
    what: Annotated[str, Form(max_length=20)] = "",
    finding: Annotated[str, Form(max_length=20)] = "",
    false_class: Annotated[str, Form(max_length=20)] = "",
    found: Words = "",
    cause: Words = "",
    text: Words = "",
) -> Response:
    """What people enter, one step at a time."""
    web = web_of(request)
    row = await find_incident(web, incident_id)
    args: dict[str, Any] = {"id": incident_id}
    if step in ("depart", "arrive", "answer", "call"):
        args["station"] = station or row.site
    if step in ("depart", "arrive", "answer"):
        args["people"] = people
    if step == "brigade":
        args["what"] = what
    if step in ("depart", "arrive", "answer", "brigade") and at:
        args["at_ms"] = max(row.from_ms, commands.local_ms(at, web.settings.timezone))
    if step == "find":
        args |= {"finding": finding, "found": found, "cause": cause, "false_class": false_class or None}
    if step == "note":
        args["text"] = text
    if step == "close":
        _check_close(web, row)
        args["note"] = text
    if step not in STEPS:
        raise Refused(422, msgid("Choose what to enter."))
    await commands.do(web, person_of(request), f"incident.{step}", **args)
    return RedirectResponse(f"/incidents/{incident_id}", 303)


def _check_close(web: Web, row: Incident) -> None:
    """The gateway checks again; here a person reads why not."""
    if any(burns(alarm, row) for alarm in web.picture.alarms.values()):
        raise Refused(
            409,
            msgid(
                "A fire alarm of this incident still stands. Reset the panel once it is safe; shelve the alarm of a "
                "detector that is at fault."
            ),
        )
    if missing(row):
        raise Refused(409, msgid("The sheet lacks something. Fill it in first."))


def _sites(web: Web, texts: Texts) -> list[tuple[str, str]]:
    return [(name, site.title.get(texts.language)) for name, site in web.inventory.sites.items()]
