"""The JSON API of people and rosters. Numbers are masked for everybody but an administrator."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.station import CertificateKind
from gateway.duty.importing import Fault
from gateway.duty.people import Person, Role, local_day
from gateway.duty.roster_check import Duty
from gateway.ledger.personal import Identity
from gateway.web import commands
from gateway.web.access import Person as SignedIn
from gateway.web.access import Refused
from gateway.web.api import PROBLEMS
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.problems import kind_of
from gateway.web.registers.people import find_person, give_pin
from gateway.web.registers.roster import findings_of, station_sites
from gateway.web.registers.staff import (
    note_seen,
    people_now,
    plain,
    read_phone,
    roster_now,
    shown_identity,
)
from gateway.web.registers.staff_import import take_people, take_roster
from gateway.web.texts import msgid

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
DAYS = 62
"""Longest span of a roster in one answer."""


class Model(BaseModel):
    """Base of bodies and answers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class CertificateBody(Model):
    """A certificate."""

    kind: CertificateKind
    number: Annotated[str, Field(max_length=60)] = ""
    until: date | None = None
    """Last day on which it is valid; null: it does not expire."""


class PersonBody(Model):
    """Who somebody is."""

    site: Annotated[str, Field(max_length=60)]
    name: Annotated[str, Field(min_length=1, max_length=60)]
    phone: Annotated[str, Field(max_length=40)] = ""
    roles: list[Role] = []
    certificates: Annotated[list[CertificateBody], Field(max_length=12)] = []
    user: Annotated[str, Field(max_length=100)] = ""
    """Their login name, where they have one."""

    def fields(self) -> dict[str, Any]:
        """As the command takes them. Raises Refused."""
        made: dict[str, Any] = self.model_dump(mode="json")
        return {**made, "name": plain(self.name), "phone": read_phone(self.phone)}


class PersonAnswer(Model):
    """A person. name null: erased, or not known. Times ms UTC."""

    id: int
    site: str
    state: str
    name: str | None
    phone: str
    roles: list[str]
    certificates: list[CertificateBody]
    user: str
    has_pin: bool
    since_ms: int
    left_ms: int | None


class Reason(Model):
    """Why somebody left."""

    reason: Annotated[str, Field(max_length=500)] = ""


class PinBody(Model):
    """A PIN of one's own; empty: one is made."""

    pin: Annotated[str, Field(max_length=20)] = ""


class PinAnswer(Model):
    """A PIN that was made; it is told this once. null: it was the person's own."""

    pin: str | None


class Made(Model):
    """It is durable."""

    id: int


class Done(Model):
    """It is durable. planned: duties the person is still planned for."""

    planned: int = 0


class CellBody(Model):
    """Who is to be at a post for the shift that begins at that local day and time; an empty list: nobody."""

    site: Annotated[str, Field(max_length=60)]
    day: date
    shift: Annotated[str, Field(pattern=r"^\d\d:\d\d$")]
    post: Annotated[str, Field(max_length=60)]
    people: Annotated[list[int], Field(max_length=40)]


class PlanBody(Model):
    """Cells to plan: all of them, or none."""

    cells: Annotated[list[CellBody], Field(min_length=1, max_length=1000)]
    accept: bool = False
    """Plan double duty and people without a certificate all the same."""


class DutyAnswer(Model):
    """Who is planned. Times ms UTC."""

    day: date
    shift: str
    post: str
    from_ms: int
    until_ms: int
    people: list[int]


class FindingAnswer(Model):
    """What is wrong with the roster: few (people on the list) | gap | double | unqualified | long.

    there, want: people, of `long` minutes; also: the other site/post of a double duty; lacks: certificates.
    """

    kind: str
    day: str
    shift: str
    post: str
    from_ms: int
    until_ms: int
    person: int | None
    also: str
    lacks: list[str]
    there: int
    want: int


class RosterAnswer(Model):
    """The roster of a station."""

    site: str
    duties: list[DutyAnswer]
    findings: list[FindingAnswer]
    """Of the next seven days."""


class FaultAnswer(Model):
    """A cell of a file that is wrong. row 0: the file itself; column: its title."""

    row: int
    column: str
    got: str
    want: str
    choices: list[str]


class ImportAnswer(Model):
    """What became of a file: taken whole, or not at all (then with status 422)."""

    taken: bool
    faults: list[FaultAnswer]


# --- people --------------------------------------------------------------------------------------------------------


@router.get("/api/v1/people", **_API)
async def people(request: Request, turn: Turned, site: str = "") -> Page[PersonAnswer]:
    """Everybody who is there."""
    web, who = web_of(request), person_of(request)
    await note_seen(web, person_of(request), "people")
    identities = await web.read(web.ledger.identities)
    rows = [row for row in people_now(web).values() if site in ("", row.site)]
    part, after = cut(rows, turn, lambda row: (row.id,))
    return Page(items=[_answer(web, row, identities.get(row.id), who) for row in part], next=after)


@router.post("/api/v1/people", **_API)
async def add(request: Request, body: PersonBody) -> Made:
    """Take somebody on."""
    web = web_of(request)
    _check_site(web, body.site)
    done = await commands.do(web, person_of(request), "person.add", **body.fields())
    return Made(id=done["id"])


@router.post("/api/v1/people/import", **_API)
async def import_people(request: Request) -> Response:
    """Take a list of people on: the file (CSV or XLSX) is the body."""
    return _imported(request.url.path, await take_people(request, await request.body()))


@router.get("/api/v1/people/{person_id}", **_API)
async def one(request: Request, person_id: int) -> PersonAnswer:
    """A person, whatever became of them."""
    web = web_of(request)
    row = await find_person(web, person_id)
    await note_seen(web, person_of(request), f"person/{row.id}")
    return _answer(web, row, (await web.read(web.ledger.identities)).get(row.id), person_of(request))


@router.put("/api/v1/people/{person_id}", **_API)
async def change(request: Request, person_id: int, body: PersonBody) -> Done:
    """Who somebody is, anew and whole."""
    await find_person(web_of(request), person_id)
    _check_site(web_of(request), body.site)
    return await _do(request, person_id, "person.change", **body.fields())


@router.post("/api/v1/people/{person_id}/leave", **_API)
async def leave(request: Request, person_id: int, body: Reason) -> Done:
    """They are with the station no more."""
    return await _do(request, person_id, "person.leave", **({"reason": body.reason} if body.reason.strip() else {}))


@router.post("/api/v1/people/{person_id}/back", **_API)
async def come_back(request: Request, person_id: int) -> Done:
    """Somebody who left is back."""
    return await _do(request, person_id, "person.return")


@router.post("/api/v1/people/{person_id}/erase", **_API)
async def erase(request: Request, person_id: int) -> Done:
    """Erase who somebody who left was; the record keeps the number."""
    return await _do(request, person_id, "person.erase")


@router.post("/api/v1/people/{person_id}/pin", **_API)
async def set_pin(request: Request, person_id: int, body: PinBody) -> PinAnswer:
    """One's own PIN, or one that is made and told once."""
    web = web_of(request)
    made = await give_pin(web, person_of(request), await find_person(web, person_id), body.pin)
    return PinAnswer(pin=None if body.pin else made)


@router.get("/api/v1/people/{person_id}/export", **_API)
async def export(request: Request, person_id: int) -> JSONResponse:
    """Everything the ledger keeps of a person; that it was handed out is audited."""
    web, who = web_of(request), person_of(request)
    await find_person(web, person_id)
    found = await web.read(web.ledger.dossier, person_id)
    await web.link.ask("exported", who.name, what=f"person/{person_id}")
    headers = {"Content-Disposition": f'attachment; filename="person-{person_id}.json"'}
    return JSONResponse(found, headers=headers)


# --- rosters -------------------------------------------------------------------------------------------------------


@router.post("/api/v1/roster", **_API)
async def plan(request: Request, body: PlanBody) -> Done:
    """Plan cells: all of them, or none."""
    cells = [cell.model_dump(mode="json") for cell in body.cells]
    await commands.do(web_of(request), person_of(request), "roster.plan", cells=cells, accept=body.accept)
    return Done()


@router.post("/api/v1/roster/import", **_API)
async def import_roster(request: Request) -> Response:
    """Plan what a file says: the file (CSV or XLSX) is the body."""
    return _imported(request.url.path, await take_roster(request, await request.body()))


@router.get("/api/v1/roster/{site}", **_API)
async def roster(
    request: Request,
    site: str,
    first: Annotated[date | None, Query(alias="from")] = None,
    days: Annotated[int, Query(ge=1, le=DAYS)] = 7,
) -> RosterAnswer:
    """Who is planned from a day on (today without one), and what is wrong with the next seven days."""
    web = web_of(request)
    found = station_sites(web).get(site)
    if found is None:
        raise Refused(404, msgid("There is no such station."))
    begin = first or local_day(web.now_ms(), ZoneInfo(found.time_zone))
    last = (begin + timedelta(days=min(days, (date.max - begin).days))).isoformat()
    rows = [row for row in roster_now(web) if row.site == site and begin.isoformat() <= row.day < last]
    return RosterAnswer(
        site=site,
        duties=[_duty(row.day, duty) for row in sorted(rows, key=lambda row: row.day) for duty in row.duties],
        findings=[
            FindingAnswer.model_validate(
                {name: value for name, value in each._asdict().items() if name != "site"}
                | {"person": each.person or None, "lacks": list(each.lacks)}
            )
            for each in findings_of(web, found)
        ],
    )


def _duty(day: str, duty: Duty) -> DutyAnswer:
    return DutyAnswer(
        day=date.fromisoformat(day),
        shift=duty.shift,
        post=duty.post,
        from_ms=duty.from_ms,
        until_ms=duty.until_ms,
        people=list(duty.people),
    )


def _imported(path: str, faults: list[Fault]) -> Response:
    answer = ImportAnswer(
        taken=not faults, faults=[FaultAnswer(**{**each._asdict(), "choices": list(each.choices)}) for each in faults]
    )
    if not faults:
        return JSONResponse(answer.model_dump())
    kind = kind_of(422)
    problem = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": "Nothing was taken: correct the lines of `faults` and send the file again.",
        "instance": path,
        "errors": [],
    }
    return JSONResponse({**problem, **answer.model_dump()}, 422, media_type="application/problem+json")


async def _do(request: Request, person_id: int, op: str, **args: Any) -> Done:
    web = web_of(request)
    await find_person(web, person_id)
    done = await commands.do(web, person_of(request), op, id=person_id, **args)
    return Done(planned=done.get("planned", 0))


def _check_site(web: Web, site: str) -> None:
    if site not in web.inventory.sites:
        raise Refused(422, msgid("Choose a site."))


def _answer(web: Web, row: Person, identity: Identity | None, who: SignedIn) -> PersonAnswer:
    shown = shown_identity(identity, who)
    site = web.inventory.sites.get(row.site)
    zone = ZoneInfo(site.time_zone if site is not None else web.settings.timezone)
    return PersonAnswer(
        id=row.id,
        site=row.site,
        state=row.state,
        name=shown.name or None,
        phone=shown.phone,
        roles=list(row.roles),
        certificates=[
            CertificateBody(
                kind=each.kind,
                number=shown.certificates.get(each.kind, ""),
                until=None if each.until_ms is None else local_day(each.until_ms, zone) - timedelta(days=1),
            )
            for each in row.certificates
        ],
        user=row.user,
        has_pin=row.has_pin,
        since_ms=row.from_ms,
        left_ms=row.until_ms,
    )
