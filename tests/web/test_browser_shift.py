"""Chromium on a shift: a phone signs on by PIN, and the desk's page shows it by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from tests.web.test_browser import WAIT_MS, _page, _sign_in
from tests.web.test_people_pages import NEW, open_desk
from tests.web.test_shift import Pins, add_people
from tests.web.tongue import IN_BOTH, Tongue

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


async def fill(page: Page, form: str, pins: Pins, number: int) -> None:
    """Choose a person, give their PIN, press the button."""
    at = page.locator(f'form[action="{form}"]').first
    await at.locator("select[name=person]").select_option(str(number))
    await at.locator("input[name=pin]").fill(pins[number])
    await at.locator("button").click()
    await page.wait_for_load_state()


@IN_BOTH
async def test_a_crew_takes_over_on_a_phone_and_the_desk_sees_it_without_a_click(
    say: Tongue, tmp_path: Path, free_port: int
) -> None:
    """Two sign on and two sign; nothing is wider than the phone."""
    async with open_desk(tmp_path, free_port) as desk:
        duty, _, pins = await add_people(desk)
        address = str(duty.base_url).rstrip("/")
        async with _page(address, say.locale) as wall, _page(address, say.locale, **PHONE) as phone:
            for page in (wall, phone):
                await _sign_in(page, "duty", NEW)
                await page.goto(f"{address}/shift")
            await expect(wall.locator("#live")).to_contain_text(say("无人在岗", "Nobody is here"), timeout=WAIT_MS)
            for number in (1, 2):
                await phone.locator("#sign-on").evaluate("e => e.open = true")
                await fill(phone, "/shift/sign-on", pins, number)
            await expect(wall.locator("#live")).to_contain_text("Wang 1, Wang 2", timeout=WAIT_MS)
            wide = "() => document.documentElement.scrollWidth - innerWidth"
            assert await phone.evaluate(wide) <= 0
            await fill(phone, "/shift/sign", pins, 3)
            await expect(phone.locator("#live")).to_contain_text(
                say("交班人员: Wang 3", "Old crew: Wang 3"), timeout=WAIT_MS
            )
            await fill(phone, "/shift/sign", pins, 1)
            await expect(wall.locator("#live")).to_contain_text(say("2 / 2 人", "2 of 2 people"), timeout=WAIT_MS)
            await expect(wall.locator("#live")).to_contain_text("Wang 3 → Wang 1", timeout=WAIT_MS)
