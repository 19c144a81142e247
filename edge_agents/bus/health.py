"""How a line and its devices do, as figures: for the status file, and as readings once a minute. Pure.

A figure is a reading when it moved by its deadband or has said nothing for ten minutes. Telemetry lane only.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contract import quality as q
from contract.messages import Reading
from contract.profile import HEALTH_POINTS, LINE_POINTS, LINE_PROFILE, Point
from contract.site import line_device
from edge_agents.bus.port import FrameCounters
from edge_agents.reporting import Reported, next_observed_ms

REPORT_S = 60.0
"""Between two looks at the figures."""
SAMPLES = 64
"""Answer times kept of a device between two looks."""
_SILENCE_MS = int(LINE_PROFILE.max_silence_s * 1000)


@dataclass(slots=True)
class LineCounters:
    """What happened on a line since the start, beside its frames."""

    reads: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    disagreements: int = 0
    retries: int = 0
    opened: int = 0
    worst_drift_s: float = 0.0
    """How late the latest read since the last report began."""

    def count(self, cause: str) -> None:
        """One more error of this cause."""
        self.errors[cause] = self.errors.get(cause, 0) + 1


class DeviceHealth:
    """How one device answers."""

    __slots__ = ("_next", "_times_s", "answered_ms", "errors", "p50_ms", "p95_ms")

    def __init__(self) -> None:
        self._times_s = array("f")
        self._next = 0
        self.errors: dict[str, int] = {}
        """Errors by cause since the start."""
        self.answered_ms: int | None = None
        """Wall time of the last answer."""
        self.p50_ms: float | None = None
        self.p95_ms: float | None = None

    def answer(self, took_s: float, now_ms: int) -> None:
        """It answered."""
        self.answered_ms = now_ms
        if len(self._times_s) < SAMPLES:
            self._times_s.append(took_s)
        else:  # the oldest makes place
            self._times_s[self._next] = took_s
            self._next = (self._next + 1) % SAMPLES

    @property
    def usual_s(self) -> float:
        """Its longest answer time of late, seconds; 0 while it has not answered."""
        return max(self._times_s, default=(self.p95_ms or 0.0) / 1000)

    def fail(self, cause: str) -> None:
        """It did not answer as it should."""
        self.errors[cause] = self.errors.get(cause, 0) + 1

    def close_period(self) -> None:
        """Work the percentiles out of the answers since the last call; without any they are None."""
        times = sorted(self._times_s)
        self.p50_ms = round(times[len(times) // 2] * 1000, 1) if times else None
        self.p95_ms = round(times[min(len(times) - 1, int(len(times) * 0.95))] * 1000, 1) if times else None
        self._times_s = array("f")
        self._next = 0

    def figures(self, now_ms: int) -> tuple[float | None, float, float | None, str]:
        """Values of HEALTH_POINTS, in their order."""
        silent_s = None if self.answered_ms is None else round(max(0, now_ms - self.answered_ms) / 1000)
        kinds = ", ".join(f"{cause} {count}" for cause, count in sorted(self.errors.items()))
        return self.p95_ms, float(sum(self.errors.values())), None if silent_s is None else float(silent_s), kinds

    def status(self) -> dict[str, object]:
        """For the status file."""
        return {
            "response_p50_ms": self.p50_ms,
            "response_p95_ms": self.p95_ms,
            "answered_ms": self.answered_ms,
            "errors": dict(self.errors),
        }


class HealthReport:
    """Turns the figures of a line into readings.

    Args:
        line_id: its name.
        device_ids: of the devices, in the order of the line.
        start_s: monotonic time of the start; one line's minute is not another's.
    """

    def __init__(self, line_id: str, device_ids: Sequence[str], start_s: float) -> None:
        self._line = line_device(line_id)
        self._devices = tuple(device_ids)
        self._last: dict[tuple[str, str], Reported] = {}
        self._since_s = start_s
        self._waited_s = 0.0
        self._asked = self._failed = 0
        self.due_s = start_s + REPORT_S * (0.5 + sum(line_id.encode()) % 64 / 64)

    def follow(self, device_ids: Sequence[str]) -> None:
        """Report these devices from now on."""
        self._devices = tuple(device_ids)

    def report(
        self,
        health: Sequence[DeviceHealth],
        counters: LineCounters,
        frames: FrameCounters,
        now_s: float,
        now_ms: int,
    ) -> list[Reading]:
        """Readings of a minute; closes it."""
        readings: list[Reading] = []
        for device, known in zip(self._devices, health, strict=True):
            known.close_period()
            for point, value in zip(HEALTH_POINTS, known.figures(now_ms), strict=True):
                self._judge(device, point, value, now_ms, readings.append)
        elapsed_s = max(0.001, now_s - self._since_s)
        failed = frames.timeouts + frames.damaged
        asked = frames.requests - self._asked
        share = None if asked <= 0 else round(min(100.0, 100 * (failed - self._failed) / asked), 1)
        self._asked, self._failed = frames.requests, failed
        figures = {
            "busy_pct": round(min(100.0, 100 * (frames.waited_s - self._waited_s) / elapsed_s), 1),
            "failed_pct": share,
            "timeouts_count": float(frames.timeouts),
            "bad_frames_count": float(frames.damaged + frames.foreign),
            "late_count": float(frames.late),
            "retries_count": float(counters.retries),
            "reconnects_count": float(max(0, counters.opened - 1)),
            "drift_ms": round(counters.worst_drift_s * 1000, 1),
        }
        for point in LINE_POINTS:
            self._judge(self._line, point, figures[point.name], now_ms, readings.append)
        counters.worst_drift_s = 0.0
        self._since_s, self._waited_s, self.due_s = now_s, frames.waited_s, now_s + REPORT_S
        return readings

    def _judge(
        self, device: str, point: Point, value: float | str | None, now_ms: int, take: Callable[[Reading], None]
    ) -> None:
        last = self._last.get((device, point.name))
        quality = q.GOOD if value is not None else q.unknown("no_answer")
        if last is not None and last.quality == quality and 0 <= now_ms - last.observed_ms < _SILENCE_MS:
            if isinstance(value, float) and isinstance(last.value, float):
                is_near = abs(value - last.value) < point.deadband
            else:
                is_near = value == last.value
            if is_near:
                return
        observed_ms = next_observed_ms(last, now_ms)
        self._last[device, point.name] = Reported(value, quality, observed_ms)
        take(Reading(f"{device}/{point.name}", observed_ms, value, quality))
