"""The owner of one broker that foreign sensors send on: it subscribes and listens; it has no way to publish.

The session is a clean one: what a sensor sends while we are away is lost unless it sends it again or the broker
retains it. A queued message without a time of its own would come late and look fresh.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from contract.errors import MessageError, RetryLater
from contract.mqtt_client import BrokerClient
from contract.mqtt_device import device_in, topic_filter
from contract.site import MqttLine, Placed
from edge_agents.bus.line import DOWN_AFTER
from edge_agents.bus.presence import LinePresence
from edge_agents.foreign.drivers import decoder_of
from edge_agents.foreign.message import Decode
from edge_agents.foreign.refused import RefusedFile
from edge_agents.foreign.report import ForeignReport, Kept
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
from edge_agents.reporting import Reported, Reports

log = logging.getLogger(__name__)
REFRESH_S = 2.0
MOST_STRANGERS = 200
"""Ids nobody has entered that are listed; beyond it the one heard longest ago is left out."""
SAMPLE = 120


@dataclass(slots=True)
class Sensor:
    """One sensor of the line. faulty: its last message could not be read; why in `fault`."""

    placed: Placed
    decode: Decode
    report: ForeignReport
    messages: int = 0
    repeats: int = 0
    refused: int = 0
    wrong_clock: int = 0
    fault: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Topic pattern and id."""
        assert self.placed.profile.topic is not None
        assert self.placed.entry.address is not None
        return self.placed.profile.topic, self.placed.entry.address


@dataclass(slots=True)
class _Counters:
    received: int = 0
    passed: int = 0
    strange: int = 0
    retained: int = 0
    refused: dict[str, int] = field(default_factory=dict)


def restored_sensor(placed: Placed, now_ms: int, kept: Mapping[str, Reported], own: Kept | None) -> Sensor:
    """A sensor as it was reported before a restart; nothing kept: nothing is known of it yet."""
    report = ForeignReport(placed.entry.id, placed.profile, now_ms)
    report.restore(kept, own)
    return Sensor(placed, decoder_of(placed.profile), report)


class SensorLine:
    """Listens to one broker for ever.

    Args:
        line: the broker.
        identifier: client id at that broker, unlike every other one's.
        sensors: those entered for it.
        data_dir: where messages that cannot be read are kept.
        record: takes reports; never waits.
        now_ms: wall clock.
        monotonic: seconds.
        stepped_ms: how far the wall clock, which sensors go by, was stepped from `now_ms`.
    """

    def __init__(
        self,
        line: MqttLine,
        identifier: str,
        sensors: list[Sensor],
        data_dir: Path,
        record: Callable[[Reports], None],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        stepped_ms: Callable[[], int | None] = lambda: 0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._uniform = uniform
        self.id = line.id
        self._line = line
        self._identifier = identifier
        self._sensors = {sensor.key: sensor for sensor in sensors}
        self._refused = RefusedFile(data_dir, line.id)
        self._record = record
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._stepped_ms = stepped_ms
        self._changed = asyncio.Event()
        self._counters = _Counters()
        self._strangers: dict[str, dict[str, Any]] = {}
        self._connects = 0
        self.presence = LinePresence(line.id, record, now_ms)
        """Whether the line can be reached."""
        self.is_open = False

    def request(self, device_id: str | None) -> None:
        """Nothing to ask: these sensors speak when they will."""

    def status(self) -> dict[str, object]:
        """Counters for the status file. received = passed + strange + refused."""
        counters = self._counters
        return {
            "open": self.is_open,
            "connects": self._connects,
            "received": counters.received,
            "passed": counters.passed,
            "retained": counters.retained,
            "strange": counters.strange,
            "refused": dict(counters.refused),
            "refused_not_kept": self._refused.dropped,
            "sensors": {sensor.placed.entry.id: self._sensor_status(sensor) for sensor in self._sensors.values()},
            "strangers": [{"topic": topic, **seen} for topic, seen in self._strangers.items()],
        }

    def change(self, sensors: list[Sensor]) -> None:
        """Listen to these sensors from now on; those that stay are handed in with the report they have."""
        ids, now_ms = {sensor.placed.entry.id for sensor in sensors}, self._now_ms()
        for sensor in self._sensors.values():
            if sensor.placed.entry.id not in ids:
                self._record(sensor.report.removed(now_ms))
        self._sensors = {sensor.key: sensor for sensor in sensors}
        self._strangers.clear()
        self._changed.set()

    @property
    def sensors(self) -> Mapping[str, Sensor]:
        """The sensors by their id in the site."""
        return {sensor.placed.entry.id: sensor for sensor in self._sensors.values()}

    async def run(self) -> None:
        """Listen until cancelled."""
        failures, pause_s = 0, BACKOFF_S[0]
        refresh = asyncio.create_task(self._refresh(), name=f"line.{self.id}.refresh")
        try:
            while True:
                began_s = self._monotonic()
                try:
                    client = await self._new_client()
                    async with connected(client, f"line.{self.id}"):
                        await subscribe(client, sorted(self._filters()))
                        if failures >= DOWN_AFTER:
                            log.info("line %s: connected again", self.id)
                        failures = 0
                        await self._listen(client)
                except CONNECTION_ERRORS as exc:
                    failures += 1
                    if failures == DOWN_AFTER:
                        line = self._line
                        log.warning("line %s: broker %s:%d: %s. Trying again.", self.id, line.host, line.port, exc)
                    if failures >= DOWN_AFTER:
                        self.presence.say(False)
                        self._each(ForeignReport.line_down)
                finally:
                    self.is_open = False
                if self._monotonic() - began_s > STABLE_S:
                    pause_s = BACKOFF_S[0]
                await asyncio.sleep(pause_s * self._uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, BACKOFF_S[1])
        finally:
            refresh.cancel()
            await asyncio.gather(refresh, return_exceptions=True)
            if self._refused.is_waiting:
                await asyncio.to_thread(self._refused.write)

    def _filters(self) -> set[str]:
        return {topic_filter(pattern) for pattern, _ in self._sensors}

    async def _new_client(self) -> aiomqtt.Client:
        line = self._line
        password = None
        if line.password_file is not None:
            try:
                password = (await asyncio.to_thread(line.password_file.read_text, "utf-8")).strip()
            except (OSError, UnicodeDecodeError) as exc:
                raise RetryLater(f"{line.password_file}: {exc}. password_file must name a readable file") from exc
        return BrokerClient(
            line.host,
            line.port,
            username=line.username,
            password=password,
            identifier=self._identifier,
            clean_session=True,
            keepalive=15,
            tls_context=await tls_context(line.ca_file),
            max_queued_incoming_messages=INCOMING_BOUND,
            timeout=CONNECT_S,
        )

    async def _listen(self, client: aiomqtt.Client) -> None:
        """Until the connection is lost."""
        self.is_open = True
        self._connects += 1
        self.presence.say(True)
        self._each(ForeignReport.line_up)
        heard = self._filters()
        self._changed.clear()
        follow = asyncio.create_task(self._follow(client, heard), name=f"line.{self.id}.subscribe")
        try:
            async for message in client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                self._take(message.topic.value, payload, is_retained=bool(message.retain))
        finally:
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)

    async def _follow(self, client: aiomqtt.Client, heard: set[str]) -> None:
        """Keep the subscriptions those of the sensors entered."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self._filters()
            try:
                await subscribe(client, sorted(wanted - heard))
                for topic in heard - wanted:
                    await client.unsubscribe(topic)
            except CONNECTION_ERRORS as exc:
                log.warning("line %s: %s", self.id, exc)
                return  # a lost connection begins anew with the right ones
            heard = wanted

    def _take(self, topic: str, payload: bytes, *, is_retained: bool) -> None:
        counters, now_ms = self._counters, self._now_ms()
        counters.received += 1
        counters.retained += is_retained
        sensor = self._sensor_of(topic)
        if sensor is None:
            counters.strange += 1
            self._note_stranger(topic, payload, now_ms)
            return
        sensor.messages += 1
        try:
            message = sensor.decode(sensor.key[1], payload)
        except MessageError as exc:
            counters.refused[exc.reason] = counters.refused.get(exc.reason, 0) + 1
            sensor.refused += 1
            self._note_fault(sensor, str(exc))
            self._refused.add(now_ms, topic, str(exc), payload)
            return
        self._note_fault(sensor, None)
        counters.passed += 1
        stepped_ms = self._stepped_ms() or 0
        taken = sensor.report.taken(message, now_ms, is_retained=is_retained, stepped_ms=stepped_ms)
        sensor.repeats += taken.repeats
        sensor.wrong_clock += taken.doubted
        self._record(taken.reports)

    def _sensor_of(self, topic: str) -> Sensor | None:
        for pattern in {pattern for pattern, _ in self._sensors}:
            address = device_in(pattern, topic)
            if address is not None and (sensor := self._sensors.get((pattern, address))) is not None:
                return sensor
        return None

    def _note_stranger(self, topic: str, payload: bytes, now_ms: int) -> None:
        seen = self._strangers.pop(topic, None) or {"messages": 0}
        if len(self._strangers) >= MOST_STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        sample = payload[:SAMPLE].decode("utf-8", errors="replace")
        self._strangers[topic] = {"messages": seen["messages"] + 1, "heard_ms": now_ms, "sample": sample}

    def _note_fault(self, sensor: Sensor, fault: str | None) -> None:
        name = sensor.placed.entry.id
        if fault is not None and sensor.fault is None:
            log.warning("line %s: %s: %s. Kept in refused/%s.jsonl.", self.id, name, fault, self.id)
        elif fault is None and sensor.fault is not None:
            log.info("line %s: %s: messages can be read again", self.id, name)
        sensor.fault = fault

    async def _refresh(self) -> None:
        """Judge silence and write what was refused, for ever."""
        while True:
            await asyncio.sleep(REFRESH_S)
            if self.is_open:
                self._each(ForeignReport.refresh)
                self.presence.repeat()
            if self._refused.is_waiting:
                await asyncio.to_thread(self._refused.write)

    def _each(self, say: Callable[[ForeignReport, int], Reports]) -> None:
        now_ms = self._now_ms()
        for sensor in self._sensors.values():
            self._record(say(sensor.report, now_ms))

    def _sensor_status(self, sensor: Sensor) -> dict[str, object]:
        heard_ms = sensor.report.heard_ms
        return {
            "address": sensor.key[1],
            "age_s": None if heard_ms is None else round((self._now_ms() - heard_ms) / 1000, 1),
            "messages": sensor.messages,
            "repeats": sensor.repeats,
            "refused": sensor.refused,
            "wrong_clock": sensor.wrong_clock,
            "fault": sensor.fault,
        }
