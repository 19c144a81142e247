"""`python -m bench lines [--full]`: every campaign, and whether its figure holds."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bench.lines import steady, wrong
from bench.lines.load import agent_load
from bench.lines.virtual import run_virtual

PTY_GRACE_S = 0.002
"""Real time a pseudo-terminal needs to hand bytes over."""


class Campaign(NamedTuple):
    """One campaign: what it does, its figures, and whether they are what they must be."""

    name: str
    run: Callable[[bool], dict[str, Any]]
    holds: Callable[[dict[str, Any]], bool]


def _in_folder(run: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-lines-") as folder:
        return run(Path(folder))


CAMPAIGNS = (
    Campaign(
        "late answers, unit by unit in order",
        lambda full: run_virtual(wrong.late_answers(10_000 if full else 1_000)),
        lambda found: found["wrong"] == 0 and found["right_of_200_after"] >= 190,
    ),
    Campaign(
        "late answers in any order",
        lambda full: run_virtual(wrong.late_answers(10_000 if full else 1_000, seed=11, in_order=False)),
        lambda found: found["wrong"] == 0 and found["right_of_200_after"] >= 190,
    ),
    Campaign(
        "frames of noise",
        lambda full: run_virtual(wrong.noise_frames(100_000 if full else 5_000)),
        lambda found: found["alarm_edges"] == 0,
    ),
    Campaign(
        "corrupted and foreign frames",
        lambda _full: run_virtual(wrong.bad_frames(900)),
        lambda found: found["taken"] == 0,
    ),
    Campaign(
        "unplugged and plugged in again",
        lambda full: run_virtual(steady.unplug(1_000 if full else 100), PTY_GRACE_S),
        lambda found: found["leaked_descriptors"] == 0 and found["back_after_s_max"] <= 5,
    ),
    Campaign(
        "16 of 32 units dead, 10 s",
        lambda _full: run_virtual(steady.half_dead(10.0)),
        lambda found: found["healthy_p99"] <= 1.2 and found["no_data_after_periods_max"] <= 3,
    ),
    Campaign(
        "16 of 32 units dead, 2 s",
        lambda _full: run_virtual(steady.half_dead(2.0)),
        lambda found: found["healthy_p99"] <= 1.2 and found["no_data_after_periods_max"] <= 3,
    ),
    Campaign(
        "9600 baud, 32 units of 2 blocks, on a terminal in real time",
        lambda full: uvloop.run(steady.cycle_time(20 if full else 3, terminal=True)),  # as the product runs
        lambda found: found["ratio"] <= 1.10,
    ),
    Campaign(
        "agent on 1,000 TCP units",
        lambda full: _in_folder(lambda folder: asyncio.run(agent_load(folder, 120 if full else 30))),
        lambda found: found["rss_mib"] <= 60,
    ),
)


def run_campaigns(*, full: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Figures of every campaign, by name; `passed` is whether all hold."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    figures: dict[str, Any] = {}
    for campaign in CAMPAIGNS:
        say(f"{campaign.name} ...")
        found = campaign.run(full)
        figures[campaign.name] = {"holds": campaign.holds(found), **found}
    return {"full": full, "passed": all(row["holds"] for row in figures.values()), "figures": figures}


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    rows = ["| campaign | figures | holds |", "|---|---|---|"]
    for name, row in found["figures"].items():
        figures = ", ".join(f"{key} {value}" for key, value in row.items() if key != "holds")
        rows.append(f"| {name} | {figures} | {'yes' if row['holds'] else '**no**'} |")
    return "\n".join(rows)
