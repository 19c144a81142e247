"""Chromium at the door: the first password, a wrong one, a token for a program, a wall display let in and out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import expect

from tests.web.office import PASSWORD, open_office
from tests.web.test_browser import WAIT_MS, _page, _sign_in

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
WALL: dict[str, Any] = {"viewport": {"width": 1920, "height": 1080}, "color_scheme": "dark"}
NEW = "三声短笛在正午响起"


async def test_a_newcomer_chooses_a_password_on_a_phone_and_what_is_wrong_is_told(tmp_path: Path) -> None:
    """A wrong password in words; the one-time one leads to a choice; two that differ are told; then the board."""
    async with open_office(tmp_path / "o") as office, _page(office.address, **PHONE) as page:
        one_time = office.gateway.one_time_passwords["duty"]

        async def enter(password: str) -> None:
            await page.fill("[name=name]", "duty")
            await page.fill("[name=password]", password)
            await page.get_by_role("button", name="登录").click()

        await enter("wrong horse")
        await expect(page.get_by_role("alert")).to_have_text("用户名或密码不正确。")
        await expect(page.locator("[name=name]")).to_have_value("duty")
        await enter(one_time)
        await expect(page).to_have_url(f"{office.address}/first-password")
        for password, again, said in ((NEW, f"{NEW}!", "不一致"), ("12345678", "12345678", ""), (NEW, NEW, None)):
            await page.fill("[name=password]", password)
            await page.fill("[name=again]", again)
            await page.locator(".door-form button").click()
            if said is not None:
                await expect(page.get_by_role("alert")).to_contain_text(said)
        await page.wait_for_selector("#live")
        await page.context.clear_cookies()
        await page.goto(f"{office.address}/sign-in")
        await enter(one_time)
        await expect(page.get_by_role("alert")).to_have_text("用户名或密码不正确。")
        await enter(NEW)
        await page.wait_for_selector("#live")


async def test_a_token_is_shown_once_opens_the_api_and_is_dead_when_it_was_revoked(tmp_path: Path) -> None:
    """Made on the page of the account; a second look has its name only."""
    async with (
        open_office(tmp_path / "o") as office,
        _page(office.address, "en-GB") as page,
        httpx.AsyncClient(base_url=office.address, timeout=15) as program,
    ):
        await _sign_in(page, "administrator", PASSWORD)
        await page.goto(f"{office.address}/account")
        await page.get_by_label("What it is for").fill("nightly report")
        await page.get_by_role("button", name="Make the token").click()
        token = (await page.locator(".secret-text").inner_text()).strip()
        program.headers["Authorization"] = f"Bearer {token}"
        assert (await program.get("/api/v1/devices")).status_code == 200
        wrong = await program.post("/api/v1/alarms/1/note", json={"note": "x"})
        assert wrong.status_code == 403  # it may only read, unless somebody says otherwise
        await page.goto(f"{office.address}/account")
        await expect(page.locator(".secret-text")).to_have_count(0)
        assert token not in await page.content()
        row = page.get_by_role("row").filter(has_text="nightly report")
        await row.get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text("You have no tokens.")).to_be_visible()
        assert (await program.get("/api/v1/devices")).status_code == 401


async def test_a_wall_display_is_let_in_by_a_code_and_its_board_goes_within_5_s_when_it_is_let_out(
    tmp_path: Path,
) -> None:
    """Paired without an account, it shows the board and stays; let out, nothing of the station is left on it."""
    async with (
        open_office(tmp_path / "o") as office,
        _page(office.address, "en-GB") as admin,
        _page(office.address, **WALL) as wall,
    ):
        await _sign_in(admin, "administrator", PASSWORD)
        await admin.goto(f"{office.address}/admin/walls")
        await admin.get_by_label("Name of the display").fill("Duty room")
        await admin.get_by_role("button", name="Make a code").click()
        code = (await admin.locator(".secret-text").inner_text()).strip()

        await wall.goto(f"{office.address}/pair")
        await wall.fill("[name=code]", "AAAA-AAAA")
        await wall.locator(".door-form button").click()
        await expect(wall.get_by_role("alert")).to_be_visible()
        await wall.fill("[name=code]", code)
        await wall.locator(".door-form button").click()
        await expect(wall).to_have_url(f"{office.address}/wall")
        live = wall.locator("#live")
        await expect(live).to_be_visible(timeout=WAIT_MS)
        await wall.reload()
        await expect(live).to_be_visible(timeout=WAIT_MS)
        await expect(wall.locator("[data-banner]")).to_be_hidden()

        await admin.goto(f"{office.address}/admin/walls")
        row = admin.get_by_role("row").filter(has_text="Duty room")
        await row.get_by_role("button", name="Let in no more").click()
        began_s = time.monotonic()
        await expect(live).to_have_count(0, timeout=WAIT_MS)
        took_s = time.monotonic() - began_s
        assert took_s <= 5.0
        await wall.goto(f"{office.address}/wall")
        await expect(wall.locator("[name=password]")).to_be_visible()
        await expect(live).to_have_count(0)
