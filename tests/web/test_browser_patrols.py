"""Chromium on a phone: a round walked with a thumb, across a reload, against the real gateway."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from tests.web.station import SITE, Browser, Station, serving
from tests.web.test_browser import WAIT_MS, _page, _sign_in
from tests.web.test_patrols import NEW, PATROLS, picture, tokens_of

PHONE = {"width": 390, "height": 780}
LEAST_PX = 44
"""A thumb needs this much of a target."""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def test_a_round_is_walked_with_a_thumb_when_the_page_is_loaded_anew_in_between(
    tmp_path: Path, free_port: int
) -> None:
    """Scan, answer with a photo, reload, type the code of the second label, end: whole, and nothing to scroll to."""
    station = Station.__new__(Station)
    station.data_dir, station.site_file = tmp_path / "d", tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE + PATROLS, "utf-8")
    mqtt = MqttSettings(port=free_port)
    async with (
        open_gateway(station.settings(), EmbeddedSettings(), mqtt) as gateway,
        serving(station) as address,
    ):
        async with Browser(address) as browser:
            await browser.sign_in("duty", gateway.one_time_passwords["duty"])
            await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            sheet = (await browser.get("/patrols/labels/shuiye")).text
        code = sheet.split("东出口</strong>")[1].split("<code>")[1].split("</code>")[0]
        scanned = f"{address}/patrols/at/{tokens_of(station.data_dir)['hydrant-01']}"
        async with _page(address, viewport=PHONE) as page:
            await _sign_in(page, "duty", NEW)
            await page.goto(scanned)  # what the camera does
            await page.get_by_role("button", name="大厅巡查").click()
            await expect(page.locator("h1")).to_contain_text("1. ", timeout=WAIT_MS)
            for label in await page.locator(".tick .choice span").all():
                box = await label.bounding_box()
                assert box is not None
                assert min(box["height"], box["width"]) >= LEAST_PX
            await page.locator(".tick fieldset").nth(0).get_by_text("正常", exact=True).click()
            await page.locator(".tick fieldset").nth(1).get_by_text("有问题", exact=True).click()
            await page.locator("textarea").fill("纸箱挡住")
            await page.set_input_files(
                "input[type=file]", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture()}
            )
            assert await page.evaluate(OVERFLOW) <= 0
            await page.get_by_role("button", name="保存结果").click()
            await expect(page.locator(".seen-finding")).to_contain_text("纸箱挡住", timeout=WAIT_MS)
            await page.reload()
            await expect(page.locator(".bar-row b")).to_have_text("1/2", timeout=WAIT_MS)
            await expect(page.locator(".seen-finding img")).to_have_js_property("complete", True, timeout=WAIT_MS)
            assert await page.evaluate(OVERFLOW) <= 0
            await page.get_by_role("link", name="填写", exact=True).click()
            await page.get_by_text("正常", exact=True).click()
            await page.locator("[name=proof]").fill(code.upper())
            await page.get_by_role("button", name="保存结果").click()
            await expect(page.locator(".bar-row b")).to_have_text("2/2", timeout=WAIT_MS)
            await page.get_by_role("button", name="结束巡查").click()
            await expect(page.locator(".tag.patrol-complete")).to_be_visible(timeout=WAIT_MS)
            for path in ("/patrols", "/training", "/patrols/labels/shuiye"):
                await page.goto(address + path)
                assert await page.evaluate(OVERFLOW) <= 0, path
