"""Values into registers, and registers into the values a correct decoder must give.

Written from the profile alone and shared with nobody, so that it can disagree with the driver it tests.
"""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import NamedTuple

from contract import quality as q
from contract.messages import Value
from contract.profile import Modbus, Point, Profile
from contract.units import FACTORS, unit_of

_UNSIGNED = {1: "H", 2: "I"}


class TransmitterSetting(NamedTuple):
    """How a transmitter with its own unit is set up: raw = value in that unit * 10^decimals - offset."""

    unit_code: int
    decimals: int
    offset: int = 0


class Word(NamedTuple):
    """Bits of one register: `word` counts only where `mask` is 1."""

    register: int
    word: int
    mask: int = 0xFFFF


def encode(point: Point, value: Value, modbus: Modbus, setting: TransmitterSetting | None = None) -> list[Word]:
    """The register bits that carry a value; None is the profile's missing word.

    Raises:
        ValueError: the point cannot carry this value (no missing word, unknown state, does not fit its type).
    """
    register = _register(point)
    if value is None:
        if not point.missing:
            raise ValueError(f"{point.name}: got None, want a value. The profile has no missing word.")
        return _words(register, point.missing[0], point.words, modbus)
    if point.type == "bit":
        assert point.bit is not None
        return [Word(register, int(bool(value)) << point.bit, 1 << point.bit)]
    if point.states is not None:
        code = next((code for code, word in point.states.items() if word == value), None)
        if code is None:
            raise ValueError(f"{point.name}: got {value!r}, want one of {sorted(set(point.states.values()))}.")
        return [Word(register, code, point.mask or 0xFFFF)]
    if isinstance(value, str):
        raise ValueError(f"{point.name}: got {value!r}, want a number.")
    if point.device_unit is not None:
        return _encode_transmitter(point, float(value), modbus, setting)
    number = (float(value) - point.offset) / point.scale
    return _words(register, _raw(point, number), point.words, modbus)


def decode(point: Point, image: dict[int, int], modbus: Modbus) -> tuple[Value, str]:
    """(value, quality) of a point as a correct reader must give them; the value is None unless good."""
    register = _register(point)
    words = [image.get(register + n, 0) for n in range(point.words)]
    if point.type == "bit":
        assert point.bit is not None
        return bool(words[0] >> point.bit & 1), q.GOOD
    if point.states is not None:
        state = point.states.get(words[0] & (point.mask or 0xFFFF))
        return (None, q.bad("unknown_state")) if state is None else (state, q.GOOD)
    if modbus.word_order == "little":
        words.reverse()
    data = struct.pack(f">{len(words)}H", *words)
    unsigned = struct.unpack(f">{_UNSIGNED[len(words)]}", data)[0]
    if unsigned in point.missing:
        return None, q.bad("missing")
    number = float(struct.unpack(_format(point), data)[0])
    if not math.isfinite(number):
        return None, q.bad("not_a_number")
    if point.device_unit is None:
        number = number * point.scale + point.offset
    else:
        factor = _factor(point, image.get(point.device_unit.unit_register, 0))
        if factor is None:
            return None, q.bad("unknown_unit")
        shift = point.device_unit.offset_register
        offset = _signed(image.get(shift, 0)) if shift is not None else 0
        decimals = image.get(point.device_unit.decimals_register, 0)
        number = (number + offset) / 10**decimals * factor
    if point.range is not None and not point.range[0] <= number <= point.range[1]:
        return None, q.bad("out_of_range")
    return number, q.GOOD


def registers_of(point: Point) -> list[int]:
    """Every register a point's value depends on."""
    found = [_register(point) + n for n in range(point.words)]
    if point.device_unit is not None:
        found += [point.device_unit.unit_register, point.device_unit.decimals_register]
        if point.device_unit.offset_register is not None:
            found.append(point.device_unit.offset_register)
    return found


def served_registers(points: list[Point], max_gap: int) -> set[int]:
    """Addresses a device answers: those of its points and the holes a reader may bridge (`max_gap`)."""
    used = sorted({register for point in points for register in registers_of(point)})
    served = set(used)
    for low, high in pairwise(used):
        if high - low - 1 <= max_gap:
            served.update(range(low, high))
    return served


def default_value(point: Point) -> Value:
    """A value a healthy device may start with when nobody names one."""
    if point.type == "bit":
        return False
    if point.states is not None:
        return "normal" if "normal" in point.states.values() else next(iter(point.states.values()))
    low, high = point.range or (0.0, 0.0)
    return min(max(0.0, low), high)


def default_setting(profile: Profile, point: Point) -> TransmitterSetting | None:
    """The set-up a transmitter's test vector shows; None for a point without a unit of its own."""
    unit = point.device_unit
    runs = getattr(profile.test_vector, "registers", {})
    image = {start + n: word & 0xFFFF for start, words in runs.items() for n, word in enumerate(words)}
    if unit is None:
        return None
    shift = 0 if unit.offset_register is None else _signed(image.get(unit.offset_register, 0))
    return TransmitterSetting(image[unit.unit_register], image[unit.decimals_register], shift)


def _encode_transmitter(point: Point, value: float, modbus: Modbus, setting: TransmitterSetting | None) -> list[Word]:
    unit = point.device_unit
    assert unit is not None
    if setting is None:
        raise ValueError(f"{point.name}: got no transmitter setting, want unit code and decimals.")
    factor = _factor(point, setting.unit_code)
    if factor is None:
        raise ValueError(f"{point.name}: got unit code {setting.unit_code}, want one of {sorted(unit.unit_codes)}.")
    raw = _raw(point, value / factor * 10**setting.decimals - setting.offset)
    words = _words(_register(point), raw, point.words, modbus)
    words += [Word(unit.unit_register, setting.unit_code), Word(unit.decimals_register, setting.decimals)]
    if unit.offset_register is not None:
        words.append(Word(unit.offset_register, setting.offset & 0xFFFF))
    elif setting.offset:
        raise ValueError(f"{point.name}: got offset {setting.offset}, want 0. The device has no offset register.")
    return words


def _raw(point: Point, number: float) -> int:
    """The unsigned raw word or double word of a number. Raises ValueError when it does not fit."""
    exact = number if point.type == "float32" else round(number)
    try:
        data = struct.pack(_format(point), exact)
    except (struct.error, OverflowError) as exc:
        raise ValueError(f"{point.name}: got raw {exact}, want what fits {point.type}.") from exc
    raw: int = struct.unpack(f">{_UNSIGNED[point.words]}", data)[0]
    return raw


def _words(register: int, raw: int, count: int, modbus: Modbus) -> list[Word]:
    parts = [raw >> 16 * (count - 1 - n) & 0xFFFF for n in range(count)]
    if modbus.word_order == "little":
        parts.reverse()
    return [Word(register + n, part) for n, part in enumerate(parts)]


def _format(point: Point) -> str:
    return {"uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "float32": ">f"}[point.type]


def _factor(point: Point, unit_code: int) -> float | None:
    assert point.device_unit is not None
    unit, name = unit_of(point.name), point.device_unit.unit_codes.get(unit_code)
    return None if unit is None or name is None else FACTORS.get((name, unit.suffix))


def _signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word


def _register(point: Point) -> int:
    assert point.register_ is not None
    return point.register_
