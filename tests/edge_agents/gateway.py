"""The other side of the wire, as small as the contract allows: takes batches strictly in order and answers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from types import TracebackType

import aiomqtt

from contract.messages import (
    AgentState,
    Batch,
    Lane,
    Reading,
    Receipt,
    Request,
    decode_batch,
    decode_state,
    digest,
    encode,
)

DEADLINE_S = 20.0
NO_DELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


class SmallGateway:
    """Commits batches to lists. `withhold` keeps receipts back; `refuse` names batches it cannot read."""

    def __init__(self, port: int, site: str = "s1", agent: str = "a1") -> None:
        self._port = port
        self._prefix = f"weizhan/v1/{site}/{agent}"
        self.committed: dict[Lane, list[Batch]] = {"alarm": [], "telemetry": []}
        self.watermark: dict[tuple[str, Lane], int] = {}
        self.states: list[AgentState] = []
        self.arrivals: list[tuple[Lane, int]] = []
        self.duplicates = 0
        self.holes = 0
        self.withhold = False
        self.refuse: Callable[[Batch], bool] = lambda _: False
        self._refused: list[str] = []
        self._client: aiomqtt.Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> SmallGateway:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(ready), name="small-gateway")
        await asyncio.wait_for(ready.wait(), DEADLINE_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._task is not None
        # Once is not enough: Python 3.11's `wait_for`, which aiomqtt waits with, can swallow a cancellation.
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.5)
        await asyncio.gather(self._task, return_exceptions=True)

    def readings(self, lane: Lane) -> list[Reading]:
        """Everything committed of a lane, in order."""
        return [reading for batch in self.committed[lane] for reading in batch.readings]

    def gap_readings(self, lane: Lane) -> int:
        """Readings the agent said it gave up."""
        return sum(gap.readings for batch in self.committed[lane] for gap in batch.gaps)

    async def request(self, request: Request) -> None:
        """Send a request to the agent."""
        assert self._client is not None
        await self._client.publish(f"{self._prefix}/request", encode(request), qos=1)

    async def send_receipt(self, receipt: Receipt) -> None:
        """Send any receipt."""
        assert self._client is not None
        await self._client.publish(f"{self._prefix}/receipt", encode(receipt), qos=1)

    async def _run(self, ready: asyncio.Event) -> None:
        while True:
            try:
                async with aiomqtt.Client(
                    "127.0.0.1", self._port, keepalive=5, timeout=1, socket_options=NO_DELAY
                ) as client:
                    await client.subscribe(f"{self._prefix}/#", qos=1)
                    self._client = client
                    ready.set()
                    async for message in client.messages:
                        await self._take(message)
            except aiomqtt.MqttError:
                await asyncio.sleep(0.1)

    async def _take(self, message: aiomqtt.Message) -> None:
        assert isinstance(message.payload, bytes)
        channel = message.topic.value.rpartition("/")[2]
        if channel == "state":
            self.states.append(decode_state(message.payload))
        if channel not in ("alarm", "telemetry"):
            return
        batch = decode_batch(message.payload)
        self.arrivals.append((batch.lane, batch.seq))
        key = (batch.epoch, batch.lane)
        known = self.watermark.get(key, 0)
        expected = max(known + 1, batch.oldest)
        rewind = False
        if self.refuse(batch):
            self._refused.append(digest(message.payload))
        elif batch.seq <= known:
            self.duplicates += 1
        elif batch.first_seq > expected:
            self.holes += 1
            rewind = True
        else:
            self.committed[batch.lane].append(batch)
            self.watermark[key] = batch.seq
        if not self.withhold:
            marks = {lane: self.watermark.get((batch.epoch, lane), 0) for lane in ("alarm", "telemetry")}
            await self.send_receipt(Receipt(epoch=batch.epoch, rewind=rewind, refused=self._refused[-5:], **marks))


async def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until the condition holds; fails the test naming what was awaited."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.01)


__all__ = ["SmallGateway", "until"]
