"""Who is let in without a password: browsers, tokens, wall displays; when it ends, and what of theirs ends with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.web.access import new_token, token_hash
from gateway.web.settings import WebSettings
from tests.web.station import HOUR_MS, Browser, Station, now_ms, serving

CLOSED_S = 5.0
"""A stream of a session that was ended is closed within this."""


def let_in(station: Station, user: str, kind: str = "browser", **columns: Any) -> str:
    """A session, token or wall display in the ledger; gives its token."""
    token = new_token()
    row = {"token_hash": token_hash(token), "user": user, "created_ms": now_ms(), "expires_ms": now_ms() + HOUR_MS}
    row |= {"kind": kind, "used_ms": now_ms(), **columns}
    query = f"INSERT INTO session ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    station.db.execute(query, tuple(row.values()))
    return token


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_is_let_in_by_its_header_without_cookie_and_csrf_and_by_nothing_else(station: Station) -> None:
    """In an address or a cookie it is worth nothing; a made-up one is refused as such."""
    station.user("duty")
    alarm = station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    token = let_in(station, "duty", "token", name="script", role="duty")
    async with station.gateway(), serving(station) as address, Browser(address) as client:
        answer = await client.get("/api/v1/session", headers=bearer(token))
        assert (answer.json()["name"], answer.json()["token"]) == ("duty", "script")
        assert "set-cookie" not in answer.headers
        for wrong in ("x" * 43, "-", token + "x"):
            answer = await client.get("/api/v1/session", headers=bearer(wrong))
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert (await client.get(f"/api/v1/session?token={token}&access_token={token}")).status_code == 401
        client.cookies.set("weizhan", token)
        assert (await client.get("/api/v1/session")).status_code == 401
        client.cookies.clear()
        path = f"/api/v1/alarms/{alarm}/acknowledge"
        assert (await client.post(path, json={"note": "seen"}, headers=bearer(token))).status_code == 200
        (ask,) = [ask for ask in station.asked if ask.op == "alarm.acknowledge"]
        assert (ask.actor, ask.via) == ("duty", "script")


async def test_a_browsers_session_in_the_header_is_no_token(station: Station) -> None:
    """What was stolen from a cookie does not get round the check of forged forms."""
    station.user("duty")
    token = let_in(station, "duty")
    async with station.gateway(), serving(station) as address, Browser(address) as client:
        assert (await client.get("/api/v1/session", headers=bearer(token))).status_code == 401


async def test_a_token_that_only_reads_changes_nothing_and_none_administers(station: Station) -> None:
    """Reading goes; every change is refused, and so are accounts, passwords and further tokens to any token."""
    station.user("administrator")
    token = let_in(station, "administrator", "token", role="administrator", read_only=1)
    async with station.gateway(), serving(station) as address, Browser(address) as client:
        assert (await client.get("/api/v1/alarms", headers=bearer(token))).status_code == 200
        assert (await client.post("/api/v1/drills", json={}, headers=bearer(token))).status_code == 403
        station.db.execute("UPDATE session SET read_only = 0")
        assert (await client.post("/api/v1/drills", json={}, headers=bearer(token))).status_code == 422
        assert (await client.post("/sign-out", headers=bearer(token))).status_code == 403


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("UPDATE session SET role = 'inspector'", 401),  # the person is another now
        ("UPDATE session SET area = 'nowhere'", 200),  # of an area that is gone: sees nothing
        ("UPDATE user SET disabled_ms = 1", 401),
        ("UPDATE user SET one_time_until_ms = 1", 401),
        ("UPDATE session SET expires_ms = 1", 401),
        ("DELETE FROM session", 401),
        ("UPDATE session SET area = 'site:shuiye'", 200),
    ],
)
async def test_a_token_ends_with_what_it_rests_on(station: Station, change: str, status: int) -> None:
    """Account switched off or reset, role taken away, time over, revoked: at the next request."""
    station.user("duty")
    token = let_in(station, "duty", "token", role="duty")
    async with station.gateway(), serving(station) as address, Browser(address) as client:
        assert (await client.get("/api/v1/sites", headers=bearer(token))).status_code == 200
        station.db.execute(change)
        answer = await client.get("/api/v1/sites", headers=bearer(token))
        assert answer.status_code == status
        if status == 200:
            assert ("shuiye" in answer.text) is ("site:shuiye" in change)


async def test_a_wall_display_reads_the_board_and_the_stream_and_nothing_else(station: Station) -> None:
    """Its session opens what is listed for it; it cannot even sign itself out."""
    station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    token = let_in(station, "", "wall", name="Hall", area="site:shuiye", read_only=1)
    async with station.gateway(), serving(station) as address, Browser(address) as wall:
        wall.cookies.set("weizhan", token)
        page = await wall.get("/")
        assert (page.status_code, "Fire alarm" in page.text) == (200, True)
        for path in ("/devices", "/alarms", "/people", "/api/v1/alarms", "/api/v1/session", "/shift"):
            assert (await wall.get(path)).status_code == 403, path
        csrf = {"X-CSRF-Token": page.text.split('X-CSRF-Token":"')[1].split('"')[0]}
        assert (await wall.post("/sign-out", headers=csrf)).status_code == 403
        async with wall.stream("GET", "/api/v1/stream") as stream:
            assert stream.status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM session",
        "UPDATE user SET disabled_ms = 1",
        "UPDATE user SET role = 'inspector'",
        "UPDATE user SET area = 'elsewhere'",
        "UPDATE session SET expires_ms = 1",
    ],
)
async def test_an_open_stream_is_closed_within_five_seconds_when_its_session_is_another(
    station: Station, change: str
) -> None:
    """Ended, switched off, another role or area, time over: whoever listened is told nothing further."""
    station.user("duty")
    token = let_in(station, "duty")
    async with station.gateway(), serving(station) as address, Browser(address) as client:
        client.cookies.set("weizhan", token)
        async with client.stream("GET", "/api/v1/stream") as stream:
            chunks = stream.aiter_bytes()
            await anext(chunks)
            station.db.execute(change)
            async with asyncio.timeout(CLOSED_S):
                async for _ in chunks:
                    pass


async def test_a_page_of_another_site_cannot_listen_although_the_browser_sends_the_cookie(station: Station) -> None:
    """Said by the browser (Sec-Fetch-Site) or by the origin; a page of our own, or no browser, may."""
    station.user("duty")
    token = let_in(station, "duty")
    async with station.gateway(), serving(station) as address, Browser(address) as client:
        client.cookies.set("weizhan", token)
        own = {"Origin": address, "Sec-Fetch-Site": "same-origin"}
        for headers, status in (
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            (own, 200),
            ({}, 200),
        ):
            async with client.stream("GET", "/api/v1/stream", headers=headers) as stream:
                assert stream.status_code == status, headers
        answer = await client.get("/api/v1/status", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers


async def test_a_session_that_nobody_used_ends_and_a_manned_desk_does_not(station: Station) -> None:
    """Idle for longer than the setting: over, however long it might last; the page's own refreshing is no use."""
    station.user("maintainer")
    token = let_in(station, "maintainer", created_ms=now_ms() - 2 * HOUR_MS, used_ms=now_ms() - HOUR_MS // 2 - 1)
    settings = WebSettings(port=0, idle_minutes=30)
    async with station.gateway(), serving(station, settings) as address, Browser(address) as client:
        client.cookies.set("weizhan", token)
        assert (await client.get("/api/v1/session")).status_code == 401
        token = let_in(station, "maintainer", created_ms=0, used_ms=now_ms() - HOUR_MS // 2 + 1_500)
        client.cookies.set("weizhan", token)
        assert (await client.get("/", headers={"HX-Request": "true"})).status_code == 200  # as long as it lasts
        async with asyncio.timeout(20):
            while (await client.get("/", headers={"HX-Request": "true"})).status_code == 200:
                await client.get("/api/v1/heartbeat")  # what a page without a stream asks for by itself
                await asyncio.sleep(0.1)
