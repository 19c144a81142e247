"""The pages about alarms: the list, one alarm with everything about it, and what people do with it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.site import SYSTEM_SITE
from gateway.control.protocol import AlarmView
from gateway.web import commands, decision
from gateway.web.access import HANDLE, Refused
from gateway.web.alarm_cards import SEVERITIES, AlarmCard, alarm_card
from gateway.web.board.pages import FIRE_SHELVES, SHELVES, acts, board, ticks_of
from gateway.web.context import Web, person_of, web_of
from gateway.web.folding import fold
from gateway.web.notices import notices_of
from gateway.web.render import local_path, page, wants_fragment
from gateway.web.texts import Texts, msgid

router = APIRouter()
PAGE_ROWS = 50
SEARCHED = 2000
"""Alarms looked through for a text at once; what is older stands on the next page."""
SHOWN = ("open", "held", "all")
STATES = ("unacknowledged", "acknowledged", "returned_unacknowledged", "normal")
FINDINGS = ("real", "false", "test", "unclear")
Note = Annotated[str, Form(max_length=500)]
Next = Annotated[str, Form(max_length=500, alias="next")]


@router.get("/alarms")
async def alarms(
    request: Request,
    show: str = "",
    severity: str = "",
    state: str = "",
    site: str = "",
    device: str = "",
    text: Annotated[str, Query(max_length=100)] = "",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Alarms as rows, episodes of one subject folded: those open, those held, or of any age."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    shown = show if show in SHOWN else "all" if state or device or before else "open"
    terms = {"show": shown, "severity": severity, "state": state, "site": site, "device": device, "text": text.strip()}
    cards, older = await _cards(web, texts, terms, before)
    inventory = web.inventory
    sites = [(key, inventory.site_title(key).get(texts.language)) for key in (*inventory.sites, SYSTEM_SITE)]
    return page(
        request,
        "alarms.html",
        fragment="_alarms.html",
        rows=fold(cards, worst_first=shown != "all"),
        count=len(cards),
        next_before=older,
        terms=terms,
        shows=SHOWN,
        severities=SEVERITIES,
        states=STATES,
        sites=sites,
        device_titles=[(d.site, d.id, d.title.get(texts.language)) for d in inventory.devices.values()],
        older=before is not None,
        standing=decision.standing(web.picture, inventory, texts, web.now_ms()),
    )


async def _cards(
    web: Web, texts: Texts, terms: dict[str, str], before: int | None
) -> tuple[list[AlarmCard], int | None]:
    """The alarms that fit, and the id below which the next page begins (None: there is none)."""
    wanted = {name: terms[name] or None for name in ("severity", "state", "site", "device")}
    if wanted["severity"] not in (None, *SEVERITIES) or wanted["state"] not in (None, *STATES):
        return [], None

    def card(alarm: AlarmView) -> AlarmCard:
        return alarm_card(alarm, web.inventory, texts, web.picture.told)

    if terms["show"] != "all":
        found = await web.read(web.ledger.open_alarms)
        fitting = [a for a in found if all(v is None or getattr(a, k) == v for k, v in wanted.items())]
        kept = [a for a in fitting if terms["show"] != "held" or a.hold is not None]
        return [c for c in map(card, reversed(kept)) if _says(c, terms["text"])], None
    most = SEARCHED if terms["text"] else PAGE_ROWS
    rows = await web.read(web.ledger.alarms, **wanted, before=before, limit=most + 1)
    cards = [c for c in map(card, rows[:most]) if _says(c, terms["text"])]
    return cards, rows[most - 1].id if len(rows) > most else None


def _says(card: AlarmCard, text: str) -> bool:
    """Whether every word of the text stands somewhere on the card."""
    said = " ".join(
        (card.title, card.where, card.spot, card.point, card.place, card.site, card.subject, card.rule)
    ).casefold()
    return all(word in said for word in text.casefold().split())


@router.get("/alarms/{alarm_id}")
async def alarm_page(request: Request, alarm_id: int) -> Response:
    """One alarm: what, on what basis, what next, who did what, who was told."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    alarm = await web.read(web.ledger.alarm, alarm_id)
    if alarm is None:
        raise Refused(404, msgid("There is no such alarm."))
    names = [user.name for user in await web.accounts(HANDLE, alarm.site)]
    episodes = [
        alarm_card(other, web.inventory, texts)
        for other in await web.read(web.ledger.alarms, site=alarm.site, rule=alarm.rule, limit=200)
        if other.subject == alarm.subject and other.id != alarm.id
    ]
    steps = await web.read(web.ledger.transitions, alarm_id)
    return page(
        request,
        "alarm.html",
        fragment="_alarm.html",
        alarm=alarm_card(alarm, web.inventory, texts, web.picture.told),
        transitions=[decision.step(row, web.inventory, texts) for row in steps],
        inputs=decision.inputs(alarm.inputs, alarm, web.inventory, texts),
        rule=await decision.rule_in_force(web, alarm, texts),
        notices=await notices_of(web, alarm_id, texts),
        episodes=episodes[:10],
        more_episodes=max(0, len(episodes) - 10),
        shelf=web.picture.standing.shelves.get((alarm.rule, alarm.subject)),
        out=web.picture.standing.out(alarm.subject),
        ticks=await ticks_of(web, alarm_id),
        shelves=FIRE_SHELVES if alarm.severity == "fire" else SHELVES,
        findings=FINDINGS,
        people=names,
    )


@router.post("/alarms/acknowledge")
async def acknowledge_several(
    request: Request, alarm_id: Annotated[list[int], Form(max_length=200)], onward: Next = "/"
) -> Response:
    """Acknowledge an alarm and its earlier episodes; what somebody acknowledged meanwhile is no error."""
    await commands.acknowledge_all(web_of(request), person_of(request).name, alarm_id)
    return await _back(request, onward)


@router.post("/alarms/{alarm_id}/acknowledge")
async def acknowledge_alarm(request: Request, alarm_id: int, note: Note = "", onward: Next = "/") -> Response:
    """Acknowledge an alarm: the fresh page comes back, else on to `next`."""
    await commands.acknowledge(web_of(request), person_of(request).name, alarm_id, note)
    return await _back(request, onward, alarm_id)


@router.post("/alarms/{alarm_id}/assign")
async def assign(
    request: Request,
    alarm_id: int,
    person: Annotated[str, Form(max_length=64)] = "",
    note: Note = "",
    onward: Next = "",
) -> Response:
    """Give an alarm to somebody; nobody (empty) takes the assignment away."""
    args = {"alarm_id": alarm_id, "person": person.strip(), "note": note.strip()}
    await commands.do(web_of(request), person_of(request), "alarm.assign", **args)
    return await _back_to(request, alarm_id, onward)


@router.post("/alarms/{alarm_id}/note")
async def note_alarm(request: Request, alarm_id: int, note: Note, onward: Next = "") -> Response:
    """Write a note to an alarm."""
    if not note.strip():
        raise Refused(422, msgid("The note is empty."))
    await commands.do(web_of(request), person_of(request), "alarm.note", alarm_id=alarm_id, note=note.strip())
    return await _back_to(request, alarm_id, onward)


@router.post("/alarms/{alarm_id}/find")
async def find(request: Request, alarm_id: int, finding: Annotated[str, Form()], note: Note = "") -> Response:
    """Say what an alarm was: real, false, a test, unclear."""
    if finding not in FINDINGS:
        raise Refused(422, msgid("Choose what was found."))
    args = {"alarm_id": alarm_id, "finding": finding, "note": note.strip()}
    await commands.do(web_of(request), person_of(request), "alarm.find", **args)
    return await _alarm_back(request, alarm_id)


@router.post("/alarms/{alarm_id}/shelve")
async def shelve(
    request: Request,
    alarm_id: int,
    reason: Note,
    minutes: Annotated[str, Form(max_length=8)] = "",
    until: Annotated[str, Form(max_length=30)] = "",
    onward: Next = "",
) -> Response:
    """Put an alarm on the shelf: for so many minutes, or until a time."""
    web = web_of(request)
    if minutes.isdigit():
        until_ms = web.now_ms() + int(minutes) * 60_000
    else:
        until_ms = commands.local_ms(until, web.settings.timezone)
    await commands.shelve(web, person_of(request), alarm_id, until_ms, reason)
    return await _back_to(request, alarm_id, onward)


@router.post("/alarms/{alarm_id}/unshelve")
async def unshelve(request: Request, alarm_id: int, note: Note = "", onward: Next = "") -> Response:
    """Take an alarm off the shelf."""
    await commands.do(web_of(request), person_of(request), "alarm.unshelve", alarm_id=alarm_id, note=note.strip())
    return await _back_to(request, alarm_id, onward)


@router.post("/alarms/{alarm_id}/advice")
async def tick(
    request: Request,
    alarm_id: int,
    step: Annotated[int, Form(ge=0, le=99)],
    done: Annotated[bool, Form()] = False,
    onward: Next = "",
) -> Response:
    """A step of the advice was done, or was not after all."""
    await commands.do(web_of(request), person_of(request), "advice.tick", alarm_id=alarm_id, step=step, done=done)
    return await _back_to(request, alarm_id, onward)


@router.post("/service/take-out")
async def take_out(
    request: Request, subject: Annotated[str, Form(max_length=160)], reason: Note, onward: Next = "/alarms?show=held"
) -> Response:
    """Take a device or point out of service."""
    if not reason.strip():
        raise Refused(422, msgid("Taking something out of service needs a reason."))
    args = {"subject": subject, "reason": reason.strip()}
    await commands.do(web_of(request), person_of(request), "service.take_out", **args)
    return await _back(request, onward)


@router.post("/service/return")
async def return_to_service(
    request: Request,
    subject: Annotated[str, Form(max_length=160)],
    note: Note = "",
    onward: Next = "/alarms?show=held",
) -> Response:
    """Put a device or point back into service."""
    args = {"subject": subject, "note": note.strip()}
    await commands.do(web_of(request), person_of(request), "service.return", **args)
    return await _back(request, onward)


async def _back_to(request: Request, alarm_id: int, onward: str) -> Response:
    """Back to where a command was given: the page of the alarm unless something else is named."""
    return await _back(request, onward, alarm_id) if onward else await _alarm_back(request, alarm_id)


async def _alarm_back(request: Request, alarm_id: int) -> Response:
    if wants_fragment(request):
        return await alarm_page(request, alarm_id)
    return RedirectResponse(f"/alarms/{alarm_id}", 303)


async def _back(request: Request, onward: str, alarm_id: int | None = None) -> Response:
    """The fresh page a command was given on, or on to it."""
    if not wants_fragment(request):
        return RedirectResponse(local_path(onward), 303)
    head, _, number = onward.rpartition("/")
    if head == "/alarms" and number.isdigit():
        return await alarm_page(request, alarm_id or int(number))
    if alarm_id is not None and onward == f"/alarms/{alarm_id}/acts":
        return await acts(request, alarm_id)
    if onward == "/":
        return await board(request)
    if onward.partition("?")[0] == "/alarms":
        return Response(status_code=204)  # the list draws itself anew, as it is filtered and turned
    return Response(status_code=200, headers={"HX-Redirect": local_path(onward)})
