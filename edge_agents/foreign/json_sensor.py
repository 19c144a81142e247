"""JSON messages of foreign sensors, by the paths of a profile's `mqtt_json` section. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from contract import quality as q
from contract.errors import MessageError
from contract.json_path import ABSENT, find, parse_path
from contract.messages import Value
from contract.mqtt_device import JsonField
from contract.profile import Point, Profile
from contract.units import FACTORS, unit_of
from edge_agents.foreign.message import MAX_PAYLOAD, UNREADABLE_TIME, Measured, Message

LATEST_MS = 9_000_000_000_000
MOST_TEXT = 2000


class _Mapped(NamedTuple):
    point: Point
    field: JsonField
    steps: tuple[str | int, ...]
    factor: float


class JsonDecoder:
    """Payloads of one profile into messages.

    Args:
        profile: with a `mqtt_json` section.
    """

    def __init__(self, profile: Profile) -> None:
        assert profile.mqtt_json is not None
        points = {point.name: point for point in profile.points}
        self._mapped = [
            _Mapped(points[name], field, parse_path(field.path), _factor(name, field))
            for name, field in profile.mqtt_json.fields.items()
        ]
        self._time = profile.mqtt_json.time
        self._time_steps = parse_path(self._time.path) if self._time else ()

    def decode(self, device: str, payload: bytes) -> Message:  # noqa: ARG002  # every decoder is asked alike
        """A message.

        Raises:
            MessageError: `oversized`, `undecodable`, or `nothing_known` (none of the profile's paths is there).
        """
        if len(payload) > MAX_PAYLOAD:
            raise MessageError("oversized", f"got {len(payload)} bytes, want at most {MAX_PAYLOAD}")
        try:
            document = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise MessageError("undecodable", f"{exc}; want a JSON document") from exc
        current, found = [], 0
        for mapped in self._mapped:
            raw = find(document, mapped.steps)
            found += raw is not ABSENT
            if raw is ABSENT and mapped.field.optional:
                continue
            current.append(Measured(mapped.point.name, *_value(mapped, raw)))
        if not found:
            paths = ", ".join(mapped.field.path for mapped in self._mapped[:6])
            raise MessageError("nothing_known", f"got {payload[:60]!r}, want a document with one of {paths}")
        raw = find(document, self._time_steps) if self._time is not None else ABSENT
        if self._time is None or raw is ABSENT or raw is None:
            return Message(None, current, [])
        # A fire with a spoilt time is still a fire: the time is doubted, the message is not refused.
        time_ms = parse_time(raw, self._time.unit)
        return Message(UNREADABLE_TIME if time_ms is None else time_ms, current, [])


def decoder(profile: Profile) -> Callable[[str, bytes], Message]:
    """The decoder of a profile with a `mqtt_json` section."""
    return JsonDecoder(profile).decode


def parse_time(raw: Any, unit: str) -> int | None:
    """A document's time (`s`, `ms` or `iso` with a zone) as ms UTC; None when it cannot be read."""
    number = math.nan
    try:
        if unit == "iso":
            moment = datetime.fromisoformat(raw)
            number = moment.timestamp() * 1000 if moment.tzinfo else math.nan
        elif not isinstance(raw, bool):
            number = float(raw) * (1000 if unit == "s" else 1)
    except (ValueError, OverflowError, TypeError):
        pass
    return round(number) if 0 <= number <= LATEST_MS else None


def _factor(name: str, field: JsonField) -> float:
    unit = unit_of(name)
    return 1.0 if field.unit is None or unit is None else FACTORS[field.unit, unit.suffix]


def _value(mapped: _Mapped, raw: Any) -> tuple[Value, str]:
    point, field = mapped.point, mapped.field
    if raw is ABSENT or any(_is_same(raw, miss) for miss in field.missing):
        return None, q.bad("missing")
    if point.text:
        return (raw[:MOST_TEXT], q.GOOD) if isinstance(raw, str) else (None, q.bad("not_text"))
    if not point.is_number:
        return _word(field, raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None, q.bad("not_a_number")
    try:
        value = (raw * field.scale + field.offset) * mapped.factor
    except OverflowError:
        return None, q.bad("out_of_range")
    # Nine digits behind the point: what scaling in binary adds to a decimal fraction is taken off again.
    value = round(value, 9) if math.isfinite(value) else math.nan
    low, high = point.range or (-math.inf, math.inf)
    return (value, q.GOOD) if math.isfinite(value) and low <= value <= high else (None, q.bad("out_of_range"))


def _is_same(raw: Any, miss: Any) -> bool:
    return bool(raw == miss) and isinstance(raw, bool) == isinstance(miss, bool)


def _word(field: JsonField, raw: Any) -> tuple[Value, str]:
    if field.values is None:
        return (raw, q.GOOD) if isinstance(raw, bool) else (None, q.bad("unknown_state"))
    said = {True: "true", False: "false"}[raw] if isinstance(raw, bool) else raw
    if isinstance(said, int | float):
        said = str(int(said)) if said == said // 1 and abs(said) < 1e15 else str(said)
    found = field.values.get(said) if isinstance(said, str) else None
    return (None, q.bad("unknown_state")) if found is None else (found, q.GOOD)
