"""Reports of a panel that is only listened to: what it prints is known, what it does not print is not. Pure.

A printed state stands until the panel prints another one. After the line was away nobody knows what was printed
meanwhile: states that were not normal come back as `uncertain:missed_events`, never as good.
"""

from __future__ import annotations

from collections.abc import Mapping

from contract import quality as q
from contract.messages import Reading, Value
from contract.profile import ONLINE
from edge_agents.drivers.printer import PrintedEvent
from edge_agents.reporting import Reported, Reports, next_observed_ms

NORMAL = "normal"
PRINTOUT = "printout"
NO_TRAFFIC = q.uncertain("no_traffic")
"""The port is open and nothing has come yet: a panel with nothing to say looks the same as a cut wire."""


class PanelReport:
    """What was last reported of one printing panel.

    Args:
        device: its id.
        max_silence_s: what is known is reported at least this often.
    """

    def __init__(self, device: str, max_silence_s: float) -> None:
        self._device = device
        self._silence_ms = int(max_silence_s * 1000)
        self._last: dict[str, Reported] = {}
        self._states: dict[str, str] = {}
        self._heard_ms: int | None = None

    def restore(self, kept: Mapping[str, Reported]) -> None:
        """Take up what was reported before a restart; keys are `device/point`."""
        for key, last in kept.items():
            device, _, point = key.partition("/")
            if device == self._device:
                self._last[point] = last
                if isinstance(last.value, str) and point != PRINTOUT:
                    self._states[point] = last.value

    @property
    def active(self) -> list[str]:
        """Points that are not normal."""
        return sorted(point for point, state in self._states.items() if state != NORMAL)

    def opened(self, now_ms: int) -> Reports:
        """The port is open (again)."""
        reports = Reports([], [])
        self._heard_ms = None
        self._judge(ONLINE, True, NO_TRAFFIC, now_ms, reports)
        for point in self.active:
            last = self._last.get(point)
            if last is not None and last.quality == q.unknown("line"):
                self._judge(point, self._states[point], q.uncertain("missed_events"), now_ms, reports)
        return reports

    def heard(self, now_ms: int) -> Reports:
        """Something came: the panel is there."""
        self._heard_ms = now_ms
        reports = Reports([], [])
        self._judge(ONLINE, True, q.GOOD, now_ms, reports)
        return reports

    def printed(self, event: PrintedEvent, now_ms: int) -> Reports:
        """Readings of one printed event: the addressed point (or every active one after a reset), then the text."""
        reports = Reports([], [])
        changes = dict.fromkeys(self._states, NORMAL) if event.resets else {}
        if event.point is not None and event.state is not None:
            changes[event.point] = event.state
        for point, state in changes.items():
            self._states[point] = state
            self._judge(point, state, q.GOOD, now_ms, reports)
        # Two equal lines are two events.
        self._report(PRINTOUT, event.text, q.GOOD, now_ms, reports)
        return reports

    def line_down(self, now_ms: int) -> Reports:
        """The port cannot be opened: nothing can be said of the panel."""
        reports = Reports([], [])
        for point in [ONLINE, *self._states]:
            self._judge(point, None, q.unknown("line"), now_ms, reports)
        return reports

    def refresh(self, now_ms: int) -> Reports:
        """What has not been reported for `max_silence_s`; a panel not heard for so long is `no_traffic` again."""
        reports = Reports([], [])
        is_silent = self._heard_ms is not None and now_ms - self._heard_ms >= self._silence_ms
        for point, last in list(self._last.items()):
            if point == ONLINE and is_silent and last.quality == q.GOOD:
                self._report(ONLINE, True, NO_TRAFFIC, now_ms, reports)
            elif point != PRINTOUT and not 0 <= now_ms - last.observed_ms + 5000 < self._silence_ms + 5000:
                self._report(point, last.value, last.quality, now_ms, reports)
        return reports

    def _judge(self, point: str, value: Value, quality: str, now_ms: int, out: Reports) -> None:
        last = self._last.get(point)
        if last is None or last.value != value or last.quality != quality:
            self._report(point, value, quality, now_ms, out)

    def _report(self, point: str, value: Value, quality: str, now_ms: int, out: Reports) -> None:
        observed_ms = next_observed_ms(self._last.get(point), now_ms)
        self._last[point] = Reported(value, quality, observed_ms)
        out.alarm.append(Reading(f"{self._device}/{point}", observed_ms, value, quality))
