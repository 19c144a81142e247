"""What an alarm panel tells, whatever its protocol: one event model, and what an event does to the states of points.

A panel says what happens, not what is: a point keeps every condition it has entered until the panel takes that
condition back or is reset, and shows the gravest of them. So a fault that goes away cannot hide a fire that stands.
Standard words of the field: 火警 fire, 火警后续 fire_subsequent, 预警 pre_alarm, 故障 fault, 监管 supervisory, 屏蔽
disablement, 启动 start, 停止 stop, 反馈 feedback, 复位 reset, 消音 silence, 主电 main_power, 备电 standby_power.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

EVENT = "event"
"""Text point of a panel: the compact JSON of its last event. Alarm lane; two equal texts are two events."""
DUTY_ANSWER = "duty_answer"
"""Text point of a transmitter: who answered a duty check. Alarm lane; two equal texts are two answers."""
MAIN_POWER, STANDBY_POWER, BUS, CONTROLLER = "main_power", "standby_power", "bus", "controller"
MODE, AUTO, MANUAL = "mode", "auto", "manual"
"""State point of the panel's control mode (控制方式) and its words. An event `other` at this address puts it to manual,
with `restored` back to automatic; a reset of the panel leaves it."""
PROTOCOL = "protocol"
"""State point: `fault` while bytes come that nobody can read, for too long."""
NAMED = {MAIN_POWER: ("主电", "Main power"), STANDBY_POWER: ("备电", "Standby power"), BUS: ("总线", "Bus"),
         CONTROLLER: ("控制器", "Controller"), MODE: ("控制方式", "Control mode"),
         PROTOCOL: ("通信协议", "Protocol")}  # fmt: skip
"""State points of the panel itself: address -> title zh, en."""
NORMAL = "normal"
PRIORITY = ("fire", "pre_alarm", "supervisory", "fault", "disabled", "feedback", "started")
"""State words, gravest first."""
MAX_EVENT = 2000
"""Longest event on the wire, characters (contract.messages.Reading)."""
MAX_RAW = 128
"""Bytes of a frame kept with its event."""
MAX_TEXT = 300
_ADDRESS = re.compile(
    r"(?:c(?P<c>[0-9a-f]{1,16}))?(?:l(?P<l>\d{3})(?:(?P<kind>[pdm])(?P<p>\d{3}))?|p(?P<code>[0-9a-f]{1,12})|"
    r"z(?P<z>[0-9a-f]{1,6})|(?P<named>main_power|standby_power|bus|controller|mode|protocol))"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_KINDS = {"p": ("地址", "point"), "d": ("探测器", "detector"), "m": ("模块", "module")}


class EventClass(StrEnum):
    """What an event is about. `restored` beside it says that it is over. Idle and heartbeat are no events."""

    FIRE = "fire"
    FIRE_SUBSEQUENT = "fire_subsequent"
    PRE_ALARM = "pre_alarm"
    FAULT = "fault"
    SUPERVISORY = "supervisory"
    DISABLEMENT = "disablement"
    START = "start"
    STOP = "stop"
    FEEDBACK = "feedback"
    RESET = "reset"
    SILENCE = "silence"
    MAIN_POWER = "main_power"
    STANDBY_POWER = "standby_power"
    BUS = "bus"
    TEST = "test"
    SELF_TEST = "self_test"
    OTHER = "other"
    """Told by the panel, recorded, changes no state; with `restored`: all is over, whatever it was."""
    UNREADABLE = "unreadable"
    """Bytes come and none of them can be read: another dialect, another baud rate, a bad wire."""


CONDITIONS: dict[EventClass, str] = {
    EventClass.FIRE: "fire",
    EventClass.FIRE_SUBSEQUENT: "fire",
    EventClass.PRE_ALARM: "pre_alarm",
    EventClass.FAULT: "fault",
    EventClass.SUPERVISORY: "supervisory",
    EventClass.DISABLEMENT: "disabled",
    EventClass.START: "started",
    EventClass.FEEDBACK: "feedback",
    EventClass.MAIN_POWER: "fault",
    EventClass.STANDBY_POWER: "fault",
    EventClass.BUS: "fault",
}
"""Class -> the condition its point enters, or leaves when `restored`."""
_OWN: dict[EventClass, str] = {
    EventClass.MAIN_POWER: MAIN_POWER,
    EventClass.STANDBY_POWER: STANDBY_POWER,
    EventClass.BUS: BUS,
    EventClass.FAULT: CONTROLLER,
    EventClass.DISABLEMENT: CONTROLLER,
}
"""Where an event without an address belongs. A fire without an address belongs there too, by `state_address`."""
WHOLE = (EventClass.RESET, EventClass.SILENCE, EventClass.SELF_TEST, EventClass.UNREADABLE)
"""Classes that speak of the whole panel even when the frame names a point."""


class PanelEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a panel.

    event, restored: what. controller, loop: numbers as the panel counts, None when it does not say. point: as the
    panel prints it. address: state point it belongs to, None when it belongs to none. device_type: code of the maker;
    device_zh, device_en: what it means, "" when unknown. panel_time: as printed. received_ms: ms UTC. text: the place
    and whatever else is meant for people. raw: the frame in hex, its first MAX_RAW bytes.
    """

    event: EventClass
    received_ms: int
    restored: bool = False
    controller: int | None = None
    loop: int | None = None
    point: str | None = None
    address: str | None = None
    device_type: int | None = None
    device_zh: str = ""
    device_en: str = ""
    panel_time: str = ""
    text: str = ""
    raw: str = ""


def clean(text: str, most: int = MAX_TEXT) -> str:
    """Text of a panel without control characters, at most `most` characters."""
    return _CONTROL.sub(" ", text).strip()[:most]


def raw_hex(frame: bytes) -> str:
    """The frame as kept with an event."""
    return frame[:MAX_RAW].hex().upper()


def point_address(loop: int | None, point: int | None, controller: int | None = None, kind: str = "p") -> str | None:
    """State point of a loop and a point: `l004p012`, `c2l004p012` where the controller matters, `l004` for a loop."""
    if loop is None or not 0 <= loop <= 999 or (point is not None and not 0 <= point <= 999):
        return None
    head = "" if controller is None else f"c{controller}"
    return f"{head}l{loop:03d}" + ("" if point is None else f"{kind}{point:03d}")


def code_address(code: str, controller: int | None = None) -> str | None:
    """State point of a secondary code (二次码) of digits: `p001004`."""
    name = ("" if controller is None else f"c{controller}") + f"p{code.lower()}"
    return name if is_address(name) else None


def is_address(name: str) -> bool:
    """Whether the name is one a panel's state point may have."""
    return _ADDRESS.fullmatch(name) is not None


def address_title(name: str) -> tuple[str, str] | None:
    """Title zh, en of a state point nobody has named; None when the name is no address."""
    match = _ADDRESS.fullmatch(name)
    if match is None:
        return None
    zh, en = [], []
    if match["c"]:
        zh.append(f"控制器 {match['c']}")
        en.append(f"controller {match['c']}")
    if match["l"]:
        zh.append(f"回路 {int(match['l'])}")
        en.append(f"loop {int(match['l'])}")
    if match["p"]:
        word_zh, word_en = _KINDS[match["kind"]]
        zh.append(f"{word_zh} {int(match['p'])}")
        en.append(f"{word_en} {int(match['p'])}")
    for group, word_zh, word_en in (("code", "编码", "code"), ("z", "防区", "zone")):
        if match[group]:
            zh.append(f"{word_zh} {match[group]}")
            en.append(f"{word_en} {match[group]}")
    if match["named"]:
        zh.append(NAMED[match["named"]][0])
        en.append(NAMED[match["named"]][1].lower())
    text_en = " ".join(en)
    return " ".join(zh), text_en[:1].upper() + text_en[1:]


def state_address(event: PanelEvent) -> str | None:
    """The state point an event belongs to; None when it belongs to none.

    An event that must not be lost for want of an address (a fire from a panel that names none) belongs to the panel.
    """
    if event.event in WHOLE:
        return None
    if event.address is not None:
        return event.address
    return _OWN.get(event.event) or (CONTROLLER if event.event in CONDITIONS else None)


def encode_event(event: PanelEvent) -> str:
    """The compact JSON of an event, at most MAX_EVENT characters: the value of the point `event`."""
    text = msgspec.json.encode(event).decode()
    if len(text) > MAX_EVENT:
        event = msgspec.structs.replace(event, raw="", text=clean(event.text, 200), panel_time=event.panel_time[:40])
        text = msgspec.json.encode(event).decode()
    return text if len(text) <= MAX_EVENT else msgspec.json.encode(PanelEvent(
        event=event.event, received_ms=event.received_ms, restored=event.restored)).decode()  # fmt: skip


def decode_event(text: str) -> PanelEvent:
    """The event of a text made by `encode_event`. Raises msgspec.DecodeError."""
    return msgspec.json.decode(text, type=PanelEvent)


class PanelStates:
    """The conditions of every point of one panel, folded from its events. Pure.

    Args:
        reset_keeps: conditions that outlive a reset. A disablement does on the panels known to us; a fault that
            still stands is announced again. Power states end only when the panel says so.
    """

    def __init__(self, reset_keeps: Iterable[str] = ("disabled",)) -> None:
        self._keeps = frozenset(reset_keeps)
        self._conditions: dict[str, set[str]] = {}

    @property
    def states(self) -> dict[str, str]:
        """Every point heard of and its state word."""
        return {address: self.state(address) for address in self._conditions}

    def state(self, address: str) -> str:
        """The gravest condition of a point, `normal` without one; of the control mode `manual` or `auto`."""
        conditions = self._conditions.get(address, set())
        if address == MODE:
            return MANUAL if MANUAL in conditions else AUTO
        return next((word for word in PRIORITY if word in conditions), NORMAL)

    def restore(self, address: str, state: str) -> None:
        """Take up a state known from before a restart."""
        self._conditions[address] = {state} & {*PRIORITY, MANUAL}

    def apply(self, event: PanelEvent) -> dict[str, str]:
        """Fold one event in; returns the points it speaks of and their states now."""
        if event.event is EventClass.RESET:
            return self._reset(event.controller)
        address = state_address(event)
        if event.event is EventClass.OTHER and address == MODE:
            self._conditions[MODE] = set() if event.restored else {MANUAL}
            return {MODE: self.state(MODE)}
        if event.event is EventClass.OTHER:
            return self._all_over(address) if event.restored else {}
        if address is None:
            return {}
        if event.event is EventClass.STOP:
            self._conditions.setdefault(address, set()).discard("started")
        elif (condition := CONDITIONS.get(event.event)) is not None:
            conditions = self._conditions.setdefault(address, set())
            (conditions.discard if event.restored else conditions.add)(condition)
        else:
            return {}
        return {address: self.state(address)}

    def _reset(self, controller: int | None) -> dict[str, str]:
        changed = {}
        own = None if controller is None else re.compile(rf"c{controller}(?![0-9a-f])")
        for address, conditions in self._conditions.items():
            is_foreign = own is not None and re.match(r"c[0-9a-f]", address) and address != CONTROLLER
            if (
                address.endswith(("_power",))
                or address == MODE
                or (is_foreign and own is not None and not own.match(address))
            ):
                continue
            conditions &= self._keeps
            changed[address] = self.state(address)
        return changed

    def _all_over(self, address: str | None) -> dict[str, str]:
        """A point said to be normal keeps what the panel ends by a word of its own; a panel said to be, nothing."""
        if address is None:
            for known, conditions in self._conditions.items():
                if known != MODE:  # no condition, and told by a word of its own
                    conditions.clear()
            return self.states
        self._conditions[address] = self._conditions.get(address, set()) & {"disabled"}
        return {address: self.state(address)}
