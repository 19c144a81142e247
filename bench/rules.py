"""What a reading costs in the rule engine, by number of rules and of points; and what a point costs in memory.

Every point has as many rules as every other, whatever the number of rules: more rules watch other points. So when cost
follows the rules that touch the point, a column of the table stays level from 10 rules to 10,000. Each cell runs in a
process of its own.
"""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import psutil

from contract.messages import Reading
from contract.profile import Profile
from rules.engine import Engine
from rules.model import Rule

START_MS = 1_760_000_000_000
SITE, AGENT = "bench", "edge"
A_DEVICE = 100
"""Points of a device, where there are rules for so many."""
A_POINT = 2
"""Rules of a point."""
BATCH = 50
TALLY_POINTS = 2_000
"""Points of one panel, counted together by three tallies."""
PERIOD_MS = 60_000
"""A point speaks once a minute of event time."""
TITLE = {"zh": "测试", "en": "Bench"}
_Found = TypeVar("_Found")


class Kind(NamedTuple):
    """One kind of rules and of values."""

    name: str
    what: str
    conditions: tuple[dict[str, Any], ...]
    per: str = "point"
    swing: float = 5.0
    """Values move by so much around 300."""


LOW = {"kind": "threshold", "below": 140, "clear": 150}
FALL = {"kind": "window", "of": "fall", "window_s": 600, "above": 100, "clear": 50}
HIGH = {"kind": "threshold", "above": 900, "clear": 850}
KINDS = (
    Kind("calm", "thresholds, values inside", (LOW, HIGH)),
    Kind("moving", "thresholds, every reading changes a phase", (LOW, HIGH), swing=200.0),
    Kind(
        "window",
        "fall within 10 min, mean of 30 min",
        (
            FALL,
            {"kind": "window", "of": "mean", "window_s": 1800, "below": 140, "clear": 150},
        ),
    ),
    Kind(
        "tree",
        "at night and (low or falling); low and not at night",
        (
            {
                "kind": "all",
                "of": [
                    {"kind": "time", "from": "00:00", "to": "23:59"},
                    {"kind": "any", "of": [LOW, FALL]},
                ],
            },
            {"kind": "all", "of": [LOW, {"kind": "not", "of": {"kind": "time", "from": "00:00", "to": "23:59"}}]},
        ),
    ),
)  # fmt: skip


class Cell(NamedTuple):
    """What one run found. us_a_reading: of CPU, median of the rounds in which every point spoke once.
    bytes_a_point: resident memory of the engine after them."""

    us_a_reading: float
    build_s: float
    bytes_a_point: float


def campaign(rules: list[int], points: list[int], readings: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every kind at every number of rules and points.

    Args:
        readings: of a cell, at the least; a cell of many points takes two of each.
    """
    found: dict[str, Any] = {"rules_a_point": A_POINT, "kinds": [], "tally": {}}
    for kind in KINDS:
        cells = []
        for point_count in points:
            row: dict[str, Any] = {"points": point_count, "us_a_reading": {}}
            for rule_count in rules:
                cell = _apart(kind, rule_count, point_count, readings)
                say(f"{kind.name}: {rule_count} rules, {point_count} points: {cell.us_a_reading:.2f} µs a reading")
                row["us_a_reading"][str(rule_count)] = round(cell.us_a_reading, 2)
                # With few rules: many rules take memory of their own, which is no point's.
                row.setdefault("bytes_a_point", round(cell.bytes_a_point))
                row["build_s"] = round(cell.build_s, 2)
            # With few points most of many rules watch nothing at all: that too must cost nothing.
            row["ratio"] = round(row["us_a_reading"][str(rules[-1])] / row["us_a_reading"][str(rules[0])], 2)
            cells.append(row)
        ratio = statistics.median(row["ratio"] for row in cells)
        found["kinds"].append({"name": kind.name, "what": kind.what, "rows": cells, "ratio": ratio})
    for point_count in (TALLY_POINTS // 10, TALLY_POINTS):
        us_a_reading = _in_process(run_tally, point_count, readings)
        say(f"tally: {point_count} points of one subject: {us_a_reading:.2f} µs a reading")
        found["tally"][str(point_count)] = round(us_a_reading, 2)
    return found


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    rules = list(found["kinds"][0]["rows"][0]["us_a_reading"])
    heads = " | ".join(f"{int(count):,} rules" for count in rules)
    lines = [f"| rules | points | {heads} | last to first | bytes a point |", "|---" * (len(rules) + 4) + "|"]
    for kind in found["kinds"]:
        for row in kind["rows"]:
            costs = " | ".join(f"{row['us_a_reading'][count]:.2f}" for count in rules)
            lines.append(
                f"| {kind['name']}: {kind['what']} | {row['points']:,} | {costs} | {row['ratio']:.2f} | "
                f"{row['bytes_a_point']:,} |"
            )
    lines += ["", "| counted together by three tallies | µs a reading |", "|---|---|"]
    lines += [f"| {int(points):,} points of one panel | {cost:.2f} |" for points, cost in found["tally"].items()]
    return "\n".join(lines)


def _apart(kind: Kind, rules: int, points: int, readings: int) -> Cell:
    """One cell, in a new process."""
    return _in_process(run_cell, kind, rules, points, readings)


def _in_process(what: Callable[..., _Found], *given: Any) -> _Found:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(what, given)


def run_cell(kind: Kind, rules: int, points: int, readings: int) -> Cell:
    """Build an engine and feed it; the CPU time of `observe`, `advance` and `take` is what counts."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    began_s = time.process_time()
    engine, names = build(kind, rules, points)
    build_s = time.process_time() - began_s
    rounds = max(2, -(-readings // points)) + 1
    batches = load(names, rounds, kind.swing)
    warm = -(-points // BATCH)  # the first round: every point is heard for the first time
    for now_ms, batch in islice(batches, warm):
        engine.observe(SITE, batch, now_ms)
    engine.take()
    costs, cpu_s, turn = [], 0.0, 0
    gc.collect()
    gc.freeze()
    for now_ms, batch in batches:
        began_s = time.process_time()
        engine.observe(SITE, batch, now_ms)
        due_ms = engine.next_due_ms()
        if due_ms is not None and due_ms <= now_ms:
            engine.advance(now_ms)
        engine.take()
        cpu_s += time.process_time() - began_s
        turn += 1
        if turn == warm:
            costs.append(cpu_s / points)
            cpu_s, turn = 0.0, 0
    held = psutil.Process().memory_info().rss - before
    return Cell(statistics.median(costs) * 1e6, build_s, held / points)


def run_tally(points: int, readings: int) -> float:
    """µs of CPU a reading: a panel of so many points, every reading of which moves one into a counted state or out."""
    of = {"kind": "state", "equals": ["fault"]}
    tallies: list[dict[str, Any]] = [
        {"kind": "tally", "of": of, "at_least": points // 2},
        {"kind": "tally", "of": of, "at_least": points // 2, "within_s": 300},
        {"kind": "tally", "of": {"kind": "state", "equals": ["fault", "disabled"]}, "at_least": points},
    ]
    made = [
        Rule.model_validate(
            {
                "id": f"tally-{number}", "title": TITLE, "advice": [TITLE], "basis": TITLE, "severity": "warning",
                "applies_to": ["bench-panel/*"], "per": "device", "when": when, "on_missing": "hold",
            }
        )
        for number, when in enumerate(tallies)
    ]  # fmt: skip
    engine = Engine({rule.id: rule for rule in made})
    engine.add_device(SITE, AGENT, "panel", make_profile("bench-panel", 1))
    engine.restore([], [], [(SITE, AGENT, True, START_MS)], START_MS)
    engine.agent_heard(SITE, AGENT, True, START_MS)
    names = [f"panel/l{number:05d}" for number in range(points)]
    cpu_s = 0.0
    rounds = max(2, -(-readings // points))
    for turn in range(rounds + 1):
        word = "fault" if turn % 2 else "normal"
        for begin in range(0, points, BATCH):
            now_ms = START_MS + turn * PERIOD_MS + begin * PERIOD_MS // points
            batch = [Reading(name, now_ms, word) for name in names[begin : begin + BATCH]]
            began_s = time.process_time()
            engine.observe(SITE, batch, now_ms)
            engine.advance(now_ms)
            engine.take()
            if turn:  # in the first round every point is made
                cpu_s += time.process_time() - began_s
    return cpu_s / (rounds * points) * 1e6


def build(kind: Kind, rules: int, points: int) -> tuple[Engine, list[str]]:
    """An engine with that many rules, `A_POINT` on each point, and the names of its points."""
    watched = max(1, rules // A_POINT)  # different points that rules are written for
    wide = min(A_DEVICE, watched)
    profiles = [make_profile(f"bench-{n}", wide) for n in range(-(-watched // wide))]
    made: dict[str, Rule] = {}
    for number in range(watched):
        profile, point = profiles[number // wide], f"p{number % wide:03d}_kpa"
        for k, condition in enumerate(kind.conditions):
            rule = Rule.model_validate(
                {
                    "id": f"rule-{number}-{k}", "title": TITLE, "advice": [TITLE], "basis": TITLE,
                    "severity": "warning", "applies_to": [f"{profile.id}/{point}"], "when": condition,
                    "for_s": 30, "on_missing": "hold",
                }
            )  # fmt: skip
            made[rule.id] = rule
    engine = Engine(made)
    names = []
    for number in range(-(-points // wide)):
        device, profile = f"device-{number}", profiles[number % len(profiles)]
        engine.add_device(SITE, AGENT, device, profile)
        names += [f"{device}/{point.name}" for point in profile.points]
    engine.restore([], [], [(SITE, AGENT, True, START_MS)], START_MS)
    engine.agent_heard(SITE, AGENT, True, START_MS)
    return engine, names[:points]


def make_profile(name: str, wide: int) -> Profile:
    """A device of so many numbers."""
    points = [{"name": f"p{n:03d}_kpa", "title": TITLE, "register": n, "range": [0, 2500]} for n in range(wide)]
    return Profile.model_validate(
        {
            "id": name, "title": TITLE, "category": "water", "source": "made for a measurement", "modbus": {},
            "points": points, "test_vector": {"registers": {0: [300]}, "values": {"p000_kpa": 300.0}},
        }
    )  # fmt: skip


def load(names: list[str], rounds: int, swing: float) -> Iterator[tuple[int, list[Reading]]]:
    """(now, batch): every point once a period, its value up and down around 300."""
    for turn in range(rounds):
        for begin in range(0, len(names), BATCH):
            now_ms = START_MS + turn * PERIOD_MS + begin * PERIOD_MS // len(names)
            value = 300.0 + swing * (-1) ** turn
            yield now_ms, [Reading(name, now_ms, value) for name in names[begin : begin + BATCH]]
