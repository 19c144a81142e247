"""A new site file for a running agent: only what it changes is touched, a wrong one changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.mqtt import MqttSettings
from contract.profile import PROFILES, ProfileLibrary
from contract.site import load_site
from edge_agents.agent import Agent
from edge_agents.reload import Diff, compare, lines_of
from edge_agents.schedule import REST, LineSchedule
from edge_agents.settings import AgentSettings
from tests.edge_agents.gateway import SmallGateway, until
from tests.parts.modbus_slave import Slave, tcp_slave
from tests.parts.mosquitto import Mosquitto

SITE = """\
site: s1
title: {zh: 站, en: Station}
agents:
  - id: a1
    lines:
      - {id: t1, kind: modbus_tcp, host: 127.0.0.1, port: 1001, devices: [
          {id: p1, profile: pump-controller, unit_id: 1, poll_s: 0.2},
          {id: p2, profile: pump-controller, unit_id: 2, poll_s: 0.2}]}
      - {id: t2, kind: modbus_tcp, host: 127.0.0.1, port: 1002, devices: [
          {id: q1, profile: pump-controller, unit_id: 1, poll_s: 0.2}]}
      - {id: air, kind: mqtt, host: 127.0.0.1, port: 1003, devices: [
          {id: w1, profile: zigbee2mqtt-leak, address: pump-room},
          {id: w2, profile: zigbee2mqtt-leak, address: attic}]}
  - id: a2
    lines:
      - {id: other, kind: printer, port: /dev/ttyS0, devices: [{id: fp1, profile: panel-printer}]}
"""
P2 = "          {id: p2, profile: pump-controller, unit_id: 2, poll_s: 0.2}]}\n"


def diff_of(folder: Path, *changes: tuple[str, str], agent: str = "a1", library: ProfileLibrary | None = None) -> Diff:
    """What these changes of the text mean for an agent."""
    path = folder / "site.yaml"
    sides = []
    for pairs in ((), changes):
        text = SITE
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text, "utf-8")
        site = load_site(path, (library if pairs and library else None) or ProfileLibrary())
        entry = site.agent(agent)
        assert entry is not None
        sides.append(lines_of(site, entry))
    return compare(sides[0], sides[1])


@pytest.mark.parametrize(
    "change",
    [
        ("# nothing", "# nothing"),
        ("{zh: 站, en: Station}", "{zh: 水冶, en: Shuiye}"),
        ("id: p1, profile", "id: p1, place: {zh: 泵房, en: Pump room}, profile"),
        ("port: /dev/ttyS0", "port: /dev/ttyS1"),
    ],
)
def test_nothing_is_touched_when_only_names_or_other_agents_change(tmp_path: Path, change: tuple[str, str]) -> None:
    """The same content, names for people, and what another agent reads are no change to this one."""
    changes = () if change[0] == change[1] else (change,)

    assert diff_of(tmp_path, *changes).is_empty


def test_one_line_changes_when_devices_come_and_go(tmp_path: Path) -> None:
    """The other lines are not named at all."""
    diff = diff_of(tmp_path, (P2, P2.replace("p2", "p3")))

    assert (diff.stop, diff.start, list(diff.change), diff.gone) == ([], [], ["t1"], [])
    assert [placed.entry.id for placed in diff.change["t1"].after] == ["p1", "p3"]
    assert (diff.change["t1"].fresh, diff.change["t1"].gone) == ({"p3"}, {"p2"})


def test_only_the_schedule_changes_when_a_period_does(tmp_path: Path) -> None:
    """Nobody begins anew."""
    diff = diff_of(tmp_path, ("unit_id: 1, poll_s: 0.2", "unit_id: 1, poll_s: 5"))

    assert (diff.change["t1"].fresh, diff.change["t1"].gone) == (frozenset(), frozenset())
    assert [placed.poll_s for placed in diff.change["t1"].after] == [5, 0.2]


def test_a_polled_panel_goes_on_with_new_places_when_its_point_map_changed(tmp_path: Path) -> None:
    """Its events name the places of the map in force; nothing of it begins anew."""
    site = SITE.replace("profile: pump-controller, unit_id: 1, poll_s: 0.2}]}\n      - {id: air",
                        "profile: panel-modbus, unit_id: 1, point_map: map.csv}]}\n      - {id: air")  # fmt: skip
    assert site != SITE
    (tmp_path / "site.yaml").write_text(site, "utf-8")
    found, library = [], ProfileLibrary()
    for place in ("Hall", "Hall", "Cellar"):
        (tmp_path / "map.csv").write_text(f"address,place_zh\np001,{place}\n", "utf-8")
        loaded = load_site(tmp_path / "site.yaml", library)
        entry = loaded.agent("a1")
        assert entry is not None
        found.append(lines_of(loaded, entry))
    assert compare(found[0], found[1]).is_empty
    change = compare(found[1], found[2]).change
    assert {line: (one.fresh, one.gone) for line, one in change.items()} == {"t2": (frozenset(), frozenset())}
    assert change["t2"].after[0].profile.titles["p001"].zh == "Cellar"


def test_a_device_begins_anew_when_it_has_another_address_or_profile(tmp_path: Path) -> None:
    """The same name, another device."""
    assert diff_of(tmp_path, ("unit_id: 2", "unit_id: 3")).change["t1"].fresh == {"p2"}
    assert diff_of(tmp_path, ("address: attic", "address: cellar")).change["air"].fresh == {"w2"}
    assert diff_of(tmp_path, ("leak, address: attic", "door, address: attic")).change["air"].fresh == {"w2"}


def test_devices_begin_anew_when_the_content_of_their_profile_changed(tmp_path: Path) -> None:
    """A profile of the same name that reads other registers."""
    text = (PROFILES / "pump-controller.yaml").read_text("utf-8")
    (tmp_path / "pump-controller.yaml").write_text(text.replace("deadband: 5", "deadband: 9"), "utf-8")

    diff = diff_of(tmp_path, ("en: Station", "en: S"), library=ProfileLibrary([tmp_path]))

    assert {line: change.fresh for line, change in diff.change.items()} == {"t1": {"p1", "p2"}, "t2": {"q1"}}


def test_a_line_is_started_anew_when_its_own_settings_change(tmp_path: Path) -> None:
    """Another port: stopped and started; its devices are not gone."""
    diff = diff_of(tmp_path, ("port: 1002", "port: 1009"))

    assert (diff.stop, diff.start, diff.change, diff.gone) == (["t2"], ["t2"], {}, [])
    assert diff_of(tmp_path, ("ttyS0", "ttyS1"), agent="a2").start == ["other"]


def test_devices_are_gone_when_their_line_is(tmp_path: Path) -> None:
    """A line taken out, and one put in."""
    diff = diff_of(tmp_path, ("{id: t2,", "{id: t3,"), ("{id: q1,", "{id: q2,"))

    assert (diff.stop, diff.start, diff.gone) == (["t2"], ["t3"], ["q1"])


def test_a_schedule_keeps_the_turns_of_those_who_stay() -> None:
    """The one that stays keeps its phase, the new one is due at once, another period counts from its old turn."""
    schedule = LineSchedule([10.0, 10.0], [[REST], [REST]], 0.0)
    starts: dict[int, list[float]] = {0: [], 1: []}

    def serve(until_s: float, now_s: float) -> None:
        while now_s < until_s:
            job, wake_s = schedule.next_job(now_s)
            if job is None:
                now_s = wake_s
            else:
                starts[job.device].append(now_s)
                schedule.answered(job, now_s)

    serve(22.0, 0.0)
    before = starts[1]
    starts = {0: [], 1: []}
    schedule.change([10.0, 2.0], [[REST], [REST]], [1, None], 22.0)
    serve(40.0, 22.0)

    assert before == [5.0, 15.0]
    assert starts[0] == [25.0, 35.0]
    assert starts[1] == [22.0, 24.0, 26.0, 28.0, 30.0, 32.0, 34.0, 36.0, 38.0]


# --- the agent ------------------------------------------------------------------------------------------------------


def write_site(folder: Path, ports: tuple[int, int, int], *changes: tuple[str, str]) -> None:
    """The site file on these ports, replaced at once as an editor does."""
    text = SITE
    for old, port in zip(("1001", "1002", "1003"), ports, strict=True):
        text = text.replace(f"port: {old}", f"port: {port}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    fresh = folder / "site.new"
    fresh.write_text(text, "utf-8")
    fresh.replace(folder / "site.yaml")


def settings_of(folder: Path) -> AgentSettings:
    return AgentSettings(
        site_file=folder / "site.yaml",
        agent_id="a1",
        data_dir=folder / "data",
        heartbeat_s=1,
        seal_ms=50,
        resend_s=0.5,
    )


def of(gateway: SmallGateway, point: str) -> list[tuple[object, str]]:
    """Everything committed of one point."""
    readings = gateway.readings("alarm") + gateway.readings("telemetry")
    return [(r.value, r.quality) for r in readings if r.point == point]


def line(agent: Agent, line_id: str) -> Any:
    return next(line for line in agent.lines if line.id == line_id)


def calm(slave: Slave) -> None:
    for register, value in ((0, 1), (1, 1), (2, 6050)):
        slave.command(f"set {register} {value}")


async def test_only_what_changed_is_touched_when_the_site_file_does(
    tmp_path: Path, slave_exe: Path, broker: Mosquitto
) -> None:
    """Devices come, go and change their period; the connections of all lines and the untouched line's turns stay."""
    mqtt = MqttSettings(port=broker.port)
    with tcp_slave(slave_exe) as first, tcp_slave(slave_exe) as second:
        calm(first)
        calm(second)
        ports = (first.port, second.port, broker.port)
        write_site(tmp_path, ports, (P2, "]}\n"))
        async with SmallGateway(broker.port) as gateway, Agent(settings_of(tmp_path), mqtt) as agent:
            await until(lambda: bool(of(gateway, "p1/online")) and bool(of(gateway, "q1/online")), "both lines")
            await until(lambda: bool(line(agent, "air").is_open), "sensors' broker")
            untouched, schedule = line(agent, "t2"), line(agent, "t2")._schedule
            before = [line(agent, name) for name in ("t1", "t2", "air")]

            write_site(
                tmp_path,
                ports,
                ("          {id: p1, profile: pump-controller, unit_id: 1, poll_s: 0.2},\n", ""),
                (P2, P2.replace("unit_id: 2, poll_s: 0.2", "unit_id: 1, poll_s: 0.3")),
                ("{id: w2,", "{id: w3,"),
            )
            await until(lambda: (True, "good") in of(gateway, "p2/online"), "the new device")
            await until(lambda: (None, "unknown:removed") in of(gateway, "p1/online"), "the old one")
            await until(lambda: (None, "unknown:removed") in of(gateway, "w2/online"), "the old sensor")

            write_site(
                tmp_path,
                ports,
                ("          {id: p1, profile: pump-controller, unit_id: 1, poll_s: 0.2},\n", ""),
                (P2, P2.replace("unit_id: 2, poll_s: 0.2", "unit_id: 1, poll_s: 3600")),
                ("{id: w2,", "{id: w3,"),
            )
            await until(lambda: line(agent, "t1").devices["p2"].poll_s == 3600, "the period")

            assert [line(agent, name) for name in ("t1", "t2", "air")] == before
            assert [line(agent, name).status()["opened"] for name in ("t1", "t2")] == [1, 1]
            assert line(agent, "air").status()["connects"] == 1
            assert list(line(agent, "air").status()["sensors"]) == ["w1", "w3"]
            assert untouched._schedule is schedule
            assert agent.restarts == 0
        assert gateway.states[-1].config_hash != gateway.states[0].config_hash
    assert of(gateway, "p1/online") == [(True, "good"), (None, "unknown:removed")]
    assert of(gateway, "p2/online") == [(True, "good")]
    assert of(gateway, "q1/online") == [(True, "good")]


async def test_lines_start_and_stop_when_they_come_and_go(tmp_path: Path, slave_exe: Path, broker: Mosquitto) -> None:
    """A line taken out ends and says so of its devices; a new one begins; one on another port is opened there."""
    mqtt = MqttSettings(port=broker.port)
    with tcp_slave(slave_exe) as first, tcp_slave(slave_exe) as second:
        calm(first)
        calm(second)
        only_p1 = (P2, "]}\n")
        write_site(tmp_path, (first.port, second.port, broker.port), only_p1)
        async with SmallGateway(broker.port) as gateway, Agent(settings_of(tmp_path), mqtt) as agent:
            await until(lambda: bool(of(gateway, "p1/online")) and bool(of(gateway, "q1/online")), "both lines")
            kept = line(agent, "t1")
            write_site(
                tmp_path,
                (first.port, second.port, broker.port),
                only_p1,
                ("{id: t2,", "{id: t3,"),
                ("{id: q1,", "{id: q2,"),
            )
            await until(lambda: (True, "good") in of(gateway, "q2/online"), "the new line's device")
            await until(lambda: (None, "unknown:removed") in of(gateway, "q1/online"), "the old one")
            assert [one.id for one in agent.lines] == ["t1", "air", "t3"]
            assert line(agent, "t1") is kept
            names = {task.get_name() for task in asyncio.all_tasks()}
            assert {"line.t1", "line.t3"} <= names
            assert "line.t2" not in names


async def test_a_wrong_file_changes_nothing_and_is_said_once(
    tmp_path: Path, slave_exe: Path, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """Warning with file and line, fault in the status file, polling goes on; a sound file ends it."""
    caplog.set_level("INFO", "edge_agents")
    mqtt = MqttSettings(port=broker.port)
    with tcp_slave(slave_exe) as slave:
        calm(slave)
        only_p1 = (P2, "]}\n")
        ports = (slave.port, slave.port, broker.port)
        no_t2 = (
            SITE[SITE.index("      - {id: t2") : SITE.index("      - {id: air")].replace("1002", str(slave.port)),
            "",
        )
        write_site(tmp_path, ports, only_p1, no_t2)
        status_file = tmp_path / "data" / "status.json"

        def fault() -> Any:
            return json.loads(status_file.read_text("utf-8"))["configuration_fault"] if status_file.exists() else None

        async with SmallGateway(broker.port) as gateway, Agent(settings_of(tmp_path), mqtt) as agent:
            await until(lambda: bool(of(gateway, "p1/online")), "first report")
            before = list(agent.lines)
            for unit, reads in ((300, 1), (301, 2)):
                write_site(tmp_path, ports, only_p1, no_t2, ("unit_id: 1,", f"unit_id: {unit},"))
                await until(lambda n=reads: agent.configuration.reads == n, "read")  # type: ignore[misc]
            await until(lambda: fault() is not None and "got 301" in fault(), "status file")
            polled = line(agent, "t1").status()["reads"]
            await until(lambda: line(agent, "t1").status()["reads"] > polled, "still polling")
            assert agent.lines == before
            write_site(tmp_path, ports, only_p1, no_t2, ("site: s1", "site: s2"))
            await until(lambda: agent.configuration.reads == 3, "another site")
            write_site(tmp_path, ports, only_p1, no_t2)
            await until(lambda: agent.configuration.fault is None, "sound again")
            assert agent.lines == before
            assert line(agent, "t1").status()["opened"] == 1
    said = [r.getMessage() for r in caplog.records if r.name == "edge_agents.site_watch"]
    where = f"configuration: {tmp_path / 'site.yaml'}"
    assert [text.partition("want")[0] for text in said] == [
        f"{where}:7: agents[0].lines[0].devices[0].unit_id: got 300, ",
        f"{where}:7: agents[0].lines[0].devices[0].unit_id: got 301, ",
        f"{where}: site: got 's2', ",
        "configuration: sound again, in force",
    ]


PROGRAM = """
import asyncio, sys
from pathlib import Path
from contract.mqtt import MqttSettings
from edge_agents.agent import run
from edge_agents.settings import AgentSettings
from edge_agents import site_watch

site_watch.LOOK_S = 3600.0
folder = Path(sys.argv[1])
settings = AgentSettings(site_file=folder / "site.yaml", agent_id="a1", data_dir=folder / "data", heartbeat_s=1)
asyncio.run(run(settings, MqttSettings(port=int(sys.argv[2]))))
"""


async def test_the_file_is_read_again_when_the_process_gets_sighup(
    tmp_path: Path, slave_exe: Path, broker: Mosquitto
) -> None:
    """With the look at the file an hour away, the signal does it; SIGTERM still ends the process well."""
    with tcp_slave(slave_exe) as slave:
        calm(slave)
        only_p1 = (P2, "]}\n")
        ports = (slave.port, 1, broker.port)
        write_site(tmp_path, ports, only_p1)
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(broker.port)]
        async with SmallGateway(broker.port) as gateway:
            with subprocess.Popen(command) as process:
                try:
                    await until(lambda: bool(of(gateway, "p1/online")), "first report")
                    write_site(tmp_path, ports, only_p1, ("{id: p1,", "{id: p7,"))
                    os.kill(process.pid, signal.SIGHUP)
                    await until(lambda: (True, "good") in of(gateway, "p7/online"), "the new device")
                    process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(process.wait, 15) == 0
                finally:
                    process.kill()
    assert (None, "unknown:removed") in of(gateway, "p1/online")
