"""Profile sections of sensors that send on a broker by themselves, and how their topics are read. Pure.

`mqtt_json`: a JSON document a message, mapped by paths. `mqtt_frame`: a vendor's binary frame as hex text. In both the
topic carries the sensor's own id where the pattern says `{device}`. Nothing is ever sent to such a sensor.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from contract.configfile import Section
from contract.json_path import parse_path
from contract.units import FACTORS

DEVICE = "{device}"
MOST_TOPIC = 200


def _check_topic(pattern: str) -> str:
    levels = pattern.split("/")
    if pattern.count(DEVICE) != 1:
        raise ValueError(f"topic: got {pattern!r}, want {DEVICE} once in it: there stands the sensor's id.")
    if pattern.startswith("$") or re.search(r"[+#\0]", pattern) or "" in levels or len(pattern) > MOST_TOPIC:
        raise ValueError(f"topic: got {pattern!r}, want levels with neither + nor #, none empty, none with $ in front.")
    return pattern


def _check_path(path: str) -> str:
    parse_path(path)
    return path


TopicPattern = Annotated[str, AfterValidator(_check_topic)]
JsonPath = Annotated[str, AfterValidator(_check_path)]
Raw = bool | int | float | str


def topic_filter(pattern: str) -> str:
    """What to subscribe to, to hear every sensor of a pattern, those nobody has entered as well."""
    return "/".join("+" if DEVICE in level else level for level in pattern.split("/"))


def device_in(pattern: str, topic: str) -> str | None:
    """The id a topic carries, None when the topic does not fit the pattern."""
    before, _, after = pattern.partition(DEVICE)
    if len(topic) <= len(before) + len(after) or not (topic.startswith(before) and topic.endswith(after)):
        return None
    found = topic[len(before) : len(topic) - len(after)]
    return None if "/" in found else found


class JsonTime(Section):
    """Where a message says when it was measured."""

    path: JsonPath
    unit: Literal["s", "ms", "iso"] = "s"
    """Seconds or milliseconds since 1970 UTC, or ISO 8601 text with a zone."""


class JsonField(Section):
    """How one point is taken from the document."""

    path: JsonPath
    values: dict[str, bool | str] | None = None
    """For truths and states: what the document says -> the point's value. JSON true and false are written `true` and
    `false`, numbers as digits. Anything else gives quality bad:unknown_state."""
    unit: str | None = None
    """Unit the sensor reports in (a first member of contract.units.FACTORS), for a point in another one."""
    scale: float = 1.0
    """Value = raw * scale + offset, before the unit."""
    offset: float = 0.0
    missing: list[Raw | None] = [None]
    """Raw values that mean "no value" (bad:missing)."""
    optional: bool = False
    """Not every message carries it: what was last said stands. Otherwise its absence is bad:missing."""


class MqttJson(Section):
    """A sensor that sends JSON."""

    topic: TopicPattern
    time: JsonTime | None = None
    """When it was measured; the time of arrival when absent."""
    max_age_s: float | None = Field(default=None, ge=1, le=86400)
    """A message older than this on arrival is history and says nothing of now; the profile's max_silence_s when
    absent."""
    fields: dict[str, JsonField] = Field(min_length=1)
    """Point -> where it stands."""


class FrameUnit(Section):
    """What one unit code of a terminal means. Both None: the code is known, its scale is not (bad:unknown_unit)."""

    unit: str | None = None
    scale: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> FrameUnit:
        if (self.unit is None) != (self.scale is None):
            raise ValueError("got one of `unit` and `scale`, want both or neither.")
        if self.unit is not None and (self.unit, "kpa") not in FACTORS:
            raise ValueError(f"unit: got {self.unit!r}, want one with a factor to kPa.")
        return self


class MqttFrame(Section):
    """A terminal that sends its vendor's binary frames as hex text."""

    driver: Literal["meokon"]
    topic: TopicPattern
    units: dict[int, FrameUnit] = Field(min_length=1)
    """Unit codes this profile serves -> unit and scale. A frame with another code is refused."""
    max_age_s: float | None = Field(default=None, ge=1, le=86400)
    """A frame older than this on arrival is history and says nothing of now; the profile's max_silence_s when
    absent."""


class MqttVector(Section):
    """Frozen example: this message gives these values."""

    topic: str
    payload: dict[str, Any] | str
    """A JSON document, or hex text."""
    device: str
    """The id in the topic."""
    time_ms: int | None = None
    """When it was measured, as the message says."""
    values: dict[str, Any]
    qualities: dict[str, str] = {}


__all__ = [
    "FrameUnit",
    "JsonField",
    "JsonTime",
    "MqttFrame",
    "MqttJson",
    "MqttVector",
    "device_in",
    "topic_filter",
]
