"""Durable readings per second of the gateway's pipeline beside the limit of the machine.

Product: every batch goes through the real pipeline (door, order, rule engine, alarm life cycle, one transaction a
group) into a real ledger; a batch counts when its receipt is handed out, which is after the commit.
Limit: `bench.limit`. Both take turns, round after round, so that a busy machine disturbs both.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bench.limit import append_all
from bench.load import Plan, Sent, lines_of, make_batches, plan_site, write_site
from bench.memory import measure_memory
from contract.messages import Receipt, decode_batch
from contract.topics import DEFAULT_ROOT
from gateway.clock_steps import ClockSteps
from gateway.control.feed import Feed
from gateway.ingest.door import Arrival
from gateway.installation import load_installation
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE, Store
from gateway.pipeline import Pipeline
from gateway.settings import GatewaySettings

AGENTS = 4
IN_FLIGHT = 1024
"""Batches offered and without a receipt; agents' windows keep some on the way all the time."""


class Options(NamedTuple):
    """What to measure. folder: where the files lie; on a RAM disk a commit would cost nothing."""

    points: int
    readings_each: int
    batches: int
    rounds: int
    memory_s: float
    folder: Path


class Run(NamedTuple):
    """One run over all batches."""

    wall_s: float
    cpu_s: float
    commits: int


def measure(options: Options, tell: Callable[[str], None]) -> dict[str, Any]:
    """Everything of `python -m bench ingest`, as plain data. `tell` gets lines of progress."""
    options.folder.mkdir(parents=True, exist_ok=True)
    plan = plan_site(options.points, AGENTS)
    batches = make_batches(plan, options.batches, options.readings_each)
    # The first run warms caches, and its commits say how many batches the limit puts into one.
    warm = _in_folder(options.folder, lambda folder: _product(folder, plan, batches))
    group = max(1, round(len(batches) / warm.commits))
    product, limit = [], []
    for number in range(1, options.rounds + 1):
        limit.append(_in_folder(options.folder, lambda folder: _limit(folder, batches, group)))
        product.append(_in_folder(options.folder, lambda folder: _product(folder, plan, batches)))
        tell(f"round {number}: limit {limit[-1].wall_s:.2f} s, product {product[-1].wall_s:.2f} s")
    readings = sum(sent.readings for sent in batches)
    found: dict[str, Any] = {
        "points": plan.point_count,
        "readings": readings,
        "readings_a_batch": options.readings_each,
        "batches_a_commit": group,
        "rounds": options.rounds,
        "cores": os.cpu_count(),
        "product": _summary(product, readings),
        "limit": _summary(limit, readings),
    }
    ratios = [mine.wall_s / most.wall_s for most, mine in zip(product, limit, strict=True)]
    found["ratio"] = {
        "median": round(statistics.median(ratios), 3),
        "min": round(min(ratios), 3),
        "max": round(max(ratios), 3),
    }
    # Steadier than wall time where other work runs beside.
    found["cpu_ratio"] = round(found["limit"]["cpu_s"] / found["product"]["cpu_s"], 3)
    if options.memory_s > 0:
        tell("memory: starting Mosquitto, units, agent and gateway")
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder)).resolve()
        try:
            # The simulated units want the standard loop.
            found["memory"] = asyncio.run(measure_memory(folder, plan_site(options.points), options.memory_s))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _summary(runs: list[Run], readings: int) -> dict[str, Any]:
    rates = [readings / run.wall_s for run in runs]
    return {
        "readings_per_s": {
            "median": round(statistics.median(rates)),
            "min": round(min(rates)),
            "max": round(max(rates)),
        },
        "cpu_s": round(statistics.median(run.cpu_s for run in runs), 3),
        "cpu_us_a_reading": round(statistics.median(run.cpu_s for run in runs) / readings * 1e6, 2),
        "wall_s": round(statistics.median(run.wall_s for run in runs), 3),
        "commits": round(statistics.median(run.commits for run in runs)),
    }


def _in_folder(parent: Path, work: Callable[[Path], Run]) -> Run:
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    gc.collect()
    try:
        return work(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _limit(folder: Path, batches: list[Sent], group: int) -> Run:
    # The same favour as the product gets: what stands already is not looked through again and again.
    gc.freeze()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    commits = append_all(folder, batches, group)
    run = Run(time.perf_counter() - wall_s, time.process_time() - cpu_s, commits)
    gc.unfreeze()
    return run


def _product(folder: Path, plan: Plan, batches: list[Sent]) -> Run:
    lines = sum(len(lines_of(ids)) for ids in plan.device_ids.values())
    write_site(plan, folder / "site.yaml", list(range(1, lines + 1)))
    settings = GatewaySettings(sites=[folder / "site.yaml"], data_dir=folder / "data")
    return uvloop.run(_through_pipeline(settings, batches))


async def _through_pipeline(settings: GatewaySettings, batches: list[Sent]) -> Run:
    sent_ms = [decode_batch(sent.payload).sent_ms for sent in batches]
    clock = _Clock(sent_ms[0])
    durable: dict[str, int] = {}
    progress = asyncio.Event()

    def note(_site: str, agent: str, receipt: Receipt) -> None:
        durable[agent] = max(durable.get(agent, 0), receipt.telemetry)
        progress.set()

    async with Store(settings.data_dir) as store:
        pipeline = Pipeline(
            store,
            load_installation(settings),
            settings,
            root=DEFAULT_ROOT,
            feed=Feed(),
            receipts=note,
            requests=lambda *_: None,
            now_ms=clock.now,
            steps=ClockSteps(clock.now, lambda: clock.now() / 1000),
        )
        async with pipeline:
            # As the gateway process does at its start: what it was built from is not looked through again and again.
            gc.collect()
            gc.freeze()
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            for number, sent in enumerate(batches):
                while number - sum(durable.values()) >= IN_FLIGHT:
                    await _wait(progress)
                clock.now_ms = sent_ms[number] + 5
                pipeline.offer(Arrival(sent.topic, sent.payload, clock.now_ms))
            while sum(durable.values()) < len(batches):
                await _wait(progress)
            wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
            status = pipeline.status()
    gc.unfreeze()
    _prove(settings, batches, status)
    return Run(wall_s, cpu_s, status["commits"])


async def _wait(progress: asyncio.Event) -> None:
    """Until a receipt comes. Nothing is sent again here, so a message that was dropped would hang: fail instead."""
    await asyncio.wait_for(progress.wait(), 60)
    progress.clear()


def _prove(settings: GatewaySettings, batches: list[Sent], status: dict[str, Any]) -> None:
    """What was measured is what was meant: all stored, nothing dropped, no alarm raised."""
    wanted = sum(sent.readings for sent in batches)
    with LedgerReader(settings.data_dir / FILE) as reader:
        alarms = len(reader.open_alarms())
    if status["readings_stored"] != wanted or status["dropped"] or alarms:
        raise RuntimeError(f"ingest: got {status} and {alarms} alarms, want {wanted} readings stored and no alarm.")


class _Clock:
    """Wall time as the batches tell it."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def now(self) -> int:
        return self.now_ms
