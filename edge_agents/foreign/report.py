"""What was last reported of one foreign sensor, and what of a new message is news. Pure.

A sensor that sends by itself is judged by the age of its last message: silent for `max_silence_s` it is offline and its
points are unknown. A message is taken at its own time where it says one that can be right; else at its arrival.

* A repeat (same time, same value) has no effect, after a restart neither.
* A message too old on arrival, and cached values, are history at their own times; the present is reported again behind
  them, because whoever reads the points in order takes the last one for the present.
* A retained message without its own time may be of any age: its values are `uncertain:retained`, and it proves nobody
  alive.
* While we were away from the broker messages may have been lost: what is held comes back as `uncertain:missed_messages`
  until the sensor speaks again.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from contract import quality as q
from contract.messages import Reading
from contract.profile import ONLINE, Profile
from edge_agents.foreign.message import Measured, Message, Sample
from edge_agents.reporting import ONLINE_RULE, Reported, ReportRule, Reports, is_near, next_observed_ms

FUTURE_MS = 120_000
"""A time further ahead than this is a wrong clock."""
EARLIEST_MS = 1_420_070_400_000
"""A time before 2015 is a clock that was never set."""
SEEN_JSON, SEEN_FRAME = 16, 1300
"""Repeats known: two frames of the most records; a JSON message holds one moment."""
NO_MESSAGE = q.unknown("no_message")
MISSED = q.uncertain("missed_messages")
KEPT = "sensor/"
"""Prefix of what is kept of a sensor in the outbox file."""


class Kept(msgspec.Struct, array_like=True):
    """What survives a restart: when it was last heard, and (time, checksum) of what was taken."""

    heard_ms: int | None
    seen: list[tuple[int, int]]


class Taken(NamedTuple):
    """What a message came to. repeats: values known already; doubted: 1 when its clock cannot be right."""

    reports: Reports
    repeats: int
    doubted: int


class ForeignReport:
    """One sensor's state.

    Args:
        device: its id in the site.
        profile: of the sensor.
        now_ms: time of the start, ms UTC: from here on silence counts.
    """

    def __init__(self, device: str, profile: Profile, now_ms: int) -> None:
        self._device = device
        self._rules = {point.name: ReportRule.of(point) for point in profile.points} | {ONLINE: ONLINE_RULE}
        self._silence_ms = int(profile.max_silence_s * 1000)
        self._age_ms = int(profile.max_age_s * 1000)
        self._bound = SEEN_FRAME if profile.mqtt_frame is not None else SEEN_JSON
        self._since_ms = now_ms
        self._last: dict[str, Reported] = {}
        self._newest: dict[str, int] = {}
        self._held: dict[str, Measured] = {}
        self._seen: dict[tuple[int, int], None] = {}
        self.heard_ms: int | None = None
        """Time of the newest message that proves it alive, ms UTC; None before the first."""

    def restore(self, kept: Mapping[str, Reported], own: Kept | None) -> None:
        """Take up what was reported before a restart; keys of `kept` are `device/point`."""
        for name in self._rules:
            last = kept.get(f"{self._device}/{name}")
            if last is not None:
                self._last[name] = last
                if last.value is not None and name != ONLINE:
                    self._held[name] = Measured(name, last.value, last.quality)
        if own is not None:
            self.heard_ms = own.heard_ms
            self._seen = dict.fromkeys(own.seen)

    def taken(self, message: Message, received_ms: int, *, is_retained: bool, stepped_ms: int = 0) -> Taken:
        """Readings of one message. stepped_ms: how far the wall clock was stepped from the agent's own time."""
        out = Reports([], [])
        said_ms = message.time_ms
        is_wrong = said_ms is not None and not EARLIEST_MS <= said_ms <= received_ms + stepped_ms + FUTURE_MS
        own_ms = None if is_wrong or said_ms is None else said_ms - stepped_ms
        at_ms = received_ms if own_ms is None else min(own_ms, received_ms)
        current = message.current
        if own_ms is None and is_retained:
            current = [_doubt(seen, "retained") for seen in current]
        elif is_wrong:
            current = [_doubt(seen, "clock") for seen in current]
        is_old = received_ms - at_ms > self._age_ms
        cached = message.cached if own_ms is not None else []
        repeats, late = self._take_cached(cached, stepped_ms, received_ms, out)
        is_repeat = said_ms is not None and not is_wrong and self._is_repeat(said_ms, current)
        if is_repeat:
            self._confirm(current if is_retained and not is_old else [], received_ms, out)
        else:
            for seen in current:
                if own_ms is None:
                    self._judge(seen, received_ms, out)
                else:
                    self._take(seen, at_ms, None if is_old else received_ms, late, out)
                if not is_old:
                    self._held[seen.point] = seen
        self._repeat_present(late, out)
        if not (is_old or is_repeat or (own_ms is None and is_retained)):
            self.heard_ms = max(self.heard_ms or 0, at_ms)
        self._judge_online(received_ms, out, force=is_old)
        if out.alarm or out.telemetry:
            out = out._replace(keep={KEPT + self._device: msgspec.json.encode(Kept(self.heard_ms, list(self._seen)))})
        return Taken(out, repeats + is_repeat, int(is_wrong))

    def _take_cached(
        self, cached: list[Sample], stepped_ms: int, received_ms: int, out: Reports
    ) -> tuple[int, set[str]]:
        """Values with their own times; returns how many were known, and the points that got history."""
        repeats, late = 0, set[str]()
        for time_ms, seen in cached:
            if self._is_repeat(time_ms, [seen]):
                repeats += 1
            elif time_ms >= EARLIEST_MS:
                self._take(seen, min(time_ms - stepped_ms, received_ms), None, late, out)
        return repeats, late

    def _take(self, seen: Measured, at_ms: int, now_ms: int | None, late: set[str], out: Reports) -> None:
        """`now_ms`: it is the present; None: it is history."""
        last = self._last.get(seen.point)
        is_newest = at_ms >= self._newest.get(seen.point, at_ms)
        self._newest[seen.point] = max(at_ms, self._newest.get(seen.point, at_ms))
        if is_newest and (last is None or at_ms >= last.observed_ms):
            self._judge(seen, at_ms, out, is_own=True)
            return
        self._put(seen.point, Reported(seen.value, seen.quality, at_ms), out)
        late.add(seen.point)
        if is_newest and now_ms is not None:
            # Measured before we last said that we do not know, heard after it.
            late.discard(seen.point)
            self._judge(seen, now_ms, out)

    def _confirm(self, current: list[Measured], now_ms: int, out: Reports) -> None:
        """The broker keeps just what was held: nothing was missed."""
        for seen in current:
            last = self._last.get(seen.point)
            if last is not None and last.quality == MISSED:
                self._judge(seen, now_ms, out)

    def refresh(self, now_ms: int) -> Reports:
        """Offline and unknown once the sensor has been silent too long."""
        out = Reports([], [])
        self._judge_online(now_ms, out, force=False)
        return out

    def line_up(self, now_ms: int) -> Reports:
        """The broker is there (again): what is held may have changed meanwhile."""
        out = Reports([], [])
        for seen in self._held.values():
            self._judge(seen._replace(quality=MISSED), now_ms, out)
        if self._is_heard(now_ms):
            self._judge(Measured(ONLINE, True, MISSED), now_ms, out)
        self._since_ms = now_ms
        return out

    def line_down(self, now_ms: int) -> Reports:
        """The broker is away: nothing can be said of the sensor."""
        return self._all(Measured(ONLINE, None, q.unknown("line")), q.unknown("line"), now_ms)

    def removed(self, now_ms: int) -> Reports:
        """The sensor is no longer ours."""
        out = Reports([], [])
        self._judge(Measured(ONLINE, None, q.unknown("removed")), now_ms, out)
        return out

    def _is_heard(self, now_ms: int) -> bool:
        if self.heard_ms is not None and self.heard_ms > now_ms + FUTURE_MS:
            self.heard_ms = now_ms  # the clock was set back
        return self.heard_ms is not None and now_ms - self.heard_ms <= self._silence_ms

    def _judge_online(self, now_ms: int, out: Reports, *, force: bool) -> None:
        last = self._last.get(ONLINE)
        if self._is_heard(now_ms):
            # Held values are doubtful after a pause; so is `online` until the sensor speaks (taken() hears it first).
            spoke = self.heard_ms is not None and self.heard_ms >= self._since_ms
            is_doubtful = not spoke and last is not None and last.quality == MISSED
            self._judge(Measured(ONLINE, True, MISSED if is_doubtful else q.GOOD), now_ms, out)
        elif force or self.heard_ms is not None or now_ms - self._since_ms > self._silence_ms:
            self._held.clear()
            reports = self._all(Measured(ONLINE, False, q.GOOD), NO_MESSAGE, now_ms)
            out.alarm.extend(reports.alarm)
            out.telemetry.extend(reports.telemetry)

    def _all(self, online: Measured, quality: str, now_ms: int) -> Reports:
        out = Reports([], [])
        self._judge(online, now_ms, out)
        for name in self._rules:
            if name != ONLINE:
                self._judge(Measured(name, None, quality), now_ms, out)
        return out

    def _is_repeat(self, time_ms: int, values: list[Measured]) -> bool:
        """Whether just this was taken before; remembered from now on."""
        key = (time_ms, zlib.crc32(repr(sorted(values)).encode()))
        if key in self._seen:
            return True
        self._seen[key] = None
        while len(self._seen) > self._bound:
            del self._seen[next(iter(self._seen))]
        return False

    def _repeat_present(self, points: set[str], out: Reports) -> None:
        for name in sorted(points & self._last.keys()):
            last = self._last[name]
            again = Reported(last.value, last.quality, max(last.observed_ms, self._newest[name]) + 1)
            self._last[name] = again
            self._put(name, again, out)

    def _judge(self, seen: Measured, at_ms: int, out: Reports, *, is_own: bool = False) -> None:
        """`is_own`: the time is the sensor's and not our clock's; it stands to the millisecond."""
        last, rule = self._last.get(seen.point), self._rules[seen.point]
        if (
            last is not None
            and last.quality == seen.quality
            and is_near(seen.value, last.value, rule.deadband)
            and 0 <= at_ms - last.observed_ms + FUTURE_MS < self._silence_ms // 2 + FUTURE_MS
        ):
            return
        if is_own:
            observed_ms = at_ms if last is None else max(at_ms, last.observed_ms + 1)
        else:
            observed_ms = next_observed_ms(last, at_ms)
        made = Reported(seen.value, seen.quality, observed_ms)
        self._last[seen.point] = made
        self._put(seen.point, made, out)

    def _put(self, name: str, made: Reported, out: Reports) -> None:
        lane = out.alarm if self._rules[name].is_alarm else out.telemetry
        lane.append(Reading(f"{self._device}/{name}", made.observed_ms, made.value, made.quality))


def _doubt(seen: Measured, cause: str) -> Measured:
    return seen._replace(quality=q.uncertain(cause)) if seen.quality == q.GOOD else seen
