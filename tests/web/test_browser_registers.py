"""Chromium on what people keep: people, an incident, a hazard the public reported, the assessment of a month."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from gateway.web.registers.report_desk import YOUNGEST_MS
from tests.web.station import Station, serving
from tests.web.test_assessment import fill
from tests.web.test_browser import WAIT_MS, _page, _sign_in
from tests.web.test_hazards import NEW, open_house
from tests.web.test_incidents import town
from tests.web.test_people_pages import open_desk
from tests.web.tongue import IN_BOTH, Tongue

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
WIDER = "() => document.documentElement.scrollWidth - innerWidth"


async def unfold(page: Page, step: str) -> Any:
    """The form of a step, open."""
    act = page.locator(f'details.act:has(input[name=step][value="{step}"])')
    await act.evaluate("e => e.open = true")
    return act


async def test_a_person_is_taken_on_and_a_double_click_adds_them_once(tmp_path: Path, free_port: int) -> None:
    """By keyboard, in English; the certificate stands beside the name and the number is masked for the duty desk."""
    async with open_desk(tmp_path, free_port) as desk:
        admin = await desk.browser("administrator")
        await desk.browser("duty")
        address = str(admin.base_url).rstrip("/")
        async with _page(address, "en-GB") as page:
            await _sign_in_as(page, "administrator")
            await page.goto(f"{address}/people")
            await page.get_by_label("Full name").fill("Wang Xiaoming")
            await page.get_by_label("Telephone").fill("138 0013 8000")
            await page.locator("input[name=role_attendant]").check()
            await page.locator("input[name=has_operator]").check()
            await page.locator("input[name=until_operator]").fill("2031-05-01")
            await page.locator('form[action="/people"] button.primary').dblclick()
            await page.wait_for_url("**/people/1")
            await page.goto(f"{address}/people")
            await expect(page.locator("#live th a")).to_have_text(["Wang Xiaoming"])
            await expect(page.locator("#live")).to_contain_text("until 2031-05-01")
        async with _page(address) as page:
            await _sign_in_as(page, "duty")
            await page.goto(f"{address}/people")
            await expect(page.locator("#live")).to_contain_text("138****8000")
            assert "13800138000" not in await page.content()


@IN_BOTH
async def test_an_incident_is_walked_to_its_sheet_on_a_phone(say: Tongue, tmp_path: Path, free_port: int) -> None:
    """The fire opens it by itself; three taps later the crew is there and the clocks say how fast."""
    async with town(tmp_path, free_port) as made:
        desk = await made.browser("duty")
        address = str(desk.base_url).rstrip("/")
        async with _page(address, say.locale, **PHONE) as phone:
            await _sign_in_as(phone, "duty")
            await made.fire("shuiye")
            await phone.locator('a[href="/incidents/1"]').first.click(timeout=WAIT_MS)
            await phone.wait_for_url("**/incidents/1")
            assert await phone.evaluate(WIDER) <= 0
            await (await unfold(phone, "confirm")).locator("button").click()
            await expect(phone.locator("#live")).to_contain_text(say("人工确认", "a person"), timeout=WAIT_MS)
            await (await unfold(phone, "arrive")).locator("button").click()
            await expect(phone.locator(".incident-clocks")).to_contain_text(say("到场", "there after"), timeout=WAIT_MS)
            found = await unfold(phone, "find")
            await found.locator("input[value=real]").check()
            await found.locator("textarea").fill("锅内油起火")
            await found.locator("button").click()
            await phone.goto(f"{address}/incidents/1/sheet")
            await expect(phone.locator("main")).to_contain_text("锅内油起火")


async def test_a_hazard_goes_from_a_passer_by_to_the_people_who_mend_it(tmp_path: Path, free_port: int) -> None:
    """A phone without an account reports, the receipt tells how it goes, the desk takes it on."""
    async with open_house(tmp_path, free_port) as house:
        await house.browser("maintainer")
        async with _page(house.address, **PHONE) as phone, _page(house.address) as desk:
            await phone.goto(f"{house.address}{house.link()}")
            await phone.locator("textarea[name=text]").fill("安全出口被锁")
            await phone.locator("input[name=place]").fill("二号楼东侧楼梯")
            await _sign_in_as(desk, "maintainer")
            # A form that comes back within two seconds is taken for a program's: people take longer to write.
            await phone.wait_for_timeout(YOUNGEST_MS + 200)
            await phone.locator("form[enctype] button").click()
            await expect(phone.locator(".receipt .mono")).to_be_visible(timeout=WAIT_MS)
            assert await phone.evaluate(WIDER) <= 0
            await desk.goto(f"{house.address}/hazards?show=reported")
            await desk.locator('#live a[href="/hazards/1"]').click()
            await expect(desk.locator("main")).to_contain_text("安全出口被锁")
            await (await unfold(desk, "take")).locator("button").click()
            await expect(desk.locator("main")).to_contain_text("二号楼东侧楼梯", timeout=WAIT_MS)
            before = await phone.locator(".receipt .done").inner_text()
            await phone.reload()
            assert await phone.locator(".receipt .done").inner_text() != before


async def test_the_assessment_of_a_month_is_read_and_taken_along(station: Station) -> None:
    """Every rate beside its two counts; the table for a spreadsheet has no cell that runs."""
    station.user("inspector")
    fill(station)
    async with station.gateway(), serving(station) as address, _page(address, "en-GB") as page:
        await _sign_in(page, "inspector")
        await page.goto(f"{address}/assessment")
        await page.get_by_role("link", name="Month").click()
        card = page.locator(".rates li", has_text="Duty checks answered in time")
        await expect(card).to_contain_text("1 / 2")
        await expect(page.locator("main")).to_contain_text("not an official score")
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="Table (CSV)").click()
        text = Path(await (await coming.value).path()).read_text("utf-8-sig")
        cells = [cell for line in text.splitlines() for cell in line.split(",")]
        assert [cell for cell in cells if cell.lstrip('"')[:1] in tuple("=+@")] == []


async def _sign_in_as(page: Page, name: str) -> None:
    await _sign_in(page, name, NEW)
