"""What somebody wrote is not lost: not by a session that ended meanwhile, not by a refusal, signed in or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from gateway.ledger.secret import sign
from gateway.ledger.store import FILE
from gateway.web.ledger import WebLedger
from gateway.web.registers.report_desk import link_purpose
from gateway.web.settings import WebSettings
from tests.web.station import PASSWORD, Station, serving
from tests.web.test_browser import WAIT_MS, _page, _sign_in, _until

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
WORDS = "二楼安全出口被三轮车堵住，已拍照。"
LARGE = 9 * 1024 * 1024


async def sign_in_again(page: Page, name: str) -> None:
    """On the sign-in page that came instead of an answer."""
    await page.fill("[name=name]", name)
    await page.fill("[name=password]", PASSWORD)
    await page.keyboard.press("Enter")


async def test_a_hazard_that_was_written_while_the_session_ended_is_in_its_form_after_the_sign_in(
    station: Station,
) -> None:
    """Chinese: told that nothing was sent, signed in, on the same page with every word; sent once, by the person."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, _page(address) as page:
        await _sign_in(page, "duty")
        await page.goto(f"{address}/hazards/new")
        await page.locator("[name=text]").fill(WORDS)
        await page.locator("[name=place]").fill("二楼东侧")
        station.db.execute("DELETE FROM session")
        await page.locator("main form button").last.click()
        await expect(page.locator("[data-typed-kept]")).to_contain_text("没有发送")
        assert [ask for ask in station.asked if ask.op == "hazard.report"] == []
        await sign_in_again(page, "duty")
        await expect(page.locator("[name=text]")).to_have_value(WORDS)
        await expect(page.locator("[name=place]")).to_have_value("二楼东侧")
        await expect(page.locator(".said-typed")).to_contain_text("没有发送成功")
        await page.locator("main form button").last.click()
        async with asyncio.timeout(WAIT_MS / 1000):
            while not (asked := [ask for ask in station.asked if ask.op == "hazard.report"]):
                await asyncio.sleep(0.05)
        assert [(ask.actor, ask.args["text"]) for ask in asked] == [("duty", WORDS)]


async def test_what_one_person_wrote_is_not_shown_to_the_next_one_in_the_same_tab(station: Station) -> None:
    """English, on a phone: the session of one ends, another signs in; the form is empty and nothing is kept."""
    station.user("duty")
    station.user("maintainer")
    async with station.gateway(), serving(station) as address, _page(address, "en-GB", **PHONE) as page:
        await _sign_in(page, "duty")
        await page.goto(f"{address}/hazards/new")
        await page.locator("[name=text]").fill("for my own eyes")
        station.db.execute("DELETE FROM session")
        await page.locator("main form button").last.click()
        await expect(page.locator("[data-typed-kept]")).to_be_visible()
        await sign_in_again(page, "maintainer")
        await expect(page.locator("[name=text]")).to_have_value("")
        await _until(page, "sessionStorage.getItem('weizhan-typed') === null")


async def test_an_old_page_takes_what_was_written_along_when_its_person_signed_in_anew_elsewhere(
    station: Station,
) -> None:
    """English: the form is out of date; the way back leads to a fresh one with the words in it."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, _page(address, "en-GB") as page:
        await _sign_in(page, "duty")
        await page.goto(f"{address}/hazards/new")
        await page.locator("[name=text]").fill("stairs blocked")
        other = await page.context.new_page()
        await other.goto(address)
        await other.locator("details.menu summary").click()
        await other.get_by_role("button", name="Sign out").click()
        await sign_in_again(other, "duty")
        await expect(other.locator("#live")).to_be_visible()
        await page.locator("main form button").last.click()
        await expect(page.locator(".error-text")).to_contain_text("out of date")
        await page.locator("[data-back]").click()
        await expect(page.locator("[name=text]")).to_have_value("stairs blocked")
        await page.locator("main form button").last.click()
        async with asyncio.timeout(WAIT_MS / 1000):
            while not any(ask.op == "hazard.report" for ask in station.asked):
                await asyncio.sleep(0.05)


async def test_a_passer_by_goes_back_to_their_report_when_the_photo_was_too_large(
    station: Station, tmp_path: Path
) -> None:
    """Chinese, on a phone, without an account: told how large a photo may be; the words are still there."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff" * LARGE)
    ledger = WebLedger(station.data_dir / FILE)
    key = sign(ledger.secret(), link_purpose("shuiye"))
    ledger.close()
    settings = WebSettings.model_validate({"port": 0, "report_form": {"open": True}})
    async with station.gateway(), serving(station, settings) as address, _page(address, **PHONE) as page:
        await page.goto(f"{address}/report?site=shuiye&key={key}")
        await page.locator("[name=text]").fill(WORDS)
        await page.locator("[name=photo]").set_input_files(photo)
        await page.locator("form[method=post] button").click()
        await expect(page.locator(".error-text")).to_contain_text("8 MB")
        await page.locator("[data-back]").click()
        await expect(page.locator("[name=text]")).to_have_value(WORDS)
