"""A serial line in virtual time whose every property is known: the truth a diagnosis is held against."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping

from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed
from edge_agents.field.wire import Chunk, Exchange
from tests.simulators.clients import crc

Spread = Callable[[random.Random], float]


def frame(body: bytes) -> bytes:
    """With its CRC."""
    return body + crc(body)


class SimulatedWire:
    """Implements `Wire`. Time passes only here.

    Args:
        units: unit -> seconds it thinks before it answers, drawn anew each time.
        echo: our own bytes come back. damaged: share of answers with a flipped bit. noise: share of requests followed
            by stray bytes. needs_gap_s: a request sooner after the last byte is not heard. foreign_s: another master
            asks unit 77 (which answers) so often.
    """

    BEGIN_S = 100.0

    def __init__(
        self,
        units: Mapping[int, Spread],
        speed: Speed,
        *,
        seed: int = 1,
        echo: bool = False,
        damaged: float = 0.0,
        noise: float = 0.0,
        needs_gap_s: float = 0.0,
        foreign_s: float | None = None,
    ) -> None:
        self.units, self.speed, self.echo = units, speed, echo
        self.damaged, self.noise, self.needs_gap_s = damaged, noise, needs_gap_s
        self.foreign_s, self._next_foreign_s = foreign_s, foreign_s or 0.0
        self.random = random.Random(seed)
        self.now_s = self.BEGIN_S
        self.heard_s = 0.0
        self.pending: list[Chunk] = []
        self.thinking_s: list[float] = []
        self.sent_damaged = 0
        if foreign_s is not None:
            self._next_foreign_s += self.now_s

    async def ask(self, unit_id: int, block: Block, listen_s: float, gap_s: float) -> Exchange:
        """One exchange."""
        self.now_s = max(self.now_s, self.heard_s + gap_s)
        request = frame(struct.pack(">BBHH", unit_id, block.function, block.address, block.size))
        is_deaf = self.now_s - self.heard_s < self.needs_gap_s
        sent_s = self.now_s
        at_s = sent_s + len(request) * self.speed.char_s
        if self.echo:
            self.pending.append(Chunk(at_s, request))
        if unit_id in self.units and not is_deaf:
            think_s = self.units[unit_id](self.random)
            self.thinking_s.append(think_s)
            answer = bytearray(
                frame(struct.pack(">BBB", unit_id, block.function, 2 * block.size) + b"\1\2" * block.size)
            )
            if self.random.random() < self.damaged:
                answer[self.random.randrange(3, len(answer))] ^= 0x10
                self.sent_damaged += 1
            self.pending.append(Chunk(at_s + think_s + len(answer) * self.speed.char_s, bytes(answer)))
        if self.random.random() < self.noise:
            self.pending.append(Chunk(at_s + 0.001, b"\x00\xff"))
        return Exchange(unit_id, block, sent_s, *self._run(sent_s + listen_s, unit_id))

    async def listen(self, for_s: float) -> tuple[Chunk, ...]:
        """Only what others send."""
        return self._run(self.now_s + for_s, 0)[1]

    def _run(self, until_s: float, unit_id: int) -> tuple[float, tuple[Chunk, ...]]:
        """Let time pass until the unit has answered or the time is over."""
        while self.foreign_s is not None and self._next_foreign_s < until_s:
            request = frame(struct.pack(">BBHH", 77, 3, 0, 4))
            answer = frame(struct.pack(">BBB", 77, 3, 8) + bytes(8))
            self.pending += [Chunk(self._next_foreign_s, request), Chunk(self._next_foreign_s + 0.02, answer)]
            self._next_foreign_s += self.foreign_s
        self.pending.sort()
        end_s, taken = until_s, []
        while self.pending and self.pending[0].at_s <= end_s:
            chunk = self.pending.pop(0)
            taken.append(chunk)
            self.heard_s = max(self.heard_s, chunk.at_s)
            is_request = len(chunk.data) == 8 and self.echo
            if chunk.data[0] == unit_id and not is_request and crc(chunk.data[:-2]) == chunk.data[-2:]:
                end_s = min(end_s, chunk.at_s + self.speed.silence_s)
        self.now_s = end_s
        return end_s, tuple(taken)
