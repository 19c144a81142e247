"""Events of a panel that is polled over Modbus: the real line and agent, a libmodbus slave as the panel's card."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contract.messages import Reading
from contract.mqtt import MqttSettings
from contract.panel import PanelEvent, decode_event
from contract.profile import ProfileLibrary
from contract.site import load_site
from edge_agents.agent import Agent
from edge_agents.panel_table import TableReport
from edge_agents.reporting import Observation, Reported, ReportRule
from edge_agents.settings import AgentSettings
from tests.edge_agents.gateway import SmallGateway, until
from tests.parts.modbus_slave import Slave, tcp_slave
from tests.parts.mosquitto import Mosquitto

NOW_MS = 1_800_000_000_000
SITE = """\
site: s1
title: {zh: 站, en: Station}
agents:
  - id: a1
    lines:
      - {id: l1, kind: modbus_tcp, host: 127.0.0.1, port: PORT, devices: [
          {id: panel1, profile: panel-modbus, unit_id: 1, poll_s: 0.1, points: 8, point_map: map.csv}]}
"""
MAP = "address,place_zh,place_en,type\np002,一层大厅,Hall,感烟\np003,二层走道,Corridor,感温\np004,三层,Floor 3,手报\n"


@contextlib.contextmanager
def panel_card(exe: Path) -> Iterator[Slave]:
    """A card with an all-normal table."""
    with tcp_slave(exe) as slave:
        for register in range(245):
            slave.command(f"set {register} 0")
        yield slave


def told(gateway: SmallGateway) -> list[PanelEvent]:
    """Every event committed, in order."""
    return [decode_event(str(r.value)) for r in gateway.readings("alarm") if r.point == "panel1/event"]


def short(events: list[PanelEvent]) -> list[tuple[str, bool, str | None, str]]:
    """Class, whether it is over, address and text."""
    return [(str(event.event), event.restored, event.address, event.text) for event in events]


FIRST = [("fire", False, "p002", "一层大厅 感烟")]
REST = [
    ("fault", False, "p003", "二层走道 感温"),
    ("fire", True, "p002", "一层大厅 感烟"),
    ("disablement", False, "p004", "三层 手报"),
    ("main_power", False, "main_power", ""),
    ("main_power", True, "main_power", ""),
]


async def test_every_change_is_told_once_when_a_polled_panel_changes_and_the_agent_restarts(
    tmp_path: Path, slave_exe: Path, broker: Mosquitto
) -> None:
    """Fire, fault, recovered, disabled and mains: one event each with class, address and place, also over restarts."""
    (tmp_path / "map.csv").write_text(MAP, "utf-8")
    mqtt = MqttSettings(port=broker.port)
    with panel_card(slave_exe) as card:
        (tmp_path / "site.yaml").write_text(SITE.replace("PORT", str(card.port)), "utf-8")
        settings = AgentSettings(
            site_file=tmp_path / "site.yaml", agent_id="a1", data_dir=tmp_path / "data", heartbeat_s=1, seal_ms=100
        )
        async with SmallGateway(broker.port) as gateway:

            async def polls_on(agent: Agent) -> None:
                counters = agent.lines[0].status()
                await until(
                    lambda: int(str(agent.lines[0].status()["reads"])) > int(str(counters["reads"])) + 5, "reads"
                )

            async with Agent(settings, mqtt) as agent:
                await until(lambda: any(r.point == "panel1/p008" for r in gateway.readings("alarm")), "first picture")
                card.command("set 1 1")
                await until(lambda: len(told(gateway)) == 1, "the fire")
                await polls_on(agent)
            assert short(told(gateway)) == FIRST
            card.command("set 2 2")  # while nobody listens
            async with Agent(settings, mqtt) as agent:
                for step, (register, word) in enumerate(((1, 4), (3, 7), (242, 2), (242, 9)), 2):
                    await until(lambda step=step: len(told(gateway)) == step, f"event {step}")  # type: ignore[misc]  # a default binds the loop's value
                    card.command(f"set {register} {word}")
                await until(lambda: len(told(gateway)) == 6, "mains back")
                await polls_on(agent)
    assert short(told(gateway)) == FIRST + REST
    assert {event.controller for event in told(gateway)} == {1}
    assert [event.point for event in told(gateway)][:2] == ["2", "3"]
    (placed,) = load_site(tmp_path / "site.yaml", ProfileLibrary()).placed()
    title = placed.profile.point("p002")
    assert title is not None
    assert title.title.zh == "一层大厅 感烟"


def table() -> TableReport:
    """A panel's report on its own: points p001 and main_power."""
    profile = ProfileLibrary()["panel-modbus"]
    rules = tuple(ReportRule(name, True, 0.0) for name in ("p001", "main_power"))
    return TableReport("panel1", rules, 300, 3, 3, profile)


def keep(kept: dict[str, Reported], report: TableReport, observations: list[Observation]) -> list[PanelEvent]:
    """Hand these over, keep what the outbox would, return the events."""
    reports = report.answered(observations, NOW_MS)
    return _keep(kept, reports.alarm, dict(reports.keep))


def _keep(kept: dict[str, Reported], alarm: list[Reading], own: dict[str, bytes]) -> list[PanelEvent]:
    kept |= {r.point: Reported(r.value, r.quality, r.observed_ms) for r in alarm}
    kept |= {key.removeprefix("point/"): msgspec.json.decode(value, type=Reported) for key, value in own.items()}
    return [decode_event(str(r.value)) for r in alarm if r.point.endswith("/event")]


def test_a_first_picture_tells_only_what_is_not_normal() -> None:
    """Nothing was kept: a normal point is no event, a standing fault is one."""
    events = keep({}, table(), [Observation(0, "normal", "good"), Observation(1, "fault", "good")])
    assert short(events) == [("main_power", False, "main_power", "")]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_fire_is_told_once_when_the_line_was_away_meanwhile(*, restarts: bool) -> None:
    """What stood before a silence and stands after it is one event, also when the agent was started anew in between."""
    kept: dict[str, Reported] = {}
    report = table()
    assert len(keep(kept, report, [Observation(0, "fire", "good")])) == 1
    _keep(kept, report.line_down(NOW_MS).alarm, {})
    assert kept["panel1/p001"].value is None
    if restarts:
        report = table()
        report.restore(kept)
    assert keep(kept, report, [Observation(0, "fire", "good")]) == []
    assert short(keep(kept, report, [Observation(0, "normal", "good")])) == [("fire", True, "p001", "")]


def test_a_code_without_meaning_is_told_once_and_ends_nothing() -> None:
    """An unknown code is an event of its own; that the fire is over is said only by a code that means so."""
    kept: dict[str, Reported] = {}
    report = table()
    keep(kept, report, [Observation(0, "fire", "good")])
    odd = [Observation(0, None, "bad:unknown_state")]
    assert short(keep(kept, report, odd)) == [("other", False, "p001", "state code without meaning")]
    again = table()
    again.restore(kept)
    assert keep(kept, again, odd) == []
    assert short(keep(kept, again, [Observation(0, "normal", "good")])) == [("fire", True, "p001", "")]
