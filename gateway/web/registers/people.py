"""People of the stations: who they are, what they are certified for, their PIN. Numbers are masked for everybody but an
administrator; an export and an erasure of one person's data are here as well.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.duty.people import PERSON, Person, days_left, local_day
from gateway.ledger.personal import Identity
from gateway.web import commands
from gateway.web.access import ADMINISTER, Refused
from gateway.web.access import Person as SignedIn
from gateway.web.context import Web, person_of, web_of
from gateway.web.registers.staff import (
    KINDS,
    ROLES,
    new_pin,
    note_seen,
    people_names,
    people_now,
    pin_problem,
    read_person,
    shown_identity,
)
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
LEFT = 50
"""Of those who left, so many are listed."""


class CertificateRow(NamedTuple):
    """A certificate in words. days: until it expires, negative when it has; None: it does not."""

    kind: str
    number: str
    last: str
    days: int | None


class PersonRow(NamedTuple):
    """A person in words."""

    id: int
    name: str
    phone: str
    site: str
    site_title: str
    state: str
    roles: list[str]
    certificates: list[CertificateRow]
    user: str
    has_pin: bool
    days: int | None
    """Until the first certificate expires."""


@router.get("/people")
async def people(request: Request, site: str = "") -> Response:
    """Everybody, site by site; the form to add somebody, the import."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    await note_seen(web, who, "people")
    identities = await web.read(web.ledger.identities)
    rows = [person_row(web, row, identities.get(row.id), texts, who) for row in people_now(web).values()]
    left = await web.read(web.ledger.entries, PERSON, state="left", limit=LEFT)
    titles = site_titles(web, texts)
    return page(
        request,
        "people.html",
        fragment="_people.html",
        rows=sorted((row for row in rows if site in ("", row.site)), key=lambda row: (row.site_title, row.id)),
        left=[person_row(web, row, identities.get(row.id), texts, who) for row in left],
        sites=titles,
        site=site,
        wanted={key: s.station.crew for key, s in web.inventory.sites.items() if s.station is not None},
        counts={key: sum(row.site == key for row in rows) for key, _ in titles},
        may_administer=who.may(ADMINISTER),
        kinds=KINDS,
        roles=ROLES,
        blank=person_row(web, Person(id=0, site=site, state="active", from_ms=0), None, texts, who),
    )


@router.get("/people/{person_id}")
async def one(request: Request, person_id: int) -> Response:
    """One person: certificates, PIN, what was changed and by whom."""
    return await _one(request, person_id)


async def _one(request: Request, person_id: int, pin: str = "") -> Response:
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    row = await find_person(web, person_id)
    await note_seen(web, who, f"person/{row.id}")
    identity = (await web.read(web.ledger.identities)).get(row.id)
    return page(
        request,
        "person.html",
        person_row=person_row(web, row, identity, texts, who),
        history=(await web.read(web.ledger.entry_history, "person", row.id))[-50:],
        sites=site_titles(web, texts),
        may_administer=who.may(ADMINISTER),
        is_me=bool(row.user) and row.user == who.name,
        kinds=KINDS,
        roles=ROLES,
        pin=pin,
    )


@router.post("/people")
async def add(request: Request) -> Response:
    """Take somebody on."""
    web = web_of(request)
    fields = read_person({**(await request.form())})
    _check_site(web, fields["site"])
    done = await commands.do(web, person_of(request), "person.add", **fields)
    return RedirectResponse(f"/people/{done['id']}", 303)


@router.post("/people/{person_id}")
async def change(request: Request, person_id: int) -> Response:
    """Name, telephone, site, roles, certificates, login are others."""
    web = web_of(request)
    await find_person(web, person_id)
    fields = read_person({**(await request.form())})
    _check_site(web, fields["site"])
    await commands.do(web, person_of(request), "person.change", id=person_id, **fields)
    return RedirectResponse(f"/people/{person_id}", 303)


@router.post("/people/{person_id}/leave")
async def leave(request: Request, person_id: int, reason: Annotated[str, Form(max_length=500)] = "") -> Response:
    """They are with the station no more."""
    await _do(request, person_id, "person.leave", **({"reason": reason.strip()} if reason.strip() else {}))
    return RedirectResponse(f"/people/{person_id}", 303)


@router.post("/people/{person_id}/back")
async def come_back(request: Request, person_id: int) -> Response:
    """Somebody who left is back."""
    await _do(request, person_id, "person.return")
    return RedirectResponse(f"/people/{person_id}", 303)


@router.post("/people/{person_id}/erase")
async def erase(request: Request, person_id: int, sure: Annotated[str, Form(max_length=10)] = "") -> Response:
    """Forget who somebody was; the record keeps the number."""
    if sure != "yes":
        raise Refused(422, msgid("Confirm that this person's data is to be erased for good."))
    await _do(request, person_id, "person.erase")
    return RedirectResponse("/people", 303)


@router.post("/people/{person_id}/pin")
async def set_pin(request: Request, person_id: int, pin: Annotated[str, Form(max_length=20)] = "") -> Response:
    """A PIN for proving oneself at a post: one's own, or one made here and shown once; only an administrator makes one
    for others, and nobody else's own PIN is chosen for them.
    """
    web, who = web_of(request), person_of(request)
    row = await find_person(web, person_id)
    chosen = await give_pin(web, who, row, pin.strip())
    # Shown in the answer itself: an address that showed it would show it again.
    return await _one(request, person_id, "" if pin.strip() else chosen)


async def give_pin(web: Web, who: SignedIn, row: Person, pin: str) -> str:
    """Set a PIN (empty: make one); gives it. Raises Refused."""
    is_me = bool(row.user) and row.user == who.name
    if not (is_me or (who.may(ADMINISTER) and not pin)):
        raise Refused(403, msgid("A person chooses their own PIN; an administrator may have one made."))
    if row.state != "active":
        raise Refused(409, msgid("Somebody was faster. Load the page again to see the present state."))
    if pin and (problem := pin_problem(pin)) is not None:
        raise Refused(422, problem)
    chosen = pin or new_pin()
    await commands.do(web, who, "person.set_pin", id=row.id, pin_hash=await web.sign_in.hash(chosen))
    return chosen


async def _do(request: Request, person_id: int, op: str, **args: Any) -> None:
    web = web_of(request)
    await find_person(web, person_id)
    await commands.do(web, person_of(request), op, id=person_id, **args)


async def find_person(web: Web, person_id: int) -> Person:
    """A person, whatever became of them. Raises Refused."""
    found: Person | None = None
    if 0 < person_id < 2**62:
        found = people_now(web).get(person_id) or await web.read(web.ledger.entry, PERSON, person_id)
    if found is None:
        raise Refused(404, msgid("There is nobody with this number."))
    return found


def person_row(web: Web, row: Person, identity: Identity | None, texts: Texts, who: SignedIn) -> PersonRow:
    """A person in words, as this reader may see them."""
    site = web.inventory.sites.get(row.site)
    zone = ZoneInfo(site.time_zone if site is not None else web.settings.timezone)
    shown, now_ms = shown_identity(identity, who), web.now_ms()
    certificates = [
        CertificateRow(
            each.kind,
            shown.certificates.get(each.kind, ""),
            "" if each.until_ms is None else (local_day(each.until_ms, zone) - timedelta(days=1)).isoformat(),
            None if each.until_ms is None else int(days_left([each], now_ms, zone)),
        )
        for each in row.certificates
    ]
    return PersonRow(
        row.id,
        shown.name or texts("Person no. %(n)s", n=row.id),
        shown.phone,
        row.site,
        site.title.get(texts.language) if site is not None else row.site,
        row.state,
        list(row.roles),
        certificates,
        row.user,
        row.has_pin,
        min((each.days for each in certificates if each.days is not None), default=None),
    )


def site_titles(web: Web, texts: Texts) -> list[tuple[str, str]]:
    """(id, title) of the sites this reader may see."""
    return [(key, site.title.get(texts.language)) for key, site in web.inventory.sites.items()]


def _check_site(web: Web, site: str) -> None:
    if site not in web.inventory.sites:
        raise Refused(422, msgid("Choose a site."))


__all__ = ["find_person", "people_names", "person_row", "router"]
