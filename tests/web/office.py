"""The whole product for administrators' tests: the gateway itself, the pages, and an administrator signed in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from contract.mqtt import MqttSettings
from gateway.app import Gateway, open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from gateway.notify.settings import NotifySettings
from gateway.settings import GatewaySettings
from gateway.web.app import run
from gateway.web.configured import Configured
from gateway.web.link import WAIT_S
from gateway.web.settings import WebSettings
from tests.web.station import SITE, Browser

PASSWORD = "three short horns at noon"
NEVER_PORT = 9
"""No broker is there; nothing here needs one."""


@dataclass
class Office:
    """Everything that runs."""

    folder: Path
    settings: GatewaySettings
    gateway: Gateway
    address: str
    browser: Browser

    @property
    def ledger(self) -> LedgerReader:
        """A reader of the ledger, to be used as a context."""
        return LedgerReader(self.settings.data_dir / FILE)

    @property
    def site_file(self) -> Path:
        """The one site file."""
        return self.settings.sites[0]

    async def api(self, method: str, path: str, **more: Any) -> Any:
        """A call of the API as the administrator; gives the answer."""
        headers = {"X-CSRF-Token": await self.browser.csrf()}
        return await self.browser.request(method, path, headers=headers, **more)


def prepare(folder: Path, notify: dict[str, Any] | None = None, **gateway: Any) -> tuple[GatewaySettings, Configured]:
    """A configuration on disk: weizhan.yaml and a site file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    site_file = folder / "shuiye.yaml"
    if not site_file.exists():
        site_file.write_text(SITE, "utf-8")
    told: dict[str, Any] = {"gateway": {"sites": ["shuiye.yaml"], "data_dir": "d"}}
    if notify is not None:
        told["notify"] = notify
    (folder / "weizhan.yaml").write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
    settings = GatewaySettings.model_validate({"sites": [site_file], "data_dir": folder / "d", **gateway})
    ways = NotifySettings.model_validate({"proof": {"enabled": False}, **(notify or {})})
    return settings, Configured(folder / "weizhan.yaml", ways, settings.backup)


@asynccontextmanager
async def open_office(
    folder: Path, notify: dict[str, Any] | None = None, language: str = "en", wait_s: float = WAIT_S, **gateway: Any
) -> AsyncIterator[Office]:
    """Gateway and pages on a folder, and a browser of the administrator. wait_s: the pages wait so long for it."""
    settings, configured = prepare(folder, notify, **gateway)
    async with (
        open_gateway(
            settings,
            EmbeddedSettings(),
            MqttSettings(port=NEVER_PORT),
            notify=configured.notify,
            config_file=configured.file,
        ) as running,
        serving_office(settings, configured, wait_s) as address,
        Browser(address, language) as browser,
    ):
        await sign_in(browser, running)
        yield Office(folder, settings, running, address, browser)


async def sign_in(browser: Browser, running: Gateway, name: str = "administrator") -> None:
    """As somebody, with the one-time password of a first start or the one chosen then."""
    if (one_time := running.one_time_passwords.get(name)) is None:
        await browser.sign_in(name, PASSWORD)
        return
    await browser.sign_in(name, one_time)
    await browser.submit("/first-password", "/first-password", password=PASSWORD, again=PASSWORD)


@asynccontextmanager
async def serving_office(
    settings: GatewaySettings, configured: Configured, wait_s: float = WAIT_S
) -> AsyncIterator[str]:
    """The pages on a free port; gives the address."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    history = EmbeddedSettings(kind="embedded")
    ready_and_stop: dict[str, Any] = {"ready": ready.set_result, "stop": stop}
    work = run(WebSettings(port=0), settings, history, configured=configured, wait_s=wait_s, **ready_and_stop)
    task = asyncio.create_task(work, name="web")
    try:
        await asyncio.wait({task, ready}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield await asyncio.wait_for(ready, 1)
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 15)
