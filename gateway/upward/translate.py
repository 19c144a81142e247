"""What a station's readings and alarms are at a centre: information objects of GB/T 26875.3. Pure.

panel and detector states   ─> component status (type 2), as the panel told them
alarms of everything else   ─> component status (type 2): fire or fault, with the rule's title as description
a panel's power and bus     ─> system status (type 1)
measured values             ─> analog values (type 3); pressure as type 5, 0.1 kPa a step
resets and silences         ─> operations (type 4)
lost agents and lines       ─> the transmitter's own state (type 21), bit 6
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from contract import quality as q
from contract.errors import MessageError
from contract.gb26875 import objects as o
from contract.gb26875.codec import encode_unit
from contract.gb26875.status import COMPONENT_STATUS, OPERATION, SYSTEM_STATUS, TRANSMITTER_STATUS, mask_of
from contract.gb26875.text import Text, fit_text
from contract.gb26875.time_tag import tag_from_ms
from contract.gb26875.units import standard_unit
from contract.messages import Reading, Value
from contract.panel import BUS, CONTROLLER, EVENT, MAIN_POWER, PRIORITY, STANDBY_POWER, EventClass, decode_event
from contract.profile import BUILT_IN, Profile
from contract.units import unit_of
from gateway.upward.numbers import Number, Numbers

_STATE_BITS = {
    "fire": "fire", "fault": "fault", "disabled": "shield", "supervisory": "supervisory", "started": "start",
    "feedback": "feedback",
}  # fmt: skip
"""State word -> bit of types 1 and 2. A pre-alarm has no bit of its own: supervisory is the nearest."""
_PARTS = {MAIN_POWER: "mainPowerFault", STANDBY_POWER: "backupPowerFault", BUS: "busFault"}
_OPERATIONS = {
    EventClass.RESET: "reset", EventClass.SILENCE: "silence", EventClass.SELF_TEST: "selfTest", EventClass.TEST: "test",
}  # fmt: skip
_ANALOG: dict[str, tuple[int, float]] = {
    "count": (1, 1), "m": (2, 100), "c": (3, 10), "kpa": (5, 10), "s": (7, 1), "v": (8, 10), "a": (9, 10),
    "ma": (9, 0.01), "lps": (10, 10), "pct": (128, 10), "dbm": (129, 1), "deg": (130, 10),
}  # fmt: skip
"""Unit at the end of a point's name -> analog type and steps for one of it (table 5; 128 and up: dialect weizhan)."""
_PRIVATE = 128
_SOME_MS = 1_600_000_000_000
_NOT_TOLD = frozenset({"response_ms", "errors_count", "last_answer_s", "clock_offset_s"})
"""Health of the line to a device: nobody's business at the centre."""


class Urgency(IntEnum):
    """What goes first."""

    FIRE = 0
    DUTY = 1
    EVENT = 2
    VALUE = 3


class Item(NamedTuple):
    """One information object to be sent. unit_type: its type flag. body: its bytes."""

    urgency: Urgency
    unit_type: int
    body: bytes


class Told(NamedTuple):
    """An alarm as a centre is told of it."""

    rule: str
    title_zh: str
    severity: str
    event: Literal["raise", "clear"]
    event_ms: int
    is_drill: bool


class Translator:
    """Makes objects of one station's readings and alarms.

    Args:
        numbers: of its points at the centre. told: point -> state word the centre was told last.
        values_every_ms: a value is told at most this often; None: never.
        private_codes: whether the centre takes analog types of 128 and up.
    """

    def __init__(
        self,
        numbers: Numbers,
        told: Mapping[str, str] = MappingProxyType({}),
        *,
        values_every_ms: int | None,
        private_codes: bool,
    ) -> None:
        self._numbers = numbers
        self._every_ms = values_every_ms
        self._private = private_codes
        self._value_ms: dict[str, int] = {}
        self._told = dict(told)
        self.fresh: dict[str, str] = {}
        """Words told since the last look, to be written down."""
        self._parts: dict[str, set[str]] = {}
        self.untold = 0
        """Values the standard has no place for, and those out of its range."""

    def prime(self, device: str, profile: Profile, name: str, word: str) -> None:
        """Take up what stood before this start: a system's status says all of its conditions at once."""
        if profile.category == "panel" and word in PRIORITY:
            part = next((part for part in _PARTS if name.endswith(part)), None)
            if part is not None or name.endswith(CONTROLLER):
                self._system(device, profile, name, part, word, 0)

    def reading(self, reading: Reading, profile: Profile) -> list[Item]:
        """The objects of a reading; none when a centre is not told of it."""
        device, _, name = reading.point.partition("/")
        value, at_ms = reading.value, reading.observed_ms
        if q.kind(reading.quality) in ("unknown", "bad") or value is None:
            return []
        if isinstance(value, float):
            return self._value(device, profile, name, value, at_ms)
        if name == EVENT and isinstance(value, str):
            return self._operation(device, profile, value, at_ms)
        if profile.category in ("panel", "detector") and isinstance(value, str):
            return self._change(device, profile, name, value, at_ms, is_test=reading.quality == q.TEST)
        return []

    def alarm(self, told: Told, device: str, profile: Profile, point: str | None) -> list[Item]:
        """The object of an alarm of a device that tells no states of its own."""
        if profile.category in ("panel", "detector") or told.severity == "info":
            return []
        number = self._numbers.of(device, profile, point)
        names = [] if told.is_drill else ["normal"]
        is_fire = told.severity == "fire"
        if told.event == "raise":
            names.append("fire" if is_fire else "fault")
        body = self._component(number, mask_of(COMPONENT_STATUS, *names), told.title_zh, told.event_ms)
        return [Item(Urgency.FIRE if is_fire and told.event == "raise" else Urgency.EVENT, 2, body)]

    def own_state(self, *, is_path_broken: bool, is_centre_back: bool, at_ms: int) -> Item:
        """Type 21: whether everything below can be heard, and whether this connection was lost."""
        names = ["normal"] + ["lineFault"] * is_path_broken + ["channelFault"] * is_centre_back
        return item(Urgency.EVENT, 21, o.TransmitterStatus(mask_of(TRANSMITTER_STATUS, *names), tag_from_ms(at_ms)))

    def component_now(self, key: str, profile: Profile, value: Value, at_ms: int) -> Item | None:
        """The state of a component that a centre asks for."""
        device, _, name = key.partition("/")
        if isinstance(value, str) and name:
            found = self._state(device, profile, name, value, at_ms, is_test=False)
            return found[0] if found and found[0].unit_type == 2 else None
        number = self._numbers.of(device, profile, name or None)
        return Item(Urgency.EVENT, 2, self._component(number, mask_of(COMPONENT_STATUS, "normal"), "", at_ms))

    def _change(self, device: str, profile: Profile, name: str, word: str, at_ms: int, *, is_test: bool) -> list[Item]:
        """A state that differs from what was told; agents repeat states so that silence is not mistaken for one."""
        key, said = f"{device}/{name}", f"{word} test" if is_test else word
        if self._told.get(key, "normal") == said:
            return []
        made = self._state(device, profile, name, word, at_ms, is_test=is_test)
        if made:
            self._told[key] = self.fresh[key] = said
        return made

    # --- kinds ---------------------------------------------------------------------------------------------------

    def _state(self, device: str, profile: Profile, name: str, word: str, at_ms: int, *, is_test: bool) -> list[Item]:
        if name in BUILT_IN or (word != "normal" and word not in PRIORITY):
            return []  # a device may well give "fire" as its product code
        part = next((part for part in _PARTS if name.endswith(part)), None)
        if part is not None or name.endswith(CONTROLLER):
            return self._system(device, profile, name, part, word, at_ms)
        bit = _STATE_BITS.get(word, "supervisory") if word != "normal" else None
        names = ([] if is_test else ["normal"]) + ([bit] if bit is not None else [])
        number = self._numbers.of(device, profile, name)
        point = profile.point(name)
        title = point.title.zh if point is not None else name
        body = self._component(number, mask_of(COMPONENT_STATUS, *names), title, at_ms)
        return [Item(Urgency.FIRE if word == "fire" and not is_test else Urgency.EVENT, 2, body)]

    def _system(self, device: str, profile: Profile, name: str, part: str | None, word: str, at_ms: int) -> list[Item]:
        number = self._numbers.of(device, profile, name if name.startswith("c") and name != CONTROLLER else None)
        standing = self._parts.setdefault(f"{number.sys_type}/{number.sys_addr}", set())
        bits = {_PARTS[part]} if part is not None else set(_STATE_BITS.values())
        standing -= bits
        if word != "normal":
            standing.add(_PARTS[part] if part is not None else _STATE_BITS.get(word, "supervisory"))
        status = mask_of(SYSTEM_STATUS, "normal", *standing)
        body = o.SystemStatus(number.sys_type, number.sys_addr, status, tag_from_ms(at_ms or _SOME_MS))
        return [item(Urgency.FIRE if word == "fire" else Urgency.EVENT, 1, body)]

    def _value(self, device: str, profile: Profile, name: str, value: float, at_ms: int) -> list[Item]:
        unit = unit_of(name)
        analog = _ANALOG.get(unit.suffix) if unit is not None else None
        if (
            self._every_ms is None
            or analog is None
            or name in _NOT_TOLD
            or (analog[0] >= _PRIVATE and not self._private)
        ):
            return []
        key = f"{device}/{name}"
        if at_ms - self._value_ms.get(key, -self._every_ms) < self._every_ms:
            return []
        raw = round(value * analog[1])
        if not -32768 <= raw <= 32767:
            self.untold += 1
            return []
        self._value_ms[key] = at_ms
        number = self._numbers.of(device, profile, name)
        return [item(Urgency.VALUE, 3, o.AnalogValue(*number, analog[0], raw, tag_from_ms(at_ms)))]

    def _operation(self, device: str, profile: Profile, text: str, at_ms: int) -> list[Item]:
        try:
            event = decode_event(text)
        except msgspec.MsgspecError:
            return []
        name = _OPERATIONS.get(event.event)
        if name is None:
            return []
        number = self._numbers.of(device, profile, None)
        operation = o.Operation(number.sys_type, number.sys_addr, mask_of(OPERATION, name), 0, tag_from_ms(at_ms))
        return [item(Urgency.EVENT, 4, operation)]

    def _component(self, number: Number, status: int, title: str, at_ms: int) -> bytes:
        return body_of(2, o.ComponentStatus(*number, status, _text(title), tag_from_ms(at_ms)))


def item(urgency: Urgency, unit_type: int, body: o.InfoObject) -> Item:
    """An object as an item."""
    return Item(urgency, unit_type, body_of(unit_type, body))


def body_of(unit_type: int, body: o.InfoObject) -> bytes:
    """The bytes of one object."""
    return encode_unit(standard_unit(unit_type, body))[2:]


def unit_of_items(unit_type: int, bodies: list[bytes]) -> bytes:
    """Several objects of one type as one unit."""
    return bytes((unit_type, len(bodies))) + b"".join(bodies)


def _text(title: str) -> Text:
    try:
        return fit_text(title)
    except MessageError:
        return fit_text("")
