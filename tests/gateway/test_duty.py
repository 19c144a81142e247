"""Duty checks of a monitoring centre: to the post and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlError
from gateway.control.protocol import Ask
from tests.gateway.harness import START_MS, Bench, Clock, open_bench, until

MINUTE_MS = 60_000


async def ask(bench: Bench, op: str, actor: str = "wang", **args: Any) -> Any:
    """A command and its result."""
    return await bench.pipeline.ask(Ask(id=1, op=op, actor=actor, args=args))  # type: ignore[arg-type] # one of its ops


async def check(bench: Bench, minutes: int = 5) -> int:
    """The number of a check by the centre `city`."""
    made = await ask(bench, "duty.ask", "centre/city", site="shuiye", origin="centre/city", minutes=minutes)
    return int(made["id"])


async def waiting(bench: Bench) -> list[tuple[str, int, int]]:
    """What the centre is to be told: (centre, urgency, type)."""
    return await bench.store.run(
        lambda connection: connection.execute("SELECT centre, urgency, type FROM upward ORDER BY id").fetchall()
    )


async def test_the_centre_is_told_when_a_check_is_answered_in_time(tmp_path: Path) -> None:
    """The answer stands in the centre's outbox in the same transaction, behind fires only."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        number = await check(bench)
        clock.now_ms += 4 * MINUTE_MS
        answered = await ask(bench, "duty.answer", id=number)
        assert (answered["state"], answered["answered_by"]) == ("answered", "wang")
        assert await waiting(bench) == [("city", 1, 24)]
        with pytest.raises(ControlError, match="answered already"):
            await ask(bench, "duty.answer", id=number)
        assert await waiting(bench) == [("city", 1, 24)]


async def test_a_check_is_unanswered_at_its_time_and_late_when_somebody_answers_afterwards(tmp_path: Path) -> None:
    """Also over a restart of the gateway; the centre still gets the late answer."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        number = await check(bench, minutes=2)
    async with open_bench(tmp_path, clock) as bench:
        assert [c.state for c in bench.pipeline.working.duty.shown.values()] == ["open"]
        clock.now_ms += 2 * MINUTE_MS
        await until(lambda: [c.state for c in bench.pipeline.working.duty.shown.values()] == ["unanswered"])
        clock.now_ms += MINUTE_MS
        assert (await ask(bench, "duty.answer", id=number))["state"] == "late"
        assert await waiting(bench) == [("city", 1, 24)]
        assert bench.pipeline.working.duty.shown == {}


async def test_asking_again_moves_the_time_when_a_check_is_open(tmp_path: Path) -> None:
    """A centre that repeats its order is one question, not two."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        first = await check(bench, minutes=2)
        clock.now_ms += MINUTE_MS
        assert await check(bench, minutes=3) == first
        (open_check,) = bench.pipeline.working.duty.shown.values()
        assert open_check.until_ms == START_MS + 4 * MINUTE_MS


async def test_a_wrong_check_is_refused_when_it_is_asked(tmp_path: Path) -> None:
    """Unknown site, no minutes, unknown number."""
    async with open_bench(tmp_path) as bench:
        for args in ({"site": "nowhere", "origin": "centre/x", "minutes": 5}, {"site": "shuiye", "origin": "x"}):
            with pytest.raises(ControlError):
                await ask(bench, "duty.ask", **args)
        with pytest.raises(ControlError, match="no such check"):
            await ask(bench, "duty.answer", id=9)
        assert await waiting(bench) == []
