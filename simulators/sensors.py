"""Sensors that send by themselves, and the broker that they send to: what stands beside a hub on a site's own network.

What they send is decoded by nobody here: documents as their profiles describe them, frames as MEOKON's terminals do.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Self

import aiomqtt
from amqtt.broker import Broker

from contract.messages import Value
from contract.profile import Profile
from simulators.json_sensor import JsonSensor
from simulators.meokon import TOPIC, Terminal
from simulators.ports import free_port

PERIOD_S = 10.0
"""Each sends at least this often; at once when something changed."""
_METERS = {"pressure_kpa": "pressure_kpa", "low_limit_kpa": "low_kpa", "high_limit_kpa": "high_kpa"}
_ALARM_BITS = {"battery_low": 2, "sensor_fault": 3, "hardware_fault": 4, "pressure_second_low": 5,
               "pressure_second_high": 6, "third_alarm": 7, "impact": 5, "tilted": 6, "water_discharge": 7}  # fmt: skip
_TILT_UNIT = 24


class Sensor:
    """One sensor.

    Args:
        profile: of a JSON sensor or of a MEOKON terminal.
        address: its id on the broker.
        values: first values by point.
    """

    def __init__(self, profile: Profile, address: str, values: Mapping[str, Value]) -> None:
        self.silent = False
        """While true it sends nothing."""
        self.values: dict[str, Value] = dict(values)
        self._profile = profile
        self._address = address

    @property
    def topic(self) -> str:
        """Where it sends."""
        if self._profile.mqtt_json is not None:
            return JsonSensor(self._profile, self._address, {}).topic
        return TOPIC + self._address

    def payload(self, now_ms: int) -> bytes:
        """What it sends at that time, ms UTC."""
        if self._profile.mqtt_json is not None:
            document = JsonSensor(self._profile, self._address, self.values).document(now_ms)
            return json.dumps(document).encode()
        settings = {field: float(self.values[name] or 0) for name, field in _METERS.items() if name in self.values}
        bits = sum(1 << _ALARM_BITS[name] for name, on in self.values.items() if on is True and name in _ALARM_BITS)
        terminal = Terminal(
            self._address,
            battery_pct=int(self.values.get("battery_pct") or 0),
            rssi_dbm=int(self.values.get("signal_dbm") or 0),
            extra_alarms=bits,
            unit_code=_TILT_UNIT if "tilt" in self._profile.id else 1,
            **settings,  # type: ignore[arg-type]  # mypy cannot see which fields these are
        )
        return terminal.payload(now_ms // 1000)


class SensorNet:
    """`async with SensorNet(sensors) as net`: their broker listens on `net.port` of loopback, for anybody.

    Args:
        sensors: by device.
    """

    def __init__(self, sensors: Mapping[str, Sensor]) -> None:
        self._sensors = sensors
        self.port = 0
        self._changed: set[str] = set()
        self._news = asyncio.Event()
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.port = free_port()
            await _start_broker(self.port, stack)
            client = await stack.enter_async_context(aiomqtt.Client("127.0.0.1", self.port, identifier="sensors"))
            self._task = asyncio.create_task(self._send_all(client), name="sensors")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stack.aclose()

    def set(self, device: str, point: str, value: Value) -> None:
        """Give a point a value; the sensor says so at once."""
        self._sensors[device].values[point] = value
        self._changed.add(device)
        self._news.set()

    async def _send_all(self, client: aiomqtt.Client) -> None:
        due_s = time.monotonic()
        while True:
            self._news.clear()
            changed, self._changed = self._changed, set()
            if time.monotonic() >= due_s:
                changed, due_s = set(self._sensors), time.monotonic() + PERIOD_S
            for name in sorted(changed):
                sensor = self._sensors[name]
                if not sensor.silent:
                    await client.publish(sensor.topic, sensor.payload(time.time_ns() // 1_000_000), qos=1)
            try:
                await asyncio.wait_for(self._news.wait(), max(0.0, due_s - time.monotonic()))
            except TimeoutError:
                continue


async def _start_broker(port: int, stack: AsyncExitStack) -> None:
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.ERROR)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    stack.push_async_callback(broker.shutdown)
