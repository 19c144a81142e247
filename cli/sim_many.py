"""Many runs of stories, several at a time, in processes of their own; each gives the same whoever runs beside it."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.sim_run import run_fast, shipped_rules
from cli.sim_score import Judged, Score, add_up, judge
from contract.errors import ConfigError
from simulators.hydraulics.mapping import load_mapping, shipped_networks
from simulators.story import load_story, shipped

Job = tuple[str, str, int]
"""Story, network, seed."""


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
    names: Iterable[str] | None, seeds: list[int], networks: list[str] | None, jobs: int, console: Console
) -> Score:
    """Run everything and add it up.

    Raises:
        ConfigError: a story or network is wrong.
    """
    # The longest first, so that none is left over at the end.
    stories = sorted(town_stories(names), key=lambda name: -load_story(name).length_s)
    where = networks or shipped_networks()
    for network in where:
        load_mapping(network)
    work: list[Job] = [(name, network, seed) for name in stories for network in where for seed in seeds]
    judged: dict[Job, Judged] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with (
        Progress(*columns, console=console) as bar,
        ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        task = bar.add_task("stories", total=len(work))
        waiting = {pool.submit(run_job, job): job for job in work}
        for done in as_completed(waiting):
            judged[waiting[done]] = done.result()
            bar.update(task, advance=1, description=waiting[done][0])
    return add_up(judged[job] for job in work)


def run_job(job: Job) -> Judged:
    """One run, judged."""
    name, network, seed = job
    outcome = run_fast(load_story(name, seed), load_mapping(network), network, seed)
    return judge(name, outcome, shipped_rules())
