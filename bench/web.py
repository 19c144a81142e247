"""The benchmarks of the web process as commands: `python -m bench pages | boards | sign-in | charts | api-fuzz`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any


def run_web(given: argparse.Namespace) -> int:
    """Measure and print; the exit status is 1 when a bound does not hold."""
    found, text = _measured(given)
    print(json.dumps(found, indent=2, ensure_ascii=False) if given.json else text)
    return 0 if found["passed"] else 1


def _measured(given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    if given.what == "pages":
        from bench import pages

        found = asyncio.run(
            pages.measure(given.devices, given.rounds, given.readings, (given.papers, given.open), _say)
        )
        return found, pages.table(found)
    if given.what == "boards":
        from bench import boards

        found = asyncio.run(boards.measure(given.boards, given.stalled, given.alarms, _say))
        return found, boards.table(found)
    if given.what == "sign-in":
        from bench import sign_in

        found = asyncio.run(sign_in.measure(given.people, given.rounds, given.tries, _say))
        return found, sign_in.table(found)
    if given.what == "charts":
        from bench import charts

        found = charts.run(given.days, given.rounds, _say)
        return found, charts.table(found)
    found = asyncio.run(_fuzz(given.examples, given.seed))
    return found, json.dumps(found, indent=2, ensure_ascii=False)


async def _fuzz(examples: int, seed: int) -> dict[str, Any]:
    """Requests from a process of their own: they are made at random, and nothing here may draw beside them."""
    from bench.web_station import ROLES, web_station

    with tempfile.TemporaryDirectory(prefix="weizhan-fuzz-") as folder:
        async with web_station(Path(folder), 20, 1) as station:
            await station.fill()
            people = [(await station.sign_in(role))._asdict() for role in ROLES]
            asked = {"address": station.address, "people": people, "examples": examples, "seed": seed}
            command = (sys.executable, "-m", "bench.api_fuzz")
            fuzz = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
            told, _ = await fuzz.communicate(json.dumps(asked).encode())
    found: dict[str, Any] = json.loads(told)
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
