"""Hazards: the list by what to fix first, one hazard with its history (the maintainer's work order), the ways to
report one, the printed links of the public form.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.ledger.secret import sign
from gateway.web import commands
from gateway.web.access import HANDLE, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.decision import subject_title
from gateway.web.listing import paged
from gateway.web.once import HIDDEN
from gateway.web.registers.hazard_counting import latest_counts, open_hazards, place_of
from gateway.web.registers.hazard_steps import MAY, STEP, find_hazard, take_step
from gateway.web.registers.photos import keep_photo
from gateway.web.registers.report_desk import link_purpose
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.work.public import PublicReport
from gateway.work.rectification import HAZARD, Hazard

router = APIRouter()
SHOWN = ("open", "overdue", "reported", "closed")
PAGE = 100
COUNT_DAYS = 30
DAY_MS = 86_400_000
_decode = msgspec.json.Decoder().decode


class HazardRow(NamedTuple):
    """A hazard in words. late_ms: since when its next step is late; None: it is not."""

    hazard: Hazard
    title: str
    where: str
    site: str
    late_ms: int | None


class Line(NamedTuple):
    """One line of a hazard's history."""

    at_ms: int
    who: str
    step: str
    note: str


@router.get("/hazards")
async def hazards(
    request: Request,
    show: Annotated[Literal["open", "overdue", "reported", "closed"], Query()] = "open",
    before: Annotated[int | None, Query(ge=1)] = None,
    number: Annotated[int, Query(ge=1, le=10_000, alias="page")] = 1,
) -> Response:
    """The list, a page at a time."""
    web, texts = web_of(request), web_of(request).texts(request)
    at_hand = open_hazards(web)
    rows = await _closed(web, before) if show == "closed" else [h for h in at_hand if _fits(h, show)]
    shown = paged(rows, number, PAGE)
    numbers = {
        "open": sum(h.is_open for h in at_hand),
        "overdue": sum(h.is_overdue for h in at_hand),
        "reported": sum(h.state == "reported" for h in at_hand),
    }
    return page(
        request,
        "hazards.html",
        fragment="_hazards.html",
        show=show,
        rows=[row_of(web, hazard, texts) for hazard in shown.items],
        paged=shown,
        numbers=numbers,
        counts=await latest_counts(web, COUNT_DAYS * DAY_MS),
        count_days=COUNT_DAYS,
        shown=SHOWN,
        may_report=person_of(request).may(HANDLE),
        onward=rows[-1].id if show == "closed" and len(rows) == PAGE else None,
        form_open=web.settings.report_form.open,
    )


@router.get("/hazards/new")
async def new_hazard(
    request: Request,
    alarm: Annotated[int | None, Query(ge=1)] = None,
    subject: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """The form to report one; of an alarm, or of a device."""
    web, texts = web_of(request), web_of(request).texts(request)
    found = web.picture.alarms.get(alarm) if alarm is not None else None
    if alarm is not None and (found is None or not found.active):
        raise Refused(404, msgid("This alarm does not stand any more."))
    subject = found.subject if found else subject
    rule = web.inventory.rules.get(found.rule) if found else None
    return page(
        request,
        "hazard_new.html",
        alarm=found,
        rule_title=rule.title.get(texts.language) if rule else "",
        subject=subject,
        subject_words=subject_title(subject, web.inventory, texts) if subject else "",
        sites=sites_of(web, texts),
        site=subject.partition("/")[0],
        devices=devices_of(web, texts),
    )


@router.post("/hazards")
async def report_hazard(
    request: Request,
    text: Annotated[str, Form(max_length=2000)] = "",
    site: Annotated[str, Form(max_length=60)] = "",
    subject: Annotated[str, Form(max_length=200)] = "",
    place: Annotated[str, Form(max_length=200)] = "",
    level: Annotated[Literal["general", "major"], Form()] = "general",
    alarm_id: Annotated[str, Form(max_length=20)] = "",
    photo: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """A person reports a hazard."""
    web = web_of(request)
    if not text.strip() and not alarm_id:
        raise Refused(422, msgid("Say what is wrong."))
    args: dict[str, Any] = {
        "site": subject.partition("/")[0] or site,
        "subject": subject,
        "text": text,
        "place": place,
        "level": level,
    }
    if alarm_id:
        if not alarm_id.isdecimal():
            raise Refused(422, msgid("This alarm does not stand any more."))
        args["alarm_id"] = int(alarm_id)
    args["photo"] = await keep_photo(web, photo)
    row = await commands.do(web, person_of(request), "hazard.report", **args)
    return RedirectResponse(f"/hazards/{row['id']}", 303)


@router.get("/hazards/links")
async def report_links(request: Request) -> Response:
    """The link of the public form for each site, to be printed."""
    web, texts = web_of(request), web_of(request).texts(request)
    secret = await web.read(web.ledger.secret)
    base = (web.settings.public_url or str(request.base_url)).rstrip("/")
    links = [
        (title, f"{base}/report?{urlencode({'site': site, 'key': sign(secret, link_purpose(site))})}")
        for site, title in sites_of(web, texts)
    ]
    return page(request, "hazard_links.html", links=links, form_open=web.settings.report_form.open)


@router.get("/hazards/{hazard_id}")
async def hazard(request: Request, hazard_id: int) -> Response:
    """One hazard: what, where, what to do by when, and everything that was done. Printed, it is the work order."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    found = await find_hazard(web, hazard_id)
    history = await web.read(web.ledger.entry_history, HAZARD.name, hazard_id)
    report = await web.read(web.ledger.public_report, hazard_id) if found.receipt else None
    device = web.inventory.find("/".join(found.subject.split("/")[:2])) if found.subject else None
    return page(
        request,
        "hazard.html",
        fragment="_hazard.html",
        row=row_of(web, found, texts),
        hazard=found,
        lines=[_line(each) for each in history],
        report=report,
        phone=masked(report.phone, whole=who.role == "administrator") if report else "",
        altered=report is not None and is_altered(report, found),
        device=device.key if device else None,
        alarm=web.picture.alarms.get(found.alarm_id or 0),
        may={step for step, roles in MAY.items() if who.may(roles)},
        sites=sites_of(web, texts),
        devices=devices_of(web, texts),
        owners=[user.name for user in await web.accounts(HANDLE, found.site)],
        working=_habit(web, found.site),
    )


@router.post("/hazards/{hazard_id}/steps")
async def take_a_step(request: Request, hazard_id: int) -> Response:
    """Take a step; the field `step` says which (registers/hazard_steps.py)."""
    web, form = web_of(request), await request.form()
    given: dict[str, Any] = {k: v for k, v in form.items() if isinstance(v, str) and v.strip() and k not in HIDDEN}
    upload = form.get("photo")
    try:
        if isinstance(upload, UploadFile) or hasattr(upload, "filename"):
            given["photo"] = await keep_photo(web, upload)  # type: ignore[arg-type] # told apart by its filename
        body = STEP.validate_python(given)
    except ValidationError as exc:
        raise RequestValidationError(exc.errors()) from exc
    await take_step(web, person_of(request), hazard_id, body)
    return RedirectResponse(f"/hazards/{hazard_id}", 303)


# --- what pages and API share --------------------------------------------------------------------------------------


def in_order(rows: Iterable[Hazard]) -> list[Hazard]:
    """What to fix first, first."""
    return sorted(rows, key=place_of)


def row_of(web: Web, hazard: Hazard, texts: Texts) -> HazardRow:
    """A hazard in the reader's words."""
    rule = web.inventory.rules.get(hazard.rule)
    title = rule.title.get(texts.language) if rule and hazard.source == "rule" else hazard.text
    where = subject_title(hazard.subject, web.inventory, texts) if hazard.subject else hazard.place
    site = web.inventory.site_title(hazard.site).get(texts.language) if hazard.site else texts("not known yet")
    late_ms = hazard.overdue[-1].since_ms if hazard.is_overdue else None
    return HazardRow(hazard, title or texts("A report of the public"), where, site, late_ms)


def sites_of(web: Web, texts: Texts) -> list[tuple[str, str]]:
    """Sites a hazard may be at."""
    return [(key, site.title.get(texts.language)) for key, site in web.inventory.sites.items()]


def devices_of(web: Web, texts: Texts) -> list[tuple[str, str]]:
    """Devices it may be about."""
    return [(key, subject_title(key, web.inventory, texts)) for key in web.inventory.devices]


def masked(phone: str, *, whole: bool) -> str:
    """A telephone number as the reader may see it."""
    return phone if whole or len(phone) < 5 else f"{phone[:3]}****{phone[-2:]}"


def is_altered(report: PublicReport, hazard: Hazard) -> bool:
    """Whether the words are not those that came in; erased ones are not."""
    return report.erased_ms is None and report.digest != hazard.words


def _fits(hazard: Hazard, show: str) -> bool:
    if show == "overdue":
        return hazard.is_overdue
    return hazard.state == "reported" if show == "reported" else hazard.is_open


async def _closed(web: Web, before: int | None) -> list[Hazard]:
    over = ("closed", "filed", "dismissed")
    return await web.read(web.ledger.entries, HAZARD, state=over, before=before, limit=PAGE)


def _line(row: Any) -> Line:
    return Line(row.at_ms, row.actor, row.action.partition(".")[2], str(_decode(row.detail).get("note", "")))


def _habit(web: Web, site: str) -> bool:
    known = web.inventory.sites.get(site)
    return known is not None and known.hazards.working_days
