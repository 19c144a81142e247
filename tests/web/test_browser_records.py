"""Chromium as an inspector: from the search to a life, a file opened and read, completeness, a label scanned."""

from __future__ import annotations

import csv
from pathlib import Path

from openpyxl import load_workbook
from playwright.async_api import Page, expect
from pypdf import PdfReader

from gateway.exports.checking import check_file
from gateway.history.base import Row
from tests.parts.codes import codes_in_pdf, codes_in_picture
from tests.web.station import Station, now_ms, serving
from tests.web.test_browser import WAIT_MS, _page, _sign_in
from tests.web.test_labels import HYDRANT, NEW, maintaining, token_in
from tests.web.test_records import DAY_MS, month_of_values, told
from tests.web.tongue import IN_BOTH, Tongue

PHONE = {"width": 390, "height": 844}
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
NASTY = '=cmd|"/C calc"!A0 <img src=x onerror=alert(1)>'


async def lived(station: Station) -> None:
    """Ten days of a hydrant: values with a hole, an alarm that was acknowledged, work with a nasty note."""
    station.user("inspector")
    told(station, 10 * DAY_MS)
    told(station, 0, "stop")
    station.alarm("hydrant-pressure-low", "shuiye/hydrant-01/pressure_kpa", "critical", ago_s=9000, by="wang", value=90)
    row = (None, "shuiye", "hydrant-01", "inspection", now_ms() - DAY_MS, now_ms(), "li", NASTY)
    station.db.execute("INSERT INTO work VALUES (?,?,?,?,?,?,?,?)", row)
    begin = now_ms() - 4 * DAY_MS
    await station.remember(
        [
            Row("shuiye", "hydrant-01", "pressure_kpa", begin + n * 300_000, 150.0 + n % 9, "good")
            for n in range(1100)
            if not 400 <= n < 500
        ]
    )


async def saved(page: Page, file: str, folder: Path) -> Path:
    """Press the button of a kind of file, wait until it is made, download it."""
    await page.get_by_role("button", name=file, exact=True).click()
    link = page.locator("#job a[download]")
    await expect(link).to_be_visible(timeout=2 * WAIT_MS)
    async with page.expect_download() as waiting:
        await link.click()
    path = folder / f"export.{file.lower()}"
    await (await waiting.value).save_as(path)
    return path


@IN_BOTH
async def test_a_search_leads_to_a_life_whose_pdf_can_be_read(say: Tongue, station: Station, tmp_path: Path) -> None:
    """Find the hydrant, read its life, take it away; the PDF has the alarm, who acknowledged it, a chart,
    and a QR code that a telephone reads."""
    await lived(station)
    async with station.gateway(), serving(station) as address, _page(address, say.locale) as page:
        await _sign_in(page, "inspector")
        hydrant = say("胜利路市政消火栓", "Victory Road hydrant")
        await page.get_by_role("link", name=say("档案", "Records"), exact=True).first.click()
        await page.get_by_label(say("关键词", "Words")).fill(say("胜利路", "Victory"))
        await page.get_by_role("button", name=say("搜索", "Search")).click()
        await page.get_by_role("link", name=hydrant).click()
        await expect(page.locator(".life")).to_contain_text("wang")
        await expect(page.locator(".life")).to_contain_text("onerror")  # as text
        await expect(page.locator(".chart canvas")).to_be_visible()
        path = await saved(page, "PDF", tmp_path)
        text = "\n".join(each.extract_text() for each in PdfReader(path).pages)
        words = (
            say("设备档案", "Record of a device"),
            hydrant,
            "wang",
            say("水压", "pressure"),
            "onerror=alert(1)",
            "1 / ",
        )
        assert [word for word in words if word not in text] == []
        assert check_file(path).is_whole
        (link,) = codes_in_pdf(path)
        assert link == f"{address}/records/check?code={check_file(path).found}"
        await page.goto(link)
        await expect(page.locator("#main")).to_contain_text(
            say("没有发出过", "No export with this code")
        )  # the stand-in keeps no audit rows


async def test_a_workbook_and_a_csv_hold_what_the_page_says_on_a_phone(station: Station, tmp_path: Path) -> None:
    """English, on a phone: completeness of the month as XLSX and CSV; the sum is the one of the page."""
    await lived(station)
    async with (
        station.gateway(),
        serving(station) as address,
        _page(address, "en-GB", viewport=PHONE) as page,
    ):
        await _sign_in(page, "inspector")
        where = f"{address}/records/shuiye/hydrant-01/completeness?month={month_of_values()}"
        await page.goto(where)
        said = await page.locator(".sum").inner_text()
        assert await page.evaluate(OVERFLOW) <= 0
        due, parts = said.split(" = ")
        assert int(due) == sum(int(part.split()[0]) for part in parts.split(" + ")) > 0
        book = load_workbook(await saved(page, "XLSX", tmp_path))
        sums = {row[0].value: row[1].value for row in book.worksheets[1].iter_rows(min_row=2)}
        assert sums.pop("Due") == int(due) == sum(sums.values())
        await page.goto(where)
        path = await saved(page, "CSV", tmp_path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
        assert any(said == cell for row in rows for cell in row)
        assert check_file(path).is_whole


async def test_records_fit_phone_and_desk_when_looked_at_in_both_languages(station: Station) -> None:
    """No page of the section scrolls sideways."""
    await lived(station)
    async with station.gateway(), serving(station) as address:
        for language, size in (("zh-CN", PHONE), ("en-GB", {"width": 1280, "height": 800})):
            async with _page(address, language, viewport=size) as page:
                await _sign_in(page, "inspector")
                for path in (
                    *("", "/readiness", "/rectification", "/exports", "/check", "/shuiye/hydrant-01"),
                    *("/shuiye/hydrant-01/label", "/labels/shuiye"),
                ):
                    await page.goto(f"{address}/records{path}")
                    assert await page.evaluate(OVERFLOW) <= 0, path


async def test_a_label_opens_its_page_signed_out_until_it_is_taken_back(tmp_path: Path, free_port: int) -> None:
    """The maintainer makes it, a stranger's phone reads the code and opens it; taken back it says so and no more."""
    async with maintaining(tmp_path, free_port) as (browser, data_dir):
        address = str(browser.base_url).rstrip("/")
        async with _page(address, "en-GB") as page, _page(address, viewport=PHONE) as stranger:
            await _sign_in(page, "maintainer", NEW)
            await page.goto(f"{address}{HYDRANT}/label")
            await page.get_by_role("button", name="Make the labels").click()
            await expect(page.locator(".label-card svg.qr")).to_be_visible()
            (scanned,) = codes_in_picture(await page.locator(".label-card").screenshot())
            assert scanned == f"{address}/l/{token_in(data_dir)}"
            await stranger.goto(scanned)
            await expect(stranger.locator("h1")).to_contain_text("胜利路市政消火栓")
            assert await stranger.evaluate(OVERFLOW) <= 0
            await page.get_by_role("button", name="Take this label back").click()
            await expect(page.locator("#main")).to_contain_text("No label holds here")
            await stranger.goto(scanned)
            await expect(stranger.locator("#main")).to_contain_text("已收回")
            await expect(stranger.locator("#main")).not_to_contain_text("shuiye/hydrant-01")
