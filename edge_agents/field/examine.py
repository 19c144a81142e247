"""Asks a line the questions a diagnosis needs: listens, polls, and looks for the shortest silence units bear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed, answer_chars
from edge_agents.field.doctor import Observed
from edge_agents.field.frames import is_answered
from edge_agents.field.wire import Exchange, Wire

LISTEN_AT_LEAST_S = 1.0
"""A unit gets this long or twice its timeout to answer: what comes late is to be seen."""
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
    window_s = max(LISTEN_AT_LEAST_S, 2 * timeout_s)
    exchanges: list[Exchange] = []
    misses = dict.fromkeys((probe.unit_id for probe in probes), 0)
    for turn in range(rounds):
        for number, probe in enumerate(probes):
            for block in probe.blocks:
                if misses[probe.unit_id] >= GIVE_UP_AFTER:
                    break
                exchange = await wire.ask(probe.unit_id, block, window_s, speed.silence_s)
                exchanges.append(exchange)
                is_heard = is_answered(exchange.heard, probe.unit_id, block)
                misses[probe.unit_id] = 0 if is_heard else misses[probe.unit_id] + 1
            progress((turn + (number + 1) / len(probes)) / rounds)
    gap_s = await _least_gap(wire, speed, _steadiest(probes, exchanges), timeout_s)
    blocks = [block for probe in probes for block in probe.blocks]
    return Observed(
        speed=speed,
        timeout_s=timeout_s,
        exchanges=tuple(exchanges),
        listened_s=listen_s,
        idle=idle,
        least_gap_s=gap_s,
        blocks_a_unit=len(blocks) / len(probes),
        longest_answer_s=max(answer_chars(block) for block in blocks) * speed.char_s,
    )


async def _least_gap(wire: Wire, speed: Speed, probe: Probe | None, timeout_s: float) -> float | None:
    """The shortest silence before a request that this unit bears, s; None when it answers at none."""
    if probe is None or await _bears(wire, probe, speed.silence_s, timeout_s):
        return None if probe is None else speed.silence_s
    low_s, high_s = speed.silence_s, RELAXED_GAP_S
    if low_s >= high_s or not await _bears(wire, probe, high_s, timeout_s):
        return None
    while high_s / low_s > STEP:
        middle_s = (low_s * high_s) ** 0.5
        if await _bears(wire, probe, middle_s, timeout_s):
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s


async def _bears(wire: Wire, probe: Probe, gap_s: float, timeout_s: float) -> bool:
    """Whether the unit answers a request so soon after its last answer."""
    block = probe.blocks[0]
    good = 0
    for _ in range(TRIES):
        await wire.ask(probe.unit_id, block, timeout_s, RELAXED_GAP_S)
        exchange = await wire.ask(probe.unit_id, block, timeout_s, gap_s)
        good += is_answered(exchange.heard, probe.unit_id, block)
    return good >= ENOUGH


def _steadiest(probes: Sequence[Probe], exchanges: Sequence[Exchange]) -> Probe | None:
    """The unit that answered most often; None when none did."""
    answered = dict.fromkeys((probe.unit_id for probe in probes), 0)
    for exchange in exchanges:
        answered[exchange.unit_id] += is_answered(exchange.heard, exchange.unit_id, exchange.block)
    best = max(probes, key=lambda probe: answered[probe.unit_id], default=None)
    return best if best is not None and answered[best.unit_id] else None
