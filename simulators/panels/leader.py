"""Leader LD128E(N): the CRT port that is asked with one byte."""

from __future__ import annotations

from simulators.panels.panel import SimulatedPanel


class LeaderPanel(SimulatedPanel):
    """Answers 20 with 7F or with three bytes."""

    def hear(self, data: bytes, *, mark: bool) -> bytes:  # noqa: ARG002  # no ninth bit on this line
        """Questions."""
        self.heard += data
        self.forbidden += data.replace(b"\x20", b"")
        said = b""
        for _ in range(data.count(b"\x20")):
            said += self.queue.popleft() if self.queue else b"\x7f"
        return said

    def push(self, elapsed_s: float) -> bytes:  # noqa: ARG002  # it keeps no time
        """Nothing: it waits to be asked."""
        return b""
