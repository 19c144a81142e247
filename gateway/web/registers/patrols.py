"""Pages of patrols: what is due and overdue, a round on a phone, labels to print, completion of a month."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import segno
from fastapi import APIRouter, Form, Query
from markupsafe import Markup
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.control.client import ControlError
from gateway.web import commands
from gateway.web.access import HANDLE, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.registers import patrol_rows as rows
from gateway.web.registers.photos import keep_photo
from gateway.web.render import page
from gateway.web.texts import msgid
from gateway.work import routes
from gateway.work.labels import split_token
from gateway.work.plans import PLAN, Spec
from gateway.work.routes import ROUND, Round

router = APIRouter()
NOTE_CHARS = 1000
Note = Annotated[str, Form(max_length=NOTE_CHARS)]
RESULTS = ("ok", "finding", "unreachable")


class Printed(NamedTuple):
    """A label on the sheet."""

    zh: str
    en: str
    site: str
    code: str
    qr: Markup


@router.get("/patrols")
async def patrols(
    request: Request,
    month: Annotated[str | None, Query(max_length=7)] = None,
    site: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """Due and overdue, rounds that run or wait for a word, history, completion of a month."""
    web, texts = web_of(request), web_of(request).texts(request)
    first = rows.month_of(month, web)
    lines = await rows.plan_lines(web, texts, trainings=False)
    sites = [(key, rows.site_title(web, key, texts)) for key in sorted({line.site for line in lines})]
    # Counting the rounds of a whole city takes long; a page counts those of one site.
    counted = site or (sites[0][0] if sites else "")
    history = await rows.round_lines(web, texts, limit=rows.ROUNDS)
    return page(
        request,
        "patrols.html",
        fragment="_patrols.html",
        lines=lines,
        overdue=sum(line.state == "overdue" for line in lines),
        waiting=[line for line in history if line.row.state == routes.IMPLAUSIBLE],
        history=[line for line in history if line.row.state != routes.RUNNING],
        completion=await rows.completion_lines(web, texts, first, counted),
        month=first.strftime("%Y-%m"),
        earlier=rows.next_month(first, -1).strftime("%Y-%m"),
        later=rows.next_month(first).strftime("%Y-%m"),
        sites=sites,
        counted=counted,
    )


@router.post("/patrols/start")
async def start(
    request: Request,
    site: Annotated[str, Form(max_length=60)],
    plan: Annotated[str, Form(max_length=60)],
    token: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Begin a round; who scanned a label stays at it."""
    walk = await commands.do(web_of(request), person_of(request), "round.start", site=site, plan=plan)
    onward = f"/patrols/at/{token}" if split_token(token) else f"/patrols/rounds/{walk['id']}"
    return RedirectResponse(onward, 303)


@router.get("/patrols/rounds/{round_id}")
async def round_page(request: Request, round_id: int) -> Response:
    """A round: for who walks it what comes next, for everybody what was seen."""
    web, texts = web_of(request), web_of(request).texts(request)
    walk, spec = await _round(web, round_id)
    stops = await rows.stop_lines(web, walk, spec, texts)
    me = person_of(request)
    return page(
        request,
        "round.html",
        fragment="_round.html",
        line=rows.round_line(web, walk, spec, texts),
        stops=stops,
        is_mine=walk.by == me.name and walk.state == routes.RUNNING and me.may(HANDLE),
        may_judge=walk.by != me.name and walk.state == routes.IMPLAUSIBLE and me.may(HANDLE),
        left=[stop for stop in stops if stop.seen is None],
    )


@router.get("/patrols/rounds/{round_id}/stops/{spot}")
async def typed_page(request: Request, round_id: int, spot: str) -> Response:
    """The form of a stop for who cannot scan its label."""
    return await _stop_page(request, round_id, spot, proof="", said=None)


@router.get("/patrols/at/{token}")
async def scanned(request: Request, token: str) -> Response:
    """Where the QR code of a label leads: to the stop of the round that runs, else to the rounds that could begin."""
    web, texts, me = web_of(request), web_of(request).texts(request), person_of(request)
    named = split_token(token)
    if named is None or named[0] not in web.inventory.sites:
        raise Refused(404, msgid("This label is not known here. Print it anew."))
    site, spot = named
    if not me.may(HANDLE):
        raise Refused(403, msgid("Your role does not allow this."))
    passing = [row for row in await rows.plan_rows(web) if row.site == site and row.spec.stop(spot)]
    if not passing:
        raise Refused(404, msgid("No route passes here any more."))
    mine = [w for w in rows.running(web) if w.state == routes.RUNNING and w.by == me.name and w.site == site]
    here = [walk for walk in mine if any(row.id == walk.row for row in passing)]
    if len(here) == 1:
        return await _stop_page(request, here[0].id, spot, proof=token, said=None)
    stop = passing[0].spec.stop(spot)
    lines = {(line.site, line.plan): line for line in await rows.plan_lines(web, texts, trainings=False)}
    return page(
        request,
        "patrol_label.html",
        token=token,
        title="" if stop is None else (stop.zh if texts.language == "zh" else stop.en),
        running=[(walk, lines[walk.site, walk.plan].title) for walk in here],
        spot=spot,
        lines=[lines[site, row.spec.plan] for row in passing if (site, row.spec.plan) in lines],
    )


@router.post("/patrols/rounds/{round_id}/tick")
async def tick(request: Request, round_id: int) -> Response:
    """Answer a stop: fields a0, a1 ... are its items."""
    web = web_of(request)
    form = await request.form()
    fields = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
    photo = form.get("photo")
    answers = [(n, fields[f"a{n}"]) for n in range(20) if f"a{n}" in fields]
    note = fields.get("note", "")[:NOTE_CHARS]
    if not answers or any(result not in RESULTS for _, result in answers):
        raise Refused(422, msgid("Answer every item."))
    if any(result == "finding" for _, result in answers) and not note:
        raise Refused(422, msgid("Say what you found."))
    kept = await keep_photo(web, photo if isinstance(photo, UploadFile) else None)
    spot, proof = fields.get("spot", "")[:60], fields.get("proof", "")[:200]
    try:
        args = {"id": round_id, "spot": spot, "proof": proof, "answers": answers, "note": note, "photo": kept}
        await commands.do(web, person_of(request), "round.tick", **args)
    except ControlError as exc:
        if exc.code == "invalid" and str(exc).startswith("proof"):
            said = msgid("This is not the code of the label that hangs here.")
            return await _stop_page(request, round_id, spot, proof="", said=said)
        raise
    return RedirectResponse(f"/patrols/rounds/{round_id}", 303)


@router.post("/patrols/rounds/{round_id}/finish")
async def finish(request: Request, round_id: int, note: Note = "") -> Response:
    """End a round as it is."""
    await commands.do(web_of(request), person_of(request), "round.finish", id=round_id, note=note.strip())
    return RedirectResponse(f"/patrols/rounds/{round_id}", 303)


@router.post("/patrols/rounds/{round_id}/judge")
async def judge(
    request: Request, round_id: int, verdict: Annotated[Literal["accept", "refuse"], Form()], note: Note = ""
) -> Response:
    """Another person's word on a round that went faster than anybody walks."""
    if not note.strip():
        raise Refused(422, msgid("Say why."))
    args = {"id": round_id, "accept": verdict == "accept", "note": note.strip()}
    await commands.do(web_of(request), person_of(request), "round.judge", **args)
    return RedirectResponse(f"/patrols/rounds/{round_id}", 303)


@router.get("/patrols/labels/{site}")
async def labels(request: Request, site: str) -> Response:
    """A sheet with the label of every stop of a site, to print."""
    web, texts = web_of(request), web_of(request).texts(request)
    if site not in web.inventory.sites:
        raise Refused(404, msgid("There is no such page."))
    made: list[dict[str, Any]] = await web.link.ask("patrol.labels", person_of(request).name, site=site)
    stops = {
        stop.spot: stop for row in await rows.plan_rows(web) if row.site == site for stop in reversed(row.spec.stops)
    }
    base = (web.settings.public_url or str(request.base_url)).rstrip("/")
    sheet = [
        Printed(stops[label["spot"]].zh, stops[label["spot"]].en, site, label["code"], qr_svg(base, label["token"]))
        for label in made
        if label["spot"] in stops
    ]
    return page(request, "patrol_labels.html", labels=sheet, site=rows.site_title(web, site, texts), base=base)


def qr_svg(base: str, token: str) -> Markup:
    """The QR code of a label as SVG without styles of its own; a quarter of it may be damaged."""
    code = segno.make_qr(f"{base}/patrols/at/{token}", error="q", boost_error=False)
    return Markup(code.svg_inline(border=4, omitsize=True, svgclass="qr", lineclass="qr-line"))  # noqa: S704 # made here


async def _round(web: Web, round_id: int) -> tuple[Round, Spec]:
    walk = await web.read(web.ledger.entry, ROUND, round_id)
    row = await web.read(web.ledger.entry, PLAN, walk.row) if walk is not None else None
    if walk is None or row is None:
        raise Refused(404, msgid("There is no such round."))
    return walk, row.spec


async def _stop_page(request: Request, round_id: int, spot: str, *, proof: str, said: str | None) -> Response:
    web, texts = web_of(request), web_of(request).texts(request)
    walk, spec = await _round(web, round_id)
    if walk.state != routes.RUNNING:
        return RedirectResponse(f"/patrols/rounds/{round_id}", 303)
    stop = next((line for line in await rows.stop_lines(web, walk, spec, texts) if line.spot == spot), None)
    if stop is None:
        raise Refused(404, msgid("This stop is not on the route of this round."))
    return page(
        request,
        "patrol_stop.html",
        status=422 if said else 200,
        line=rows.round_line(web, walk, spec, texts),
        stop=stop,
        proof=proof,
        said=said,
        results=RESULTS,
        number=[each.spot for each in spec.stops].index(spot) + 1,
    )
