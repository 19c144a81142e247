"""The campaigns of `python -m bench lines`, short, on a virtual clock: what no line may ever do."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from bench.lines import steady, wrong
from bench.lines.virtual import run_virtual


@pytest.fixture(autouse=True)
def quiet_pymodbus() -> Iterator[None]:
    """Pymodbus reports every unanswered request as an error; there are thousands."""
    logger = logging.getLogger("pymodbus")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("in_order", [True, False])
def test_no_value_is_wrong_when_answers_come_late(in_order: bool) -> None:
    """Late answers, one after the other or in any order, are never taken for others; good ones count again after."""
    found = run_virtual(wrong.late_answers(1500, in_order=in_order))
    assert found["late"] == 1500
    assert found["wrong"] == 0
    assert found["right"] > 50
    assert found["right_of_200_after"] >= 190


def test_no_alarm_edge_comes_of_noise() -> None:
    """Noise before, after and instead of answers changes no contact; the line still reads."""
    found = run_virtual(wrong.noise_frames(3000))
    assert found["frames"] == 3000
    assert found["alarm_edges"] == 0
    assert found["reads"] > 500


def test_no_frame_is_taken_when_it_is_corrupted_or_foreign() -> None:
    """Every one of 900 spoilt answers is refused."""
    found = run_virtual(wrong.bad_frames(900))
    assert found["refused_reads"] == 900
    assert found["taken"] == 0
    assert len(found["kinds"]) == 7


def test_a_line_comes_back_when_it_is_unplugged_over_and_over() -> None:
    """Each new terminal behind the name is opened within seconds; no descriptor is left."""
    found = run_virtual(steady.unplug(15), 0.002)
    assert found["reopened"] >= 15
    assert found["back_after_s_max"] <= 5
    assert found["leaked_descriptors"] == 0


@pytest.mark.parametrize("period_s", [10.0, 2.0])
def test_the_living_keep_their_period_when_half_of_the_units_die(period_s: float) -> None:
    """Periods of the healthy at p99 within 1.2 of nominal; the dead shown without data within three periods."""
    found = run_virtual(steady.half_dead(period_s, healthy_s=3 * period_s, dead_s=600.0))
    assert found["healthy_p50"] == 1.0
    assert found["healthy_p99"] <= 1.2
    assert found["no_data_after_periods_max"] <= 3
    assert found["dead_share"] <= 0.13


def test_a_cycle_takes_what_the_wire_needs() -> None:
    """32 units of two blocks at 9600 baud: within a tenth of frames, gaps and turnaround."""
    found = run_virtual(steady.cycle_time(2, terminal=False))
    assert found["errors"] == {}
    assert found["ratio"] <= 1.02
