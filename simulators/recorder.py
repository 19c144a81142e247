"""The writing side of the truth file: what every point really was, and how often it was read meanwhile.

The format stands in `simulators.truth`. A record is written when its time is over and flushed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from contract.messages import Value


class Level:
    """One value of one point while it holds."""

    __slots__ = ("first_ms", "from_ms", "last_ms", "point", "printed", "quality", "served", "value")

    def __init__(self, point: str, value: Value, quality: str, from_ms: int, *, printed: bool = False) -> None:
        self.point = point
        self.value = value
        self.quality = quality
        self.from_ms = from_ms
        self.printed = printed
        self.served = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def note_served(self, at_ms: int) -> None:
        """One more answer carried this value."""
        self.served += 1
        self.last_ms = at_ms
        if self.first_ms is None:
            self.first_ms = at_ms


class Recorder:
    """Appends truth records to a file.

    Args:
        path: the truth file; emptied at the start.
        now_ms: wall clock, ms UTC, the same the agent stamps its readings with.
    """

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.violations = 0
        self._path = path
        self._levels: dict[str, Level] = {}
        self._alarms: dict[tuple[str, str], dict[str, Any]] = {}
        self._encode = msgspec.json.Encoder().encode
        self._file = path.open("wb", buffering=0)

    @property
    def path(self) -> Path:
        """Where the records stand."""
        return self._path

    def level(self, point: str) -> Level | None:
        """The value that holds now."""
        return self._levels.get(point)

    def change(
        self, point: str, value: Value, quality: str, *, printed: bool = False, at_ms: int | None = None
    ) -> Level:
        """From now (or `at_ms`) on the point has this value; returns the open level, the old one if it is the same."""
        now, old = self.now_ms() if at_ms is None else at_ms, self._levels.get(point)
        if old is not None:
            if (old.value, old.quality) == (value, quality) and isinstance(old.value, bool) == isinstance(value, bool):
                return old
            self._write_level(old, now)
        new = self._levels[point] = Level(point, value, quality, now, printed=printed)
        return new

    def record_line(self, point: str, text: str, at_ms: int) -> None:
        """A printed line: it holds for an instant."""
        self._write_level(Level(point, text, "good", at_ms, printed=True), at_ms)

    def open_alarm(self, rule: str, subject: str, *, contact: bool, after_s: float = 0.0, poll_s: float = 0.0) -> None:
        """From now on this rule must speak for this subject, which is polled every `poll_s`, `after_s` later."""
        key = (rule, subject)
        if key not in self._alarms:
            self._alarms[key] = {
                "kind": "alarm", "rule": rule, "subject": subject, "from_ms": self.now_ms(), "to_ms": None,
                "contact": contact, "after_ms": round(after_s * 1000), "poll_ms": round(poll_s * 1000),
            }  # fmt: skip

    def close_alarm(self, rule: str, subject: str) -> None:
        """From now on it must not."""
        record = self._alarms.pop((rule, subject), None)
        if record is not None:
            now = self.now_ms()
            self._write({**record, "to_ms": now, "seen_to_ms": now})

    def record_step(self, name: str, zh: str, en: str) -> int:
        """The story reached a step; returns its time, ms."""
        now = self.now_ms()
        self._write({"kind": "step", "name": name, "at_ms": now, "zh": zh, "en": en})
        return now

    def record_violation(self, device: str, function: int, frame: bytes) -> None:
        """Somebody tried to write to equipment."""
        self.violations += 1
        record = {"kind": "violation", "at_ms": self.now_ms(), "device": device, "function": function}
        self._write({**record, "hex": frame.hex()})

    def close(self) -> None:
        """Write what is still open (an open alarm keeps `to_ms` null) and close the file. Idempotent."""
        if self._file.closed:
            return
        now = self.now_ms()
        for level in self._levels.values():
            self._write_level(level, now)
        for record in self._alarms.values():
            self._write({**record, "seen_to_ms": now})
        self._write({"kind": "end", "at_ms": now})
        self._levels.clear()
        self._alarms.clear()
        self._file.close()

    def _write_level(self, level: Level, to_ms: int) -> None:
        self._write(
            {
                "kind": "segment",
                "point": level.point,
                "value": level.value,
                "quality": level.quality,
                "from_ms": level.from_ms,
                "to_ms": to_ms,
                "served": level.served,
                "first_served_ms": level.first_ms,
                "last_served_ms": level.last_ms,
                "printed": level.printed,
            }
        )

    def _write(self, record: dict[str, Any]) -> None:
        if not self._file.closed:
            self._file.write(self._encode(record) + b"\n")
