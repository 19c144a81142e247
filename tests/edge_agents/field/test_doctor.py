"""Diagnoses against lines whose truth is known, in virtual time."""

from __future__ import annotations

import statistics
import struct
from collections.abc import Mapping
from typing import Any

import pytest

from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed
from edge_agents.field.doctor import Diagnosis, Observed, diagnose
from edge_agents.field.examine import Probe, examine
from edge_agents.field.frames import read_request, tell_apart
from edge_agents.field.wire import Chunk, Exchange
from tests.edge_agents.field.simulated_wire import SimulatedWire, Spread, frame

BLOCK = Block(3, 0, 7)
SLOW = Speed(9600)


def uniform(low_s: float, high_s: float) -> Spread:
    """Thinks that long, evenly spread."""
    return lambda random: random.uniform(low_s, high_s)


def sometimes(share: float, slow_s: float, fast_s: float) -> Spread:
    """Mostly fast, now and then slow."""
    return lambda random: slow_s if random.random() < share else fast_s


async def see(
    units: Mapping[int, Spread], *, ask: range = range(1, 6), timeout_s: float = 0.5, speed: Speed = SLOW, **line: Any
) -> tuple[Diagnosis, SimulatedWire]:
    """The diagnosis of a simulated line, and the line."""
    wire = SimulatedWire(units, speed, **line)
    probes = [Probe(unit, (BLOCK,)) for unit in ask]
    return diagnose(await examine(wire, speed, probes, timeout_s=timeout_s)), wire


def within(share: float, got: float | None, want: float) -> bool:
    """Whether got is so near to want."""
    assert got is not None
    return abs(got - want) <= share * want


@pytest.mark.parametrize("speed", [Speed(2400), Speed(9600, "E"), Speed(115200)], ids=str)
@pytest.mark.parametrize(
    "spread", [uniform(0.03, 0.06), uniform(0.2, 0.45), sometimes(0.05, 0.3, 0.02)], ids=["fast", "slow", "uneven"]
)
async def test_advice_is_within_a_tenth_when_the_answer_times_are_known(spread: Spread, speed: Speed) -> None:
    """Timeout and capacity follow from the true times the units thought, within 10 %."""
    found, wire = await see(dict.fromkeys(range(1, 6), spread), timeout_s=1.0, speed=speed)
    wire_s = (8 + 19) * speed.char_s
    worst_s, mean_s = max(wire.thinking_s), statistics.fmean(wire.thinking_s)
    assert within(0.10, found.advised_timeout_s, worst_s + max(worst_s / 2, 0.02) + wire_s)
    assert within(0.10, found.units_carried, 10 / (wire_s + mean_s + speed.silence_s))
    assert found.advised_gap_ms == pytest.approx(speed.silence_s * 1000, abs=0.01)
    assert found.findings == []
    assert sum(row.count for row in found.histogram) == 150


@pytest.mark.parametrize("gap_s", [0.009, 0.03, 0.08])
async def test_advised_gap_is_within_a_tenth_when_units_need_more_silence(gap_s: float) -> None:
    """The shortest silence a unit bears is found by trying."""
    found, _ = await see({1: uniform(0.02, 0.03)}, ask=range(1, 2), needs_gap_s=gap_s)
    assert within(0.10, found.advised_gap_ms, gap_s * 1000)
    assert any(text.startswith("gap: got") for text in found.findings)
    assert within(0.10, found.units_carried, 10 / (27 * SLOW.char_s + 0.025 + gap_s))


async def test_echo_is_counted_when_the_adapter_hears_itself() -> None:
    """Every request comes back; the answers are still measured right."""
    found, wire = await see({1: uniform(0.02, 0.04)}, ask=range(1, 2), echo=True)
    assert (found.counts.echoes, found.counts.answered, found.counts.foreign_frames) == (30, 30, 0)
    assert found.turnaround is not None
    assert found.turnaround.worst == pytest.approx(max(wire.thinking_s[:30]) * 1000, rel=0.01)
    assert [text.split(":")[0] for text in found.findings] == ["echo"]


async def test_crc_errors_are_counted_when_answers_are_damaged() -> None:
    """Each damaged answer is one CRC error, none is an answer or a timeout."""
    found, wire = await see({1: uniform(0.02, 0.04), 2: uniform(0.02, 0.04)}, ask=range(1, 3), damaged=0.2)
    assert 0 < found.counts.crc_errors <= wire.sent_damaged
    assert found.counts.crc_errors + found.counts.answered == 60
    assert found.counts.timeouts == 0
    assert [text.split(":")[0] for text in found.findings] == ["noise"]


async def test_stray_bytes_are_noise_when_they_stand_before_an_answer() -> None:
    """Bytes of a floating line are counted and do not hide the answers behind them."""
    found, _ = await see({1: uniform(0.02, 0.04)}, ask=range(1, 2), noise=0.3)
    assert found.counts.answered == 30
    assert found.counts.noise_bytes > 0
    assert found.counts.crc_errors == 0


async def test_another_master_is_named_when_it_asks_on_the_line() -> None:
    """Its requests and the answers it gets are foreign, whether we ask or only listen."""
    wire = SimulatedWire({1: uniform(0.02, 0.04)}, SLOW, foreign_s=0.4)
    seen = await examine(wire, SLOW, [Probe(1, (BLOCK,)), Probe(2, (BLOCK,))], timeout_s=0.5)
    found = diagnose(seen)
    assert within(0.10, found.counts.foreign_frames, 2 * (seen.exchanges[-1].end_s - wire.BEGIN_S) / 0.4)
    assert found.foreign_units == [77]
    assert any("foreign master" in text and "units 77" in text for text in found.findings)


async def test_late_answers_are_counted_when_the_timeout_is_short() -> None:
    """Answers after the timeout are late, and the advice is to wait longer."""
    found, wire = await see({1: uniform(0.1, 0.4)}, ask=range(1, 2), timeout_s=0.25)
    late = sum(27 * SLOW.char_s + s > 0.25 for s in wire.thinking_s[:30])
    assert found.counts.late_answers == late
    assert found.counts.timeouts == late
    assert any(f"Set timeout_s to {found.advised_timeout_s:g}" in text for text in found.findings)


async def test_very_late_answers_are_measured_when_they_pass_the_usual_wait() -> None:
    """A unit that takes longer than a second is late every time, and its true time is advised."""
    found, wire = await see({1: uniform(1.2, 1.9)}, ask=range(1, 2), timeout_s=0.3)
    assert (found.counts.late_answers, found.counts.answered) == (30, 0)
    assert within(0.10, found.advised_timeout_s, 1.5 * max(wire.thinking_s[:30]) + 27 * SLOW.char_s)


def test_an_answer_is_of_the_older_request_when_it_comes_too_soon() -> None:
    """No unit can answer before it has the whole request: such an answer was owed already."""
    answer = frame(bytes((1, 3, 14)) + bytes(14))
    first = Exchange(1, BLOCK, 0.0, 1.0, ())
    second = Exchange(1, BLOCK, 1.0, 2.0, (Chunk(1.005, answer),))
    counts = diagnose(Observed(SLOW, 0.5, (first, second))).counts
    assert (counts.late_answers, counts.answered, counts.timeouts) == (1, 0, 2)


async def test_a_late_answer_is_known_when_it_comes_during_another_request() -> None:
    """An answer of unit 1 that comes while unit 2 is asked is late, not foreign."""
    found, _ = await see({1: uniform(1.05, 1.06), 2: uniform(0.2, 0.3)}, ask=range(1, 3), timeout_s=0.4)
    assert found.counts.late_answers >= 3
    assert found.counts.foreign_frames == 0


async def test_dead_units_are_named_when_others_answer() -> None:
    """They are given up after three requests and do not spoil the figures of the living."""
    found, _ = await see({2: uniform(0.02, 0.03), 4: uniform(0.02, 0.03)})
    assert [(unit.unit_id, unit.asked, unit.answered) for unit in found.units] == [
        (1, 3, 0), (2, 30, 30), (3, 3, 0), (4, 30, 30), (5, 3, 0)
    ]  # fmt: skip
    assert found.findings[0].startswith("units 1, 3, 5: got no answer")
    assert within(0.10, found.units_carried, 10 / (27 * SLOW.char_s + 0.025 + SLOW.silence_s))


async def test_nothing_is_advised_when_nothing_answers() -> None:
    """No figures are made up; the text says what to check."""
    found, _ = await see({})
    assert (found.turnaround, found.advised_timeout_s, found.units_carried, found.histogram) == (None, None, None, [])
    assert "got no answer at 9600 baud 8N1" in found.findings[0]


def test_frames_are_told_apart_when_glued_and_split_by_noise() -> None:
    """Echo, noise, an exception of another unit and the answer, in one run of bytes."""
    answer = frame(bytes((1, 3, 14)) + bytes(14))
    data = read_request(1, BLOCK) + b"\x00" + frame(b"\x02\x83\x02") + answer
    assert [piece.kind for piece in tell_apart(data, 1, BLOCK)] == ["echo", "noise", "other", "answer"]
    assert [piece.kind for piece in tell_apart(answer[:-1] + b"\x00", 1, BLOCK)] == ["damaged"]
    write = frame(struct.pack(">BBHHBH", 9, 16, 0, 1, 2, 7))
    assert [piece.kind for piece in tell_apart(write, 1, BLOCK)] == ["request"]


@pytest.mark.parametrize("function", [0, 5, 6, 8, 15, 16, 22, 23, 43])
def test_nothing_but_reads_can_be_sent_when_a_request_is_built(function: int) -> None:
    """Monitor only: every other function is refused before a byte is made."""
    with pytest.raises(ValueError, match=r"want 1\.\.4"):
        read_request(1, Block(function, 0, 1))
