"""What a transmitter has said of its systems and components: conditions that stand, events, values. Pure.

A point is named after what the wire calls it: `c1001p00010203` is component 00010203h of system type 1, address 1
(1 * 1000 + 1); `c1001controller` is that system itself, `controller` the transmitter. Addresses of components are
opaque: a point map (columns `controller` and `code`) gives them their places.

A status word is the whole state of its subject for senders that keep to the standard, and only the event for many
others. Both are read safely: conditions follow the word, but a fire stands until a word without any condition, its
system's reset, or the dismissal of the alarm. A cleared bit 0 alone is never read as test mode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from contract.gb26875 import objects as o
from contract.gb26875.codec import Message
from contract.gb26875.status import Bits, bits_set
from contract.gb26875.tables import Tables
from contract.gb26875.time_tag import TimeTag
from contract.panel import BUS, CONTROLLER, MAIN_POWER, NORMAL, PRIORITY, STANDBY_POWER, EventClass, PanelEvent, clean

_CONDITIONS: dict[str, tuple[str, EventClass]] = {
    "fire": ("fire", EventClass.FIRE),
    "fault": ("fault", EventClass.FAULT),
    "powerFault": ("fault", EventClass.FAULT),
    "shield": ("disabled", EventClass.DISABLEMENT),
    "supervisory": ("supervisory", EventClass.SUPERVISORY),
    "start": ("started", EventClass.START),
    "feedback": ("feedback", EventClass.FEEDBACK),
    "channelFault": ("fault", EventClass.FAULT),
}
"""Bit -> the condition its subject is in, and the class of the event."""
_CLASS = dict(_CONDITIONS.values())
_RANK = {word: rank for rank, word in enumerate(PRIORITY)}
_PARTS = {"mainPowerFault": MAIN_POWER, "backupPowerFault": STANDBY_POWER, "busFault": BUS, "lineFault": BUS}
"""Bit -> the part of the system that is in fault."""
_PART_CLASS = {
    MAIN_POWER: EventClass.MAIN_POWER,
    STANDBY_POWER: EventClass.STANDBY_POWER,
    BUS: EventClass.BUS,
}
_TOLD = {"silence": EventClass.SILENCE, "selfTest": EventClass.SELF_TEST, "test": EventClass.TEST}
"""Bit of an operation -> the class of the event."""
_QUANTITIES: dict[str, tuple[str, float]] = {
    "kPa": ("pressure_kpa", 1.0),
    "MPa": ("pressure_kpa", 1000.0),
    "m": ("level_m", 1.0),
    "degC": ("temperature_c", 1.0),
    "L/s": ("flow_lps", 1.0),
    "V": ("voltage_v", 1.0),
    "A": ("current_a", 1.0),
    "%LEL": ("gas_pct", 1.0),
    "%": ("share_pct", 1.0),
    "dBm": ("signal_dbm", 1.0),
    "deg": ("tilt_deg", 1.0),
    "s": ("time_s", 1.0),
}
"""Unit of the standard -> name of the quantity with the unit on our wire, and the factor to it."""
_POINT = re.compile(rf"c(\d{{1,6}})(?:p([0-9a-f]{{8}})|{CONTROLLER})")
MOST_POINTS = 4000
"""Points of one transmitter; one that names more is not believed. What it says further is recorded as events only."""


class State(NamedTuple):
    """A point's state word now."""

    point: str
    word: str


class Value(NamedTuple):
    """A measured value."""

    point: str
    value: float


class Said(NamedTuple):
    """What one information object says. tag: its event time, None where the sender gave none."""

    events: tuple[PanelEvent, ...]
    states: tuple[State, ...]
    values: tuple[Value, ...]
    tag: TimeTag | None
    mode: str | None = None
    duty_answer: str | None = None


class Picture:
    """Systems and components of one transmitter.

    Args:
        tables: codes and names.
        reset_keeps: conditions that outlive a reset.
    """

    def __init__(self, tables: Tables, reset_keeps: Iterable[str] = ("disabled",)) -> None:
        self._tables = tables
        self._keeps = frozenset(reset_keeps)
        self._standing: dict[str, set[str]] = {}
        self._manual: dict[int, bool] = {}

    @property
    def states(self) -> dict[str, str]:
        """Every point heard of and its state word."""
        return {point: self._word(point) for point in self._standing}

    def word(self, point: str) -> str | None:
        """The state word of one point; None when it was not heard of."""
        return self._word(point) if point in self._standing else None

    @property
    def systems(self) -> list[tuple[int, int]]:
        """(type, address) of every system heard of."""
        found = {match[1] for match in map(_POINT.fullmatch, self._standing) if match is not None}
        return sorted((int(number) // 1000, int(number) % 1000) for number in found)

    @property
    def components(self) -> list[tuple[int, int, int]]:
        """(system type, system address, component address) of every component heard of."""
        found = [match for match in map(_POINT.fullmatch, self._standing) if match is not None and match[2]]
        return sorted((int(m[1]) // 1000, int(m[1]) % 1000, int(m[2], 16)) for m in found)

    def restore(self, point: str, word: str) -> None:
        """Take up a state known from before a restart."""
        self._standing[point] = {word} & set(PRIORITY)

    def apply(self, message: Message, received_ms: int, raw: str) -> Iterator[Said]:
        """Fold a message in, object by object. raw: the frame in hex, kept with its events."""
        for item in message.unit.objects:
            if isinstance(item, o.SystemStatus):
                yield self._system(item, received_ms, raw)
            elif isinstance(item, o.ComponentStatus):
                yield self._component(item, received_ms, raw)
            elif isinstance(item, o.AnalogValue):
                yield self._analog(item)
            elif isinstance(item, o.TransmitterStatus):
                yield self._transmitter(item, received_ms, raw)
            elif isinstance(item, o.Operation):
                yield self._operation(item, _system(item.sys_type, item.sys_addr), received_ms, raw)
            elif isinstance(item, o.TransmitterOperation):
                yield self._operation(item, None, received_ms, raw)
            else:
                event = PanelEvent(event=EventClass.OTHER, received_ms=received_ms, text=_described(item), raw=raw)
                yield Said((event,), (), (), None)
        if message.unit.form in ("opaque", "malformed", "one-byte") and not message.unit.objects:
            # A private unit nobody can read: told and kept, changes nothing.
            text = f"type {message.unit.type}: {message.unit.body[:60].hex().upper()}"
            yield Said(
                (PanelEvent(event=EventClass.OTHER, received_ms=received_ms, text=clean(text), raw=raw),), (), (), None
            )

    # --- kinds of objects ----------------------------------------------------------------------------------------

    def _system(self, item: o.SystemStatus, received_ms: int, raw: str) -> Said:
        number = _system(item.sys_type, item.sys_addr)
        names = _names(item.BITS, item.status)
        text = self._tables.name("system_types", item.sys_type).zh
        base = PanelEvent(
            event=EventClass.OTHER, received_ms=received_ms, controller=number, text=text, raw=raw,
            panel_time=_shown(item.time),
        )  # fmt: skip
        events: list[PanelEvent] = []
        changed: dict[str, str] = {}
        if "reset" in names:
            events.append(replace(base, event=EventClass.RESET))
            changed |= self._reset(number)
        said = {_CONDITIONS[name][0] for name in names if name in _CONDITIONS}
        if "fire" in said and self._burns(number):
            said.discard("fire")  # it is told where it burns; the system's own word would be a second fire
        self._fold(f"c{number}{CONTROLLER}", said, base, events, changed)
        self._parts(f"c{number}", names, base, events, changed)
        self._manual[number] = "manual" in names
        if "delay" in names or "configurationChanged" in names:
            extra = ", ".join(sorted(names & {"delay", "configurationChanged"}))
            events.append(replace(base, text=f"{text} {extra}"))
        mode = "manual" if any(self._manual.values()) else "auto"
        return Said(tuple(events), _states(changed), (), item.time, mode=mode)

    def _component(self, item: o.ComponentStatus, received_ms: int, raw: str) -> Said:
        number = _system(item.sys_type, item.sys_addr)
        point = f"c{number}p{item.comp_addr:08x}"
        kind = self._tables.name("component_types", item.comp_type)
        base = PanelEvent(
            event=EventClass.OTHER, received_ms=received_ms, controller=number, point=f"{item.comp_addr:08X}",
            address=point, device_type=item.comp_type, device_zh=kind.zh, device_en=kind.en,
            panel_time=_shown(item.time), text=clean(item.desc.text or ""), raw=raw,
        )  # fmt: skip
        names = _names(item.BITS, item.status)
        events: list[PanelEvent] = []
        changed: dict[str, str] = {}
        said = {_CONDITIONS[name][0] for name in names if name in _CONDITIONS}
        self._fold(point, said, base, events, changed)
        if "fire" in said and "fire" in self._standing.get(f"c{number}{CONTROLLER}", ()):
            self._leave(f"c{number}{CONTROLLER}", "fire", replace(base, address=None), events, changed)
        if "delay" in names:
            events.append(replace(base, text=f"{base.text} delay".strip()))
        return Said(tuple(events), _states(changed), (), item.time)

    def _analog(self, item: o.AnalogValue) -> Said:
        number = _system(item.sys_type, item.sys_addr)
        analog = self._tables.analog(item.analog_type)
        point = f"c{number}p{item.comp_addr:08x}"
        if analog is None or analog.unit not in _QUANTITIES:
            value = analog.value(item.raw) if analog is not None else float(item.raw)
            return Said((), (), (Value(f"{point}_type{item.analog_type}", value),), item.time)
        name, factor = _QUANTITIES[analog.unit]
        return Said((), (), (Value(f"{point}_{name}", round(analog.value(item.raw) * factor, 6)),), item.time)

    def _transmitter(self, item: o.TransmitterStatus, received_ms: int, raw: str) -> Said:
        names = _names(item.BITS, item.status)
        base = PanelEvent(event=EventClass.OTHER, received_ms=received_ms, raw=raw, panel_time=_shown(item.time))
        events: list[PanelEvent] = []
        changed: dict[str, str] = {}
        self._fold(CONTROLLER, {_CONDITIONS[name][0] for name in names if name in _CONDITIONS}, base, events, changed)
        self._parts("", names, base, events, changed)
        return Said(tuple(events), _states(changed), (), item.time)

    def _operation(
        self, item: o.Operation | o.TransmitterOperation, number: int | None, received_ms: int, raw: str
    ) -> Said:
        names = _names(item.BITS, item.op)
        base = PanelEvent(
            event=EventClass.OTHER, received_ms=received_ms, controller=number, raw=raw, panel_time=_shown(item.time),
            text=f"operator {item.operator}",
        )  # fmt: skip
        events: list[PanelEvent] = []
        changed: dict[str, str] = {}
        own = CONTROLLER if number is None else f"c{number}{CONTROLLER}"
        if "manualAlarm" in names:
            self._fold(own, self._standing.get(own, set()) | {"fire"}, base, events, changed)
        if "alarmCleared" in names:
            for point in [p for p, standing in self._standing.items() if "fire" in standing and _of(p, number)]:
                self._leave(point, "fire", replace(base, address=point), events, changed)
        if "reset" in names:
            events.append(replace(base, event=EventClass.RESET))
            changed |= self._reset(number)
        for name, cls in _TOLD.items():
            if name in names:
                events.append(replace(base, event=cls))
        answer = None
        if "confirm" in names:
            events.append(replace(base, text=f"confirm, operator {item.operator}"))
        if "dutyCheckReply" in names:
            answer = f"operator {item.operator}"
            events.append(replace(base, text=f"duty check answered, operator {item.operator}"))
        return Said(tuple(events), _states(changed), (), item.time, duty_answer=answer)

    # --- conditions ----------------------------------------------------------------------------------------------

    def _fold(
        self, point: str, said: set[str], base: PanelEvent, events: list[PanelEvent], changed: dict[str, str]
    ) -> None:
        """The conditions of a point become those said, a standing fire apart while others are said without it."""
        is_new = point not in self._standing
        if is_new and len(self._standing) >= MOST_POINTS:
            events += [replace(base, event=_CLASS[word]) for word in _ordered(said)]
            return
        standing = self._standing.setdefault(point, set())
        keep = {"fire"} if "fire" in standing and said else set()
        entered, left = said - standing, standing - said - keep
        for word in _ordered(entered):
            events.append(replace(base, event=_CLASS[word]))
        for word in _ordered(left):
            cls = _CLASS.get(word, EventClass.OTHER)
            is_stop = cls is EventClass.START
            events.append(replace(base, event=EventClass.STOP if is_stop else cls, restored=not is_stop))
        if not entered and not left and said:
            events.append(replace(base, event=_CLASS[_ordered(said)[0]]))  # told again, with a time of its own
        self._standing[point] = said | keep
        if entered or left or is_new:
            changed[point] = self._word(point)

    def _leave(
        self, point: str, word: str, base: PanelEvent, events: list[PanelEvent], changed: dict[str, str]
    ) -> None:
        self._standing[point].discard(word)
        events.append(replace(base, event=_CLASS[word], restored=True))
        changed[point] = self._word(point)

    def _parts(
        self, head: str, names: set[str], base: PanelEvent, events: list[PanelEvent], changed: dict[str, str]
    ) -> None:
        faults = {_PARTS[name] for name in names if name in _PARTS}
        for part, cls in _PART_CLASS.items():
            point, is_fault = f"{head}{part}", part in faults
            standing = self._standing.get(point)
            if standing is None and not is_fault:
                continue  # a part nobody has complained of needs no point
            was_fault = bool(standing)
            self._standing[point] = {"fault"} if is_fault else set()
            if is_fault != was_fault:
                events.append(replace(base, event=cls, restored=not is_fault, address=point))
                changed[point] = self._word(point)

    def _reset(self, number: int | None) -> dict[str, str]:
        changed = {}
        for point, standing in self._standing.items():
            if _of(point, number) and not point.endswith("_power") and standing - self._keeps:
                standing &= self._keeps
                changed[point] = self._word(point)
        return changed

    def _burns(self, number: int) -> bool:
        return any("fire" in standing and point.startswith(f"c{number}p") for point, standing in self._standing.items())

    def _word(self, point: str) -> str:
        standing = self._standing.get(point)
        return min(standing, key=_RANK.__getitem__) if standing else NORMAL


def point_of(item: object) -> str | None:
    """The state point an object speaks of; None when it speaks of none."""
    if isinstance(item, o.ComponentStatus):
        return f"c{_system(item.sys_type, item.sys_addr)}p{item.comp_addr:08x}"
    if isinstance(item, o.SystemStatus):
        return f"c{_system(item.sys_type, item.sys_addr)}{CONTROLLER}"
    return CONTROLLER if isinstance(item, o.TransmitterStatus) else None


def _names(bits: Bits, word: int) -> set[str]:
    return {bit.name for bit in bits_set(bits, word) if not bit.is_reserved}


def _system(sys_type: int, sys_addr: int) -> int:
    return sys_type * 1000 + sys_addr


def _of(point: str, number: int | None) -> bool:
    """Whether the point belongs to the system; every point belongs to the transmitter."""
    return number is None or point.startswith((f"c{number}p", f"c{number}{CONTROLLER}", f"c{number}{BUS}"))


def _ordered(words: set[str]) -> list[str]:
    return sorted(words, key=_RANK.__getitem__) if len(words) > 1 else list(words)


def _states(changed: dict[str, str]) -> tuple[State, ...]:
    return tuple(State(point, word) for point, word in changed.items())


def _shown(tag: TimeTag | None) -> str:
    return (tag.iso or "").replace("T", " ") if tag is not None else ""


def _described(item: o.InfoObject) -> str:
    said = []
    for name in item.__struct_fields__:
        value = getattr(item, name)
        text = getattr(value, "text", None)
        if isinstance(value, TimeTag):
            text = _shown(value)
        said.append(f"{name} {text if text is not None else value}")
    return clean(f"{type(item).__name__}: {', '.join(said)}")
