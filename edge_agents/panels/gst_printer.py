"""GST (海湾) GST100 micro printer: glyphs of one byte instead of text, between runs of filler.

    2A 2A ... 0D "10" 8D "19" 8E "   17:09" 0D 0A  80 0D  "1-005" 0D 0A  20 21 0D
    filler       month    day     time             event   zone-point       device

8D and 8E are 月 and 日. A system event prints ----- for the point. What a glyph means depends on the printer: the
tables stand in tables.yaml, and a site may add to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from contract.panel import EventClass, PanelEvent, point_address, raw_hex
from edge_agents.panels.receiver import Frame, FrameReceiver, Taken
from edge_agents.panels.tables import UNKNOWN, Meaning, Words, meaning, table

_EVENT = re.compile(
    rb"\r(?P<month>[01 ]\d)\x8d(?P<day>[0-3 ]\d)\x8e {1,4}(?P<time>[0-2 ]\d:[0-5]\d)\r\n"
    rb"(?P<event>[^\r\n])\r(?P<point>[0-9-]{1,9})\r\n (?P<device>[^\r\n])\r"
)
_HEAD = re.compile(rb"\r(?:[01 ](?:\d(?:\x8d.*)?)?)?", re.DOTALL)


class GstPrinterReceiver(FrameReceiver):
    """Events of a micro printer.

    Args:
        glyphs: name of a table of tables.yaml.
        more_events: event glyphs of this site: code -> class, `restored` after it where it is over.
    """

    longest: ClassVar[int] = 44
    quiet_ms: ClassVar[int] = 1000

    def __init__(self, glyphs: str = "gst100", more_events: Mapping[int, list[str]] | None = None) -> None:
        super().__init__()
        found = table("gst_printer")[glyphs]
        self.idle: frozenset[int] = frozenset(found["idle"])  # type: ignore[misc]  # a printer's own filler
        self._events: dict[int, Meaning] = {
            code: meaning(entry) for code, entry in {**found["events"], **(more_events or {})}.items()
        }
        self._words: dict[int, str] = found["words"]
        self._types = {code: Words(*entry) for code, entry in found["types"].items()}
        self._prefix = 0

    def _take(self, buffer: bytes, at: int, now_ms: int) -> Taken | None:
        if buffer[at] != 0x0D:
            self._prefix += 1
            return Taken(1)
        match = _EVENT.match(buffer, at)
        if match is not None:
            return Taken(match.end() - at, self._frame(match, now_ms))
        if len(buffer) - at < self.longest and _HEAD.fullmatch(buffer, at):
            return None
        self._prefix += 1
        return Taken(1, None, "bad_form")

    def _frame(self, match: re.Match[bytes], now_ms: int) -> Frame:
        glyph, kind = match["event"][0], match["device"][0]
        said = self._events.get(glyph, Meaning(EventClass.OTHER))
        device = self._types.get(kind, UNKNOWN)
        printed = match["point"].decode()
        month, day, time = int(match["month"]), int(match["day"]), match["time"].decode().strip()
        zone, _, number = printed.partition("-")
        has_point = zone.isdecimal() and number.isdecimal()
        fields: dict[str, Any] = {
            "idle_prefix_bytes": self._prefix, "month": month, "day": day, "time": time, "event_glyph": f"{glyph:02X}",
            "event": self._words.get(glyph, str(said.event)), "point": printed if has_point else None,
            "point_raw": printed, "device_glyph": f"{kind:02X}", "device": device.en or None,
        }  # fmt: skip
        self._prefix = 0
        named = device.en == "main power" and said.event is EventClass.FAULT and not has_point
        raw = match.group()
        event = PanelEvent(
            event=EventClass.MAIN_POWER if named else said.event, restored=said.restored, received_ms=now_ms,
            loop=int(zone) if has_point else None, point=printed if has_point else None,
            address=point_address(int(zone), int(number)) if has_point else None, device_type=kind,
            device_zh=device.zh, device_en=device.en, panel_time=f"{month:02d}-{day:02d} {time}",
            text=self._words.get(glyph, f"glyph {glyph:02X}"), raw=raw_hex(raw),
        )  # fmt: skip
        return Frame(raw, fields, [event])
