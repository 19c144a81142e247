"""A year of a point, ten seconds apart, as a chart at the API; beside it a day, and the same from the samples alone."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench.web_station import percentile, web_station
from gateway.history.base import Row
from gateway.history.embedded import EmbeddedHistory

BOUND_MS = 150.0
STEP_MS = 10_000
DAY_MS = 86_400_000
DEVICE, POINT = "hydrant-00001", "pressure_kpa"
PART = 50_000
"""Rows written at once."""


async def measure(days: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Fill the history, let it settle as the gateway does, then ask for charts."""
    to_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
    from_ms = to_ms - days * DAY_MS
    with tempfile.TemporaryDirectory(prefix="weizhan-charts-") as folder:
        history = Path(folder) / "data" / "history"
        began_s = time.monotonic()
        async with EmbeddedHistory(history) as store:
            for first in range(from_ms, to_ms, PART * STEP_MS):
                times = range(first, min(first + PART * STEP_MS, to_ms), STEP_MS)
                await store.write([_row(at) for at in times], lambda *_: None)
            say(f"{(to_ms - from_ms) // STEP_MS} samples written in {time.monotonic() - began_s:.0f} s")
            began_s = time.monotonic()
            raw_s = time.monotonic()
            await store.read("bench", f"{DEVICE}/{POINT}", from_ms, to_ms, DAY_MS)
            raw_ms = (time.monotonic() - raw_s) * 1000
            while await store.settle(to_ms):
                pass
            say(f"settled in {time.monotonic() - began_s:.0f} s")
        async with web_station(Path(folder), 10, 1) as station:
            await station.fill()
            person = await station.sign_in("inspector")
            async with httpx.AsyncClient(base_url=station.address, cookies=person.cookies, timeout=60) as client:
                found = {
                    name: await _ask(client, max(from_ms, to_ms - span), to_ms, rounds)
                    for name, span in (("a day", DAY_MS), ("a month", 30 * DAY_MS), ("a year", days * DAY_MS))
                }
    return {
        "samples": (to_ms - from_ms) // STEP_MS, "charts": found, "from_samples_ms": round(raw_ms, 0),
        "passed": found["a year"]["p99_ms"] <= BOUND_MS,
    }  # fmt: skip


def _row(at_ms: int) -> Row:
    return Row("bench", DEVICE, POINT, at_ms, 280 + 20 * math.sin(at_ms / 7e6), "good")


async def _ask(client: httpx.AsyncClient, from_ms: int, to_ms: int, rounds: int) -> dict[str, Any]:
    query: dict[str, str | int] = {"point": f"bench/{DEVICE}/{POINT}", "from_ms": from_ms, "to_ms": to_ms}
    times = []
    for _ in range(rounds):
        began_s = time.perf_counter()
        answer = (await client.get("/api/v1/charts", params=query)).raise_for_status().json()
        times.append((time.perf_counter() - began_s) * 1000)
    counted = sum(bucket[4] for bucket in answer["series"][0]["buckets"] if bucket is not None)
    assert counted == (to_ms - from_ms) // STEP_MS, f"got {counted} samples in the chart"
    return {
        "first_ms": round(times[0], 1), "p50_ms": round(percentile(times, 0.5), 1),
        "p99_ms": round(percentile(times, 0.99), 1),
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    lines = [
        f"| chart at the API, {found['samples']} samples of a point, ms | first | median | 99th percentile | want |",
        "|---|---|---|---|---|",
    ]
    for name, row in found["charts"].items():
        want = f"≤ {BOUND_MS:g}" if name == "a year" else ""
        lines.append(f"| {name} | {row['first_ms']} | {row['p50_ms']} | {row['p99_ms']} | {want} |")
    lines.append(f"| a year from the samples alone | {found['from_samples_ms']} | | | |")
    return "\n".join(lines)


def run(days: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """As `measure`."""
    return asyncio.run(measure(days, rounds, say))
