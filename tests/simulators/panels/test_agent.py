"""The whole agent with panels on two lines: from the simulated panel to the gateway's own commit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from contract.mqtt import MqttSettings
from contract.panel import decode_event
from contract.profile import PROFILES
from edge_agents.agent import Agent
from edge_agents.settings import AgentSettings
from simulators.panels.panel import SimulatedPanel
from simulators.panels.songjiang import SongjiangPanel, point_bytes, songjiang_frame
from simulators.panels.terminal import PanelTerminal
from simulators.panels.transmitter import report, sia_message
from tests.edge_agents.gateway import SmallGateway
from tests.parts.mosquitto import Mosquitto
from tests.simulators.clients import until

AT = datetime(2024, 5, 6, 7, 8, 9)  # noqa: DTZ001  # a panel's own clock
SITE = """\
site: s1
title: {{zh: 站, en: Station}}
agents:
  - id: a1
    lines:
      - id: serial
        kind: panel_serial
        port: {serial}
        devices:
          - {{id: songjiang, profile: panel-songjiang}}
      - id: net
        kind: panel_tcp
        port: {port}
        devices:
          - {{id: transmitter, profile: panel-sia-dc09}}
"""


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """A Mosquitto of this test's own, open to everyone."""
    with Mosquitto(anonymous=True) as part:
        yield part


async def test_panel_events_reach_the_gateway_when_the_agent_runs(
    tmp_path: Path, broker: Mosquitto, free_port: int
) -> None:
    """A fire on the serial panel and one from a transmitter: acknowledged to both, and committed once each."""
    link = tmp_path / "panel"
    (tmp_path / "site.yaml").write_text(SITE.format(serial=link, port=free_port), "utf-8")
    settings = AgentSettings(
        site_file=tmp_path / "site.yaml", agent_id="a1", data_dir=tmp_path / "data", heartbeat_s=1, resend_s=0.5
    )
    panel = SongjiangPanel(1)
    panel.say(songjiang_frame(1, 110, [point_bytes(1, 3, 30, AT)]))
    mqtt = MqttSettings(port=broker.port)
    async with PanelTerminal(panel, link), SmallGateway(broker.port) as gateway, Agent(settings, mqtt) as agent:
        await until(lambda: panel.acknowledged == 1, "the acknowledgement")
        await until(lambda: all(line.is_open for line in agent.lines), "both lines open")
        answer = await report("127.0.0.1", free_port, sia_message("ADM-CID", 1, "77", "1110 01 003"))
        assert b'"ACK"0001' in answer

        def committed() -> dict[str, list[object]]:
            found: dict[str, list[object]] = {}
            for reading in gateway.readings("alarm"):
                found.setdefault(reading.point, []).append(reading.value)
            return found

        await until(lambda: "transmitter/event" in committed(), "the transmitter's event")
        await until(lambda: "songjiang/event" in committed(), "the panel's event")
    found = committed()
    assert found["songjiang/l003p030"] == ["fire"]
    assert found["transmitter/c77z003"] == ["fire"]
    assert [decode_event(str(text)).event for text in found["songjiang/event"]] == ["fire"]
    assert bytes(panel.forbidden) == b""


async def test_bytes_of_an_unknown_dialect_are_kept_and_shown_when_nothing_can_be_read(
    tmp_path: Path, broker: Mosquitto, free_port: int
) -> None:
    """The event tells their beginning in hex, and all of them stand in the line's file of what was refused."""
    link, said = tmp_path / "panel", b"\x7e\x01\x02 another dialect \x7e" * 4
    (tmp_path / "site.yaml").write_text(SITE.format(serial=link, port=free_port), "utf-8")
    (tmp_path / "own").mkdir()
    shipped = (PROFILES / "panel-songjiang.yaml").read_text("utf-8")
    patient = shipped.replace("panel: {driver: songjiang", "panel: {unreadable_after_s: 1, driver: songjiang")
    assert patient != shipped
    (tmp_path / "own" / "panel-songjiang.yaml").write_text(patient, "utf-8")
    settings = AgentSettings(
        site_file=tmp_path / "site.yaml", agent_id="a1", data_dir=tmp_path / "data", profiles=[tmp_path / "own"],
        heartbeat_s=1,
    )  # fmt: skip
    panel, kept = SimulatedPanel(), tmp_path / "data" / "refused" / "serial.jsonl"
    mqtt = MqttSettings(port=broker.port)
    async with PanelTerminal(panel, link), SmallGateway(broker.port) as gateway, Agent(settings, mqtt) as agent:
        await until(lambda: all(line.is_open for line in agent.lines), "both lines open")
        panel.say(said)

        def events() -> list[str]:
            return [str(r.value) for r in gateway.readings("alarm") if r.point == "songjiang/event"]

        await until(lambda: bool(events()), "the event")
        await until(lambda: kept.exists() and b"\n" in kept.read_bytes(), "the file")
    event = decode_event(events()[0])
    assert event.event == "unreadable"
    assert said[-64:].hex(" ").upper() in event.text
    entry = json.loads(kept.read_text("utf-8").splitlines()[0])
    assert entry["topic"] == "songjiang"
    assert entry["why"].startswith("unreadable: ")
    assert bytes.fromhex(entry["hex"]) == said
