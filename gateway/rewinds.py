"""Which agents are asked to send again: each hole once in a while, not once a message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

AGAIN_S = 0.5
"""A hole is told to its agent once in this long: what is in flight behind it shows the same hole."""
Lane = tuple[str, str, str, str]


class Rewinds:
    """What was asked for already. monotonic: seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._asked: dict[Lane, tuple[int, float]] = {}

    def due(self, holes: Iterable[Lane], watermarks: Mapping[Lane, int]) -> set[tuple[str, str, str]]:
        """The (site, agent, epoch) to be asked now, of the lanes in which a hole was seen."""
        now_s, due = self._monotonic(), set()
        for lane in holes:
            watermark = watermarks.get(lane, 0)
            before, at_s = self._asked.get(lane, (-1, 0.0))
            if before != watermark or now_s - at_s >= AGAIN_S:
                self._asked[lane] = (watermark, now_s)
                due.add(lane[:3])
        return due
