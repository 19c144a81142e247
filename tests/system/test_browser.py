"""The main job, seen by a person: a fire in the equipment, on the board in Chromium, acknowledged, in the ledger."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from cli.installation import AGENT, Installation, Plan
from gateway.ledger.reader import LedgerReader
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import require
from tests.system.campaign import broker_of, installation

SHOWN_MS = 60_000
"""The fire comes some twenty seconds into the story at this speed."""
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@asynccontextmanager
async def browser_page(up: Installation) -> AsyncIterator[Page]:
    """A page in a fresh Chromium; anything it says on its console as an error fails the test."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=require("chromium", "chromium"), args=FLAGS)
        page = await chromium.new_page(base_url=up.url, locale="zh-CN")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        yield page
        await chromium.close()
        assert errors == []


async def sign_in(page: Page, name: str, one_time: str) -> None:
    """As on the first day: the one-time password, then one's own."""
    await page.goto("/")
    await page.fill("input[name=name]", name)
    await page.fill("input[name=password]", one_time)
    await page.click("form.door-form button")
    await page.fill("input[name=password]", "on watch day and night")
    await page.fill("input[name=again]", "on watch day and night")
    await page.click("form.door-form button")
    await expect(page.locator("#live.board")).to_be_visible()


@pytest.mark.timeout(180)
async def test_fire_is_seen_and_acknowledged_in_chromium_and_the_ledger_says_who_and_when(tmp_path: Path) -> None:
    """Through real Mosquitto with passwords and topic rights, the real pages and a real browser."""
    with Mosquitto((AGENT,)) as mosquitto:
        plan = Plan(speed=5, web_port=0, broker=broker_of(mosquitto))
        async with installation(tmp_path, plan) as (up, _), browser_page(up) as page:
            await sign_in(page, "duty", up.passwords["duty"])
            before_fire = await page.locator("article.fire").count()
            up.simulators.say("start")

            fire = page.locator("article.fire.is-waiting").first
            await expect(fire).to_be_visible(timeout=SHOWN_MS)
            alarm_id = int(await fire.get_attribute("data-alarm") or 0)
            clicked_ms = time.time_ns() // 1_000_000
            await fire.get_by_role("button").click()
            await expect(page.locator(f"[data-alarm='{alarm_id}'].is-waiting")).to_have_count(0)

            with LedgerReader(up.data_dir / "ledger.sqlite") as ledger:
                alarm = ledger.alarm(alarm_id)
                steps = [step for step in ledger.transitions(alarm_id) if step.event == "acknowledge"]
                audited = [
                    row for row in ledger.audit(limit=1000) if row.actor == "duty" and "acknowledge" in row.action
                ]

    assert before_fire == 0
    assert alarm is not None
    assert (alarm.rule, alarm.severity, alarm.acknowledged_by) == ("panel-fire", "fire", "duty")
    assert [step.actor for step in steps] == ["duty"]
    assert alarm.acknowledged_ms is not None
    assert 0 <= alarm.acknowledged_ms - clicked_ms < 10_000
    assert len(audited) == 1
