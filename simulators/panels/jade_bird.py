"""Jade Bird 193K/293K card: 26 bytes of nibbles, pushed, or one for each question."""

from __future__ import annotations

from datetime import datetime

from simulators.panels.panel import SimulatedPanel, checksum

QUESTION = bytes.fromhex("82" + "30" * 24 + "83")


def jbf_frame(command: int, controller: int, loop: int, point: int, kind: int, at: datetime) -> bytes:
    """One frame."""
    data = bytes(
        (command, controller, loop, point, kind, at.year - 2000, at.month, at.day, at.hour, at.minute, at.second)
    )
    text = (data + bytes((checksum(data),))).hex()
    return b"\x82" + bytes(0x30 + int(digit, 16) for digit in text) + b"\x83"


class JadeBirdPanel(SimulatedPanel):
    """asked: answers each question with one frame, else pushes."""

    def __init__(self, *, asked: bool = False) -> None:
        super().__init__()
        self._asked = asked

    def hear(self, data: bytes, *, mark: bool) -> bytes:
        """The question."""
        if self._asked and data == QUESTION:
            self.heard += data
            return self.queue.popleft() if self.queue else jbf_frame(0, 1, 0, 0, 0, datetime(2020, 1, 1))  # noqa: DTZ001  # the panel's own clock
        return super().hear(data, mark=mark)

    def push(self, elapsed_s: float) -> bytes:
        """Frames, where it is not asked."""
        return b"" if self._asked else super().push(elapsed_s)
