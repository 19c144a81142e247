"""How much of a serial line's time its reads take. Pure arithmetic; times in seconds.

    |<- request ->|<- turnaround ->|<- answer ->|<- silence ->|
      8 characters   the unit's own   5 + data     3.5 characters at least

A line whose reads take more time than their periods have cannot work, however well everything answers; such a
configuration is refused with this arithmetic. Source: MODBUS over serial line V1.02, 2.5.1.1 and 2.5.2.1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from contract.profile import ProfileLibrary
from contract.site import ModbusRtuLine, ModbusRtuTcpLine
from edge_agents.bus.rtu import FRAME_BYTES, REQUEST_BYTES
from edge_agents.drivers.modbus import Block, plan_reads

RtuLine = ModbusRtuLine | ModbusRtuTcpLine
LEAST_SILENCE_S = 0.00175
"""From 19200 baud on the standard fixes the silence between frames."""


class Speed(NamedTuple):
    """How fast a line is: baud, parity (N, E or O), stop bits."""

    baud: int
    parity: str = "N"
    stop_bits: int = 1

    @property
    def char_s(self) -> float:
        """Time of one character: start bit, 8 data bits, parity, stop bits."""
        return (9 + (self.parity != "N") + self.stop_bits) / self.baud

    @property
    def silence_s(self) -> float:
        """Silence that parts two frames: 3.5 characters of 11 bits, as the agent keeps it."""
        return max(LEAST_SILENCE_S, 38.5 / self.baud)

    def __str__(self) -> str:
        return f"{self.baud} baud 8{self.parity}{self.stop_bits}"


class BlockTime(NamedTuple):
    """Line time of one read."""

    request_s: float
    turnaround_s: float
    answer_s: float
    silence_s: float

    @property
    def total_s(self) -> float:
        return self.request_s + self.turnaround_s + self.answer_s + self.silence_s


class Load(NamedTuple):
    """Devices that are read alike, and what one of them costs."""

    name: str
    units: int
    period_s: float
    blocks: tuple[BlockTime, ...]

    @property
    def unit_s(self) -> float:
        """Line time of reading one unit once."""
        return sum(block.total_s for block in self.blocks)

    @property
    def share(self) -> float:
        """Share of the line's time that all of them take; 1 is all of it."""
        return self.units * self.unit_s / self.period_s


def speed_of(line: RtuLine) -> Speed:
    """The speed a site file gives a line; behind a serial server the fastest framing, 8N1."""
    return Speed(line.baud, line.parity, line.stop_bits) if isinstance(line, ModbusRtuLine) else Speed(line.baud)


def answer_chars(block: Block) -> int:
    """Characters of the answer to a read."""
    return FRAME_BYTES + (math.ceil(block.size / 8) if block.function in (1, 2) else 2 * block.size)


def time_block(block: Block, speed: Speed, turnaround_s: float | None = None) -> BlockTime:
    """Line time of one read. Without a measured turnaround: the 3.5 characters after which a unit may answer at all."""
    turnaround_s = speed.silence_s if turnaround_s is None else turnaround_s
    return BlockTime(
        REQUEST_BYTES * speed.char_s, turnaround_s, answer_chars(block) * speed.char_s, speed.silence_s
    )  # fmt: skip


def units_carried(blocks: Iterable[BlockTime], period_s: float, lost_s: float = 0.0) -> int:
    """How many units with these blocks one line reads in a period; `lost_s` is mean time lost to failures a unit."""
    unit_s = sum(block.total_s for block in blocks) + lost_s
    return int(period_s / unit_s + 1e-9)


def loads_of(line: RtuLine, library: ProfileLibrary, turnaround_s: float | None = None) -> list[Load]:
    """What the devices of a line cost, those that are read alike together."""
    speed = speed_of(line)
    counts: Counter[tuple[str, float, int | None]] = Counter()
    for entry in line.devices:
        profile = library[entry.profile]
        if profile.modbus is not None:
            counts[profile.id, entry.poll_s or profile.poll_s, entry.points] += 1
    loads = []
    for (profile_id, period_s, points), units in counts.items():
        plan = plan_reads(library[profile_id], points)
        times = tuple(time_block(block, speed, turnaround_s) for group in plan.groups for block in group.blocks)
        loads.append(Load(profile_id, units, period_s, times))
    return loads


def find_overload(line: RtuLine, library: ProfileLibrary) -> str | None:
    """Why a line cannot meet its periods even if every unit answered at once, with the arithmetic; None when it can."""
    loads = loads_of(line, library)
    share = sum(load.share for load in loads)
    if share <= 1.0:
        return None
    rows = "; ".join(_arithmetic(load) for load in loads)
    return (
        f"got reads that take {share:.0%} of the line's time at {speed_of(line)}, want at most 100%: {rows}. "
        f"Poll slower (poll_s x {math.ceil(share * 10) / 10:g}), raise the baud rate or share the devices out over "
        f"{math.ceil(share)} lines."
    )


def _arithmetic(load: Load) -> str:
    """`40 x hydrant (1 block: 8.3 request + ... = 35.4 ms) = 1417 ms in each 1 s = 142%`."""
    parts = [sum(part) * 1000 for part in zip(*load.blocks, strict=True)]
    names = ("request", "turnaround", "answer", "silence")
    sums = " + ".join(f"{ms:.1f} {name}" for ms, name in zip(parts, names, strict=True))
    blocks = f"{len(load.blocks)} block{'s' if len(load.blocks) != 1 else ''}"
    return (
        f"{load.units} x {load.name} ({blocks}: {sums} = {load.unit_s * 1000:.1f} ms) = "
        f"{load.units * load.unit_s * 1000:.0f} ms in each {load.period_s:g} s = {load.share:.0%}"
    )
