"""Which registers carry what a gauge shows. Pure: `rank(sightings) -> candidates`, best first.

Tried: every register read x one or two words x word order x signed, unsigned or float x scale x offset. A sighting is
all registers and what the gauge showed meanwhile. One sighting leaves many explanations; a second one at another gauge
value leaves few, because scale and offset then follow from the two and only round ones are believed.

The cost of a candidate is in bits, roughly how much less often such an encoding is met: plain words, holding registers,
powers of ten and no offset cost nothing.
"""

from __future__ import annotations

import bisect
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from contract.point import RegisterType
from contract.units import FACTORS

WordOrder = Literal["big", "little"]
Registers = Mapping[tuple[int, int], int]
"""(function, register) -> word."""
_POWERS = range(-6, 5)
_MANTISSAS = {1.0: 0.0, 2.0: 3.0, 5.0: 3.0, 2.5: 4.0}
"""Steps of a scale within a power of ten -> cost."""
_FOREIGN_UNITS = ("psi", "kgf/cm2", "mH2O")
"""Units a device may count in that are no power of ten away from the shown one."""
_KNOWN_OFFSETS = (-273.15, 101.325, -101.325)
"""Kelvin; absolute pressure in kPa (scaled to the shown unit)."""
_SINGLE_OFFSETS = (-20.0, -40.0, -50.0, -100.0)
"""Offsets believed on one sighting."""
_DIGIT_BITS = 3.3
_TELLS_APART_BITS = 4.0
"""A best candidate that is not cheaper by so much is ambiguous."""
_JOINT_BITS = 4.0
"""Two words that both moved are believed to belong together."""


class Shown(NamedTuple):
    """What the gauge shows: 0.605, 3 decimals, MPa."""

    value: float
    decimals: int
    unit: str

    @property
    def digit(self) -> float:
        """The worth of its last digit; what it shows is true to about this."""
        return float(10.0**-self.decimals)


class Sighting(NamedTuple):
    """Registers and what the gauge showed while they were read."""

    registers: Registers
    shown: Shown


class Place(NamedTuple):
    """Where a number stands and how its words are put together."""

    function: int
    register: int
    type: RegisterType
    word_order: WordOrder

    @property
    def words(self) -> int:
        return 1 if self.type in ("uint16", "int16") else 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """value = raw * scale + offset, in the unit shown.

    sign_open: no raw word had its highest bit set, so signed and unsigned read the same. error: largest difference to
    what was shown, in last digits. cost: bits.
    """

    place: Place
    scale: float
    offset: float
    device_unit: str
    sign_open: bool
    error: float
    cost: float

    @property
    def formula(self) -> str:
        """`raw x 0.001 - 40`."""
        text = "raw" if self.scale == 1.0 else f"raw x {self.scale:.9g}"
        return text if self.offset == 0.0 else f"{text} {'+' if self.offset > 0 else '-'} {abs(self.offset):.9g}"


class _Scale(NamedTuple):
    value: float
    cost: float
    device_unit: str


def rank(sightings: Sequence[Sighting], quantity: str, most: int = 20) -> list[Candidate]:
    """The candidates that explain every sighting, best first.

    Args:
        sightings: one or more, all shown in one unit. quantity: suffix of the point, such as `kpa`.
        most: how many at most.
    """
    scales = sorted({scale.value: scale for scale in _scales(sightings[0].shown.unit, quantity)}.values())
    found: list[Candidate] = []
    for place in _places(sightings):
        numbers = [number_at(place, sighting.registers) for sighting in sightings]
        if not all(math.isfinite(number) for number in numbers):
            continue
        found += _explain(place, numbers, sightings, scales)
    best: dict[Place, list[Candidate]] = {}
    for candidate in sorted(found, key=lambda candidate: (candidate.cost, candidate.error, candidate.place)):
        best.setdefault(candidate.place, []).append(candidate)
    # A place's second reading of itself stands behind the best of the other places.
    ordered = [
        (candidate.cost + 2 * n, candidate.error, candidate)
        for candidates in best.values()
        for n, candidate in enumerate(candidates)
    ]
    ordered.sort(key=lambda row: row[:2])
    return [candidate for _, _, candidate in ordered[:most]]


def is_ambiguous(candidates: Sequence[Candidate]) -> bool:
    """Whether something else than the first candidate is nearly as likely; a further sighting is then needed.

    One that only has more words around the same number says the same and does not count.
    """
    if not candidates:
        return False
    first = candidates[0]
    rivals = (other for other in candidates[1:] if (other.scale, other.offset) != (first.scale, first.offset))
    return any(other.cost - first.cost < _TELLS_APART_BITS for other in rivals)


def number_at(place: Place, registers: Registers) -> float:
    """The raw number there; NaN when a register was not read."""
    words = [registers.get((place.function, place.register + n)) for n in range(place.words)]
    if any(word is None for word in words):
        return math.nan
    if place.word_order == "little":
        words.reverse()
    data = b"".join(struct.pack(">H", word) for word in words)
    form = {"uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "float32": ">f"}[place.type]
    number: float = struct.unpack(form, data)[0]
    return number


def _places(sightings: Sequence[Sighting]) -> Iterator[Place]:
    """Every place all sightings have; signed ones only where the sign shows."""
    common = set.intersection(*(set(sighting.registers) for sighting in sightings))
    for function, register in sorted(common):
        high_bit = any(sighting.registers[function, register] & 0x8000 for sighting in sightings)
        yield Place(function, register, "uint16", "big")
        if high_bit:
            yield Place(function, register, "int16", "big")
        if (function, register + 1) not in common:
            continue
        low_bit = any(sighting.registers[function, register + 1] & 0x8000 for sighting in sightings)
        orders: tuple[tuple[WordOrder, bool], ...] = (("big", high_bit), ("little", low_bit))
        for order, is_signed in orders:
            yield Place(function, register, "uint32", order)
            if is_signed:
                yield Place(function, register, "int32", order)
            yield Place(function, register, "float32", order)


def _scales(shown_unit: str, quantity: str) -> Iterator[_Scale]:
    """Every scale to the shown unit that is believed, with its cost."""
    for power in _POWERS:
        for mantissa, cost in _MANTISSAS.items():
            yield _Scale(_round(mantissa * 10.0**power), cost + max(0, abs(power + 1.5) - 1.5), shown_unit)
    to_shown = FACTORS.get((shown_unit, quantity))
    if to_shown is None:
        return
    for unit in (*_FOREIGN_UNITS, "bar"):
        factor = FACTORS.get((unit, quantity))
        if factor is None or unit == shown_unit or _is_power_of_ten(factor / to_shown):
            continue
        for power in range(-4, 2):
            yield _Scale(_round(factor / to_shown * 10.0**power), 4.0 + max(0, abs(power + 1) - 1), unit)


def _explain(
    place: Place, numbers: list[float], sightings: Sequence[Sighting], scales: list[_Scale]
) -> Iterator[Candidate]:
    """Every scale and offset that gives what was shown from these raw numbers."""
    from_scale, to_scale = _slope(numbers, sightings)
    for scale in scales[bisect.bisect_left(scales, (from_scale,)) : bisect.bisect_right(scales, (to_scale, math.inf))]:
        low, high = -math.inf, math.inf
        for number, (_, shown) in zip(numbers, sightings, strict=True):
            base = shown.value - number * scale.value
            low, high = max(low, base - shown.digit), min(high, base + shown.digit)
        if low > high or abs(low) > 1e9:
            continue
        for offset, cost in _offsets(low, high, sightings):
            yield _candidate(place, numbers, sightings, scale, offset, cost)


def _candidate(
    place: Place,
    numbers: list[float],
    sightings: Sequence[Sighting],
    scale: _Scale,
    offset: float,
    offset_cost: float,
) -> Candidate:
    error = max(
        abs(number * scale.value + offset - shown.value) / shown.digit
        for number, (_, shown) in zip(numbers, sightings, strict=True)
    )
    cost = scale.cost + offset_cost + _place_cost(place, scale) + 8.0 * max(0.0, error - 0.5)
    cost -= _JOINT_BITS * _high_word_moves(place, sightings)
    sign_open = place.type in ("uint16", "uint32") and all(number < 2 ** (16 * place.words - 1) for number in numbers)
    return Candidate(place, scale.value, offset, scale.device_unit, sign_open, round(error, 3), round(cost, 2))


def _slope(numbers: list[float], sightings: Sequence[Sighting]) -> tuple[float, float]:
    """The least and largest scale that could join the first sighting to the last."""
    run = numbers[-1] - numbers[0]
    rise = sightings[-1].shown.value - sightings[0].shown.value
    slack = 2 * max(sighting.shown.digit for sighting in sightings)
    if run == 0:
        return (0.0, math.inf) if abs(rise) <= slack else (1.0, 0.0)
    ends = ((rise - slack) / run, (rise + slack) / run)
    return min(ends), max(ends)


def _offsets(low: float, high: float, sightings: Sequence[Sighting]) -> Iterator[tuple[float, float]]:
    """The offsets between low and high that are believed, each with its cost."""
    if low <= 0.0 <= high:
        yield 0.0, 0.0
        return
    unit = sightings[0].shown.unit
    for known in _KNOWN_OFFSETS:
        offset = known if abs(known) > 200 else known / FACTORS.get((unit, "kpa"), 1.0)
        if low <= offset <= high:
            yield _round(offset), 6.0
    if len({sighting.shown.value for sighting in sightings}) == 1:
        yield from ((offset, 6.0) for offset in _SINGLE_OFFSETS if low <= offset <= high)
        return
    power = math.floor(math.log10(max(abs(low), abs(high)))) + 1
    for digits in range(8):
        step = 10.0 ** (power - digits)
        multiple = round((low + high) / 2 / step)
        if low - 1e-9 * step <= multiple * step <= high + 1e-9 * step:
            significant = len(str(abs(multiple)).rstrip("0")) or 1
            is_round = abs(multiple) in (1, 2, 4, 5, 10)
            yield _round(multiple * step), 3.0 + _DIGIT_BITS * (significant - is_round)
            return


def _high_word_moves(place: Place, sightings: Sequence[Sighting]) -> bool:
    """Whether the upper of two words changed as well; alone, the lower one would leave that unexplained."""
    if place.words == 1:
        return False
    register = place.register + (place.word_order == "little")
    return len({sighting.registers[place.function, register] for sighting in sightings}) > 1


def _place_cost(place: Place, scale: _Scale) -> float:
    cost = 0.5 * (place.function == 4) + 1.0 * (place.word_order == "little")
    if place.type == "float32":
        is_unit = scale.value in (1.0, 0.001, 1000.0, 0.1, 10.0, 0.01, 100.0) or scale.device_unit in _FOREIGN_UNITS
        return cost + (1.0 if is_unit else 5.0) + (1.5 if scale.value != 1.0 else 0.0)
    return cost + (1.5 if place.words == 2 else 0.0)


def _is_power_of_ten(ratio: float) -> bool:
    return abs(math.log10(ratio) - round(math.log10(ratio))) < 1e-9


def _round(number: float) -> float:
    return float(f"{number:.12g}")
