"""A simulated panel to the line it hangs on: it hears bytes and says bytes, and breaks when told to.

A panel answers what the host may say. Whatever else the host says is kept: a gateway must never have said it.
"""

from __future__ import annotations

from collections import deque


class SimulatedPanel:
    """Base: a panel that only talks. `say` queues what it has to tell."""

    repeats = 1
    """How often each frame is sent."""

    def __init__(self) -> None:
        self.queue: deque[bytes] = deque(maxlen=256)
        self.forbidden = bytearray()
        """Bytes the host should never have sent."""
        self.heard = bytearray()
        """Everything the host sent."""

    def say(self, frame: bytes) -> None:
        """Have something to tell."""
        self.queue.append(frame)

    def hear(self, data: bytes, *, mark: bool) -> bytes:  # noqa: ARG002  # a panel with a ninth bit looks at it
        """Bytes of the host, with the parity of its port; returns what the panel says to them."""
        self.heard += data
        self.forbidden += data
        return b""

    def push(self, elapsed_s: float) -> bytes:  # noqa: ARG002  # a panel that waits for an answer counts the time
        """What it says on its own."""
        return self.queue.popleft() * self.repeats if self.queue else b""

    @property
    def is_done(self) -> bool:
        """Whether everything has been told."""
        return not self.queue


def checksum(data: bytes) -> int:
    """Low byte of the sum."""
    return sum(data) % 256
