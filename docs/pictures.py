"""Take the pictures of docs/design.md: `make pictures`. Runs a simulated station and Debian's Chromium.

    story of the demo ──> pages of a real web process ──> Chromium, as each person ──> docs/pictures/*.png

A month of values is put into the history first, so that charts show what they are for.
"""

from __future__ import annotations

import asyncio
import io
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from cli.demo_crew import man_station
from cli.demo_plans import hang_plans
from cli.installation import Installation, Plan, start_installation
from cli.processes import Family
from gateway.app import wall_ms
from gateway.history import open_history
from gateway.history.base import Row
from gateway.history.settings import EmbeddedSettings

FOLDER = Path(__file__).parent / "pictures"
SIZES = {"phone": (390, 844), "desk": (1280, 800), "wall": (1920, 1080)}
PASSWORD = "a picture of 微站 is taken"  # noqa: S105 - of a station that lives as long as the pictures take
DAY_MS = 86_400_000
BURNING = "main .fire"
"""What the board shows while a fire holds."""


class Shot(NamedTuple):
    """A picture. name: of the file. path: of the page. ready: a selector to wait for."""

    name: str
    path: str
    role: str = "duty"
    size: str = "desk"
    language: str = "zh"
    theme: str = "light"
    ready: str = "main h1, main h2"


IN_FIRE = (
    Shot("wall-fire", "/wall", size="wall", ready=BURNING),
    Shot("board-fire-phone", "/", size="phone", ready=BURNING),
    Shot("board-fire-dark-en", "/", language="en", theme="dark", ready=BURNING),
    Shot("map-fire", "/map?plan=2", ready="main svg, main img"),
)
"""Taken while the story's fire holds; first things first."""
AFTER = (
    Shot("board", "/"),
    Shot("map", "/map", ready="main svg, main img"),
    Shot("alarms-en", "/alarms?show=all", language="en"),
    Shot("device", "/devices/{site}/{device}", "maintainer"),
    Shot("device-phone-dark", "/devices/{site}/{device}", "maintainer", "phone", theme="dark"),
    Shot("health", "/upkeep", "maintainer"),
    Shot("lab", "/upkeep/lab", "maintainer"),
    Shot("life", "/records/{site}/{device}", "inspector"),
    Shot("life-phone-en", "/records/{site}/{device}", "inspector", "phone", language="en"),
    Shot("completeness", "/records/{site}/{device}/completeness", "inspector"),
    Shot("month", "/records/readiness", "inspector", theme="dark"),
    Shot("shift", "/shift"),
    Shot("sites-en", "/admin/sites", "administrator", language="en"),
    Shot("audit", "/admin/audit", "administrator"),
)
"""Taken when the fire is over."""


async def take(folder: Path) -> None:
    """Run the station, take every picture into FOLDER.

    Raises:
        StartError: a part did not come up. TimeoutError: a page did not show what it should.
    """
    async with Family(folder / "logs") as family, async_playwright() as playwright:
        up = await start_installation(family, folder, Plan(web_port=0))
        await man_station(up.data_dir, up.site)
        await hang_plans(up.data_dir, up.site)
        await _fill_history(up)
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        people = {role: await _sign_in(browser, up, role) for role in sorted({s.role for s in IN_FIRE + AFTER} - {""})}
        people[""] = await (await browser.new_context()).storage_state()
        up.simulators.say("start")
        for shot in IN_FIRE:
            await _shoot(browser, up, shot, people)
        while not (await up.simulators.lines.get()).startswith('{"finished"'):
            pass
        for shot in AFTER:
            await _shoot(browser, up, shot, people)
        await browser.close()


async def _sign_in(browser: Browser, up: Installation, role: str) -> dict[str, object]:
    """Choose a password in place of the one-time one; the cookies."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{up.url}/sign-in")
    await page.fill("[name=name]", role)
    await page.fill("[name=password]", up.passwords[role])
    await page.press("[name=password]", "Enter")
    await page.wait_for_url("**/first-password")
    await page.fill("[name=password]", PASSWORD)
    await page.fill("[name=again]", PASSWORD)
    await page.press("[name=again]", "Enter")
    await page.wait_for_url(f"{up.url}/")
    state = await context.storage_state()
    await context.close()
    return dict(state)


async def _shoot(browser: Browser, up: Installation, shot: Shot, people: dict[str, object]) -> None:
    width, height = SIZES[shot.size]
    context: BrowserContext = await browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if shot.size == "phone" else 1,
        locale="zh-CN" if shot.language == "zh" else "en-GB",
        timezone_id="Asia/Shanghai",
        color_scheme="dark" if shot.theme == "dark" else "light",
        storage_state=people[shot.role],
    )
    page: Page = await context.new_page()
    path = shot.path.format(site=up.site.site, device="hydrant-02")
    await page.goto(up.url + path)
    await page.wait_for_selector(shot.ready, timeout=180_000)
    # The live stream never rests; fonts, charts and the first redraw do.
    await page.wait_for_load_state("load")
    await page.evaluate("() => document.fonts.ready")
    await page.wait_for_timeout(1200)
    _keep(shot.name, await page.screenshot())
    await context.close()
    sys.stderr.write(f"pictures: {shot.name}\n")


def _keep(name: str, png: bytes) -> None:
    """With 128 colours a page looks the same and takes a third."""
    FOLDER.mkdir(exist_ok=True)
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        FOLDER / f"{name}.png", optimize=True
    )


async def _fill_history(up: Installation) -> None:
    """Thirty days of two hydrants that breathe with the town's use of water."""
    settings = EmbeddedSettings(kind="embedded")
    async with open_history(settings, up.data_dir) as history:
        rows = list(_month(up.site.site))
        for start in range(0, len(rows), 5000):
            await history.write(rows[start : start + 5000], lambda *_: None)


def _month(site: str) -> Iterator[Row]:
    rng = random.Random(7)  # noqa: S311 - a picture, not a secret
    end_ms = wall_ms()
    for device, mean in (("hydrant-01", 268.0), ("hydrant-02", 262.0)):
        for at_ms in range(end_ms - 30 * DAY_MS, end_ms, 300_000):
            hour = (at_ms / 3_600_000 + 8) % 24
            use = 14 * math.exp(-(((hour - 7.5) / 1.6) ** 2)) + 18 * math.exp(-(((hour - 19) / 2.2) ** 2))
            yield Row(site, device, "pressure_kpa", at_ms, round(mean - use + rng.gauss(0, 1.2), 1), "good")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="weizhan-pictures-") as made:
        asyncio.run(take(Path(made)))
