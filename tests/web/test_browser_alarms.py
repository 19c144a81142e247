"""Chromium on what people do with alarms: shelf, drill, notes, folded episodes, receipts, proof of the path."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.async_api import Route, expect

from tests.web.station import Browser, Station, now_ms, serving
from tests.web.test_browser import WAIT_MS, _page, _sign_in, _until
from tests.web.tongue import IN_BOTH, Tongue

POINT = "shuiye/hydrant-01/pressure_kpa"


async def test_a_shelved_alarm_shows_until_when_on_every_page(station: Station) -> None:
    """Put away with one click and a reason; alarm, list and board say until when, and who may take it off again."""
    station.user("duty")
    alarm = station.alarm("water-level-low", "shuiye/tank-01/level_m", "critical")
    async with station.gateway(), serving(station) as address, _page(address, "en-GB") as page:
        await _sign_in(page, "duty")
        await page.goto(f"{address}/alarms/{alarm}")
        await page.locator("#act-shelve summary").click()
        await page.locator("#act-shelve").get_by_role("button", name="2 h").click()
        assert await page.locator(".hold-line").count() == 0  # a reason is needed, the browser says so
        await page.fill("#shelve-reason", "tank is being cleaned")
        await page.locator("#act-shelve").get_by_role("button", name="2 h").click()
        hold = page.locator(".hold-line")
        await expect(hold).to_contain_text("Shelved", timeout=WAIT_MS)
        await expect(hold).to_contain_text("tank is being cleaned")
        until = await hold.locator("time").inner_text()
        await page.goto(address)
        held = page.locator(".held-list .alarm")
        await expect(held).to_contain_text(until)
        await page.goto(f"{address}/alarms?show=held")
        await expect(page.locator(".still")).to_contain_text(until)
        await page.get_by_role("button", name="Take off the shelf").click()
        await expect(page.locator(".still")).to_have_count(0, timeout=WAIT_MS)


@IN_BOTH
async def test_a_drill_frames_the_board_until_it_ends(say: Tongue, station: Station) -> None:
    """The frame and the words come by themselves, each alarm of it says TEST, nothing sounds; the end takes it away."""
    station.user("maintainer")
    async with station.gateway(), serving(station) as address, _page(address, say.locale) as page:
        await _sign_in(page, "maintainer")
        await page.goto(f"{address}/drills")
        await page.locator(f'.scope-row:has-text("{say("火灾报警控制器", "Fire alarm panel")}") input').check()
        await page.fill("[name=reason]", "季度测试")
        await page.get_by_role("button", name=say("立即开始演练", "Begin the drill now")).click()
        await page.wait_for_url("**/drills")
        await page.goto(address)
        board = page.locator("#live")
        await expect(page.locator(".drill-banner")).to_contain_text(say("演练进行中", "DRILL"))
        assert await board.evaluate("e => parseFloat(getComputedStyle(e).borderTopWidth)") >= 5
        alarm = station.alarm("panel-fire", "shuiye/panel-01/p003", "fire")
        station.acts.spoke(1, alarm)
        await expect(page.locator(".tests .alarm")).to_contain_text(say("测试", "TEST"), timeout=WAIT_MS)
        await expect(page.locator(".fire")).to_have_count(0, timeout=WAIT_MS)
        assert await page.evaluate("document.body.dataset.siren") == "[]"
        await page.goto(f"{address}/drills/1")
        await expect(page.locator(".coverage .spoke")).to_have_count(1)
        station.acts.spoke(1, station.alarm("panel-fire", "shuiye/panel-01/p004", "fire"))
        await expect(page.locator(".coverage .spoke")).to_have_count(2, timeout=WAIT_MS)
        await page.get_by_role("button", name=say("结束演练", "End the drill")).click()
        await expect(page.locator(".drill-banner")).to_have_count(0, timeout=WAIT_MS)
        await page.goto(address)
        await expect(page.locator(".drill-banner")).to_have_count(0)
        await expect(page.locator(".fire").first).to_be_visible()  # what still stands is real


async def test_an_alarm_is_assigned_noted_and_found_while_it_changes(station: Station) -> None:
    """What somebody has begun to write outlives the redraws of a flapping alarm; ticks stay in the browser."""
    station.user("duty")
    station.user("maintainer")
    alarm = station.alarm("hydrant-pressure-low", POINT, "warning", value=120.0)
    async with station.gateway(), serving(station) as address, _page(address, "en-GB") as page:
        await _sign_in(page, "duty")
        await page.goto(f"{address}/alarms/{alarm}")
        kept = asyncio.Event()

        async def slow(route: Route) -> None:
            await kept.wait()
            await route.continue_()

        await page.route("**/advice", slow)
        await page.locator("[data-tick]").first.check()
        await page.locator("#act-find summary").click()
        await page.get_by_label("false alarm").check()
        await page.locator("#act-note summary").click()
        await page.fill("#note-note", "works in the street")
        await page.locator("h1").click()  # leaves the field
        async with page.expect_response("**/advice"):  # the answer to the tick redraws the page
            kept.set()
        await expect(page.locator("[data-tick]:not([disabled])").first).to_be_checked()
        await expect(page.locator("#note-note")).to_be_visible()
        await expect(page.get_by_label("false alarm")).to_be_checked()
        station.acts.change(alarm, "flap", count=4, inputs={"count": 4})
        await expect(page.locator(".tag").first).to_contain_text("4 times", timeout=WAIT_MS)
        await expect(page.locator("#note-note")).to_have_value("works in the street")
        await expect(page.locator("[data-tick]").first).to_be_checked()
        await page.locator("#act-note").get_by_role("button", name="Save").click()
        await expect(page.locator(".steps")).to_contain_text("works in the street", timeout=WAIT_MS)
        await expect(page.locator("#note-note")).to_have_value("")
        await page.locator("#act-assign summary").click()
        await page.select_option("#assign-person", "maintainer")
        await page.get_by_role("button", name="Assign", exact=True).click()
        await expect(page.locator(".assigned")).to_contain_text("maintainer", timeout=WAIT_MS)
        await expect(page.get_by_label("false alarm")).to_be_checked()  # though two other forms were sent since
        await page.locator("#act-find").get_by_role("button", name="Save").click()
        await expect(page.locator("#act-find summary")).to_contain_text("false alarm", timeout=WAIT_MS)
        await page.reload()
        await expect(page.locator("[data-tick]").first).to_be_checked()


async def test_a_dozen_episodes_are_one_row_and_one_click(station: Station) -> None:
    """On the board as in the list; the board is empty afterwards."""
    station.user("duty")
    for n in range(12):
        station.alarm("panel-fault", "shuiye/panel-01/p003", "warning", ago_s=n * 60, cleared=True)
    async with station.gateway(), serving(station) as address, _page(address, "en-GB") as page:
        await _sign_in(page, "duty")
        await expect(page.locator(".alarm-list .alarm")).to_have_count(1)
        await page.goto(f"{address}/alarms")
        await page.locator(".fold summary").click()
        await expect(page.locator(".fold li")).to_have_count(11)
        await page.goto(address)
        await page.get_by_role("button", name="Acknowledge all 12").click()
        await expect(page.locator(".alarm-list .alarm")).to_have_count(0, timeout=WAIT_MS)


async def test_a_message_is_confirmed_on_a_phone_without_an_account(station: Station) -> None:
    """One button; the page has no script and leads nowhere else."""
    station.tokens.add("7.tknv5c.AAAAAAAAAAAAAAAAAAAAAA")
    phone: Any = {"viewport": {"width": 390, "height": 844}}
    async with station.gateway(), serving(station) as address, _page(address, **phone) as page:
        await page.goto(f"{address}/r/7.tknv5c.AAAAAAAAAAAAAAAAAAAAAA")
        assert await page.locator("script").count() == 0
        await page.get_by_role("button", name="我已看到").click()
        await expect(page.locator(".receipt")).to_contain_text("已记录")
        assert [ask.args for ask in station.asked if ask.op == "notice.receipt"] == [
            {"token": "7.tknv5c.AAAAAAAAAAAAAAAAAAAAAA"}
        ]


async def test_a_screen_proves_the_path_only_when_its_sound_is_unlocked(station: Station) -> None:
    """A silent screen gives no receipt; after the click it gives one for each test."""
    station.user("duty")

    def receipts() -> list[object]:
        return [ask.args["token"] for ask in station.asked if ask.op == "path.receipt"]

    async with station.gateway(), serving(station) as address, _page(address, "en-GB") as page:
        await _sign_in(page, "duty")
        station._tell("proof", {"token": "silent-screen", "channel": "screen", "at_ms": now_ms()})
        station._tell("proof", {"target": "agent/shuiye/edge1", "state": "proven", "hop": "", "proven_ms": now_ms()})
        # The row came after the test: when it is drawn, the test has been and gone.
        await expect(page.locator(".proof")).to_contain_text("Alarm path proven", timeout=WAIT_MS)
        assert receipts() == []
        await page.locator("[data-sound]").click()
        await expect(page.locator("[data-sound]")).to_have_attribute("aria-pressed", "true")
        station._tell("proof", {"token": "heard-screen", "channel": "screen", "at_ms": now_ms()})
        async with asyncio.timeout(WAIT_MS / 1000):
            while receipts() != ["heard-screen"]:
                await asyncio.sleep(0.02)


async def test_no_new_page_is_wider_than_its_screen(station: Station) -> None:
    """From phone to wall."""
    station.user("administrator")
    alarm = station.alarm("hydrant-pressure-low", POINT, "warning", value=120.0)
    async with station.gateway(), serving(station) as address, _page(address, "en-GB") as page:
        async with Browser(address) as browser:
            await browser.sign_in("administrator")
            page_ = f"/alarms/{alarm}"
            await browser.submit(page_, f"{page_}/shelve", minutes="30", reason="a reason " * 20)
        station.acts._drill_open("maintainer", "shuiye", ["panel-01"], now_ms() + 60_000, "walk test " * 10)
        await _sign_in(page, "administrator")
        paths = ("/", page_, "/alarms?show=held", "/drills", "/drills/1", "/maintenance", "/quality", "/notifications",
                 "/rules", "/rules/hydrant-pressure-low")  # fmt: skip
        for path in paths:
            await page.goto(address + path)
            for width in (360, 768, 1366):
                await page.set_viewport_size({"width": width, "height": 900})
                await _until(page, "document.documentElement.scrollWidth <= innerWidth")
