"""Pages of a station of thousands of devices while readings come in: time to answer, and until Chromium can be used."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench.web_station import SignedIn, WebStation, percentile, web_station
from contract.messages import Reading

BOUND_MS = 100.0
BOUND_USABLE_MS = 1000.0
CHROMIUM = "/usr/bin/chromium"


async def measure(
    devices: int, rounds: int, readings_per_s: int, papers: tuple[int, int], say: Callable[[str], None]
) -> dict[str, Any]:
    """Every page `rounds` times, in turn. papers: work orders and hazards, and how many of each are open."""
    with tempfile.TemporaryDirectory(prefix="weizhan-pages-") as folder:
        async with web_station(Path(folder), devices, papers=papers) as station:
            await station.fill()
            points = sum(map(len, station.plan.device_ids.values())) * (len(station.plan.points) + 1)
            say(f"{devices} devices, {points} points")
            duty = await station.sign_in("duty")
            feeding = asyncio.create_task(feed(station, readings_per_s), name="bench-readings")
            try:
                times = await _ask(station, duty, rounds)
                usable = await asyncio.to_thread(_open, station.address, duty)
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
    found: dict[str, Any] = {
        path: {"p50_ms": round(percentile(ms, 0.5), 1), "p99_ms": round(percentile(ms, 0.99), 1)}
        for path, ms in times.items()
    }
    worst = max(row["p99_ms"] for row in found.values())
    in_time = worst <= BOUND_MS and (usable is None or usable <= BOUND_USABLE_MS)
    return {
        "papers": papers, "devices": devices, "points": points, "readings_per_s": readings_per_s, "pages": found,
        "board_usable_ms": usable, "passed": in_time,
    }  # fmt: skip


async def feed(station: WebStation, readings_per_s: int) -> None:
    """Readings of a day, until cancelled."""
    chance = random.Random(1)
    agents = list(station.plan.device_ids)
    while True:
        agent = chance.choice(agents)
        ids = chance.sample(station.plan.device_ids[agent], max(1, readings_per_s // 10))
        now_ms = time.time_ns() // 1_000_000
        await station.say(agent, [Reading(f"{one}/pressure_kpa", now_ms, chance.uniform(270, 290)) for one in ids])
        await asyncio.sleep(0.1)


async def _ask(station: WebStation, person: SignedIn, rounds: int) -> dict[str, list[float]]:
    pages = -(-sum(map(len, station.plan.device_ids.values())) // 60)
    chance = random.Random(2)
    times: dict[str, list[float]] = {}
    async with httpx.AsyncClient(base_url=station.address, cookies=person.cookies, timeout=60) as client:
        for path in ("/", "/devices", "/devices?q=00042", "/api/v1/devices?limit=100", "/api/v1/status"):
            (await client.get(path)).raise_for_status()  # the first makes every row
        for _ in range(rounds):
            for name, path in (
                ("board", "/"),
                ("list of devices", f"/devices?n={chance.randint(1, pages)}"),
                ("search in the list", f"/devices?q={chance.randint(1, 5000):05d}"),
                ("API, 100 devices", "/api/v1/devices?limit=100"),
                ("work orders", f"/upkeep/orders?page={chance.randint(1, 50)}"),
                ("closed work orders", "/upkeep/orders?show=closed"),
                ("hazards", f"/hazards?page={chance.randint(1, 50)}"),
                ("closed hazards", "/hazards?show=closed"),
                ("API, 100 work orders", "/api/v1/orders?limit=100"),
                ("API, 100 hazards", "/api/v1/hazards?limit=100"),
                ("API, all hazards", "/api/v1/hazards?show=all&limit=100"),
            ):
                begun_s = time.perf_counter()
                (await client.get(path)).raise_for_status()
                times.setdefault(name, []).append((time.perf_counter() - begun_s) * 1000)
    return times


def _open(address: str, person: SignedIn) -> float | None:
    """Until the board is drawn and its scripts run, ms, the median of five; None without Chromium here."""
    if not Path(CHROMIUM).exists():
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1920, "height": 1080})
        context.add_cookies([{"name": k, "value": v, "url": address} for k, v in person.cookies.items()])
        taken = []
        for _ in range(5):
            tab = context.new_page()
            begun_s = time.perf_counter()
            tab.goto(address, wait_until="load")
            tab.locator(".count.ct-good b").wait_for()
            taken.append((time.perf_counter() - begun_s) * 1000)
            tab.close()
        browser.close()
    return round(percentile(taken, 0.5), 0)


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    lines = [
        f"| {found['devices']} devices, {found['points']} points, {found['readings_per_s']} readings a second, "
        f"{found['papers'][0]} work orders and hazards each, {found['papers'][1]} open "
        "| median | 99th percentile | want |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name}, ms | {row['p50_ms']} | {row['p99_ms']} | ≤ {BOUND_MS:g} |" for name, row in found["pages"].items()
    ]
    lines.append(f"| board usable in Chromium, ms | {found['board_usable_ms']} | | ≤ {BOUND_USABLE_MS:g} |")
    return "\n".join(lines)
