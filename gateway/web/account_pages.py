"""One's own account: where one is signed in, tokens for programs, the password; and the door of a wall display."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.control.client import ControlError
from gateway.ledger.records import Session
from gateway.web import commands
from gateway.web.access import ROLES, WALL, Refused, new_token, token_hash
from gateway.web.admin.accounts import area_choices, area_words, code_hash
from gateway.web.auth_pages import address_of, open_session
from gateway.web.context import Web, person_of, web_of
from gateway.web.render import WALL_S, page, set_cookie
from gateway.web.texts import Texts, msgid

router = APIRouter()
DAY_MS = 86_400_000
TOKEN = "wzt_"  # noqa: S105 # what every token begins with, so that one that leaked is recognised
LIVES = (7, 30, 90, 365)
"""Days a token may last."""
WALL_MS = 10 * 365 * DAY_MS
"""A wall display is let in until somebody ends it."""
SYSTEMS = ("Windows", "Android", "iPhone", "iPad", "Mac OS", "Linux")
BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("MicroMessenger", "WeChat"),
            ("Chrome", "Chrome"), ("Safari", "Safari"))  # fmt: skip


class TokenRow(NamedTuple):
    """A token in words."""

    session: Session
    area: str


@router.get("/account")
async def account(request: Request) -> Response:
    """Where one is signed in, one's tokens, one's password."""
    return await _account(request)


@router.post("/account/sessions/{session_id}/end")
async def end(request: Request, session_id: str) -> Response:
    """End one of one's own sessions, or revoke a token."""
    web = web_of(request)
    mine = {each.id for each in await web.read(web.ledger.sessions, person_of(request).name)}
    if session_id not in mine:
        raise Refused(404, msgid("This is over already."))
    await commands.do(web, person_of(request), "session.end", id=session_id)
    await web.sessions.look()
    return RedirectResponse("/account", 303)


@router.post("/account/tokens")
async def create_token(
    request: Request,
    name: Annotated[str, Form(max_length=60)] = "",
    days: Annotated[int, Form(ge=1, le=365)] = 90,
    role: Annotated[str, Form(max_length=20)] = "",
    area: Annotated[str, Form(max_length=65)] = "",
    reads_only: Annotated[str, Form(max_length=3)] = "",
) -> Response:
    """Make a token for a program; it is on the page that answers, once."""
    web, who = web_of(request), person_of(request)
    if not name.strip():
        return await _account(request, said=msgid("Give the token a name that says what it is for."), status=422)
    token = TOKEN + new_token()
    args = {
        "token_hash": token_hash(token),
        "name": name.strip(),
        "role": role or who.role,
        "area": area or who.area,
        "read_only": reads_only == "yes",
        "expires_ms": web.now_ms() + days * DAY_MS,
    }
    await commands.do(web, who, "token.create", **args)
    return await _account(request, token=token)


@router.post("/account/password")
async def change_password(
    request: Request,
    before: Annotated[str, Form(max_length=1024)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    again: Annotated[str, Form(max_length=1024)] = "",
) -> Response:
    """Take a new password; every other browser that is signed in has to sign in again."""
    web, who = web_of(request), person_of(request)
    user = await web.read(web.ledger.user, who.name)
    if user is None:
        raise Refused(404, msgid("This is over already."))
    # As a known device: whoever sits at a desk left open has five tries, and locks nobody else out.
    result = await web.sign_in.attempt(user, who.name, before, address_of(request), f"open/{who.key}")
    if result.outcome not in ("ok", "first"):
        wrong = msgid("The password you have now is not right.")
        tries = msgid("Too many failed tries. Wait 15 minutes, or sign in where you signed in before.")
        return await _account(request, said=tries if result.outcome == "braked" else wrong, status=422)
    said = await web.sign_in.problem_with(user, password)
    if said is None and password != again:
        said = msgid("The two passwords differ.")
    if said is not None:
        return await _account(request, said=said, status=422)
    await web.link.ask("user.set_password", who.name, name=who.name, password_hash=await web.sign_in.hash(password))
    web.sign_in.settle(who.name)
    await web.sessions.look()
    return await open_session(request, user, "/account")


async def _account(request: Request, *, token: str = "", said: str = "", status: int = 200) -> Response:
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    held = [e for e in await web.read(web.ledger.sessions, who.name) if e.expires_ms > web.now_ms()]
    return page(
        request,
        "account.html",
        status=status,
        browsers=[(each, device_words(each.agent, texts)) for each in held if each.kind == "browser"],
        tokens=[TokenRow(each, area_words(web, each.area, texts)) for each in held if each.kind == "token"],
        key=who.key,
        area=area_words(web, who.area, texts),
        areas=_narrower(web, texts),
        roles=ROLES if who.role == "administrator" else (who.role,),
        lives=LIVES,
        token=token,
        base="",
        said=said,
    )


def _narrower(web: Web, texts: Texts) -> list[tuple[str, str]]:
    """Areas and sites a token of this person may be bound to."""
    mine = web.inventory.sites
    grid = web.all.inventory.grid
    return [
        (area, words) for area, words in area_choices(web, texts, sites=True) if (grid.reach(area) or set()) & set(mine)
    ]


def device_words(agent: str, texts: Texts) -> str:
    """Browser and system, as far as the browser says."""
    browser = next((name for mark, name in BROWSERS if mark in agent), "")
    system = next((name for name in SYSTEMS if name in agent), "")
    return " · ".join(filter(None, (browser, system))) or texts("a browser that does not say what it is")


# --- the door of a wall display -------------------------------------------------------------------------------------


@router.get("/pair")
async def show_pair(request: Request) -> Response:
    """Where a wall display is given its code."""
    return page(request, "pair.html", said=None)


@router.post("/pair")
async def pair(request: Request, code: Annotated[str, Form(max_length=40)] = "") -> Response:
    """Let the display in that was given the code."""
    web, address, token = web_of(request), address_of(request), new_token()
    if web.pairing.holds("wall", address):
        return page(request, "pair.html", status=429, said=msgid("Too many wrong codes. Wait a while."))
    web.pairing.failed("wall", address)
    where = {"agent": request.headers.get("user-agent", "")[:300], "address": address}
    args = {"code_hash": code_hash(code), "token_hash": token_hash(token), **where}
    try:
        await web.link.ask("wall.pair", WALL, **args, expires_ms=web.now_ms() + WALL_MS)
    except ControlError:
        said = msgid("This code is not valid, or its ten minutes are over. Have an administrator make a new one.")
        return page(request, "pair.html", status=422, said=said)
    web.pairing.succeeded("wall", address)
    response = RedirectResponse("/wall", 303)
    set_cookie(web, response, web.cookies.session, token, max_age=WALL_S)
    return response
