"""`python -m bench.lab`: how long a comparison of rules on the stored history of a station takes."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.rules_history import DAY_MS, Plant, load_plant
from cli.rules_lab import compare_on_history
from cli.settings import Settings, load_settings
from contract.profile import Point, ProfileLibrary
from gateway.history.base import Row
from gateway.history.embedded import EmbeddedHistory
from rules.lab import to_data

UNTIL_MS = 1_767_225_600_000
SITE = """\
site: bench
title: {zh: 台架, en: Bench}
agents:
  - id: edge
    lines:
      - {id: main, kind: modbus_tcp, host: 127.0.0.1, port: 1502, devices: [DEVICES]}
"""
DEVICES = [("hydrant-municipal", n, "") for n in range(1, 4)] + [
    ("water-level", 8, ""),
    ("panel-modbus", 10, ", points: 16"),
]
CONFIG = "gateway: {sites: [site.yaml], data_dir: data, rule_overrides: {OVERRIDES}}\n"
STRICTER = "hydrant-pressure-low: {below: 200, clear: 210}"


def write_installation(folder: Path) -> Settings:
    """A site of some 75 points and its configuration; gives the settings."""
    entries = ", ".join(f"{{id: {p}-{n}, profile: {p}, unit_id: {n}{more}}}" for p, n, more in DEVICES)
    (folder / "site.yaml").write_text(SITE.replace("DEVICES", entries), "utf-8")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "weizhan.yaml").write_text(CONFIG.replace("OVERRIDES", ""), "utf-8")
    (folder / "new.yaml").write_text(CONFIG.replace("OVERRIDES", STRICTER), "utf-8")
    return load_settings(folder / "weizhan.yaml")


def make_rows(plant: Plant, days: int) -> Iterator[Row]:
    """What report by exception leaves of so many days: pressures each two minutes, all else each five."""
    library = ProfileLibrary()
    from_ms = UNTIL_MS - days * DAY_MS
    profiles = {p.entry.id: library[p.entry.profile] for site in plant.sites.values() for p in site.placed()}
    for number, source in enumerate(plant.sources()):
        device, _, name = source.point.partition("/")
        if device not in profiles:
            continue
        point = profiles[device].point(name)
        step_ms = 120_000 if name == "pressure_kpa" else 300_000
        for n, at_ms in enumerate(range(from_ms + number * 37, UNTIL_MS, step_ms)):
            yield Row(source.site, device, name, at_ms, _value(point, name, number, n), "good")


def _value(point: Point | None, name: str, number: int, n: int) -> Any:
    if point is None or not point.is_number:
        return True if name in ("online", "present", "power_ok") else "normal" if point is None else _calm(point)
    if name == "pressure_kpa":
        # A daily swing that goes below the limits for a while on some days.
        swing = math.sin(n / 720 * math.tau + number) * (90 + 40 * math.sin(n / 20_000 + number))
        return round(260.0 + swing, 1)
    return round(50.0 + 10.0 * math.sin(n / 700 + number), 2)


def _calm(point: Point) -> Any:
    if point.type == "bit":
        return False
    words = list((point.states or {}).values())
    return "normal" if "normal" in words or not words else words[0]


async def measure(folder: Path, days: int) -> dict[str, Any]:
    """Write the history, compare, and give the figures."""
    settings = write_installation(folder)
    assert settings.gateway is not None
    plant = load_plant(settings)
    async with EmbeddedHistory(settings.gateway.data_dir / "history") as history:
        rows: list[Row] = []
        names_stored = set()
        for row in make_rows(plant, days):
            rows.append(row)
            names_stored.add((row.device, row.point))
            if len(rows) >= 50_000:
                await history.write(rows, _refused)
                rows = []
        await history.write(rows, _refused)
    stored = len(names_stored)
    names = "current", str(folder / "new.yaml")
    started = time.process_time()
    found = await compare_on_history(settings, names, f"{days}d", _iso(UNTIL_MS), None)
    data = to_data(found.diff)
    return {
        "points": stored,
        "days": days,
        "readings": found.readings,
        "alarms": [len(run) for run in found.runs],
        "changes": len(data["changes"]),
        "seconds": round(found.took_s, 1),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def _refused(rows: Any, why: str) -> None:
    raise ValueError(f"{rows[0]}: {why}")


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.lab", description="Compare rules on a station's history.")
    parser.add_argument("--days", type=int, default=90, help="length of the history (default %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weizhan-lab-") as folder:
        print(json.dumps(asyncio.run(measure(Path(folder), given.days)), indent=1))


if __name__ == "__main__":
    main()
