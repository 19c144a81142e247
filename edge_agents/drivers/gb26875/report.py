"""Readings of one transmitter: its points by what it said of them, and how far it can be believed now. Pure.

A state stands until the transmitter says otherwise. While it cannot be heard its points are unknown. An event is
placed at its own time, corrected by how far the transmitter's clock is off, when that time is usable; a message told
twice (new serial number, same object, event time and state) is one event.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from contract import quality as q
from contract.gb26875.codec import Message
from contract.gb26875.frame import RESPONSE
from contract.gb26875.tables import Tables
from contract.gb26875.time_tag import TimeTag
from contract.messages import Reading, Value
from contract.panel import DUTY_ANSWER, EVENT, WHOLE, EventClass, encode_event, is_address, raw_hex
from contract.profile import ONLINE
from edge_agents.drivers.gb26875.picture import Picture, Said, point_of
from edge_agents.reporting import Reported, Reports, next_observed_ms

LATE_MS = 10_000
"""An event longer ago than this is placed at its own time; less is the way it took."""
OLDEST_MS = 30 * 86_400_000
"""An event time further back than this is not believed."""
REMEMBERED = 512
"""Objects remembered to tell a resend from a new event."""
MISSED = q.uncertain("missed_events")
MODE, CLOCK = "mode", "clock_offset_s"
CLOCK_STEP_S = 5.0
"""A change of the clock's offset that is worth a reading; the tag counts whole seconds."""


class TransmitterReport:
    """What was last reported of one transmitter.

    Args:
        device: its id.
        tables: codes and names.
        max_silence_s: what is known is reported at least this often.
        silent_after_s: a transmitter that says nothing for so long is offline; None: only a closed connection is.
    """

    def __init__(self, device: str, tables: Tables, max_silence_s: float, silent_after_s: float | None) -> None:
        self.device = device
        self.picture = Picture(tables)
        self._silence_ms = int(max_silence_s * 1000)
        self._silent_ms = None if silent_after_s is None else int(silent_after_s * 1000)
        self._last: dict[str, Reported] = {}
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._heard_ms: int | None = None
        self._is_placed = False
        self.is_online = False
        self.clock_offset_s = 0.0
        """How far its clock is ahead."""
        self.counts = {"messages": 0, "events": 0, "repeats": 0}

    def restore(self, kept: Mapping[str, Reported]) -> None:
        """Take up what was reported before a restart; keys are `device/point`."""
        for key, last in kept.items():
            device, _, point = key.partition("/")
            if device == self.device:
                self._last[point] = last
                if isinstance(last.value, str) and is_address(point):
                    self.picture.restore(point, last.value)

    def took(self, message: Message, raw: bytes, now_ms: int) -> Reports:
        """Readings of a message: changed points, measured values, then the events themselves."""
        out = Reports([], [])
        self._hear(message, now_ms, out)
        self.counts["messages"] += 1
        said_twice = self._strike_repeats(message)
        # What was asked for is a state; only what it changed is an event.
        before = self.picture.states if message.frame.command == RESPONSE else None
        for place, said in enumerate(self.picture.apply(message, now_ms, raw_hex(raw))):
            if before is not None:
                changed = {state.point for state in said.states if before.get(state.point) != state.word}
                said = said._replace(events=tuple(e for e in said.events if (e.address or "") in changed))
                self._trust(message.unit.objects[place], now_ms, out)
            if place in said_twice:
                self.counts["repeats"] += 1
            else:
                self._say(said, now_ms, out)
        return out

    def heard(self, message: Message, now_ms: int) -> Reports:
        """A sign of life that says nothing else."""
        out = Reports([], [])
        self._hear(message, now_ms, out)
        return out

    def tick(self, now_ms: int, *, is_connected: bool) -> Reports:
        """What time brings: silence, values not reported for long."""
        out = Reports([], [])
        silent = self._silent_ms is not None and (
            self._heard_ms is None or not 0 <= now_ms - self._heard_ms < self._silent_ms
        )
        if (silent or not is_connected) and (self.is_online or ONLINE not in self._last):
            self.lose(now_ms, out)
        for point, last in list(self._last.items()):
            if (
                point not in (EVENT, DUTY_ANSWER)
                and not 0 <= now_ms - last.observed_ms + 5000 < self._silence_ms + 5000
            ):
                self._report(point, last.value, last.quality, now_ms, out)
        return out

    def lose(self, now_ms: int, out: Reports) -> None:
        """It is gone: nothing can be said of what it watches."""
        self.is_online = False
        self._judge(ONLINE, False, q.GOOD, now_ms, out)
        self._doubt(q.unknown("no_answer"), now_ms, out)

    def line_down(self, now_ms: int) -> Reports:
        """We cannot listen: nothing can be said of the transmitter."""
        out = Reports([], [])
        self.is_online = False
        self._judge(ONLINE, None, q.unknown("line"), now_ms, out)
        self._doubt(q.unknown("line"), now_ms, out)
        return out

    def _hear(self, message: Message, now_ms: int, out: Reports) -> None:
        self._heard_ms = now_ms
        sent_ms = tag_ms(message.frame.sent)
        if sent_ms is not None:
            offset_s = (sent_ms - now_ms) / 1000
            if abs(offset_s - self.clock_offset_s) > CLOCK_STEP_S or CLOCK not in self._last:
                self.clock_offset_s = round(offset_s)
                self._report(CLOCK, float(self.clock_offset_s), q.GOOD, now_ms, out, is_alarm=False)
        if not self.is_online:
            self.is_online = True
            self._judge(ONLINE, True, q.GOOD, now_ms, out)
            # What happened while it was away it may have told nobody.
            for point, word in self.picture.states.items():
                self._judge(point, word, MISSED, now_ms, out)

    def _say(self, said: Said, now_ms: int, out: Reports) -> None:
        at_ms = self._placed(said.tag, now_ms)
        self._is_placed = at_ms != now_ms
        for point, word in said.states:
            self._judge(point, word, q.GOOD, at_ms, out)
        for event in said.events:
            address = event.address
            if event.event not in WHOLE and address is not None and address in self._last:
                # Told again: good from here on, also where nothing changed.
                self._judge(address, self.picture.word(address), q.GOOD, at_ms, out)
        for point, value in said.values:
            self._report(point, value, q.GOOD, at_ms, out, is_alarm=False)
        if said.mode is not None:
            self._judge(MODE, said.mode, q.GOOD, at_ms, out)
        if said.duty_answer is not None:
            self._report(DUTY_ANSWER, said.duty_answer, q.GOOD, at_ms, out)
        for event in said.events:
            self.counts["events"] += 1
            quality = q.TEST if event.event is EventClass.TEST else q.GOOD
            self._report(EVENT, encode_event(event), quality, at_ms, out)
        self._is_placed = False

    def _trust(self, item: object, now_ms: int, out: Reports) -> None:
        """What was read now is good, also where it says what was known."""
        point = point_of(item)
        word = self.picture.word(point) if point is not None else None
        if point is not None and word is not None:
            self._judge(point, word, q.GOOD, now_ms, out)

    def _placed(self, tag: TimeTag | None, now_ms: int) -> int:
        """When it happened, by our clock (ms UTC)."""
        event_ms = tag_ms(tag)
        if event_ms is None:
            return now_ms
        at_ms = event_ms - int(self.clock_offset_s * 1000)
        return at_ms if LATE_MS < now_ms - at_ms < OLDEST_MS else now_ms

    def _strike_repeats(self, message: Message) -> set[int]:
        """Places of objects that were told before; those without an event time are never taken for repeats."""
        repeats = set()
        for place, item in enumerate(message.unit.objects):
            tag = getattr(item, "time", None)
            if not isinstance(tag, TimeTag) or tag.state != "ok" or message.frame.command == RESPONSE:
                continue
            key = hash((message.unit.type, item))  # 64 bits among a few hundred
            if key in self._seen:
                repeats.add(place)
            self._seen[key] = None
            self._seen.move_to_end(key)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return repeats

    def _doubt(self, quality: str, now_ms: int, out: Reports) -> None:
        for point in [*self.picture.states, MODE]:
            if point in self._last:
                self._judge(point, None, quality, now_ms, out)
        for point, last in list(self._last.items()):
            if isinstance(last.value, float) and point != CLOCK:
                self._report(point, None, quality, now_ms, out, is_alarm=False)

    def _judge(self, point: str, value: Value, quality: str, at_ms: int, out: Reports) -> None:
        last = self._last.get(point)
        if last is None or last.value != value or last.quality != quality:
            self._report(point, value, quality, at_ms, out)

    def _report(
        self, point: str, value: Value, quality: str, at_ms: int, out: Reports, *, is_alarm: bool = True
    ) -> None:
        last = self._last.get(point)
        if last is not None and last.observed_ms >= at_ms and last.observed_ms - at_ms < OLDEST_MS and self._is_placed:
            at_ms = last.observed_ms  # told out of order: what was reported stays before it
        observed_ms = next_observed_ms(last, at_ms)
        self._last[point] = Reported(value, quality, observed_ms)
        (out.alarm if is_alarm else out.telemetry).append(
            Reading(f"{self.device}/{point}", observed_ms, value, quality)
        )


def tag_ms(tag: TimeTag | None) -> int | None:
    """Instant of a time tag, ms UTC, in China's time zone; None when it is no usable time."""
    return None if tag is None else tag.utc_ms()
