"""Outbox and uplink against a real Mosquitto: nothing leaves the disk before the receipt, nothing arrives twice."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract.messages import Reading, Receipt, Request
from contract.mqtt import MqttSettings
from edge_agents.clock import AgentClock
from edge_agents.outbox import Outbox
from edge_agents.settings import OutboxSettings
from edge_agents.uplink import Identity, Uplink
from edge_agents.window import SendWindow
from tests.edge_agents.gateway import SmallGateway, until
from tests.parts.mosquitto import Mosquitto

T0 = 1_800_000_000_000


def readings(count: int, start: int = 0) -> list[Reading]:
    """Readings of distinct points and times."""
    return [Reading(f"d{n}/p", T0 + n, float(n)) for n in range(start, start + count)]


@asynccontextmanager
async def running(
    folder: Path, port: int, requests: list[Request] | None = None, resend_s: float = 0.5
) -> AsyncIterator[tuple[Outbox, Uplink]]:
    """An outbox and its uplink."""
    taken: list[Request] = requests if requests is not None else []
    async with Outbox(folder, OutboxSettings(), lambda: T0) as outbox:
        identity = Identity("s1", "a1", "0", "hash", 1.0)
        uplink = Uplink(
            MqttSettings(port=port),
            identity,
            outbox,
            resend_s,
            taken.append,
            AgentClock(lambda: T0, lambda: T0, "boot"),
        )
        task = asyncio.create_task(uplink.run(), name="uplink")
        try:
            yield outbox, uplink
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def put(outbox: Outbox, uplink: Uplink, lane: str, start: int, count: int = 1) -> None:
    """Append and wake the sender."""
    await outbox.append(lane, readings(count, start), {})  # type: ignore[arg-type]
    uplink.wake(lane)  # type: ignore[arg-type]


async def is_empty(outbox: Outbox) -> bool:
    """Whether nothing is held."""
    return all(lane.rows == 0 for lane in (await outbox.held()).values())


async def drained(outbox: Outbox) -> None:
    """Wait until everything was acknowledged."""
    for _ in range(2000):
        if await is_empty(outbox):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still held: {await outbox.held()}")


async def test_everything_arrives_once_when_all_is_well(tmp_path: Path, broker: Mosquitto) -> None:
    """Both lanes in order, deleted after the receipt, and the retained state says so."""
    async with SmallGateway(broker.port) as gateway, running(tmp_path, broker.port) as (outbox, uplink):
        for n in range(60):
            await put(outbox, uplink, "alarm" if n % 3 else "telemetry", n)
        await drained(outbox)
        assert gateway.readings("alarm") == [r for n in range(60) if n % 3 for r in readings(1, n)]
        assert gateway.readings("telemetry") == [r for n in range(0, 60, 3) for r in readings(1, n)]
        assert gateway.holes == 0
        await until(lambda: bool(gateway.states) and gateway.states[-1].online, "state online")
    assert gateway.states[0].config_hash == "hash"


async def test_nothing_is_deleted_when_the_receipt_is_withheld(tmp_path: Path, broker: Mosquitto) -> None:
    """What the broker acknowledged stays on disk, is sent again, and has no second effect."""
    async with SmallGateway(broker.port) as gateway, running(tmp_path, broker.port) as (outbox, uplink):
        gateway.withhold = True
        await put(outbox, uplink, "alarm", 0, 5)
        await until(lambda: gateway.duplicates >= 2, "sent again without a receipt")
        assert (await outbox.held())["alarm"].rows == 1
        gateway.withhold = False
        await drained(outbox)
    assert gateway.readings("alarm") == readings(5)


async def test_the_order_holds_when_the_broker_is_killed_again_and_again(tmp_path: Path, broker: Mosquitto) -> None:
    """Kill -9 of the broker twice under load: lost 0, twice 0, in order."""
    async with SmallGateway(broker.port) as gateway, running(tmp_path, broker.port) as (outbox, uplink):
        made = 0
        for _ in range(2):
            for _ in range(40):
                await put(outbox, uplink, "alarm", made)
                await put(outbox, uplink, "telemetry", made)
                made += 1
            await asyncio.to_thread(broker.kill)
            for _ in range(10):
                await put(outbox, uplink, "alarm", made)
                made += 1
            await asyncio.to_thread(broker.start)
        await drained(outbox)
    assert gateway.readings("alarm") == readings(made)


async def test_a_refused_batch_goes_as_a_gap_and_the_lane_goes_on(tmp_path: Path, broker: Mosquitto) -> None:
    """One batch the gateway cannot read never stops a lane."""
    async with SmallGateway(broker.port) as gateway, running(tmp_path, broker.port) as (outbox, uplink):
        gateway.refuse = lambda batch: any(reading.value == 3.0 for reading in batch.readings)
        for n in range(6):
            await put(outbox, uplink, "alarm", n)
        await drained(outbox)
    assert gateway.readings("alarm") == [r for n in (0, 1, 2, 4, 5) for r in readings(1, n)]
    assert [(gap.seq, gap.readings, gap.reason) for b in gateway.committed["alarm"] for gap in b.gaps] == [
        (4, 1, "refused")
    ]


async def test_the_backlog_drains_in_order_when_the_gateway_was_away(tmp_path: Path, broker: Mosquitto) -> None:
    """A few hundred batches held, then sent within the window, each once but for what was in flight."""
    async with Outbox(tmp_path, OutboxSettings(batch_bytes=1024), lambda: T0) as outbox:
        await outbox.append("telemetry", readings(6000), {})
        await outbox.append("alarm", readings(10), {})
    async with SmallGateway(broker.port) as gateway, running(tmp_path, broker.port, resend_s=5) as (outbox, _):
        await drained(outbox)
        alarm_at = gateway.arrivals.index(("alarm", 1))
        assert alarm_at <= 4
    assert gateway.readings("telemetry") == readings(6000)
    assert gateway.duplicates == 0


async def test_a_rewind_is_followed_at_once(tmp_path: Path, broker: Mosquitto) -> None:
    """A gateway that lost its memory gets everything still held, without waiting for the timeout."""
    async with SmallGateway(broker.port) as gateway, running(tmp_path, broker.port, resend_s=60) as (outbox, uplink):
        gateway.withhold = True
        for n in range(4):
            await put(outbox, uplink, "alarm", n)
        await until(lambda: len(gateway.arrivals) == 4, "first sending")
        gateway.committed["alarm"].clear()
        gateway.watermark.clear()
        gateway.withhold = False
        await gateway.send_receipt(Receipt(epoch=outbox.epoch, rewind=True))
        await drained(outbox)
    assert gateway.readings("alarm") == readings(4)


async def test_thinned_telemetry_arrives_as_an_exact_gap(tmp_path: Path, broker: Mosquitto) -> None:
    """What was given up is told with its count; every seq is covered once."""
    small = OutboxSettings(max_bytes=256 * 1024, batch_bytes=1024)
    async with Outbox(tmp_path, small, lambda: T0) as outbox:
        for n in range(40):
            await outbox.append("telemetry", readings(500, 500 * n), {})
        await outbox.append("alarm", readings(7), {})
        await outbox.keep_budget()
        assert outbox.thinned > 0
        assert (await outbox.fill()).used_bytes <= 256 * 1024
    async with SmallGateway(broker.port) as gateway, running(tmp_path, broker.port) as (outbox, _):
        await drained(outbox)
    assert len(gateway.readings("telemetry")) + gateway.gap_readings("telemetry") == 20_000
    assert gateway.gap_readings("telemetry") > 5_000
    covered = [seq for batch in gateway.committed["telemetry"] for seq in range(batch.first_seq, batch.seq + 1)]
    assert covered == list(range(1, len(covered) + 1))
    assert gateway.readings("alarm") == readings(7)


async def test_an_older_copy_of_the_outbox_goes_on_under_a_new_epoch(
    tmp_path: Path, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """A restored disk image never has its new readings taken for the old ones of the same seq."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    async with SmallGateway(broker.port) as gateway:
        async with running(live, broker.port) as (outbox, uplink):
            await put(outbox, uplink, "alarm", 0)
            await drained(outbox)
        shutil.copytree(live, copy)
        async with running(live, broker.port) as (outbox, uplink):
            for n in range(1, 4):
                await put(outbox, uplink, "alarm", n)
            await drained(outbox)
        async with running(copy, broker.port) as (outbox, uplink):
            await put(outbox, uplink, "alarm", 9)
            await drained(outbox)
    assert gateway.readings("alarm") == [*readings(4), *readings(1, 9)]
    assert len({batch.epoch for batch in gateway.committed["alarm"]}) == 2
    assert "older copy" in caplog.text


async def test_the_last_will_says_offline_when_the_agent_vanishes(tmp_path: Path, broker: Mosquitto) -> None:
    """A stop says online false itself."""
    async with SmallGateway(broker.port) as gateway:
        async with running(tmp_path, broker.port) as (_, uplink):
            await until(lambda: uplink.is_connected, "connected")
        await until(lambda: bool(gateway.states) and not gateway.states[-1].online, "offline")


async def test_requests_reach_the_agent_and_rubbish_does_no_harm(tmp_path: Path, broker: Mosquitto) -> None:
    """A poll request is handed over; an unreadable message is counted."""
    requests: list[Request] = []
    async with (
        SmallGateway(broker.port) as gateway,
        running(tmp_path, broker.port, requests) as (outbox, uplink),
    ):
        await until(lambda: uplink.is_connected, "connected")
        assert gateway._client is not None
        await gateway._client.publish("weizhan/v1/s1/a1/request", b"{", qos=1)
        await gateway._client.publish("weizhan/v1/s1/a1/receipt", b"\xff\xfe", qos=1)
        await gateway.request(Request(kind="poll", device="h1"))
        await until(lambda: bool(requests), "request")
        assert requests == [Request(kind="poll", device="h1")]
        assert uplink.bad_messages == 2
        await put(outbox, uplink, "alarm", 0)
        await drained(outbox)


async def test_one_warning_and_one_info_when_the_broker_is_away_for_a_while(
    tmp_path: Path, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says the change to bad once and the change back once."""
    caplog.set_level("INFO", "edge_agents")
    async with running(tmp_path, broker.port) as (_, uplink):
        await until(lambda: uplink.is_connected, "connected")
        await asyncio.to_thread(broker.kill)
        await until(lambda: not uplink.is_connected, "noticed")
        await asyncio.sleep(1.5)  # several attempts fail meanwhile
        await asyncio.to_thread(broker.start)
        await until(lambda: uplink.is_connected, "connected again")
    ours = [(record.levelname, record.name) for record in caplog.records if record.name.startswith("edge_agents")]
    assert ours == [("WARNING", "edge_agents.uplink"), ("INFO", "edge_agents.uplink")]


def test_the_window_goes_back_when_there_is_no_progress() -> None:
    """Go-back-N: the cursor returns to the receipt, never beyond it, and room is bounded."""
    window = SendWindow(3, 2.0)
    for seq in (1, 2, 5):
        window.sent(seq, f"digest {seq}", 0.0)
    assert (window.cursor, window.room) == (5, 0)
    assert window.receipt(2, 1.0)
    assert not window.receipt(1, 1.0)
    assert (window.room, window.is_overdue(2.9), window.is_overdue(3.0)) == (2, False, True)
    assert (window.refused("digest 5"), window.refused("digest 1")) == (5, None)
    window.go_back()
    assert (window.cursor, window.room, window.wait_s(9.0)) == (2, 3, None)
    window.go_back(probe=True)
    assert window.room == 1
    window.receipt(2, 9.0)
    assert window.room == 3
