"""A whole product whose plant is told by the test: the gateway takes readings as an agent would send them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from contract.messages import AgentState, Batch, Lane, Reading, encode
from contract.mqtt import MqttSettings
from contract.topics import DEFAULT_ROOT
from gateway.app import Gateway, open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ingest.door import Arrival
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from gateway.web.settings import WebSettings
from tests.web.station import GOOD_VALUES, SITE, Browser, Station, now_ms, serving

NEW = "three short horns at noon"
AGENT_OF = {
    "line-field": "edge1",
    "hydrant": "edge1",
    "indoor": "edge1",
    "tank": "edge1",
    "pump": "edge1",
    "panel-01": "edge1",
}


def site_text(today: date | None = None) -> str:
    """The station of the web tests with dates of its equipment; orders close as soon as the data shows it."""
    day = today or datetime.now(UTC).date()
    late, soon = day - timedelta(days=400), day - timedelta(days=345)
    text = SITE.replace(
        "      place: {zh: 胜利路 18 号门前, en: Outside 18 Victory Road}\n",
        "      place: {zh: 胜利路 18 号门前, en: Outside 18 Victory Road}\n"
        f"      asset: {{calibrated: {late}, battery: {day - timedelta(days=700)}}}\n",
    ).replace(
        "      place: {zh: 一层走廊西侧, en: Floor 1 corridor west}\n",
        "      place: {zh: 一层走廊西侧, en: Floor 1 corridor west}\n"
        f"      asset: {{extinguisher: powder, made: {day - timedelta(days=900)}, inspected: {day}, "
        f"calibrated: {soon}}}\n",
    )
    return text + "orders: {confirm_h: 0}\n"


class Plant:
    """What the equipment says."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._seq: dict[tuple[str, str], int] = {}

    def wake(self, *agents: str) -> None:
        """Agents are there."""
        for agent in agents or ("edge1", "edge2"):
            sent_ms = now_ms()
            state = AgentState(site="shuiye", agent=agent, epoch="e1", online=True, sent_ms=sent_ms)
            self._offer(agent, "state", state, sent_ms)

    def say(self, point: str, value: Any, quality: str = "good", *, ago_s: float = 0, lane: Lane = "alarm") -> None:
        """A reading arrives."""
        device = point.partition("/")[0]
        agent = next((agent for head, agent in AGENT_OF.items() if device.startswith(head)), "edge2")
        sent_ms = now_ms()
        seq = self._seq[agent, lane] = self._seq.get((agent, lane), 0) + 1
        readings = [Reading(point, sent_ms - int(ago_s * 1000), value, quality)]
        batch = Batch(
            site="shuiye", agent=agent, epoch="e1", lane=lane, seq=seq, oldest=1, sent_ms=sent_ms, readings=readings
        )
        self._offer(agent, lane, batch, sent_ms)

    def all_good(self, *devices: str) -> None:
        """Everything (or these devices) is well."""
        for device, points in GOOD_VALUES.items():
            if not devices or device in devices:
                for point, value in {**points, "online": True}.items():
                    self.say(f"{device}/{point}", value)

    def babble(self, text: bytes = b"no json", topic: str = "telemetry") -> None:
        """A message that nobody understands arrives."""
        self._gateway.pipeline.offer(Arrival(f"{DEFAULT_ROOT}/shuiye/edge1/{topic}", text, now_ms(), False))

    def _offer(self, agent: str, channel: str, message: Any, at_ms: int) -> None:
        arrival = Arrival(f"{DEFAULT_ROOT}/shuiye/{agent}/{channel}", encode(message), at_ms, False)
        assert self._gateway.pipeline.offer(arrival)

    async def settled(self) -> None:
        """Everything that was said has been dealt with."""
        async with asyncio.timeout(20):
            while self._gateway.pipeline.status()["pending"]:  # the pipeline offers no event
                await asyncio.sleep(0.01)


class House:
    """The whole product on one machine."""

    def __init__(self, station: Station, gateway: Gateway, address: str, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self.plant = Plant(gateway)
        self.address = address
        self.station = station
        self.ledger = LedgerReader(station.data_dir / FILE)
        self._stack = stack

    async def browser(self, role: str) -> Browser:
        """A browser with that role signed in."""
        browser = await self._stack.enter_async_context(Browser(self.address))
        await browser.sign_in(role, self.gateway.one_time_passwords[role])
        await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
        return browser

    async def shown(self, browser: Browser, path: str, text: str) -> str:
        """A page once it shows a text."""
        html = ""
        async with asyncio.timeout(20):
            while text not in html:
                html = (await browser.get(path)).text
                if text not in html:
                    await asyncio.sleep(0.05)
        return html


@asynccontextmanager
async def open_upkeep(folder: Path, port: int, site: str | None = None) -> AsyncIterator[House]:
    """All of it, running."""
    station = Station.__new__(Station)
    station.data_dir, station.site_file = folder / "d", folder / "shuiye.yaml"
    station.site_file.write_text(site_text() if site is None else site, "utf-8")
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=port))
        )
        address = await stack.enter_async_context(serving(station, WebSettings(port=0)))
        house = House(station, gateway, address, stack)
        stack.callback(house.ledger.close)
        yield house
