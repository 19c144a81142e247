"""The whole agent: libmodbus slave and pseudo-terminals on one side, Mosquitto on the other."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.errors import ConfigError, StartError
from contract.messages import Reading, Request
from contract.mqtt import MqttSettings
from edge_agents.agent import Agent, lock
from edge_agents.reporting import Reports
from edge_agents.settings import AgentSettings
from tests.edge_agents.gateway import SmallGateway, until
from tests.parts.modbus_slave import rtu_slave, serial_line, tcp_slave
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port

SITE = """\
site: s1
title: {{zh: 站, en: Station}}
agents:
  - id: a1
    lines:
      - id: tcp1
        kind: modbus_tcp
        host: 127.0.0.1
        port: {tcp}
        timeout_s: {timeout}
        devices:
          - {{id: pump1, profile: pump-controller, unit_id: 1, poll_s: 0.2}}
"""
RTU = """\
      - id: rtu1
        kind: modbus_rtu
        port: {rtu}
        baud: 115200
        devices:
          - {{id: panel1, profile: panel-modbus, unit_id: 1, poll_s: 0.3}}
"""
PRINTER = """\
      - id: prn1
        kind: printer
        port: {printer}
        devices:
          - {{id: fp1, profile: panel-printer}}
"""


def make_settings(folder: Path, *parts: str, **values: object) -> AgentSettings:
    """A site file of these parts and the agent's settings."""
    values = {"timeout": 1.0, **values}
    (folder / "site.yaml").write_text("".join(part.format(**values) for part in parts), "utf-8")
    return AgentSettings(
        site_file=folder / "site.yaml",
        agent_id="a1",
        data_dir=folder / "data",
        heartbeat_s=1,
        seal_ms=100,
        resend_s=0.5,
    )


async def drained(agent: Agent) -> None:
    """Wait until nothing waits in memory or on disk."""
    for _ in range(2000):
        held = await agent.outbox.held()
        if not agent.recorder.waiting and all(lane.rows == 0 for lane in held.values()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not drained")


def of(gateway: SmallGateway, point: str) -> list[tuple[object, str]]:
    """Everything committed of one point."""
    readings = gateway.readings("alarm") + gateway.readings("telemetry")
    return [(r.value, r.quality) for r in readings if r.point == point]


async def test_readings_of_every_kind_of_line_arrive(tmp_path: Path, slave_exe: Path, broker: Mosquitto) -> None:
    """TCP, RTU and a printer port at once: values, edges and a printed fire reach the gateway once each."""
    with (
        tcp_slave(slave_exe) as tcp,
        serial_line() as rtu_bus,
        rtu_slave(slave_exe, rtu_bus.far) as panel,
        serial_line() as printer_bus,
    ):
        for register in range(245):
            panel.command(f"set {register} 0")
        for register, value in ((0, 1), (1, 1), (2, 6050)):
            tcp.command(f"set {register} {value}")
        ports = {"tcp": tcp.port, "rtu": rtu_bus.near, "printer": printer_bus.near}
        settings = make_settings(tmp_path, SITE, RTU, PRINTER, **ports)
        async with SmallGateway(broker.port) as gateway, Agent(settings, MqttSettings(port=broker.port)):
            await until(lambda: bool(of(gateway, "pump1/outlet_pressure_kpa")), "telemetry over TCP")
            await until(lambda: bool(of(gateway, "panel1/p032")), "panel over RTU")
            await until(lambda: bool(of(gateway, "fp1/online")), "printer port open")
            panel.command("set 6 1")
            tcp.command("set 1 3")
            printer_bus.send_near("\x1b6  004-004\n\x1b9首次火警\n裙楼\n\n".encode("gb18030"))
            await until(lambda: ("fire", "good") in of(gateway, "panel1/p007"), "fire over RTU")
            await until(lambda: ("fire", "good") in of(gateway, "fp1/l004p004"), "printed fire")
            await until(lambda: (True, "good") in of(gateway, "pump1/running"), "pump")
    assert of(gateway, "panel1/p007") == [("normal", "good"), ("fire", "good")]
    assert of(gateway, "fp1/printout") == [("004-004 | 首次火警 | 裙楼", "good")]
    assert of(gateway, "pump1/outlet_pressure_kpa") == [(605.0, "good")]
    assert printer_bus.sent_by_near == 0
    assert not gateway.states[-1].online


async def test_an_edge_is_neither_repeated_nor_lost_when_the_agent_restarts(
    tmp_path: Path, slave_exe: Path, broker: Mosquitto
) -> None:
    """What changed while the agent was away is reported once; what did not is not reported again."""
    with tcp_slave(slave_exe) as slave:
        for register, value in ((0, 1), (1, 1), (2, 6050)):
            slave.command(f"set {register} {value}")
        settings = make_settings(tmp_path, SITE, tcp=slave.port)
        mqtt = MqttSettings(port=broker.port)
        async with SmallGateway(broker.port) as gateway:
            async with Agent(settings, mqtt) as agent:
                await until(lambda: bool(of(gateway, "pump1/running")), "first report")
                await drained(agent)
            slave.command("set 1 3")
            async with Agent(settings, mqtt) as agent:
                await until(lambda: len(of(gateway, "pump1/running")) == 2, "the edge")
                await until(lambda: len(of(gateway, "pump1/outlet_pressure_kpa")) == 2, "telemetry again")
                await drained(agent)
    assert of(gateway, "pump1/running") == [(False, "good"), (True, "good")]
    assert of(gateway, "pump1/power_ok") == [(True, "good")]
    assert of(gateway, "pump1/online") == [(True, "good")]
    assert len({batch.epoch for batch in gateway.committed["alarm"]}) == 1


async def test_a_poll_request_is_served_at_once(tmp_path: Path, slave_exe: Path, broker: Mosquitto) -> None:
    """A device polled once an hour answers a request now."""
    with tcp_slave(slave_exe) as slave:
        site = SITE.replace("poll_s: 0.2", "poll_s: 3600")
        settings = make_settings(tmp_path, site, tcp=slave.port)
        async with SmallGateway(broker.port) as gateway, Agent(settings, MqttSettings(port=broker.port)) as agent:
            await until(lambda: bool(of(gateway, "pump1/online")), "first poll")
            reads = agent.lines[0].status()["reads"]
            await gateway.request(Request(kind="poll", device="pump1"))
            await until(lambda: agent.lines[0].status()["reads"] != reads, "polled on request", 10)


async def test_the_agent_starts_when_nothing_else_is_there(tmp_path: Path) -> None:
    """No device and no broker: start and stop are quick, the line is unknown, the status file says what waits."""
    settings = make_settings(tmp_path, SITE, tcp=free_port())
    began = time.monotonic()
    async with Agent(settings, MqttSettings(port=free_port())) as agent:
        assert time.monotonic() - began < 5

        async def rows() -> int:
            return (await agent.outbox.held())["alarm"].rows

        for _ in range(1000):
            if await rows():
                break
            await asyncio.sleep(0.01)
        held = await agent.outbox.peek("alarm", 0, 9)
        assert b"unknown:line" in held[0].body
        await until((settings.data_dir / "status.json").exists, "status file")
        began = time.monotonic()
    assert time.monotonic() - began < 10
    status = json.loads((settings.data_dir / "status.json").read_text("utf-8"))
    assert (status["connected"], status["disk_fault"]) == (False, None)
    assert status["lines"]["tcp1"]["open"] is False


async def test_every_reading_is_committed_once_when_stopped_in_the_middle(tmp_path: Path, broker: Mosquitto) -> None:
    """Stop at any moment of an append: what was recorded before is there once after the next start."""
    made = 0
    settings = make_settings(tmp_path, SITE.replace("pump1", "x"), tcp=free_port())
    async with SmallGateway(broker.port) as gateway:
        for pause in range(10):
            async with Agent(settings, MqttSettings(port=broker.port)) as agent:
                for _ in range(300):
                    agent.recorder.record(Reports([Reading("x/edge", 1_800_000_000_000 + made, made % 2 == 0)], []))
                    made += 1
                for _ in range(pause):
                    await asyncio.sleep(0)
        async with Agent(settings, MqttSettings(port=broker.port)) as agent:
            await drained(agent)
    assert of(gateway, "x/edge") == [(n % 2 == 0, "good") for n in range(made)]


def test_a_second_agent_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """The error names the holder and what to do."""
    with lock(tmp_path), pytest.raises(StartError) as caught, lock(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path}: got a folder held by process {os.getpid()}, want one of our own. "
        "Stop the other agent or set another data_dir."
    )


async def test_an_unknown_agent_id_is_refused(tmp_path: Path) -> None:
    """The error names the agents there are."""
    settings = make_settings(tmp_path, SITE, tcp=1).model_copy(update={"agent_id": "a9"})
    with pytest.raises(ConfigError) as caught:
        async with Agent(settings, MqttSettings()):
            pass
    assert str(caught.value) == (
        f"agent.agent_id: got 'a9', want one of a1. Name an agent of {tmp_path / 'site.yaml'}."
    )


async def test_alarms_wait_in_memory_when_the_disk_is_full_and_go_out_when_it_is_not(
    tmp_path: Path, slave_exe: Path, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten thousand edges during a full disk are all committed afterwards, in order; the fault is said once."""
    caplog.set_level("INFO", "edge_agents")
    settings = make_settings(tmp_path, SITE, tcp=free_port(), timeout=1)
    async with SmallGateway(broker.port) as gateway, Agent(settings, MqttSettings(port=broker.port)) as agent:
        await agent.outbox.limit_pages(1)
        for n in range(10_000):
            agent.recorder.record(Reports([Reading("x/edge", 1_800_000_000_000 + n, n % 2 == 0)], []))
        await until(lambda: agent.recorder.fault is not None, "fault noticed")
        assert "full" in str(agent.recorder.fault)
        await agent.outbox.limit_pages(2**30)
        await until(lambda: agent.recorder.fault is None, "disk takes readings")
        await until(lambda: len(of(gateway, "x/edge")) == 10_000, "all edges")
    assert of(gateway, "x/edge") == [(n % 2 == 0, "good") for n in range(10_000)]
    text = [record.getMessage() for record in caplog.records if record.name == "edge_agents.recorder"]
    assert len([line for line in text if "kept in memory" in line]) == 1
    assert text[-1] == "outbox: the disk takes readings again"


PROGRAM = """
import asyncio, sys
from pathlib import Path
from contract.mqtt import MqttSettings
from edge_agents.agent import run
from edge_agents.reporting import Reports
from edge_agents.settings import AgentSettings

settings = AgentSettings(site_file=Path(sys.argv[1]) / "site.yaml", agent_id="a1", data_dir=Path(sys.argv[1]) / "data",
                         heartbeat_s=1, seal_ms=100, resend_s=0.5)
asyncio.run(run(settings, MqttSettings(port=int(sys.argv[2]))))
"""


async def test_nothing_is_lost_or_doubled_when_the_agent_is_killed(
    tmp_path: Path, slave_exe: Path, broker: Mosquitto
) -> None:
    """Kill -9 between contact changes: each change of the contact is committed exactly once; SIGTERM ends it well."""
    with tcp_slave(slave_exe) as slave:
        for register, value in ((0, 1), (1, 1), (2, 6050)):
            slave.command(f"set {register} {value}")
        make_settings(tmp_path, SITE, tcp=slave.port)
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(broker.port)]
        async with SmallGateway(broker.port) as gateway:
            for kill in range(4):
                with subprocess.Popen(command) as process:
                    try:
                        await until(lambda n=kill: len(of(gateway, "pump1/running")) >= n + 1, f"edge {kill}")  # type: ignore[misc]
                        slave.command(f"set 1 {3 if kill % 2 == 0 else 1}")
                        if kill == 3:
                            process.send_signal(signal.SIGTERM)
                            assert await asyncio.to_thread(process.wait, 15) == 0
                    finally:
                        process.kill()
    values = [value for value, _ in of(gateway, "pump1/running")]
    assert values[:4] == [False, True, False, True]
    assert all(a != b for a, b in itertools.pairwise(values))
    times = [r.observed_ms for r in gateway.readings("alarm") if r.point == "pump1/running"]
    assert times == sorted(set(times))
    assert not gateway.states[-1].online
