"""Commands over the control socket whose answers come late, or not at all: done once, and looked up afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlClient, ControlError, NotKnownYet
from gateway.control.deeds import KEEP_S, MOST, Deeds
from gateway.control.protocol import Ask, Problem
from gateway.control.server import ControlServer
from tests.gateway.harness import open_bench, until

MARK = "19ad1f2c400.Jv3kQ0cW8sYb1_xZ"


class Slow:
    """A change of a site that takes as long as a test wants; counts how often it was begun."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = 0
        self.problem: Problem | None = None

    async def change(self, ask: Ask) -> dict[str, Any]:
        """As SiteChanger.apply."""
        self.begun += 1
        await self.gate.wait()
        if self.problem is not None:
            raise ControlError(self.problem)
        return {"id": 7, "site": ask.args["site"]}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Slow, Path]]:
    """A control socket with a slow change behind it."""
    slow, path = Slow(), folder / "c.sock"
    async with open_bench(folder) as bench:
        status = bench.pipeline.status
        async with ControlServer(path, bench.pipeline, bench.feed, status, change_site=slow.change):
            yield slow, path


async def apply(client: ControlClient, actor: str = "li", mark: str = MARK) -> Any:
    """Ask for the change."""
    return await client.ask_through("site.apply", actor, "", "", {"site": "shuiye"}, mark)


async def test_a_command_that_takes_long_holds_up_no_other_of_its_connection(tmp_path: Path) -> None:
    """Status is answered meanwhile, so that nobody takes the gateway for dead, and so is another command."""
    async with serving(tmp_path) as (slow, path), ControlClient(path) as client:
        changing = asyncio.ensure_future(apply(client))
        await until(lambda: slow.begun == 1)
        assert (await client.ask("status", "local"))["ledger_fault"] is None
        with pytest.raises(ControlError, match="alarm 7"):
            await client.ask("alarm.acknowledge", "li", alarm_id=7, note="")
        slow.gate.set()
        assert await changing == {"id": 7, "site": "shuiye"}


@pytest.mark.parametrize("problem", [None, Problem("invalid", "shuiye.yaml:3: got nothing.")])
async def test_the_outcome_is_told_when_the_answer_came_too_late(tmp_path: Path, problem: Problem | None) -> None:
    """Not known while it runs, then what came of it; who asks for the same act again begins nothing."""
    async with serving(tmp_path) as (slow, path), ControlClient(path, timeout_s=0.2) as client:
        slow.problem = problem
        with pytest.raises(NotKnownYet) as unknown:
            await apply(client)
        assert unknown.value.mark == MARK
        async with ControlClient(path) as other:
            assert await other.ask("outcome", "li", mark=MARK) == {"state": "running"}
            assert await other.ask("outcome", "wang", mark=MARK) == {"state": "unknown"}
            again = asyncio.ensure_future(apply(other))
            slow.gate.set()
            if problem is None:
                assert await again == {"id": 7, "site": "shuiye"}
                assert await apply(other) == {"id": 7, "site": "shuiye"}
            else:
                for each in (again, apply(other)):
                    with pytest.raises(ControlError, match="got nothing"):
                        await each
            told = await other.ask("outcome", "li", mark=MARK)
        assert told["state"] == ("done" if problem is None else "refused")
        assert slow.begun == 1


async def test_a_command_is_done_to_its_end_when_the_one_who_asked_went_away(tmp_path: Path) -> None:
    """A connection that breaks undoes nothing: what came of it is told over another."""
    async with serving(tmp_path) as (slow, path):
        async with ControlClient(path) as client:
            asking = asyncio.ensure_future(apply(client))
            await until(lambda: slow.begun == 1)
        with pytest.raises(NotKnownYet):
            await asking
        slow.gate.set()
        async with ControlClient(path) as client:
            while (told := await client.ask("outcome", "li", mark=MARK))["state"] == "running":
                await asyncio.sleep(0.01)
            assert told["state"] == "done"


async def test_a_command_is_refused_when_it_comes_after_somebody_was_told_that_it_never_came(tmp_path: Path) -> None:
    """It may have stood in the pipe of a connection that was given up: what was said of it stays true."""
    async with serving(tmp_path) as (slow, path), ControlClient(path) as client:
        assert await client.ask("outcome", "li", mark=MARK) == {"state": "unknown"}
        with pytest.raises(ControlError, match="after somebody asked"):
            await apply(client)
        assert await client.ask("outcome", "li", mark=MARK) == {"state": "unknown"}
        assert slow.begun == 0


async def test_what_is_remembered_is_bounded_when_many_acts_are_done_or_asked_for() -> None:
    """The oldest go first; asking for acts that never were pushes out none that was."""
    now = [0.0]
    deeds = Deeds(lambda: now[0])

    async def act(_: Ask) -> str:
        return "done"

    for n in range(MOST + 1):
        await deeds.do(Ask(id=1, op="x", actor="li", mark=f"m{n}"), act)
    assert deeds.outcome("m0", "li") == {"state": "unknown"}
    for n in range(MOST + 1):
        deeds.outcome(f"never-{n}", "li")
    assert deeds.outcome("m1", "li") == {"state": "done", "result": "done"}
    now[0] = KEEP_S + 1
    await deeds.do(Ask(id=1, op="x", actor="li", mark="new"), act)
    assert deeds.outcome("m1", "li") == {"state": "unknown"}
