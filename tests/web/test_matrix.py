"""Every route asked as everybody: role x area x route, on the gateway itself. The table ROUTES drives it all."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from contract.mqtt import MqttSettings
from gateway.app import Gateway, open_gateway
from gateway.control.protocol import Ask
from gateway.history.settings import EmbeddedSettings
from gateway.settings import GatewaySettings
from gateway.web.access import ALL_AREAS, ANYONE, IN_PERSON, ROLES, ROUTES, WALL, csrf_of, token_hash
from tests.web import examples as e
from tests.web.station import HOUR_MS, Station, now_ms, serving

SAFE = ("GET",)
TOKEN = "token"
HASH = "$argon2id$none"


class World:
    """Two sites in two areas on one gateway, with everything a route can name in both."""

    def __init__(self, gateway: Gateway, address: str, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self.own = e.Known(gateway, e.OWN)
        self.foreign = e.Known(gateway, e.FOREIGN)
        self.nothing = e.Nothing(gateway, e.OWN)
        self._address = address
        self._stack = stack

    async def client(self, user: str | None) -> httpx.AsyncClient:
        """A client in which somebody is signed in, or nobody; it sends the CSRF token with everything.

        wall: a wall display; token: a program with a token of the duty desk that may only read.
        """
        client = await self._stack.enter_async_context(httpx.AsyncClient(base_url=self._address, timeout=30))
        token = secrets.token_urlsafe(32)
        client.headers.update({"X-CSRF-Token": csrf_of(token), "Accept-Language": "en"})
        client.cookies.set("weizhan" if user else "weizhan_before", token)
        until_ms = now_ms() + HOUR_MS
        if user == WALL:
            code = {"code_hash": token_hash("code")}
            await self.own.ask("wall.create", **code, name="Hall", until_ms=now_ms() + 60_000)
            await self.own.ask("wall.pair", **code, token_hash=token_hash(token), expires_ms=until_ms)
        elif user == TOKEN:
            client.cookies.clear()
            del client.headers["X-CSRF-Token"]
            client.headers["Authorization"] = f"Bearer {token}"
            args = {"token_hash": token_hash(token), "name": "script", "role": "duty", "read_only": True}
            ask = Ask(id=1, op="token.create", actor="duty", args={**args, "expires_ms": until_ms})
            await self.gateway.pipeline.ask(ask)
        elif user is not None:
            args = {"token_hash": token_hash(token), "user": user, "expires_ms": until_ms}
            await self.own.ask("session.open", **args)
        return client


@asynccontextmanager
async def open_world(folder: Path, port: int) -> AsyncIterator[World]:
    """Gateway and pages; nobody has a one-time password any more."""
    (folder / "grid.yaml").write_text(e.GRID, "utf-8")
    files = [folder / f"{site}.yaml" for site in (e.OWN, e.FOREIGN)]
    for path in files:
        path.write_text(e.site_text(path.stem), "utf-8")
    settings = GatewaySettings(sites=files, grid=folder / "grid.yaml", data_dir=folder / "d")
    station = Station.__new__(Station)
    station.settings = lambda: settings  # type: ignore[method-assign] # the files of the two sites
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        gateway = await enter(open_gateway(settings, EmbeddedSettings(), MqttSettings(port=port)))
        world = World(gateway, await enter(serving(station)), stack)
        for role in ROLES:
            await world.own.ask("user.set_password", name=role, password_hash=HASH)
        # One stays an administrator for everything, whatever becomes of the others.
        fields = {"name": "chief", "role": "administrator", "password_hash": HASH}
        await world.own.ask("user.create", **fields)
        # Of another area: not even their names are told here.
        fields |= {"name": f"{e.MARK}-keeper", "role": "maintainer", "area": e.AREAS[e.FOREIGN]}
        await world.own.ask("user.create", **fields)
        yield world


@pytest.fixture
async def world(tmp_path: Path, free_port: int) -> AsyncIterator[World]:
    """The two sites."""
    async with open_world(tmp_path, free_port) as made:
        yield made


async def ask(client: httpx.AsyncClient, known: e.Known, method: str, route: APIRoute) -> httpx.Response:
    """Ask a route about the objects of one site, with a valid body."""
    path = await known.fill(route.path) if route.path not in e.FREE else route.path
    if method in SAFE:
        query = await known.fill_all(e.QUERIES.get(route.path, {}))
        narrow = {q.alias: e.NARROWING[q.alias] for q in route.dependant.query_params if q.alias in e.NARROWING}
        return await client.get(path, params=query | await known.fill_all(narrow))
    if route.path in e.TABLES:
        table = await known.fill(e.TABLES[route.path])
        return await client.request(method, path, files={"file": ("people.csv", table.encode(), "text/csv")})
    body = await known.fill_all(e.BODIES.get((method, route.path), {}))
    if route.path.startswith("/api/"):
        return await client.request(method, path, json=body)
    return await client.request(method, path, data=body)


def is_in_path(route: APIRoute) -> bool:
    """Whether the path names something that belongs to a site."""
    return any(name in e.MAKERS and name not in ("device", "item", "spot") for name in e.names_in(route.path))


def is_of_a_site(method: str, route: APIRoute) -> bool:
    """Whether a route names something that belongs to a site, so that one of another area must not be there."""
    if route.path in e.FREE or route.path in e.TABLES:
        return False
    return is_in_path(route) or any(name in text for text in given(method, route) for name in ("{site}", "_id}"))


def given(method: str, route: APIRoute) -> list[str]:
    """Every text of the body or query a route is asked with."""
    found, rest = [], [e.QUERIES.get(route.path, {}) if method in SAFE else e.BODIES.get((method, route.path), {})]
    while rest:
        value = rest.pop()
        rest += list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        found += [value] if isinstance(value, str) else []
    return found


def outcome(answer: httpx.Response) -> tuple[int, str | None]:
    """What an answer tells beside its text."""
    return answer.status_code, answer.headers.get("location")


@pytest.mark.parametrize("role", ["nobody", *ROLES, WALL, TOKEN])
async def test_each_role_may_call_exactly_what_the_table_says(world: World, role: str) -> None:
    """401 or the way to the sign-in without one, 403 without the role; else neither."""
    client, wrong = await world.client(None if role == "nobody" else role), []
    for method, route in e.every_route():
        roles = ROUTES[method, route.path]
        path = route.path.replace("{rule_id}", "none").replace("{kind}", "csv")
        for name in e.names_in(path):
            path = path.replace(f"{{{name}}}", "999999")
        status = (await client.request(method, path)).status_code
        if roles is ANYONE:  # a password was not given; a token may ask, and be told that it only reads
            fits = status not in (401, 403) or (status, path) == (401, "/sign-in") or role == TOKEN
        elif role == TOKEN and (method not in SAFE or path.startswith(IN_PERSON)):
            fits = status == 403
        elif role == "nobody":
            fits = status == (401 if path.startswith("/api/") else 303)
        elif ("duty" if role == TOKEN else role) in roles:
            fits = status not in (401, 403)
        else:
            fits = status == 403
        if not fits:
            wrong.append((method, route.path, status))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("role", ROLES)
async def test_objects_of_another_area_are_not_there_whoever_asks(world: World, role: str) -> None:
    """A user of one area: 404 for every object elsewhere, and nothing of it in any page, list or answer."""
    whole = await world.client(role)
    routes = [
        (method, route)
        for method, route in e.every_route()
        if ROUTES[method, route.path] is not ANYONE and role in ROUTES[method, route.path]
    ]
    assert [said for method, route in routes if (said := e.lacking(route, method))] == []
    wrong: list[Any] = []
    for method, route in routes:  # both exist, and who is for everything reads them
        if method in SAFE and role == "administrator":
            for known in (world.own, world.foreign):
                answer = await ask(whole, known, method, route)
                if answer.status_code not in (200, 303) and route.path not in e.FREE and "{token}" not in route.path:
                    wrong.append(("everything", known.site, route.path, answer.status_code))
    await world.own.ask("user.set_area", name=role, area=e.AREAS[e.OWN])
    client = await world.client(role)
    for method, route in routes:
        answer = await ask(client, world.foreign, method, route)
        fits = answer.status_code == 404 or not is_of_a_site(method, route)
        if not fits and (not is_in_path(route) or route.path in e.SAME_AS_NONE):
            never = await ask(client, world.nothing, method, route)
            fits = outcome(never) == outcome(answer) and (answer.status_code == 422 or route.path in e.SAME_AS_NONE)
        if not fits:
            wrong.append(("foreign", method, route.path, answer.status_code, answer.text[:300]))
        wrong += [("told", method, route.path, line) for line in about(answer.text, e.MARK)]
        if method in SAFE:
            answer = await ask(client, world.own, method, route)
            if role != "administrator":
                wrong += [("whole number", route.path, line) for line in about(answer.text, e.PHONE)]
            if route.path in ALL_AREAS:
                wrong += [] if answer.status_code == 404 else [("all areas", route.path, answer.status_code)]
            elif answer.status_code not in (200, 303) and route.path not in e.FREE and "{token}" not in route.path:
                wrong.append(("own", route.path, answer.status_code))
            if route.path not in e.TELLS_NEIGHBOURS:
                found = [*about(answer.text, e.MARK), *about(answer.text, e.FOREIGN)]
                wrong += [("told with own", route.path, line) for line in found]
    assert not wrong, "\n".join(map(str, wrong))


def about(text: str, word: str) -> list[str]:
    """Where a word stands in an answer."""
    at = text.find(word)
    return [] if at < 0 else [text[max(0, at - 120) : at + 80]]
