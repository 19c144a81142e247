"""A wall clock that is set is noticed, and what waits has waited as long as before."""

from __future__ import annotations

import pytest

from gateway.clock_steps import STEP_MS, ClockSteps
from gateway.ingest.door import Arrival
from gateway.ingest.lane import Intake

START_MS = 1_760_000_000_000


class Clocks:
    """A wall clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.passed_s = 1000.0
        self.set_ms = 0

    def wall(self) -> int:
        return START_MS + round(self.passed_s * 1000) + self.set_ms

    def steady(self) -> float:
        return self.passed_s


@pytest.mark.parametrize("by_ms", [STEP_MS, -STEP_MS, 3_600_000, -86_400_000])
def test_step_is_told_once_when_the_clock_is_set(by_ms: int) -> None:
    """By how much, whatever passed meanwhile; what is drawn right slowly is no step."""
    clocks = Clocks()
    steps = ClockSteps(clocks.wall, clocks.steady)
    clocks.passed_s += 7.5
    assert steps.take() == 0
    clocks.passed_s += 0.5
    clocks.set_ms += by_ms
    assert steps.take() == by_ms
    for _ in range(10):
        clocks.passed_s += 10
        clocks.set_ms += STEP_MS // 2
        assert steps.take() == 0


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
def test_message_has_waited_as_long_as_before_when_the_clock_is_set(by_ms: int) -> None:
    """Those received before the step are moved with it, wherever they wait; those after it are right already."""
    clocks = Clocks()
    intake = Intake(10, 1_000_000, ClockSteps(clocks.wall, clocks.steady))
    for topic in ("weizhan/v1/s/a/alarm", "weizhan/v1/s/a/telemetry", "weizhan/v1/s/a/state"):
        assert intake.put(Arrival(topic, b"{}", clocks.wall()))
    intake.again = intake.take(1)
    clocks.passed_s += 2
    clocks.set_ms += by_ms
    assert intake.put(Arrival("weizhan/v1/s/a/alarm", b"{}", clocks.wall()))
    now_ms = clocks.wall()
    assert intake.waiting_since(now_ms) == now_ms - 2000
    waited = [now_ms - intake.by_clock(arrival).received_ms for arrival in intake.take(10)]
    assert waited == [2000, 2000, 0, 2000]
