"""The report of a run: what the simulators say was, against what the product stored and showed.

Nothing here is read from the product's own counters: values come from the history, duplicates from the ledger's
inbox, alarms from the ledger's transitions, latency from a board that watched.
"""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

from cli.board import Seen
from contract.messages import Value
from contract.site import REGISTER_DEVICE
from gateway.history.base import History
from gateway.ledger.reader import LedgerReader
from rules.model import load_packs
from simulators.truth import Truth, judge_alarms, judge_readings, read_truth

DRAIN_S = 30.0
"""The last readings may take this long from the equipment to the history."""
FAR_MS = 9_000_000_000_000


async def make_report(
    truth_file: Path, data_dir: Path, history: History, site: str, seen: list[Seen], *, story: str
) -> dict[str, Any]:
    """Judge a run once the last readings have arrived.

    Args:
        truth_file: the simulators' own record. seen: what the board showed.

    Returns:
        readings, alarms, latency_ms, violations, passed; `details` names each thing that is not as it was.
    """
    limit = time.monotonic() + DRAIN_S
    while True:
        truth = read_truth(truth_file)
        readings = judge_readings(truth, await stored_rows(history, site, truth))
        alarms = judge_alarms(truth, transitions(data_dir, site))
        settled = truth.end_ms is not None and not (readings["lost"] or alarms["missed"])
        if settled or time.monotonic() > limit:
            break
        await asyncio.sleep(0.5)
    # The history overwrites a repeated time, so duplicates are looked for where every batch is kept.
    twice = judge_readings(truth, inbox_rows(data_dir, site))
    latency = contact_latency_ms(truth, seen)
    details = [*readings.pop("details"), *alarms.pop("details"), *(d for d in twice["details"] if "duplicated" in d)]  # type: ignore[misc]  # leaves a plain dict
    readings["duplicated"] = twice["duplicated"]
    bad = (
        readings["lost"] + readings["duplicated"] + readings["wrong"]
        + alarms["missed"] + alarms["false"] + len(truth.violations)
    )  # fmt: skip
    return {
        "story": story,
        "passed": bad == 0 and readings["produced"] > 0,
        "readings": dict(readings),
        "alarms": dict(alarms),
        "latency_ms": latency,
        "writes_to_equipment": len(truth.violations),
        "details": details,
    }


async def stored_rows(history: History, site: str, truth: Truth) -> list[tuple[str, int, Value]]:
    """Every stored reading of the points the simulators know."""
    rows: list[tuple[str, int, Value]] = []
    for point in sorted({segment.point for segment in truth.segments}):
        from_ms = 0
        while samples := await history.raw(site, point, from_ms, FAR_MS, 10_000):
            rows += [(point, s.observed_ms, s.value if s.quality == "good" else None) for s in samples]
            from_ms = samples[-1].observed_ms + 1
    return rows


def inbox_rows(data_dir: Path, site: str) -> list[tuple[str, int, Value]]:
    """Every reading of every batch the gateway took."""
    with LedgerReader(data_dir / "ledger.sqlite") as ledger:
        return [
            (r.point, r.observed_ms, r.value if r.quality == "good" else None) for s, r in ledger.stored() if s == site
        ]


def transitions(data_dir: Path, site: str) -> list[tuple[str, str, str, int]]:
    """Every raise and clear the gateway decided."""
    with LedgerReader(data_dir / "ledger.sqlite") as ledger:
        alarms = {alarm.id: alarm for alarm in ledger.alarms(limit=100_000)}
        return [
            (alarms[row.alarm_id].rule, alarms[row.alarm_id].subject, row.event, row.event_ms)
            for row in ledger.transitions()
            # What the gateway keeps of people and equipment of the station is no part of a story.
            if row.event in ("raise", "clear")
            and alarms[row.alarm_id].site == site
            and alarms[row.alarm_id].device != REGISTER_DEVICE
        ]


def contact_latency_ms(truth: Truth, seen: list[Seen]) -> dict[str, Any]:
    """From the moment a polled contact changed to the moment the board showed its alarm; over and again."""
    rules = load_packs()
    took: list[int] = []
    beyond: list[int] = []
    for alarm in truth.alarms:
        if not alarm.contact:
            continue
        waits = rules[alarm.rule].clear_for_s > 0
        for moment, active in ((alarm.from_ms, True), (None if waits else alarm.to_ms, False)):
            if moment is None:
                continue
            shown = [
                s.shown_ms for s in seen
                if (s.rule, s.subject, s.active) == (alarm.rule, alarm.subject, active) and s.shown_ms >= moment
            ]  # fmt: skip
            if shown:
                took.append(min(shown) - moment)
                beyond.append(took[-1] - alarm.poll_ms)
    return {
        "count": len(took),
        "p50": quantile(took, 0.50),
        "p99": quantile(took, 0.99),
        "max": max(took, default=None),
        "p99_beyond_poll": quantile(beyond, 0.99),
    }


def quantile(values: list[int], share: float) -> int | None:
    """The value below or at which that share lies (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
