"""Songjiang (松江) JB-3208: the panel starts every exchange and wants an answer within 500 ms.

    FE | controller | code | length, 2 bytes, low first | body | CRC-16 | FF
    code 110 fire 111 fault 112 start 113 feedback 114 supervisory 115 disablement 100 poll 0 restart
    body of 110..116: count (2, low first), then count points of 32 bytes:
      controller loop point zone(2, low first) type state yy mm dd hh mm (BCD) text(20, rows and columns; FF, 00 none)

CRC-16/MODBUS from controller to the end of the body. The maker's paper says high byte first, captures carry the low
byte first: both are taken and said. The answer is code 100 with body 100 in the order the panel used, nothing else.
"""

from __future__ import annotations

from typing import Any, ClassVar

from contract.panel import EventClass, PanelEvent, clean, point_address, raw_hex
from edge_agents.panels.receiver import (
    Frame,
    FrameReceiver,
    Noise,
    Repeats,
    Taken,
    Transmission,
    bcd,
    crc16,
    quwei_text,
)
from edge_agents.panels.tables import Meaning, meanings, table

START, END = 0xFE, 0xFF
POLL, RESTART, CONFIGURATION = 100, 0, 103
POINT_SIZE, MOST_POINTS, MOST_BODY = 32, 62, 2 + 32 * 62
EVENTS = range(110, 117)
LOW_FIRST, HIGH_FIRST = "low byte first", "high byte first"
ACKNOWLEDGE_MS = 500
_REPEAT_MS = 10_000


def acknowledgement(controller: int, order: str) -> bytes:
    """The answer to a panel's frame."""
    inner = bytes((controller, POLL, 1, 0, POLL))
    crc = crc16(inner).to_bytes(2, "little" if order == LOW_FIRST else "big")
    return bytes((START,)) + inner + crc + bytes((END,))


class SongjiangReceiver(FrameReceiver):
    """Frames of a JB-3208.

    Args:
        many_controllers: name points by controller too.
        answers: False for a capture: nothing is due.
    """

    ALLOWED: ClassVar[frozenset[bytes]] = frozenset(
        acknowledgement(controller, order) for controller in range(256) for order in (LOW_FIRST, HIGH_FIRST)
    )
    longest: ClassVar[int] = MOST_BODY + 8

    def __init__(self, *, many_controllers: bool = False, answers: bool = True) -> None:
        super().__init__()
        self._many = many_controllers
        self._answers = answers
        self._repeats = Repeats(10, _REPEAT_MS)
        self._owed: tuple[Transmission, int] | None = None

    def permits(self, data: bytes) -> bool:
        """Acknowledgements."""
        return self._answers and super().permits(data)

    def due(self, now_ms: int) -> list[Transmission]:
        """The answer owed; too late it is none."""
        owed, self._owed = self._owed, None
        return [owed[0]] if owed is not None and 0 <= now_ms - owed[1] < ACKNOWLEDGE_MS else []

    def feed(self, data: bytes, now_ms: int) -> list[Frame | Noise]:
        """Frames; the last of them is owed an answer."""
        items = super().feed(data, now_ms)
        for item in items:
            if isinstance(item, Frame) and self._answers:
                answer = acknowledgement(item.raw[1], str(item.fields["crc_order"]))
                self._owed = (Transmission(answer, must_be_durable=True), now_ms)
        return items

    def _take(self, buffer: bytes, at: int, now_ms: int) -> Taken | None:
        if buffer[at] != START:
            return Taken(1)
        if len(buffer) - at < 5:
            return None
        code, length = buffer[at + 2], int.from_bytes(buffer[at + 3 : at + 5], "little")
        if length > MOST_BODY or (code not in EVENTS and code not in (POLL, RESTART, CONFIGURATION)):
            return Taken(1, None, "bad_form")
        if code in EVENTS and (length < 2 or (length - 2) % POINT_SIZE):
            return Taken(1, None, "bad_form")
        size = length + 8
        if len(buffer) - at < size:
            return None
        raw = buffer[at : at + size]
        if raw[-1] != END or (code in EVENTS and int.from_bytes(raw[5:7], "little") * POINT_SIZE + 2 != length):
            return Taken(1, None, "bad_form")
        crc = crc16(raw[1:-3])
        orders = {crc.to_bytes(2, "big"): HIGH_FIRST, crc.to_bytes(2, "little"): LOW_FIRST}
        order = orders.get(raw[-3:-1])
        if order is None:
            return Taken(1, None, "bad_crc")
        return Taken(size, self._frame(raw, order, now_ms))

    def _frame(self, raw: bytes, order: str, now_ms: int) -> Frame:
        controller, code = raw[1], raw[2]
        fields: dict[str, Any] = {"controller": controller, "code": code, "event": "poll", "crc_order": order}
        if code in (POLL, CONFIGURATION):
            fields["event"] = "poll" if code == POLL else "read configuration"
            return Frame(raw, fields, [])
        is_repeat = self._repeats.is_repeat(raw, now_ms)
        said = meanings("songjiang", "events")[code]
        fields["event"] = str(said.event)
        if code == RESTART:
            event = PanelEvent(event=said.event, received_ms=now_ms, controller=controller, raw=raw_hex(raw))
            return Frame(raw, fields, [] if is_repeat else [event])
        body = raw[7:-3]
        points = [_point(body[n : n + POINT_SIZE]) for n in range(0, len(body), POINT_SIZE)]
        fields["points"] = points
        return Frame(raw, fields, [] if is_repeat else [self._event(said, point, raw, now_ms) for point in points])

    def _event(self, said: Meaning, point: dict[str, Any], raw: bytes, now_ms: int) -> PanelEvent:
        event, loop = said.event, point["loop"]
        address = point_address(loop, point["point"], point["controller"] if self._many else None)
        named = table("songjiang")["named_loops"].get(loop)
        if named is not None and event is EventClass.FAULT:
            event, address = EventClass(named), None
        return PanelEvent(
            event=event, received_ms=now_ms, controller=point["controller"], loop=loop,
            point=f"{point['controller']}-{loop}-{point['point']}", address=address, device_type=point["type"],
            panel_time=point["time"] or "", text=clean(point["text"] or f"防区 {point['zone']}"), raw=raw_hex(raw),
        )  # fmt: skip


def _point(data: bytes) -> dict[str, Any]:
    text = quwei_text(data[12:32], is_bcd=False)
    return {
        "controller": data[0], "loop": data[1], "point": data[2], "zone": int.from_bytes(data[3:5], "little"),
        "type": data[5], "state": data[6], "time": _time(data[7:12]), "text": text or None,
        "text_raw": data[12:32].hex().upper(),
    }  # fmt: skip


def _time(data: bytes) -> str | None:
    year, month, day, hour, minute = (bcd(byte) for byte in data)
    if year < 0 or not (1 <= month <= 12 and 1 <= day <= 31 and 0 <= hour <= 23 and 0 <= minute <= 59):
        return None
    return f"{2000 + year}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}"
