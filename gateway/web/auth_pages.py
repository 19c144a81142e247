"""Sign-in, the first password, sign-out, and the reader's language and theme."""

from __future__ import annotations

import contextlib
import logging
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.errors import RetryLater
from gateway.control.client import ControlError
from gateway.ledger.records import User
from gateway.web.access import Person, new_token, token_hash
from gateway.web.brake import DEVICE_DAYS, device_cookie, known_device, make_device
from gateway.web.context import LANGUAGE_COOKIE, THEME_COOKIE, Web, web_of
from gateway.web.render import THEMES, drop_cookie, local_path, page, set_cookie
from gateway.web.sign_in import PENDING_S, Outcome
from gateway.web.texts import LANGUAGES, msgid

router = APIRouter()
log = logging.getLogger(__name__)
_YEAR_S = 365 * 86400

_SAID = {
    "wrong": (401, msgid("Name or password is wrong.")),
    "expired": (403, msgid("This one-time password has expired. Ask an administrator for a new one.")),
    "used": (
        403,
        msgid(
            "This one-time password was used already; it lets you in once. Ask an administrator for a new one, or run "
            "weizhan user reset NAME on the gateway's machine."
        ),
    ),
    "disabled": (403, msgid("This account is switched off. Ask an administrator.")),
    "braked": (429, msgid("Too many failed tries. Wait 15 minutes, or sign in where you signed in before.")),
    "busy": (503, msgid("Too many people are signing in just now. Try again in a moment.")),
}


@router.get("/sign-in")
async def show_sign_in(request: Request, next: str = "/") -> Response:  # noqa: A002  # name of the query parameter
    """The sign-in page."""
    if getattr(request.state, "person", None) is not None:
        return RedirectResponse(local_path(next), 303)
    return page(request, "sign_in.html", said=None, name="", onward=local_path(next))


@router.post("/sign-in")
async def sign_in(
    request: Request,
    name: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    next: Annotated[str, Form(max_length=500)] = "/",  # noqa: A002  # name of the form field
) -> Response:
    """Check name and password; a one-time password leads to the page for choosing one."""
    web = web_of(request)
    name = name.strip()
    address = address_of(request)
    user = await web.read(web.ledger.user, name)
    cookie = request.cookies.get(device_cookie(web.cookies.head, name))
    device = known_device(await web.read(web.ledger.secret), name, cookie, web.now_ms())
    result = await web.sign_in.attempt(user, name, password, address, device)
    if result.rehashed is not None and user is not None:
        with contextlib.suppress(RetryLater):  # of the next sign-in, then
            await web.link.ask("user.rehash", name, name=name, before=user.password_hash, password_hash=result.rehashed)
    if result.outcome == "ok" and result.user is not None:
        return await open_session(request, result.user, local_path(next))
    outcome: Outcome = result.outcome
    if outcome == "first" and result.user is not None:
        if await _is_first_use(web, result.user):
            response = RedirectResponse("/first-password", 303)
            set_cookie(web, response, web.cookies.pending, web.sign_in.pend(result.user), max_age=int(PENDING_S))
            return response
        outcome = "used"
    if outcome == "used" and user is not None:
        token = request.cookies.get(web.cookies.pending)
        if web.sign_in.pending(token) == name and web.sign_in.is_pending(token, user):
            # The browser it let in a moment ago goes on where it was: it may have crashed, or been closed.
            return RedirectResponse("/first-password", 303)
    if web.sign_in.is_noted(outcome, name, address):
        await _note_failure(web, name, address)
    status, said = _SAID[outcome]
    return page(request, "sign_in.html", status=status, said=said, name=name, onward=local_path(next))


@router.get("/first-password")
async def show_first_password(request: Request) -> Response:
    """The page for choosing a password in place of a one-time one."""
    web = web_of(request)
    name = web.sign_in.pending(request.cookies.get(web.cookies.pending))
    user = await web.read(web.ledger.user, name) if name is not None else None
    if user is None:
        return RedirectResponse("/sign-in", 303)
    return _first_password(request, user, None)


@router.post("/first-password")
async def first_password(
    request: Request,
    password: Annotated[str, Form(max_length=1024)] = "",
    again: Annotated[str, Form(max_length=1024)] = "",
) -> Response:
    """Take the new password in place of the one-time one, which let its person in and is dead."""
    web = web_of(request)
    token = request.cookies.get(web.cookies.pending)
    name = web.sign_in.pending(token)
    user = await web.read(web.ledger.user, name) if name is not None else None
    if user is None or not (user.one_time_until_ms is not None or web.sign_in.is_old(user)):
        return RedirectResponse("/sign-in", 303)
    if user.disabled_ms is not None or not web.sign_in.is_pending(token, user):  # reset or switched off since
        return RedirectResponse("/sign-in", 303)
    said = await web.sign_in.problem_with(user, password)
    if said is None and password != again:
        said = msgid("The two passwords differ.")
    if said is not None:
        return _first_password(request, user, said)
    password_hash = await web.sign_in.hash(password)
    await web.link.ask("user.set_password", user.name, name=user.name, password_hash=password_hash)
    web.sign_in.settle(user.name)
    response = await open_session(request, user, "/")
    drop_cookie(web, response, web.cookies.pending)
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session here and in the ledger."""
    web = web_of(request)
    token = request.cookies.get(web.cookies.session)
    person: Person | None = getattr(request.state, "person", None)
    if token and person:
        # Dead here at once, whether or not the gateway can write it down now.
        web.sessions.ended.add(person.key)
        web.hub.close(key=person.key)
        with contextlib.suppress(RetryLater):
            await web.link.ask("session.close", person.name, token_hash=person.key)
    response = RedirectResponse("/sign-in", 303)
    drop_cookie(web, response, web.cookies.session)
    return response


@router.post("/preferences")
async def preferences(
    request: Request,
    language: Annotated[str, Form(max_length=8)] = "",
    theme: Annotated[str, Form(max_length=8)] = "",
    next: Annotated[str, Form(max_length=500)] = "/",  # noqa: A002  # name of the form field
) -> Response:
    """Keep the reader's language and theme in cookies."""
    web = web_of(request)
    response = RedirectResponse(local_path(next), 303)
    if language in LANGUAGES:
        set_cookie(web, response, LANGUAGE_COOKIE, language, max_age=_YEAR_S)
    if theme in THEMES:
        set_cookie(web, response, THEME_COOKIE, theme, max_age=_YEAR_S)
    return response


async def open_session(request: Request, user: User, onward: str) -> Response:
    """Sign somebody in who has shown who they are, at a device that is known from then on."""
    # A new token at every sign-in: one planted in the browser before is worth nothing after.
    web, token = web_of(request), new_token()
    expires_ms = web.now_ms() + int(web.settings.session_hours * 3_600_000)
    where = {"agent": request.headers.get("user-agent", "")[:300], "address": address_of(request)}
    key = token_hash(token)
    await web.link.ask("session.open", user.name, token_hash=key, user=user.name, expires_ms=expires_ms, **where)
    web.sessions.use(key)
    response = RedirectResponse(onward, 303)
    set_cookie(web, response, web.cookies.session, token, max_age=int(web.settings.session_hours * 3600))
    device = make_device(await web.read(web.ledger.secret), user.name, web.now_ms())
    name = device_cookie(web.cookies.head, user.name)
    set_cookie(web, response, name, device, max_age=DEVICE_DAYS * 86_400)
    drop_cookie(web, response, web.cookies.before)
    return response


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host[:200] if request.client else ""


def _first_password(request: Request, user: User, said: str | None) -> Response:
    is_one_time, status = user.one_time_until_ms is not None, 422 if said else 200
    return page(request, "first_password.html", status=status, said=said, name=user.name, is_one_time=is_one_time)


async def _is_first_use(web: Web, user: User) -> bool:
    """Whether a password that was right may be exchanged for one of the person's own; a one-time one may once."""
    if user.one_time_until_ms is None:  # one of their own that is too old
        return True
    args = {"name": user.name, "password_hash": user.password_hash}
    try:
        await web.link.ask("user.use_one_time", user.name, **args)
    except ControlError as exc:
        if exc.code == "conflict":
            return False
        raise
    return True


async def _note_failure(web: Web, name: str, address: str) -> None:
    try:
        await web.link.ask("sign_in.failed", "local", name=name[:64], address=address)
    except (RetryLater, ControlError) as exc:
        log.debug("a failed sign-in was not recorded: %s", exc)
