"""What a decoded message of a foreign sensor holds, whatever it was written in."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from contract.messages import Value

MAX_PAYLOAD = 16 * 1024
"""Longest payload looked at."""

UNREADABLE_TIME = -1
"""A message that says a time nobody can read."""


class Measured(NamedTuple):
    """One value of one point. value: None when there is none, the quality says why."""

    point: str
    value: Value
    quality: str


class Sample(NamedTuple):
    """A cached value with its own time, ms UTC."""

    time_ms: int
    measured: Measured


class Message(NamedTuple):
    """One message.

    time_ms: when the sensor says it was measured, ms UTC; None when it does not say.
    Any number may stand here: who takes the message judges whether that clock can be right.
    current: its points now, in any order. cached: older values, old to new.
    """

    time_ms: int | None
    current: list[Measured]
    cached: list[Sample]


Decode = Callable[[str, bytes], Message]
"""(id in the topic, payload) -> message. Raises MessageError for what is none."""
