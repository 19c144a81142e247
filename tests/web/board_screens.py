"""Screens of the duty board on one station that a whole module shares: Chromium once, a fresh profile a screen."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from gateway.control.protocol import Ask
from gateway.web.access import token_hash
from gateway.web.board.plan_pictures import FOLDER, store_plan
from tests.gateway.staff import STATION
from tests.web.station import HOUR_MS, SITE, Station, now_ms, serving
from tests.web.test_browser import ARGS, VENDOR, WAIT_MS

WALL: dict[str, Any] = {"viewport": {"width": 1920, "height": 1080}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
TONES = """() => {
    window.tones = [];
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...given) {
        window.tones.push(this.frequency.value);
        return start.apply(this, given);
    };
}"""
"""Writes down every tone: its frequency."""


class Screens:
    """The station and whoever looks at it."""

    def __init__(self, station: Station, address: str, browser: Browser) -> None:
        self.station = station
        self.address = address
        self._browser = browser

    @asynccontextmanager
    async def screen(
        self, path: str = "/", user: str = "duty", language: str = "zh-CN", *, address: str = "", **options: Any
    ) -> AsyncIterator[Page]:
        """A page of somebody signed in; a script error or a refused resource fails the test."""
        at, token, problems = address or self.address, secrets.token_urlsafe(32), []
        args = {"token_hash": token_hash(token), "user": user, "expires_ms": now_ms() + HOUR_MS}
        assert self.station._answer(Ask(id=1, op="session.open", actor="local", args=args)).ok
        context = await self._browser.new_context(locale=language, **options)
        try:
            await context.add_cookies([{"name": "weizhan", "value": token, "url": at}])
            page = await context.new_page()
            page.set_default_timeout(WAIT_MS)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda m: problems.append(m.text) if "Content Security Policy" in m.text else None)
            page.on("request", lambda r: problems.append(r.url) if not r.url.startswith((at, "blob:")) else None)
            await page.add_init_script(f"({TONES})()")
            await page.goto(at + path)
            await page.wait_for_selector("#live")
            yield page
        finally:
            await context.close()
        assert problems == []

    def add_plan(self, *marks: tuple[str, int, int]) -> int:
        """A plan with these devices on it; gives its number."""
        made = io.BytesIO()
        Image.new("RGB", (1200, 800), "white").save(made, "PNG")
        kept = store_plan(self.station.data_dir / FOLDER, made.getvalue())
        args = {"site": "shuiye", "title": "一层", "picture": kept.name, "width": kept.width, "height": kept.height}
        number = int(self.station.board.do("floor_plan.add", "administrator", args)["id"])
        for at, x, y in marks:
            self.station.board.do("floor_plan.place", "administrator", {"id": number, "at": at, "x": x, "y": y})
        return number

    def asked(self, op: str) -> list[tuple[str, dict[str, Any]]]:
        """Commands of a kind, as the gateway got them."""
        return [(ask.actor, ask.args) for ask in self.station.asked if ask.op == op]

    def calm(self) -> None:
        """Every alarm is over, every device good, nothing was asked yet."""
        station = self.station
        for (number,) in station.db.execute("SELECT id FROM alarm WHERE state <> 'normal'").fetchall():
            station.acts.change(number, state="normal", active=0, cleared_ms=now_ms(), hold=None)
        station.all_good()
        station._tell("reading", [[key, *value] for key, value in station.values.items()])
        station.asked.clear()


@asynccontextmanager
async def open_screens(folder: Path) -> AsyncIterator[Screens]:
    """A station with a running shift, its gateway, pages, and one Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None or not VENDOR.is_file():
        missing = "chromium (Debian package chromium)" if chromium is None else "web assets (make assets)"
        if os.environ.get("CI"):
            pytest.fail(f"{missing} is missing")
        pytest.skip(f"{missing} is missing")
    station = Station(folder)
    station.all_good()
    station.site_file.write_text(f"{SITE}\n{STATION}", "utf-8")
    for role in ("duty", "maintainer", "inspector", "administrator"):
        station.user(role)
    _fill(station)
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(station.gateway())
            address = await stack.enter_async_context(serving(station))
            playwright = await stack.enter_async_context(async_playwright())
            browser = await playwright.chromium.launch(executable_path=chromium, args=ARGS)
            stack.push_async_callback(browser.close)
            made = Screens(station, address, browser)
            async with made.screen("/devices/shuiye/hydrant-01"):
                pass  # the thread of the history begins with its first reader
            yield made
    finally:
        station.close()


def _fill(station: Station) -> None:
    """Readiness with a reason, and a shift."""
    at = now_ms() - HOUR_MS
    row = {"id": 1, "site": "shuiye", "from_ms": at}
    taken = {**row, "state": "standing", "alarm": 1, "rule": "water-level-low", "subject": "shuiye/tank-01/level_m"}
    taken |= {"level": "degraded", "points": 10, "raised_ms": at, "basis_zh": "依据", "basis_en": "basis"}
    station.db.execute(
        "INSERT INTO entry VALUES ('deduction', 1, 'shuiye', 'standing', 1, ?, NULL, ?)", (at, json.dumps(taken))
    )
    stay = {"person": 7, "post": "control", "from_ms": at}
    station.entries = {
        "readiness": [{**row, "state": "now", "level": "degraded", "score": 90.0, "unknown": 0}],
        "shift": [
            {**row, "state": "running", "planned_ms": at, "ends_ms": at + 8 * HOUR_MS, "stays": [stay], "handover": 1}
        ],
    }


class Cut:
    """A network between screens and server that can hang: it takes everything and passes nothing on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.passes = asyncio.Event()
        self.passes.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """The address to use instead of the server's."""
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        self._tasks.add(current)
        current.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, far_writer))
                    group.create_task(self._pass(far_reader, writer))
            finally:
                far_writer.close()
        except* OSError:
            pass
        finally:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.passes.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


async def until(condition: Callable[[], Any], timeout_s: float = WAIT_MS / 1000) -> None:
    """Waits for a condition of this process."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)
