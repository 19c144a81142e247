"""The connection to the gateway: sends what the outbox holds, deletes what the gateway says it has committed.

A fresh client for each connection; QoS 1. The broker's acknowledgement only paces the sending: aiomqtt acknowledges
incoming messages before we read them and drops beyond its queue, so nothing may rest on either. Receipts are
cumulative and a lost one is made up by resending.

Each lane has its own sender and one batch at a time on its way to the broker, so an alarm waits for at most one
batch of telemetry in the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import NamedTuple

import aiomqtt
import msgspec

from contract import topics
from contract.errors import MessageError, RetryLater
from contract.messages import (
    LANES,
    AgentState,
    Lane,
    OutboxState,
    Request,
    SealedBatch,
    decode_receipt,
    decode_request,
    digest,
    encode,
)
from contract.mqtt import MqttSettings
from edge_agents.clock import AgentClock, Stamp
from edge_agents.mqtt_client import (
    BACKOFF_S,
    CONNECT_S,
    CONNECTION_ERRORS,
    INCOMING_BOUND,
    STABLE_S,
    connected,
    subscribe,
    tls_context,
)
from edge_agents.outbox import Outbox
from edge_agents.outbox_file import WINDOW_ROWS
from edge_agents.outbox_row import Fill, Row
from edge_agents.outside import REAL, Outside
from edge_agents.waiting import wait
from edge_agents.window import SendWindow

log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """Who this agent is on the wire."""

    site: str
    agent: str
    version: str
    config_hash: str
    heartbeat_s: float


class Uplink:
    """The connection to the gateway by way of the broker.

    Args:
        mqtt: the broker.
        identity: who we are.
        outbox: what is to be sent.
        resend_s: seconds without a receipt before sending again.
        on_request: called with each request of the gateway.
        clock: of the agent.
        outside: the way to the broker, time, chance.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        identity: Identity,
        outbox: Outbox,
        resend_s: float,
        on_request: Callable[[Request], None],
        clock: AgentClock,
        outside: Outside = REAL,
    ) -> None:
        self._mqtt = mqtt
        self._identity = identity
        self._outbox = outbox
        self._on_request = on_request
        self._clock = clock
        self._outside = outside
        self._monotonic = outside.monotonic
        self._windows: dict[Lane, SendWindow] = {lane: SendWindow(WINDOW_ROWS, resend_s) for lane in LANES}
        self._wake: dict[Lane, asyncio.Event] = {lane: asyncio.Event() for lane in LANES}
        self._started_ms = 0
        self._fault: str | None = None
        self._epoch = ""
        self.is_connected = False
        self.bad_messages = 0
        """Incoming messages that could not be read."""

    def wake(self, lane: Lane) -> None:
        """Something new is in the outbox."""
        self._wake[lane].set()

    def set_config_hash(self, config_hash: str) -> None:
        """Tell another configuration from the next heartbeat on."""
        self._identity = self._identity._replace(config_hash=config_hash)

    async def run(self) -> None:
        """Keep connected until cancelled."""
        self._started_ms = self._clock.now_ms()
        pause_s = BACKOFF_S[0]
        while True:
            began_s = self._monotonic()
            try:
                await self._connection()
            except CONNECTION_ERRORS as exc:
                self._note_fault(f"{type(exc).__name__}: {exc}")
            finally:
                self.is_connected = False
            if self._monotonic() - began_s > STABLE_S:
                pause_s = BACKOFF_S[0]
            await asyncio.sleep(pause_s * self._outside.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, BACKOFF_S[1])

    def state(self, fill: Fill, *, online: bool) -> AgentState:
        """What the state topic says while the outbox holds that."""
        held = fill.lanes
        sealed = [lane.oldest_sealed_ms for lane in held.values() if lane.rows]
        waited_s = max(0.0, (self._clock.now_ms() - min(sealed)) / 1000) if sealed else 0.0
        who, moment = self._identity, self._clock.moment()
        return AgentState(
            site=who.site,
            agent=who.agent,
            epoch=self._outbox.epoch,
            online=online,
            sent_ms=moment.wall_ms,
            started_ms=self._started_ms,
            heartbeat_s=who.heartbeat_s,
            version=who.version,
            config_hash=who.config_hash,
            outbox=OutboxState(
                alarm=held["alarm"].rows,
                telemetry=held["telemetry"].rows,
                bytes=fill.used_bytes,
                unacknowledged_s=waited_s,
            ),
            boot=self._clock.boot,
            steady_ms=moment.steady_ms,
            stepped_ms=self._clock.latest_step_ms,
        )

    async def _connection(self) -> None:
        client = await self._new_client()
        async with connected(client, "uplink"):
            await self._serve(client)

    async def _serve(self, client: aiomqtt.Client) -> None:
        await subscribe(client, map(self._topic, topics.DOWN))
        for lane in LANES:
            self._windows[lane].go_back()
        await self._publish_state(client, online=True)
        self.is_connected = True
        self._note_fault(None)
        tasks = [
            asyncio.create_task(self._receive(client), name="uplink.receive"),
            asyncio.create_task(self._beat(client), name="uplink.heartbeat"),
            *(asyncio.create_task(self._send_lane(client, lane), name=f"uplink.{lane}") for lane in LANES),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            with contextlib.suppress(aiomqtt.MqttError, RetryLater, TimeoutError):
                async with asyncio.timeout(1):
                    await self._publish_state(client, online=False)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _new_client(self) -> aiomqtt.Client:
        mqtt, who = self._mqtt, self._identity
        will = encode(self.state(await self._outbox.fill(), online=False))
        return self._outside.new_client(
            mqtt.host,
            mqtt.port,
            username=mqtt.username,
            password=await asyncio.to_thread(mqtt.password),
            identifier=mqtt.username or f"{who.site}-{who.agent}",
            clean_session=True,
            keepalive=mqtt.keepalive_s,
            will=aiomqtt.Will(self._topic("state"), will, qos=1, retain=True),
            tls_context=await tls_context(mqtt.ca_file),
            # Dropping beyond it is safe for receipts (cumulative) and requests (asked again).
            max_queued_incoming_messages=INCOMING_BOUND,
            timeout=CONNECT_S,
            # Without it a small message waits up to 40 ms for the acknowledgement of the one before.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    async def _beat(self, client: aiomqtt.Client) -> None:
        while True:
            await asyncio.sleep(self._identity.heartbeat_s)
            await self._publish_state(client, online=True)

    async def _publish_state(self, client: aiomqtt.Client, *, online: bool) -> None:
        payload = encode(self.state(await self._outbox.fill(), online=online))
        await client.publish(self._topic("state"), payload, qos=1, retain=True)

    async def _send_lane(self, client: aiomqtt.Client, lane: Lane) -> None:
        window, wake = self._windows[lane], self._wake[lane]
        while True:
            wake.clear()
            now_s = self._monotonic()
            if window.is_overdue(now_s):
                window.go_back(probe=True)
            epoch = self._outbox.epoch
            self._follow_epoch(epoch)
            rows, oldest = await self._outbox.ahead(lane, window.cursor, window.room) if window.room else ([], 0)
            if not rows:
                await wait(wake, window.wait_s(self._monotonic()))
                continue
            for row in rows:
                if self._outbox.epoch != epoch:
                    break  # these rows have other names now
                if wake.is_set() and window.cursor >= row.seq:
                    break  # a receipt overtook what was read from the file
                if row.first_seq <= window.acknowledged:
                    row = row._replace(first_seq=min(window.acknowledged + 1, row.seq))
                await self._send(client, lane, row, oldest)
                if window.cursor != row.seq:
                    break  # told to go back meanwhile

    async def _send(self, client: aiomqtt.Client, lane: Lane, row: Row, oldest: int) -> None:
        payload = encode(batch_of(self._identity, self._outbox.epoch, row, oldest, self._clock))
        self._windows[lane].sent(row.seq, digest(payload), self._monotonic())
        await client.publish(self._topic(lane), payload, qos=1)

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            channel = message.topic.value.rpartition("/")[2]
            try:
                if channel == "receipt":
                    await self._take_receipt(payload)
                elif channel == "request":
                    self._on_request(decode_request(payload))
            except MessageError as exc:
                self.bad_messages += 1
                log.debug("%s: %s", message.topic, exc)
            except RetryLater as exc:
                # The receipt could not be carried out on disk; the next one says the same and more.
                log.debug("receipt: %s", exc)

    async def _take_receipt(self, payload: bytes) -> None:
        receipt = decode_receipt(payload)
        if receipt.epoch != self._outbox.epoch:
            return
        now_s = self._monotonic()
        told: dict[Lane, int] = {"alarm": receipt.alarm, "telemetry": receipt.telemetry}
        for lane, seq in told.items():
            newest = self._outbox.newest(lane)
            if newest is None:
                newest = (await self._outbox.held())[lane].newest
            if seq > newest:
                await self._begin_epoch(lane, seq, newest)
                return
        for lane, seq in told.items():
            window = self._windows[lane]
            if seq > window.acknowledged:
                await self._outbox.acknowledge(lane, seq)
            if window.receipt(seq, now_s):
                self._wake[lane].set()
            for name in receipt.refused:
                refused = window.refused(name)
                if refused is not None and await self._outbox.set_aside(lane, refused, "refused"):
                    log.warning("gateway refused %s batch %d; set aside, sent as a gap", lane, refused)
                    window.go_back()
                    self._wake[lane].set()
            if receipt.rewind:
                window.go_back()
                self._wake[lane].set()

    async def _begin_epoch(self, lane: str, committed: int, newest: int) -> None:
        log.warning(
            "gateway has %s batch %d of this epoch, newest here is %d: this outbox is an older copy. Sending what it "
            "holds under a new epoch.",
            lane,
            committed,
            newest,
        )
        await self._outbox.begin_epoch()
        self._follow_epoch(self._outbox.epoch)

    def _follow_epoch(self, epoch: str) -> None:
        """The outbox was renamed (older copy, damaged file): what was sent means nothing any more."""
        if epoch == self._epoch:
            return
        self._epoch = epoch
        for lane in LANES:
            self._windows[lane].reset()
            self._wake[lane].set()

    def _topic(self, channel: str) -> str:
        return topics.topic(self._mqtt.root, self._identity.site, self._identity.agent, channel)

    def _note_fault(self, fault: str | None) -> None:
        if fault is not None and self._fault is None:
            log.warning("broker %s:%d: %s. Readings are kept; trying again.", self._mqtt.host, self._mqtt.port, fault)
        elif fault is None and self._fault is not None:
            log.info("broker %s:%d: connected again", self._mqtt.host, self._mqtt.port)
        self._fault = fault


def batch_of(who: Identity, epoch: str, row: Row, oldest: int, clock: AgentClock) -> SealedBatch:
    """A held row as it is sent now. oldest: lowest seq still held."""
    moment = clock.moment()
    stepped_ms = clock.stepped_ms(Stamp(row.boot, row.shift_ms))
    return SealedBatch(
        site=who.site,
        agent=who.agent,
        epoch=epoch,
        lane=row.lane,
        seq=row.seq,
        oldest=max(1, min(oldest, row.first_seq)),
        sent_ms=moment.wall_ms,
        readings=msgspec.Raw(row.body),
        covers_from=row.first_seq if row.first_seq != row.seq else None,
        gaps=row.gap_list(),
        boot=clock.boot,
        steady_ms=moment.steady_ms,
        stepped_ms=stepped_ms or 0,
        clock_lost=stepped_ms is None and row.readings > 0,
    )
