"""What a bad serial line does to answers: noise, echo, lateness, collisions, a pulled plug; seeded, byte by byte."""

from __future__ import annotations

import random

from simulators.story_acts import LineAct

LATE_S = (0.6, 1.8)
"""A late answer comes so much later: after the reader has given up, often into its next question."""


class LineFaults:
    """Does it to one line; nothing while `act` is None.

    Args:
        seed: of which answers suffer, and how.
    """

    def __init__(self, seed: int = 1) -> None:
        self.act: LineAct | None = None
        self.suffered = 0
        """Answers that did."""
        self._rng = random.Random(seed)  # noqa: S311  # a line that must repeat, no secret

    @property
    def is_unplugged(self) -> bool:
        """Nobody hears anybody."""
        return self.act is not None and self.act.fault == "unplugged"

    def shape(self, request: bytes, answer: bytes) -> tuple[float, bytes]:
        """(seconds it comes later, what comes) in place of an answer.

        noise: some bits of it are others, or bytes stand before it. echo: the adapter hears itself, so the question
        stands before it, always. late: it is whole and too late. collision: another unit speaks from its middle on.
        """
        act = self.act
        if act is None or (act.fault != "echo" and self._rng.random() >= act.share):
            return 0.0, answer
        self.suffered += 1
        if act.fault == "echo":
            return 0.0, request + answer
        if act.fault == "late":
            return self._rng.uniform(*LATE_S), answer
        if act.fault == "collision":
            middle = len(answer) // 2
            return 0.0, answer[:middle] + bytes(byte & self._rng.randrange(256) for byte in answer[middle:])
        noise = bytes(self._rng.randrange(256) for _ in range(self._rng.randint(0, 3)))
        spoilt = bytearray(answer)
        spoilt[self._rng.randrange(len(spoilt))] ^= 1 << self._rng.randrange(8)
        return 0.0, noise + bytes(spoilt)
