"""Chromium on the maintainer's pages: a fault from its cause to a confirmed end, strangers, dates, the rule lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from gateway.work.order_life import ORDER
from tests.gateway.harness import until
from tests.web.test_browser import WAIT_MS, _page, _sign_in
from tests.web.upkeep_house import NEW, House, open_upkeep

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
WIDE = "() => document.documentElement.scrollWidth - innerWidth"


async def begin(house: House, *said: tuple[str, Any]) -> None:
    """Everything is well but this; the maintainer has a password."""
    await house.browser("maintainer")
    house.plant.wake()
    house.plant.all_good()
    for point, value in said:
        house.plant.say(point, value)
    await house.plant.settled()


async def open_as(page: Page, house: House, path: str) -> None:
    """The maintainer signed in, on a page."""
    await _sign_in(page, "maintainer", NEW)
    await page.goto(house.address + path)


async def test_a_fault_is_followed_on_a_phone_from_its_cause_to_the_data_that_closes_it(
    tmp_path: Path, free_port: int
) -> None:
    """Cause, order, taken, done; the open page shows by itself that the data closed it, and that it came back."""
    async with open_upkeep(tmp_path, free_port) as house:
        await begin(house, ("panel-01/main_power", "fault"))
        async with _page(house.address, **PHONE) as page:
            await open_as(page, house, "/upkeep")
            row = page.locator(".cause-row", has_text="控制器主电故障")
            await expect(row).to_contain_text("1 台设备", timeout=WAIT_MS)
            await row.get_by_text("依据").click()
            await expect(row.locator(".evidence")).to_contain_text("检查控制器供电")
            assert await page.evaluate(WIDE) <= 0
            await row.get_by_role("link", name="开工单").click()
            await page.get_by_role("button", name="提交工单").click()
            await page.get_by_role("button", name="我来处理").click()
            done = page.locator("#step-done")
            await done.locator("textarea").fill("换了保险丝")
            await done.locator("label.choice").nth(1).click()
            await page.get_by_role("button", name="报完工").click()
            waits = page.locator(".waits")
            await expect(waits.locator(".is-met")).to_have_count(1)
            assert await page.evaluate(WIDE) <= 0
            house.plant.say("panel-01/main_power", "normal")
            live = page.locator("#live")
            await expect(live).to_contain_text("由监测数据确认", timeout=2 * WAIT_MS)
            await expect(page.locator(".steps-line [aria-current]")).to_have_text("已关闭")
            house.plant.say("panel-01/main_power", "fault")
            await expect(page.locator(".steps-line [aria-current]")).to_have_text("处理中", timeout=2 * WAIT_MS)
        (order,) = house.ledger.entries(ORDER)
        assert (order.reopened, order.owner, [part.closed_ms is None for part in order.rounds]) == (
            1, "maintainer", [False, True],
        )  # fmt: skip


async def test_strangers_are_let_in_together_on_the_page_of_the_quarantine(tmp_path: Path, free_port: int) -> None:
    """Two chosen with the keyboard and a click, with the profile offered first; then they have pages."""
    async with open_upkeep(tmp_path, free_port) as house:
        await begin(house, ("new-01/level_m", 2.5), ("new-02/level_m", 2.4))
        await until(lambda: len(house.gateway.pipeline.working.unknown) == 2)
        async with _page(house.address, "en-GB") as page:
            await open_as(page, house, "/upkeep/quarantine")
            boxes = page.locator("input[name=device]")
            await expect(boxes).to_have_count(2)
            await boxes.nth(0).focus()
            await page.keyboard.press("Space")
            await page.locator(".pick", has_text="new-02").click()
            await expect(page.locator(".stranger").first).to_contain_text("Level")
            await page.get_by_role("button", name="Let the chosen ones in").click()
            await expect(page.get_by_role("status").first).to_contain_text("2 done")
            await expect(page.locator("#devices")).to_contain_text("No unknown device.")
            await page.goto(f"{house.address}/devices/shuiye/new-02")
            await expect(page.locator("h1")).to_contain_text("new-02")


async def test_dates_by_month_lead_to_what_is_overdue(tmp_path: Path, free_port: int) -> None:
    """A column of the year opens its list; work recorded on the device takes it out again."""
    async with open_upkeep(tmp_path, free_port) as house:
        await begin(house)
        async with _page(house.address, "en-GB", color_scheme="dark") as page:
            await open_as(page, house, "/upkeep/dates")
            late = page.locator(".months .is-late a")
            await expect(late).to_contain_text("1")
            await late.click()
            await expect(page.locator(".dated tr")).to_have_count(1)
            await page.locator(".dated a", has_text="Victory Road hydrant").click()
            await page.locator("#work summary", has_text="Record work").click()
            await page.locator("#work label.choice", has_text="Calibration").click()
            await page.locator("#work").get_by_role("button", name="Record", exact=True).click()
            await page.goto(f"{house.address}/upkeep/dates")
            await expect(page.locator(".months .is-late")).to_have_count(0)
            for width in (360, 1280, 3840):
                await page.set_viewport_size({"width": width, "height": 900})
                assert await page.locator("main").evaluate("e => e.scrollWidth - e.clientWidth") <= 0


async def test_a_proposed_limit_is_compared_on_the_history_and_drawn(tmp_path: Path, free_port: int) -> None:
    """A rule chosen, its limit lowered, the progress followed by the page itself, the lost alarm drawn."""
    async with open_upkeep(tmp_path, free_port) as house:
        await begin(house)
        for n, value in enumerate([190.0, 130.0, 130.0, 190.0, 190.0]):
            house.plant.say("hydrant-02/pressure_kpa", value, ago_s=(5 - n) * 300, lane="telemetry")
        await house.plant.settled()
        await until(lambda: house.gateway.mirror.counts.pending == 0)
        async with _page(house.address) as page:
            await open_as(page, house, "/upkeep/lab")
            await page.locator("#rule-choice").select_option("hydrant-pressure-low")
            await page.get_by_role("button", name="选择").click()
            await page.locator("input[name=below]").fill("120")
            await page.locator("input[name=clear]").fill("125")
            await page.locator(".lab-form select[name=days]").select_option("1")
            await page.locator(".lab-form").get_by_role("button", name="开始比较").click()
            await expect(page.locator(".timelines .was")).to_have_count(1, timeout=4 * WAIT_MS)
            await expect(page.locator(".timelines .will")).to_have_count(0)
            await expect(page.locator(".gauges")).to_contain_text("消失")
            await expect(page.locator("#live")).to_contain_text("below: 120, clear: 125")
