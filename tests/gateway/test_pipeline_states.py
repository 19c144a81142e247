"""What agents say of themselves, through the pipeline: what is a sign of life and what is not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from contract.messages import AgentState, Reading
from tests.gateway.harness import PRESSURE, START_MS, Clock, arrival, batch, open_bench, state


def _said(boot: str, steady_ms: int, *, online: bool = True, set_back: bool = False) -> AgentState:
    sent_ms = START_MS + 1_000_000 if set_back else START_MS + steady_ms
    return msgspec.structs.replace(state(online=online, sent_ms=sent_ms), boot=boot, steady_ms=steady_ms)


async def test_old_retained_state_is_no_sign_of_life_when_the_broker_hands_it_out_again(tmp_path: Path) -> None:
    """A reconnect brings the broker's memory; an agent is not heard by it."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        await bench.take(arrival(state()))
        clock.now_ms += 5000
        await bench.take(arrival(state(), clock.now_ms, retained=True))
        assert [a.heard_ms for a in bench.reader.agents()] == [START_MS]
        await bench.take(arrival(state(online=False), clock.now_ms, retained=True))
        assert [(a.online, a.heard_ms) for a in bench.reader.agents()] == [(False, clock.now_ms)]
        await bench.take(arrival(batch(1, Reading(PRESSURE, START_MS, 1.0)), clock.now_ms))
        assert [a.online for a in bench.reader.agents()] == [False]


async def test_a_state_that_comes_once_more_is_no_sign_of_life(tmp_path: Path) -> None:
    """Of the same life of the machine or of one before; what is said later is one, and the last will always counts."""

    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:

        async def heard(boot: str, steady_ms: int, *, online: bool = True, set_back: bool = False) -> tuple[bool, int]:
            clock.now_ms += 1000
            await bench.take(arrival(_said(boot, steady_ms, online=online, set_back=set_back), clock.now_ms))
            (agent,) = bench.reader.agents()
            return agent.online, agent.heard_ms - START_MS

        assert await heard("a", 500) == (True, 1000)
        assert await heard("a", 900) == (True, 2000)
        assert await heard("a", 500) == (True, 2000)
        assert await heard("a", 400, online=False) == (False, 4000)  # the will is as old as the connection
        assert await heard("a", 900) == (False, 4000)
        assert await heard("b", 20) == (True, 6000)
        assert await heard("a", 900) == (True, 6000)
        assert await heard("b", 30) == (True, 8000)
        assert await heard("a", 2000) == (True, 9000)  # the other machine of a pair
        assert await heard("a", 10, set_back=True) == (True, 10_000)  # to a snapshot, or by a boot of the same name


async def test_a_state_that_comes_once_more_is_none_when_the_gateway_was_started_anew(tmp_path: Path) -> None:
    """Whatever was heard before stays heard: of this boot and of the one before, and beyond a last will."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        for boot, steady_ms, online in (("a", 900, True), ("b", 20, True), ("b", 60, True), ("b", 10, False)):
            clock.now_ms += 1000
            await bench.take(arrival(_said(boot, steady_ms, online=online), clock.now_ms))
    async with open_bench(tmp_path, clock) as bench:
        clock.now_ms += 60_000
        for boot, steady_ms in (("a", 900), ("b", 60), ("b", 40)):
            await bench.take(arrival(_said(boot, steady_ms), clock.now_ms))
        assert [(agent.online, agent.heard_ms) for agent in bench.reader.agents()] == [(False, START_MS + 4000)]
        await bench.take(arrival(_said("b", 70), clock.now_ms))
        assert [(agent.online, agent.heard_ms) for agent in bench.reader.agents()] == [(True, clock.now_ms)]


async def test_a_state_older_than_the_one_the_broker_kept_is_no_sign_of_life(tmp_path: Path) -> None:
    """A gateway that was away hears the newest from the broker's memory; what was said before that comes too late."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        await bench.take(arrival(_said("a", 100), clock.now_ms))
        clock.now_ms += 1000
        await bench.take(arrival(_said("a", 900), clock.now_ms, retained=True))
        assert [agent.heard_ms for agent in bench.reader.agents()] == [START_MS + 1000]
        clock.now_ms += 60_000
        await bench.take(arrival(_said("a", 500), clock.now_ms))
        assert [agent.heard_ms for agent in bench.reader.agents()] == [START_MS + 1000]
        await bench.take(arrival(_said("a", 901), clock.now_ms))
        assert [agent.heard_ms for agent in bench.reader.agents()] == [clock.now_ms]
