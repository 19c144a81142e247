"""Chromium on duty checks: a real gateway asked by a simulated centre, and what the page does by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from gateway.settings import GatewaySettings
from simulators.gb26875.centre import SimulatedCentre
from tests.web.station import SITE, Browser, Station, serving
from tests.web.test_browser import WAIT_MS, _page, _sign_in, _until
from tests.web.tongue import IN_BOTH, Tongue

NEW = "three short horns at noon"
REPLY = 1 << 5
"""Bit 5 of type 24."""
COUNT_TONES = """() => {
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...given) { window.tones += 1; return start.apply(this, given); };
}"""

PLACES = """() => [...document.querySelectorAll('.fire-head, .duty-answer')].map((e) => {
    const at = e.getBoundingClientRect();
    const seen = e.contains(document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2));
    return { top: at.top, seen };
})"""
"""Where the heads of the fires and then the button are, and whether nothing covers them."""


class LateClock:
    """The wall's time, pushed on."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


async def until(condition: Callable[[], Any]) -> None:
    """Waits for a condition of this process."""
    async with asyncio.timeout(WAIT_MS / 1000):
        while not condition():
            await asyncio.sleep(0.02)


def replies(centre: SimulatedCentre) -> int:
    """How many duty answers the centre got: units of type 24 with bit 5."""
    return sum(bool(unit[2] & REPLY) for unit in centre.units(24))


@IN_BOTH
async def test_a_centre_is_answered_in_time_and_late_when_somebody_presses_the_button(
    say: Tongue, tmp_path: Path, free_port: int
) -> None:
    """The first check on the board, the second on another page: its time is over, and it is answered all the same."""
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    clock = LateClock()
    async with SimulatedCentre() as centre:
        told = {"id": "city", "site": "shuiye", "host": "127.0.0.1", "port": centre.port, "address": "a10000000001"}
        settings = GatewaySettings(sites=[station.site_file], data_dir=station.data_dir, centres=[told])
        mqtt = MqttSettings(port=free_port)
        async with (
            open_gateway(settings, EmbeddedSettings(), mqtt, now_ms=clock.now) as gateway,
            serving(station) as address,
        ):
            async with Browser(address) as browser:
                await browser.sign_in("duty", gateway.one_time_passwords["duty"])
                await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            await until(lambda: centre.units(21))
            async with _page(address, say.locale) as page:
                await _sign_in(page, "duty", NEW)
                await expect(page.locator("[data-duty]:not(body)")).to_have_count(0)
                await centre.check_duty(2)
                check, city = page.locator(".duty"), say("监控中心 city", "Monitoring centre city")
                await expect(check).to_contain_text(city, timeout=WAIT_MS)
                await expect(check).to_contain_text(say("水冶", "Shuiye"))
                await expect(check.locator("time")).to_contain_text("01:5")
                await expect(page).to_have_title(say("查岗 · 微站", "Duty check · Weizhan"))
                await page.get_by_role("button", name=say("在岗应答", "I am here")).click()
                await expect(page.locator(".duty-done")).to_contain_text(
                    f"{say('查岗已应答', 'Duty check answered')} {city} · duty",
                    timeout=WAIT_MS,
                )
                await expect(check).to_have_count(0)
                await until(lambda: replies(centre) == 1)

                await page.goto(f"{address}/notifications")
                await expect(page.locator('[data-centre="city"]')).to_contain_text(say("已连接", "connected"))
                await centre.check_duty(1)
                await expect(check).to_have_class("duty is-urgent", timeout=WAIT_MS)
                clock.ahead_ms = 61_000
                missed = page.locator(".duty-missed")
                await expect(missed).to_contain_text(
                    f"{say('查岗未应答', 'Duty check not answered')} {city}", timeout=WAIT_MS
                )
                await expect(check).to_have_count(0)
                assert replies(centre) == 1
                await missed.get_by_role("button", name=say("补应答（已超时）", "Answer late")).click()
                await expect(page.locator(".duty-done")).to_contain_text(
                    [say("已补应答（超时）", "answered late"), say("已应答", "answered")], timeout=WAIT_MS
                )
                await expect(missed).to_have_count(0)
                await until(lambda: replies(centre) == 2)
    with LedgerReader(station.data_dir / FILE) as ledger:
        done = [(row.action, row.actor) for row in ledger.audit() if row.action.startswith("duty_check.")]
    assert sorted(done) == [
        ("duty_check.answered", "duty"),
        ("duty_check.ask", "gateway"),
        ("duty_check.ask", "gateway"),
        ("duty_check.late", "duty"),
        ("duty_check.unanswered", "gateway"),
    ]


async def test_a_check_counts_down_sounds_until_it_is_answered_and_gives_way_to_a_fire(station: Station) -> None:
    """By the server's clock, an hour off from this machine's; through a lost gateway; silent with the answer.

    A fire that follows is drawn at once and stands on top, with the check in sight wherever the phone is scrolled to.
    """
    station.user("duty")
    phone: Any = {"viewport": {"width": 390, "height": 700}}
    async with serving(station) as address, _page(address, "en-GB", **phone) as page:
        await page.clock.install(time=time.time() + 3600)
        async with station.gateway():
            await _sign_in(page, "duty")
            await page.goto(f"{address}/devices")
            await page.evaluate(COUNT_TONES)
            await page.locator("[data-sound]").click()
            await _until(page, "window.tones === 1")
            number = station.acts.check(left_s=600)
            await _until(page, "window.tones >= 7")  # a doorbell has six tones
            left = page.locator(".duty time")
            await expect(left).to_contain_text("09:5", timeout=WAIT_MS)
        before = await page.evaluate("window.tones")
        await page.clock.fast_forward(4000)
        await _until(page, f"window.tones > {before}")  # nobody said that it was answered
        station.acts.checks[number]["until_ms"] += 300_000  # asked again meanwhile
        async with station.gateway():
            await expect(left).to_contain_text("14:", timeout=WAIT_MS)
            await page.get_by_role("button", name="I am here").click()
            await expect(page.locator(".duty-done")).to_contain_text("duty", timeout=WAIT_MS)
            after = await page.evaluate("window.tones")
            for _ in range(9):  # longer than the pause of a missed one
                await page.clock.fast_forward(4000)
            assert await page.evaluate("window.tones") == after

            await page.goto(address)
            station.acts.check()
            await expect(page.locator(".duty")).to_be_visible(timeout=WAIT_MS)
            began = time.monotonic()
            station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
            await expect(page.locator(".fire")).to_be_visible(timeout=WAIT_MS)
            assert time.monotonic() - began < 3.5  # a redraw that thinks the one before still runs waits for five
            station.alarm("panel-fire", "shuiye/panel-01/p013", "fire")
            await expect(page.locator(".fire")).to_have_count(2, timeout=WAIT_MS)
            fire, *_, answer = await page.evaluate(PLACES)
            assert fire["seen"]
            assert answer["seen"]
            assert fire["top"] < answer["top"] < 700
            await page.evaluate("scrollTo(0, document.body.scrollHeight)")
            *_, answer = await page.evaluate(PLACES)
            assert answer["seen"]
