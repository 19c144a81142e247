"""`python -m bench WHAT [--json]`: what this machine does, in figures; `--help` names every WHAT."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.ingest import Options, measure
from contract.errors import WeizhanError
from contract.panel_profile import OPTIONS

PARSERS = ("meokon", "json", "printer", "point_map")
"""Parsers of `foreign`."""

WEB: dict[str, tuple[str, dict[str, tuple[int, str]]]] = {
    "pages": (
        "board and list of thousands of devices: time to answer, until Chromium can be used",
        {
            "devices": (5000, "devices"),
            "rounds": (200, "times each page"),
            "readings": (500, "readings a second"),
            "papers": (20_000, "work orders, and hazards"),
            "open": (5000, "of each are open"),
        },
    ),
    "boards": (
        "many open boards, some stalled: an alarm to each of them, memory",
        {"boards": (200, "streams"), "stalled": (50, "of them take nothing"), "alarms": (30, "alarms")},
    ),
    "sign-in": (
        "fifty sign-ins at once beside alarms; how long each way of being refused takes",
        {"people": (50, "at once"), "rounds": (10, "with and without"), "tries": (120, "times each way")},
    ),
    "charts": (
        "a year of ten-second data as a chart at the API",
        {"days": (365, "days of history"), "rounds": (100, "times each chart")},
    ),
    "api-fuzz": (
        "the whole API asked with generated requests as each role",
        {"examples": (50, "requests of an operation and role"), "seed": (1, "of every random choice")},
    ),
}
"""Benchmarks of the web process: name -> what it does, and its options."""


def main() -> int:
    """Measure and print. Exit status 1 when the measurement could not be made."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure this machine.")
    commands = parser.add_subparsers(dest="what", required=True)
    fuzz = commands.add_parser("panels", help="fuzz the panel receivers: worst case, crashes")
    fuzz.add_argument("--json", action="store_true", help="print one JSON document")
    fuzz.add_argument("--fuzz", type=int, default=1_000_000, help="cases for each receiver (default %(default)s)")
    fuzz.add_argument("--driver", action="append", choices=list(OPTIONS), help="only this one; may be given again")
    fuzz.add_argument("--seed", type=int, default=1, help="of every random choice (default %(default)s)")
    foreign = commands.add_parser("foreign", help="fuzz terminals' frames, JSON, printed lines, point maps")
    foreign.add_argument("--json", action="store_true", help="print one JSON document")
    foreign.add_argument("--fuzz", type=int, default=1_000_000, help="cases for each parser (default %(default)s)")
    foreign.add_argument("--parser", action="append", choices=PARSERS, help="only this one; may be given again")
    foreign.add_argument("--seed", type=int, default=1, help="of every random choice (default %(default)s)")
    codec = commands.add_parser("gb26875-fuzz", help="fuzz the GB/T 26875.3 codec: worst case, crashes, wrong results")
    codec.add_argument("--json", action="store_true", help="print one JSON document")
    codec.add_argument("--cases", type=int, default=1_000_000, help="how many (default %(default)s)")
    codec.add_argument("--seed", type=int, default=1, help="of every random choice (default %(default)s)")
    city = commands.add_parser("gb26875", help="a city of transmitters: load, fire to screen and centre, backlog")
    city.add_argument("--json", action="store_true", help="print one JSON document")
    city.add_argument("--transmitters", type=int, default=1000, help="connected at once (default %(default)s)")
    city.add_argument("--events", type=float, default=2000.0, help="events per second asked for (default %(default)s)")
    city.add_argument("--seconds", type=float, default=30.0, help="so long (default %(default)s)")
    city.add_argument("--backlog", type=int, default=100_000, help="objects waiting for a lossy centre; 0: left out")
    lines = commands.add_parser(
        "lines", help="campaigns on simulated lines: wrong values, dead units, unplugging, pace"
    )
    lines.add_argument("--full", action="store_true", help="the full counts, some minutes")
    lines.add_argument("--json", action="store_true", help="print one JSON document")
    ingest = commands.add_parser(
        "ingest", help="durable readings per second beside the limit, and memory of agent and gateway"
    )
    ingest.add_argument("--json", action="store_true", help="print one JSON document")
    ingest.add_argument("--points", type=int, default=10_000, help="points of the site (default %(default)s)")
    ingest.add_argument("--readings", type=int, default=50, help="readings a batch (default %(default)s)")
    ingest.add_argument("--batches", type=int, default=6_000, help="batches a run (default %(default)s)")
    ingest.add_argument("--rounds", type=int, default=7, help="runs of each side (default %(default)s)")
    ingest.add_argument("--memory-s", type=float, default=30.0, help="watch memory so long; 0 leaves it out")
    ingest.add_argument(
        "--folder", type=Path, default=Path("var"), help="where files are written (default %(default)s)"
    )
    flood = commands.add_parser("flood", help="10,000 faults and 5 fires in 10 s, up to screen and webhook")
    flood.add_argument("--json", action="store_true", help="print one JSON document")
    flood.add_argument("--rounds", type=int, default=5, help="floods (default %(default)s)")
    rules = commands.add_parser("rules", help="cost of a reading in the rule engine by number of rules and points")
    rules.add_argument("--json", action="store_true", help="print one JSON document")
    rules.add_argument("--rules", type=int, nargs="+", default=[10, 1000, 10_000], help="numbers of rules")
    rules.add_argument("--points", type=int, nargs="+", default=[100, 1000, 10_000, 100_000], help="numbers of points")
    rules.add_argument("--readings", type=int, default=50_000, help="readings of a cell (default %(default)s)")
    mutants = commands.add_parser("mutants", help="mutation testing: faults put into modules, noticed by their tests?")
    mutants.add_argument("--json", action="store_true", help="print one JSON document")
    mutants.add_argument("--module", action="append", help="only this one of the list; may be given again")
    mutants.add_argument("--most", type=int, help="at most so many mutants a module, drawn at random; all unless given")
    mutants.add_argument("--jobs", type=int, default=2, help="so many at a time (default %(default)s)")
    mutants.add_argument("--seed", type=int, default=1, help="of the draw (default %(default)s)")
    duty = commands.add_parser("duty", help="readiness of 500 stations: a month recomputed, 5,000 changes a second")
    duty.add_argument("--json", action="store_true", help="print one JSON document")
    duty.add_argument("--stations", type=int, default=500, help="stations (default %(default)s)")
    duty.add_argument("--alarms", type=int, default=300_000, help="alarms of the month (default %(default)s)")
    duty.add_argument("--changes", type=int, default=5000, help="changes a second asked for (default %(default)s)")
    duty.add_argument("--seconds", type=float, default=20.0, help="so long (default %(default)s)")
    world = commands.add_parser("world", help="whole stations in simulated time, with every fault there is")
    world.add_argument("--json", action="store_true", help="print one JSON document")
    world.add_argument("--seeds", type=int, default=500, help="how many, from --first on (default %(default)s)")
    world.add_argument("--first", type=int, default=1, help="first seed (default %(default)s)")
    world.add_argument("--hours", type=float, default=2.0, help="simulated hours a seed (default %(default)s)")
    world.add_argument("--jobs", type=int, default=2, help="so many at a time (default %(default)s)")
    world.add_argument("--seed", type=int, help="only this one, told as a story; shortened when it breaks")
    soak = commands.add_parser("board-soak", help="an open duty board through hours of events: JS heap and DOM nodes")
    soak.add_argument("--json", action="store_true", help="print one JSON document")
    soak.add_argument("--hours", type=float, default=24.0, help="hours of events (default %(default)s)")
    soak.add_argument("--pace", type=float, default=600.0, help="so many times faster than life (default %(default)s)")
    soak.add_argument("--path", default="/", help="page that is left open, / or /wall (default %(default)s)")
    for name, (text, choices) in WEB.items():
        one = commands.add_parser(name, help=text)
        one.add_argument("--json", action="store_true", help="print one JSON document")
        for option, (default, meaning) in choices.items():
            one.add_argument(f"--{option}", type=int, default=default, help=f"{meaning} (default %(default)s)")
    exports = commands.add_parser("exports", help="rows a second and memory of exports as CSV, XLSX and PDF")
    exports.add_argument("--json", action="store_true", help="print one JSON document")
    exports.add_argument("--rows", type=int, default=100_000, help="rows (default %(default)s; a PDF takes 20,000)")
    given = parser.parse_args()
    if given.what in WEB:
        from bench.web import run_web

        return run_web(given)
    if given.what == "world":
        return _world(given)
    if given.what == "rules":
        return _rules(given)
    if given.what == "mutants":
        return _mutants(given)
    if given.what == "panels":
        return _fuzz_panels(given)
    if given.what == "foreign":
        return _fuzz_foreign(given)
    if given.what == "gb26875-fuzz":
        return _fuzz_gb26875(given)
    if given.what == "gb26875":
        return _city(given)
    if given.what == "lines":
        return _lines(given)
    if given.what == "flood":
        return _flood(given)
    if given.what == "exports":
        return _exports(given)
    if given.what == "duty":
        return _duty(given)
    if given.what == "board-soak":
        return _board_soak(given)
    options = Options(given.points, given.readings, given.batches, given.rounds, given.memory_s, given.folder)
    try:
        found = measure(options, lambda line: print(line, file=sys.stderr, flush=True))
    except WeizhanError as exc:
        print(exc, file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2) if given.json else _table(found))
    return 0


def _fuzz_panels(given: argparse.Namespace) -> int:
    from bench.panels import campaign, table

    found = campaign(given.fuzz, given.driver, given.seed, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0 if found["passed"] else 1


def _fuzz_foreign(given: argparse.Namespace) -> int:
    from bench.foreign import campaign, table

    found = campaign(given.fuzz, given.parser, given.seed, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0 if found["passed"] else 1


def _fuzz_gb26875(given: argparse.Namespace) -> int:
    from bench.gb26875 import campaign, table

    found = campaign(given.cases, given.seed, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0 if found["passed"] else 1


def _city(given: argparse.Namespace) -> int:
    import asyncio
    import tempfile

    from bench.transmitters import Load, measure, table

    load = Load(given.transmitters, given.events, given.seconds, backlog=given.backlog)
    with tempfile.TemporaryDirectory() as folder:
        told = measure(load, Path(folder), lambda line: print(line, file=sys.stderr, flush=True))
        found = asyncio.run(told)
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0


def _flood(given: argparse.Namespace) -> int:
    from bench.flood import campaign, table

    found = campaign(given.rounds, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0 if found["passed"] else 1


def _lines(given: argparse.Namespace) -> int:
    from bench.lines.campaign import run_campaigns, table

    found = run_campaigns(full=given.full, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0 if found["passed"] else 1


def _rules(given: argparse.Namespace) -> int:
    from bench.rules import campaign, table

    found = campaign(given.rules, given.points, given.readings, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0


def _mutants(given: argparse.Namespace) -> int:
    from bench.mutants import GOAL, TARGETS, campaign, table

    chosen = {path: tests for path, tests in TARGETS.items() if given.module is None or path in given.module}
    found = campaign(chosen, given.jobs, given.most, given.seed, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0 if found["share"] >= GOAL else 1


def _exports(given: argparse.Namespace) -> int:
    from bench.exports import campaign, table

    found = campaign(given.rows, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0


def _duty(given: argparse.Namespace) -> int:
    from bench.duty import Plan, campaign, table

    plan = Plan(given.stations, given.alarms, given.changes, given.seconds)
    found = campaign(plan, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0


def _world(given: argparse.Namespace) -> int:
    from tests.world.campaign import campaign, table, tell

    if given.seed is not None:
        return tell(given.seed, given.hours, lambda line: print(line, flush=True))
    seeds = range(given.first, given.first + given.seeds)
    found = campaign(seeds, given.hours, given.jobs, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0 if found["passed"] else 1


def _board_soak(given: argparse.Namespace) -> int:
    from bench.board_soak import campaign, table

    found = campaign(given.hours, given.pace, given.path, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0 if found["passed"] else 1


def _table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    lines = ["| | product | limit |", "|---|---|---|"]
    product, limit = found["product"], found["limit"]
    rate = "{median:,} ({min:,} to {max:,})"
    mine, most = rate.format(**product["readings_per_s"]), rate.format(**limit["readings_per_s"])
    lines.append(f"| durable readings a second, median (spread) | {mine} | {most} |")
    lines.append(f"| CPU, µs a reading | {product['cpu_us_a_reading']} | {limit['cpu_us_a_reading']} |")
    lines.append(f"| CPU, s for {found['readings']:,} readings | {product['cpu_s']} | {limit['cpu_s']} |")
    ratio = found["ratio"]
    lines += [
        "",
        f"Product to limit: {ratio['median']:.0%} ({ratio['min']:.0%} to {ratio['max']:.0%}), "
        f"by CPU {found['cpu_ratio']:.0%}.",
    ]
    if "memory" in found:
        memory = found["memory"]
        lines += ["", f"| at {memory['points']:,} points | agent | gateway |", "|---|---|---|"]
        for key, title in (
            ("rss_mib", "resident memory, MiB"),
            ("unshared_mib", "of it not shared, MiB"),
            ("cpu_share", "share of one core"),
        ):
            lines.append(f"| {title} | {memory['agent'][key]} | {memory['gateway'][key]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
