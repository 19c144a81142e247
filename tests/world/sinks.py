"""The ways to people: services that take a message, are slow, hang, fail, or die after they took it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from random import Random

from gateway.notify.targets import Letter, NotSent, Outcome
from tests.world.loop import ProcessLoop, Timeline
from tests.world.station import CANARY


@dataclass
class SinkWeather:
    """How a service is now. dies_after: it takes the message, and its answer never comes."""

    fails: float = 0.0
    hangs: float = 0.0
    dies_after: float = 0.0


class Sink:
    """A service outside: it remembers what it took, whatever became of the gateway."""

    def __init__(self, name: str, timeline: Timeline, random: Random) -> None:
        self.name = name
        self.timeline = timeline
        self.random = random
        self.weather = SinkWeather()
        self.taken: Counter[int] = Counter()
        """Number of a message -> how often it came."""
        self.doubtful: Counter[int] = Counter()
        """Of these: how often the answer was lost, so that it must come again."""
        self.secrets: list[str] = []
        """What of a secret came with a message."""
        self.told: dict[int, tuple[int, str]] = {}
        """Number of an alarm -> (µs, kind) of the first message about it."""


class SinkTarget:
    """The gateway's end of a way. timeout_s: as the product's own targets give a service."""

    def __init__(self, sink: Sink, loop: ProcessLoop, timeout_s: float) -> None:
        self._sink, self._loop, self._timeout_s = sink, loop, timeout_s

    async def send(self, letter: Letter) -> Outcome:
        sink, weather, random = self._sink, self._sink.weather, self._sink.random
        await asyncio.sleep(random.uniform(0.02, 0.2))
        if self._loop.dead:
            raise NotSent("the process is dead")
        if random.random() < weather.hangs:
            await asyncio.sleep(self._timeout_s)
            raise NotSent("the service did not answer in time")
        if random.random() < weather.fails:
            raise NotSent("the service answered 503")
        notice = letter.notice
        if CANARY in repr(letter):
            sink.secrets.append(f"message {notice.id}")
        sink.taken[notice.id] += 1
        for alarm in notice.alarms:
            sink.told.setdefault(alarm, (sink.timeline.now_us, notice.kind))
        if random.random() < weather.dies_after:
            sink.doubtful[notice.id] += 1
            await asyncio.sleep(self._timeout_s)
            raise NotSent("the connection ended before the answer")
        return Outcome(delivered=True)
