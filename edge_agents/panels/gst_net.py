"""GST (海湾) GST5000 panel network, listened to: frames from AA, each sent three times.

     0 AA | 1 event code | 2-4 secondary code, BCD | 5 device type, binary | 6-8 unknown | 9-22 place | 23 sum
    place: 7 pairs, `00 xx` is ASCII xx, else row and column (区位码) in BCD. sum: low byte of all bytes before it.

    AA 04 55 55 55 55 02 reset  AA 08 12 21 12 21 18 idle  AA 04 00 00 reset, short  AA 01 xx xx 00 00 00 after fire

The two short forms follow no checksum rule known to us. Bytes 6-8 have no known meaning and are kept as they are.
"""

from __future__ import annotations

from typing import Any, ClassVar

from contract.panel import EventClass, PanelEvent, clean, code_address, raw_hex
from edge_agents.panels.receiver import Frame, FrameReceiver, Repeats, Taken, bcd, quwei_text
from edge_agents.panels.tables import UNKNOWN, Meaning, meanings, words

START = 0xAA
SIZE = 24
COPIES, WITHIN_MS = 3, 5000
NOTE = "short frame, does not follow the checksum rule"
_WORDS = {0x22: "action/feedback"}


class GstNetReceiver(FrameReceiver):
    """Frames of the panel network."""

    longest: ClassVar[int] = SIZE

    def __init__(self) -> None:
        super().__init__()
        self._repeats = Repeats(COPIES, WITHIN_MS)
        self._doubtful = Repeats(COPIES, WITHIN_MS)

    def _take(self, buffer: bytes, at: int, now_ms: int) -> Taken | None:
        if buffer[at] != START:
            return Taken(1)
        rest = len(buffer) - at
        if rest < 4:
            return None
        code = buffer[at + 1]
        if code == 0x04 and buffer[at + 2 : at + 4] == b"\0\0":
            return self._short(buffer[at : at + 4], now_ms)
        if code in (0x01, 0x04, 0x08):
            if rest < 7:
                return None
            raw = buffer[at : at + 7]
            if code == 0x01:
                return self._short(raw, now_ms) if raw[4:] == b"\0\0\0" else Taken(1, None, "bad_form")
            return self._checked(raw, now_ms)
        if rest < SIZE:
            return None
        return self._checked(buffer[at : at + SIZE], now_ms)

    def _checked(self, raw: bytes, now_ms: int) -> Taken:
        if sum(raw[:-1]) & 0xFF != raw[-1]:
            return Taken(1, None, "bad_sum")
        return self._short(raw, now_ms) if len(raw) < SIZE else Taken(SIZE, self._long(raw, now_ms))

    def _short(self, raw: bytes, now_ms: int) -> Taken:
        code, is_checked = raw[1], len(raw) == 7 and raw[1] != 0x01
        word = {0x01: "short frame after a fire", 0x04: "reset", 0x08: "idle sync"}[code]
        body = raw[2:-1] if is_checked else raw[2:]
        fields: dict[str, Any] = {"event_code": f"{code:02X}", "event": word, "body": body.hex().upper()}
        if not is_checked:
            fields["note"] = NOTE
        # Both forms of the reset are one reset.
        is_new = code == 0x04 and not self._repeats.is_repeat(b"reset", now_ms)
        event = PanelEvent(event=EventClass.RESET, received_ms=now_ms, raw=raw_hex(raw))
        return Taken(len(raw), Frame(raw, fields, [event] if is_new else []))

    def _long(self, raw: bytes, now_ms: int) -> Frame:
        said = meanings("gst", "network").get(raw[1], Meaning(EventClass.OTHER))
        code, kind, place = raw[2:5].hex(), raw[5], clean(quwei_text(raw[9:23], is_bcd=True))
        device = words("gst", "types").get(kind, UNKNOWN)
        fields: dict[str, Any] = {
            "event_code": f"{raw[1]:02X}", "event": _WORDS.get(raw[1], str(said.event)), "secondary_code": code,
            "device_type": kind, "device": device.en or None, "unknown": raw[6:9].hex().upper(), "location": place,
            "location_raw": raw[9:23].hex().upper(),
        }  # fmt: skip
        if said.restored:
            fields["restored"] = True
        event = PanelEvent(
            event=said.event, restored=said.restored, received_ms=now_ms, point=code, address=code_address(code),
            device_type=kind, device_zh=device.zh, device_en=device.en, text=place, raw=raw_hex(raw),
        )  # fmt: skip
        # One byte of checksum lets noise through; what does not look like a frame inside must come twice.
        is_doubtful = not _is_plausible(raw) and not self._doubtful.is_repeat(raw, now_ms)
        return Frame(raw, fields, [] if is_doubtful or self._repeats.is_repeat(raw, now_ms) else [event])


def _is_plausible(raw: bytes) -> bool:
    """Whether the code is digits and the place is letters."""
    pairs = zip(raw[9:23:2], raw[10:23:2], strict=True)
    return all(bcd(byte) >= 0 for byte in raw[2:5]) and all(
        (row == 0 and (column == 0 or 0x20 <= column < 0x7F)) or (1 <= bcd(row) <= 94 and 1 <= bcd(column) <= 94)
        for row, column in pairs
    )
