"""Leader (利达) LD128E(N): one byte asks, one or three answer; nothing guards them.

    us 20      panel 7F                  nothing new
               panel code loop point     01 fire 02 fault 05 fault over 09 feedback 0B feedback over 12 main power
                                         13 standby power 30 silence 40 request 44 start 50 reset

There is no checksum and no frame mark. So a burst is judged when the line is quiet behind it, and is believed only when
every byte of it fits: a fire made of noise would be worse than one noted a tenth of a second later.
"""

from __future__ import annotations

from typing import Any, ClassVar

from contract.panel import EventClass, PanelEvent, point_address, raw_hex
from edge_agents.panels.receiver import MAX_NOISE, Frame, Noise, Receiver, Transmission
from edge_agents.panels.tables import Meaning, meanings

ASK = b"\x20"
ASK_MS = 200
IDLE = 0x7F
MOST = 24
"""No burst of answers is longer, bytes."""
_POWER = (0x12, 0x13)
_WHOLE = (0x30, 0x40, 0x50)


class Ld128eReceiver(Receiver):
    """Answers of an LD128E.

    Args:
        asks: False only listens.
    """

    ALLOWED: ClassVar[frozenset[bytes]] = frozenset({ASK})
    quiet_ms: ClassVar[int] = 100
    tick_ms: ClassVar[int] = 50

    def __init__(self, *, asks: bool = True) -> None:
        self._asks = asks
        self._asked_ms: int | None = None
        self._buffer = bytearray()
        self._is_lost = False

    def permits(self, data: bytes) -> bool:
        """The question."""
        return self._asks and super().permits(data)

    def due(self, now_ms: int) -> list[Transmission]:
        """The question, every 200 ms."""
        if not self._asks or (self._asked_ms is not None and 0 <= now_ms - self._asked_ms < ASK_MS):
            return []
        self._asked_ms = now_ms
        return [Transmission(ASK)]

    def feed(self, data: bytes, now_ms: int) -> list[Frame | Noise]:  # noqa: ARG002  # the same call for every receiver
        """Nothing yet: an answer is judged when the line is quiet behind it. What is too long is none."""
        self._buffer += data
        if self._is_lost or len(self._buffer) > MOST:
            self._is_lost = True
            return self._refuse("too_long")
        return []

    def flush(self, now_ms: int) -> list[Frame | Noise]:
        """The line is quiet: the burst is answers to its last byte, or noise as a whole."""
        if self._is_lost:
            self._is_lost = False
            return self._refuse("too_long")
        items, at, known = list[Frame | Noise](), 0, meanings("ld128e", "events")
        while at < len(self._buffer):
            if self._buffer[at] == IDLE:
                items.append(Frame(bytes((IDLE,)), {"event": "idle"}, []))
                at += 1
            elif self._buffer[at] in known and len(self._buffer) - at >= 3:
                items.append(_frame(bytes(self._buffer[at : at + 3]), now_ms))
                at += 3
            else:
                return self._refuse("no_frame")
        self._buffer.clear()
        return items

    def _refuse(self, reason: str) -> list[Frame | Noise]:
        data = bytes(self._buffer)
        self._buffer.clear()
        return [Noise(data[:MAX_NOISE], len(data), reason)] if data else []


def _frame(raw: bytes, now_ms: int) -> Frame:
    code, loop, point = raw
    said = meanings("ld128e", "events")[code]
    address = point_address(loop, point)
    if code in _POWER:
        # Which of the two bytes carries the state is not published: any that is not 0 is a fault.
        said, address = Meaning(said.event, restored=not (loop or point)), None
    elif code in _WHOLE:
        address = None
    fields: dict[str, Any] = {"code": f"{code:02X}", "event": str(said.event), "loop": loop, "point": point}
    if said.restored:
        fields["restored"] = True
    has_point = address is not None
    event = PanelEvent(
        event=said.event, restored=said.restored, received_ms=now_ms, loop=loop if has_point else None,
        point=f"{loop:03d}-{point:03d}" if has_point else None, address=address,
        text="请求" if said.event is EventClass.OTHER else "", raw=raw_hex(raw),
    )  # fmt: skip
    return Frame(raw, fields, [event])
