"""The way to the broker: the one module of the gateway that imports aiomqtt.

One connection at a time, a fresh client for each attempt, back-off 0.2 to 5 s with jitter. A broker that is away, at
the start or later, is one warning and never the end: agents keep what they have. Messages go straight from the client's
callback to the pipeline, because the client acknowledges before anybody reads and drops silently when its own queue is
full; ours counts what it leaves out and the agent sends it again. Receipts are cumulative, so the newest replaces the
one that waits; they go out at QoS 0, since a lost one is made up for by the agent's next try.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt

from contract.messages import Receipt, Request, encode
from contract.mqtt import MqttSettings
from contract.mqtt_client import BrokerClient
from contract.topics import UP, topic
from gateway.ingest.door import Arrival
from gateway.tasks import end_task

BACKOFF_S = (0.2, 1.5)
"""Seconds between two tries. There is one gateway and every alarm waits for it: it may ask often."""
ENTER_S = 3.0
"""A stop waits this long for a connection that is being made."""
REQUESTS = 100
"""Requests that may wait to be sent. One that is lost is asked again by the person who sees no new value."""
REFUSED = 64
"""Digests in one receipt at most; the others are told when their payload comes again."""
_log = logging.getLogger(__name__)
_Key = tuple[str, str, str]


def random_name() -> str:
    """12 hex digits nobody else has."""
    return uuid.uuid4().hex[:12]


class Subscriber:
    """Connection actor. `async with` starts it; it connects when it can.

    Args:
        deliver: takes each message at once, without waiting.
        uniform: a number between two, for jitter. new_client: as aiomqtt.Client. new_name: one no other client has.
    """

    def __init__(
        self,
        settings: MqttSettings,
        deliver: Callable[[Arrival], bool],
        now_ms: Callable[[], int],
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        new_client: Callable[..., aiomqtt.Client] = BrokerClient,
        new_name: Callable[[], str] = random_name,
    ) -> None:
        self._settings = settings
        self._uniform = uniform
        self._new_client = new_client
        self._new_name = new_name
        self._deliver = deliver
        self._now_ms = now_ms
        self._receipts: dict[_Key, Receipt] = {}
        self._requests: deque[tuple[str, str, Request]] = deque()
        self._to_send = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._entering: asyncio.Task[Any] | None = None
        self._is_closing = False
        self.connected = False
        """Whether the broker is there. It stays so when we leave by ourselves: what is committed then must not say that
        the broker was lost, or the next start finds it lost for as long as no gateway ran."""
        self.connects = 0

    async def __aenter__(self) -> Subscriber:
        self._task = asyncio.create_task(self._run(), name="mqtt")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closing = True
        if self._entering is not None:
            # Cut off half way through, the client would leave its socket and a task behind.
            await asyncio.wait([self._entering], timeout=ENTER_S)
        await end_task(self._task)

    def tell(self, site: str, agent: str, receipt: Receipt) -> None:
        """Queue a receipt; it takes the place of one that still waits for the same agent and epoch."""
        key = (site, agent, receipt.epoch)
        waiting = self._receipts.get(key)
        if waiting is not None:
            receipt.rewind |= waiting.rewind
            receipt.refused = [*waiting.refused, *receipt.refused]
        receipt.refused = receipt.refused[-REFUSED:]
        self._receipts[key] = receipt
        self._to_send.set()

    def request(self, site: str, agent: str, request: Request) -> None:
        """Send a request as soon as can be; a broker that is away, or too many at once, lose it."""
        if self.connected and len(self._requests) < REQUESTS:
            self._requests.append((site, agent, request))
            self._to_send.set()

    async def _run(self) -> None:
        pause_s, down = BACKOFF_S[0], False
        where = f"{self._settings.host}:{self._settings.port}"
        while True:
            connects = self.connects
            try:
                await self._session(where, down)
            except (aiomqtt.MqttError, OSError) as exc:
                if self.connects > connects:
                    pause_s, down = BACKOFF_S[0], False
                if not down:
                    _log.warning("broker %s: %s; trying again, agents keep what they have", where, exc)
                down = True
            finally:
                self.connected = self.connected and self._is_closing
            await asyncio.sleep(pause_s * self._uniform(0.7, 1.3))
            pause_s = min(pause_s * 2, BACKOFF_S[1])

    async def _session(self, where: str, was_down: bool) -> None:
        settings = self._settings
        client = self._new_client(
            settings.host,
            settings.port,
            username=settings.username,
            password=settings.password(),
            identifier=settings.username or f"weizhan-gateway-{self._new_name()}",
            keepalive=settings.keepalive_s,
            clean_session=True,
            timeout=10,
            tls_params=aiomqtt.TLSParameters(ca_certs=str(settings.ca_file)) if settings.ca_file else None,
            queue_type=self._queue_type(),
            # Without it a receipt waits up to 40 ms behind the acknowledgement before it (Nagle, delayed ACK).
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        async with self._connection(client):
            granted = await client.subscribe([(topic(settings.root, "+", "+", channel), 1) for channel in UP])
            if any((code if isinstance(code, int) else code.value) >= 0x80 for code in granted):
                raise aiomqtt.MqttError("got a subscription refused, want to read every agent. Check the broker's ACL")
            self.connected = True
            self.connects += 1
            if was_down:
                _log.info("broker %s: connected again", where)
            sending = asyncio.create_task(self._send(client), name="mqtt-receipts")
            try:
                # Messages never come this way; it ends, with the reason, when the connection does.
                async for _ in client.messages:
                    pass
            finally:
                await end_task(sending)

    @asynccontextmanager
    async def _connection(self, client: aiomqtt.Client) -> AsyncIterator[None]:
        entering = self._entering = asyncio.create_task(client.__aenter__(), name="mqtt-connect")
        try:
            await asyncio.shield(entering)
            yield
        finally:
            if not entering.done():
                await end_task(entering)
            elif not entering.cancelled() and entering.exception() is None:
                await client.__aexit__(None, None, None)

    def _queue_type(self) -> type[asyncio.Queue[aiomqtt.Message]]:
        deliver, now_ms = self._deliver, self._now_ms

        class Handover(asyncio.Queue[Any]):
            """Where the client would queue messages: hands each on instead."""

            def put_nowait(self, item: aiomqtt.Message) -> None:
                payload = item.payload if isinstance(item.payload, bytes) else b""
                deliver(Arrival(str(item.topic), payload, now_ms(), bool(item.retain)))

        return Handover

    async def _send(self, client: aiomqtt.Client) -> None:
        root = self._settings.root
        with contextlib.suppress(aiomqtt.MqttError):
            while True:
                await self._to_send.wait()
                self._to_send.clear()
                while self._requests:
                    site, agent, request = self._requests.popleft()
                    await client.publish(topic(root, site, agent, "request"), encode(request), qos=1)
                while self._receipts:
                    key = next(iter(self._receipts))
                    receipt = self._receipts.pop(key)
                    await client.publish(topic(root, key[0], key[1], "receipt"), encode(receipt), qos=0)
