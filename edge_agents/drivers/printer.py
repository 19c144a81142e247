"""Printed lines of an alarm panel, byte by byte into events. Pure, incremental; nothing is ever sent.

    1B 36 "08/12/02  17:24" 0A "  004-004" 0A 1B 39 "首次火警" 0A "裙楼一层上空" 0A "感烟探测器" 0A 0A
    ESC 6  panel's clock (text)  loop-point     ESC 9 what        where              device        end

ESC and the byte after it are font commands and are taken out before anything else is looked at. Filler bytes count
as filler only at the start of a line. Patterns are RE2: time linear in the text, whatever the panel prints.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from contract.profile import Printer

MAX_EVENT_BYTES = 4096
"""An event without an end is cut here."""
MAX_TEXT = 2000
"""Longest text on the wire (contract.messages.Reading)."""
_ESC = 0x1B
_NEWLINE = 0x0A


class PrintedEvent(NamedTuple):
    """One printed event.

    text: its lines, stripped, joined with " | ". point: the addressed point's name, None when there is none.
    state: what it went to, None: nothing known changes. resets: every point of the panel is normal again.
    """

    text: str
    point: str | None
    state: str | None
    resets: bool


class PrinterDecoder:
    """Bytes in, events out.

    Args:
        printer: the profile's section.
    """

    def __init__(self, printer: Printer) -> None:
        import re2  # here and not above: an agent without a printer saves its 2 MB

        self._printer = printer
        self._end = printer.event_end.encode(printer.encoding)
        self._idle = frozenset(printer.idle_bytes)
        self._patterns: list[tuple[Any, str | None, bool]] = [
            (re2.compile(entry.pattern), entry.state, entry.resets) for entry in printer.patterns
        ]
        self._event = bytearray()
        self._after_escape = False

    @property
    def is_within_event(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._event.strip())

    def feed(self, data: bytes) -> list[PrintedEvent]:
        """The events that these bytes complete."""
        events: list[PrintedEvent] = []
        for byte in data:
            if self._after_escape:
                self._after_escape = False
                continue
            if byte == _ESC:
                self._after_escape = True
                continue
            if byte in self._idle and (not self._event or self._event[-1] == _NEWLINE):
                continue
            if byte < 0x20 and byte != _NEWLINE:
                continue  # carriage return, form feed, stray controls
            self._event.append(byte)
            if self._event.endswith(self._end) or len(self._event) >= MAX_EVENT_BYTES:
                events += self.flush()
        return events

    def flush(self) -> list[PrintedEvent]:
        """The event begun so far as if it had ended: the line has been quiet, or is closing."""
        text = self._event.decode(self._printer.encoding, errors="replace")
        self._event.clear()
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        return [self._judge("\n".join(lines))] if lines else []

    def _judge(self, text: str) -> PrintedEvent:
        shown = text.replace("\n", " | ")[:MAX_TEXT]
        for pattern, state, resets in self._patterns:
            found = pattern.search(text)
            if found is not None:
                return PrintedEvent(shown, self._point(found.groupdict()), state, resets)
        return PrintedEvent(shown, None, None, False)

    def _point(self, groups: dict[str, str | None]) -> str | None:
        numbers = {name: int(digits) for name, digits in groups.items() if digits is not None and digits.isdecimal()}
        try:
            return self._printer.address_format.format(**numbers)
        except (KeyError, IndexError):
            return None  # the pattern carries no address
