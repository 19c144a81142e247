"""A simulated foreign sensor that sends JSON: builds the document its profile describes, the other way round."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiomqtt

from contract.messages import Value
from contract.mqtt_device import JsonField
from contract.profile import Profile

_STEP = re.compile(r"[^.\[\]]+|\[\d+\]")
_IN_WIRE_UNIT = {"mV": 1000.0, "mA": 1000.0, "V": 1.0, "MPa": 0.001, "kPa": 1.0, "Pa": 1000.0, "bar": 0.01}
_IN_WIRE_UNIT |= {"mbar": 10.0, "m": 1.0, "cm": 100.0, "mm": 1000.0}
"""Unit -> how many of it make one of the unit on our wire."""


class JsonSensor:
    """One sensor.

    Args:
        profile: with a `mqtt_json` section.
        address: its id in the topic.
        values: first values by point; points without one are left out of the document.
    """

    def __init__(self, profile: Profile, address: str, values: Mapping[str, Value]) -> None:
        assert profile.mqtt_json is not None
        self._mapping = profile.mqtt_json
        self.topic = self._mapping.topic.replace("{device}", address)
        self.values: dict[str, Value] = dict(values)

    def document(self, time_ms: int | None) -> Any:
        """The document at a time (ms UTC); None leaves the time out."""
        found: Any = {}
        for name, value in self.values.items():
            field = self._mapping.fields[name]
            found = _put(found, field.path, _raw(field, value))
        if self._mapping.time is not None and time_ms is not None:
            unit = self._mapping.time.unit
            said: Any = time_ms if unit == "ms" else time_ms / 1000
            if unit == "iso":
                said = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
            found = _put(found, self._mapping.time.path, said)
        return found

    async def publish(self, client: aiomqtt.Client, time_ms: int | None, *, retain: bool = False) -> None:
        """Send one document."""
        await client.publish(self.topic, json.dumps(self.document(time_ms)), qos=1, retain=retain)


def _raw(field: JsonField, value: Value) -> Any:
    if value is None:
        return field.missing[0] if field.missing else None
    if field.values is not None:
        text = next(said for said, means in field.values.items() if means == value)
        return {"true": True, "false": False}.get(text, int(text) if text.isdecimal() else text)
    if isinstance(value, float | int) and not isinstance(value, bool):
        scaled = value * (_IN_WIRE_UNIT[field.unit] if field.unit is not None else 1.0)
        return round((scaled - field.offset) / field.scale, 6)
    return value


def _put(document: Any, path: str, value: Any) -> Any:
    """The document with a value at a path; lists are filled up with nulls."""
    steps = [int(step[1:-1]) if step.startswith("[") else step for step in _STEP.findall(path)]

    def build(inner: Any, at: int) -> Any:
        if at == len(steps):
            return value
        step = steps[at]
        if isinstance(step, int):
            items = inner if isinstance(inner, list) else []
            items += [None] * (step + 1 - len(items))
            items[step] = build(items[step], at + 1)
            return items
        keys = inner if isinstance(inner, dict) else {}
        keys[step] = build(keys.get(step), at + 1)
        return keys

    return build(document, 0)
