"""A bounded queue between the broker's connection and the pipeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.ingest.door import Arrival


class Lane:
    """A bounded queue of messages, by number and by bytes. Full: the newest is not taken (the agent sends again)."""

    def __init__(self, messages: int, size: int) -> None:
        self._messages = messages
        self._size = size
        self._held = 0
        self._queue: deque[Arrival] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest message was received; None when there is none."""
        return self._queue[0].received_ms if self._queue else None

    def put(self, arrival: Arrival) -> bool:
        """Take a message; False when there is no room."""
        if len(self._queue) >= self._messages or self._held + len(arrival.payload) > self._size:
            return False
        self._queue.append(arrival)
        self._held += len(arrival.payload)
        return True

    def get(self) -> Arrival:
        """The oldest message."""
        arrival = self._queue.popleft()
        self._held -= len(arrival.payload)
        return arrival


def waiting_since(now_ms: int, again: Sequence[Arrival], *lanes: Lane) -> int:
    """When the oldest message that waits was received, now at the latest: until then it is known who was silent."""
    times = [now_ms, *(each.received_ms for each in again[:1])]
    return min(times + [lane.oldest_ms for lane in lanes if lane.oldest_ms is not None])
