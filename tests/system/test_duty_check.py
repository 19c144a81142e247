"""A duty check (查岗) from the API down to a simulated transmitter and its answer back; every other part is real."""

from __future__ import annotations

import time
from pathlib import Path

from contract.mqtt import MqttSettings
from edge_agents.agent import Agent
from edge_agents.settings import AgentSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from rules.memory import LastValue
from simulators.gb26875.transmitter import Habits, SimulatedTransmitter
from tests.gateway.harness import until
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port
from tests.web.station import Browser, Station, serving

ADDRESS = bytes.fromhex("790000000001")
SITE = """\
site: shuiye
title: {{zh: 水冶微站, en: Shuiye}}
agents:
  - id: edge1
    lines:
      - id: uitd
        kind: gb26875
        port: {port}
        devices:
          - {{id: uitd-01, profile: panel-gb26875, address: "{address}"}}
      - id: lan
        kind: modbus_tcp
        host: 127.0.0.1
        port: {nobody}
        devices: [{{id: hydrant-01, profile: hydrant-municipal, unit_id: 1}}]
"""
NEW = "three short horns at noon"


async def test_a_duty_check_reaches_the_transmitter_and_its_answer_the_gateway(tmp_path: Path) -> None:
    """Type 91 with its minutes goes down, type 24 bit 5 comes back as a reading; each answer is one of its own.

    Equipment that knows no duty checks, and a transmitter that cannot be heard, are refused at once.
    """
    station = Station.__new__(Station)
    station.data_dir, station.site_file = tmp_path / "d", tmp_path / "shuiye.yaml"
    port = free_port()
    station.site_file.write_text(SITE.format(port=port, nobody=free_port(), address=ADDRESS.hex()), "utf-8")
    with Mosquitto(anonymous=True) as broker:
        mqtt = MqttSettings(port=broker.port)
        edge = AgentSettings(site_file=station.site_file, agent_id="edge1", data_dir=tmp_path / "e", heartbeat_s=1.0)
        async with (
            open_gateway(station.settings(), EmbeddedSettings(), mqtt) as gateway,
            Agent(edge, mqtt),
            serving(station) as address,
            Browser(address) as browser,
        ):
            await browser.sign_in("duty", gateway.one_time_passwords["duty"])
            await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            head = {"X-CSRF-Token": await browser.csrf()}
            engine = gateway.pipeline.working.engine

            async def check(device: str) -> int:
                path = f"/api/v1/devices/shuiye/{device}/duty-check"
                return (await browser.post(path, headers=head, json={"minutes": 7})).status_code

            def slot(point: str) -> LastValue:
                return dict(engine.values())[f"shuiye/uitd-01/{point}"]

            def answers() -> list[int]:
                said = slot("duty_answer")
                return [said.observed_ms] if said.value == "operator 3" else []

            await until(lambda: gateway.pipeline.working.agents)
            assert await check("uitd-01") == 503
            async with SimulatedTransmitter(
                ADDRESS, "127.0.0.1", port, habits=Habits(answers_duty_after_s=0.05)
            ) as uitd:
                await until(lambda: slot("online").value is True)
                assert await check("hydrant-01") == 422
                assert await check("uitd-01") == 200
                await until(answers)
                (first,) = answers()
                # Answers carry whole seconds.
                await until(lambda: time.time_ns() // 1_000_000_000 > first // 1000)
                assert await check("uitd-01") == 200
                await until(lambda: answers() != [first])
                assert uitd.counts.duty_checks == [7, 7]
        audit = [row for row in _audit(station) if row[0] == "device.check_duty"]
        assert audit == [("device.check_duty", "duty", "shuiye/uitd-01")] * 2


def _audit(station: Station) -> list[tuple[str, str, str]]:
    with LedgerReader(station.data_dir / FILE) as ledger:
        return [(row.action, row.actor, row.subject) for row in ledger.audit()]
