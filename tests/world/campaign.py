"""Many seeds; the shortest story of one that breaks.

python -m bench world --seeds 500        all of them, with a table
python -m bench world --seed 17          one, told as a story; a broken one is shortened
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.world.checks import Broken
from tests.world.plan import Plan, draw
from tests.world.world import World

SHM = Path("/dev/shm")  # memory: what is durable is the world's affair, not this machine's disk's


class Result(NamedTuple):
    """How a run went. broken: (invariant, text); digest: hash over everything that passed between the parts."""

    seed: int
    broken: tuple[str, str] | None
    digest: str
    cpu_s: float
    events: int
    crashes: int
    looks: dict[str, int]
    is_small: bool


@contextmanager
def _folder() -> Iterator[Path]:
    where = SHM if SHM.is_dir() and os.access(SHM, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="world-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _no_collections() -> Iterator[None]:
    """What a run leaves in circles is collected once, behind it: to look for it all the time costs a tenth."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def live(plan: Plan, story: Callable[[str], None] = lambda _: None) -> Result:
    """Run a plan."""
    began_s = time.process_time()
    with _folder() as folder, _no_collections():
        world = World(plan, folder, story)
        broken: tuple[str, str] | None = None
        try:
            world.run()
        except Broken as exc:
            broken = (exc.invariant, str(exc))
        finally:
            world.end()
        crashes = sum(process.crashes for process in world.processes.values())
        return Result(
            plan.seed, broken, world.digest, time.process_time() - began_s, world.timeline.events, crashes,
            dict(world.checks.looks), plan.limits.is_small,
        )  # fmt: skip


def run_seed(given: tuple[int, float]) -> Result:
    """Run a seed for so many simulated hours."""
    return live(draw(*given))


def shrink(plan: Plan, say: Callable[[str], None] = lambda _: None) -> tuple[Plan, Result]:
    """The fewest happenings found that still break the same invariant: halves are left out, then quarters, and so on
    down to single ones (delta debugging). The run of the whole plan must be broken."""
    whole = live(plan)
    assert whole.broken is not None
    invariant, left, result = whole.broken[0], list(plan.happenings), whole
    size, tries = max(1, len(left) // 2), 0
    while True:
        at, smaller = 0, False
        while at < len(left):
            without = left[:at] + left[at + size :]
            tried, tries = live(plan.only(without)), tries + 1
            if tries % 10 == 0:
                say(f"{tries} shorter stories tried, in steps of {size}; {len(left)} happenings left")
            if tried.broken is not None and tried.broken[0] == invariant:
                left, result, smaller = without, tried, True
                say(f"{len(left)} happenings still break {invariant}")
            else:
                at += size
        if size == 1 and not smaller:
            return plan.only(left), result
        if not smaller or size > len(left):
            size = max(1, size // 2)


def told(plan: Plan) -> str:
    """The story of a plan, line by line."""
    limits = "small limits" if plan.limits.is_small else "usual limits"
    clocks = ", ".join(f"{name} {ahead:+.0f} ms" for name, (ahead, _) in plan.clocks.items())
    lines = [f"seed {plan.seed}, {plan.hours:g} h, {limits}; clocks: {clocks}"]
    return "\n".join([*lines, *map(str, plan.happenings)])


def campaign(
    seeds: Sequence[int], hours: float, jobs: int, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Run seeds in so many processes; gives counts, costs, and what broke."""
    began_s = time.monotonic()
    results: list[Result] = []
    work = [(seed, hours) for seed in seeds]
    if jobs > 1:
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            for result in pool.imap_unordered(run_seed, work):
                _note(result, results, say)
    else:
        for one in work:
            _note(run_seed(one), results, say)
    looks = Counter[str]()
    for result in results:
        looks.update(result.looks)
    broken = sorted((result.seed, *result.broken) for result in results if result.broken is not None)
    return {
        "seeds": len(results),
        "hours": hours,
        "broken": broken,
        "small_limits": sum(result.is_small for result in results),
        "crashes": sum(result.crashes for result in results),
        "events": sum(result.events for result in results),
        "looks": dict(looks),
        "cpu_s": round(sum(result.cpu_s for result in results), 1),
        "wall_s": round(time.monotonic() - began_s, 1),
        "passed": not broken,
    }


def _note(result: Result, results: list[Result], say: Callable[[str], None]) -> None:
    results.append(result)
    if result.broken is not None:
        say(f"seed {result.seed}: {result.broken[1]}")
    if len(results) % 50 == 0:
        say(f"{len(results)} seeds")


def table(found: dict[str, Any]) -> str:
    """For people, in Markdown."""
    looks = found["looks"]
    rows = [
        ("seeds x simulated hours", f"{found['seeds']} x {found['hours']:g}"),
        ("invariants broken", str(len(found["broken"]))),
        ("runs with small limits", str(found["small_limits"])),
        ("crashes", f"{found['crashes']:,}"),
        ("events", f"{found['events']:,}"),
        ("fires recorded", f"{looks.get('fire alarms', 0):,}"),
        ("receipts checked against a power cut", f"{looks.get('receipts', 0):,}"),
        ("readings given up and counted", f"{looks.get('given up', 0):,}"),
        ("messages to people", f"{looks.get('messages', 0):,}"),
        ("CPU seconds", f"{found['cpu_s']:,}"),
        ("seconds", f"{found['wall_s']:,}"),
    ]
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    lines += [f"\nseed {seed}: {text}" for seed, _, text in found["broken"]]
    return "\n".join(lines)


def tell(seed: int, hours: float, say: Callable[[str], None]) -> int:
    """Run one seed and tell what happened; a broken run is shortened. Gives the exit status."""
    plan = draw(seed, hours)
    found = live(plan, say)
    say(f"digest {found.digest}, {found.events:,} events, {found.crashes} crashes, {found.cpu_s:.1f} s of CPU")
    if found.broken is None:
        say("all invariants hold, and all was right within a minute of calm")
        return 0
    say(f"\n{found.broken[1]}\nLeaving out what has nothing to do with it:")
    short, found = shrink(plan, say)
    say(f"\nThe shortest story found:\n{told(short)}\n{found.broken[1] if found.broken else ''}")
    return 1
