"""Which units are on a line, and which profile each of them may be.

A profile is judged by evidence in bits: a value inside a narrow range, a known state or a known unit code is unlikely
to be there by chance; a value outside is strong evidence against. Zeros and ones say nearly nothing. Judging is pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contract.errors import DeviceError
from contract.profile import Point, Profile
from edge_agents.bus.port import Port
from edge_agents.drivers.modbus import Block, Decoded, decode_group, plan_reads, spans_of
from edge_agents.field.capacity import Speed
from edge_agents.field.capture import read_block
from edge_agents.field.frames import tell_apart
from edge_agents.field.wire import Wire

_PROBE = Block(3, 0, 1)
_LAST_LISTEN_S = 1.0
_MOST_BITS = 12.0
_AGAINST_BITS, _REFUSED_BITS = -8.0, -10.0
_UNEXPLAINED_BITS = -1.5
_ZERO_BITS = -0.5
_END_BITS = 4.0
"""The unit refuses the register behind the profile's last."""
Answers = Mapping[Block, "list[int] | None"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan heard at one speed. garbled: units at which something unreadable answered."""

    speed: Speed
    units: tuple[int, ...]
    garbled: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """How well a profile fits a unit.

    bits: evidence for it, may be negative. plausible, points: how many of its points gave a believable value.
    why: for people, one thing each.
    """

    profile_id: str
    bits: float
    plausible: int
    points: int
    why: tuple[str, ...]


async def find_units(
    wire: Wire,
    speed: Speed,
    units: Sequence[int],
    *,
    timeout_s: float = 0.2,
    block: Block = _PROBE,
    progress: Callable[[float], None] = lambda _share: None,
) -> Found:
    """The units that answer anything at this speed, refusals and late answers included."""
    found: set[int] = set()
    garbled: set[int] = set()
    asked: set[int] = set()
    for n, unit_id in enumerate(units):
        exchange = await wire.ask(unit_id, block, timeout_s, speed.silence_s)
        asked.add(unit_id)
        for piece in tell_apart(exchange.heard, unit_id, block):
            if piece.kind in ("answer", "exception"):
                found.add(unit_id)
            elif piece.kind == "other" and piece.unit in asked:
                found.add(piece.unit)  # late, but there
            elif piece.kind in ("damaged", "noise") and piece.end - piece.start >= 3:
                garbled.add(unit_id)
        progress((n + 1) / len(units))
    for piece in tell_apart(b"".join(chunk.data for chunk in await wire.listen(_LAST_LISTEN_S))):
        if piece.kind == "other" and piece.unit in asked:
            found.add(piece.unit)
    return Found(speed, tuple(sorted(found)), tuple(sorted(garbled - found)))


async def suggest(port: Port, unit_id: int, profiles: Iterable[Profile]) -> list[Suggestion]:
    """Every Modbus profile that has something to say about this unit, the likeliest first.

    Raises:
        DeviceError: the unit does not answer any more.
    """
    answers: dict[Block, list[int] | None] = {}
    refused: set[int] = set()
    suggestions = []
    for profile in profiles:
        if profile.modbus is None:
            continue
        for block in blocks_wanted(profile):
            if block in answers:
                continue
            try:
                answers[block] = None if block.function in refused else await read_block(port, unit_id, block)
            except DeviceError as exc:
                if exc.cause == "line" or (exc.cause != "exception_1" and not any(answers.values())):
                    raise
                answers[block] = None
                refused |= {block.function} if exc.cause == "exception_1" else set()
        suggestion = judge(profile, answers)
        if suggestion is not None:
            suggestions.append(suggestion)
    return sorted(suggestions, key=lambda one: (-one.bits, one.profile_id))


def blocks_wanted(profile: Profile) -> list[Block]:
    """What to read to judge a profile: its poll, and one register behind its end."""
    plan = plan_reads(profile)
    blocks = [block for group in plan.groups for block in group.blocks]
    last = max(blocks, key=lambda block: block.address + block.size)
    end = last.address + last.size
    return [*blocks, Block(last.function, end, 1)] if end <= 0xFFFF else blocks


def judge(profile: Profile, answers: Answers) -> Suggestion | None:
    """How well a profile fits what was read; None when the unit gave nothing of it."""
    assert profile.modbus is not None
    plan = plan_reads(profile)
    wanted = blocks_wanted(profile)
    bits, plausible, silent, why = 0.0, 0, 0, []
    explained: set[int] = set()
    words: dict[int, int] = {}
    for group in plan.groups:
        registers: dict[int, int] = {}
        for block in group.blocks:
            for n, word in enumerate(answers.get(block) or []):
                registers[block.address + n] = word
        if any(answers.get(block) is None for block in group.blocks):
            bits += _REFUSED_BITS
            silent += len(group.points)
            continue
        words |= registers
        for read, decoded in decode_group(group, registers, profile.modbus.word_order):
            explained |= {first + n for first, count in spans_of(read.point) for n in range(count)}
            gained, text = _weigh(read.point, decoded, registers)
            bits += gained
            plausible += decoded.value is not None
            if text:
                why.append(text)
    if not words:
        return None
    bits += _weigh_bits(plan_points := [read.point for read in plan.points], words)
    unexplained = sorted(register for register, word in words.items() if word and register not in explained)
    bits += _UNEXPLAINED_BITS * len(unexplained)
    has_end = len(wanted) > sum(len(group.blocks) for group in plan.groups) and answers.get(wanted[-1]) is None
    bits += _END_BITS * has_end
    head = [f"{plausible} of {len(plan_points)} points plausible"]
    head += [f"refuses {silent} points"] if silent else []
    head += [f"values in {len(unexplained)} registers it does not use"] if unexplained else []
    head += ["ends where the profile ends"] if has_end else []
    return Suggestion(profile.id, round(bits, 1), plausible, len(plan_points), (*head, *why[:3]))


def _weigh(point: Point, decoded: Decoded, registers: Mapping[int, int]) -> tuple[float, str]:
    """Evidence of one point, and what to tell of it."""
    assert point.register_ is not None
    if decoded.quality == "bad:missing":
        return 1.0, ""
    if decoded.value is None:
        raw = " ".join(f"0x{registers[point.register_ + n]:04X}" for n in range(point.words))
        return _AGAINST_BITS, f"{point.name}: {decoded.quality.removeprefix('bad:')} ({raw})"
    if point.type == "bit":
        return 0.0, ""
    is_zero = not any(registers[point.register_ + n] for n in range(point.words))
    if point.type == "state":
        share = len(point.states or {}) / ((point.mask or 0xFFFF) + 1)
        return (0.1, "") if is_zero else (min(_MOST_BITS, -math.log2(share)) / 2, "")
    if point.device_unit is not None:
        return _MOST_BITS * (0.5 if is_zero else 1.0), f"{point.name} = {decoded.value:g}"
    if is_zero or point.range is None:
        return _ZERO_BITS * is_zero, ""
    span = (point.range[1] - point.range[0]) / abs(point.scale) / 2.0 ** (16 * point.words)
    # Small numbers are everywhere: 1 is no evidence for a pressure.
    size = abs((float(decoded.value) - point.offset) / point.scale)
    return max(0.0, min(_MOST_BITS, -math.log2(span), math.log2(1 + size))), f"{point.name} = {decoded.value:g}"


def _weigh_bits(points: Sequence[Point], words: Mapping[int, int]) -> float:
    """Evidence of words made of single bits: for them when only known bits are set, against when others are."""
    masks: dict[int, int] = {}
    for point in points:
        if point.type == "bit" and point.register_ is not None:
            masks[point.register_] = masks.get(point.register_, 0) | 1 << (point.bit or 0)
    bits = 0.0
    for register, mask in masks.items():
        word = words.get(register, 0)
        if word & ~mask:
            bits += _AGAINST_BITS
        elif word:
            bits += (16 - mask.bit_count()) * 0.3
    return bits
