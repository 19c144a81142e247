"""Every page there is, on one station with something to see on each, and one Chromium that looks at them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import yaml
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from contract.mqtt import MqttSettings
from gateway.app import Gateway, open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.secret import sign
from gateway.ledger.store import FILE
from gateway.notify.settings import NotifySettings
from gateway.settings import GatewaySettings
from gateway.web.access import ANYONE, ROUTES, csrf_of, token_hash
from gateway.web.ledger import WebLedger
from gateway.web.registers.report_desk import link_purpose
from gateway.web.settings import WebSettings
from gateway.work.device_labels import LABEL, token_of
from gateway.work.public import receipt_hash
from tests.gateway.harness import until
from tests.web import examples as e
from tests.web.station import HOUR_MS, Station, now_ms, serving
from tests.web.test_browser import ARGS, VENDOR
from tests.web.upkeep_house import Plant, site_text

GRID = """\
areas:
  - id: town
    kind: city
    title: {zh: 安阳市, en: Anyang}
    areas:
      - id: west-side
        kind: street
        title: {zh: 水冶街道, en: Shuiye street}
        people: [{name: 网格长, role: head}]
        units: [{id: market, kind: key, title: {zh: 农贸市场, en: Market}, site: shuiye}]
"""
MORE = """\
area: west-side
location: {lat: 36.1, lon: 114.1}
station:
  grade: 3
  crew: 2
  posts: [{id: room, title: {zh: 消防控制室, en: Control room}, crew: 1}]
  equipment: [{id: hoses, title: {zh: 水带, en: Hoses}, kind: hose, count: 2}]
place: key_unit
patrols:
  - id: hall
    title: {zh: 大厅, en: Hall}
    kind: patrol
    walk_s: 0
    stops: [{device: panel-01}, {id: exit, title: {zh: 安全出口, en: Exit}}]
trainings: [{kind: unit_drill}]
"""
OTHER = """\
site: spring
title:
  zh: 珍珠泉风景区游客服务中心及地下停车场微型消防站
  en: Micro fire station of the Pearl Spring visitor centre and its car park
area: west-side
station: {grade: 2, crew: 2, posts: [{id: room, title: {zh: 消防控制室, en: Control room}, crew: 1}]}
agents: [{id: edge8, lines: [{id: tcp8, kind: modbus_tcp, host: 192.0.2.8, port: 1502, devices: [
  {id: tank-08, profile: water-level, unit_id: 1, title: {zh: 高位水箱, en: Roof tank}}]}]}]
"""
"""A second site with a long name: where one is chosen, that must fit as well."""
CODE = "A" * 16
NO_PAGES = (".csv", ".json", "/file", "/picture", "/healthz", "/readyz", "/metrics", "{kind}", "/photos/{name}")
"""Ends of paths that answer something else than a page."""
LEAD_ON = frozenset(
    {
        "/admin/sites/{site}/change/{token}",  # lives until the change is made or left
        "/first-password",  # only while a one-time password is in use
        "/patrols/at/{token}",  # leads to the stop of the round, which is looked at
    }
)
"""Pages that are there in the middle of something else only."""
MADE = frozenset({"/records/exports/{job_id}", "/upkeep/lab/{token}"})
"""Pages of what is made in the background."""


class Seen(e.Known):
    """The station of these tests, with the examples the matrix has none of."""

    def __init__(self, gateway: Gateway, plant: Plant, data_dir: Path, words: str = "") -> None:
        super().__init__(gateway, e.OWN)
        self.plant = plant
        self._words = words
        self.data_dir = data_dir
        self._made["line"] = "field"

    @property
    def text(self) -> str:
        """What everybody writes everywhere."""
        return self._words or super().text

    async def live(self) -> None:
        """Everything answers, a device does not; a fire, a tank that runs dry, an old alarm that is over."""
        self.plant.wake()
        self.plant.all_good()
        for n in range(40):
            self.plant.say("hydrant-01/pressure_kpa", 200.0 + n % 7, ago_s=(40 - n) * 60, lane="telemetry")
        self.plant.say("tank-01/level_m", 0.4)
        self.plant.say("bay-01/online", False)
        self.plant.say("panel-01/p012", "fault")
        self.plant.say("panel-01/p003", "fire")
        self.plant.babble()
        await self.plant.settled()
        book = self.gateway.pipeline.working.book
        await until(lambda: any(a.severity == "fire" for a in book.open.values()))
        self._made["alarm_id"] = str(next(a.id for a in book.open.values() if a.severity == "fire"))
        for name in e.MAKERS:
            if name not in ("refused_id", "spot"):
                await self.get(name)
        rows = self.gateway.pipeline.working.quarantine
        await until(lambda: bool(rows))
        await self.ask("label.issue", site=self.site, devices=["panel-01", "hydrant-01"], days=30)
        report = {"text": self._words or "楼道堆放杂物", "place": self._words or "一层", "phone": "", "photo": ""}
        await self.ask("hazard.receive", receipt=receipt_hash(CODE), site=self.site, **report)

    async def place(self, path: str) -> str:
        """Where a page of the table stands."""
        if path == "/here/{site}/{post}/{code}":
            made = await self.ask("duty.code", site=self.site, post="room")
            return f"/here/{self.site}/room/{made['code']}"
        with contextlib.closing(WebLedger(self.data_dir / FILE)) as ledger:
            if path == "/l/{token}":
                return f"/l/{token_of(ledger.secret(), next(iter(ledger.entries(LABEL))))}"
            if path == "/report":
                key = sign(ledger.secret(), link_purpose(self.site))
                return f"/report?{urlencode({'site': self.site, 'key': key})}"
        return await self.fill(path.replace("{code}", CODE))


class Eyes:
    """Chromium on the running station."""

    def __init__(self, known: Seen, address: str, browser: Browser) -> None:
        self.known = known
        self.address = address
        self.pages: dict[str, str] = {}
        """Path in the table of routes -> where to look, of every page of somebody signed in."""
        self.open_pages: dict[str, str] = {}
        """The same for those without an account."""
        self._browser = browser

    @asynccontextmanager
    async def context(self, user: str | None = "administrator", **options: Any) -> AsyncIterator[BrowserContext]:
        """A fresh profile in which somebody is signed in, or nobody. The policy of the pages is off for the checker."""
        context = await self._browser.new_context(bypass_csp=True, reduced_motion="reduce", **options)
        try:
            if user is not None:
                token = await self.session(user)
                await context.add_cookies([{"name": "weizhan", "value": token, "url": self.address}])
            yield context
        finally:
            await context.close()

    async def session(self, user: str) -> str:
        """Sign somebody in; gives the token of the session."""
        token = secrets.token_urlsafe(32)
        args = {"token_hash": token_hash(token), "user": user, "expires_ms": now_ms() + HOUR_MS}
        await self.known.ask("session.open", **args)
        return token

    async def find(self) -> None:
        """Fill `pages` and `open_pages`: an export and a comparison of the rule lab are made for it."""
        for (method, path), roles in ROUTES.items():
            if method != "GET" or path.startswith("/api/") or path.endswith(NO_PAGES) or path in LEAD_ON:
                continue
            if roles is ANYONE:
                self.open_pages[path] = await self.known.place(path)
            elif path not in MADE:
                self.pages[path] = await self.known.place(path)
        token = await self.session("administrator")
        headers = {"X-CSRF-Token": csrf_of(token)}
        async with httpx.AsyncClient(base_url=self.address, headers=headers, timeout=30) as client:
            client.cookies.set("weizhan", token)
            given = {"kind": "alarms", "file": "csv", "site": self.known.site}
            self.pages["/records/exports/{job_id}"] = await _led(client, "/records/exports", given)
            lab = {"rule": "panel-fault", "for_s": "77", "days": "1", "site": self.known.site}
            self.pages["/upkeep/lab/{token}"] = await _led(client, "/upkeep/lab", lab)
            async with asyncio.timeout(60):
                while "lab-progress" in (await client.get(self.pages["/upkeep/lab/{token}"])).text:
                    await asyncio.sleep(0.1)
                while "download" not in (await client.get(self.pages["/records/exports/{job_id}"])).text:
                    await asyncio.sleep(0.1)
            # The thread of the history begins with its first reader.
            assert (await client.get(self.pages["/devices/{site}/{device}"])).status_code == 200


async def _led(client: httpx.AsyncClient, path: str, given: dict[str, str]) -> str:
    answer = await client.post(path, data=given)
    assert answer.status_code == 303, (path, answer.status_code)
    return answer.headers["location"]


async def shown(page: Page, address: str) -> None:
    """Open a page and wait until it is drawn."""
    answer = await page.goto(address, wait_until="load")
    assert answer is not None
    assert answer.status == 200, (address, answer.status)


def named(text: str, words: str) -> str:
    """A site or grid file in which every name begins with these words."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(each) for each in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"zh", "en"}:
            return {language: f"{words} {name}" for language, name in value.items()}
        return {key: f"{words} {each}" if key == "name" else walk(each) for key, each in value.items()}

    return yaml.safe_dump(walk(yaml.safe_load(text)), allow_unicode=True)


@asynccontextmanager
async def open_eyes(
    folder: Path, port: int, words: str = "", notify: NotifySettings | None = None
) -> AsyncIterator[Eyes]:
    """Gateway, pages, a station with content, one Chromium. words: every name begins with them, every text is them."""
    chromium = shutil.which("chromium")
    if chromium is None or not VENDOR.is_file():
        missing = "chromium (Debian package chromium)" if chromium is None else "web assets (make assets)"
        if os.environ.get("CI"):
            pytest.fail(f"{missing} is missing")
        pytest.skip(f"{missing} is missing")
    for name, text in (("grid", GRID), ("shuiye", site_text() + MORE), ("spring", OTHER)):
        (folder / f"{name}.yaml").write_text(named(text, words) if words else text, "utf-8")
    sites = [folder / "shuiye.yaml", folder / "spring.yaml"]
    settings = GatewaySettings(sites=sites, grid=folder / "grid.yaml", data_dir=folder / "d")
    station = Station.__new__(Station)
    station.settings = lambda: settings  # type: ignore[method-assign] # with a grid
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        told = {} if notify is None else {"notify": notify}
        gateway = await enter(open_gateway(settings, EmbeddedSettings(), MqttSettings(port=port), **told))
        known = Seen(gateway, Plant(gateway), settings.data_dir, words)
        for name in ("duty", "maintainer", "inspector", "administrator"):
            await known.ask("user.set_password", name=name, password_hash="$argon2id$none")
        await known.live()
        web = WebSettings.model_validate({"port": 0, "report_form": {"open": True}})
        address = await enter(serving(station, web))
        playwright = await enter(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGS)
        stack.push_async_callback(browser.close)
        eyes = Eyes(known, address, browser)
        await eyes.find()
        yield eyes
