"""Asks a line the questions a diagnosis needs: listens, polls, and looks for the shortest silence units bear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed, answer_chars
from edge_agents.field.doctor import Observed
from edge_agents.field.frames import is_answered
from edge_agents.field.wire import Exchange, Wire

FIRST_LISTEN_S = 3.0
"""A unit gets this long for its first answer,"""
LISTEN_AT_LEAST_S = 1.0
"""then this long, twice its timeout or twice its worst answer: what comes late must not fall to the next request."""
GIVE_UP_AFTER = 3
"""Requests a unit may leave unanswered before it is asked no more."""
RELAXED_GAP_S = 0.1
TRIES, ENOUGH = 5, 4
"""Requests after one length of silence, and how many must be answered for it to be long enough."""
STEP = 1.08
"""The search for the silence ends when it is known this closely."""


class Probe(NamedTuple):
    """What to ask of one unit: the blocks of its poll."""

    unit_id: int
    blocks: tuple[Block, ...]


async def examine(
    wire: Wire,
    speed: Speed,
    probes: Sequence[Probe],
    *,
    timeout_s: float,
    rounds: int = 30,
    listen_s: float = 3.0,
    progress: Callable[[float], None] = lambda _share: None,
) -> Observed:
    """Everything a diagnosis needs.

    Args:
        wire: the open line.
        timeout_s: the timeout the line is run with; answers after it are late.
        rounds: times each block is asked. listen_s: silence of our own at first, to hear another master.
        progress: told the share done, 0..1.
    """
    idle = await wire.listen(listen_s)
    patience = {probe.unit_id: _Patience(max(LISTEN_AT_LEAST_S, 2 * timeout_s)) for probe in probes}
    exchanges: list[Exchange] = []
    for turn in range(rounds):
        for number, (unit_id, blocks) in enumerate(probes):
            unit = patience[unit_id]
            for block in blocks:
                if unit.misses >= GIVE_UP_AFTER:
                    break
                exchange = await wire.ask(unit_id, block, unit.window_s, speed.silence_s)
                exchanges.append(exchange)
                unit.note(exchange, is_answered(exchange.heard, unit_id, block))
            progress((turn + (number + 1) / len(probes)) / rounds)
    steady = max(probes, key=lambda probe: patience[probe.unit_id].answered, default=None)
    gap_s = None
    if steady is not None and patience[steady.unit_id].answered:
        gap_s = await _least_gap(wire, speed, steady, patience[steady.unit_id].window_s)
    asked = [block for probe in probes for block in probe.blocks]
    return Observed(
        speed=speed,
        timeout_s=timeout_s,
        exchanges=tuple(exchanges),
        listened_s=listen_s,
        idle=idle,
        least_gap_s=gap_s,
        blocks_a_unit=len(asked) / len(probes),
        longest_answer_s=max(answer_chars(block) for block in asked) * speed.char_s,
    )


class _Patience:
    """How long to wait for one unit, and whether to ask it at all."""

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._asked = 0
        self._worst_s = 0.0
        self.answered = 0
        self.misses = 0

    @property
    def window_s(self) -> float:
        """Seconds to listen after the next request."""
        return max(self._least_s, 2 * self._worst_s, 0.0 if self._asked else FIRST_LISTEN_S)

    def note(self, exchange: Exchange, is_answered: bool) -> None:
        """Take in what came of a request."""
        self._asked += 1
        self.misses = 0 if is_answered else self.misses + 1
        if is_answered:
            self.answered += 1
            self._worst_s = max(self._worst_s, exchange.end_s - exchange.sent_s)


async def _least_gap(wire: Wire, speed: Speed, probe: Probe, listen_s: float) -> float | None:
    """The shortest silence before a request that this unit bears, s; None when it answers reliably at none."""
    if await _bears(wire, probe, speed.silence_s, listen_s):
        return speed.silence_s
    low_s, high_s = speed.silence_s, RELAXED_GAP_S
    if low_s >= high_s or not await _bears(wire, probe, high_s, listen_s):
        return None
    while high_s / low_s > STEP:
        middle_s = (low_s * high_s) ** 0.5
        if await _bears(wire, probe, middle_s, listen_s):
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s


async def _bears(wire: Wire, probe: Probe, gap_s: float, listen_s: float) -> bool:
    """Whether the unit answers a request so soon after its last answer."""
    block = probe.blocks[0]
    good = 0
    for tried in range(1, TRIES + 1):
        await wire.ask(probe.unit_id, block, listen_s, RELAXED_GAP_S)
        exchange = await wire.ask(probe.unit_id, block, listen_s, gap_s)
        good += is_answered(exchange.heard, probe.unit_id, block)
        if tried - good > TRIES - ENOUGH:
            break
    return good >= ENOUGH
