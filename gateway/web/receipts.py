"""How often an address may ask for a page that needs no sign-in."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

TRIES = 30
WINDOW_S = 60.0
"""So many requests of one address within so many seconds; a person needs two."""
ADDRESSES = 5000
"""Addresses remembered; the one heard of longest ago goes first."""


class Brake:
    """Counts requests by address: at most `tries` within `window_s`. `monotonic` gives seconds."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, *, tries: int = TRIES, window_s: float = WINDOW_S
    ) -> None:
        self._monotonic = monotonic
        self._tries = tries
        self._window_s = window_s
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Count one more; False when it is one too many."""
        now = self._monotonic()
        times = self._seen.setdefault(address, deque())
        self._seen.move_to_end(address)
        while len(self._seen) > ADDRESSES:
            self._seen.popitem(last=False)
        while times and now - times[0] > self._window_s:
            times.popleft()
        if len(times) >= self._tries:
            return False
        times.append(now)
        return True
