"""Readiness of 500 stations: a month recomputed from the primary rows, and kept current at 5,000 changes a second.

Each part runs in a process of its own, so that its peak memory is its own; beside it stands a plain scan of the same
rows (the same statements, every row fetched, nothing done with it), or plain writing of the same rows.
"""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from gateway.control.protocol import AlarmView
from gateway.duty import recompute as r
from gateway.duty.readiness import Readiness
from gateway.installation import Installation
from gateway.ledger.changes import Changes
from gateway.ledger.entries import Pen, SavedEntries
from gateway.ledger.upgrade import prepare
from rules.model import load_packs
from rules.readiness_spans import Deducted, Span

START_MS = 1_790_000_000_000
MONTH_MS = 30 * 86_400_000
RULES = ("hydrant-pressure-low", "water-level-low", "device-silent", "panel-fault")
"""What the alarms are of: degraded, not ready, unknown, degraded."""
GROUP = 512
"""Changes in one commit at most."""
Say = Callable[[str], None]


class Plan(NamedTuple):
    """alarms: raised in the month by all stations. changes: a second, for so many seconds."""

    stations: int = 500
    alarms: int = 300_000
    changes: int = 5000
    seconds: float = 20.0


def campaign(plan: Plan, say: Say) -> dict[str, Any]:
    """Measure everything; gives the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        say(f"writing {plan.alarms:,} alarms of {plan.stations} stations")
        rows = write_month(path, plan)
        say("plain scan of the same rows")
        scanned = _apart(_scan, path)
        say("recompute")
        derived = _apart(_derive, path)
        say(f"{plan.changes:,} changes a second for {plan.seconds:g} s")
        kept = _apart(_keep, Path(folder) / "live.sqlite", plan)
        written = _apart(_write, Path(folder) / "plain.sqlite", kept["rows"])
    return {
        "stations": plan.stations,
        "recompute": {"rows": rows, **derived, "plain_scan": scanned},
        "live": {**kept, "plain_writing": written},
    }


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    a, b = found["recompute"], found["live"]
    scan, plain = a["plain_scan"], b["plain_writing"]
    return "\n".join(
        [
            f"| {found['stations']} stations | readiness | plain |",
            "|---|---|---|",
            f"| a month recomputed ({a['rows']:,} rows), s | {a['wall_s']} | {scan['wall_s']} (scan) |",
            f"| CPU, s | {a['cpu_s']} | {scan['cpu_s']} |",
            f"| peak memory, MiB | {a['peak_mib']} | {scan['peak_mib']} |",
            f"| kept current: changes a second, asked for {b['asked_per_s']:,} | {b['changes_per_s']:,} | |",
            f"| CPU a change, µs (rows written: {b['rows']:,}) | {b['cpu_us_a_change']} | "
            f"{round(1e6 * plain['cpu_s'] / b['changes'], 1)} (writing) |",
            f"| from a change to its commit, ms, p50 / p99 / longest | {b['lag_ms']['p50']} / {b['lag_ms']['p99']} / "
            f"{b['lag_ms']['max']} | |",
            f"| peak memory, MiB | {b['peak_mib']} | {plain['peak_mib']} |",
        ]
    )


# --- a month ---------------------------------------------------------------------------------------------------------


def write_month(path: Path, plan: Plan) -> int:
    """A ledger with a month of alarms; gives how many rows a recompute looks at."""
    chance = random.Random(1)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    prepare(connection, path)
    connection.execute("BEGIN")
    rules = load_packs()
    connection.executemany(
        "INSERT INTO rule_version VALUES (?,?,?,?)",
        [(name, "v", START_MS, rules[name].model_dump_json(by_alias=True)) for name in RULES],
    )
    moves = []
    for alarm_id in range(1, plan.alarms + 1):
        raised_ms = START_MS + chance.randrange(MONTH_MS)
        moves.append((raised_ms, "raise", alarm_id))
        moves.append((raised_ms + chance.randrange(1000, 7_200_000), "clear", alarm_id))
    moves.sort()
    connection.executemany(
        "INSERT INTO alarm (id, rule, rule_version, subject, site, device, severity, state, active, raised_ms, "
        "recorded_ms) VALUES (?,?,'v',?,?,'d',?,'normal',0,0,0)",
        (
            (n, _rule(n, plan.stations), f"s{n % plan.stations}/d/p{n % 97}", f"s{n % plan.stations}", "warning")
            for n in range(1, plan.alarms + 1)
        ),
    )
    connection.executemany(
        "INSERT INTO transition (alarm_id, event, from_state, to_state, event_ms, recorded_ms, actor) "
        "VALUES (?,?,'normal','normal',?,?,'rule')",
        ((alarm_id, event, at_ms, at_ms) for at_ms, event, alarm_id in moves),
    )
    entry = {"id": 1, "state": "in_force", "from_ms": START_MS, "until_ms": None, "covers": []}
    connection.executemany(
        "INSERT INTO audit (at_ms, actor, action, subject, detail, previous, hash) "
        "VALUES (?,'gateway','station.begin',?,?,'','')",
        (
            (START_MS, f"station/{n}", msgspec.json.encode({"row": {**entry, "site": f"s{n}"}}).decode())
            for n in range(plan.stations)
        ),
    )
    connection.execute("COMMIT")
    connection.close()
    return 2 * plan.alarms + plan.stations + len(RULES)


def _rule(number: int, stations: int) -> str:
    """Of an alarm: another one at each alarm of a station."""
    return RULES[(number + number // stations) % len(RULES)]


class Shares:
    """Takes what is found as a report wants it: sums, no list."""

    def __init__(self) -> None:
        self.ms: dict[tuple[str, str], int] = {}
        self.deductions = 0

    def span(self, site: str, span: Span) -> None:
        """Add it up."""
        key = (site, span.verdict.level)
        self.ms[key] = self.ms.get(key, 0) + span.until_ms - span.from_ms

    def deducted(self, site: str, deducted: Deducted) -> None:  # noqa: ARG002 # counted only
        """Count it."""
        self.deductions += 1


def _derive(path: Path) -> dict[str, Any]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = Shares()
    r.recompute(connection, START_MS + MONTH_MS, found)
    connection.close()
    whole = sum(found.ms.values())
    ready = sum(ms for (_, level), ms in found.ms.items() if level == "ready")
    return {"ready_pct": round(100 * ready / whole, 4), "deductions": found.deductions}


def _scan(path: Path) -> dict[str, Any]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = sum(1 for _ in connection.execute(r.TRANSITIONS, (START_MS + MONTH_MS,)))
    rows += sum(1 for _ in connection.execute(r.AUDIT))
    connection.close()
    return {"scanned": rows}


# --- live ------------------------------------------------------------------------------------------------------------


SITE = """\
site: s
title: {zh: 站, en: Station}
agents:
  - id: a
    lines:
      - {id: l, kind: modbus_tcp, host: 127.0.0.1, port: 502,
         devices: [{id: d, profile: hydrant-municipal, unit_id: 1}]}
station: {grade: 3, posts: [{id: p, title: {zh: 岗, en: Post}}]}
"""


def _stations(folder: Path, count: int) -> dict[str, Site]:
    path = folder / "s.yaml"
    path.write_text(SITE, "utf-8")
    made = load_site(path, ProfileLibrary())
    return {name: made.model_copy(update={"site": name}) for name in (f"s{n}" for n in range(count))}


def _alarm(number: int, stations: int, now_ms: int, *, active: bool) -> AlarmView:
    site = f"s{number % stations}"
    return AlarmView(
        id=number, rule=_rule(number, stations), subject=f"{site}/d/p{number % 97}", site=site, device="d",
        severity="warning", state="unacknowledged" if active else "normal", active=active, retrospective=False,
        raised_ms=now_ms, recorded_ms=now_ms, cleared_ms=None, acknowledged_ms=None, acknowledged_by=None, inputs={},
    )  # fmt: skip


def _keep(path: Path, plan: Plan) -> dict[str, Any]:
    """Alarms begin and end at a steady pace; what has come is judged and committed, again and again."""
    connection = _open(path)
    sites = _stations(path.parent, plan.stations)
    readiness = Readiness(SavedEntries({}, {}))
    readiness.install(Installation(sites, load_packs(), ProfileLibrary()))
    total = int(plan.changes * plan.seconds)
    done = rows = 0
    lags: list[float] = []
    begun, cpu = time.perf_counter(), time.process_time()
    while done < total:
        due = min(total, done + GROUP, int((time.perf_counter() - begun) * plan.changes))
        if due == done:
            time.sleep(0.001)
            continue
        now_ms = START_MS + int((time.perf_counter() - begun) * 1000)
        changes = Changes(now_ms)
        pen = Pen(changes, now_ms)
        first = done
        for number in range(done, due):
            # Each alarm lasts 1,000 changes, a fifth of a second at this pace.
            which, active = (number // 2 + 1, True) if number % 2 == 0 else (max(1, number // 2 - 500), False)
            event = "raise" if active else "clear"
            readiness.alarm_moved(_alarm(which, plan.stations, now_ms, active=active), event, pen)
        readiness.advance(pen)
        rows += len(changes.audit)
        connection.execute("BEGIN")
        changes.write(connection)
        connection.execute("COMMIT")
        done = due
        lags.append((time.perf_counter() - begun - first / plan.changes) * 1000)
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    connection.close()
    lags.sort()
    at = {name: round(lags[min(len(lags) - 1, int(len(lags) * share))], 1) for name, share in _SHARES.items()}
    return {
        "changes": total, "rows": rows, "asked_per_s": plan.changes, "changes_per_s": round(total / wall_s),
        "cpu_us_a_change": round(1e6 * cpu_s / total, 1), "lag_ms": at,
    }  # fmt: skip


_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def _write(path: Path, rows: int) -> dict[str, Any]:
    """As many rows of the same size into the same table, 256 a commit, and nothing else."""
    connection = _open(path)
    data = "x" * 330
    for at in range(0, rows, 256):
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO entry VALUES ('deduction',?,'s1','over',0,0,0,?)",
            ((number, data) for number in range(at, min(at + 256, rows))),
        )
        connection.execute("COMMIT")
    connection.close()
    return {"rows": rows}


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    prepare(connection, path)
    return connection


# --- measuring -------------------------------------------------------------------------------------------------------


def _apart(work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """Do it in a fresh process; gives what it gave, with its time and peak memory."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (work, args))


def _measured(work: Callable[..., dict[str, Any]], args: tuple[Any, ...]) -> dict[str, Any]:
    begun, cpu = time.perf_counter(), time.process_time()
    found = work(*args)
    return {
        **found,
        "wall_s": round(time.perf_counter() - begun, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mib": round(_peak_kib() / 1024, 1),
    }


def _peak_kib() -> int:
    """Of this process alone; what getrusage says a child takes over from the parent it was forked from."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])
