"""Reports of a polled panel: the states of its table by exception, and the events that their changes are. Pure.

The table has neither time nor text, so an event carries the time of the read and the place of the point map. What is
known of a point outlives a line that was away: a fire that stood before and stands after it is one fire, told once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from contract import quality as q
from contract.messages import Reading
from contract.panel import EVENT, NORMAL, EventClass, PanelEvent, encode_event
from contract.profile import Profile, Text
from edge_agents.panels.gst_modbus import Place, events_between
from edge_agents.recorder import KEPT
from edge_agents.reporting import DeviceReport, Observation, Reported, ReportRule, Reports, next_observed_ms

TABLE = "event.table"
"""Kept beside the points: JSON of the points that were not normal when last read. No point is named so."""
UNKNOWN_CODE = q.bad("unknown_state")


class TableReport(DeviceReport):
    """What was last reported of one polled panel.

    Args:
        device: its id.
        rules, max_silence_s, misses_allowed: as for every polled device.
        controller: the panel's number.
        profile: tells which points are states, and what the point map calls them.
    """

    __slots__ = ("_controller", "_event", "_kept_table", "_known", "_odd", "_places", "titles")

    def __init__(
        self,
        device: str,
        rules: tuple[ReportRule, ...],
        max_silence_s: float,
        misses_allowed: int,
        controller: int,
        profile: Profile,
    ) -> None:
        super().__init__(device, rules, max_silence_s, misses_allowed)
        self.titles: Mapping[str, Text] = profile.titles
        self._controller = controller
        names = [rule.name for rule in rules if rule.is_alarm and (point := profile.point(rule.name)) and point.states]
        self._places = {name: place_of(name) for name in names}
        self._known: dict[str, str] = {}
        self._odd: set[str] = set()
        self._event: Reported | None = None
        self._kept_table: str | None = None

    def restore(self, kept: Mapping[str, Reported]) -> None:
        """Take up what was reported before a restart; keys are `device/point`."""
        super().restore(kept)
        self._event = kept.get(f"{self._device}/{EVENT}")
        table = kept.get(f"{self._device}/{TABLE}")
        if table is not None and isinstance(table.value, str):
            self._known = msgspec.json.decode(table.value, type=dict[str, str])
            self._kept_table = table.value
        for name in self._places:
            last = kept.get(f"{self._device}/{name}")
            if last is not None and isinstance(last.value, str):  # on disk with its event, so newer than the table
                self._known[name] = last.value
            elif last is not None and last.quality == UNKNOWN_CODE:
                self._odd.add(name)

    def answered(self, observations: Iterable[Observation], now_ms: int) -> Reports:
        """Readings of a read that went well: changed states, then the event of each."""
        reports = super().answered(observations, now_ms)
        events: list[PanelEvent] = []
        for reading in reports.alarm:
            name = reading.point.partition("/")[2]
            if name in self._places:
                events += self._events(name, reading, now_ms)
        for event in events:
            self._event = Reported(encode_event(event), q.GOOD, next_observed_ms(self._event, now_ms))
            place = f"{self._device}/{EVENT}"
            reports.alarm.append(Reading(place, self._event.observed_ms, self._event.value, q.GOOD))
        return self._with_table(reports, now_ms)

    def _events(self, name: str, reading: Reading, now_ms: int) -> list[PanelEvent]:
        place, text = self._places[name], self.titles[name].zh if name in self.titles else ""
        if reading.quality == UNKNOWN_CODE:
            if name in self._odd:
                return []
            self._odd.add(name)
            text = f"{text} state code without meaning".strip()
            return [PanelEvent(event=EventClass.OTHER, received_ms=now_ms, controller=self._controller,
                               loop=place.loop, point=place.point, address=name, text=text)]  # fmt: skip
        if reading.quality != q.GOOD or not isinstance(reading.value, str):
            return []
        self._odd.discard(name)
        was, self._known[name] = self._known.get(name, NORMAL), reading.value
        return events_between(was, reading.value, place, now_ms, self._controller, text=text)

    def _with_table(self, reports: Reports, now_ms: int) -> Reports:
        """The reports with the table to be kept, where it has changed."""
        if self._kept_table is not None and not reports.alarm:
            return reports
        table = msgspec.json.encode({name: word for name, word in self._known.items() if word != NORMAL}).decode()
        if table == self._kept_table:
            return reports
        self._kept_table = table
        kept = msgspec.json.encode(Reported(table, q.GOOD, now_ms))
        return reports._replace(keep={f"{KEPT}{self._device}/{TABLE}": kept})


def place_of(name: str) -> Place:
    """State point, loop and number of a point by its name: p002 is point 2, l001p012 point 12 of loop 1."""
    match = re.fullmatch(r"(?:c[0-9a-f]+)?(?:l(\d+))?[pdm](\d+)", name)
    if match is None:
        return Place(name, None, None)
    loop, number = match.groups()
    return Place(name, int(loop), f"{int(loop)}-{int(number)}") if loop else Place(name, None, str(int(number)))
