"""What is wrong with a serial line, from what was heard on it. Pure: `diagnose(observed) -> Diagnosis`.

Turnaround is a unit's own part: the time from the request's last character to the answer's last, less the time the
answer takes on the wire. Adapter latency counts as turnaround, because the agent has to wait for it as well.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from edge_agents.bus.rtu import REQUEST_BYTES
from edge_agents.field import advice
from edge_agents.field.capacity import BlockTime, Speed, units_carried
from edge_agents.field.frames import Piece, tell_apart
from edge_agents.field.wire import Chunk, Exchange

MARGIN = 0.5
"""The advised timeout leaves this share of the worst turnaround on top of it,"""
LEAST_MARGIN_S = 0.02
"""and at least this: a small computer may itself be late by so much."""
LEAST_TIMEOUT_S = 0.05
"""Less gains nothing: only a dead unit's wait would be shorter."""
BINS = 12


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of a line.

    listened_s, idle: time before the first request, and what was heard in it. least_gap_s: the shortest silence before
    a request at which units still answered; None when that was not tried or no silence helped.
    blocks_a_unit: reads of one poll of one unit. longest_answer_s: wire time of the longest answer of any poll.
    """

    speed: Speed
    timeout_s: float
    exchanges: tuple[Exchange, ...]
    listened_s: float = 0.0
    idle: tuple[Chunk, ...] = ()
    least_gap_s: float | None = None
    blocks_a_unit: float = 1.0
    longest_answer_s: float = 0.0


@dataclass(slots=True)
class UnitSeen:
    """How one unit behaved. Milliseconds."""

    unit_id: int
    asked: int = 0
    answered: int = 0
    timeouts: int = 0
    """Requests without an answer within the timeout; those answered late are among them."""
    late: int = 0
    crc_errors: int = 0
    turnaround_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """Counts over the whole line."""

    asked: int = 0
    answered: int = 0
    timeouts: int = 0
    late_answers: int = 0
    crc_errors: int = 0
    noise_bytes: int = 0
    echoes: int = 0
    foreign_frames: int = 0


@dataclass(frozen=True, slots=True)
class Turnaround:
    """Milliseconds."""

    least: float
    median: float
    mean: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Bin:
    """So many answers had a turnaround from `from_ms` (inclusive) to `to_ms`."""

    from_ms: float
    to_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the line does and what to do about it. None where nothing answered.

    advised_timeout_s: for the line's `timeout_s`. advised_gap_ms: silence to keep before a request.
    units_carried: units polled like these in `period_s`. unit_ms: line time of polling one unit, in its parts.
    foreign_units: units another master asked.
    """

    counts: Counts
    units: list[UnitSeen]
    turnaround: Turnaround | None
    histogram: list[Bin]
    timeout_s: float
    advised_timeout_s: float | None
    advised_gap_ms: float
    period_s: float
    units_carried: int | None
    unit_ms: dict[str, float]
    foreign_units: list[int]
    findings: list[str]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def diagnose(observed: Observed, period_s: float = 10.0) -> Diagnosis:
    """The diagnosis of a line; `period_s` is the poll period the capacity is told for."""
    tally = _Tally(observed)
    if observed.idle:
        tally.take_idle(observed.idle)
    for exchange in observed.exchanges:
        tally.take(exchange)
    units = sorted(tally.units.values(), key=lambda unit: unit.unit_id)
    every_ms = sorted(ms for unit in units for ms in unit.turnaround_ms)
    timeout_s = _advise_timeout(every_ms, observed)
    unit_ms = _unit_time(every_ms, tally, timeout_s)
    gap_s = max(observed.speed.silence_s, observed.least_gap_s or 0.0)
    diagnosis = Diagnosis(
        counts=tally.counts,
        units=units,
        turnaround=_turnaround(every_ms),
        histogram=_histogram(every_ms),
        timeout_s=observed.timeout_s,
        advised_timeout_s=timeout_s,
        advised_gap_ms=round(gap_s * 1000, 2),
        period_s=period_s,
        units_carried=_carried(unit_ms, period_s) if unit_ms else None,
        unit_ms=unit_ms,
        foreign_units=sorted(tally.foreign_units),
        findings=[],
    )
    diagnosis.findings.extend(advice.findings(diagnosis, observed.speed))
    return diagnosis


class _Tally:
    """Goes through the exchanges in order and counts."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.counts = Counts()
        self.units: dict[int, UnitSeen] = {}
        self.foreign_units: set[int] = set()
        self.answer_s: list[float] = []
        self._owed: Counter[tuple[int, int]] = Counter()
        """(unit, function) -> requests whose answer has not come, and may yet."""

    def take_idle(self, idle: tuple[Chunk, ...]) -> None:
        """What was heard before anything was asked."""
        for piece in tell_apart(b"".join(chunk.data for chunk in idle)):
            self._stray(piece)

    def take(self, exchange: Exchange) -> None:
        """One request and what followed."""
        unit = self.units.setdefault(exchange.unit_id, UnitSeen(exchange.unit_id))
        key = (exchange.unit_id, exchange.block.function)
        self.counts.asked += 1
        unit.asked += 1
        heard = exchange.heard
        took_s: float | None = None
        is_damaged = False
        for piece in tell_apart(heard, exchange.unit_id, exchange.block):
            at_s = exchange.time_of(piece.end - 1) - exchange.sent_s
            if piece.kind in ("answer", "exception"):
                if took_s is not None or (self._owed[key] and at_s < self._wire_s(piece)) or at_s < 0:
                    self._late(unit, key)
                else:
                    took_s = at_s
                    self._answered(unit, piece, at_s)
            elif piece.kind == "damaged":
                is_damaged = True
                self.counts.crc_errors += 1
                unit.crc_errors += 1
            else:
                self._stray(piece)
        if took_s is None and not is_damaged:
            self._owed[key] += 1
        if (took_s is None and not is_damaged) or (took_s is not None and took_s > self.observed.timeout_s):
            self.counts.timeouts += 1
            unit.timeouts += 1

    def _wire_s(self, piece: Piece) -> float:
        return (REQUEST_BYTES + piece.end - piece.start) * self.observed.speed.char_s

    def _answered(self, unit: UnitSeen, piece: Piece, at_s: float) -> None:
        unit.turnaround_ms.append(max(0.0, at_s - self._wire_s(piece)) * 1000)
        self.answer_s.append((piece.end - piece.start) * self.observed.speed.char_s)
        if at_s > self.observed.timeout_s:
            self.counts.late_answers += 1
            unit.late += 1
        else:
            self.counts.answered += 1
            unit.answered += 1

    def _late(self, unit: UnitSeen, key: tuple[int, int]) -> None:
        self.counts.late_answers += 1
        unit.late += 1
        self._owed[key] = max(0, self._owed[key] - 1)

    def _stray(self, piece: Piece) -> None:
        key = (piece.unit, piece.function & 0x7F)
        if piece.kind == "echo":
            self.counts.echoes += 1
        elif piece.kind == "other" and self._owed[key]:
            self._late(self.units[piece.unit], key)
        elif piece.kind in ("other", "request"):
            self.counts.foreign_frames += 1
            self.foreign_units.add(piece.unit)
        else:
            self.counts.noise_bytes += piece.end - piece.start


def _turnaround(every_ms: list[float]) -> Turnaround | None:
    if not every_ms:
        return None
    p99 = every_ms[math.ceil(0.99 * len(every_ms)) - 1]
    figures = (every_ms[0], statistics.median(every_ms), statistics.fmean(every_ms), p99, every_ms[-1])
    return Turnaround(*(round(ms, 2) for ms in figures))


def _advise_timeout(every_ms: list[float], observed: Observed) -> float | None:
    """Worst turnaround with a margin, and the wire time of a request with the longest answer; up to the next ms."""
    if not every_ms:
        return None
    worst_s = every_ms[-1] / 1000
    wire_s = REQUEST_BYTES * observed.speed.char_s + observed.longest_answer_s
    timeout_s = worst_s + max(MARGIN * worst_s, LEAST_MARGIN_S) + wire_s
    return math.ceil(max(timeout_s, LEAST_TIMEOUT_S) * 1000) / 1000


def _unit_time(every_ms: list[float], tally: _Tally, timeout_s: float | None) -> dict[str, float]:
    """Line time of polling one unit that is alive, ms, in its parts; empty when nothing answered."""
    if timeout_s is None:
        return {}
    alive = [unit for unit in tally.units.values() if unit.turnaround_ms]
    asked = sum(unit.asked for unit in alive)
    failed = max(0, asked - len(every_ms))
    blocks, speed = tally.observed.blocks_a_unit, tally.observed.speed
    gap_s = max(speed.silence_s, tally.observed.least_gap_s or 0.0)
    if gap_s > speed.silence_s:
        failed = 0  # they came of a silence too short, which the advised one ends
    parts = {
        "request": REQUEST_BYTES * speed.char_s,
        "turnaround": statistics.fmean(every_ms) / 1000,
        "answer": statistics.fmean(tally.answer_s),
        "silence": gap_s,
        "failures": failed / asked * timeout_s,
    }
    return {name: round(part_s * blocks * 1000, 3) for name, part_s in parts.items()}


def _carried(unit_ms: dict[str, float], period_s: float) -> int:
    block = BlockTime(*(unit_ms[name] / 1000 for name in ("request", "turnaround", "answer", "silence")))
    return units_carried([block], period_s, unit_ms["failures"] / 1000)


def _histogram(every_ms: list[float]) -> list[Bin]:
    """Equal bins from the least to the worst, of a round width."""
    if not every_ms:
        return []
    spread = max(every_ms[-1] - every_ms[0], 1.0)
    raw = spread / BINS
    power = 10.0 ** math.floor(math.log10(raw))
    width = next(step * power for step in (1, 2, 5, 10) if step * power >= raw)
    counts: defaultdict[int, int] = defaultdict(int)
    for ms in every_ms:
        counts[math.floor(ms / width)] += 1
    first, last = min(counts), max(counts)
    return [Bin(round(n * width, 6), round((n + 1) * width, 6), counts[n]) for n in range(first, last + 1)]
