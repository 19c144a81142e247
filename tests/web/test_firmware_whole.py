"""A firmware is changed on a device: simulator, agent, broker, gateway and page together."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from contract.mqtt import MqttSettings
from edge_agents.agent import Agent
from edge_agents.settings import AgentSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.settings import GatewaySettings
from simulators.device import Device
from simulators.identity import Identity
from simulators.modbus_tcp import ModbusTcpServer
from simulators.recorder import Recorder
from tests.parts.mosquitto import Mosquitto
from tests.simulators.conftest import LIBRARY, Clock
from tests.web.station import Browser, Station, serving
from tests.web.test_device_page import part_of
from tests.web.test_with_gateway import NEW

SITE = """\
site: s1
title: {{zh: 站, en: Station}}
agents:
  - id: a1
    lines:
      - id: tcp1
        kind: modbus_tcp
        host: 127.0.0.1
        port: {port}
        timeout_s: 0.5
        devices:
          - {{id: h1, profile: hydrant-indoor, unit_id: 1, poll_s: 2.5}}
          - {{id: h2, profile: hydrant-indoor, unit_id: 2, poll_s: 2.5}}
    """
PAGE = "/devices/s1/h1"
LIMIT_S = 30.0


async def shown(browser: Browser, text: str, page: str = PAGE) -> str:
    """The firmware block of a page once it says this."""
    end_s = time.monotonic() + LIMIT_S
    while text not in (block := part_of((await browser.get(page)).text, "panel facts firmware")):
        assert time.monotonic() < end_s, f"{page}: not within {LIMIT_S} s: {text}\n{block}"
        await asyncio.sleep(0.1)
    return block


async def test_a_new_firmware_is_an_event_with_a_time_when_a_device_comes_back_with_it(tmp_path: Path) -> None:
    """What the device tells over the wire stands on its page; after the change both, and in its life since when.

    A device that refuses is unknown with the reason, and nothing was written to either of them.
    """
    recorder = Recorder(tmp_path / "truth.jsonl", Clock())
    profile = LIBRARY["hydrant-indoor"]
    device = Device("h1", profile, recorder, identity=Identity("安科".encode(), b"HX-1", b"V1.2"))
    other = Device("h2", profile, recorder, identity=None)
    station = Station.__new__(Station)
    station.data_dir, station.site_file = tmp_path / "gateway", tmp_path / "s1.yaml"
    with Mosquitto(anonymous=True) as broker:
        mqtt = MqttSettings(port=broker.port)
        async with ModbusTcpServer({1: device, 2: other}, recorder) as server:
            station.site_file.write_text(SITE.format(port=server.port), "utf-8")
            agent = AgentSettings(
                site_file=station.site_file, agent_id="a1", data_dir=tmp_path / "agent", heartbeat_s=1, seal_ms=100
            )
            settings = GatewaySettings(sites=[station.site_file], data_dir=station.data_dir)
            async with (
                open_gateway(settings, EmbeddedSettings(), mqtt) as gateway,
                serving(station) as address,
                Browser(address) as browser,
            ):
                await browser.sign_in("maintainer", gateway.one_time_passwords["maintainer"])
                await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
                async with Agent(agent, mqtt):
                    first = await shown(browser, "V1.2")
                    assert "安科" in first
                    assert "before:" not in first
                    refused = await shown(browser, "the device does not have the function", "/devices/s1/h2")
                    assert "icon-unknown" in refused
                device.identity = Identity("安科".encode(), b"HX-1", b"V1.3")
                async with Agent(agent, mqtt):
                    changed = await shown(browser, "V1.3")
                assert "before:" in changed
                assert "V1.2" in changed
                life = (await browser.get("/api/v1/records/s1/h1")).json()["events"]
                alarms = (await browser.get("/api/v1/alarms?site=s1")).json()["items"]
    recorder.close()
    assert [event["lines"] for event in life if event["title"] == "Firmware or device changed"] == [
        ["Firmware revision: V1.2 → V1.3"]
    ]
    assert [alarm for alarm in alarms if alarm["subject"].rpartition("/")[2] in ("vendor", "product", "revision")] == []
    assert recorder.violations == 0
