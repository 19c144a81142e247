"""Lists of people and rosters as files: templates to fill in, and imports that are taken whole or not at all."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from openpyxl import Workbook
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.commands_staff import MOST_PEOPLE
from gateway.duty.importing import Column, Fault
from gateway.duty.people import local_day
from gateway.duty.staff_tables import (
    KIND_NAMES,
    PEOPLE,
    ROLE_NAMES,
    ROSTER,
    Known,
    parse_people,
    parse_roster,
    roster_lines,
)
from gateway.exports.document import guard
from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.registers.roster import cell_args, draft_of, place_words, station_sites
from gateway.web.registers.staff import people_now, read_phone
from gateway.web.render import page
from gateway.web.texts import Language, Texts, msgid

router = APIRouter()
Kind = Literal["csv", "xlsx"]
TYPES: dict[Kind, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
AHEAD_DAYS = 14
"""Days the template of a roster has lines for."""
TEXT_ROWS = 300
"""Rows of a template whose cells are text, so that no program makes numbers or dates of them."""


@router.get("/people/template.{kind}")
async def people_template(request: Request, kind: Kind) -> Response:
    """An empty list of people with its titles; the XLSX says on a second sheet what may be entered."""
    web, texts = web_of(request), web_of(request).texts(request)
    notes = [
        *([key, site.title.get(texts.language)] for key, site in web.inventory.sites.items()),
        *([name, role] for name, role in ROLE_NAMES.items() if name != role),
        *([name, certificate] for name, certificate in KIND_NAMES.items() if name != certificate),
    ]
    titles = [column.zh if texts.language == "zh" else column.en for column in PEOPLE]
    return await table_file(kind, "people", [titles], notes, texts)


@router.get("/roster/template.{kind}")
async def roster_template(request: Request, kind: Kind, site: str = "") -> Response:
    """A line for every shift and post of the days to come; who is to be there is filled in."""
    web, texts = web_of(request), web_of(request).texts(request)
    found = station_sites(web).get(site)
    if found is None:
        raise Refused(404, msgid("There is no such station."))
    today = local_day(web.now_ms(), ZoneInfo(found.time_zone))
    days = [today + timedelta(days=n) for n in range(1, AHEAD_DAYS + 1)]
    titles = [column.zh if texts.language == "zh" else column.en for column in ROSTER]
    return await table_file(kind, f"roster-{found.site}", [titles, *roster_lines(found, days)], [], texts)


@router.post("/people/import")
async def import_people(request: Request) -> Response:
    """Take a list of people on: all of them, or nobody and every fault."""
    faults = await take_people(request, await _uploaded(request))
    return _told(request, faults, "/people")


@router.post("/roster/import")
async def import_roster(request: Request) -> Response:
    """Plan what a file says: all of it, or nothing and every fault."""
    faults = await take_roster(request, await _uploaded(request))
    return _told(request, faults, "/roster")


async def take_people(request: Request, data: bytes) -> list[Fault]:
    """Import a list; gives what is wrong with it, nothing when it was taken."""
    web = web_of(request)
    known = await _known(web, every_site=True)
    people, faults = await asyncio.to_thread(parse_people, data, known, _phone, MOST_PEOPLE)
    if not faults:
        await commands.do(web, person_of(request), "person.import", people=people)
    return faults


async def take_roster(request: Request, data: bytes) -> list[Fault]:
    """Import a roster; gives what is wrong with it, nothing when it was taken."""
    web = web_of(request)
    known = await _known(web, every_site=False)
    draft = draft_of(web, ())
    cells, faults = await asyncio.to_thread(parse_roster, data, known, draft, web.now_ms())
    if not faults:
        await commands.do(web, person_of(request), "roster.plan", cells=cell_args(cells))
    return faults


async def _known(web: Web, *, every_site: bool) -> Known:
    identities = await web.read(web.ledger.identities)
    return Known(
        web.inventory.sites if every_site else station_sites(web),
        people_now(web),
        {number: each.name for number, each in identities.items()},
        {number: each.phone for number, each in identities.items()},
        {user.name for user in await web.read(web.ledger.users)},
    )


def _phone(text: str) -> str | None:
    try:
        return read_phone(text)
    except Refused:
        return None


async def _uploaded(request: Request) -> bytes:
    file = (await request.form()).get("file")
    if not isinstance(file, UploadFile):
        raise Refused(422, msgid("Choose a file."))
    try:
        return await file.read()
    finally:
        await file.close()


def _told(request: Request, faults: Sequence[Fault], onward: str) -> Response:
    if not faults:
        return RedirectResponse(onward, 303)
    web, texts = web_of(request), web_of(request).texts(request)
    lines = [fault._replace(choices=_choices(web, fault, texts)) for fault in faults]
    return faults_page(request, lines, (*PEOPLE, *ROSTER), onward)


def faults_page(request: Request, faults: Sequence[Fault], columns: Sequence[Column], onward: str) -> Response:
    """What is wrong with a table, cell by cell; columns and names in the reader's language, where they have both."""
    language = web_of(request).texts(request).language
    told = [
        fault._replace(
            column=_title(fault.column, columns, language) if fault.want == "title_missing" else fault.column,
            choices=_readable(fault, columns, language),
        )
        for fault in faults
    ]
    return page(request, "import_faults.html", status=422, cells=told, onward=onward)


def _title(title: str, columns: Sequence[Column], language: Language) -> str:
    return next((each.en if language == "en" else each.zh for each in columns if each.is_called(title)), title)


def _readable(fault: Fault, columns: Sequence[Column], language: Language) -> tuple[str, ...]:
    if fault.want == "title":
        return tuple(_title(title, columns, language) for title in fault.choices)
    # Names are taken in both languages; those of the reader's own are told, where there are any.
    own = tuple(name for name in fault.choices if name.isascii() == (language == "en"))
    return own or fault.choices


def _choices(web: Web, fault: Fault, texts: Texts) -> tuple[str, ...]:
    if fault.want == "certificate":
        return tuple(texts.word("certificate", kind) for kind in fault.choices)
    return tuple(place_words(web, one, texts) for one in fault.choices) if fault.want == "elsewhere" else fault.choices


async def table_file(
    kind: Kind, name: str, lines: Sequence[Sequence[str]], notes: Sequence[Sequence[str]], texts: Texts
) -> Response:
    """A table to be filled in; notes: names that may be used, on a second sheet of an XLSX."""
    made = _csv(lines) if kind == "csv" else await asyncio.to_thread(_xlsx, lines, notes, texts("Names to use"))
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return Response(made, media_type=TYPES[kind], headers=headers)


def _csv(lines: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([guard(cell) for cell in line] for line in lines)
    # The mark tells Excel that it is UTF-8.
    return text.getvalue().encode("utf-8-sig")


def _xlsx(lines: Sequence[Sequence[str]], notes: Sequence[Sequence[str]], title: str) -> bytes:
    book = Workbook()
    sheet: Any = book.active
    for line in lines:
        sheet.append([guard(cell) for cell in line])
    for row in sheet.iter_rows(min_row=1, max_row=max(TEXT_ROWS, len(lines)), max_col=len(lines[0])):
        for cell in row:
            cell.number_format = "@"
    if notes:
        further: Any = book.create_sheet(title)
        for note in notes:
            further.append([guard(cell) for cell in note])
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()
