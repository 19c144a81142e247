"""A bounded queue between the broker's connection and the pipeline; agents that bring a fire go first."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.ingest.door import Arrival

FIRE = b'"fire"'
"""Stands in a message that may bring a fire. A guess that is wrong costs a place in the queue, nothing else."""


class Lane:
    """A bounded queue of messages, by number and by bytes. Full: the newest is not taken (the agent sends again)."""

    def __init__(self, messages: int, size: int) -> None:
        self._messages = messages
        self._size = size
        self._held = 0
        self._queue: deque[Arrival] = deque()
        self._burning: dict[str, int] = {}
        """Agent (site/agent) -> how many of its messages in the queue may bring a fire."""

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
        self._count(arrival, 1)
        return True

    def take(self, most: int) -> list[Arrival]:
        """Up to so many messages: first those of agents that bring a fire, up to that fire; then the oldest.

        What one agent sent stays in its order: a lane is taken by its numbers.
        """
        if self._burning:
            self._put_fires_first()
        taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
        for arrival in taken:
            self._count(arrival, -1)
        return taken

    def put_back(self, arrivals: Sequence[Arrival]) -> None:
        """Messages that were taken and not judged stand at the front again, in their order."""
        self._queue.extendleft(reversed(arrivals))
        for arrival in arrivals:
            self._count(arrival, 1)

    def _put_fires_first(self) -> None:
        left = dict(self._burning)
        first: list[Arrival] = []
        others: list[Arrival] = []
        for arrival in self._queue:
            agent = _agent(arrival)
            if agent not in left:
                others.append(arrival)
                continue
            first.append(arrival)
            if FIRE in arrival.payload:
                left[agent] -= 1
                if not left[agent]:
                    del left[agent]
        self._queue = deque(first + others)

    def _count(self, arrival: Arrival, by: int) -> None:
        self._held += by * len(arrival.payload)
        if FIRE in arrival.payload:
            agent = _agent(arrival)
            self._burning[agent] = self._burning.get(agent, 0) + by
            if not self._burning[agent]:
                del self._burning[agent]


def put_back(left: list[Arrival], again: list[Arrival], alarm: Lane, telemetry: Lane) -> list[Arrival]:
    """Messages that were not judged go back to their lanes; to the front of those that wait for another try, if any
    do. Gives what waits for another try."""
    if again:
        return left + again
    alarm.put_back([each for each in left if not each.topic.endswith("/telemetry")])
    telemetry.put_back([each for each in left if each.topic.endswith("/telemetry")])
    return again


def waiting_since(now_ms: int, again: Sequence[Arrival], *lanes: Lane) -> int:
    """When the oldest message that waits was received, now at the latest: until then it is known who was silent."""
    times = [now_ms, *(each.received_ms for each in again[:1])]
    return min(times + [lane.oldest_ms for lane in lanes if lane.oldest_ms is not None])


def _agent(arrival: Arrival) -> str:
    """Whose message it is: the topic without its last part."""
    return arrival.topic.rpartition("/")[0]
