"""The way between agents and gateway: a broker, connections to it, and what can happen to them.

A connection is two streams in order, as TCP is: what is sent while its direction is cut waits, comes late when the cut
heals, and is lost with the connection when that takes longer than the keep-alive. The broker keeps nothing of who is
not there (clean sessions) and may lose, repeat and delay what it passes on, at any time later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Literal, NamedTuple

import aiomqtt

from tests.world.loop import ProcessLoop, Timeline

Direction = Literal["up", "down"]
CUT = "the connection was cut"
REPLAYED = 200
"""Messages of one replay: more than the smallest queues hold. The thousandth says nothing that the first did not."""
INCOMING = 1000
"""Messages a client holds; aiomqtt drops what comes beyond."""


@dataclass
class Weather:
    """What the network does to one process now."""

    delay_s: tuple[float, float] = (0.001, 0.02)
    cut: set[Direction] = field(default_factory=set)
    lose: float = 0.0
    """Share of messages that the broker loses (its queue is full)."""
    repeat: float = 0.0
    """Share that the broker hands over once more, up to `repeat_s` later."""
    repeat_s: float = 600.0


class Message(NamedTuple):
    """As the product reads it of aiomqtt."""

    topic: aiomqtt.Topic
    payload: bytes
    retain: bool


class Broker:
    """The broker and all connections.

    Args:
        trace: told of everything that passes: (what, process, topic, payload).
    """

    def __init__(self, timeline: Timeline, random: Random, trace: Callable[[str, str, str, bytes], None]) -> None:
        self.timeline = timeline
        self.random = random
        self.trace = trace
        self.weather: dict[str, Weather] = {}
        self.retained: dict[str, bytes] = {}
        self.up = True
        self.clients: list[Client] = []
        self.stored: deque[tuple[str, bytes]] = deque(maxlen=4000)
        """What was passed on lately, for replays."""
        self._topics: dict[str, aiomqtt.Topic] = {}

    def weather_of(self, process: str) -> Weather:
        return self.weather.setdefault(process, Weather())

    def delay_s(self, process: str) -> float:
        return self.random.uniform(*self.weather_of(process).delay_s)

    def crash(self, *, wiped: bool) -> None:
        """The broker dies: every connection ends, what was on its way is gone; perhaps what it kept as well."""
        self.up = False
        for client in list(self.clients):
            client.lose(CUT)
        if wiped:
            self.retained.clear()

    def start(self) -> None:
        self.up = True

    def heal(self, process: str) -> None:
        """Both directions carry again: what waited comes now."""
        weather = self.weather_of(process)
        weather.cut.clear()
        for client in self.clients:
            if client.process == process:
                client.flush()

    def cut(self, process: str, directions: set[Direction]) -> None:
        """From now on nothing passes this way."""
        self.weather_of(process).cut |= directions
        for client in [client for client in self.clients if client.process == process]:
            client.watch()

    def reset(self, process: str) -> None:
        """The connections of a process end at once."""
        for client in [client for client in self.clients if client.process == process]:
            client.lose(CUT)

    def gone(self, client: Client) -> None:
        """A process is gone without a word: its last will is told when the broker notices."""
        if client in self.clients:
            self.clients.remove(client)
            if client.will is not None and self.up:
                self.timeline.after(self.random.uniform(0.01, 1.0), lambda: self._will(client))

    def _will(self, client: Client) -> None:
        if self.up and client.will is not None and not any(c.identifier == client.identifier for c in self.clients):
            payload = client.will.payload
            assert isinstance(payload, bytes)
            self.publish(client.will.topic, payload, retain=client.will.retain)

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """A message has reached the broker."""
        if retain:
            self.retained[topic] = payload
        self.stored.append((topic, payload))
        for client in self.clients:
            if client.wants(topic):
                self.pass_on(client, topic, payload, retain=False)

    def pass_on(self, client: Client, topic: str, payload: bytes, *, retain: bool) -> None:
        """Hand a message to one client, in order, or not at all, or more than once."""
        weather, random = self.weather_of(client.process), self.random
        if weather.lose and random.random() < weather.lose:
            self.trace("lost", client.process, topic, payload)
            return
        known = self._topics.get(topic)
        if known is None:
            known = self._topics[topic] = aiomqtt.Topic(topic)
        message = Message(known, payload, retain)
        client.down(lambda: client.take(message))
        if weather.repeat and random.random() < weather.repeat:
            later_s = random.uniform(0.0, weather.repeat_s)
            self.timeline.after(later_s, lambda: client.down(lambda: client.take(message)))

    def replay(self, share: float) -> None:
        """Old messages, whatever their age, come once more, in any order: a share of them, REPLAYED at most."""
        old = [each for each in self.stored if self.random.random() < share]
        self.random.shuffle(old)
        del old[REPLAYED:]
        for topic, payload in old:
            for client in self.clients:
                if client.wants(topic):
                    self.pass_on(client, topic, payload, retain=False)


class Client:
    """One connection; what of aiomqtt.Client the product uses."""

    def __init__(
        self,
        broker: Broker,
        process: str,
        loop: ProcessLoop,
        effect: Callable[[str], bool],
        *,
        identifier: str,
        keepalive: int,
        timeout: float,
        will: aiomqtt.Will | None = None,
        queue_type: type[asyncio.Queue[Any]] | None = None,
        **_: Any,
    ) -> None:
        self.broker, self.process, self.loop, self.effect = broker, process, loop, effect
        self.identifier, self.will = identifier, will
        self.keepalive, self.timeout = keepalive, timeout
        self.filters: list[str] = []
        self._handover = None if queue_type is None else queue_type()
        self._inbox: deque[Message] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._answers: list[asyncio.Future[None]] = []
        self._order_us = {"up": 0, "down": 0}
        self._held: dict[str, list[Callable[[], None]]] = {"up": [], "down": []}
        self._open = False

    # --- as aiomqtt's ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Client:
        broker = self.broker
        ready = self.loop.create_future()

        if broker.up:
            self._open = True
            self.up(lambda: self.down(partial(_finish, ready)))
        else:
            self.broker.timeline.after(0.002, partial(_finish, ready))
        try:
            async with asyncio.timeout(self.timeout):
                await ready
        except TimeoutError:
            self._open = False
            raise aiomqtt.MqttError("Operation timed out") from None
        if not broker.up or not self._open:
            raise aiomqtt.MqttError(CUT)
        for other in [c for c in broker.clients if c.identifier == self.identifier]:
            other.lose("taken over")
        broker.clients.append(self)
        if broker.weather_of(self.process).cut:
            self.watch()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._open:
            self._open = False
            if self in self.broker.clients:
                if self.loop.dead:
                    self.broker.gone(self)
                else:
                    self.broker.clients.remove(self)
        self._wake()

    async def subscribe(self, topic: Any, qos: int = 0) -> tuple[int, ...]:
        wanted = [name for name, _ in topic] if isinstance(topic, list) else [topic]
        granted = self.loop.create_future()

        def arrive() -> None:
            self.filters += wanted
            kept = [(name, data) for name, data in self.broker.retained.items() if _fits(wanted, name)]
            self.down(partial(_finish, granted))
            for name, data in kept:
                self.broker.pass_on(self, name, data, retain=True)

        self.up(arrive)
        await self._answer(granted)
        return (1,) * len(wanted)

    async def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        if not self._open or self.loop.dead:
            raise aiomqtt.MqttError(CUT)
        if self.effect("publish"):
            raise aiomqtt.MqttError(CUT)
        self.broker.trace("sent", self.process, topic, payload)
        taken = self.loop.create_future()

        def arrive() -> None:
            self.broker.publish(topic, payload, retain=retain)
            self.down(partial(_finish, taken))

        self.up(arrive)
        if qos:
            await self._answer(taken)

    @property
    def messages(self) -> AsyncIterator[Any]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Any]:
        while True:
            if self._inbox:
                yield self._inbox.popleft()
            elif not self._open:
                raise aiomqtt.MqttError(CUT)
            else:
                self._arrival = self.loop.create_future()
                await self._arrival

    async def _answer(self, answer: asyncio.Future[None]) -> None:
        if not self._open:
            raise aiomqtt.MqttError(CUT)
        self._answers.append(answer)
        try:
            async with asyncio.timeout(self.timeout):
                await answer
        except TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None
        finally:
            self._answers.remove(answer)
        if not self._open:
            raise aiomqtt.MqttError(CUT)

    # --- the connection --------------------------------------------------------------------------------------------

    def wants(self, topic: str) -> bool:
        return self._open and _fits(self.filters, topic)

    def up(self, arrive: Callable[[], None]) -> None:
        """To the broker, in order."""
        self._stream("up", arrive)

    def down(self, arrive: Callable[[], None]) -> None:
        """From the broker, in order."""
        self._stream("down", arrive)

    def _stream(self, direction: Direction, arrive: Callable[[], None]) -> None:
        broker = self.broker
        if not self._open:
            return
        if direction in broker.weather_of(self.process).cut or self._held[direction]:
            self._held[direction].append(arrive)
            return
        at_us = broker.timeline.now_us + round(broker.delay_s(self.process) * 1e6)
        at_us = self._order_us[direction] = max(at_us, self._order_us[direction])
        broker.timeline.at(at_us, lambda: self._arrive(direction, arrive))

    def _arrive(self, direction: Direction, arrive: Callable[[], None]) -> None:
        if not self._open or (direction == "up" and not self.broker.up):
            return
        if direction == "down" and self.loop.dead:
            return
        if direction in self.broker.weather_of(self.process).cut:
            self._held[direction].append(arrive)
        else:
            arrive()

    def flush(self) -> None:
        """The cut is healed."""
        for direction in ("up", "down"):
            held, self._held[direction] = self._held[direction], []
            for arrive in held:
                self._stream(direction, arrive)

    def watch(self) -> None:
        """After a cut: without a sign of life for one and a half keep-alives, either side gives the connection up."""
        wait_s = self.keepalive * self.broker.random.uniform(1.0, 1.5)

        def look() -> None:
            if self._open and self.broker.weather_of(self.process).cut:
                self.lose("keep alive timeout")

        self.broker.timeline.after(wait_s, look)

    def lose(self, why: str) -> None:
        """The connection is gone; both sides notice."""
        if not self._open:
            return
        self._open = False
        self.broker.gone(self)
        self._wake()

    def take(self, message: Message) -> None:
        """A message is here."""
        if self.loop.dead:
            return
        if self.effect("message"):
            return
        self.broker.trace("got", self.process, str(message.topic), message.payload)
        if self._handover is not None:
            self._handover.put_nowait(message)
        elif len(self._inbox) < INCOMING:
            self._inbox.append(message)
            self._wake(answers=False)

    def _wake(self, *, answers: bool = True) -> None:
        if self.loop.dead and not self.loop.draining:
            return
        waiting = self._answers if answers else ()
        for future in (self._arrival, *waiting):
            if future is not None and not future.done():
                future.set_result(None)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fits(filters: list[str], topic: str) -> bool:
    return any(name == topic or ("+" in name and _matches(name, topic)) for name in filters)


def _matches(name: str, topic: str) -> bool:
    parts, words = name.split("/"), topic.split("/")
    return len(parts) == len(words) and all(a in ("+", b) for a, b in zip(parts, words, strict=True))
