"""A gateway's pipeline with the way to a simulated centre."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.installation import load_installation
from gateway.settings import GatewaySettings
from gateway.upward.feeder import Current, Equipment, equipment_of
from gateway.upward.service import Upward
from gateway.upward.settings import Centre
from tests.gateway.harness import Bench, Clock, open_bench, write_site

ADDRESS = "a10000000001"


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def told(
    folder: Path, port: int, *, duty: Callable[[str, str, int], Awaitable[None]] | None = None, **settings: Any
) -> AsyncIterator[tuple[Bench, Upward]]:
    """A pipeline on real time whose commits are told to a centre on that port."""
    centre = Centre(id="city", site="shuiye", host="127.0.0.1", port=port, address=ADDRESS, **settings)
    site = load_installation(GatewaySettings(sites=[write_site(folder)], data_dir=folder / "data"))
    clock = Clock()
    clock.now = wall_ms  # type: ignore[method-assign] # the wall itself

    async def nobody(*_: object) -> None:
        return

    async with open_bench(folder, clock) as bench:

        def current(_: str) -> Mapping[str, Current]:
            values = bench.pipeline.working.engine.values()
            return {
                key.removeprefix("shuiye/"): Current(slot.value, slot.quality, slot.observed_ms) for key, slot in values
            }

        def equipment(_: str) -> Equipment:
            return equipment_of(site.sites["shuiye"], dict(site.rules))

        upward = Upward(
            [centre], bench.store, equipment=equipment, current=current, is_path_broken=lambda _: False,
            title=lambda _: "水冶微站", duty_asked=duty or nobody, version=(1, 0), now_ms=wall_ms,
        )  # fmt: skip
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
