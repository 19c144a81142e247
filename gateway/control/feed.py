"""The live feed: committed events to every subscriber, encoded once. A subscriber that lags is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from gateway.control.protocol import Event, Snapshot

QUEUE = 2000
"""Events a subscriber may lag behind before it is cut off."""
QUEUE_BYTES = 8 * 1024 * 1024
"""Bytes it may lag behind; one line alone may be longer."""
_encode = msgspec.json.Encoder().encode


class Subscriber:
    """One subscription: lines to send; None ends it."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE)
        self._held = 0
        self.cut = False

    def put(self, line: bytes) -> None:
        """Queue a line; a full queue is emptied and the subscriber cut off, so that it never shows old for new."""
        if self.cut:
            return
        if self._lines.full() or (self._held and self._held + len(line) > QUEUE_BYTES):
            self.end()
            return
        self._lines.put_nowait(line)
        self._held += len(line)

    async def get(self) -> bytes | None:
        """The next line, when there is one."""
        line = await self._lines.get()
        self._held -= len(line or b"")
        return line

    def end(self) -> None:
        """No further lines."""
        self.cut = True
        while not self._lines.empty():
            self._lines.get_nowait()
        self._held = 0
        self._lines.put_nowait(None)


class Feed:
    """All subscribers."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self.cut_off = 0

    @property
    def count(self) -> int:
        """How many listen."""
        return len(self._subscribers)

    def join(self, subscriber: Subscriber, snapshot: Snapshot) -> None:
        """Begin a subscription with everything current."""
        subscriber.put(encode_event(Event(event="snapshot", data=snapshot)))
        self._subscribers.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """End a subscription."""
        self._subscribers.discard(subscriber)

    def cut(self, subscriber: Subscriber) -> None:
        """Cut off one that does not keep up."""
        subscriber.end()
        if subscriber in self._subscribers:
            self._subscribers.discard(subscriber)
            self.cut_off += 1

    def publish(self, events: Sequence[Event]) -> None:
        """Tell everybody, in order."""
        for event in events:
            line = encode_event(event)
            for subscriber in tuple(self._subscribers):
                subscriber.put(line)
                if subscriber.cut:
                    self.cut(subscriber)

    def tell(self, event: Event) -> bool:
        """Tell everybody of one event; False when nobody listens."""
        self.publish((event,))
        return bool(self._subscribers)

    def end(self) -> None:
        """End every subscription."""
        for subscriber in self._subscribers:
            subscriber.end()
        self._subscribers.clear()


def encode_event(event: Event) -> bytes:
    """An event as a line."""
    return _encode(event) + b"\n"
