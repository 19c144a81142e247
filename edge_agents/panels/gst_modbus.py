"""GST (海湾) Modbus card: a table of states, read with function 3; events are made by comparing two tables.

    one register a point, state in the low byte: 1 fire 2 fault 3 feedback 5 start 7 disabled; 4, 9 recovered,
    6 stopped, 8 released.  GST200: register n is point n+1, 242 main power, 243 standby power, 244 bus.
    GST5000: register = loop x 240 + address - 1, 4998 main power, 4999 standby power.

The table has neither time nor text, and what comes and goes between two reads is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from msgspec.structs import replace

from contract.panel import (
    BUS,
    MAIN_POWER,
    NORMAL,
    STANDBY_POWER,
    EventClass,
    PanelEvent,
    code_address,
    point_address,
    raw_hex,
)
from edge_agents.panels.receiver import Frame, FrameReceiver, Taken, crc16
from edge_agents.panels.tables import table

READS = (1, 2, 3, 4)
"""Function codes taken: those that only read."""
_CLASSES = {
    "fire": EventClass.FIRE, "fault": EventClass.FAULT, "feedback": EventClass.FEEDBACK, "started": EventClass.START,
    "disabled": EventClass.DISABLEMENT, "supervisory": EventClass.SUPERVISORY, "pre_alarm": EventClass.PRE_ALARM,
}  # fmt: skip
_NAMED = {MAIN_POWER: EventClass.MAIN_POWER, STANDBY_POWER: EventClass.STANDBY_POWER, BUS: EventClass.BUS}


class Place(NamedTuple):
    """Where a state belongs: state point, loop, and the point as people say it."""

    address: str
    loop: int | None
    point: str | None


def events_between(
    was: str, now: str | None, place: Place, now_ms: int, controller: int | None, *, text: str = "", raw: str = ""
) -> list[PanelEvent]:
    """Events of one point between two states; `now` None: a code without meaning. A condition that gave way to another
    ends before that one begins."""
    told = [(was, True)] if was not in (NORMAL, now) else []
    if now is None or now not in (NORMAL, was):
        told.append((now or "", False))
    return [
        PanelEvent(
            event=_event_class(place.address, state), restored=restored, received_ms=now_ms, controller=controller,
            loop=place.loop, point=place.point, address=place.address, text=text, raw=raw,
        )
        for state, restored in told
    ]  # fmt: skip


def _event_class(address: str, state: str) -> EventClass:
    event = _CLASSES.get(state, EventClass.OTHER)
    return _NAMED.get(address, event) if event is EventClass.FAULT else event


class StateTable:
    """Compares register tables of one panel.

    Args:
        layout: `gst200` or `gst5000` of tables.yaml.
        controller: the panel's number, put into points where several panels share a device.
    """

    def __init__(self, layout: str = "gst200", controller: int | None = None) -> None:
        self._layout: dict[str, int] = table("gst")["layouts"][layout]
        self._states: dict[int, str] = table("gst")["modbus"]
        self._controller = controller
        self._named = {self._layout[name]: name for name in _NAMED if name in self._layout}

    def address(self, register: int) -> tuple[str, int | None, int | None] | None:
        """State point, loop and point of a register; None when it is none of the panel's."""
        if register in self._named:
            return self._named[register], None, None
        per_loop = self._layout["per_loop"]
        loop, point = divmod(register, per_loop) if per_loop else (0, register)
        if register >= self._layout["points"] or loop < self._layout["first_loop"]:
            return None
        if not per_loop:  # a panel without loops: the names of the profile panel-modbus
            name = code_address(f"{point + 1:03d}", self._controller)
            return (name, None, point + 1) if name is not None else None
        name = point_address(loop, point + 1, self._controller)
        return (name, loop, point + 1) if name is not None else None

    def diff(self, old: Mapping[int, int] | None, new: Mapping[int, int], now_ms: int) -> list[PanelEvent]:
        """Events between two reads (register -> word); `old` None: all that is not normal. A condition that gave way
        to another ends before that one begins. A code without meaning is an `other` event."""
        events = []
        for register, word in new.items():
            place = self.address(register)
            before = None if old is None else old.get(register)
            if place is None or (before is not None and before & 0xFF == word & 0xFF):
                continue
            was = NORMAL if before is None else self._states.get(before & 0xFF, NORMAL)
            now = self._states.get(word & 0xFF)
            events += self._events(was, now, place, f"{register:04X}{word:04X}", now_ms)
        return events

    def _events(
        self, was: str, now: str | None, place: tuple[str, int | None, int | None], raw: str, now_ms: int
    ) -> list[PanelEvent]:
        address, loop, point = place
        said = None if point is None else str(point) if loop is None else f"{loop}-{point}"
        text = "" if now is not None else f"state code {int(raw[-2:], 16)}"
        return events_between(was, now, Place(address, loop, said), now_ms, self._controller, text=text, raw=raw)


class GstModbusReceiver(FrameReceiver):
    """Requests and answers of a Modbus RTU line that another master reads: decoded, compared, never answered.

    Args:
        layout: of the panel's registers.
    """

    longest: ClassVar[int] = 256

    def __init__(self, layout: str = "gst200") -> None:
        super().__init__()
        self._table = StateTable(layout)
        self._asked: tuple[int, int, int, int] | None = None
        self._known: dict[int, dict[int, int]] = {}

    def _take(self, buffer: bytes, at: int, now_ms: int) -> Taken | None:
        rest = len(buffer) - at
        if rest < 2:
            return None
        if not 1 <= buffer[at] <= 247 or buffer[at + 1] not in READS:
            return Taken(1)
        if rest < 3:
            return None
        sizes = [size for size in (8, 5 + buffer[at + 2]) if size <= self.longest]
        for size in sizes:
            raw = buffer[at : at + size]
            if len(raw) == size and crc16(raw[:-2]).to_bytes(2, "little") == raw[-2:]:
                is_answer = raw[2] == size - 5 and raw[2] > 0
                frame = self._response(raw, now_ms) if is_answer else self._request(raw)
                return Taken(size, frame)
        return None if rest < max(sizes) else Taken(1, None, "bad_crc")

    def _request(self, raw: bytes) -> Frame:
        slave, function = raw[0], raw[1]
        start, count = int.from_bytes(raw[2:4], "big"), int.from_bytes(raw[4:6], "big")
        self._asked = (slave, function, start, count)
        fields = {"direction": "request", "slave": slave, "function": function, "start": start, "count": count}
        return Frame(raw, fields, [])

    def _response(self, raw: bytes, now_ms: int) -> Frame:
        slave, function, data = raw[0], raw[1], raw[3:-2]
        fields: dict[str, Any] = {"direction": "response", "slave": slave, "function": function}
        asked, self._asked = self._asked, None
        events: list[PanelEvent] = []
        if function in (1, 2) or len(data) % 2:
            fields["data"] = data.hex().upper()
            return Frame(raw, fields, [])
        words = [int.from_bytes(data[n : n + 2], "big") for n in range(0, len(data), 2)]
        fields["registers"] = words
        if asked is not None and asked[:2] == (slave, function) and asked[3] == len(words):
            new = dict(enumerate(words, asked[2]))
            known = self._known.setdefault(slave, {})
            events = self._table.diff(known, new, now_ms)
            known.update(new)
        if events:
            fields["events"] = [str(event.event) for event in events]
        return Frame(raw, fields, [replace(event, raw=raw_hex(raw)) for event in events])
