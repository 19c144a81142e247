"""The pipeline on a real ledger: what is committed, what is told, and that the second never runs ahead of the first."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sqlite3
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contract.messages import Gap, Reading, Receipt, Request, Value, digest
from contract.site import REGISTER_DEVICE
from contract.topics import DEFAULT_ROOT
from gateway.app import refused_rows
from gateway.control.client import ControlError
from gateway.control.feed import Subscriber
from gateway.control.protocol import Ask, Op
from gateway.history.base import Row
from gateway.ingest.door import Arrival
from gateway.installation import Installation, load_installation
from gateway.ledger.audit import verify
from gateway.ledger.records import ApprovedDevice
from gateway.settings import GatewaySettings
from gateway.state import load
from rules.engine import Engine
from rules.memory import LastValue
from tests.gateway.harness import (
    FIRE,
    PRESSURE,
    START_MS,
    Bench,
    Clock,
    arrival,
    batch,
    ledger,
    open_bench,
    state,
    until,
)


async def ask(bench: Bench, op: Op, actor: str = "wang", **args: Any) -> Any:
    return await bench.pipeline.ask(Ask(id=1, op=op, actor=actor, args=args))


def stored(bench: Bench) -> list[Value]:
    """Values of agents that are in the inbox; what the gateway keeps of a site beside them says things of its own."""
    readings = (reading for _, reading in bench.reader.stored())
    return [reading.value for reading in readings if not reading.point.startswith(f"{REGISTER_DEVICE}/")]


async def test_receipt_is_cumulative_for_both_lanes_when_batches_were_committed(tmp_path: Path) -> None:
    """A receipt names the highest seq of each lane that is in the ledger."""
    async with open_bench(tmp_path) as bench:
        await bench.take(
            arrival(batch(1, Reading(PRESSURE, START_MS, 150.0))),
            arrival(batch(2, Reading(PRESSURE, START_MS + 1, 151.0))),
            arrival(batch(1, Reading(FIRE, START_MS, "normal"), lane="alarm")),
        )
        assert bench.last == Receipt(epoch="e1", alarm=1, telemetry=2)
        assert [(row.lane, row.seq) for row in bench.reader.inbox()] == [
            ("alarm", 1),
            ("telemetry", 1),
            ("telemetry", 2),
        ]
        assert bench.reader.stored_count() == 3


async def test_nothing_happens_but_a_receipt_when_a_batch_comes_again(tmp_path: Path) -> None:
    """A duplicate has no effect, after a restart neither."""
    fire = arrival(batch(1, Reading(FIRE, START_MS, "fire"), lane="alarm"))
    async with open_bench(tmp_path) as bench:
        await bench.take(fire, fire)
        await bench.take(fire)
        assert len(bench.reader.transitions()) == 1
    async with open_bench(tmp_path) as bench:
        await bench.take(fire)
        assert bench.last == Receipt(epoch="e1", alarm=1)
        assert stored(bench) == ["fire"]
        assert len(bench.reader.transitions()) == 1
        assert bench.pipeline.status()["dropped"] == {"duplicate": 1}


async def test_agent_is_asked_to_rewind_once_when_a_hole_shows(tmp_path: Path) -> None:
    """What is in flight behind a hole does not ask again and again."""
    async with open_bench(tmp_path) as bench:
        await bench.take(arrival(batch(1, Reading(PRESSURE, START_MS, 1.0))))
        for seq in (3, 4, 5):
            await bench.take(arrival(batch(seq, Reading(PRESSURE, START_MS + seq, 1.0))))
        receipts = [receipt for _, _, receipt in bench.receipts]
        assert [receipt.rewind for receipt in receipts] == [False, True, False, False]
        assert {receipt.telemetry for receipt in receipts} == {1}
        assert bench.reader.stored_count() == 1


async def test_gaps_are_recorded_exactly_when_the_agent_gave_batches_up(tmp_path: Path) -> None:
    """A thinned lane's losses stand in the ledger, once."""
    gaps = [Gap(2, 50, START_MS, START_MS + 9, "budget"), Gap(3, 7, START_MS + 10, START_MS + 11, "refused")]
    thinned = arrival(batch(4, Reading(PRESSURE, START_MS, 1.0), covers_from=2, gaps=gaps))
    async with open_bench(tmp_path) as bench:
        await bench.take(arrival(batch(1)), thinned, thinned)
        rows = bench.reader.gaps()
        assert [(g.seq, g.readings, g.first_ms, g.last_ms, g.reason) for g in rows] == [
            (2, 50, START_MS, START_MS + 9, "budget"),
            (3, 7, START_MS + 10, START_MS + 11, "refused"),
        ]
        assert bench.last.telemetry == 4


async def test_flow_goes_on_when_a_batch_is_poison(tmp_path: Path) -> None:
    """A refused batch is in quarantine before its digest goes out, and the next message is taken."""
    poison = Arrival(f"{DEFAULT_ROOT}/shuiye/edge1/telemetry", b"{poison", START_MS)
    async with open_bench(tmp_path) as bench:
        told: list[tuple[list[str], int]] = []
        bench.when_told = lambda receipt: told.append((receipt.refused, len(bench.reader.quarantine())))
        await bench.take(poison, arrival(batch(1, Reading(PRESSURE, START_MS, 1.0))), poison)
        assert [refused for refused, _ in told if refused] == [[digest(poison.payload)]] * len(
            [1 for r, _ in told if r]
        )
        assert all(rows == 1 for refused, rows in told if refused)
        (row,) = bench.reader.quarantine()
        assert (row.source, row.reason, row.count, row.sample) == ("shuiye/edge1", "undecodable", 2, b"{poison")
        assert bench.reader.stored_count() == 1
        refusals = [entry for entry in bench.reader.audit() if entry.action == "message.refused"]
        assert len(refusals) == 1
        await ask(bench, "quarantine.dismiss", id=row.id)
        assert bench.reader.quarantine() == []
        with pytest.raises(ControlError, match="quarantine 77: got no such row"):
            await ask(bench, "quarantine.dismiss", id=77)


async def test_messages_balance_when_everything_happens(tmp_path: Path) -> None:
    """received = passed + dropped{reason} + pending."""
    async with open_bench(tmp_path, queue_messages=10) as bench:
        offered = [arrival(batch(seq, Reading(PRESSURE, START_MS + seq, 1.0))) for seq in range(1, 15)]
        offered += [arrival(state()), Arrival(f"{DEFAULT_ROOT}/shuiye/edge1/alarm", b"", START_MS)]
        taken = [bench.pipeline.offer(each) for each in offered]
        await until(lambda: bench.pipeline.status()["pending"] == 0)
        status = bench.pipeline.status()
        assert taken.count(False) == 4
        assert status["received"] == 16
        assert status["dropped"] == {"overflow": 4, "undecodable": 1}
        assert status["passed"] == 11


async def test_alarm_lives_through_its_states_when_it_is_raised_acknowledged_and_cleared(tmp_path: Path) -> None:
    """The ledger says which rule, who and when, in the order it happened."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        await bench.take(arrival(batch(1, Reading(FIRE, START_MS, "fire"), lane="alarm")))
        (alarm,) = bench.reader.open_alarms()
        assert (alarm.rule, alarm.subject, alarm.severity) == ("panel-fire", f"shuiye/{FIRE}", "fire")
        assert (alarm.state, alarm.active, alarm.raised_ms) == ("unacknowledged", True, START_MS)
        clock.now_ms += 5000
        await ask(bench, "alarm.acknowledge", alarm_id=alarm.id, note="去看")
        with pytest.raises(ControlError, match="wang has acknowledged it already"):
            await ask(bench, "alarm.acknowledge", "li", alarm_id=alarm.id)
        with pytest.raises(ControlError, match="alarm 8: got no such alarm"):
            await ask(bench, "alarm.acknowledge", alarm_id=8)
        clock.now_ms += 1000
        await bench.take(arrival(batch(2, Reading(FIRE, clock.now_ms, "normal"), lane="alarm"), clock.now_ms))
        await until(lambda: bench.reader.open_alarms() == [])
        steps = [(t.event, t.from_state, t.to_state, t.actor, t.note) for t in bench.reader.transitions(alarm.id)]
        assert steps == [
            ("raise", "normal", "unacknowledged", "rule", ""),
            ("acknowledge", "unacknowledged", "acknowledged", "wang", "去看"),
            ("clear", "acknowledged", "normal", "rule", ""),
        ]
        actions = [row.action for row in bench.reader.audit(limit=1000) if row.action.startswith("alarm.")]
        assert actions == ["alarm.clear", "alarm.acknowledge", "alarm.raise"]
    assert verify(tmp_path / "data" / "ledger.sqlite") is None


async def test_new_alarm_is_opened_when_the_condition_returns_unacknowledged(tmp_path: Path) -> None:
    """Each episode has its own record; the old one still wants to be acknowledged."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        for seq, word in enumerate(["fire", "normal", "fire"], 1):
            await bench.take(arrival(batch(seq, Reading(FIRE, clock.now_ms, word), lane="alarm"), clock.now_ms))
            clock.now_ms += 1000
            await until(lambda expected=seq: len(bench.reader.transitions()) == expected)
        assert [(a.id, a.state, a.active) for a in bench.reader.open_alarms()] == [
            (1, "returned_unacknowledged", False),
            (2, "unacknowledged", True),
        ]


async def test_picture_is_the_same_when_the_gateway_starts_again(tmp_path: Path) -> None:
    """Values, alarms and their timers survive; an alarm that is up is not raised again."""
    async with open_bench(tmp_path) as bench:
        await bench.take(
            arrival(state()),
            arrival(batch(1, Reading(FIRE, START_MS, "fire"), lane="alarm")),
            arrival(batch(1, Reading(PRESSURE, START_MS, 150.0), Reading("hydrant-01/cap_open", START_MS, False))),
        )
        state_before = bench.pipeline._state
        assert state_before is not None
        before = state_before.snapshot(0)
    async with open_bench(tmp_path) as bench:
        state_after = bench.pipeline._state
        assert state_after is not None
        after = state_after.snapshot(0)
        assert after == before
        await bench.take(arrival(batch(2, Reading(FIRE, START_MS + 10, "fire"), lane="alarm")))
        assert len(bench.reader.transitions()) == 1


async def test_unknown_device_reaches_the_inbox_when_somebody_approves_it(tmp_path: Path) -> None:
    """Kept apart and acknowledged before; with everything it said, in order, afterwards."""
    stranger = "hydrant-99/pressure_kpa"
    async with open_bench(tmp_path, unknown_readings=3) as bench:
        for seq in range(1, 6):
            await bench.take(
                arrival(
                    batch(seq, Reading(stranger, START_MS + seq, float(seq)), Reading(PRESSURE, START_MS + seq, 1.0))
                )
            )
        assert bench.last.telemetry == 5
        (device,) = bench.reader.unknown_devices()
        assert (device.device, device.agent, device.readings, device.dropped) == ("hydrant-99", "edge1", 3, 2)
        assert {reading.point for _, reading in bench.reader.stored()} == {PRESSURE}
        approval = {"site": "shuiye", "device": "hydrant-99", "title_zh": "新栓", "title_en": "New hydrant"}
        with pytest.raises(ControlError, match="profile: got 'nonsense', want one of"):
            await ask(bench, "device.approve", profile="nonsense", **approval)
        assert await ask(bench, "device.approve", profile="hydrant-municipal", **approval) == {"readings": 3}
        with pytest.raises(ControlError, match="not among the unknown devices"):
            await ask(bench, "device.approve", profile="hydrant-municipal", **approval)
        assert bench.reader.unknown_devices() == []
        await bench.take(arrival(batch(6, Reading(stranger, START_MS + 6, 6.0))))
    async with open_bench(tmp_path) as bench:
        await bench.take(arrival(batch(7, Reading(stranger, START_MS + 7, 7.0))))
        stored = [reading.value for _, reading in bench.reader.stored() if reading.point == stranger]
        assert stored == [1.0, 2.0, 3.0, 6.0, 7.0]
        assert [d.approved_by for d in bench.reader.approved_devices()] == ["wang"]


async def test_nothing_is_told_and_nothing_lost_when_the_disk_is_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No receipt without a commit; the fault shows; everything goes through once there is room again."""
    fire = arrival(batch(1, Reading(FIRE, START_MS, "fire"), lane="alarm"))
    async with open_bench(tmp_path) as bench:
        await bench.take(arrival(batch(1, Reading(PRESSURE, START_MS, 1.0))))
        told = len(bench.receipts)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with caplog.at_level(logging.INFO, logger="gateway.pipeline"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            try:
                bench.pipeline.offer(fire)
                bench.pipeline.offer(arrival(batch(2, Reading(PRESSURE, START_MS + 1, 2.0))))
                await until(lambda: bench.pipeline.status()["ledger_fault"])
                with pytest.raises(ControlError) as refused:
                    await asyncio.wait_for(ask(bench, "exported", what="x"), 15)
                assert refused.value.code == "unavailable"
                assert len(bench.receipts) == told
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            await until(lambda: bench.pipeline.status()["pending"] == 0)
            await until(lambda: bench.pipeline.status()["ledger_fault"] is None)
        assert bench.last == Receipt(epoch="e1", alarm=1, telemetry=2)
        assert sorted(map(str, stored(bench))) == ["1.0", "2.0", "fire"]
        assert [t.event for t in bench.reader.transitions()] == ["raise"]
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_state_is_built_once_and_tries_grow_rare_when_the_disk_fails_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small tries, each after a longer pause; what was committed is shown meanwhile; then everything goes through."""
    async with open_bench(tmp_path) as bench:
        await bench.take(arrival(batch(1, Reading(FIRE, START_MS, "fire"), lane="alarm")))
        told, run, time = len(bench.receipts), bench.store.run, asyncio.get_running_loop().time
        tries, built = list[float](), list[float]()

        async def noted(work: Callable[[sqlite3.Connection], Any]) -> Any:
            (built if work is load else tries).append(time())
            return await run(work)

        monkeypatch.setattr(bench.store, "run", noted)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        log = bench.store.path.with_name(f"{bench.store.path.name}-wal")
        bench.reader.alarms()  # a reader keeps the log: it can be read on, and not grow
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
        try:
            bench.pipeline.offer(arrival(batch(1, Reading(PRESSURE, START_MS, 1.0))))
            await until(lambda: len(tries) > 4)
            subscriber = Subscriber()
            await bench.pipeline.subscribe(subscriber)
            picture = await asyncio.wait_for(subscriber.get(), 5)
            assert picture is not None
            assert [alarm["severity"] for alarm in json.loads(picture)["data"]["alarms"]] == ["fire"]
            assert len(bench.receipts) == told
            assert len(built) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        apart = [after - before for before, after in pairwise(tries)]
        assert all(pause_s > 0.07 * 2**nth for nth, pause_s in enumerate(apart)), apart
        await until(lambda: bench.pipeline.status()["pending"] == 0)
        assert bench.last == Receipt(epoch="e1", alarm=1, telemetry=1)


async def test_clock_offset_is_estimated_when_an_agents_clock_is_wrong(tmp_path: Path) -> None:
    """The quickest message tells how far the clocks are apart; alarms are dated by the gateway's."""
    ahead_ms = 300_000
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        for delay_ms in (40, 3, 90):
            await bench.take(arrival(state(sent_ms=START_MS + ahead_ms), START_MS + delay_ms))
        (agent,) = bench.reader.agents()
        assert agent.clock_offset_ms == ahead_ms - 3
        clock.now_ms += 1000
        fire = batch(1, Reading(FIRE, START_MS + ahead_ms, "fire"), lane="alarm", sent_ms=START_MS + ahead_ms)
        await bench.take(arrival(fire, START_MS + 500))
        (alarm,) = bench.reader.open_alarms()
        assert abs(alarm.raised_ms - START_MS) < 1000


async def test_damaged_row_is_left_out_and_told_when_the_inbox_rotted(tmp_path: Path) -> None:
    """A checksum that does not fit keeps a wrong value from being shown."""
    async with open_bench(tmp_path) as bench:
        await bench.take(arrival(batch(1, Reading(PRESSURE, START_MS, 1.0))))
        await bench.store.run(
            lambda c: c.execute("UPDATE inbox SET readings = CAST(replace(readings, '1.0', '9.0') AS BLOB)")
        )
        (row,) = bench.reader.inbox()
        assert (row.intact, row.readings) == (False, [])


async def test_started_and_stopped_stand_in_the_audit_when_the_gateway_ran(tmp_path: Path) -> None:
    """When it watched and under which configuration can be proved later."""
    async with open_bench(tmp_path) as bench:
        await bench.take(arrival(batch(1)))
    with ledger(tmp_path) as reader:
        actions = [row.action for row in reader.audit()]
        assert actions == ["gateway.stop", "agent.epoch", "gateway.start", "rules.kept"]


class FragileEngine(Engine):
    """An engine with a fault of its own: one value makes it fail half way."""

    def observe(
        self,
        site: str,
        readings: list[Reading],
        received_ms: int,
        offset_ms: int = 0,
        found: list[LastValue | None] | None = None,
    ) -> list[Reading]:
        strangers = super().observe(site, readings, received_ms, offset_ms, found)
        if any(reading.value == 666.0 for reading in readings):
            raise ZeroDivisionError("a fault of ours")
        return strangers


class FragileInstallation(Installation):
    """The installation with that engine."""

    def engine(self, approved: Iterable[ApprovedDevice]) -> Engine:
        assert not list(approved)
        made = FragileEngine(self.rules)
        for site in self.sites.values():
            made.add_site(site)
        return made


def load_fragile(settings: GatewaySettings) -> Installation:
    found = load_installation(settings)
    return FragileInstallation(found.sites, found.rules, found.library)


async def test_other_messages_go_on_when_one_makes_the_judging_itself_fail(tmp_path: Path) -> None:
    """The one message is found and set aside, with its sample; nothing it half did remains; all others are taken."""
    bad = arrival(batch(2, Reading(PRESSURE, START_MS + 2, 666.0)))
    async with open_bench(tmp_path, load=load_fragile) as bench:
        for each in (
            arrival(batch(1, Reading(PRESSURE, START_MS + 1, 1.0))),
            bad,
            arrival(batch(1, Reading(FIRE, START_MS, "fire"), lane="alarm")),
        ):
            bench.pipeline.offer(each)
        await until(lambda: bench.pipeline.status()["pending"] == 0)
        assert bench.last.refused == [digest(bad.payload)]
        (row,) = bench.reader.quarantine()
        assert (row.reason, row.sample) == ("fault", bad.payload)
        assert [a.rule for a in bench.reader.open_alarms()] == ["panel-fire"]
        # The agent puts the batch aside and sends a gap in its place.
        gap = Gap(2, 1, START_MS + 2, START_MS + 2, "refused")
        await bench.take(arrival(batch(2, gaps=[gap])), arrival(batch(3, Reading(PRESSURE, START_MS + 3, 3.0))))
        assert bench.last.telemetry == 3
        assert stored(bench) == ["fire", 1.0, 3.0]
        await until(lambda: bench.pipeline.status()["ledger_fault"] is None)


async def test_rows_the_history_refuses_are_kept_where_people_look(tmp_path: Path) -> None:
    """They are counted and sampled in the quarantine, and no message is counted for them."""
    rows = [Row("shuiye", "hydrant-01", "pressure_kpa", START_MS, 152.3, "good")]
    async with open_bench(tmp_path) as bench:
        for _ in range(3):
            bench.pipeline.set_aside(refused_rows(rows, "field type conflict", START_MS))
        await until(lambda: [row.count for row in bench.reader.quarantine()] == [3])
        (row,) = bench.reader.quarantine()
        status = bench.pipeline.status()

    assert (row.source, row.reason, row.detail) == ("history/shuiye", "history", "field type conflict")
    assert b"hydrant-01" in row.sample
    assert (status["received"], status["dropped"], status["pending"]) == (0, {}, 0)


async def test_read_now_goes_to_the_device_s_agent_once_it_is_written_down(tmp_path: Path) -> None:
    """A person's request is audited and sent to the one agent that can read the device."""
    async with open_bench(tmp_path) as bench:
        with pytest.raises(ControlError, match="agent shuiye/edge1: got no connection to it"):
            await ask(bench, "device.read", site="shuiye", device="hydrant-01")
        with pytest.raises(ControlError, match="device shuiye/nowhere: got no such device"):
            await ask(bench, "device.read", site="shuiye", device="nowhere")
        await bench.take(arrival(state()))

        await ask(bench, "device.read", site="shuiye", device="hydrant-01")

        assert bench.requests == [("shuiye", "edge1", Request(kind="poll", device="hydrant-01"))]
        assert [row.subject for row in bench.reader.audit() if row.action == "device.read"] == ["shuiye/hydrant-01"]
