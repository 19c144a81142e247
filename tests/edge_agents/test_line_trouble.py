"""A polled line in trouble, on a simulated bus and a virtual clock: partial results, half-open connections, health."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from bench.lines.bus import Bus, BusServer, Question, Sent
from bench.lines.rig import polling, profile_of, server_line
from bench.lines.virtual import run_virtual
from contract.messages import Reading


def last(readings: list[Reading], point: str) -> tuple[Any, str] | None:
    """What was last said of a point."""
    said = [(reading.value, reading.quality) for reading in readings if reading.point == point]
    return said[-1] if said else None


def test_one_dead_block_does_not_take_the_others_with_it() -> None:
    """A block that is never answered becomes unknown; the rest of the device stays good and online."""

    def fault(question: Question, answer: bytes) -> list[Sent]:
        return [] if question.address >= 200 else [Sent(answer)]

    async def story() -> list[Reading]:
        bus = Bus(9600, fault=fault)
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port), profile_of(2, 4), 2, 2.0) as (line, readings),
        ):
            await asyncio.sleep(60)
            assert line.frames.lost_s <= 0.2 * 60
        return readings

    readings = run_virtual(story())
    assert last(readings, "u1/b0r0") == (float(7919 + 17), "good")
    assert last(readings, "u1/b1r0") == (None, "unknown:no_answer")
    assert last(readings, "u1/online") == (True, "good")


def test_a_slow_unit_finds_its_way_back_when_its_profile_promises_more() -> None:
    """Slower than the worst answer time of its profile, quicker than the timeout: after a silence it is read again."""

    async def story() -> list[Reading]:
        bus = Bus(9600, turnaround_s=0.4)
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port, 0.6), profile_of(1, 4), 1, 2.0) as (_, readings),
        ):
            await asyncio.sleep(10)
            bus.alive.clear()
            await asyncio.sleep(30)
            assert last(readings, "u1/online") == (False, "good")
            bus.alive.add(1)
            await asyncio.sleep(200)
        return readings

    assert last(run_virtual(story()), "u1/online") == (True, "good")


def test_a_connection_is_opened_again_when_nothing_is_heard_on_it() -> None:
    """A half-open connection: a peer that went away without a word is left within ten seconds."""

    async def story() -> tuple[int, list[Reading]]:
        bus = Bus(9600)
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port), profile_of(1, 4), 4, 1.0) as (line, readings),
        ):
            await asyncio.sleep(5)
            gone, server.bus = server.bus, Bus(9600, alive=set())
            await asyncio.sleep(15)
            opened = line.counters.opened
            server.bus = gone
            await asyncio.sleep(90)
        return opened, readings

    opened, readings = run_virtual(story())
    assert opened >= 2
    assert last(readings, "u1/online") == (True, "good")
    assert (None, "unknown:line") in [(r.value, r.quality) for r in readings if r.point == "u1/online"]


def test_points_are_unknown_when_connections_are_taken_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that hangs up at once is a line that is down: said once, and once when it is back."""

    async def story() -> list[Reading]:
        bus = Bus(9600)
        caplog.set_level(logging.INFO, logger="edge_agents.bus.line")
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port), profile_of(1, 4), 2, 1.0) as (_, readings),
        ):
            await asyncio.sleep(5)
            loop = asyncio.get_running_loop()
            until_s = loop.time() + 60
            while loop.time() < until_s:
                for transport in list(server.connections):
                    transport.abort()
                await asyncio.sleep(0.001)
            assert last(readings, "u1/b0r0") == (None, "unknown:line")
            await asyncio.sleep(20)
        return readings

    readings = run_virtual(story())
    assert last(readings, "u1/b0r0") == (float(7919 + 17), "good")
    said = [record.getMessage() for record in caplog.records if record.name == "edge_agents.bus.line"]
    assert [text for text in said if "closed before any answer" in text] == said[:1]
    assert said[1:] == ["line rtu: open again"]


def test_health_is_reported_once_a_minute_and_only_when_it_moves() -> None:
    """Answer times, errors, share of the line and drift are telemetry; figures that stand still are not repeated."""

    async def story() -> list[Reading]:
        bus = Bus(9600)
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port), profile_of(1, 10), 4, 2.0) as (line, readings),
        ):
            await asyncio.sleep(400)
            bus.alive.discard(2)
            await asyncio.sleep(200)
            status: Any = line.status()
            assert status["devices"]["u2"]["breaker"] == "open"
            assert status["devices"]["u1"]["breaker"] == "closed"
        return readings

    readings = run_virtual(story())
    answer = [r for r in readings if r.point == "u1/response_ms"]
    assert len(answer) == 1
    assert 20 < float(answer[0].value or 0) < 80
    assert last(readings, "u2/response_ms") == (None, "unknown:no_answer")
    errors = last(readings, "u2/errors_count")
    assert errors is not None
    assert errors[0] >= 3
    kinds = last(readings, "u2/errors")
    assert kinds is not None
    assert str(kinds[0]).startswith("no_answer ")
    assert last(readings, "u1/errors") == ("", "good")
    silent = last(readings, "u2/last_answer_s")
    assert silent is not None
    assert 120 <= float(silent[0]) <= 200
    heard = last(readings, "u1/last_answer_s")
    assert heard is not None
    assert float(heard[0]) < 10
    busy = last(readings, "line-rtu/busy_pct")
    assert busy is not None
    assert 3 < busy[0] < 25
    failed = [r.value for r in readings if r.point == "line-rtu/failed_pct"]
    assert failed[0] == 0
    assert 0 < float(failed[-1] or 0) < 60
    timeouts = last(readings, "line-rtu/timeouts_count")
    assert timeouts is not None
    assert timeouts[0] >= 3
    assert last(readings, "line-rtu/drift_ms") is not None
    assert len({r.observed_ms for r in readings if r.point == "line-rtu/timeouts_count"}) >= 3
