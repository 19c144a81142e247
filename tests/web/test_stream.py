"""The event stream: alarms at once, a heartbeat, and nobody slow holds up the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from gateway.web.stream import QUEUE, Hub, frame
from gateway.web.stream_shares import Listener, Shares
from tests.web.station import Browser, Station, now_ms, serving


async def _events(browser: Browser, path: str = "/api/v1/stream") -> AsyncIterator[tuple[str, Any]]:
    async with browser.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])


async def _until(events: AsyncIterator[tuple[str, Any]], wanted: str) -> Any:
    async with asyncio.timeout(15):
        async for name, data in events:
            if name == wanted:
                return data
    raise AssertionError(f"the stream ended before {wanted}")


async def test_an_alarm_a_reading_and_a_heartbeat_arrive(station: Station) -> None:
    """Each with what a screen needs of it."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        events = _events(browser)
        assert (await _until(events, "heartbeat"))["connected"] is True
        station.read("hydrant-01/pressure_kpa", 151.0)
        rows = await _until(events, "reading")
        assert [row[0::2] for row in rows] == [["shuiye/hydrant-01/pressure_kpa", 151.0]]
        alarm_id = station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        alarm = await _until(events, "alarm")
        assert {k: alarm[k] for k in ("id", "rule", "subject", "severity", "state")} == {
            "id": alarm_id,
            "rule": "panel-fire",
            "subject": "shuiye/panel-01/p012",
            "severity": "fire",
            "state": "unacknowledged",
        }
        await events.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_a_stop_does_not_wait_for_open_streams(station: Station) -> None:
    """Screens are let go at once."""
    station.user("duty")
    async with station.gateway():
        async with serving(station) as address:
            browser = Browser(address)
            await browser.sign_in("duty")
            events = _events(browser)
            await _until(events, "heartbeat")
        async with asyncio.timeout(5):
            async for _ in events:
                pass
        await browser.aclose()


async def test_a_slow_screen_is_cut_off_and_the_others_miss_nothing() -> None:
    """Its queue is bounded; the 200 others get every alarm."""
    hub = Hub(Shares(201), now_ms)
    slow = hub.follow(None)
    await anext(slow)
    quick = [hub.follow("") for _ in range(200)]
    for screen in quick:
        await anext(screen)
    assert hub.refusal(Listener()) is not None
    got = [0] * len(quick)
    for n in range(QUEUE + 10):
        hub.publish("alarm", {"id": n})
        for index, screen in enumerate(quick):
            assert await anext(screen) == frame("alarm", {"id": n})
            got[index] += 1
    assert set(got) == {QUEUE + 10}
    assert (hub.screens, hub.dropped) == (200, 1)
    hub.close()
    for screen in [slow, *quick]:
        await screen.aclose()  # type: ignore[attr-defined]  # an async generator
    assert hub.screens == 0


async def test_readings_are_narrowed_to_the_device_a_screen_shows() -> None:
    """One device, all, or none; of each point only the last counts."""
    hub = Hub(Shares(10), now_ms)
    one, every, none = hub.follow("s/a"), hub.follow(None), hub.follow("")
    for screen in (one, every, none):
        await anext(screen)
    hub.publish("reading", [["s/a/x", 1, 1.0, "good"], ["s/ab/x", 1, 2.0, "good"]])
    hub.publish("reading", [["s/a/x", 2, 3.0, "good"]])
    hub._flush()
    hub.publish("alarm", {"id": 1})
    assert await anext(one) == frame("reading", [["s/a/x", 2, 3.0, "good"]])
    assert await anext(every) == frame("reading", [["s/a/x", 2, 3.0, "good"], ["s/ab/x", 1, 2.0, "good"]])
    assert await anext(none) == frame("alarm", {"id": 1})
    for screen in (one, every, none):
        await screen.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_a_screen_that_takes_nothing_is_let_go_when_its_time_is_up() -> None:
    """However little it is owed; one that takes what it gets stays."""
    hub = Hub(Shares(10), now_ms)
    hub.lag_s = 0.3
    stalled, lively = hub.follow(None), hub.follow(None)
    await anext(stalled)
    await anext(lively)
    running = asyncio.create_task(hub.run(), name="hub")
    try:
        async with asyncio.timeout(10):
            while hub.screens == 2:
                hub.publish("alarm", {"site": "shuiye"})
                await anext(lively)
        assert (hub.screens, hub.dropped) == (1, 1)
        hub.publish("alarm", {"site": "shuiye"})
        assert b"alarm" in await anext(lively)
        assert [chunk async for chunk in stalled] == []
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await lively.aclose()  # type: ignore[attr-defined]  # an async generator
