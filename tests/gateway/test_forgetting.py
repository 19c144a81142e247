"""Who left is erased by the gateway's own clock: in time, without a trace, by number in the audit trail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.control.protocol import Ask
from gateway.forgetting import SURE_S, Forgetting
from gateway.ledger.personal import Wiping, find_identities
from tests.gateway.harness import Bench, Clock, open_bench, until

DAY_MS = 86_400_000
KEEP_DAYS = 30
NAME, PHONE, NUMBER = "王小明同志", "13800138000", "320102199001011234"


async def ask(bench: Bench, op: str, **args: Any) -> Any:
    """A command of an administrator."""
    return await bench.pipeline.ask(Ask(id=1, op=op, actor="admin", args=args))


async def add(bench: Bench, name: str = NAME) -> int:
    """Somebody with a phone and a certificate."""
    certificates = [{"kind": "operator", "number": NUMBER}]
    made = await ask(bench, "person.add", site="shuiye", name=name, phone=PHONE, certificates=certificates)
    return int(made["id"])


class Steady:
    """A clock that only goes on, moved by the test."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def pass_days(self, clock: Clock, days: float) -> None:
        """Time passes on both clocks."""
        self.now_s += days * 86400
        clock.now_ms += int(days * DAY_MS)


@asynccontextmanager
async def forgetting(bench: Bench, steady: Steady) -> AsyncIterator[list[int]]:
    """It runs beside the pipeline; gives how often it has looked."""
    looks = [0]

    def now_ms() -> int:
        looks[0] += 1
        return bench.clock.now()

    work = Forgetting(bench.store, bench.pipeline.ask, KEEP_DAYS, now_ms, every_s=0.01, monotonic=lambda: steady.now_s)
    task = asyncio.create_task(work.run(), name="forgetting")
    try:
        yield looks
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def looked(looks: list[int]) -> None:
    """It has looked at the time as it is now, and done what follows."""
    wanted = looks[0] + 3
    await until(lambda: looks[0] >= wanted)


async def people(bench: Bench) -> list[int]:
    """Of whom is known who they are."""
    return sorted(await bench.store.run(find_identities))


async def test_who_left_is_gone_within_a_day_after_their_time_is_over_and_nobody_else_is(tmp_path: Path) -> None:
    """Not an hour before; those who are there stay; the trail says that the gateway did it, by number alone."""
    steady = Steady()
    async with open_bench(tmp_path) as bench, forgetting(bench, steady) as looks:
        gone, stays = await add(bench), await add(bench, "李留下")
        await ask(bench, "person.leave", id=gone)
        steady.pass_days(bench.clock, KEEP_DAYS - 1 / 24)
        await looked(looks)
        assert await people(bench) == [gone, stays]
        for _ in range(24):
            steady.pass_days(bench.clock, 1 / 24)
            await looked(looks)
        assert await people(bench) == [stays]
        assert await Wiping(bench.store).wipe() is True
        held = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
        assert (NAME.encode() in held, "李留下".encode() in held) == (False, True)
        rows = [row for row in bench.reader.audit(limit=100) if row.action == "person.erase"]
        assert [(row.actor, row.subject) for row in rows] == [("gateway", f"person/{gone}")]
        assert not [secret for secret in (NAME, PHONE, NUMBER) if secret in rows[0].detail]


async def test_nobody_is_erased_when_the_clock_jumped_ahead_and_was_put_right(tmp_path: Path) -> None:
    """Ten years too late for half an hour, again and again: what cannot be brought back is not done for that."""
    steady = Steady()
    async with open_bench(tmp_path) as bench, forgetting(bench, steady) as looks:
        left = await add(bench)
        await ask(bench, "person.leave", id=left)
        for _ in range(3):
            before = bench.clock.now_ms
            bench.clock.now_ms += 3650 * DAY_MS
            await looked(looks)
            steady.now_s += SURE_S / 2
            await looked(looks)
            bench.clock.now_ms = before
            await looked(looks)
            steady.now_s += SURE_S
        assert await people(bench) == [left]


async def test_somebody_who_came_back_stays_when_their_time_would_be_over(tmp_path: Path) -> None:
    """Whoever is there is not forgotten; leaving again begins the time anew."""
    steady = Steady()
    async with open_bench(tmp_path) as bench, forgetting(bench, steady) as looks:
        person = await add(bench)
        await ask(bench, "person.leave", id=person)
        steady.pass_days(bench.clock, KEEP_DAYS - 1)
        await ask(bench, "person.return", id=person)
        steady.pass_days(bench.clock, KEEP_DAYS)
        await looked(looks)
        await ask(bench, "person.leave", id=person)
        steady.pass_days(bench.clock, KEEP_DAYS - 1)
        await looked(looks)
        assert await people(bench) == [person]
