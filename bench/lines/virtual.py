"""An event loop whose clock jumps to the next timer instead of waiting for it; sockets and terminals stay real.

Hours of line time pass in seconds and the same seed gives the same run. Only code that takes its time from the loop
(or from `loop.time` handed in as clock) may run on it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Polls; where it would wait, time passes instead."""

    def __init__(self, grace_s: float) -> None:
        super().__init__()
        self._grace_s = grace_s
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(0.05)
        # What the kernel still has on its way comes before the jump.
        if self._grace_s and (ready := super().select(self._grace_s)):
            return ready
        self.passed_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`grace_s`: real time given to the kernel before each jump; needed with pseudo-terminals, not with sockets."""

    def __init__(self, grace_s: float = 0.0) -> None:
        self._jumping = _JumpingSelector(grace_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds that passed on this loop."""
        return 1000.0 + self._jumping.passed_s


def run_virtual(main: Coroutine[Any, Any, T], grace_s: float = 0.0) -> T:
    """Run to the end on a virtual clock."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(grace_s)) as runner:
        return runner.run(main)
