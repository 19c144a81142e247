"""Reports of a panel that tells events: its points by what it said of them, and how far it can be believed now. Pure.

A state stands until the panel says otherwise. While it cannot be heard (line down, silent) its points are unknown;
while it cannot be read, or after it was away and may have told what nobody took, they are uncertain, never good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from contract import quality as q
from contract.messages import Reading, Value
from contract.panel import (
    EVENT,
    NORMAL,
    PROTOCOL,
    WHOLE,
    EventClass,
    PanelEvent,
    PanelStates,
    clean,
    encode_event,
    is_address,
    raw_hex,
    state_address,
)
from contract.panel_profile import Panel
from contract.profile import ONLINE
from edge_agents.panels.receiver import Frame, Noise
from edge_agents.reporting import Reported, Reports, next_observed_ms

NO_TRAFFIC = q.uncertain("no_traffic")
"""The port is open and nothing has come yet: a panel with nothing to say looks the same as a cut wire."""
MISSED = q.uncertain("missed_events")
UNREADABLE = q.bad("unreadable")
LEAST_NOISE = 8
"""Fewer bytes than this are a glitch of the wire, no dialect."""
KEPT_NOISE = 1024
"""Bytes kept of what cannot be read, for whoever looks into it."""
SHOWN_NOISE = 128
"""The last of them, in the status file."""
SAID_NOISE = 64
"""The last of them, in the text of the event."""


class PanelEvents:
    """What was last reported of one panel.

    Args:
        device: its id.
        panel: its profile's section.
        max_silence_s: what is known is reported at least this often.
        keep_unread: takes (ms UTC, why, bytes) of what cannot be read, once it is reported and then as often as
            `unreadable_after_s`; never waits.
    """

    def __init__(
        self,
        device: str,
        panel: Panel,
        max_silence_s: float,
        keep_unread: Callable[[int, str, bytes], None] | None = None,
    ) -> None:
        self._device = device
        self._panel = panel
        self._silence_ms = int(max_silence_s * 1000)
        self._states = PanelStates(panel.reset_keeps)
        self._last: dict[str, Reported] = {}
        self._opened_ms: int | None = None
        self._good_ms: int | None = None
        self._is_believed = False
        self._noise_ms: int | None = None
        self._noise = bytearray()
        self._noise_size = self._fresh_noise = 0
        self._is_unreadable = False
        self._keep_unread = keep_unread
        self._kept_ms: int | None = None
        self.counts = {"frames": 0, "events": 0, "noise_bytes": 0}

    @property
    def states(self) -> dict[str, str]:
        """Every point heard of and its state."""
        return self._states.states

    @property
    def unread(self) -> bytes:
        """The last bytes that could not be read."""
        return bytes(self._noise[-SHOWN_NOISE:])

    def restore(self, kept: Mapping[str, Reported]) -> None:
        """Take up what was reported before a restart; keys are `device/point`."""
        for key, last in kept.items():
            device, _, point = key.partition("/")
            if device == self._device:
                self._last[point] = last
                if isinstance(last.value, str) and is_address(point) and point != PROTOCOL:
                    self._states.restore(point, last.value)

    def opened(self, now_ms: int) -> Reports:
        """The port is open (again): what it says next is believed, what it said meanwhile was missed."""
        reports = Reports([], [])
        self._opened_ms, self._good_ms, self._is_believed = now_ms, None, False
        self._forget_noise()
        self._judge(ONLINE, True, NO_TRAFFIC, now_ms, reports)
        self._judge_states(MISSED, now_ms, reports)
        return reports

    def took(self, items: Iterable[Frame | Noise], now_ms: int) -> Reports:
        """Readings of what a receiver made of the bytes: changed points, then the event itself."""
        reports = Reports([], [])
        for item in items:
            if isinstance(item, Noise):
                self._take_noise(item, now_ms)
                continue
            self._forget_noise()
            self._good_ms = now_ms
            self.counts["frames"] += 1
            if not self._is_believed:
                self._is_believed = True
                self._judge(ONLINE, True, q.GOOD, now_ms, reports)
                if PROTOCOL in self._last:
                    self._judge(PROTOCOL, NORMAL, q.GOOD, now_ms, reports)
                self._judge_states(MISSED, now_ms, reports, only_doubtful=True)
            for event in item.events:
                self._take_event(event, now_ms, reports)
        return reports

    def tick(self, now_ms: int) -> Reports:
        """What time brings: a panel gone silent, bytes nobody can read, values not reported for long."""
        reports = Reports([], [])
        since_ms = self._good_ms if self._good_ms is not None else self._opened_ms
        is_garbled = self._is_over(self._noise_ms, self._panel.unreadable_after_s, now_ms)
        if is_garbled and self._noise_size >= LEAST_NOISE:
            self._mark_unreadable(now_ms, reports)
        elif self._is_over(since_ms, self._panel.silent_after_s, now_ms):
            self._is_believed = False
            self._judge(ONLINE, False, q.GOOD, now_ms, reports)
            self._judge_states(q.unknown("no_answer"), now_ms, reports)
        for point, last in list(self._last.items()):
            if point != EVENT and not 0 <= now_ms - last.observed_ms + 5000 < self._silence_ms + 5000:
                is_mute = point == ONLINE and last.quality == q.GOOD and self._is_long(now_ms)
                self._report(point, last.value, NO_TRAFFIC if is_mute else last.quality, now_ms, reports)
        return reports

    def line_down(self, now_ms: int) -> Reports:
        """The port cannot be opened: nothing can be said of the panel."""
        reports = Reports([], [])
        self._is_believed = False
        self._judge(ONLINE, None, q.unknown("line"), now_ms, reports)
        self._judge_states(q.unknown("line"), now_ms, reports)
        return reports

    def _take_event(self, event: PanelEvent, now_ms: int, out: Reports) -> None:
        self.counts["events"] += 1
        for point, state in self._states.apply(event).items():
            self._judge(point, state, q.GOOD, now_ms, out)
        address = state_address(event)
        if event.event is EventClass.TEST and address is not None and event.event not in WHOLE:
            # Produced on purpose: shown, never judged as a real state.
            self._judge(address, self._states.state(address), q.GOOD if event.restored else q.TEST, now_ms, out)
        self._report(EVENT, encode_event(event), q.TEST if event.event is EventClass.TEST else q.GOOD, now_ms, out)

    def _take_noise(self, noise: Noise, now_ms: int) -> None:
        self.counts["noise_bytes"] += noise.size
        self._noise_size += noise.size
        self._fresh_noise = min(KEPT_NOISE, self._fresh_noise + len(noise.data))
        self._noise = (self._noise + noise.data)[-KEPT_NOISE:]
        if self._noise_ms is None or now_ms < self._noise_ms:
            self._noise_ms = now_ms

    def _forget_noise(self) -> None:
        self._noise_ms, self._noise_size, self._fresh_noise = None, 0, 0
        self._is_unreadable, self._kept_ms = False, None

    def _mark_unreadable(self, now_ms: int, out: Reports) -> None:
        if not self._is_unreadable:
            said = self._noise[-SAID_NOISE:].hex(" ").upper()
            text = clean(f"{self._noise_size} bytes in {self._panel.unreadable_after_s:g} s, no frame: {said}")
            event = PanelEvent(event=EventClass.UNREADABLE, received_ms=now_ms, text=text, raw=raw_hex(self.unread))
            self._report(EVENT, encode_event(event), q.GOOD, now_ms, out)
        self._is_unreadable, self._is_believed = True, False
        is_due = self._kept_ms is None or self._is_over(self._kept_ms, self._panel.unreadable_after_s, now_ms)
        if is_due and self._fresh_noise and self._keep_unread is not None:
            self._kept_ms = now_ms
            why = f"unreadable: {self._noise_size} bytes without a frame of {self._panel.driver}"
            self._keep_unread(now_ms, why, bytes(self._noise[-self._fresh_noise :]))
            self._fresh_noise = 0
        self._judge(ONLINE, True, UNREADABLE, now_ms, out)
        self._judge(PROTOCOL, "fault", q.GOOD, now_ms, out)
        self._judge_states(q.uncertain("unreadable"), now_ms, out)

    def _is_over(self, since_ms: int | None, after_s: float | None, now_ms: int) -> bool:
        return since_ms is not None and after_s is not None and not 0 <= now_ms - since_ms < after_s * 1000

    def _is_long(self, now_ms: int) -> bool:
        return self._is_over(self._good_ms, self._silence_ms / 1000, now_ms)

    def _judge_states(self, quality: str, now_ms: int, out: Reports, *, only_doubtful: bool = False) -> None:
        """Give every point this quality; unknown has no value. only_doubtful: leave those that are good."""
        for point, state in self._states.states.items():
            last = self._last.get(point)
            if only_doubtful and last is not None and last.quality == q.GOOD:
                continue
            self._judge(point, None if q.kind(quality) == "unknown" else state, quality, now_ms, out)

    def _judge(self, point: str, value: Value, quality: str, now_ms: int, out: Reports) -> None:
        last = self._last.get(point)
        if last is None or last.value != value or last.quality != quality:
            self._report(point, value, quality, now_ms, out)

    def _report(self, point: str, value: Value, quality: str, now_ms: int, out: Reports) -> None:
        observed_ms = next_observed_ms(self._last.get(point), now_ms)
        self._last[point] = Reported(value, quality, observed_ms)
        out.alarm.append(Reading(f"{self._device}/{point}", observed_ms, value, quality))
