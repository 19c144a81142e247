"""The page of a shift: who is on duty, sign on and off, handover sheet, log, duty checks; the codes of the posts."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_args

import msgspec
import segno
from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.station import CertificateKind, Station
from gateway.control.client import ControlError
from gateway.duty.checks import CHECKS
from gateway.duty.handover import HANDOVER, Handover, Item
from gateway.duty.log import LOG, Topic
from gateway.duty.people import Person as Somebody
from gateway.duty.shifts import Shift
from gateway.web import commands
from gateway.web.access import PRINT_CODES, Refused
from gateway.web.board.sound import last_sound
from gateway.web.context import Web, person_of, web_of
from gateway.web.decision import subject_title
from gateway.web.duty import origin_text
from gateway.web.registers.pins import prove
from gateway.web.registers.staff import people_names, people_now, post_titles
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
SHOWN = 30
"""Rows of log, checks and handovers on the page."""
Site = Annotated[str, Form(max_length=60)]
Number = Annotated[int | None, Form(ge=1)]
Pin = Annotated[str, Form(max_length=64)]


class PostRow(NamedTuple):
    """A post and who stands at it: (person, since, certificates they lack)."""

    id: str
    title: str
    want: int
    people: list[tuple[int, int, tuple[CertificateKind, ...]]]


class ItemRow(NamedTuple):
    """A line of a handover sheet, in words."""

    kind: str
    link: str
    title: str
    more: str
    severity: str
    since_ms: int
    is_late: bool


# --- the page -------------------------------------------------------------------------------------------------------


@router.get("/shift")
async def shift(
    request: Request,
    site: Annotated[str | None, Query(max_length=60)] = None,
    sound: Annotated[str, Query(max_length=10)] = "",
) -> Response:
    """The shift of a station now."""
    web, texts = web_of(request), web_of(request).texts(request)
    name, station = choose_station(web, site)
    if station is None:
        return page(request, "shift.html", station=None, stations=[])
    running, handover = current(web, name)
    sheet = await look(web, name) if web.picture.connected else None
    people = people_at(web, name)
    checks = await web.read(web.ledger.entries, CHECKS, sites=(name,), limit=SHOWN)
    return page(
        request,
        "shift.html",
        fragment="_shift.html",
        site=name,
        station=station,
        stations=[(s.site, s.title.get(texts.language)) for s in stations(web)],
        posts=_posts(web, station, running, texts),
        running=running,
        handover=handover,
        seen=sheet["seen"] if sheet is not None else "",
        items=_items(sheet["items"], web, texts) if sheet is not None else None,
        names=await people_names(web),
        people=people,
        me=_me(web, person_of(request).name),
        log=await web.read(web.ledger.entries, LOG, sites=(name,), limit=SHOWN),
        topics=get_args(Topic),
        checks=[(check, origin_text(check.origin, texts)) for check in checks],
        past=await web.read(web.ledger.entries, HANDOVER, sites=(name,), state="signed", limit=SHOWN),
        crew=_said(web, name, "crew"),
        handover_said=_said(web, name, "handover"),
        may_print=person_of(request).may(PRINT_CODES),
        sound=last_sound(web, name),
        sound_asked=sound == "check",
    )


@router.get("/shift/handovers/{number}")
async def handover_page(request: Request, number: int) -> Response:
    """A handover that was signed, for reading and printing."""
    web, texts = web_of(request), web_of(request).texts(request)
    row = await web.read(web.ledger.entry, HANDOVER, number)
    if row is None:
        raise Refused(404, msgid("There is no such handover."))
    return page(
        request,
        "handover.html",
        row=row,
        title=web.inventory.site_title(row.site).get(texts.language),
        items=_items(msgspec.to_builtins(row.items), web, texts),
        names=await people_names(web),
        posts=post_titles(web, row.site, texts),
    )


@router.get("/shift/answer/{check_id}")
async def answer(request: Request, check_id: int) -> Response:
    """Who answers a random duty check, with their PIN."""
    web, texts = web_of(request), web_of(request).texts(request)
    check = next((row for row in web.picture.duty.waiting(web.now_ms()) if row.id == check_id), None)
    if check is None:
        return RedirectResponse("/shift", 303)
    return page(
        request,
        "duty_answer.html",
        check=check,
        title=web.inventory.site_title(check.site).get(texts.language),
        people=people_at(web, check.site),
        names=await people_names(web),
        me=_me(web, person_of(request).name),
    )


@router.post("/shift/sign-on")
async def sign_on(
    request: Request,
    site: Site,
    post: Annotated[str, Form(max_length=60)],
    person: Number = None,
    pin: Pin = "",
    takes_over: Annotated[bool, Form()] = False,
) -> Response:
    """Somebody comes."""
    who = await prove(request, person, pin)
    await _do(request, "shift.sign_on", site=site, post=post, takes_over=takes_over, **who)
    # Who begins to watch makes sure that the screen can be heard.
    return RedirectResponse(f"/shift?site={site}&sound=check", 303)


@router.post("/shift/sign-off")
async def sign_off(request: Request, site: Site, person: Number = None, pin: Pin = "") -> Response:
    """Somebody goes."""
    await _do(request, "shift.sign_off", site=site, **await prove(request, person, pin))
    return _back(site)


@router.post("/shift/sign")
async def sign(
    request: Request,
    site: Site,
    side: Annotated[str, Form(max_length=10)],
    seen: Annotated[str, Form(max_length=40)],
    person: Number = None,
    pin: Pin = "",
    note: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """One side signs the handover."""
    who = await prove(request, person, pin)
    await _do(request, "handover.sign", site=site, side=side, seen=seen, note=note, **who)
    return _back(site)


@router.post("/shift/log")
async def write_log(
    request: Request,
    site: Site,
    text: Annotated[str, Form(max_length=2000)],
    topic: Annotated[str, Form(max_length=20)] = "other",
    person: Number = None,
    pin: Pin = "",
) -> Response:
    """Write into the log."""
    if not text.strip():
        raise Refused(422, msgid("Write something first."))
    await _do(request, "log.write", site=site, text=text, topic=topic, **await prove(request, person, pin))
    return _back(site)


# --- the code of a post ---------------------------------------------------------------------------------------------


@router.get("/shift/codes")
async def codes(request: Request, site: Annotated[str | None, Query(max_length=60)] = None) -> Response:
    """The codes of a station's posts, to be printed and hung up there."""
    web, texts = web_of(request), web_of(request).texts(request)
    name, station = choose_station(web, site)
    if station is None:
        raise Refused(404, msgid("No site of yours has a station."))
    base = (web.settings.public_url or str(request.base_url)).rstrip("/")
    found = []
    for post in station.posts:
        made = await web.link.ask("duty.code", person_of(request).name, site=name, post=post.id)
        link = f"{base}/here/{name}/{post.id}/{made['code']}"
        found.append((post.title.get(texts.language), link, segno.make(link, error="m")))
    form: dict[str, Any] = {"scale": 6, "border": 2, "omitsize": True, "svgclass": "qr"}
    drawn = [(title, link, code.svg_inline(**form)) for title, link, code in found]
    return page(request, "post_codes.html", site=web.inventory.site_title(name).get(texts.language), codes=drawn)


@router.get("/here/{site}/{post}/{code}")
async def here(request: Request, site: str, post: str, code: str) -> Response:
    """What the code of a post leads to: say that somebody is here. Looking at it says nothing."""
    return await _here(request, site, post, code)


@router.post("/here/{site}/{post}/{code}")
async def answer_here(
    request: Request,
    site: str,
    post: str,
    code: str,
    check: Annotated[int, Form(ge=1)],
    person: Number = None,
    pin: Pin = "",
) -> Response:
    """Somebody is here: signed in, or by their PIN."""
    await _scanned(request, site, post, code)
    who = await prove(request, person, pin)
    signed_in = getattr(request.state, "person", None)
    if signed_in is None and not who:
        raise Refused(403, msgid("Sign in, or give your PIN."))
    actor = signed_in.name if signed_in is not None else f"person/{person}"
    await web_of(request).link.ask("duty.answer", actor, id=check, post=post, code=code, **who)
    return await _here(request, site, post, code, done=True)


async def _here(request: Request, site: str, post: str, code: str, *, done: bool = False) -> Response:
    web, texts = web_of(request), web_of(request).texts(request)
    found = await _scanned(request, site, post, code)
    names = await people_names(web)
    signed_in = getattr(request.state, "person", None)
    return page(
        request,
        "post_here.html",
        path=request.url.path,
        site=web.inventory.site_title(site).get(texts.language),
        post=post_titles(web, site, texts).get(post, post),
        checks=[(row, origin_text(row["origin"], texts)) for row in found["checks"]],
        # Whoever has the code may read this page: a name is told to those who know it.
        people=[(number, masked(names.get(number, ""))) for number in found["people"]],
        me=_me(web, signed_in.name) if signed_in is not None else None,
        done=done,
    )


async def _scanned(request: Request, site: str, post: str, code: str) -> dict[str, Any]:
    web = web_of(request)
    if not web.receipts.allows(request.client.host if request.client else ""):
        raise Refused(429, msgid("Too many requests from this address. Wait a minute."))
    try:
        found: dict[str, Any] = await web.link.ask("duty.scanned", "local", site=site, post=post, code=code[:64])
    except ControlError as exc:
        raise Refused(404, msgid("This code is not that of a post.")) from exc
    return found


def masked(name: str) -> str:
    """A name as a stranger may read it: its first letter."""
    return f"{name[:1]}**" if name else "**"


# --- what there is --------------------------------------------------------------------------------------------------


def stations(web: Web) -> list[Any]:
    """Sites with a station, in order."""
    return [site for site in web.inventory.sites.values() if site.station is not None]


def choose_station(web: Web, site: str | None) -> tuple[str, Station | None]:
    """The station somebody asks for; the first one when they name none. Raises Refused (404)."""
    found = stations(web)
    if site is None:
        return (found[0].site, found[0].station) if found else ("", None)
    chosen = next((each for each in found if each.site == site), None)
    if chosen is None:
        raise Refused(404, msgid("There is no such station."))
    return site, chosen.station


def current(web: Web, site: str) -> tuple[Shift | None, Handover | None]:
    """The running shift and the open handover of a site."""
    shifts = [row for row in web.picture.entries.get("shift", {}).values() if row["site"] == site]
    handovers = [row for row in web.picture.entries.get("handover", {}).values() if row["site"] == site]
    return (
        msgspec.convert(shifts[0], Shift) if shifts else None,
        msgspec.convert(handovers[0], Handover) if handovers else None,
    )


async def look(web: Web, site: str) -> dict[str, Any]:
    """The handover sheet as it would be signed now. Raises RetryLater."""
    found: dict[str, Any] = await web.link.ask("handover.look", "local", site=site)
    return found


def people_at(web: Web, site: str) -> list[Somebody]:
    """Who may sign on at a station: its own people first, then everybody else's."""
    return sorted(people_now(web).values(), key=lambda row: (row.site != site, row.id))


def _me(web: Web, login: str) -> int | None:
    return next((number for number, row in people_now(web).items() if row.user == login), None)


def _posts(web: Web, station: Station, running: Shift | None, texts: Texts) -> list[PostRow]:
    people = people_now(web)
    found = []
    for post in station.posts:
        stays = [stay for stay in running.present if stay.post == post.id] if running is not None else []
        rows = []
        for stay in stays:
            person = people.get(stay.person)
            lacks = tuple(post.certificates) if person is None else person.lacks(post.certificates, web.now_ms())
            rows.append((stay.person, stay.from_ms, lacks))
        found.append(PostRow(post.id, post.title.get(texts.language), post.crew, rows))
    return found


def _items(items: list[dict[str, Any]], web: Web, texts: Texts) -> list[ItemRow]:
    return [_item(msgspec.convert(item, Item), web, texts) for item in items]


STATES = {"duty_check": "check", "hazard": "hazard_state", "notice": "notice_state"}
"""Families of the words for the states of what is handed over."""
LINKS = {"alarm": "/alarms/{}", "incident": "/incidents/{}", "hazard": "/hazards/{}", "drill": "/drills/{}"}


def _item(item: Item, web: Web, texts: Texts) -> ItemRow:
    title, more = item.what, item.more
    if item.kind in ("alarm", "shelf", "service", "test"):
        title = subject_title(item.what, web.inventory, texts)
    if item.kind == "alarm":
        rule = web.inventory.rules.get(item.more)
        more = rule.title.get(texts.language) if rule is not None else item.more
    elif item.kind in STATES:
        more = texts.word(STATES[item.kind], item.more)
    if item.kind == "hazard" and not title:  # its text is not in the register, so that it can be erased
        title = texts("A report of the public")
    if item.kind == "duty_check":
        title = origin_text(item.what, texts)
    link = LINKS[item.kind].format(item.key) if item.kind in LINKS else ""
    if item.hold:
        more = f"{more} · {texts.word('hold', item.hold)}"
    return ItemRow(item.kind, link, title, more, item.severity, item.since_ms, item.is_late)


def _said(web: Web, site: str, point: str) -> str | None:
    current_value = web.picture.values.get(f"{site}/register/{point}")
    return str(current_value.value) if current_value is not None else None


async def _do(request: Request, op: str, /, **args: Any) -> Any:
    return await commands.do(web_of(request), person_of(request), op, **args)


def _back(site: str) -> Response:
    return RedirectResponse(f"/shift?site={site}", 303)
