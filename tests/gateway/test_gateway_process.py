"""The whole gateway as a process, with a real broker: killed at any moment, started twice, started alone."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from contract.errors import RetryLater, StartError
from contract.messages import LANES, Reading, digest, encode
from contract.mqtt import MqttSettings
from contract.site import REGISTER_DEVICE
from contract.topics import DEFAULT_ROOT
from gateway.app import open_gateway
from gateway.control.client import SOCKET, ControlClient, ControlError
from gateway.history import open_history
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.audit import verify
from gateway.ledger.store import FILE
from gateway.own import OWN_AGENT, OWN_DEVICE
from gateway.settings import GatewaySettings
from gateway.users import FILE as PASSWORDS
from gateway.users import hasher
from tests.gateway.gateway_process import GatewayProcess, Publisher
from tests.gateway.harness import FIRE, PRESSURE, arrival, batch, ledger, until, write_site
from tests.parts.mosquitto import Mosquitto

KILLS = 5
NO_EQUIPMENT = re.compile(rf"{OWN_DEVICE.pattern}|[^/]+/{REGISTER_DEVICE}/")
"""What the system says of itself, and of what it keeps of a site."""


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    """A broker without passwords, for this module."""
    with Mosquitto(anonymous=True) as part:
        yield part


@pytest.fixture
def open_broker() -> Iterator[Mosquitto]:
    """A broker without passwords."""
    with Mosquitto(anonymous=True) as part:
        yield part


def settings(folder: Path) -> GatewaySettings:
    return GatewaySettings(sites=[write_site(folder)], data_dir=folder / "data", checkpoint_s=0.5)


async def test_nothing_is_lost_or_doubled_when_the_gateway_is_killed_at_random(
    tmp_path: Path, open_broker: Mosquitto
) -> None:
    """kill -9 again and again under load: each reading stored once, each edge one transition, no receipt ahead."""
    rng = random.Random(7)
    agent = Publisher(open_broker.port)
    base_ms = time.time_ns() // 1_000_000
    sealed = edges = 0
    with GatewayProcess(tmp_path, open_broker.port) as gateway:
        await gateway.listening()
        sending = asyncio.create_task(agent.run(), name="publisher")
        try:
            for _ in range(KILLS):
                until_at = time.monotonic() + rng.uniform(0.2, 1.0)
                while time.monotonic() < until_at:
                    sealed += 1
                    agent.seal("telemetry", *(Reading(PRESSURE, base_ms + sealed * 20 + n, 150.0) for n in range(20)))
                    if sealed % 5 == 0:
                        edges += 1
                        agent.seal("alarm", Reading(FIRE, base_ms + edges, "fire" if edges % 2 else "normal"))
                    await asyncio.sleep(0.004)
                gateway.kill()
                told = dict(agent.acknowledged)
                with ledger(tmp_path) as reader:
                    marks = {key[3]: seq for key, seq in reader.watermarks().items() if key[1] == "edge1"}
                assert all(marks.get(lane, 0) >= told[lane] for lane in LANES), (marks, told)
                gateway.start()
                await gateway.listening()
            await until(lambda: agent.done, 40)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        code, errors = gateway.stop()
    assert (code, errors.count("Traceback")) == (0, 0)
    with ledger(tmp_path) as reader:
        stored = Counter(
            (row.site, reading.point, reading.observed_ms)
            for row in reader.inbox()
            if row.agent != OWN_AGENT
            for reading in row.readings
        )
        fires = {a.id for a in reader.alarms(rule="panel-fire", limit=10_000)}
        steps = [t.event for t in reader.transitions() if t.alarm_id in fires]
        assert reader.gaps() == []
        assert reader.quarantine() == []
    assert sealed > 100
    assert len(stored) == sealed * 20 + edges
    assert set(stored.values()) == {1}
    assert steps == ["raise" if n % 2 else "clear" for n in range(1, edges + 1)]
    assert verify(tmp_path / "data" / FILE) is None
    check = sqlite3.connect(tmp_path / "data" / FILE)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


async def test_the_broker_is_not_lost_when_the_gateway_leaves_it_by_itself(tmp_path: Path, broker: Mosquitto) -> None:
    """The last word of a gateway that is stopped is that the broker was there; the next start begins with that."""

    def said() -> list[object]:
        with ledger(tmp_path) as reader:
            rows = [row for row in reader.inbox() if row.agent == OWN_AGENT]
        return [r.value for row in rows for r in row.readings if r.point == "gateway/broker_connected"]

    with GatewayProcess(tmp_path, broker.port) as gateway:
        await gateway.listening()
        await until(lambda: said()[-1:] == [True])
        code, errors = gateway.stop()
    assert (code, errors.count("Traceback")) == (0, 0)
    assert said()[-1] is True, said()


async def test_nobody_is_lost_when_the_gateway_is_stopped_and_agents_go_on(
    tmp_path: Path, open_broker: Mosquitto
) -> None:
    """SIGSTOP for longer than an agent may be silent: what waits in the broker is taken before silence is judged."""
    hasty = {"agent-lost": {"after_s": 3, "for_s": 1}}
    agent = Publisher(open_broker.port)
    with GatewayProcess(tmp_path, open_broker.port, rule_overrides=hasty) as gateway:
        await gateway.listening()
        sending = asyncio.create_task(agent.run(), name="publisher")
        speaking = asyncio.create_task(agent.speak(0.5), name="heartbeats")
        try:
            await until(lambda: bool(ledger(tmp_path).agents()))
            gateway.signal(signal.SIGSTOP)
            await asyncio.sleep(6)
            gateway.signal(signal.SIGCONT)
            await asyncio.sleep(2)
            speaking.cancel()
            with ledger(tmp_path) as reader:
                assert [a for a in reader.alarms(rule="agent-lost") if a.subject == "shuiye/edge1"] == []
                fell_silent_ms = time.time_ns() // 1_000_000
                await until(lambda: any(a.subject == "shuiye/edge1" for a in reader.alarms(rule="agent-lost")))
                alarm = next(a for a in reader.alarms(rule="agent-lost") if a.subject == "shuiye/edge1")
        finally:
            sending.cancel()
            speaking.cancel()
            await asyncio.gather(sending, speaking, return_exceptions=True)
        gateway.stop()
    assert 3000 <= alarm.raised_ms - fell_silent_ms <= 5000


async def test_picture_is_whole_when_the_gateway_was_killed_before_a_checkpoint(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """Values and open alarms come back from the inbox and the ledger; nothing is raised again."""
    agent = Publisher(broker.port)
    now_ms = time.time_ns() // 1_000_000
    with GatewayProcess(tmp_path, broker.port) as gateway:
        await gateway.listening()
        sending = asyncio.create_task(agent.run(), name="publisher")
        try:
            for number in range(3):
                agent.seal("telemetry", Reading(PRESSURE, now_ms + number, 150.0 + number))
            agent.seal("alarm", Reading(FIRE, now_ms, "fire"))
            await until(lambda: agent.done)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        gateway.kill()
        gateway.start()
        await gateway.listening()
        async with ControlClient(tmp_path / "data" / SOCKET) as client:
            snapshot = await anext(client.subscribe())
        of_devices = {k: v for k, v in snapshot.data["values"].items() if not NO_EQUIPMENT.match(k)}
        assert of_devices == {
            f"shuiye/{PRESSURE}": [now_ms + 2, 152.0, "good"],
            f"shuiye/{FIRE}": [now_ms, "fire", "good"],
        }
        assert [(alarm["rule"], alarm["active"]) for alarm in snapshot.data["alarms"]] == [("panel-fire", True)]
        assert gateway.stop()[0] == 0


async def test_second_gateway_ends_at_once_when_the_folder_is_taken(tmp_path: Path, broker: Mosquitto) -> None:
    """It says which process holds the folder, and the first goes on."""
    with GatewayProcess(tmp_path, broker.port) as first:
        await first.listening()
        pid = first._process.pid if first._process else 0
        with pytest.raises(StartError) as refused:
            async with open_gateway(settings(tmp_path), EmbeddedSettings(), MqttSettings(port=broker.port)):
                pass
        assert str(refused.value) == (
            f"{tmp_path / 'data'}: got a gateway that runs there already (process {pid}), want one gateway a data "
            "folder. Stop it, or name another gateway.data_dir."
        )
        async with ControlClient(tmp_path / "data" / SOCKET) as client:
            assert (await client.ask("status", "local"))["ledger_fault"] is None
        assert first.stop()[0] == 0


async def test_gateway_connects_when_the_broker_comes_later_and_again(
    tmp_path: Path, open_broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that is away is one warning and never the end, at start and later."""
    open_broker.kill()
    agent = Publisher(open_broker.port)
    agent.seal("telemetry", Reading(PRESSURE, time.time_ns() // 1_000_000, 150.0))
    async with open_gateway(settings(tmp_path), EmbeddedSettings(), MqttSettings(port=open_broker.port)) as gateway:
        sending = asyncio.create_task(agent.run(), name="publisher")
        try:
            await until(lambda: caplog.records)
            open_broker.start()
            await until(lambda: agent.done)
            open_broker.kill()
            open_broker.start()
            agent.seal("alarm", Reading(FIRE, time.time_ns() // 1_000_000, "fire"))
            await until(lambda: agent.done)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        assert gateway.status()["broker"]["connected"]
    mine = [record for record in caplog.records if record.name == "gateway.ingest.subscriber"]
    assert [record.levelname for record in mine][:1] == ["WARNING"]
    assert [record.levelname for record in mine if record.levelname == "WARNING"] == ["WARNING"] * 2


async def test_subscriber_sees_everything_committed_when_it_joins_at_any_time(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """First everything current, then each event in commit order, for every subscriber; commands answer when durable."""
    socket = tmp_path / "data" / SOCKET
    async with (
        open_gateway(settings(tmp_path), EmbeddedSettings(), MqttSettings(port=broker.port, root="t1")) as gateway,
        aiomqtt.Client("127.0.0.1", broker.port) as agent,
        ControlClient(socket) as first,
    ):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        await until(lambda: gateway.subscriber.connected)
        events = first.subscribe()
        snapshot = await anext(events)
        assert (snapshot.event, snapshot.data["alarms"]) == ("snapshot", [])
        now_ms = time.time_ns() // 1_000_000
        fire = batch(1, Reading(FIRE, now_ms, "fire"), lane="alarm", sent_ms=now_ms)
        await agent.publish("t1/shuiye/edge1/alarm", encode(fire), qos=1)
        seen = {}
        while not {"alarm", "agent", "reading"} <= set(seen):
            event = await anext(events)
            data = event.data
            if event.event == "reading":
                data = [row for row in data if not NO_EQUIPMENT.match(row[0])]
            if data:
                seen[event.event] = data
        assert (seen["alarm"]["rule"], seen["alarm"]["state"]) == ("panel-fire", "unacknowledged")
        assert seen["reading"] == [[f"shuiye/{FIRE}", now_ms, "fire", "good"]]
        async with ControlClient(socket) as second:
            late = second.subscribe()
            snapshot = await anext(late)
            of_devices = {k: v for k, v in snapshot.data["values"].items() if not NO_EQUIPMENT.match(k)}
            assert of_devices == {f"shuiye/{FIRE}": [now_ms, "fire", "good"]}
            assert [alarm["id"] for alarm in snapshot.data["alarms"]] == [1]
            await first.ask("alarm.acknowledge", "王", alarm_id=1, note="")
            event = await anext(late)
            assert (event.event, event.data["acknowledged_by"]) == ("alarm", "王")
            with pytest.raises(ControlError, match="got no such alarm") as refused:
                await second.ask("alarm.acknowledge", "王", alarm_id=2)
            assert refused.value.code == "not_found"
            with pytest.raises(ControlError, match="alarm_id") as refused:
                await second.ask("alarm.acknowledge", "王", alarm_id="one")
            assert refused.value.code == "invalid"
    with pytest.raises(RetryLater, match="Is the gateway running"):
        async with ControlClient(socket):
            pass


async def test_subscriber_is_cut_off_when_it_does_not_read(tmp_path: Path, broker: Mosquitto) -> None:
    """Nobody's slowness is anybody else's; what was cut off can come back."""
    quick = settings(tmp_path).model_copy(update={"commit_ms": 0})
    async with open_gateway(quick, EmbeddedSettings(), MqttSettings(port=broker.port)) as gateway:
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "data" / SOCKET))
        writer.write(b'{"id":1,"op":"subscribe","actor":"local"}\n')
        await until(lambda: gateway.status()["subscribers"] == 1)
        values = [Reading(f"panel-01/p{n + 1:03d}", 1_760_000_000_000 + n, "normal") for n in range(900)]
        deadline, seq = time.monotonic() + 30, 0
        while gateway.status()["subscribers"] and time.monotonic() < deadline:
            seq += 1
            assert gateway.pipeline.offer(arrival(batch(seq, *values)))
            await until(lambda: gateway.status()["pending"] == 0)
        assert gateway.status()["subscribers"] == 0
        assert gateway.status()["subscribers_cut_off"] == 1
        writer.close()
        async with ControlClient(tmp_path / "data" / SOCKET) as client:
            assert (await anext(client.subscribe())).event == "snapshot"


async def test_control_goes_on_when_a_client_talks_rubbish(tmp_path: Path, broker: Mosquitto) -> None:
    """Rubbish is answered or closed; the next client is served."""
    async with open_gateway(settings(tmp_path), EmbeddedSettings(), MqttSettings(port=broker.port)):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "data" / SOCKET))
        writer.write(b'rubbish\n{"id":1,"op":"reset.panel","actor":"x"}\n')
        for _ in range(2):
            assert b'"ok":false' in await reader.readline()
        writer.write(b"x" * 2_000_000)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        async with ControlClient(tmp_path / "data" / SOCKET) as client:
            assert "received" in await client.ask("status", "local")


async def test_stale_socket_is_replaced_when_the_gateway_died(tmp_path: Path, broker: Mosquitto) -> None:
    """A kill leaves the socket's file; the next start is not held up."""
    with GatewayProcess(tmp_path, broker.port) as gateway:
        await gateway.listening()
        gateway.kill()
        assert (tmp_path / "data" / SOCKET).exists()
        gateway.start()
        await gateway.listening()
        assert gateway.stop()[0] == 0
    assert not (tmp_path / "data" / SOCKET).exists()


async def test_unknown_device_is_in_the_history_when_it_was_approved(tmp_path: Path, broker: Mosquitto) -> None:
    """From quarantine by approval to the history; nothing of it is there before."""
    mqtt = MqttSettings(port=broker.port, root="t3")
    async with (
        open_gateway(settings(tmp_path), EmbeddedSettings(), mqtt) as gateway,
        aiomqtt.Client("127.0.0.1", broker.port) as agent,
        ControlClient(tmp_path / "data" / SOCKET) as client,
        open_history(EmbeddedSettings(), tmp_path / "data", read_only=True) as history,
    ):
        await until(lambda: gateway.subscriber.connected)
        # Now, not before the gateway started: a message sent a second ago comes from a clock that is behind.
        now_ms = time.time_ns() // 1_000_000
        readings = [Reading("hydrant-99/pressure_kpa", now_ms, 240.0), Reading(PRESSURE, now_ms, 150.0)]
        await agent.publish("t3/shuiye/edge1/telemetry", encode(batch(1, *readings, sent_ms=now_ms)), qos=1)

        def is_mirrored(point: str) -> bool:
            with ledger(tmp_path) as reader:
                ids = [row.id for row in reader.inbox() if any(r.point == point for r in row.readings)]
            return bool(ids) and gateway.status()["history"]["mirrored_id"] >= ids[-1]

        await until(lambda: is_mirrored(PRESSURE))
        assert await history.raw("shuiye", "hydrant-99/pressure_kpa", 0, now_ms + 1, 10) == []
        await client.ask(
            "device.approve",
            "li",
            site="shuiye",
            device="hydrant-99",
            profile="hydrant-municipal",
            title_zh="新栓",
            title_en="New hydrant",
        )
        await until(lambda: is_mirrored("hydrant-99/pressure_kpa"))
        samples = await history.raw("shuiye", "hydrant-99/pressure_kpa", 0, now_ms + 1, 10)
        assert [(sample.observed_ms, sample.value) for sample in samples] == [(now_ms, 240.0)]


async def test_poison_is_named_in_a_receipt_when_it_came_over_the_broker(tmp_path: Path, broker: Mosquitto) -> None:
    """The agent learns which payload was refused and can put it aside."""
    async with (
        open_gateway(settings(tmp_path), EmbeddedSettings(), MqttSettings(port=broker.port, root="t4")) as gateway,
        aiomqtt.Client("127.0.0.1", broker.port) as agent,
    ):
        await until(lambda: gateway.subscriber.connected)
        await agent.subscribe("t4/shuiye/edge1/receipt")
        payload = b'{"epoch":"e1","site":7}'
        await agent.publish("t4/shuiye/edge1/telemetry", payload, qos=1)
        message = await anext(aiter(agent.messages))
        assert message.payload == b'{"epoch":"e1","alarm":0,"telemetry":0,"rewind":false,"refused":["%s"]}' % (
            digest(payload).encode()
        )
        await agent.publish(f"{DEFAULT_ROOT}/unrelated", b"x")


async def test_people_exist_once_when_the_gateway_starts_for_the_first_time(tmp_path: Path, broker: Mosquitto) -> None:
    """One person a role; passwords told once, readable by the owner only, gone when all were used."""
    path = tmp_path / "data" / PASSWORDS
    mqtt = MqttSettings(port=broker.port)
    async with open_gateway(settings(tmp_path), EmbeddedSettings(), mqtt) as gateway:
        passwords = gateway.one_time_passwords
        assert sorted(passwords) == ["administrator", "duty", "inspector", "maintainer"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        lines = [line.split() for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
        assert dict(lines) == passwords
        with ledger(tmp_path) as reader:
            for user in reader.users():
                assert hasher().verify(user.password_hash, passwords[user.name])
        new = hasher().hash("something else")
        async with ControlClient(tmp_path / "data" / SOCKET) as client:
            for name in passwords:
                await client.ask("user.set_password", name, name=name, password_hash=new)
            with pytest.raises(ControlError, match="got no such user"):
                await client.ask("session.open", "x", token_hash="0" * 64, user="nobody", expires_ms=1)
        with ledger(tmp_path) as reader:
            assert {user.one_time_until_ms for user in reader.users()} == {None}
    async with open_gateway(settings(tmp_path), EmbeddedSettings(), mqtt) as gateway:
        assert gateway.one_time_passwords == {}
        await until(lambda: not path.exists())
