"""Chromium on the pages for administrators: what one person does with them from the first look to the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.web.office import PASSWORD, Office, open_office, sign_in
from tests.web.station import SITE, Browser
from tests.web.test_browser import WAIT_MS, _page, _sign_in

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
WALL: dict[str, Any] = {"viewport": {"width": 1920, "height": 1080}, "color_scheme": "dark"}
SCREEN = {
    "people": [{"id": "wang", "name": "王强", "channels": [{"kind": "screen", "id": "screen"}]}],
    "chains": [{"id": "all", "steps": [{"after_s": 0, "people": ["wang"]}]}],
    "routes": [{"chain": "all"}],
}


async def _enter(page: Page, office: Office, path: str, name: str = "administrator") -> None:
    await _sign_in(page, name, PASSWORD)
    await page.goto(f"{office.address}{path}")


async def test_a_test_of_a_duty_screen_shows_as_read_by_itself_when_the_desk_has_its_sound_on(tmp_path: Path) -> None:
    """Sent at once; read only once a desk with sound has painted and sounded it; nobody reloads anything."""
    async with open_office(tmp_path / "o", SCREEN) as office:
        async with Browser(office.address) as duty:
            await sign_in(duty, office.gateway, "duty")
        async with _page(office.address) as desk, _page(office.address) as admin:
            await _enter(admin, office, "/admin/channels")
            way = admin.locator('[data-way="wang/screen"]')
            await way.get_by_role("button", name="发送测试").click()
            await expect(way.locator(".hops .is-done")).to_have_count(2, timeout=WAIT_MS)
            await expect(way).to_contain_text("还没有打开声音的值班屏幕作出回应")
            await _enter(desk, office, "/", "duty")
            await desk.locator("[data-sound]").click()
            await expect(desk.locator("[data-sound]")).to_have_attribute("aria-pressed", "true")
            await asyncio.to_thread(_age_test, office)
            await way.get_by_role("button", name="发送测试").click()
            await expect(way.locator(".hops .is-done")).to_have_count(4, timeout=WAIT_MS)
            await expect(way).to_contain_text("已读")


def _age_test(office: Office) -> None:
    """As if the first test had been sent a while ago: pressed twice within seconds it is one."""
    tests = office.gateway.pipeline.working.notification._tests
    for key, test in tests.items():
        tests[key] = test._replace(at_ms=test.at_ms - 60_000)


async def test_a_site_change_is_drawn_confirmed_and_brought_back_when_an_administrator_uploads_a_file(
    tmp_path: Path,
) -> None:
    """A wrong file is told by line; a right one by device; then it is in force, and the old one comes back."""
    async with open_office(tmp_path / "o") as office, _page(office.address, "en-GB") as page:
        await _enter(page, office, "/admin/sites")
        form = page.locator('form[action="/admin/sites/shuiye/file"]')

        async def upload(text: str) -> None:
            await form.locator("input[type=file]").set_input_files(
                {"name": "shuiye.yaml", "mimeType": "application/yaml", "buffer": text.encode()}
            )
            await form.locator("button").click()

        await upload(SITE.replace("unit_id: 4", "unit_id: 400"))
        await expect(page.locator(".faults-text")).to_contain_text("unit_id: got 400, want less than or equal to 247")
        await page.goto(f"{office.address}/admin/sites")
        await upload(SITE.replace("points: 16", "points: 32").replace("id: bay-02", "id: bay-09"))
        await expect(page.locator('[data-change="removed"]')).to_contain_text("bay-02")
        await expect(page.locator('[data-change="added"]')).to_contain_text("bay-09")
        await expect(page.locator('[data-device="panel-01"]')).to_contain_text("16")
        await expect(page.locator('[data-device="panel-01"] ins')).to_have_text("32")
        assert office.site_file.read_text("utf-8") == SITE
        await page.get_by_role("button", name="Put in force").click()
        await expect(page.locator('[data-site-file="shuiye"]')).to_contain_text("administrator", timeout=WAIT_MS)
        assert "bay-09" in office.site_file.read_text("utf-8")
        await page.locator(".versions summary").click()
        await page.get_by_role("button", name="Bring back").click()
        await expect(page.locator('[data-change="added"]')).to_contain_text("bay-02")
        await page.get_by_role("button", name="Put in force").click()
        await expect(page.locator("[data-site-file]")).to_be_visible()
        assert office.site_file.read_text("utf-8") == SITE


async def test_a_backup_is_made_and_verified_and_the_overview_is_content_when_an_administrator_asks(
    tmp_path: Path,
) -> None:
    """From the first line of the overview to the backup's own word that it is whole, without a reload."""
    async with open_office(tmp_path / "o", SCREEN) as office, _page(office.address) as page:
        await _enter(page, office, "/admin")
        todo = page.locator('[data-todo="backup"]')
        await expect(todo).to_have_attribute("data-state", "bad")
        await todo.get_by_role("link").click()
        await page.get_by_role("button", name="立即备份").click()
        row = page.locator('[data-backup="1"]')
        await expect(row).to_have_attribute("data-state", "done", timeout=WAIT_MS)
        await row.get_by_role("button", name="校验").click()
        await expect(row).to_contain_text("完整", timeout=WAIT_MS)
        async with page.expect_download() as taking:
            await row.get_by_role("link", name="下载").click()
        taken = await taking.value
        assert taken.suggested_filename.endswith("-1.zip")
        await page.goto(f"{office.address}/admin")
        await expect(page.locator('[data-todo="backup"]')).to_have_attribute("data-state", "good")


async def test_an_act_is_found_and_unfolded_and_the_chain_verified_when_an_administrator_looks(tmp_path: Path) -> None:
    """Who and what narrow the list; a row opens to its details; verifying ends in a word by itself."""
    async with open_office(tmp_path / "o") as office:
        work = {"work": "calibration", "note": "校准完成"}
        await office.api("POST", "/api/v1/devices/shuiye/hydrant-01/work", json=work)
        async with _page(office.address) as page:
            await _enter(page, office, "/admin/audit")
            await page.fill("[name=who]", "administrator")
            await page.select_option("[name=what]", "work")
            await page.locator(".audit-filters button").click()
            rows = page.locator(".audit-row")
            await expect(rows).to_have_count(1)
            await rows.locator("summary").click()
            await expect(rows).to_contain_text("校准完成")
            await expect(rows).to_contain_text("work.record shuiye/hydrant-01")
            await page.get_by_role("button", name="立即校验").click()
            await expect(page.locator("[data-verified]")).to_contain_text("完整", timeout=WAIT_MS)


@pytest.mark.parametrize("size", [PHONE, WALL], ids=["phone", "wall"])
async def test_no_page_of_the_administration_is_wider_than_its_screen(tmp_path: Path, size: dict[str, Any]) -> None:
    """From a phone to a wall, light and dark."""
    async with open_office(tmp_path / "o", SCREEN) as office, _page(office.address, "en-GB", **size) as page:
        await _enter(page, office, "/admin")
        for path in ("/admin", "/admin/channels", "/admin/sites", "/admin/backups", "/admin/audit"):
            await page.goto(f"{office.address}{path}")
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["viewport"]["width"], path
