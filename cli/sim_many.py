"""Many runs of stories, several at a time, in processes of their own; each gives the same whoever runs beside it."""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.sim_keep import Job, Kept
from cli.sim_run import run_fast, shipped_rules
from cli.sim_score import Judged, Score, add_up, judge
from contract.errors import ConfigError
from simulators.hydraulics.mapping import load_mapping, shipped_networks
from simulators.story import Story, load_story, shipped


def parse_seeds(text: str) -> list[int]:
    """`1-5` or `1,3,7` as numbers. Raises ConfigError."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match is None:
            raise ConfigError(f"--seeds: got {text!r}, want numbers such as 1-5 or 1,3,7.")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return found


def town_stories(names: Iterable[str] | None = None) -> list[str]:
    """Stories of the town: those named, or all that are shipped. Raises ConfigError."""
    chosen = list(names) if names else [name for name in shipped() if load_story(name).station == "town"]
    for name in chosen:
        if load_story(name).station != "town":
            raise ConfigError(f"story {name}: plays at the demo's station, want one of the town.")
    return chosen


def score_all(
    names: Iterable[str] | None,
    seeds: list[int],
    networks: list[str] | None,
    jobs: int,
    console: Console,
    kept: Kept | None = None,
) -> Score:
    """Run everything and add it up; what is kept is not run again, what is run is kept.

    Raises:
        ConfigError: a story or network is wrong.
        StartError: a run cannot be kept.
        KeyboardInterrupt: what was done by then is kept.
    """
    # The longest first, so that none is left over at the end.
    lengths = {name: _work(load_story(name)) for name in town_stories(names)}
    where = networks or shipped_networks()
    for network in where:
        load_mapping(network)
    work: list[Job] = [
        (name, network, seed)
        for name in sorted(lengths, key=lambda n: -lengths[n])
        for network in where
        for seed in seeds
    ]
    before = {} if kept is None else {job: kept.get(job) for job in work}
    judged: dict[Job, Judged] = {job: found for job, found in before.items() if found is not None}
    left = [job for job in work if job not in judged]
    with _progress(console) as bar:
        task = bar.add_task("stories", total=sum(lengths[job[0]] for job in left), runs=f"{len(judged)}/{len(work)}")
        for job, found in _run_all(left, jobs):
            judged[job] = found
            if kept is not None:
                kept.put(job, found)
            runs = f"{len(judged)}/{len(work)}"
            bar.update(task, advance=lengths[job[0]], description=job[0], runs=runs)
            if not console.is_terminal:
                left_s = bar.tasks[0].time_remaining
                console.print(f"{runs} {' '.join(map(str, job))}" + (f", {left_s / 60:.0f} min left" if left_s else ""))
    return add_up(judged[job] for job in work)


def _run_all(work: list[Job], jobs: int) -> Iterator[tuple[Job, Judged]]:
    """Each run as soon as it is done. Whoever stops asking stops the runs."""
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        waiting = {pool.submit(run_job, job): job for job in work}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _work(story: Story) -> float:
    """How much work a run is, beside others: what happens in its seconds, and each look at the water."""
    return story.length_s + 20 * story.length_s / story.step_s


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[runs]}"), TimeElapsedColumn(),
        TimeRemainingColumn(), console=console, speed_estimate_period=3600,
    )  # fmt: skip


def run_job(job: Job) -> Judged:
    """One run, judged."""
    name, network, seed = job
    outcome = run_fast(load_story(name, seed), load_mapping(network), network, seed)
    return judge(name, outcome, shipped_rules())
