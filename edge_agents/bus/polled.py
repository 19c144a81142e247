"""What a Modbus line is given: its devices, with what their last answers said, and its rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from contract.lines import AskWho
from edge_agents.drivers.modbus import ReadPlan, decode_group
from edge_agents.reporting import DeviceReport, Observation

Answers = list[list[int]]
"""The words of each block of a group, in the order of its blocks."""


@dataclass(slots=True)
class PolledDevice:
    """One device of a line."""

    id: str
    unit_id: int
    poll_s: float
    plan: ReadPlan
    word_order: str
    report: DeviceReport
    _last: dict[int, tuple[Answers, list[Observation]]] = field(default_factory=dict)
    """Group -> its last answers and what they say: most answers are the one before, and need no decoding."""

    def seen(self, number: int, answers: Answers) -> list[Observation]:
        """What answers to a group of the plan say; not to be changed."""
        known = self._last.get(number)
        if known is not None and known[0] == answers:
            return known[1]
        group = self.plan.groups[number]
        registers: dict[int, int] = {}
        for block, words in zip(group.blocks, answers, strict=True):
            registers.update(zip(range(block.address, block.address + block.size), words, strict=True))
        decoded = decode_group(group, registers, self.word_order)
        seen = [Observation(read.at, *result) for read, result in decoded]
        self._last[number] = answers, seen
        return seen


@dataclass(frozen=True, slots=True)
class LineRules:
    """How a line deals with trouble; see the site file's line."""

    retries: int = 1
    dead_share: float = 0.1
    misses: int = 3
    """Periods without an answer after which a device has no data."""
    ask_who: AskWho = "idle"
