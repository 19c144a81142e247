"""A duty board left open: hours of events sent faster than life, and what becomes of the page's memory.

A real gateway, the web process as a process of its own, and Chromium with one page that nobody touches. Every minute of
the story brings values, every ten minutes two alarms that are noted, ticked, acknowledged and over, every hour a
drill. Memory is read after the browser collected what is no longer used: heap of the scripts, nodes of the
document and listeners, each time when no alarm of the story stands, so that what grows is not what is shown; and their
slope over the second half.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import CDPSession, Page, async_playwright

from bench.web_station import SignedIn, WebStation, web_station
from contract.errors import StartError
from contract.messages import Reading
from gateway.control.client import ControlError
from gateway.control.protocol import AlarmView, Ask

CHROMIUM = Path("/usr/bin/chromium")
DEVICES = 160
"""More than alarms in a day: one that comes again and again is held as flapping, and lasts."""
RULES = ("hydrant-cap-open", "hydrant-knocked")
MINUTE_S = 60.0
SAMPLES = 16
CALM_S = 60.0
SETTLED_S = 2.5
"""What is on its way is drawn."""
BOUNDS = {"heap_mib_day": 1.0, "nodes_day": 500.0, "listeners_day": 50.0}
"""Growth a day of events beyond which something is kept that ought to go."""


class Sample(NamedTuple):
    """Memory of the page. hours: of the story so far. elements: those that stand in the document."""

    hours: float
    heap_mib: float
    nodes: int
    listeners: int
    elements: int


class Story:
    """What happens, minute by minute."""

    def __init__(self, station: WebStation) -> None:
        self._station = station
        self._chance = random.Random(1)
        self._agent = next(iter(station.plan.device_ids))
        self._ids = station.plan.device_ids[self._agent]
        self._drill: int | None = None
        self.alarms = self.minutes = 0

    async def minute(self) -> None:
        """One minute of it."""
        n, self.minutes = self.minutes, self.minutes + 1
        now_ms = time.time_ns() // 1_000_000
        chosen = self._chance.sample(self._ids, 10)
        values = [Reading(f"{one}/pressure_kpa", now_ms, self._chance.uniform(270, 290)) for one in chosen]
        await self._station.say(self._agent, values)
        device = self._ids[n // 10 % len(self._ids)]
        if n % 10 == 3:
            await self._station.say(self._agent, [Reading(f"{device}/cap_open", now_ms, True)], "alarm")
            await self._station.say(self._agent, [Reading(f"{device}/impact", now_ms, True)], "alarm")
        if n % 10 == 5:
            await self.handle_all()
        if n % 10 == 7:
            await self._station.say(self._agent, [Reading(f"{device}/cap_open", now_ms, False)], "alarm")
            await self._station.say(self._agent, [Reading(f"{device}/impact", now_ms, False)], "alarm")
        if n % 60 == 30:
            until_ms = now_ms + 3_600_000
            args = {"site": self._station.plan.site, "scope": [device], "until_ms": until_ms, "reason": "soak"}
            opened = await self._ask("drill.open", **args)
            self._drill = None if opened is None else int(opened["id"])
        if n % 60 == 36 and self._drill is not None:
            await self._ask("drill.close", id=self._drill)

    async def handle_all(self) -> None:
        """The duty desk does what there is to be done."""
        for alarm in self._open():
            await self._handle(alarm)

    def is_open(self) -> bool:
        """Whether an alarm of the story stands; that the broker is away, which is not run here, stands all the time."""
        open_alarms = self._station.gateway.pipeline.working.book.open.values()
        return any(alarm.rule in RULES for alarm in open_alarms)

    def _open(self) -> list[AlarmView]:
        return [a for a in self._station.gateway.pipeline.working.book.open.values() if a.acknowledged_ms is None]

    async def _handle(self, alarm: AlarmView) -> None:
        self.alarms += 1
        await self._ask("alarm.note", alarm_id=alarm.id, note="soak")
        await self._ask("advice.tick", alarm_id=alarm.id, step=0)
        await self._ask("alarm.acknowledge", alarm_id=alarm.id)

    async def _ask(self, op: str, **args: Any) -> Any:
        with contextlib.suppress(ControlError):  # somebody was faster, or it is over
            return await self._station.gateway.pipeline.ask(Ask(id=1, op=op, actor="duty", args=args))
        return None


async def soak(hours: float, pace: float, path: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Leave the page open through the hours. Raises StartError where there is no Chromium."""
    if not await asyncio.to_thread(CHROMIUM.exists):
        raise StartError(f"{CHROMIUM}: not there. Install Debian's package chromium.")
    with tempfile.TemporaryDirectory(prefix="weizhan-soak-") as folder:
        async with web_station(Path(folder), DEVICES, agents=1) as station:
            await station.fill()
            person = await station.sign_in("duty")
            async with _page(station, person, path) as (page, session):
                return await _watch(station, page, session, hours, pace, say)


@asynccontextmanager
async def _page(station: WebStation, person: SignedIn, path: str) -> AsyncIterator[tuple[Page, CDPSession]]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            context = await browser.new_context(viewport={"width": 1920, "height": 1080})
            cookies: list[Any] = [{"name": k, "value": v, "url": station.address} for k, v in person.cookies.items()]
            await context.add_cookies(cookies)
            page = await context.new_page()
            await page.goto(station.address + path)
            await page.wait_for_selector("#live")
            session = await context.new_cdp_session(page)
            await session.send("Performance.enable")
            yield page, session
        finally:
            await browser.close()


async def _watch(
    station: WebStation, page: Page, session: CDPSession, hours: float, pace: float, say: Callable[[str], None]
) -> dict[str, Any]:
    story, errors, draws = Story(station), [], 0

    def count(_: Any) -> None:
        nonlocal draws
        draws += 1

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", count)
    await page.evaluate("window.same = true")
    minutes = max(SAMPLES, math.ceil(hours * 60))
    every, samples = max(10, minutes // SAMPLES // 10 * 10), []  # between two alarms
    began_s = next_s = time.monotonic()
    for n in range(minutes):
        await story.minute()
        next_s = max(next_s + MINUTE_S / pace, time.monotonic() - MINUTE_S / pace)
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        if n % every == every - 1:
            await _calm(story)
            samples.append(await _sample(page, session, (n + 1) / 60))
            say(f"{samples[-1]}")
    took_s = time.monotonic() - began_s
    settled = comparable(samples)
    slopes = {
        "heap_mib_day": round(slope([(s.hours, s.heap_mib) for s in settled]) * 24, 3),
        "nodes_day": round(slope([(s.hours, s.nodes) for s in settled]) * 24, 1),
        "listeners_day": round(slope([(s.hours, s.listeners) for s in settled]) * 24, 1),
    }
    shown = await page.locator(".alarm[data-alarm]").count()
    same = await page.evaluate("window.same === true")
    passed = not errors and same and all(slopes[name] <= most for name, most in BOUNDS.items())
    return {
        "hours": minutes / 60, "seconds": round(took_s, 1), "path": page.url.removeprefix(station.address),
        "alarms": story.alarms, "requests": draws, "first": settled[0]._asdict(), "last": settled[-1]._asdict(),
        "slopes": slopes, "alarms_shown": shown, "errors": errors[:5], "loaded_once": same, "passed": passed,
    }  # fmt: skip


async def _calm(story: Story) -> None:
    """What was told is over and drawn; a wait, because rules want some seconds to call it over."""
    async with asyncio.timeout(CALM_S):
        while story.is_open():
            await story.handle_all()
            await asyncio.sleep(0.25)
    await asyncio.sleep(SETTLED_S)


async def _sample(page: Page, session: CDPSession, hours: float) -> Sample:
    for _ in range(2):  # what refers to each other in rounds goes with the second
        await session.send("HeapProfiler.collectGarbage")
    found = {row["name"]: row["value"] for row in (await session.send("Performance.getMetrics"))["metrics"]}
    elements = await page.evaluate("document.querySelectorAll('*').length")
    heap_mib = round(found["JSHeapUsedSize"] / 2**20, 3)
    return Sample(round(hours, 2), heap_mib, int(found["Nodes"]), int(found["JSEventListeners"]), elements)


def slope(points: list[tuple[float, float]]) -> float:
    """Growth of y for one x: the median of all pairs, which one untidy sample does not move; 0 for fewer than two."""
    pairs = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2)]
    return statistics.median(pairs) if pairs else 0.0


def comparable(samples: list[Sample]) -> list[Sample]:
    """Those of the second half that show the same number of elements: what a page shows more is no leak."""
    half = samples[len(samples) // 2 :]
    usual = statistics.mode(sample.elements for sample in half)
    return [sample for sample in half if sample.elements == usual]


def campaign(hours: float, pace: float, path: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure; `passed` when nothing grows beyond its bound, no script failed and the page never had to load anew."""
    return asyncio.run(soak(hours, pace, path, say))


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    first, last, slopes = found["first"], found["last"], found["slopes"]
    return "\n".join(
        [
            f"| {found['hours']:g} h of events in {found['seconds']:g} s, {found['alarms']} alarms "
            "| half way | at the end | growth a day |",
            "|---|---|---|---|",
            f"| JS heap, MiB | {first['heap_mib']} | {last['heap_mib']} | {slopes['heap_mib_day']} |",
            f"| DOM nodes | {first['nodes']} | {last['nodes']} | {slopes['nodes_day']} |",
            f"| listeners | {first['listeners']} | {last['listeners']} | {slopes['listeners_day']} |",
            "",
            f"{found['requests']} requests, {len(found['errors'])} script errors, "
            f"{'passed' if found['passed'] else 'NOT PASSED'}.",
        ]
    )
