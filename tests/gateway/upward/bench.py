"""A gateway's pipeline with the way to a simulated centre."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.settings import GatewaySettings
from gateway.upward.service import Upward, new_upward
from gateway.upward.settings import Centre
from tests.gateway.harness import Bench, Clock, open_bench

ADDRESS = "a10000000001"


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def told(folder: Path, port: int, **settings: Any) -> AsyncIterator[tuple[Bench, Upward]]:
    """A pipeline on real time whose commits are told to a centre on that port."""
    centre = Centre(id="city", site="shuiye", host="127.0.0.1", port=port, address=ADDRESS, **settings)
    clock = Clock()
    clock.now = wall_ms  # type: ignore[method-assign] # the wall itself
    async with open_bench(folder, clock) as bench:
        told_by = GatewaySettings(sites=[folder / "shuiye.yaml"], data_dir=folder / "data", centres=[centre])
        upward = new_upward(told_by, bench.store, bench.pipeline, wall_ms)
        bench.when_told = lambda _: upward.wake()
        async with upward.running(_once):
            yield bench, upward


async def _once(_: str, work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def until(true: Callable[[], Any], within_s: float = 15.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(within_s):
        while not true():  # what another part has done is looked at again
            await asyncio.sleep(0.01)
