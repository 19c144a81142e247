"""Jade Bird (北大青鸟) 193K/293K card: frames of nibbles, pushed by the panel or asked for each second.

    82 | 12 data bytes, each sent as 30+high 30+low | 83          26 bytes
    D1 command  D2 controller  D3 loop  D4 point  D5 device type  D6-D11 yy mm dd hh mm ss (binary)
    D12 low byte of the sum of D1..D11
    D5 = FF: D13-D16 and a CRC-8 follow (36 bytes); its polynomial is not published, so it is kept and not checked.

Codes 70, 71, 72 carry 80 (fault) or 90 (recovered) in the place of the loop. 00 and 69 are heartbeats, 09 an answer
with the version. Asking: 82, 24 times 30, 83, once a second; a panel that is not asked for 3 s pushes again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from contract.panel import EventClass, PanelEvent, point_address, raw_hex
from edge_agents.panels.receiver import Frame, FrameReceiver, Taken, Transmission
from edge_agents.panels.tables import UNKNOWN, Meaning, meanings, words

START, END = 0x82, 0x83
SIZES = (24, 32, 34)
"""Nibble bytes between start and end: the plain frame and the two readings of the longer one."""
ASK = b"\x82" + b"\x30" * 24 + b"\x83"
ASK_MS = 1000
IDLE = {0x00: "heartbeat", 0x69: "heartbeat", 0x09: "answer"}
_FAULT, _RECOVERED = 0x80, 0x90
_PANEL_CODES = (0x70, 0x71, 0x72)


class JbfReceiver(FrameReceiver):
    """Frames of a 193K/293K card.

    Args:
        asks: ask each second instead of waiting for what the panel pushes.
        many_controllers: name points by controller too.
    """

    ALLOWED: ClassVar[frozenset[bytes]] = frozenset({ASK})
    longest: ClassVar[int] = 36
    tick_ms: ClassVar[int] = 250

    def __init__(self, *, asks: bool = False, many_controllers: bool = False) -> None:
        super().__init__()
        self._asks = asks
        self._many = many_controllers
        self._asked_ms: int | None = None

    def permits(self, data: bytes) -> bool:
        """The question, and only where asking was configured."""
        return self._asks and super().permits(data)

    def due(self, now_ms: int) -> list[Transmission]:
        """The question, once a second."""
        if not self._asks or (self._asked_ms is not None and 0 <= now_ms - self._asked_ms < ASK_MS):
            return []
        self._asked_ms = now_ms
        return [Transmission(ASK)]

    def _take(self, buffer: bytes, at: int, now_ms: int) -> Taken | None:
        if buffer[at] != START:
            return Taken(1)
        size = 0
        while at + 1 + size < len(buffer) and buffer[at + 1 + size] & 0xF0 == 0x30:
            size += 1
            if size > SIZES[-1]:
                return Taken(1, None, "too_long")
        end = at + 1 + size
        if end >= len(buffer):
            return None
        if buffer[end] != END or size not in SIZES:
            return Taken(1, None, "bad_form")
        nibbles = buffer[at + 1 : end]
        data = bytes((high & 0x0F) << 4 | low & 0x0F for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))
        if sum(data[:11]) & 0xFF != data[11]:
            return Taken(1, None, "bad_sum")
        if size > SIZES[0] and data[4] != 0xFF:
            return Taken(1, None, "bad_form")
        return Taken(size + 2, self._frame(buffer[at : end + 1], data, now_ms))

    def _frame(self, raw: bytes, data: bytes, now_ms: int) -> Frame:
        command, controller, loop, point, kind = data[:5]
        time = _time(data[5:11])
        if command in IDLE:
            return Frame(raw, {"command": f"{command:02X}", "event": IDLE[command], "controller": controller}, [])
        said = meanings("jbf", "events").get(command, Meaning(EventClass.OTHER))
        note = words("jbf", "notes").get(command, UNKNOWN)
        device = words("jbf", "types").get(kind, UNKNOWN)
        address: str | None = point_address(loop, point, controller if self._many else None)
        if command in _PANEL_CODES:
            said, address = Meaning(said.event, loop == _RECOVERED), None
        elif command == 0xEF:
            address = None
        elif said.event is EventClass.BUS:
            address = point_address(loop, None, controller if self._many else None)
        fields: dict[str, Any] = {
            "command": f"{command:02X}", "event": str(said.event), "controller": controller, "loop": loop,
            "point": point, "device_type": kind, "device": device.en or None, "time": time,
        }  # fmt: skip
        if said.restored:
            fields["restored"] = True
        if len(data) > 12:
            fields["extra"] = data[12:].hex().upper()
        event = PanelEvent(
            event=said.event, restored=said.restored, received_ms=now_ms, controller=controller, loop=loop,
            point=f"{controller}-{loop}-{point}", address=address, device_type=kind, device_zh=device.zh,
            device_en=device.en, panel_time=time or data[5:11].hex(), text=note.zh, raw=raw_hex(raw),
        )  # fmt: skip
        return Frame(raw, fields, [event])


def _time(data: bytes) -> str | None:
    try:
        return datetime(2000 + data[0], *data[1:6]).isoformat()  # noqa: DTZ001  # the panel's own clock, zone unknown
    except ValueError:
        return None
