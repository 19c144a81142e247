"""Who may call what: the table is the whole truth."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount

from gateway.history import open_history
from gateway.history.settings import EmbeddedSettings
from gateway.web.access import ROUTES
from gateway.web.app import create_app, load_inventory
from gateway.web.settings import WebSettings
from tests.web.examples import every_route, lacking
from tests.web.station import Browser, Station, serving

POLICY = {
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
}


def _app(station: Station) -> FastAPI:
    history = open_history(EmbeddedSettings(kind="embedded"), station.data_dir, read_only=True)
    return create_app(WebSettings(), load_inventory(station.settings()), station.data_dir, history)


def _routes(routes: list[object]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for route in routes:
        if isinstance(route, APIRoute):
            found |= {(method, route.path) for method in route.methods}
        elif isinstance(route, Mount):
            assert route.path == "/static"
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "router", None)
            assert inner is not None, route
            found |= _routes(inner.routes)
    return found


def test_every_route_stands_in_the_table_and_the_table_names_no_other(station: Station) -> None:
    """A route that nobody listed fails here, and is refused at run time as well."""
    assert _routes(list(_app(station).routes)) == set(ROUTES)


def test_every_route_can_be_asked_about_both_areas_by_the_matrix() -> None:
    """What test_matrix.py needs to ask a route stands in examples.py; this says what is missing."""
    assert [said for method, route in every_route() if (said := lacking(route, method))] == []


RIGHTS = {
    "acknowledge": ("duty", "administrator"),
    "assign note find shelve unshelve": ("duty", "maintainer", "administrator"),
    "take-out return drills maintenance close work approve": ("maintainer", "administrator"),
    "path-receipt answer": ("duty", "administrator"),
}


def test_a_role_may_change_what_its_work_is_and_an_inspector_nothing() -> None:
    """The table again in words, so that a slip in it is seen."""
    for words, roles in RIGHTS.items():
        for word in words.split():
            found = {may for (method, path), may in ROUTES.items() if method == "POST" and path.endswith("/" + word)}
            assert found == {frozenset(roles)}, word
    changing = {path for (method, path), may in ROUTES.items() if method == "POST" and "inspector" in may}
    own = {path for path in changing if path.startswith("/account/")}  # what is their own
    exports = {
        "/records/check",
        "/records/exports",
        "/records/exports/{job_id}/drop",
        "/api/v1/exports",
    }  # which change nothing
    assert changing - own == {"/sign-out"} | exports


async def test_a_route_outside_the_table_is_refused_to_everybody(station: Station) -> None:
    """Closed unless listed."""
    app = _app(station)

    @app.get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/forgotten")
    assert answer.status_code == 403
    assert "secret" not in answer.text


async def test_every_answer_carries_the_security_headers(station: Station) -> None:
    """Pages, errors, API and static files alike."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        for path in ("/", "/nowhere", "/api/v1/status", "/static/base.css", "/healthz"):
            headers = (await browser.get(path)).headers
            for name, value in POLICY.items():
                assert headers[name].startswith(value), (path, name)
            assert "unsafe" not in headers["content-security-policy"]


async def test_with_tls_everything_is_kept_to_tls_and_no_other_site_is_let_in(station: Station) -> None:
    """Strict transport, cookies tied to this host; no answer opens the API to pages of another site."""
    history = open_history(EmbeddedSettings(kind="embedded"), station.data_dir, read_only=True)
    settings = WebSettings(public_url="https://weizhan.example.cn")
    app = create_app(settings, load_inventory(station.settings()), station.data_dir, history)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://weizhan.example.cn") as client:
        answer = await client.get("/sign-in", headers={"Origin": "https://evil.example"})
        assert "max-age=" in answer.headers["strict-transport-security"]
        for cookie in answer.headers.get_list("set-cookie"):
            assert cookie.startswith("__Host-")
            assert all(word in cookie for word in ("Secure", "HttpOnly", "Path=/", "SameSite=lax"))
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        for path in ("/api/v1/alarms", "/sign-in"):
            preflight = await client.options(path, headers=asked)
            assert preflight.status_code in (403, 405)
            assert not [name for name in preflight.headers if name.startswith("access-control-")]


async def test_a_body_too_large_is_refused_announced_or_not(station: Station) -> None:
    """Before anybody is signed in, memory is not for strangers to fill."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x=" + b"y" * 1022

    form = {"content-type": "application/x-www-form-urlencoded"}
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        assert (await browser.post("/sign-in", data={"password": "x" * 70_000})).status_code == 413
        assert (await browser.post("/sign-in", content=endless(), headers=form)).status_code == 413
        assert (await browser.get("/healthz")).status_code == 200


def test_no_template_holds_a_script_or_style_of_its_own() -> None:
    """What the policy forbids stands in no page: inline script, style or handler, or an address elsewhere."""
    for path in (Path(__file__).parents[2] / "gateway" / "web" / "templates").glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|https?://", text), path.name
