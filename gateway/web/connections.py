"""Connections of the server: one that is held open without asking anything makes room for one that asks.

A server takes so many connections and refuses everybody beyond. Whoever opens that many and says nothing, from one
laptop in the same network, would keep the duty desk out. So before it is full the one that has asked nothing for the
longest time is closed: a browser that still wants it connects again, unseen. Boards that listen and requests that are
being answered are left alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SPARE = 50
"""Connections kept free below the limit, for those who come at the same time."""


class Connection(H11Protocol):
    """A connection that knows since when it asks nothing. The limit is uvicorn's `limit_concurrency`."""

    idle_since_s = 0.0
    """Of the loop's clock: connected, or answered the last time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Take it, and let another one go where there are too many."""
        super().connection_made(transport)
        self.idle_since_s = self.loop.time()
        if self.limit_concurrency is not None and len(self.connections) > max(1, self.limit_concurrency - SPARE):
            self._make_room()

    def on_response_complete(self) -> None:
        """From now on it is idle again."""
        self.idle_since_s = self.loop.time()
        super().on_response_complete()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked: no request, none whose body is still to come, none that is being answered."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)

    def _make_room(self) -> None:
        idle = [one for one in self.connections if isinstance(one, Connection) and one.is_idle and one is not self]
        if idle:
            longest = min(idle, key=lambda one: one.idle_since_s)
            self.connections.discard(longest)
            longest.transport.abort()
