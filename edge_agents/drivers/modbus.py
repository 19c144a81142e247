"""Which registers to read, and what their words mean; compiled from a profile once and shared by all its devices.

A plan holds read groups. A group is one block of registers, or several when a point needs words of more than one
block (a transmitter with its unit code far away); a group is read and decoded as a whole.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from contract import quality as q
from contract.messages import Value
from contract.profile import Modbus, Point, Profile
from contract.units import FACTORS, unit_of


class Block(NamedTuple):
    """One read request: function 1-4, first address, how many."""

    function: int
    address: int
    size: int


class Decoded(NamedTuple):
    """What the device says of one point. `value` is None exactly when `quality` is not good."""

    value: Value
    quality: str


@dataclass(frozen=True, slots=True)
class PointRead:
    """One point of a plan. `at` counts the points of the plan from 0; `key` is the point's name."""

    at: int
    point: Point
    is_alarm: bool
    suffix: str


@dataclass(frozen=True, slots=True)
class ReadGroup:
    """Blocks read together and the points they give."""

    blocks: tuple[Block, ...]
    points: tuple[PointRead, ...]
    is_alarm: bool


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Everything to read of one kind of device."""

    points: tuple[PointRead, ...]
    groups: tuple[ReadGroup, ...]
    answer_s: float


def plan_reads(profile: Profile, count: int | None = None) -> ReadPlan:
    """The plan of a profile with `count` repeated points (None: the profile's own number).

    No block passes the profile's `max_block`, skips more than `max_gap` unused registers, or parts the words of one
    point. Every register a point needs is in its group.
    """
    if profile.modbus is None:
        raise ValueError(f"profile {profile.id}: got no modbus section, want one")
    modbus = profile.modbus
    points = tuple(
        PointRead(n, point, point.lane == "alarm", unit.suffix if (unit := unit_of(point.name)) else "")
        for n, point in enumerate(point for point in profile.points_for(count) if not point.text)
    )
    spans = sorted({span for read in points for span in spans_of(read.point)})
    blocks = _merge(spans, modbus)
    groups = []
    for members in _connected(points, blocks):
        reads = tuple(read for read in points if _blocks_of(read.point, blocks)[0] in members)
        chosen = tuple(Block(modbus.function, *blocks[n]) for n in sorted(members))
        groups.append(ReadGroup(chosen, reads, any(read.is_alarm for read in reads)))
    groups.sort(key=lambda group: not group.is_alarm)
    return ReadPlan(points, tuple(groups), modbus.answer_ms / 1000)


def spans_of(point: Point) -> list[tuple[int, int]]:
    """(first register, words) of everything a point needs; each span must come from one read."""
    assert point.register_ is not None
    spans = [(point.register_, point.words)]
    if (unit := point.device_unit) is not None:
        spans += [(unit.unit_register, 1), (unit.decimals_register, 1)]
        if unit.offset_register is not None:
            spans.append((unit.offset_register, 1))
    return spans


def decode_group(
    group: ReadGroup, registers: Mapping[int, int], word_order: str = "big"
) -> list[tuple[PointRead, Decoded]]:
    """Every point of the group with its value and quality; `registers` holds each word the group read."""
    return [(read, decode_point(read, registers, word_order)) for read in group.points]


def decode_point(read: PointRead, registers: Mapping[int, int], word_order: str = "big") -> Decoded:
    """One point. Bad answers give None and say why (missing, unknown_state, out_of_range, not_a_number, ...)."""
    point = read.point
    assert point.register_ is not None
    word = registers[point.register_] & 0xFFFF
    if point.type == "bit":
        assert point.bit is not None
        return Decoded(bool(word >> point.bit & 1), q.GOOD)
    if point.type == "state":
        assert point.states is not None
        state = point.states.get(word & (point.mask or 0xFFFF))
        return Decoded(state, q.GOOD) if state is not None else Decoded(None, q.bad("unknown_state"))
    if point.words == 2:
        high, low = word, registers[point.register_ + 1] & 0xFFFF
        raw = (high << 16 | low) if word_order == "big" else (low << 16 | high)
    else:
        raw = word
    if any(raw == mark & (0xFFFFFFFF if point.words == 2 else 0xFFFF) for mark in point.missing):
        return Decoded(None, q.bad("missing"))
    return _scaled(read, _number(point.type, raw), registers)


def _number(kind: str, raw: int) -> float:
    if kind == "int16":
        return raw - 0x10000 if raw & 0x8000 else raw
    if kind == "int32":
        return raw - 0x100000000 if raw & 0x80000000 else raw
    if kind == "float32":
        return float(struct.unpack(">f", raw.to_bytes(4, "big"))[0])
    return raw


def _scaled(read: PointRead, number: float, registers: Mapping[int, int]) -> Decoded:
    point = read.point
    if not math.isfinite(number):
        return Decoded(None, q.bad("not_a_number"))
    if (unit := point.device_unit) is not None:
        name = unit.unit_codes.get(registers[unit.unit_register] & 0xFFFF)
        decimals = registers[unit.decimals_register] & 0xFFFF
        if name is None:
            return Decoded(None, q.bad("unknown_unit"))
        if decimals > 9:
            return Decoded(None, q.bad("decimals"))
        shift = _number("int16", registers[unit.offset_register] & 0xFFFF) if unit.offset_register is not None else 0
        number = (number + shift) / 10**decimals * FACTORS[name, read.suffix]
    value = number * point.scale + point.offset
    if point.type != "float32" or point.scale != 1.0:
        # 12 * 0.1 is 1.2 to a person; twelve digits keep every 32-bit integer whole.
        value = float(f"{value:.12g}")
    if point.range is not None and not point.range[0] <= value <= point.range[1]:
        return Decoded(None, q.bad("out_of_range"))
    return Decoded(float(value), q.GOOD)


def _merge(spans: Iterable[tuple[int, int]], modbus: Modbus) -> list[tuple[int, int]]:
    """Blocks (first, count) that hold each span whole."""
    blocks: list[tuple[int, int]] = []
    for first, words in spans:
        if blocks:
            start, count = blocks[-1]
            end = max(start + count, first + words)
            if first - (start + count) <= modbus.max_gap and end - start <= max(modbus.max_block, count):
                blocks[-1] = (start, end - start)
                continue
        blocks.append((first, words))
    return blocks


def _blocks_of(point: Point, blocks: list[tuple[int, int]]) -> list[int]:
    found = []
    for first, words in spans_of(point):
        found.append(next(n for n, (at, size) in enumerate(blocks) if at <= first and first + words <= at + size))
    return found


def _connected(points: Iterable[PointRead], blocks: list[tuple[int, int]]) -> list[set[int]]:
    """Sets of blocks that some point needs together."""
    groups: list[set[int]] = []
    for read in points:
        needed = set(_blocks_of(read.point, blocks))
        for group in [group for group in groups if group & needed]:
            needed |= group
            groups.remove(group)
        groups.append(needed)
    return groups
