"""The desk of exports: one at a time in the background, bounded, and honest after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.exports import desk as d
from gateway.exports.checking import check_file
from gateway.exports.document import Column, Document, Table
from tests.exports.papers import NOW, document


async def told(_: d.Job) -> bool:
    """The gateway took the code down."""
    return True


@asynccontextmanager
async def working(folder: Path, now_ms: int = NOW) -> AsyncIterator[d.Desk]:
    """A desk at work."""
    made = d.Desk(folder, lambda: now_ms, told)
    task = asyncio.create_task(made.run(), name="desk")
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def built() -> Document:
    """A small document."""
    return document()


async def over(job: d.Job) -> d.Job:
    """Wait until it is over."""
    async with asyncio.timeout(60):
        while not job.is_over:
            await asyncio.sleep(0.02)
    return job


def ask(desk: d.Desk, owner: str = "li", build: d.Build = built, file: d.FileKind = "csv") -> d.Job:
    """Ask for an export."""
    return desk.ask("life", "x", file, owner, None, build)


async def test_a_file_of_100000_rows_is_made_while_the_loop_goes_on(tmp_path: Path) -> None:
    """Rows are made one by one and never all held; the loop is never held up for long."""
    rows = ((NOW + n, f"消火栓 {n}", n) for n in range(100_000))
    columns = (Column("时间", "time"), Column("名称"), Column("次数", "number"))

    async def large() -> Document:
        return document()._replace(tables=[Table("值", columns, rows)])

    async with working(tmp_path) as desk:
        job, longest, last = ask(desk, build=large), 0.0, time.monotonic()
        async with asyncio.timeout(100):
            while not job.is_over:
                await asyncio.sleep(0.005)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert (job.state, job.total, job.recorded) == ("done", 100_000, True)
        assert check_file(desk.path(job)).found == job.code
    assert longest < 2.0  # a single process that writes it all would need several seconds


async def test_finished_files_stay_and_others_are_said_to_be_interrupted_after_a_restart(tmp_path: Path) -> None:
    """What was under way is not made by itself: the one who asked decides."""
    async with working(tmp_path) as desk:
        done = await over(ask(desk))
    left = d.Desk(tmp_path, lambda: NOW, told)
    left.load()
    waiting = ask(left)
    again = d.Desk(tmp_path, lambda: NOW, told)
    states = {job.id: (job.state, job.why) for job in again.jobs()}
    assert states == {done.id: ("done", ""), waiting.id: ("stopped", "stopped")}
    assert check_file(again.path(done)).is_whole


async def test_the_next_export_is_made_when_one_cannot_be_put_together(tmp_path: Path) -> None:
    """Whatever is wrong with an order, it alone fails, and is told as failed after a restart too."""

    async def wrong() -> Document:
        raise OverflowError("date value out of range")

    async with working(tmp_path) as desk:
        bad, good = ask(desk, build=wrong), ask(desk)
        assert ((await over(bad)).why, (await over(good)).state) == ("fault", "done")
    again = d.Desk(tmp_path, lambda: NOW, told)
    assert {job.id: job.state for job in again.jobs()} == {bad.id: "failed", good.id: "done"}


async def test_the_desk_takes_so_many_of_one_person_and_of_all(tmp_path: Path) -> None:
    """A fifth of one person is refused, others are taken until the desk is full."""
    desk = d.Desk(tmp_path, lambda: NOW, told)
    for _ in range(d.MOST_OF_ONE):
        ask(desk)
    with pytest.raises(d.Busy, match="mine"):
        ask(desk)
    for n in range(d.MOST_WAITING - d.MOST_OF_ONE):
        ask(desk, f"person {n}")
    with pytest.raises(d.Busy, match="all"):
        ask(desk, "one more")


async def test_old_files_go_when_their_time_is_over(tmp_path: Path) -> None:
    """A week later the folder is empty but for what was asked for since."""
    async with working(tmp_path) as desk:
        old = await over(ask(desk))
    async with working(tmp_path, NOW + d.KEEP_MS + 1) as desk:
        new = await over(ask(desk))
        async with asyncio.timeout(10):
            while desk.job(old.id) is not None:
                await asyncio.sleep(0.02)
        assert {path.stem for path in tmp_path.iterdir()} == {new.id}


async def test_an_order_taken_back_leaves_nothing(tmp_path: Path) -> None:
    """While it waits and while it is made."""
    gate = asyncio.Event()

    async def slow() -> Document:
        await gate.wait()
        return document()

    async with working(tmp_path) as desk:
        first, second = ask(desk, build=slow), ask(desk)
        while first.state != "running":
            await asyncio.sleep(0.01)
        desk.drop(second)
        desk.drop(first)
        gate.set()
        third = await over(ask(desk))
        assert {path.stem for path in tmp_path.iterdir()} == {third.id}
