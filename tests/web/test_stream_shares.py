"""Live streams are shared fairly: nobody takes them all, and the duty desk finds one that is kept for it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.settings import WebSettings
from gateway.web.stream import Hub
from gateway.web.stream_shares import ACCOUNT, FULL, KEPT, SESSION, Listener, No, Shares
from tests.web.station import Browser, Station, now_ms, serving

SMALL: dict[str, Any] = {
    "stream_clients": 6,
    "stream_clients_session": 3,
    "stream_clients_account": 4,
    "stream_clients_desk": 2,
}
STREAM = "/api/v1/stream?device="


async def _open(stack: AsyncExitStack, browser: Browser, *, status: int = 200) -> dict[str, Any]:
    """Open a stream and leave it open; what is told when it is refused."""
    answer = await stack.enter_async_context(browser.stream("GET", STREAM))
    assert answer.status_code == status, await answer.aread()
    if status == 200:
        chunks = answer.aiter_bytes()
        stack.push_async_callback(chunks.aclose)  # type: ignore[attr-defined] # an async generator; let go of, it closes
        assert (await anext(chunks)).startswith(b"retry:")
        return {}
    assert answer.headers["retry-after"] == "2"
    await answer.aread()
    told: dict[str, Any] = answer.json()
    return told


async def test_nobody_takes_all_streams_when_tabs_are_opened_and_the_desk_finds_one(station: Station) -> None:
    """A session, an account, all others together have their share; a wall and the desk get what is kept for them."""
    for role in ("duty", "maintainer", "inspector", "administrator"):
        station.user(role)
    async with (
        station.gateway(),
        serving(station, WebSettings(port=0, **SMALL)) as address,
        AsyncExitStack() as stack,
    ):

        async def signed_in(name: str) -> Browser:
            browser = await stack.enter_async_context(Browser(address))
            await browser.sign_in(name)
            return browser

        tabs, again, other = await signed_in("maintainer"), await signed_in("maintainer"), await signed_in("inspector")
        desk = await signed_in("duty")
        for _ in range(3):
            await _open(stack, tabs)
        told = await _open(stack, tabs, status=429)
        assert (told["type"], told["detail"]) == ("urn:weizhan:problem:too-many", SESSION)
        await _open(stack, again)
        assert (await _open(stack, again, status=429))["detail"] == ACCOUNT
        told = await _open(stack, other, status=503)
        assert (told["type"], told["detail"]) == ("urn:weizhan:problem:unavailable", KEPT)
        beat = (await other.get("/api/v1/heartbeat")).json()
        assert (beat["connected"], beat["refused"], beat["fires"]) == (True, KEPT, [])
        fire = station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        async with asyncio.timeout(10):
            while (await other.get("/api/v1/heartbeat")).json()["fires"] != [fire]:
                await asyncio.sleep(0.02)
        assert (await desk.get("/api/v1/heartbeat")).json()["refused"] is None
        for _ in range(2):
            await _open(stack, desk)
        assert (await _open(stack, desk, status=503))["detail"] == FULL
        assert (await desk.get("/api/v1/status")).json()["screens"] == 6


def test_a_place_is_free_again_when_a_stream_ends_and_one_that_slipped_in_is_ended() -> None:
    """Those asked in the same instant are counted again as they begin."""

    async def play() -> None:
        hub = Hub(Shares(2), now_ms)
        first, second, third = (hub.follow("") for _ in range(3))
        await anext(first)
        await anext(second)
        assert [frame async for frame in third] == []
        assert hub.refusal(Listener()) == No(503, FULL)
        await first.aclose()  # type: ignore[attr-defined] # an async generator
        assert hub.refusal(Listener()) is None
        await second.aclose()  # type: ignore[attr-defined] # an async generator

    asyncio.run(play())


people = st.builds(Listener, st.sampled_from("abcdef"), st.sampled_from(["", "wang", "li", "zhao"]), st.booleans())


@given(st.lists(people, max_size=60), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(0, 20))
def test_shares_hold_when_anybody_comes_in_any_order(
    coming: list[Listener], clients: int, session: int, account: int, kept: int
) -> None:
    """Never more than all, than a session's, than an account's; never so many strangers that a kept place is gone."""
    shares, there = Shares(clients, session, account, kept), []
    for who in coming:
        if shares.refusal(who, there) is None:
            there.append(who)
    assert len(there) <= clients
    assert max((sum(each.key == key for each in there) for key in "abcdef"), default=0) <= session
    assert max((sum(each.account == name for each in there) for name in ("wang", "li", "zhao")), default=0) <= account
    assert sum(not each.desk for each in there) <= clients - min(kept, clients // 2)
