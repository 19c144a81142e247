"""Chromium on a board that loses what feeds it: network, server, session, time; and a newer version of itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from gateway.web.settings import WebSettings
from tests.web.board_screens import PHONE, Cut, Screens, open_screens, until
from tests.web.station import serving
from tests.web.test_browser import WAIT_MS, _until

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOLD_S = 5.0
"""A lost connection is shown within this time."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Screens]:
    """One station and one Chromium for all stories here."""
    async with open_screens(tmp_path_factory.mktemp("l") / "s") as made:
        yield made


@pytest.fixture
def screens(shared: Screens) -> Screens:
    """The same, calm."""
    shared.calm()
    return shared


async def test_a_network_that_hangs_is_told_within_five_seconds_and_mends_by_itself(screens: Screens) -> None:
    """Not closed, only silent: no error reaches the browser. What came meanwhile is there afterwards."""
    cut = Cut(int(screens.address.rpartition(":")[2]))
    async with cut.open() as address, screens.screen(address=address, **PHONE) as page:
        banner = page.locator("[data-banner]")
        await expect(banner).to_be_hidden()
        await _until(page, "!document.body.classList.contains('lost')")
        cut.passes.clear()
        began = time.monotonic()
        await expect(banner).to_be_visible(timeout=WAIT_MS)
        assert time.monotonic() - began < TOLD_S + 0.5  # half a second for asking from here
        await expect(banner).to_contain_text("与服务器")
        screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        cut.passes.set()
        await expect(banner).to_be_hidden(timeout=WAIT_MS)
        await expect(page.locator(".fire")).to_contain_text("点位 12", timeout=WAIT_MS)


async def test_gateway_and_pages_started_again_under_an_open_board_need_nobody(
    screens: Screens, free_port: int
) -> None:
    """The same page, never loaded by hand, shows what happened while its server was away."""
    settings = WebSettings(port=free_port)
    server = serving(screens.station, settings)
    address = await server.__aenter__()
    try:
        async with screens.screen(address=address, language="en-GB") as page:
            await page.evaluate("window.same = true")
            await expect(page.locator(".fire")).to_have_count(0)
            await server.__aexit__(None, None, None)
            await expect(page.locator("[data-banner]")).to_be_visible(timeout=WAIT_MS)
            screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
            server = serving(screens.station, settings)
            await server.__aenter__()
            await expect(page.locator(".fire")).to_contain_text("Point 12", timeout=WAIT_MS)
            await expect(page.locator("[data-banner]")).to_be_hidden(timeout=WAIT_MS)
            assert await page.evaluate("window.same") is True
    finally:
        await server.__aexit__(None, None, None)


async def test_a_newer_version_loads_itself_when_nothing_is_being_written(screens: Screens) -> None:
    """Half a sentence is worth more than a new script; once it is gone the page loads itself, and only once."""

    async def older(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=(await answer.text()).replace('data-version="', 'data-version="0'))

    async with screens.screen("/alarms", language="en-GB") as page:
        loads: list[str] = []
        page.on("framenavigated", lambda frame: loads.append(frame.url))
        await page.route("**/alarms", older)
        await page.goto(f"{screens.address}/alarms")
        await page.unroute("**/alarms")
        await page.locator("[name=text]").fill("valve")
        beats = "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/alarms')).length"
        await page.evaluate("window.same = true")
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 3)  # longer than a heartbeat
        assert await page.evaluate("window.same") is True
        assert await page.evaluate(beats) >= 0
        await page.locator("[name=text]").fill("")
        await until(lambda: len(loads) == 2)
        await page.wait_for_load_state()
        assert not (await page.locator("body").get_attribute("data-version") or "0").startswith("0" * 2)


async def test_a_page_that_slept_looks_anew_and_tells_ages_by_the_servers_clock(screens: Screens) -> None:
    """The machine's clock jumps by an hour, as after sleep: the board is drawn again and no age is an hour more."""
    async with screens.screen(language="en-GB") as page:
        asked: list[str] = []
        page.on("request", lambda r: asked.append(r.url) if r.headers.get("hx-request") else None)
        await page.evaluate("() => { const real = Date.now; Date.now = () => real.call(Date) + 3600_000; }")
        await until(lambda: f"{screens.address}/" in asked)
        await expect(page.locator("[data-banner]")).to_be_hidden(timeout=WAIT_MS)
        ages = "[...document.querySelectorAll('[data-ago]')].filter((e) => / h ago/.test(e.textContent)).length"
        await _until(page, f"{ages} === 0")


async def test_a_board_whose_session_is_over_goes_to_the_sign_in(screens: Screens) -> None:
    """Signed out elsewhere: a board that only looked lost would leave the desk blind."""
    async with screens.screen() as page:
        await page.evaluate(
            """async () => {
                const { "X-CSRF-Token": csrf } = JSON.parse(document.body.getAttribute("hx-headers"));
                await fetch("/sign-out", { method: "POST", headers: { "X-CSRF-Token": csrf }, redirect: "manual" });
            }"""
        )
        await page.wait_for_url("**/sign-in*", timeout=2 * WAIT_MS)


async def test_a_board_without_a_stream_says_why_and_goes_on_by_asking(screens: Screens) -> None:
    """Every live stream is taken: it is not called lost, a fire is shown and marked, and a free stream is taken."""
    settings = WebSettings(port=0, stream_clients=1)
    async with serving(screens.station, settings) as address, AsyncExitStack() as first:
        other = await first.enter_async_context(screens.screen("/alarms", "maintainer", address=address))
        await _until(other, "(async () => (await (await fetch('/api/v1/heartbeat')).json()).refused !== null)()")
        async with screens.screen(address=address, **PHONE) as page:
            banner = page.locator("[data-banner]")
            await expect(banner).to_contain_text("打开的屏幕过多", timeout=WAIT_MS)
            await expect(banner).to_contain_text("每两秒")
            await page.evaluate("window.same = true")
            screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
            await expect(page.locator(".fire")).to_contain_text("点位 12", timeout=WAIT_MS)
            await _until(page, "document.querySelector('[data-icon]').href.includes('fire')")
            began = time.monotonic()
            await until(lambda: time.monotonic() - began > TOLD_S + 1)  # longer than it takes to call it lost
            assert await page.evaluate("document.body.classList.contains('lost')") is False
            await expect(banner).to_be_visible()
            await first.aclose()
            await expect(banner).to_be_hidden(timeout=WAIT_MS)
            assert await page.evaluate("window.same") is True


async def test_a_tick_that_was_not_kept_is_taken_back_on_the_screen(screens: Screens) -> None:
    """The server answers nothing: nobody may believe that the step is written down."""
    alarm = screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    async with screens.screen(language="en-GB") as page:
        await page.route("**/advice", _refuse)
        await page.locator(f"#tick-{alarm}-0").click()
        await expect(page.locator(".toast")).to_contain_text("could not be saved", timeout=WAIT_MS)
        await expect(page.locator(f"#tick-{alarm}-0")).not_to_be_checked()


async def _refuse(route: Any) -> None:
    await route.abort()
