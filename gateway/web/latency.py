"""How long alarms take from measured to told to the screens, counted for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Sample(NamedTuple):
    """One line. suffix: of a histogram's parts."""

    name: str
    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


class Latency:
    """How long alarms took from measured to told, as a histogram. Counts since the process began."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum_s = 0.0
        self._last = 0

    def told(self, alarm: Any, now_ms: int) -> None:
        """An alarm was told; of each the first time counts, of those not told late."""
        if alarm.id <= self._last or alarm.retrospective or not alarm.active:
            return
        self._last = alarm.id
        took_s = max(0, now_ms - alarm.raised_ms) / 1000
        self._sum_s += took_s
        self._counts[sum(took_s > most_s for most_s in BUCKETS_S)] += 1

    def samples(self) -> Iterator[Sample]:
        """The lines of the histogram."""
        name, total = "weizhan_alarm_to_screen_seconds", 0
        for most, count in zip((*map(str, BUCKETS_S), "+Inf"), self._counts, strict=True):
            total += count
            yield Sample(name, total, {"le": most}, "_bucket")
        yield Sample(name, self._sum_s, {}, "_sum")
        yield Sample(name, total, {}, "_count")
