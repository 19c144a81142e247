"""Chromium on a chart: zoomed and moved by keys and mouse, several points, and the same as a table."""

from __future__ import annotations

from playwright.async_api import expect

from gateway.history.base import Row
from tests.web.station import HOUR_MS, Station, now_ms, serving
from tests.web.test_browser import WAIT_MS, _page, _sign_in


async def test_a_chart_is_zoomed_by_keys_and_read_as_a_table(station: Station) -> None:
    """Each step asks for what is shown then; points, alarms and values stand in the table as well."""
    station.user("inspector")
    at = now_ms()
    rows = [
        Row("shuiye", "hydrant-01", name, at - n * 120_000, 200.0 + n % 7, "good")
        for name in ("pressure_kpa", "battery_pct")
        for n in range(700)
    ]
    await station.remember(rows)
    station.alarm("hydrant-pressure-low", "shuiye/hydrant-01/pressure_kpa", "warning", ago_s=3 * 3600, cleared=True)
    async with station.gateway(), serving(station) as address, _page(address, "en-GB") as page:
        await _sign_in(page, "inspector")
        await page.goto(f"{address}/devices/shuiye/hydrant-01?point=pressure_kpa")
        await page.wait_for_selector(".uplot canvas")
        async with page.expect_response(lambda r: "/api/v1/charts" in r.url) as told:
            await page.click("[data-hours='24']")
        day = await (await told.value).json()
        await page.focus("[data-chart]")
        async with page.expect_response(lambda r: "/api/v1/charts" in r.url) as told:
            await page.keyboard.press("+")
        half = await (await told.value).json()
        assert day["to_ms"] - day["from_ms"] == 24 * HOUR_MS
        assert half["to_ms"] - half["from_ms"] == 12 * HOUR_MS
        assert half["bucket_ms"] < day["bucket_ms"]
        async with page.expect_response(lambda r: "/api/v1/charts" in r.url) as told:
            await page.keyboard.press("ArrowLeft")
        back = await (await told.value).json()
        assert half["from_ms"] - back["from_ms"] == 6 * HOUR_MS
        async with page.expect_response(lambda r: "/api/v1/charts" in r.url):
            await page.keyboard.press("0")
        for summary in await page.locator("details.chart-more > summary").all():
            await summary.click()
        async with page.expect_response(lambda r: r.url.count("point=") == 2):
            await page.check("[data-chart-also][value$=battery_pct]")
        table = page.locator("[data-chart-table]")
        await expect(table.locator("th", has_text="Battery")).to_be_visible(timeout=WAIT_MS)
        await expect(table.locator("a", has_text="Alarm")).to_be_visible()
        over = page.locator(".uplot .u-over")
        box = await over.bounding_box()
        assert box is not None
        middle, end = box["width"] * 0.5, box["width"] * 0.75
        async with page.expect_response(lambda r: "/api/v1/charts" in r.url) as told:
            await over.drag_to(over, source_position={"x": middle, "y": 150}, target_position={"x": end, "y": 150})
        drawn = await (await told.value).json()
        assert abs((drawn["to_ms"] - drawn["from_ms"]) - 6 * HOUR_MS) < HOUR_MS / 2
