"""A bounded queue between the broker's connection and the pipeline; agents that bring a fire go first."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.clock_steps import ClockSteps
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
    def oldest(self) -> Arrival | None:
        """The oldest message; None when there is none."""
        return self._queue[0] if self._queue else None

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


class Intake:
    """What waits to be judged: what has to be tried again, then alarms, then telemetry.

    Args:
        messages, size: bounds of each lane, in messages and bytes. steps: notices when the clock of arrivals is set.
    """

    def __init__(self, messages: int, size: int, steps: ClockSteps) -> None:
        self._steps = steps
        self.clock_ms = 0
        """How far the clock was set since the start."""
        self.alarm = Lane(messages, size)
        self.telemetry = Lane(messages, size)
        self.again: list[Arrival] = []
        """Messages whose commit failed, in their order."""

    def __len__(self) -> int:
        return len(self.again) + len(self.alarm) + len(self.telemetry)

    def put(self, arrival: Arrival) -> bool:
        """Take a message; False when its lane has no room. Alarms and agents' states go first."""
        self.look_at_clock()
        return (self.telemetry if is_telemetry(arrival) else self.alarm).put(arrival._replace(clock_ms=self.clock_ms))

    def take(self, most: int) -> list[Arrival]:
        """Up to so many messages, those to be tried again first."""
        taken, self.again = self.again[:most], self.again[most:]
        for lane in (self.alarm, self.telemetry):
            taken += lane.take(most - len(taken))
        return taken

    def give_back(self, left: list[Arrival]) -> None:
        """Messages that were taken and not judged go to the front of where they came from."""
        if self.again:
            self.again = left + self.again
            return
        self.alarm.put_back([each for each in left if not is_telemetry(each)])
        self.telemetry.put_back([each for each in left if is_telemetry(each)])

    def waiting_since(self, now_ms: int) -> int:
        """When the oldest message that waits was received, now at the latest: until then it is known who was silent."""
        oldest = [*self.again[:1], self.alarm.oldest, self.telemetry.oldest]
        return min([now_ms, *(self.by_clock(each).received_ms for each in oldest if each is not None)])

    def look_at_clock(self) -> int:
        """Notice whether the clock was set; gives how far it was in all. Call it often."""
        self.clock_ms += self._steps.take()
        return self.clock_ms

    def by_clock(self, arrival: Arrival) -> Arrival:
        """A message with the time it was received at by the clock as it is now: it has waited as long as before."""
        by_ms = self.clock_ms - arrival.clock_ms
        if not by_ms:
            return arrival
        return arrival._replace(received_ms=arrival.received_ms + by_ms, clock_ms=self.clock_ms)


def is_telemetry(arrival: Arrival) -> bool:
    """Whether it may wait for company."""
    return arrival.topic.endswith("/telemetry")


def _agent(arrival: Arrival) -> str:
    """Whose message it is: the topic without its last part."""
    return arrival.topic.rpartition("/")[0]
