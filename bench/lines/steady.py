"""Campaigns about time: dead units among healthy ones, unplugging, how close a line comes to what the wire allows."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.lines.bus import REQUEST_BYTES, Bus, BusServer, BusTerminal
from bench.lines.rig import START_MS, polling, profile_of, serial_line, server_line

UNITS = 32


async def half_dead(period_s: float = 10.0, healthy_s: float = 60.0, dead_s: float = 600.0) -> dict[str, Any]:
    """16 of 32 units at 9600 baud fall silent at once. Periods as the units see them; when each is shown "no data"."""
    bus = Bus(9600)
    loop = asyncio.get_running_loop()
    dead = set(range(1, UNITS + 1, 2))
    async with (
        BusServer(bus) as server,
        polling(server_line(server.port), profile_of(1, 10, alarms=True), UNITS, period_s) as (line, readings),
    ):
        began_s = loop.time()
        await asyncio.sleep(healthy_s)
        bus.alive -= dead
        died_s = loop.time()
        await asyncio.sleep(dead_s)
        last_answer_s = {
            unit: max(at for at, question in bus.asked if question.unit == unit and at < died_s) for unit in dead
        }
        gone_s = {
            int(reading.point[1 : reading.point.index("/")]): (reading.observed_ms - START_MS) / 1000 + began_s
            for reading in reversed(readings)
            if reading.point.endswith("/online") and reading.value is False
        }
        lost_s = line.frames.lost_s
    gaps = sorted(
        later - earlier
        for unit in set(range(1, UNITS + 1)) - dead
        for earlier, later in pairwise([at for at, question in bus.asked if question.unit == unit and at >= died_s])
    )
    shown = [(gone_s[unit] - last_answer_s[unit]) / period_s if unit in gone_s else 1e9 for unit in dead]
    return {
        "period_s": period_s,
        "healthy_p50": round(gaps[len(gaps) // 2] / period_s, 3),
        "healthy_p99": round(gaps[int(len(gaps) * 0.99)] / period_s, 3),
        "healthy_max": round(gaps[-1] / period_s, 3),
        "no_data_after_periods_max": round(max(shown), 2),
        "dead_share": round(lost_s / dead_s, 3),
    }


async def cycle_time(cycles: int, *, terminal: bool, baud: int = 9600) -> dict[str, Any]:
    """32 units of two blocks as fast as they go, beside the least the wire allows."""
    bus = Bus(baud)
    profile, registers = profile_of(2, 10), 10
    silence_s = max(0.00175, 38.5 / baud)
    least_s = UNITS * 2 * (
        (REQUEST_BYTES + 5 + 2 * registers) * bus.char_s + bus.turnaround_s + silence_s
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        if terminal:
            plug = BusTerminal(bus, Path(folder) / "line")
            plug.plug()
            try:
                async with polling(serial_line(str(plug.link), baud=baud), profile, UNITS, 0.5) as (line, _):
                    took_s = await _cycles(bus, cycles)
            finally:
                plug.unplug()
        else:
            async with (
                BusServer(bus) as server,
                polling(server_line(server.port, baud=baud), profile, UNITS, 0.5) as (line, _),
            ):
                took_s = await _cycles(bus, cycles)
    own_s = statistics.mean(bus.late_s) * UNITS * 2
    return {
        "baud": baud,
        "wire_minimum_s": round(least_s, 4),
        "cycle_median_s": round(took_s, 4),
        "simulators_own_delay_s": round(own_s, 4),
        "ratio": round(took_s / least_s, 4),
        "errors": dict(line.counters.errors),
    }


async def _cycles(bus: Bus, cycles: int) -> float:
    """Median time of a cycle, the first one left out."""
    a_cycle = UNITS * 2
    while len(bus.asked) <= a_cycle * (cycles + 2):  # noqa: ASYNC110  # the bus is no part to be asked for events
        await asyncio.sleep(0.5)
    begins_s = [at_s for at_s, _ in bus.asked[a_cycle::a_cycle]]
    return statistics.median(later - earlier for earlier, later in pairwise(begins_s))


async def unplug(cycles: int) -> dict[str, Any]:
    """Hang the terminal up and give the line another one behind the same name, over and over."""
    loop = asyncio.get_running_loop()
    bus = Bus(115200, keep_asked=False)
    back_s: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        plug = BusTerminal(bus, Path(folder) / "line")
        plug.plug()
        async with polling(serial_line(str(plug.link), 0.2, 115200), profile_of(1, 4), 1, 0.1) as (line, _):
            await _until_reads(line.counters, 1)
            before = _descriptors()
            for _ in range(cycles):
                plug.unplug()
                while line.is_open:  # noqa: ASYNC110  # seen by the line itself, which tells nobody
                    await asyncio.sleep(0.02)
                plug.plug()
                began_s = loop.time()
                await _until_reads(line.counters, line.counters.reads + 1)
                back_s.append(loop.time() - began_s)
            after = _descriptors()
        plug.unplug()
    back_s.sort()
    return {
        "cycles": cycles,
        "reopened": line.counters.opened - 1,
        "back_after_s_p50": round(back_s[len(back_s) // 2], 2),
        "back_after_s_max": round(back_s[-1], 2),
        "leaked_descriptors": after - before,
    }


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def _until_reads(counters: Any, reads: int) -> None:
    async with asyncio.timeout(60):
        while counters.reads < reads:  # noqa: ASYNC110  # the line tells nobody
            await asyncio.sleep(0.02)
