"""Accounts: who may sign in, as what, for which area; one-time passwords; the wall displays.

A one-time password and the code of a wall display are shown in one answer and kept nowhere but as a hash.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Form
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.grid import ONE_SITE
from gateway.ledger.records import Session, User
from gateway.users import one_time_password
from gateway.web import commands
from gateway.web.access import ROLES, WALL, Refused, token_hash
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer, Done
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
api = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
Role = Literal["duty", "maintainer", "inspector", "administrator"]
CODE_MS = 10 * 60_000
"""How long the code of a wall display may be typed."""
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Of a code: none that is taken for another on a screen."""


class AccountRow(NamedTuple):
    """An account in words. state: on | off | first (has a one-time password) | expired (it was not used in time) |
    used (it was used, and no password was chosen)."""

    user: User
    area: str
    state: str
    sessions: int
    tokens: int


class Shown(NamedTuple):
    """A secret that is shown once. kind: password | code."""

    kind: str
    name: str
    secret: str
    until_ms: int


@router.get("/admin/accounts")
async def accounts(request: Request) -> Response:
    """Everybody who may sign in."""
    return await _accounts(request)


@router.post("/admin/accounts")
async def create(
    request: Request,
    name: Annotated[str, Form(max_length=100)],
    role: Annotated[Role, Form()],
    area: Annotated[str, Form(max_length=65)] = "",
) -> Response:
    """Make an account; its one-time password is on the page that answers, once."""
    return await _accounts(request, await create_account(request, name.strip(), role, area))


@router.post("/admin/accounts/{name}/rights")
async def set_rights(
    request: Request, name: str, role: Annotated[Role, Form()], area: Annotated[str, Form(max_length=65)] = ""
) -> Response:
    """Say what somebody is, and for which area."""
    await commands.do(web_of(request), person_of(request), "user.set_rights", name=name, role=role, area=area)
    return RedirectResponse("/admin/accounts", 303)


@router.post("/admin/accounts/{name}/reset")
async def reset(request: Request, name: str) -> Response:
    """A new one-time password; whoever is signed in as them is out."""
    return await _accounts(request, await reset_account(request, name))


@router.post("/admin/accounts/{name}/{act}")
async def act_on(request: Request, name: str, act: Literal["disable", "enable", "end-all"]) -> Response:
    """Switch an account off or on, or end all its sessions and tokens."""
    await act_on_account(request, name, act)
    return RedirectResponse("/admin/accounts", 303)


async def create_account(request: Request, name: str, role: str, area: str) -> Shown:
    """Make an account; gives its one-time password."""
    web, password = web_of(request), one_time_password()
    hashed = await web.sign_in.hash(password)
    args = {"name": name, "role": role, "area": area, "password_hash": hashed}
    made = await commands.do(web, person_of(request), "user.create", **args)
    return Shown("password", name, password, made["one_time_until_ms"])


async def reset_account(request: Request, name: str) -> Shown:
    """Give somebody a one-time password."""
    web, password = web_of(request), one_time_password()
    hashed = await web.sign_in.hash(password)
    made = await commands.do(web, person_of(request), "user.reset", name=name, password_hash=hashed)
    return Shown("password", name, password, made["one_time_until_ms"])


async def act_on_account(request: Request, name: str, act: str) -> None:
    """Switch off or on, or end all sessions."""
    op = {"disable": "user.disable", "enable": "user.enable", "end-all": "session.end_all"}[act]
    await commands.do(web_of(request), person_of(request), op, name=name)
    await web_of(request).sessions.look()


async def _accounts(request: Request, shown: Shown | None = None) -> Response:
    web, texts = web_of(request), web_of(request).texts(request)
    held = await web.read(web.ledger.sessions)
    rows = [account_row(web, user, held, texts) for user in await web.read(web.ledger.users)]
    return page(
        request,
        "admin_accounts.html",
        rows=rows,
        roles=ROLES,
        areas=area_choices(web, texts),
        shown=shown,
        base="",
        me=person_of(request).name,
    )


def account_row(web: Web, user: User, held: list[Session], texts: Texts) -> AccountRow:
    """An account in the reader's words."""
    now_ms = web.now_ms()
    mine = [each.kind for each in held if each.user == user.name and each.expires_ms > now_ms]
    state = "on"
    if user.disabled_ms is not None:
        state = "off"
    elif user.one_time_until_ms is not None:
        state = "first" if user.one_time_until_ms > now_ms else "expired"
        state = "used" if user.one_time_used_ms is not None else state
    return AccountRow(user, area_words(web, user.area, texts), state, mine.count("browser"), mine.count("token"))


def area_words(web: Web, area: str, texts: Texts) -> str:
    """An area (or `site:NAME`) as people know it."""
    if not area:
        return texts("everything")
    site = area.removeprefix(ONE_SITE)
    if site != area:
        return web.all.inventory.site_title(site).get(texts.language)
    path = web.all.inventory.grid.path(area)
    return " › ".join(each.title.get(texts.language) for each in path) or texts("%(area)s (not in the grid)", area=area)


def area_choices(web: Web, texts: Texts, *, sites: bool = False) -> list[tuple[str, str]]:
    """(value, words) of every area, and of every site where that may be chosen."""
    inventory = web.inventory
    found = [(area, area_words(web, area, texts)) for area in inventory.grid.areas]
    if sites:
        found += [(f"{ONE_SITE}{site}", inventory.site_title(site).get(texts.language)) for site in inventory.sites]
    return found


# --- wall displays --------------------------------------------------------------------------------------------------


@router.get("/admin/walls")
async def walls(request: Request) -> Response:
    """Every wall display, and the codes that wait to be typed."""
    return await _walls(request)


@router.post("/admin/walls")
async def create_wall(
    request: Request,
    name: Annotated[str, Form(max_length=60)],
    area: Annotated[str, Form(max_length=65)] = "",
) -> Response:
    """Let a wall display in: its code is on the page that answers, once."""
    if not name.strip():
        raise Refused(422, msgid("Give the display a name, so that you know it in this list."))
    web, code = web_of(request), "".join(secrets.choice(_LETTERS) for _ in range(8))
    until_ms = web.now_ms() + CODE_MS
    args = {"code_hash": code_hash(code), "name": name.strip(), "area": area, "until_ms": until_ms}
    await commands.do(web, person_of(request), "wall.create", **args)
    return await _walls(request, Shown("code", name.strip(), f"{code[:4]}-{code[4:]}", until_ms))


@router.post("/admin/walls/{wall_id}/end")
async def end_wall(request: Request, wall_id: str) -> Response:
    """Let a wall display in no more."""
    web = web_of(request)
    held = {each.id for each in await web.read(web.ledger.sessions) if each.kind in (WALL, "code")}
    if wall_id not in held:
        raise Refused(404, msgid("There is no such display any more."))
    await commands.do(web, person_of(request), "session.end", id=wall_id)
    await web.sessions.look()
    return RedirectResponse("/admin/walls", 303)


async def _walls(request: Request, shown: Shown | None = None) -> Response:
    web, texts = web_of(request), web_of(request).texts(request)
    now_ms = web.now_ms()
    held = [each for each in await web.read(web.ledger.sessions) if each.expires_ms > now_ms]
    return page(
        request,
        "admin_walls.html",
        walls=[(each, area_words(web, each.area, texts)) for each in held if each.kind == WALL],
        codes=[(each, area_words(web, each.area, texts)) for each in held if each.kind == "code"],
        areas=area_choices(web, texts, sites=True),
        shown=shown,
        base=(web.settings.public_url or str(request.base_url)).rstrip("/"),
    )


def code_hash(code: str) -> str:
    """What is kept of the code of a wall display, however it was typed. It lets nobody in by itself."""
    return token_hash("wall/" + "".join(c for c in code.upper() if c.isalnum()))


# --- API ------------------------------------------------------------------------------------------------------------


class AccountAnswer(Answer):
    """An account. Times ms UTC."""

    name: str = Field(examples=["duty"])
    role: str = Field(examples=["duty"])
    area: str = Field(examples=["shuiye-town"])
    """Area of the grid; empty: everything."""
    state: str = Field(examples=["on"])
    """on | off | first (has a one-time password) | expired (it was not used in time) | used (and none was chosen)"""
    created_ms: int
    signed_in_ms: int | None
    """Latest sign-in."""
    sessions: int
    """Browsers that are signed in."""
    tokens: int


class OneTimeAnswer(Answer):
    """A one-time password. It is told here and never again."""

    name: str
    password: str
    until_ms: int


class RightsRequest(BaseModel):
    """What somebody is, and for which area."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    area: Annotated[str, Field(max_length=65)] = ""
    """Area of the grid; empty: everything."""


class AccountRequest(RightsRequest):
    """A new account."""

    name: Annotated[str, Field(min_length=1, max_length=40, examples=["wang"])]


@api.get("/api/v1/accounts", **_API)
async def list_accounts(request: Request, turn: Turned) -> Page[AccountAnswer]:
    """Everybody who may sign in, by name."""
    web, texts = web_of(request), web_of(request).texts(request)
    held = await web.read(web.ledger.sessions)
    part, after = cut(await web.read(web.ledger.users), turn, lambda user: (user.name,))
    rows = [account_row(web, user, held, texts) for user in part]
    found = [
        AccountAnswer(
            name=row.user.name,
            role=row.user.role,
            area=row.user.area,
            state=row.state,
            created_ms=row.user.created_ms,
            signed_in_ms=row.user.signed_in_ms,
            sessions=row.sessions,
            tokens=row.tokens,
        )
        for row in rows
    ]
    return Page(items=found, next=after)


@api.post("/api/v1/accounts", **_API)
async def add_account(request: Request, body: AccountRequest) -> OneTimeAnswer:
    """Make an account."""
    return _one_time(await create_account(request, body.name, body.role, body.area))


@api.post("/api/v1/accounts/{name}/rights", **_API)
async def change_rights(request: Request, name: str, body: RightsRequest) -> Done:
    """Say what somebody is, and for which area."""
    await commands.do(web_of(request), person_of(request), "user.set_rights", name=name, **body.model_dump())
    return Done(id=None)


@api.post("/api/v1/accounts/{name}/reset", **_API)
async def reset_password(request: Request, name: str) -> OneTimeAnswer:
    """A new one-time password; whoever is signed in as them is out."""
    return _one_time(await reset_account(request, name))


@api.post("/api/v1/accounts/{name}/{act}", **_API)
async def change_account(request: Request, name: str, act: Literal["disable", "enable", "end-all"]) -> Done:
    """Switch an account off or on, or end all its sessions and tokens."""
    await act_on_account(request, name, act)
    return Done(id=None)


def _one_time(shown: Shown) -> OneTimeAnswer:
    return OneTimeAnswer(name=shown.name, password=shown.secret, until_ms=shown.until_ms)
