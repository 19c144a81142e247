"""What the gateway knows of itself and of its agents: readings like any other, made once, judged and stored."""

from __future__ import annotations

import asyncio
import heapq
import random
from pathlib import Path
from typing import Any

import msgspec

from contract.messages import OutboxState, Reading
from contract.topics import DEFAULT_ROOT
from gateway.control.protocol import AgentView
from gateway.installation import load_installation
from gateway.installing import Install
from gateway.ledger.store import Store
from gateway.own import Facts, OwnReadings, note_alive, read_stopped_s
from gateway.own_facts import expiries_ms, look
from gateway.settings import GatewaySettings
from gateway.state import WorkingState, load
from gateway.turn import Turn
from tests.gateway.harness import START_MS, Bench, Clock, arrival, batch, ledger, open_bench, state, until

CERTIFICATES = """\
-----BEGIN CERTIFICATE-----
MIIBhDCCASmgAwIBAgIUehrKXqpfwbgjC2wrOHqGvoUu3aAwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMd2VpemhhbiB0ZXN0MB4XDTI2MTEyMjA1MjQ1MloXDTI3MDMw
MjA1MjQ1MlowFzEVMBMGA1UEAwwMd2VpemhhbiB0ZXN0MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAE4xAQnlcrO2G2mkmkkqVqfCIyVoVcx41Z4FOzuvzYpwpLcsUY
n/PxTBrxkMTnMBVJl3RvedQTg0+dMMrQl4FjW6NTMFEwHQYDVR0OBBYEFILUDy49
IimT2kaPlXcyktLyzqt7MB8GA1UdIwQYMBaAFILUDy49IimT2kaPlXcyktLyzqt7
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAOygZxg8exjhznMh
dmjRkFA/1xA/fvUA5K+S63+duGYtAiEAvWi39j5K5tRcXhPRTZJG18+6PxnEjmQ2
1v0CI+0K0Y0=
-----END CERTIFICATE-----
-----BEGIN CERTIFICATE-----
MIIBhDCCASugAwIBAgIUDa0yS9y7hZuew36/1udc7mgFxQgwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMd2VpemhhbiB0ZXN0MCAXDTI2MTEyMjA1MjQ1MloYDzIwNTkw
OTMwMDUyNDUyWjAXMRUwEwYDVQQDDAx3ZWl6aGFuIHRlc3QwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAARkxEbFbOmBmJAx2MatgdPH5kkRiK33aRwrXIuWIj9sE3hB
+t03Far0YAAYoCMBZMQEFQCEcClzDFdvLv+vlodZo1MwUTAdBgNVHQ4EFgQUU0UN
PzT0+b9AQsQDUQfTv2A2jfkwHwYDVR0jBBgwFoAUU0UNPzT0+b9AQsQDUQfTv2A2
jfkwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiArwFiIfR3HVFwL
fCMcXoEcMWmVAi+4+BZ3rpmS6knzQQIgd4jWV+MGuK+ckCLydPA1MvBFDT/KP4zA
7WMynBFqb3Q=
-----END CERTIFICATE-----
"""
"""Two of nobody, made for this test: the first ends in 2027 (UTCTime), the second in 2059 (GeneralizedTime)."""
ALL_WELL = Facts(True, False, 0.0, 55.0, 12.0, None, None, 0.0)


def view(*, online: bool = True, offset_ms: int = 20, **said: Any) -> AgentView:
    """An agent as its heartbeats left it."""
    told = {"outbox": {"alarm": 0, "telemetry": 2, "unacknowledged_s": 0.4}, "stepped_ms": 0, **said}
    return AgentView(site="s1", agent="a1", online=online, heard_ms=START_MS, clock_offset_ms=offset_ms, state=told)


class Mirror:
    """The readings of one OwnReadings, look by look."""

    def __init__(self, stopped_s: float = 0.0) -> None:
        self.own = OwnReadings(lambda: ALL_WELL, stopped_s)

    def look(
        self, now_ms: int, facts: Facts = ALL_WELL, agents: list[AgentView] | None = None
    ) -> dict[str, tuple[Any, str]]:
        """Point -> value and quality of what is news."""
        known = {(agent.site, agent.agent): agent for agent in agents or []}
        news = self.own.look(facts, known, {}, lambda _site, _device: True, now_ms)
        return {f"{site}/{r.point}": (r.value, r.quality) for site, readings in news for r in readings}


def test_own_state_is_told_once_and_again_when_it_moved_or_after_long() -> None:
    """Everything at first; then what moved by its deadband; all of it again after ten minutes."""
    mirror = Mirror()
    first = mirror.look(START_MS)
    assert first["system/gateway/broker_connected"] == (True, "good")
    assert first["system/gateway/disk_free_pct"] == (55.0, "good")
    assert "system/gateway/certificate_days" not in first
    assert mirror.look(START_MS + 1000) == {}
    moved = ALL_WELL._replace(disk_free_pct=54.5, broker_connected=False)
    assert mirror.look(START_MS + 2000, moved) == {"system/gateway/broker_connected": (False, "good")}
    assert mirror.look(START_MS + 3000, moved._replace(disk_free_pct=53.9)) == {
        "system/gateway/disk_free_pct": (53.9, "good")
    }
    assert set(mirror.look(START_MS + 604_000)) == set(first)


def test_stop_is_told_for_a_while_and_then_is_over() -> None:
    """A gateway that was down for two hours says so, and takes it back after five minutes."""
    mirror = Mirror(7200.0)
    assert mirror.look(START_MS)["system/gateway/stopped_s"] == (7200.0, "good")
    assert mirror.look(START_MS + 299_000) == {}
    assert mirror.look(START_MS + 300_000) == {"system/gateway/stopped_s": (0.0, "good")}


def test_agent_is_told_from_its_heartbeat_and_unknown_when_it_is_lost() -> None:
    """Outbox and clock of an agent are known while it speaks."""
    mirror = Mirror()
    mirror.look(START_MS)
    agent = view()
    assert mirror.look(START_MS + 1000, agents=[agent]) == {
        "s1/agent-a1/outbox_count": (2.0, "good"),
        "s1/agent-a1/outbox_age_s": (0.4, "good"),
        "s1/agent-a1/clock_offset_ms": (20.0, "good"),
        "s1/agent-a1/clock_stepped_ms": (0.0, "good"),
    }
    assert mirror.look(START_MS + 2000, agents=[agent]) == {}
    stepped = view(offset_ms=90_020, stepped_ms=90_000)
    assert mirror.look(START_MS + 3000, agents=[stepped]) == {
        "s1/agent-a1/clock_offset_ms": (90_020.0, "good"),
        "s1/agent-a1/clock_stepped_ms": (90_000.0, "good"),
    }
    lost = mirror.look(START_MS + 4000, agents=[msgspec.structs.replace(stepped, online=False)])
    assert set(lost.values()) == {(None, "unknown:agent_lost")}


def test_files_are_looked_at_when_they_are_there(tmp_path: Path) -> None:
    """Disk and certificates are read; what cannot be read is not known."""
    path = tmp_path / "chain.pem"
    path.write_text("a word before\n" + CERTIFICATES, "ascii")
    ends = expiries_ms(path)
    assert ends == [1_803_965_092_000, 2_832_125_092_000]
    seen = look(tmp_path / "ledger.sqlite", [path], ends[0] - 3 * 86_400_000)
    assert seen.certificate_days == 3.0
    assert seen.quarantine_count is None
    assert seen.disk_free_pct is not None
    assert 0 < seen.disk_free_pct <= 100
    path.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "ascii")
    assert expiries_ms(path) == []
    assert look(tmp_path / "none" / "ledger.sqlite", [tmp_path / "none.pem"], START_MS) == (None, None, None, None)


class Desk:
    """Own readings of a pipeline under test, on the test's clock."""

    def __init__(self, clock: Clock, stopped_s: float = 0.0) -> None:
        self.facts = ALL_WELL
        self.own = OwnReadings(lambda: self.facts, stopped_s, lambda: clock.now_ms / 1000)


def own_rows(bench: Bench) -> list[tuple[str, str, int, list[Reading]]]:
    """Site, epoch, seq and readings of the gateway's own batches."""
    return [(row.site, row.epoch, row.seq, row.readings) for row in bench.reader.inbox() if row.agent == "gateway"]


async def test_own_readings_are_stored_once_when_the_gateway_starts_anew(tmp_path: Path) -> None:
    """They are batches of the agent `gateway`, numbered without a hole over a restart; nothing is told twice."""
    clock = Clock()
    async with open_bench(tmp_path, clock, own=Desk(clock).own) as bench:
        await bench.take(arrival(state(agent="edge1")))
        await until(lambda: len(own_rows(bench)) >= 1)
        clock.now_ms += 2000
        await bench.take(arrival(state(agent="edge1", sent_ms=clock.now_ms), clock.now_ms))
        await until(lambda: any(site == "shuiye" for site, *_ in own_rows(bench)))
        before = own_rows(bench)
    assert {epoch for _, epoch, _, _ in before} == {"own"}
    desk = Desk(clock)
    clock.now_ms += 2000
    async with open_bench(tmp_path, clock, own=desk.own) as bench:
        await bench.take(arrival(batch(1, Reading("hydrant-01/pressure_kpa", clock.now_ms, 300.0))))
        assert own_rows(bench) == before
        desk.facts = ALL_WELL._replace(history_away=True)
        clock.now_ms += 2000
        await until(lambda: len(own_rows(bench)) > len(before))
        site, _, seq, readings = own_rows(bench)[-1]
    assert (site, [(r.point, r.value) for r in readings]) == ("system", [("gateway/history_away", True)])
    assert seq == max(row[2] for row in before if row[0] == "system") + 1


async def test_stop_is_measured_from_the_last_sign_of_life(tmp_path: Path) -> None:
    """What the ledger says of the last run is enough, also after a kill."""
    clock = Clock()
    async with open_bench(tmp_path, clock, own=Desk(clock).own) as bench:
        await until(lambda: len(own_rows(bench)) >= 1)
        assert await bench.store.run(lambda c: read_stopped_s(c, clock.now_ms + 61_000)) == 61.0
        await bench.store.run(lambda c: note_alive(c, START_MS + 60_000))
        assert await bench.store.run(lambda c: read_stopped_s(c, clock.now_ms)) == 0.0


async def lost_agents(bench: Bench) -> list[str]:
    """Agents that count as lost."""
    return sorted(alarm.subject for alarm in bench.reader.alarms() if alarm.rule == "agent-lost" and alarm.active)


async def test_nobody_is_lost_when_the_gateway_stood_still_and_agents_kept_speaking(tmp_path: Path) -> None:
    """Held up for a minute (SIGSTOP): what waited is taken first; one that really fell silent is found afterwards."""
    clock = Clock()
    async with open_bench(tmp_path, clock, own=Desk(clock).own) as bench:
        for agent in ("edge1", "edge2"):
            await bench.take(arrival(state(agent=agent), clock.now_ms))
        clock.now_ms += 60_000
        await until(
            lambda: any(r.point == "gateway/stopped_s" and r.value == 60.0 for *_, rs in own_rows(bench) for r in rs)
        )
        assert await lost_agents(bench) == []
        await bench.take(arrival(state(agent="edge1", sent_ms=clock.now_ms), clock.now_ms))
        for _ in range(5):
            clock.now_ms += 4000
            await bench.take(arrival(state(agent="edge1", sent_ms=clock.now_ms), clock.now_ms))
        assert await lost_agents(bench) == []
        for _ in range(10):
            clock.now_ms += 4000
            await bench.take(arrival(state(agent="edge1", sent_ms=clock.now_ms), clock.now_ms))
        await until(lambda: len(bench.reader.alarms(rule="agent-lost")) == 1)
        assert await lost_agents(bench) == ["shuiye/edge2"]


async def test_agents_are_not_lost_while_the_broker_is_away(tmp_path: Path) -> None:
    """The broker is the one cause; back, everybody has a grace."""
    clock = Clock()
    desk = Desk(clock)
    async with open_bench(tmp_path, clock, own=desk.own) as bench:
        for agent in ("edge1", "edge2"):
            await bench.take(arrival(state(agent=agent), clock.now_ms))
        desk.facts = ALL_WELL._replace(broker_connected=False)
        for _ in range(40):
            clock.now_ms += 4000
            await asyncio.sleep(0)
            await bench.take(arrival(state(agent="nobody", sent_ms=clock.now_ms), clock.now_ms))
        assert await lost_agents(bench) == []
        up = {(alarm.rule, alarm.subject) for alarm in bench.reader.alarms() if alarm.active}
        assert up == {("broker-lost", "system/gateway/broker_connected")}
        desk.facts = ALL_WELL
        for _ in range(4):
            clock.now_ms += 4000
            for agent in ("edge1", "edge2"):
                await bench.take(arrival(state(agent=agent, sent_ms=clock.now_ms), clock.now_ms))
        assert {alarm.rule for alarm in bench.reader.alarms() if alarm.active} == set()
    assert [alarm.rule for alarm in ledger(tmp_path).alarms()] == ["broker-lost"]


def test_outbox_of_a_heartbeat_has_what_the_own_readings_ask_for() -> None:
    """The names in a heartbeat are those that are read."""
    said = msgspec.to_builtins(OutboxState(alarm=1, telemetry=2, unacknowledged_s=3.5))
    assert (said["alarm"], said["telemetry"], said["unacknowledged_s"]) == (1, 2, 3.5)


async def test_silence_is_told_at_its_time_when_a_thousand_agents_fall_silent_one_by_one(tmp_path: Path) -> None:
    """Each of 1,000 agents: lost 45 s after its last word, a second more or less, in event time and when written."""
    site = {"site": "shuiye", "title": {"zh": "站", "en": "Station"}, "agents": []}
    for n in range(1000):
        devices = [{"id": f"d{n}", "profile": "water-level", "unit_id": 1}]
        line = {
            "id": f"l{n}",
            "kind": "modbus_tcp",
            "host": f"10.0.{n // 250}.{n % 250}",
            "port": 502,
            "devices": devices,
        }
        site["agents"].append({"id": f"a{n}", "lines": [line]})  # type: ignore[attr-defined]  # a list, mypy sees object
    path = tmp_path / "many.yaml"
    path.write_bytes(msgspec.json.encode(site))
    settings = GatewaySettings(sites=[path], data_dir=tmp_path / "data")
    async with Store(settings.data_dir) as store:
        working = WorkingState(await store.run(load), load_installation(settings), DEFAULT_ROOT, START_MS)
    now_ms, chance = START_MS, random.Random(1)
    silent_from = {f"a{n}": START_MS + chance.randint(20_000, 80_000) for n in range(1000)}
    words = [(START_MS + chance.randint(0, 10_000), agent) for agent in silent_from]
    heapq.heapify(words)
    last_word: dict[str, int] = {}
    raised: dict[str, tuple[int, int]] = {}
    while len(raised) < 1000 and now_ms < START_MS + 200_000:
        turn = Turn(working, now_ms, unknown_readings=10, unknown_devices=10)
        while words and words[0][0] <= now_ms:
            word_ms, agent = heapq.heappop(words)
            turn.take(arrival(state(agent=agent, sent_ms=word_ms), word_ms))
            last_word[agent] = word_ms
            if word_ms + 10_000 < silent_from[agent]:
                heapq.heappush(words, (word_ms + 10_000, agent))
        turn.finish()
        for alarm in turn.changes.alarms.values():
            if alarm.rule == "agent-lost" and alarm.active:
                raised.setdefault(alarm.subject.partition("/")[2], (alarm.raised_ms, now_ms))
        due_ms = working.next_due_ms()
        now_ms = max(now_ms + 200, min(now_ms + 1000, due_ms or now_ms + 1000))

    late_ms = [(at - last_word[a] - 45_000, written - last_word[a] - 45_000) for a, (at, written) in raised.items()]
    assert len(late_ms) == 1000
    assert max(abs(event) for event, _ in late_ms) <= 1000
    assert max(abs(written) for _, written in late_ms) <= 1000


async def test_own_readings_go_on_when_an_agent_left_the_site_file_and_came_back(tmp_path: Path) -> None:
    """Another site file while it runs: who is gone is not told of; who is back goes on; the gateway stays."""
    clock = Clock()
    async with open_bench(tmp_path, clock, own=Desk(clock).own) as bench:
        made = GatewaySettings(sites=[tmp_path / "shuiye.yaml"], data_dir=tmp_path / "data")
        text = made.sites[0].read_text("utf-8")

        async def pass_second(waiting: int = 0) -> None:
            clock.now_ms += 1500
            said = state(agent="edge2", sent_ms=clock.now_ms)
            said.outbox = OutboxState(telemetry=waiting)
            await bench.take(arrival(said, clock.now_ms))

        def told(device: str) -> int:
            rows = [r.point for *_, readings in own_rows(bench) for r in readings]
            return sum(point.startswith(f"{device}/outbox_count") for point in rows)

        await pass_second()
        await pass_second()
        assert told("agent-edge2") == 1
        made.sites[0].write_text(text[: text.index("  - id: edge2")], "utf-8")
        await bench.pipeline.install(Install(load_installation(made), "li"))
        await pass_second(100)
        await pass_second(100)
        assert told("agent-edge2") == 1
        made.sites[0].write_text(text, "utf-8")
        await bench.pipeline.install(Install(load_installation(made), "li"))
        await pass_second(100)
        await pass_second(100)
        assert told("agent-edge2") == 2
        assert sum(r.point == "gateway/broker_connected" for *_, rs in own_rows(bench) for r in rs) == 1
