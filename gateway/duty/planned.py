"""The planned shifts of a station, as moments: its changes of shift by its own clock, summer time included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from contract.station import Station
from gateway.duty.draws import Span
from rules.calendar import moment_ms


def planned_span(station: Station, zone: ZoneInfo, at_ms: int) -> Span:
    """The planned shift that moment lies in; at a change it is the one that begins."""
    changes = _changes(station, zone, at_ms)
    begin_ms = next(changes)
    for change_ms in changes:
        if change_ms > at_ms:
            return Span(begin_ms, change_ms)
        begin_ms = change_ms
    raise AssertionError("a station changes shifts every day")


def _changes(station: Station, zone: ZoneInfo, at_ms: int) -> Iterator[int]:
    """Every change from two days before until two days after, each later than the one before it."""
    today = datetime.fromtimestamp(at_ms / 1000, zone).date()
    hours = sorted(set(station.shifts))
    last_ms = None
    for ahead in range(-2, 3):
        for hour in hours:
            change_ms = moment_ms(today + timedelta(days=ahead), hour, zone)
            if last_ms is None or change_ms > last_ms:  # two that fall into a skipped hour are one
                yield change_ms
                last_ms = change_ms
