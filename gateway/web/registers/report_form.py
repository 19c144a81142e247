"""The form in which the public reports hazards, and the page that says how a report goes. No account, no cookie.

A report is taken in this order, so that a flood costs little: is the form open, has the address sent too much, is there
a place; only then is anything read; is it a form of ours, are the words there; has too much come in this hour; the
photo; the gateway. Every refusal says what to do instead and leaves the words in the form.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.errors import RetryLater
from gateway.control.client import ControlError
from gateway.ledger.secret import is_signed
from gateway.web.access import Refused
from gateway.web.context import Web, web_of
from gateway.web.registers.photos import keep_photo
from gateway.web.registers.report_desk import Blank, is_fresh, link_purpose, new_form, receipt_code
from gateway.web.render import page
from gateway.web.texts import msgid
from gateway.work.public import digest, plain_code, receipt_hash, shown_code
from gateway.work.rectification import HAZARD

router = APIRouter()
READ_S = 60.0
"""A report must have come in whole within this time."""
TEXT_CHARS, PLACE_CHARS, PHONE_CHARS = 1000, 200, 30
FIELDS = 12
_PHONE = re.compile(r"^[0-9+() -]*$")
_SAID = {
    "address": (429, msgid("Too many reports came from this address. Wait an hour, or call.")),
    "total": (429, msgid("Too many reports are coming in just now. Try again later, or call.")),
    "busy": (503, msgid("Too many people are sending just now. Go back, your words are still there, and send again.")),
    "full": (503, msgid("Too many reports wait to be looked at. Try again later, or call.")),
    "slow": (408, msgid("The report did not come in within a minute. Send it again, perhaps without the photo.")),
    "stale": (422, msgid("This form is too old or was sent too quickly. Look at it once more and send it again.")),
    "robot": (422, msgid("One field is there for robots only. Leave it empty and send the form again.")),
    "words": (422, msgid("Say what is wrong, in at most 1000 characters, and where, in at most 200.")),
    "phone": (422, msgid("A telephone number has digits only, 30 at most. You may leave it out.")),
    "away": (503, msgid("The report could not be taken just now. Press the button again in a moment, or call.")),
}
"""Why a report was refused -> (HTTP status, what the reporter reads)."""
STATES = {
    "reported": "received",
    "dismissed": "dismissed",
    "found": "taken",
    "assigned": "taken",
    "spot_fixed": "fixed",
    "fixed": "fixed",
    "verified": "fixed",
    "closed": "done",
    "filed": "done",
}
"""State of a hazard -> what a reporter is told."""


class Words(NamedTuple):
    """What the reporter wrote; stays in the form when it is refused."""

    text: str = ""
    place: str = ""
    phone: str = ""


class _No(Exception):
    """The report is refused; `why` is a key of _SAID."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@router.get("/report")
async def show_form(request: Request, site: str = "", key: str = "", code: str = "") -> Response:
    """The empty form; with `code` the way to the report of this receipt."""
    web = _open(request)
    if not web.reports.may_look(_address(request)):
        return await _form(request, None, "", ("address", *_SAID["address"]))
    if code:
        return RedirectResponse(f"/report/{plain_code(code) or '0'}", 303)
    return await _form(request, Words(), await _site(web, site, key), None)


@router.post("/report")
async def send_form(request: Request, site: str = "", key: str = "") -> Response:
    """Take a report; leads to the page of its receipt once it is durable."""
    web, address = _open(request), _address(request)
    why = web.reports.enter(address)
    if why is not None:
        web.reports.refuse(why)
        return await _form(request, None, "", (why, *_SAID[why]))
    words: Words | None = None
    blank: Blank | None = None
    known = ""
    try:
        known = await _site(web, site, key)
        form = await _read(request)
        try:
            words = Words(*(str(form.get(name) or "").strip()[:5000] for name in Words._fields))
            blank = await _blank(web, form)
            code = await _take(web, address, known, form, words, blank)
        finally:
            await form.close()
    except _No as refused:
        web.reports.refuse(refused.why)
        return await _form(request, words, known, (refused.why, *_SAID[refused.why]), blank)
    except Refused as refused:  # the photo
        web.reports.refuse("photo")
        return await _form(request, words, known, ("photo", refused.status, refused.text), blank)
    finally:
        web.reports.leave()
    return RedirectResponse(f"/report/{code}?{urlencode({'language': web.texts(request).language})}", 303)


@router.get("/report/{code}")
async def show_report(request: Request, code: str) -> Response:
    """How a report goes, for who has its receipt. A receipt that is unknown, and one whose report is over for long,
    look the same."""
    web = _open(request)
    if not web.reports.may_look(_address(request)):
        raise Refused(429, msgid("Too many requests from this address. Wait a minute."))
    found = await web.read(web.ledger.public_receipt, receipt_hash(code))
    hazard = await web.read(web.ledger.entry, HAZARD, found.hazard) if found is not None else None
    if found is None or hazard is None:
        return page(request, "report_state.html", status=404, state=None, code="", reported_ms=0, **_common(web))
    reported_ms = hazard.reported_ms or hazard.from_ms
    state, shown = STATES[hazard.state], shown_code(plain_code(code))
    return page(request, "report_state.html", state=state, code=shown, reported_ms=reported_ms, **_common(web))


async def _blank(web: Web, form: FormData) -> Blank:
    """Which of our forms this is. Raises _No."""
    if form.get("leave_empty"):
        raise _No("robot")
    blank = Blank(str(form.get("form") or ""), str(form.get("form_key") or ""))
    if not is_fresh(await web.read(web.ledger.secret), blank, web.now_ms()):
        raise _No("stale")
    return blank


async def _take(web: Web, address: str, site: str, form: FormData, words: Words, blank: Blank) -> str:
    """Check and hand over; gives the receipt code. Raises _No, Refused."""
    if not 1 <= len(words.text) <= TEXT_CHARS or len(words.place) > PLACE_CHARS or not (words.place or site):
        raise _No("words")
    if len(words.phone) > PHONE_CHARS or not _PHONE.match(words.phone):
        raise _No("phone")
    why = web.reports.may_send(address, site)
    if why is not None:
        raise _No(why)
    upload = form.get("photo")
    code = receipt_code(await web.read(web.ledger.secret), blank, digest(words.text, words.place))
    try:
        photo = await keep_photo(web, upload if hasattr(upload, "filename") else None)  # type: ignore[arg-type] # checked
        given: dict[str, Any] = {"receipt": receipt_hash(code), "site": site, "photo": photo, **words._asdict()}
        await web.link.ask("hazard.receive", "public", **given)
    except RetryLater as exc:
        raise _No("away") from exc
    except ControlError as exc:
        raise _No("full" if exc.code == "unavailable" else "away") from exc
    return code


async def _read(request: Request) -> FormData:
    try:
        async with asyncio.timeout(READ_S):
            return await request.form(max_files=1, max_fields=FIELDS, max_part_size=16 * 1024)
    except TimeoutError as exc:
        raise _No("slow") from exc


async def _form(
    request: Request, words: Words | None, site: str, said: tuple[str, int, str] | None, blank: Blank | None = None
) -> Response:
    """The form, with what was written in it and why it was refused; without words only why.

    blank: it keeps its name, so that what came in although nobody heard so does not come in twice.
    """
    web = web_of(request)
    secret = await web.read(web.ledger.secret)
    title = web.inventory.sites[site].title.get(web.texts(request).language) if site else ""
    query = {"site": site, "key": request.query_params.get("key", "")} if site else {}
    response = page(
        request,
        "report.html",
        status=said[1] if said else 200,
        blank=blank or new_form(secret, web.now_ms()),
        words=words,
        site_title=title,
        query=query,
        said=said[2] if said else None,
        **_common(web),
    )
    if said is not None and said[1] in (429, 503):
        response.headers["Retry-After"] = "3600" if said[0] in ("address", "total") else "10"
    return response


async def _site(web: Web, site: str, key: str) -> str:
    """The site of a printed link; empty for none, or one that we did not make."""
    if site not in web.inventory.sites or not key.isascii():
        return ""
    return site if is_signed(await web.read(web.ledger.secret), link_purpose(site), key) else ""


def _open(request: Request) -> Web:
    web = web_of(request)
    if not web.settings.report_form.open:
        raise Refused(404, msgid("There is no such page."))
    return web


def _common(web: Web) -> dict[str, Any]:
    return {"call": web.settings.report_form.call}


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
