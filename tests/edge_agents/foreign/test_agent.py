"""Simulated terminals and sensors through Mosquitto and the whole agent to the gateway's side."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from contract.mqtt import MqttSettings
from contract.profile import ProfileLibrary
from edge_agents.agent import Agent
from edge_agents.settings import AgentSettings
from simulators.json_sensor import JsonSensor
from simulators.meokon import Terminal
from tests.edge_agents.gateway import SmallGateway, until
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port

SITE = """\
site: s1
title: {{zh: 站, en: Station}}
agents:
  - id: a1
    lines:
      - id: air
        kind: mqtt
        host: 127.0.0.1
        port: {port}
        devices:
          - {{id: h1, profile: wireless-hydrant-meokon, address: SHRP25090120}}
          - {{id: d1, profile: json-smoke-heat, address: SD-8841}}
          - {{id: w1, profile: zigbee2mqtt-leak, address: pump-room}}
"""
LIBRARY = ProfileLibrary()
CALM: dict[str, Any] = {"smoke": "normal", "heat": "normal", "temperature_c": 21.5, "battery_v": 3.0}


def now_s() -> int:
    return int(time.time())


def now_ms() -> int:
    return int(time.time() * 1000)


def make_settings(folder: Path, port: int) -> AgentSettings:
    """A site of three foreign sensors on this broker."""
    (folder / "site.yaml").write_text(SITE.format(port=port), "utf-8")
    return AgentSettings(
        site_file=folder / "site.yaml",
        agent_id="a1",
        data_dir=folder / "data",
        heartbeat_s=1,
        seal_ms=50,
        resend_s=0.5,
    )


@pytest.fixture
async def sender(broker: Mosquitto) -> AsyncIterator[aiomqtt.Client]:
    """A client that publishes what sensors send."""
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        yield client


def of(gateway: SmallGateway, point: str) -> list[tuple[object, str]]:
    """Everything committed of one point."""
    readings = gateway.readings("alarm") + gateway.readings("telemetry")
    return [(r.value, r.quality) for r in readings if r.point == point]


def line(agent: Agent) -> dict[str, Any]:
    """What the line says of itself."""
    return agent.lines[0].status()


async def listening(agent: Agent) -> None:
    await until(lambda: bool(line(agent)["open"]), "line open")


async def test_terminals_and_sensors_arrive_when_they_send(
    tmp_path: Path, broker: Mosquitto, sender: aiomqtt.Client
) -> None:
    """A hex frame with cached records, a smoke alarm and a leak reach the gateway; repeats do not."""
    terminal = Terminal("SHRP25090120", 300.0)
    smoke = JsonSensor(LIBRARY["json-smoke-heat"], "SD-8841", CALM)
    leak = JsonSensor(LIBRARY["zigbee2mqtt-leak"], "pump-room", {"leak": False, "battery_pct": 96.0})
    settings = make_settings(tmp_path, broker.port)
    async with SmallGateway(broker.port) as gateway, Agent(settings, MqttSettings(port=broker.port)) as agent:
        await listening(agent)
        for pressure in (310.0, 320.0, 330.0):
            terminal.pressure_kpa = pressure
            terminal.record()
        sent_s = now_s() - 60
        for _ in range(5):  # nobody answers it, so it repeats
            await terminal.publish(sender, sent_s)
        terminal.pressure_kpa = 90.0
        terminal.record()
        await terminal.publish(sender, sent_s + 60)
        await smoke.publish(sender, now_ms())
        smoke.values["smoke"] = "fire"
        await smoke.publish(sender, now_ms())
        await leak.publish(sender, now_ms())
        await until(lambda: (True, "good") in of(gateway, "h1/pressure_low"), "low pressure alarm")
        await until(lambda: ("fire", "good") in of(gateway, "d1/smoke"), "smoke")
        await until(lambda: (96.0, "good") in of(gateway, "w1/battery_pct"), "leak sensor's battery")
        await until(lambda: (90.0, "good") in of(gateway, "h1/pressure_kpa"), "pressure")
        status = line(agent)
    assert of(gateway, "h1/pressure_kpa") == [(310.0, "good"), (320.0, "good"), (330.0, "good"), (90.0, "good")]
    assert of(gateway, "h1/pressure_low") == [(False, "good"), (True, "good")]
    assert of(gateway, "d1/smoke") == [("normal", "good"), ("fire", "good")]
    assert of(gateway, "w1/leak") == [(False, "good")]
    assert [of(gateway, f"{device}/online") for device in ("h1", "d1", "w1")] == [[(True, "good")]] * 3
    assert (status["received"], status["passed"], status["strange"], status["refused"]) == (9, 9, 0, {})
    assert status["sensors"]["h1"]["repeats"] == 4 * 4 + 3
    times = [r.observed_ms for r in gateway.readings("telemetry") if r.point == "h1/pressure_kpa"]
    assert times == [(sent_s - 120) * 1000, (sent_s - 60) * 1000, sent_s * 1000, (sent_s + 60) * 1000]


async def test_what_cannot_be_read_or_is_nobodys_is_counted_and_kept(
    tmp_path: Path, broker: Mosquitto, sender: aiomqtt.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Bad frames, bad JSON and unknown ids stop nothing: counted by reason, kept, listed, said once."""
    caplog.set_level("INFO", "edge_agents")
    terminal, unknown = Terminal("SHRP25090120"), Terminal("SHRP00000000")
    settings = make_settings(tmp_path, broker.port)
    kept = tmp_path / "data" / "refused" / "air.jsonl"
    async with SmallGateway(broker.port) as gateway, Agent(settings, MqttSettings(port=broker.port)) as agent:
        await listening(agent)
        for payload in ("A55A", "not hex at all", terminal.payload(now_s())[:-6] + b"000000"):
            await sender.publish("GIOT-GW/UL/SHRP25090120", payload, qos=1)
        await sender.publish("fire/SD-8841/state", b"\xff\xfe{", qos=1)
        await sender.publish("zigbee2mqtt/pump-room", "", qos=1)
        await unknown.publish(sender, now_s())
        await sender.publish("fire/SD-9999/state", "{}", qos=1)
        await terminal.publish(sender, now_s())
        await until(lambda: (True, "good") in of(gateway, "h1/online"), "the good frame after them")
        await until(lambda: kept.exists() and kept.read_text().count("\n") == 5, "kept")
        status = line(agent)
    assert status["received"] == status["passed"] + status["strange"] + sum(status["refused"].values()) == 8
    assert status["refused"] == {"short": 1, "not_hex": 1, "end": 1, "undecodable": 2}
    assert [seen["topic"] for seen in status["strangers"]] == ["GIOT-GW/UL/SHRP00000000", "fire/SD-9999/state"]
    entries = [json.loads(text) for text in kept.read_text("utf-8").splitlines()]
    assert entries[1]["hex"] == b"not hex at all".hex()
    assert entries[1]["why"] == "not_hex: got b'not hex at all', want an even number of hex digits"
    said = [r.getMessage() for r in caplog.records if r.name == "edge_agents.bus.mqtt" and "h1" in r.getMessage()]
    assert said == [
        "line air: h1: short: got 2 bytes, want at least 39. Kept in refused/air.jsonl.",
        "line air: h1: messages can be read again",
    ]


async def test_nothing_is_ever_published_to_the_sensors_broker(
    tmp_path: Path, broker: Mosquitto, sender: aiomqtt.Client
) -> None:
    """On a broker of their own, every message there is one the sensors sent."""
    heard: list[str] = []
    settings = make_settings(tmp_path, broker.port)
    with Mosquitto(anonymous=True) as uplink:
        async with SmallGateway(uplink.port) as gateway, Agent(settings, MqttSettings(port=uplink.port)) as agent:
            await listening(agent)
            await sender.subscribe("#")
            terminal = Terminal("SHRP25090120")
            for n in range(3):
                await terminal.publish(sender, now_s() + n)
            await until(lambda: bool(of(gateway, "h1/online")), "arrived")
            await sender.publish("end", "")
            async for message in sender.messages:
                if message.topic.value == "end":
                    break
                heard.append(message.topic.value)
    assert heard == ["GIOT-GW/UL/SHRP25090120"] * 3


async def test_a_repeat_has_no_effect_when_the_agent_was_restarted(
    tmp_path: Path, broker: Mosquitto, sender: aiomqtt.Client
) -> None:
    """The same frame before and after a restart is one frame; what is held is doubtful until the sensor speaks."""
    terminal = Terminal("SHRP25090120", 300.0)
    for pressure in (280.0, 290.0, 300.0):
        terminal.pressure_kpa = pressure
        terminal.record()
    sent_s = now_s()
    settings, mqtt = make_settings(tmp_path, broker.port), MqttSettings(port=broker.port)
    async with SmallGateway(broker.port) as gateway:
        async with Agent(settings, mqtt) as agent:
            await listening(agent)
            await terminal.publish(sender, sent_s)
            await until(lambda: (300.0, "good") in of(gateway, "h1/pressure_kpa"), "first frame")
        async with Agent(settings, mqtt) as agent:
            await listening(agent)
            await terminal.publish(sender, sent_s)
            await until(lambda: line(agent)["sensors"]["h1"]["repeats"] == 4, "the repeat")
            await until(lambda: (True, "uncertain:missed_messages") in of(gateway, "h1/online"), "doubt")
    assert of(gateway, "h1/pressure_kpa") == [(280.0, "good"), (290.0, "good"), (300.0, "good")]
    assert of(gateway, "h1/pressure_high") == [(False, "good"), (False, "uncertain:missed_messages")]


async def test_retained_messages_are_judged_by_their_age_when_the_agent_starts(
    tmp_path: Path, broker: Mosquitto, sender: aiomqtt.Client
) -> None:
    """A fresh one is the present, an old one is history, one without a time is doubtful."""
    leak = JsonSensor(LIBRARY["zigbee2mqtt-leak"], "pump-room", {"leak": True})
    smoke = JsonSensor(LIBRARY["json-smoke-heat"], "SD-8841", CALM)
    await leak.publish(sender, now_ms() - 90_000_000, retain=True)
    await smoke.publish(sender, None, retain=True)
    settings = make_settings(tmp_path, broker.port)
    async with SmallGateway(broker.port) as gateway, Agent(settings, MqttSettings(port=broker.port)):
        await until(lambda: len(of(gateway, "w1/leak")) == 2, "the old leak")
        await until(lambda: bool(of(gateway, "d1/smoke")), "the doubtful one")
        await leak.publish(sender, now_ms(), retain=True)
        await until(lambda: (True, "good") in of(gateway, "w1/online"), "the sensor speaks")
    assert of(gateway, "w1/leak") == [(True, "good"), (None, "unknown:no_message"), (True, "good")]
    assert of(gateway, "w1/online") == [(False, "good"), (True, "good")]
    assert of(gateway, "d1/smoke") == [("normal", "uncertain:retained")]
    assert of(gateway, "d1/online") == []


async def test_everything_is_unknown_while_the_sensors_broker_is_away(
    tmp_path: Path, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """No broker is one warning and unknown:line for each sensor; the agent starts and stops quickly all the same."""
    settings = make_settings(tmp_path, free_port())
    async with SmallGateway(broker.port) as gateway, Agent(settings, MqttSettings(port=broker.port)):
        await until(lambda: (None, "unknown:line") in of(gateway, "h1/online"), "unknown")
    assert (None, "unknown:line") in of(gateway, "d1/smoke")
    said = [r.getMessage() for r in caplog.records if r.name == "edge_agents.bus.mqtt"]
    assert len(said) == 1
    assert said[0].startswith(f"line air: broker 127.0.0.1:{json.dumps(settings_port(settings))}: ")


def settings_port(settings: AgentSettings) -> int:
    """The port in the site file."""
    text = settings.site_file.read_text("utf-8")
    return int(text.partition("port: ")[2].partition("\n")[0])


@pytest.mark.parametrize(("secret", "opens"), [("secret of gateway", True), ("guess", False)])
async def test_the_sensors_broker_is_signed_in_to_when_it_wants_a_password(
    tmp_path: Path, broker: Mosquitto, caplog: pytest.LogCaptureFixture, secret: str, opens: bool
) -> None:
    """Name and password file (beside the site file) of the line are used; a wrong password is said with its reason."""
    with Mosquitto(()) as guarded:
        settings = make_settings(tmp_path, guarded.port)
        (tmp_path / "secret").write_text(secret + "\n", "utf-8")
        host, text = "        host: 127.0.0.1\n", settings.site_file.read_text("utf-8")
        signed = f"{host}        username: gateway\n        password_file: secret\n"
        settings.site_file.write_text(text.replace(host, signed), "utf-8")
        async with Agent(settings, MqttSettings(port=broker.port)) as agent:
            await until(lambda: bool(line(agent)["open"]) or "Not authorized" in caplog.text, "an answer")
            assert line(agent)["open"] is opens
    assert secret not in caplog.text
