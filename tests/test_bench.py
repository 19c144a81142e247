"""The benchmark measures what it says, on a small load."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bench import foreign
from bench.limit import append_all
from bench.load import make_batches, plan_site
from contract.messages import decode_batch

ROOT = Path(__file__).resolve().parent.parent


def test_ingest_prints_figures_of_both_sides_when_asked_for_json(tmp_path: Path) -> None:
    """A small run stores every reading on both sides and prints rates, CPU and ratio as JSON."""
    size = ["--points", "400", "--batches", "60", "--readings", "20", "--rounds", "1", "--memory-s", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "ingest", "--json", *size, "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["points"], found["readings"], found["rounds"]) == (400, 1200, 1)
    for side in ("product", "limit"):
        assert found[side]["readings_per_s"]["median"] > 0
        assert found[side]["cpu_s"] >= 0
    assert found["ratio"]["median"] > 0
    assert list(tmp_path.iterdir()) == []


def test_limit_appends_every_batch_when_the_last_group_is_not_full(tmp_path: Path) -> None:
    """The limit leaves nothing out, or it would be faster than it may."""
    batches = make_batches(plan_site(80, 2), 83, 10)
    assert append_all(tmp_path, batches, 25) == 4
    with sqlite3.connect(tmp_path / "limit.db") as connection:
        rows = connection.execute("SELECT agent, seq FROM inbox ORDER BY id").fetchall()
    connection.close()
    wanted = [(batch.agent, batch.seq) for batch in (decode_batch(sent.payload) for sent in batches)]
    assert rows == wanted


def test_load_is_the_same_when_made_again() -> None:
    """Two runs of the benchmark work on the same bytes."""
    plan = plan_site(80, 2)
    assert make_batches(plan, 6, 10) == make_batches(plan, 6, 10)


@pytest.mark.parametrize("name", list(foreign.PARSERS))
def test_a_foreign_format_is_read_or_refused_when_it_is_fuzzed(name: str) -> None:
    """A short run of the campaign of `python -m bench foreign`: no crash, nothing over 50 ms, some of it sound."""
    found = foreign.fuzz(name, 10_000, seed=20261122, budget_s=2)
    assert found.crashes == []
    assert found.over_limit == 0
    assert 0 < found.accepted <= found.cases
