"""The accounts cannot be read: nobody gets in anywhere, and a fire is shown and told all the same."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from contract.messages import Reading
from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.control.client import SOCKET
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.store import FILE
from gateway.notify.settings import NotifySettings
from gateway.settings import GatewaySettings
from gateway.web.access import ANYONE, PROBES, ROUTES
from tests.gateway.harness import FIRE, arrival, batch
from tests.gateway.notify.sending import hook
from tests.gateway.notify.servers import server
from tests.web.office import NEVER_PORT, sign_in
from tests.web.station import SITE, Browser, Station, now_ms, serving
from tests.web.test_stream import _events, _until

CLOSED = {401, 503}
OPEN_TO_ALL = {"/sign-in", "/first-password", "/pair", "/preferences", "/report", "/report/{code}"}


def _station(folder: Path, data_dir: Path) -> Station:
    """Where the pages look: the same site, a data folder of its own."""
    station = Station.__new__(Station)
    station.data_dir, station.site_file = data_dir, folder / "shuiye.yaml"
    return station


def _copy(ledger: Path, folder: Path) -> Path:
    """The pages' own view of a gateway: its socket, and a copy of its ledger, which may be damaged at will."""
    folder.mkdir()
    (folder / SOCKET).symlink_to(ledger.parent / SOCKET)
    copied = folder / FILE
    with contextlib.closing(sqlite3.connect(ledger)) as source, contextlib.closing(sqlite3.connect(copied)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE").fetchall()
    return copied


async def _answers(browser: Browser, csrf: str) -> dict[tuple[str, str], int]:
    """Status of every route that needs a sign-in, asked with a session that held."""
    found = {}
    for (method, path), roles in ROUTES.items():
        if roles is ANYONE or path in PROBES or path in OPEN_TO_ALL:
            continue
        address = path
        while "{" in address:
            head, _, rest = address.partition("{")
            address = f"{head}1{rest.partition('}')[2]}"
        answer = await browser.request(method, address, headers={"X-CSRF-Token": csrf})
        found[method, path] = answer.status_code
    return found


async def test_nobody_gets_in_and_a_fire_is_told_when_the_accounts_cannot_be_read(tmp_path: Path) -> None:
    """Damaged, then away: every route refuses, reading and writing; the open screen and the webhook have the fire."""
    (tmp_path / "shuiye.yaml").write_text(SITE, "utf-8")
    settings = GatewaySettings(sites=[tmp_path / "shuiye.yaml"], data_dir=tmp_path / "d")
    mqtt = MqttSettings(port=NEVER_PORT)
    async with server() as there:
        told = NotifySettings.model_validate(
            {
                "people": [hook(tmp_path, "wang", there)],
                "chains": [{"id": "all", "steps": [{"after_s": 0, "people": ["wang"]}], "repeat_s": None}],
                "routes": [{"chain": "all", "severities": ["fire"]}],
                "proof": {"enabled": False},
            }
        )
        async with open_gateway(settings, EmbeddedSettings(), mqtt, notify=told) as gateway:
            async with serving(_station(tmp_path, tmp_path / "d")) as address, Browser(address) as browser:
                await sign_in(browser, gateway, "administrator")
                csrf, cookies = await browser.csrf(), browser.cookies
            copied = _copy(tmp_path / "d" / FILE, tmp_path / "w")
            async with serving(_station(tmp_path, tmp_path / "w")) as address, Browser(address) as browser:
                browser.cookies.update(cookies)
                assert (await browser.get("/devices")).status_code == 200
                events: AsyncIterator[tuple[str, Any]] = _events(browser)
                await _until(events, "heartbeat")
                copied.write_bytes(bytes(8192))
                answers = await _answers(browser, csrf)
                assert len(answers) > 150
                assert {each: status for each, status in answers.items() if status not in CLOSED} == {}
                copied.unlink()
                for path in ("/", "/devices", "/api/v1/alarms", "/api/v1/session", "/api/v1/stream"):
                    assert (await browser.get(path)).status_code in CLOSED, path
                async with Browser(address) as stranger:
                    assert (await stranger.sign_in("administrator")).status_code == 503
                fire = batch(1, Reading(FIRE, now_ms(), "fire"), lane="alarm", sent_ms=now_ms())
                assert gateway.pipeline.offer(arrival(fire, now_ms()))
                alarm = await _until(events, "alarm")
                assert (alarm["severity"], alarm["subject"]) == ("fire", f"shuiye/{FIRE}")
                assert "fire" in str((await there.posted(1))[0].json)
                await events.aclose()  # type: ignore[attr-defined]  # an async generator
