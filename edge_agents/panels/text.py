"""Printed lines of any panel, byte by byte into events, by a set of patterns that is data.

    1B 36 "08/12/02  17:24" 0A "  004-004" 0A 1B 39 "首次火警" 0A "裙楼一层上空" 0A "感烟探测器" 0A 0A
    ESC 6  panel's clock (text)  loop-point     ESC 9 what        where              device        end

ESC and the byte after it are font commands and are taken out before anything else is looked at. Filler counts as filler
only at the start of a line. Patterns are RE2: their time is linear in the text, whatever a panel prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import re2
import yaml

from contract.errors import ConfigError
from contract.panel import EventClass, PanelEvent, clean, is_address, point_address, raw_hex
from edge_agents.panels.receiver import MAX_NOISE, Frame, Noise, Receiver
from edge_agents.panels.tables import Meaning

FOLDER = Path(__file__).parent / "patterns"
LONGEST_EVENT = 4096
"""An event without an end is cut here, bytes."""
LONGEST_LINE = 600
"""Characters of a line that are looked at."""
_ESC, _NEWLINE = 0x1B, 0x0A


class Keyword(NamedTuple):
    """A word that says what happened."""

    word: str
    meaning: Meaning
    en: str


class PatternSet(NamedTuple):
    """One file of `patterns/`: how a printer ends an event, the shapes of its lines, its words."""

    encoding: str
    event_end: bytes
    idle: frozenset[int]
    shapes: list[Any]
    keywords: list[Keyword]
    address: str | None


@cache
def load_patterns(name: str) -> PatternSet:
    """A set that is shipped. Raises ConfigError when there is none of that name."""
    path = FOLDER / f"{name}.yaml"
    if not name.replace("_", "").isalnum() or not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise ConfigError(f"patterns: got {name!r}, want one of {known}. Name a set.")
    return read_patterns(yaml.safe_load(path.read_text("utf-8")), str(path))


def read_patterns(data: Mapping[str, Any], where: str) -> PatternSet:
    """A set from its plain data. Raises ConfigError for a pattern RE2 does not take or an unknown class."""
    try:
        keywords = [
            Keyword(
                str(entry["word"]),
                Meaning(EventClass(entry["event"]), bool(entry.get("restored"))),
                entry.get("en", ""),
            )
            for entry in data["keywords"]
        ]
        shapes = [re2.compile(shape) for shape in data["shapes"]]
    except (KeyError, ValueError, TypeError, re2.error) as exc:
        raise ConfigError(f"{where}: {exc}. Mend the pattern set.") from exc
    end = {"blank_line": b"\n\n", "line": b"\n"}[data.get("event_end", "blank_line")]
    return PatternSet(
        data.get("encoding", "gb18030"), end, frozenset(data.get("idle", [])), shapes, keywords, data.get("address")
    )


class TextReceiver(Receiver):
    """Printed events.

    Args:
        patterns: what the lines look like.
        many_controllers: name points by controller too.
    """

    quiet_ms = 2000

    def __init__(self, patterns: PatternSet, *, many_controllers: bool = False) -> None:
        self._patterns = patterns
        self._many = many_controllers
        self._event, self._raw = bytearray(), bytearray()
        self._after_escape = False

    def feed(self, data: bytes, now_ms: int) -> list[Frame | Noise]:
        """The events that these bytes complete."""
        items: list[Frame | Noise] = []
        end, idle, event = self._patterns.event_end, self._patterns.idle, self._event
        for byte in data:
            self._raw.append(byte)
            if self._after_escape:
                self._after_escape = False
            elif byte == _ESC:
                self._after_escape = True
            elif byte in idle and (not event or event[-1] == _NEWLINE):
                if not event:
                    self._raw.clear()
            elif byte >= 0x20 or byte == _NEWLINE:
                event.append(byte)
                if byte == _NEWLINE and event.endswith(end):
                    items += self.flush(now_ms)
            if len(self._raw) >= LONGEST_EVENT:
                items += self.flush(now_ms)
        return items

    def flush(self, now_ms: int) -> list[Frame | Noise]:
        """The event begun so far as if it had ended."""
        text, raw = self._event.decode(self._patterns.encoding, "replace"), bytes(self._raw)
        self._event.clear()
        self._raw.clear()
        lines = [line.strip()[:LONGEST_LINE] for line in text.split("\n")]
        if any(lines):
            return [self._judge("\n".join(lines).strip("\n"), raw, now_ms)]
        controls = bytes(byte for byte in raw if byte < 0x20 and byte not in (0x0A, 0x0C, 0x0D, _ESC))
        return [Noise(raw[:MAX_NOISE], len(raw), "controls")] if controls else []

    def _judge(self, text: str, raw: bytes, now_ms: int) -> Frame | Noise:
        groups: dict[str, str] = {}
        for shape in self._patterns.shapes:
            match = shape.search(text)
            if match is not None:
                groups = {name: value.strip() for name, value in match.groupdict().items() if value and value.strip()}
                break
        keyword = self._keyword(groups.get("keyword") or text)
        if keyword is None and "time" not in groups:
            return Noise(raw[:MAX_NOISE], len(raw), "no_keyword")
        return self._frame(text, raw, groups, keyword, now_ms)

    def _keyword(self, text: str) -> Keyword | None:
        return next((keyword for keyword in self._patterns.keywords if keyword.word in text), None)

    def _frame(
        self, text: str, raw: bytes, groups: dict[str, str], keyword: Keyword | None, now_ms: int
    ) -> Frame:  # fmt: skip
        said = keyword.meaning if keyword is not None else Meaning(EventClass.OTHER)
        loop, point, controller = (_number(groups.get(name)) for name in ("loop", "point", "controller"))
        kind = groups.get("kind", "p").lower()
        shown = clean(" | ".join(line for line in text.split("\n") if line.strip()))
        fields: dict[str, Any] = {
            "printed_time": groups.get("time"), "time": parse_time(groups.get("time", "")),
            "event": (keyword.en or str(said.event)) if keyword is not None else "other",
            "keyword": groups.get("keyword") or (keyword.word if keyword is not None else None), "loop": loop,
            "point": point, "location": groups.get("location"), "device": groups.get("device"),
            "encoding": {"gb18030": "GBK"}.get(self._patterns.encoding, self._patterns.encoding.upper()),
        }  # fmt: skip
        if controller is not None:
            fields["controller"] = controller
        if said.restored:
            fields["restored"] = True
        address = point_address(loop, point, controller if self._many else None, kind)
        if address is None and groups.get("zone") and is_address(f"z{groups['zone']}"):
            address = f"z{groups['zone']}"
        event = PanelEvent(
            event=said.event, restored=said.restored, received_ms=now_ms, controller=controller, loop=loop,
            point=None if point is None else f"{groups['loop']}-{groups['point']}", address=address,
            device_zh=clean(groups.get("device", ""), 40), panel_time=clean(groups.get("time", ""), 40), text=shown,
            raw=raw_hex(raw),
        )  # fmt: skip
        return Frame(raw, fields, [event])


def _number(digits: str | None) -> int | None:
    return int(digits) if digits is not None and digits.isdecimal() and len(digits) <= 6 else None


_TIMES = re2.compile(r"^(\d{2}|\d{4})[/.-](\d{1,2})[/.-](\d{1,2})\s+(\d{1,2}):(\d{2})(?::(\d{2}))?$")


def parse_time(text: str) -> str | None:
    """`08/12/02  17:24` as `2008-12-02T17:24`; None when it is no time in this order."""
    match = _TIMES.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups())
    if year is None or not (1 <= (month or 0) <= 12 and 1 <= (day or 0) <= 31 and (hour or 0) <= 23):
        return None
    if (minute or 0) > 59 or (second or 0) > 59:
        return None
    made = f"{year if year >= 1000 else 2000 + year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}"
    return made if second is None else f"{made}:{second:02d}"
