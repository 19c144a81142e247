"""A crash changes nothing: alarms, transitions, holds and messages are those of a run without one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

RUNS = 500
MEMORY = Path("/dev/shm")
"""A kill leaves what was written to files in place whether they lie on a disk or in memory; here it is quick."""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder for the ledgers."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


async def campaign(base: Path, *arguments: str) -> dict[str, Any]:
    """What a campaign in a process of its own found."""
    base.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.gateway.crash_run", "--base", str(base), *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_the_ledger_is_that_of_an_undisturbed_run_when_the_gateway_is_killed(base: Path) -> None:
    """Half of the runs die before a statement of the ledger's writer, half at random instants; at most one message is
    sent again for a crash."""
    seeds = [str(seed) for seed in range(1, 26)]
    statements, instants = await asyncio.gather(
        campaign(base / "statements", "--seeds", *seeds, "--runs", "10", "--every-write"),
        campaign(base / "instants", "--seeds", *seeds, "--runs", "10"),
    )
    # And one short stream, killed before each of its statements.
    every = await campaign(base / "every", "--seeds", "14", "--steps", "6", "--runs", "100000", "--every-write")
    assert statements["found"] + instants["found"] + every["found"] == []
    # Time counts statements too (a checkpoint, a wait that ended): a life may end before the last few of another.
    assert every["crashes"] > max(100, 0.95 * every["runs"])
    assert statements["runs"] + instants["runs"] >= RUNS
    assert statements["crashes"] > 0.95 * statements["runs"]
    assert min(statements["alarms"], instants["alarms"]) > 100
    assert min(statements["messages"], instants["messages"]) > 100
