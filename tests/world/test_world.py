"""The station under simulation: seeds that hold, runs that repeat byte for byte, faults that are noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.bugs import BUGS, Bug
from tests.world.campaign import live, shrink
from tests.world.plan import Happening, Limits, Plan, draw

ROOT = Path(__file__).parents[2]
SEEDS = [*((seed, 0.5) for seed in range(1, 25)), *((seed, 2.0) for seed in (101, 102, 103))]
"""Seeds and hours that fit beside the other tests; `python -m bench world` runs 500 seeds of two hours."""


@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("seed", "hours"), SEEDS)
def test_no_invariant_breaks_and_all_is_right_within_a_minute_when_faults_end(seed: int, hours: float) -> None:
    """Crashes, power cuts, partitions, duplicates, full disks, dead lines, clocks that jump: the fourteen hold."""
    found = live(draw(seed, hours))
    assert found.broken is None, f"{found.broken}; python -m bench world --seed {seed} --hours {hours}"
    assert found.looks["receipts"] > 0


def test_a_run_is_the_same_byte_for_byte_when_another_process_repeats_it() -> None:
    """Seed and code are all there is: the order of sets and the hash of words change nothing."""
    code = "from tests.world.campaign import live\nfrom tests.world.plan import draw\nprint(live(draw(11, 0.2)).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": hashes}, cwd=ROOT,
            capture_output=True, text=True, check=True, timeout=100,
        ).stdout.strip()
        for hashes in ("1", "2")
    }  # fmt: skip
    digests.add(live(draw(11, 0.2)).digest)
    assert len(digests) == 1, digests


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_fault_put_in_on_purpose_is_noticed(bug: Bug) -> None:
    """By the invariant that names it; the same story without it ends well."""
    assert live(bug.plan).broken is None
    with bug.patch():
        found = live(bug.plan)
    assert found.broken is not None, f"{bug.what}: nobody noticed"
    assert found.broken[0] in bug.caught_by, found.broken


def test_the_story_of_a_broken_run_becomes_short() -> None:
    """What has nothing to do with it is left out."""
    bug = next(bug for bug in BUGS if bug.name == "window-dedupe")
    noise = [Happening(20.0 + 10 * n, "acknowledge", {"who": "li", "which": 0.5}, is_life=True) for n in range(6)]
    happenings = sorted([*bug.plan.happenings, *noise], key=lambda one: one.at_s)
    plan = Plan(1, bug.plan.hours, Limits(), bug.plan.clocks, tuple(happenings))
    with bug.patch():
        short, found = shrink(plan)
    assert [one.kind for one in short.happenings] == ["replay"]
    assert found.broken is not None


def test_the_page_names_every_bug_when_one_is_added() -> None:
    """The table of docs/world.md is the list of bugs.py."""
    page = (ROOT / "docs" / "world.md").read_text("utf-8")
    missing = [bug.name for bug in BUGS if f"| {bug.name} | {bug.what} | {', '.join(bug.caught_by)} |" not in page]
    assert missing == []
