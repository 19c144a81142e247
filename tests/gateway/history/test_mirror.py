"""The mirror: nothing lost, nothing counted twice, whatever the store does."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from contract.errors import RetryLater
from gateway.history.base import Bucket, History, HistoryStatus, Refused, Row, Sample
from gateway.history.embedded import EmbeddedHistory
from gateway.history.influx1 import Influx1History
from gateway.history.mirror import BackOff, Mirror
from gateway.history.settings import Influx1Settings
from tests.gateway.history.samples import DAY, T0, row, until
from tests.parts.influxdb1 import USER, InfluxDB1

QUICK = BackOff(first_s=0.02, most_s=0.1)


class Inbox:
    """The ledger's side, in memory."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[Row]]] = []
        self.mirrored = 0
        self.asked: list[int] = []

    def put(self, *rows: Row) -> None:
        self.batches.append((len(self.batches) + 1, list(rows)))

    async def pending(self, after_id: int, limit: int) -> list[tuple[int, list[Row]]]:
        self.asked.append(after_id)
        return [each for each in self.batches if each[0] > after_id][:limit]

    async def cursor(self) -> int:
        return self.mirrored

    async def advance(self, inbox_id: int) -> None:
        self.mirrored = inbox_id


class Ailing(History):
    """A store whose write fails as often as told, before or after it kept the rows."""

    def __init__(self, failures: Iterator[str]) -> None:
        self.rows: dict[tuple[str, int], Row] = {}
        self.failures = failures
        self.pruned: list[int] = []

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def write(self, rows: Sequence[Row], refused: Refused) -> None:
        how = next(self.failures, "fine")
        if how == "before":
            raise RetryLater("store: away.")
        for each in rows:
            if each.value == "bad":
                refused([each], "no such value")
            else:
                self.rows[each.device, each.observed_ms] = each
        if how == "after":
            raise RetryLater("store: kept the rows and said nothing.")

    async def read(self, site: str, point: str, from_ms: int, to_ms: int, bucket_ms: int) -> list[Bucket]:
        raise NotImplementedError

    async def raw(self, site: str, point: str, from_ms: int, to_ms: int, limit: int) -> list[Sample]:
        raise NotImplementedError

    async def prune(self, before_ms: int) -> int:
        self.pruned.append(before_ms)
        return 0

    async def status(self) -> HistoryStatus:
        return HistoryStatus("ailing", True, "")


@asynccontextmanager
async def running(mirror: Mirror) -> AsyncIterator[None]:
    task = asyncio.create_task(mirror.run(), name="mirror")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def mirror_of(inbox: Inbox, history: History, **more: object) -> Mirror:
    options: dict = {"back_off": QUICK, "rng": random.Random(1), **more}
    return Mirror(inbox, history, lambda: T0, **options)


async def test_inbox_is_drained_in_order_and_goes_on_when_woken(tmp_path: Path) -> None:
    """Everything that waits is mirrored at once, what comes later when it comes, and a restart begins where it was."""
    inbox = Inbox()
    for n in range(200):
        inbox.put(row(T0 + 2 * n, float(n)), row(T0 + 2 * n + 1, True))
    async with EmbeddedHistory(tmp_path) as history:
        mirror = mirror_of(inbox, history)
        async with running(mirror):
            await until(lambda: inbox.mirrored == 200)
            inbox.put(row(T0 + 1000, -1.0))
            mirror.wake()
            await until(lambda: inbox.mirrored == 201 and mirror.lag_s == 0)
        assert (mirror.counts.received, mirror.counts.passed, mirror.counts.pending) == (401, 401, 0)
        got = await history.raw("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, 1000)
        assert len(got) == 401
        again = mirror_of(inbox, history)
        inbox.asked.clear()
        async with running(again):
            await until(lambda: bool(inbox.asked))
        assert inbox.asked[0] == 201
        assert again.counts.received == 0


async def test_one_warning_and_one_info_when_the_store_goes_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """However many tries fail, the log says it once; counts say how many; lag grows and returns to zero."""
    inbox, clock = Inbox(), [0.0]
    inbox.put(row(T0, 1.0))
    history = Ailing(iter(["before"] * 5 + ["after"]))
    mirror = mirror_of(inbox, history, monotonic=lambda: clock[0])
    with caplog.at_level(logging.DEBUG, "gateway.history"):
        async with running(mirror):
            await until(lambda: mirror.away)
            clock[0] = 42.0
            assert mirror.lag_s == 42.0
            assert mirror.counts.pending == 1
            await until(lambda: inbox.mirrored == 1 and mirror.lag_s == 0.0)
    assert not mirror.away
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "history: away: store: away. Readings wait in the ledger."),
        ("INFO", "history: back after 6 tries."),
    ]
    assert (mirror.counts.received, mirror.counts.passed, mirror.counts.errors) == (1, 1, 6)


async def test_refused_rows_are_counted_once_and_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A row no store takes is handed on and counted once though the write was tried twice; the rest is stored."""
    inbox = Inbox()
    inbox.put(row(T0, 1.0), row(T0 + 1, "bad"), row(T0 + 2, "bad"))
    inbox.put(row(T0 + 3, 2.0))
    told: list[Row] = []
    history = Ailing(iter(["after"]))
    mirror = mirror_of(inbox, history, refused=lambda rows, _why: told.extend(rows))
    async with running(mirror):
        await until(lambda: inbox.mirrored == 2)
    counts = mirror.counts
    assert (counts.received, counts.passed, counts.refused) == (4, 2, 2)
    assert told == [row(T0 + 1, "bad"), row(T0 + 2, "bad")]
    assert [record.getMessage() for record in caplog.records if "refused" in record.getMessage()] == [
        "history: shuiye/hydrant-1/pressure_kpa at 1700000000001 was refused: no such value. "
        "It stays in the ledger and among the refused messages."
    ]


async def test_history_is_pruned_when_the_mirror_is_idle() -> None:
    """Retention runs beside the mirror, counted from the wall clock, and not at every turn."""
    inbox, history, clock = Inbox(), Ailing(iter([])), [0.0]
    mirror = mirror_of(inbox, history, keep_days=10, monotonic=lambda: clock[0])
    async with running(mirror):
        await until(lambda: len(inbox.asked) >= 1 and len(history.pruned) == 1)
        asked = len(inbox.asked)
        mirror.wake()
        await until(lambda: len(inbox.asked) > asked)
        assert history.pruned == [T0 - 10 * DAY]
        clock[0] = 7 * 3600.0
        mirror.wake()
        await until(lambda: len(history.pruned) == 2)


def test_pauses_grow_to_their_limit_and_differ() -> None:
    """Half to whole of 0.5 s, 1 s, 2 s ... 30 s: many gateways do not come back in step."""
    rng = random.Random(3)
    pauses = [BackOff().pause_s(failures, rng) for failures in range(1, 100)]
    wholes = [min(30.0, 0.5 * 2 ** (n - 1)) for n in range(1, 100)]
    assert all(whole / 2 <= pause <= whole for pause, whole in zip(pauses, wholes, strict=True))
    assert len(set(pauses)) == 99


async def test_nothing_is_lost_when_influxdb_is_away_at_start_hangs_and_is_killed() -> None:
    """Away at start, suspended, killed and restarted: in the end the store holds each row of the inbox once."""
    with InfluxDB1() as part:
        chosen = Influx1Settings(
            kind="influx1",
            url=part.url,
            database=f"h{uuid.uuid4().hex[:12]}",
            username=USER,
            password_file=part.password_file,
            timeout_s=0.5,
            keep_days=36500,
        )
        part.stop()
        inbox = Inbox()
        written = 0

        def more() -> None:
            nonlocal written
            for _ in range(20):
                inbox.put(*(row(T0 + (written + n) * 10, float(written + n)) for n in range(25)))
                written += 25

        async with Influx1History(chosen) as history:
            mirror = mirror_of(inbox, history)
            async with running(mirror):
                more()
                await until(lambda: mirror.counts.errors >= 2)
                await asyncio.to_thread(part.start)
                await until(lambda: inbox.mirrored == 20)
                part.suspend()
                more()
                mirror.wake()
                await until(lambda: mirror.away)
                part.resume()
                await until(lambda: inbox.mirrored == 40)
                for turn in range(1, 4):
                    more()
                    mirror.wake()
                    await asyncio.to_thread(part.kill)
                    await asyncio.to_thread(part.start)
                    await until(lambda turn=turn: inbox.mirrored == 40 + 20 * turn)
            got = await history.raw("shuiye", "hydrant-1/pressure_kpa", T0, T0 + DAY, 10_000)
        assert [sample.value for sample in got] == [float(n) for n in range(written)]
        assert (mirror.counts.passed, mirror.counts.refused) == (written, 0)
