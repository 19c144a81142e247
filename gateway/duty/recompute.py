"""Readiness derived once more from the ledger's primary rows alone: alarms, transitions, rule versions, and what the
audit chain says of stations, stale data and accepted risks. The rows `readiness` and `deduction` are not looked at.

One pass over the rows in the order in which they were written. Only what stands at a moment is kept in memory; what
is found goes to a sink.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from contract.errors import WeizhanError
from contract.site import REGISTER_DEVICE, SYSTEM_SITE
from gateway.duty.standing import Basis, basis_of_record
from rules.readiness import Account, Verdict
from rules.readiness_spans import Deducted, Span

TRANSITIONS = (
    "SELECT t.recorded_ms, t.event, t.alarm_id, a.rule, a.rule_version, a.subject, a.site, a.device, a.drill "
    "FROM transition t LEFT JOIN alarm a ON a.id = t.alarm_id AND t.event <> 'clear' "
    "WHERE t.event IN ('raise', 'clear', 'drill_end') AND t.recorded_ms < ? ORDER BY t.id"
)
AUDIT = (
    "SELECT at_ms, action, detail FROM audit WHERE action IN ('station.begin', 'station.end', 'stale.begin', "
    "'stale.end', 'risk.accept', 'risk.expired', 'risk.withdrawn') ORDER BY id"
)
_TESTED = "SELECT DISTINCT alarm_id FROM transition WHERE event = 'drill_end'"
_decode = msgspec.json.Decoder().decode


class LostRow(WeizhanError):
    """A row that others rest on is not there."""


class Sink(Protocol):
    """Takes what is found, of each station in order of time."""

    def span(self, site: str, span: Span) -> None:
        """The station was this."""

    def deducted(self, site: str, deducted: Deducted) -> None:
        """This took from the station; it is over, or cut at the end of what was asked for."""


class Collected:
    """Keeps everything."""

    def __init__(self) -> None:
        self.spans: dict[str, list[Span]] = {}
        self.deductions: dict[str, list[Deducted]] = {}

    def span(self, site: str, span: Span) -> None:
        """The station was this."""
        self.spans.setdefault(site, []).append(span)

    def deducted(self, site: str, deducted: Deducted) -> None:
        """This took from the station."""
        self.deductions.setdefault(site, []).append(deducted)


class _Alarm(NamedTuple):
    id: int
    rule: str
    subject: str
    site: str
    device: str | None
    basis: Basis


class _Taking(NamedTuple):
    alarm: _Alarm
    from_ms: int
    accepted: bool


class _Station:
    """One station on the way through the rows."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.covers: tuple[str, ...] = ()
        self.is_there = True
        self.account = Account()
        self.taking: dict[int, _Taking] = {}
        self.is_stale = False
        self.verdict: Verdict | None = None
        self.since_ms = 0

    def takes(self, alarm: _Alarm) -> bool:
        """Whether an alarm is one of its own, of a site it answers for, or of the gateway."""
        if not self.is_there:
            return False
        if alarm.site in (self.site, SYSTEM_SITE):
            return True
        return alarm.site in self.covers and alarm.device != REGISTER_DEVICE


def recompute(connection: sqlite3.Connection, until_ms: int, sink: Sink) -> None:
    """Everything up to until_ms (not included).

    Raises:
        LostRow: a row that is named by another is not there.
        sqlite3.Error: the file cannot be read.
    """
    records: dict[tuple[str, str], Basis | None] = {
        (rule, version): basis_of_record(record)
        for rule, version, record in connection.execute("SELECT id, version, json FROM rule_version")
    }
    tested = {row[0] for row in connection.execute(_TESTED)}
    way = _Way(records, tested, sink)
    moves = ((at_ms, 1, row) for at_ms, row in _in_time(connection.execute(TRANSITIONS, (until_ms,))))
    entries = ((at_ms, 0, row) for at_ms, row in _in_time(_entries(connection, until_ms)))
    for at_ms, is_move, row in heapq.merge(moves, entries, key=_time):
        way.go_to(at_ms)
        if is_move:
            way.alarm_moved(*row[1:])
        else:
            way.entry(*row[1:])
    way.end(until_ms)


def _time(event: tuple[int, int, Any]) -> tuple[int, int]:
    return event[:2]


def _in_time(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """With the latest time so far: rows stay in the order they were written in, also when a clock was set back."""
    latest_ms = 0
    for row in rows:
        latest_ms = max(latest_ms, row[0])
        yield latest_ms, row


def _entries(connection: sqlite3.Connection, until_ms: int) -> list[tuple[int, str, dict[str, Any]]]:
    """(when it counts, action, row) of what the audit chain says; stale data counts from the time it is dated back
    to, which is never before anything else that station saw."""
    found = []
    for at_ms, action, detail in connection.execute(AUDIT):
        row = _decode(detail)["row"]
        since_ms = row["from_ms"] if action == "stale.begin" else at_ms
        if since_ms < until_ms:
            found.append((since_ms, action, row))
    # Few rows: stations, spells of stale data, risks.
    return sorted(found, key=lambda each: each[0])


class _Way:
    """State on the way through the rows."""

    def __init__(self, records: dict[tuple[str, str], Basis | None], tested: set[int], sink: Sink) -> None:
        self._records = records
        self._tested = tested
        self._sink = sink
        self._stations: dict[str, _Station] = {}
        self._of_site: dict[str, list[_Station]] = {}
        self._alarms: dict[int, _Alarm] = {}
        """Those that stand and are no test."""
        self._accepted: set[tuple[str, str, str]] = set()
        self._now_ms = 0
        self._dirty: dict[str, _Station] = {}
        self._rearranged: dict[str, _Station] = {}

    def go_to(self, at_ms: int) -> None:
        """Everything before that moment has been told."""
        if at_ms == self._now_ms:
            return
        if self._rearranged:
            self._rearrange()
        for station in self._dirty.values():
            self._settle(station)
        self._dirty.clear()
        self._now_ms = at_ms

    def end(self, until_ms: int) -> None:
        """What stands is cut there."""
        self.go_to(until_ms + 1)
        for station in self._stations.values():
            if station.verdict is not None and station.since_ms < until_ms:
                self._sink.span(station.site, Span(station.since_ms, until_ms, station.verdict))
            for taking in station.taking.values():
                self._tell(station, taking, until_ms)

    # --- what happened -------------------------------------------------------------------------------------------

    def alarm_moved(
        self,
        event: str,
        alarm_id: int,
        rule: str | None,
        version: str,
        subject: str,
        site: str,
        device: str | None,
        drill: int | None,
    ) -> None:
        """A raise, a clear, or the end of the drill it belonged to."""
        if event == "clear":
            if (gone := self._alarms.pop(alarm_id, None)) is not None:
                for station in self._near(gone):
                    if alarm_id in station.taking:
                        self._end(station, alarm_id)
            return
        if rule is None:
            raise LostRow(f"alarm {alarm_id}: got a transition ({event}) and no row. It was taken out of the ledger.")
        if drill is not None or (event == "raise" and alarm_id in self._tested):
            return
        if (rule, version) not in self._records:
            raise LostRow(f"rule {rule}, version {version}: got alarm {alarm_id} raised under it and no record of it.")
        basis = self._records[rule, version]
        if basis is None:
            return
        alarm = self._alarms[alarm_id] = _Alarm(alarm_id, rule, subject, site, device, basis)
        for station in self._near(alarm):
            if station.takes(alarm):
                self._begin(station, alarm)

    def entry(self, action: str, row: dict[str, Any]) -> None:
        """A station, a spell of stale data or a risk begins or ends."""
        site = row["site"]
        if action.startswith("station."):
            station = self._stations.setdefault(site, _Station(site))
            station.is_there = action == "station.begin"
            station.covers = tuple(row["covers"])
            self._rearranged[site] = station
            return
        if action.startswith("risk."):
            key = (site, row["rule"], row["subject"])
            if action == "risk.accept":
                self._accepted.add(key)
            else:
                self._accepted.discard(key)
            station = self._stations[site]
            for alarm_id, taking in list(station.taking.items()):
                if (taking.alarm.rule, taking.alarm.subject) == key[1:]:
                    self._end(station, alarm_id)
                    self._begin(station, taking.alarm)
            return
        station = self._stations[site]
        station.is_stale = action == "stale.begin"
        self._dirty[site] = station

    # --- what follows --------------------------------------------------------------------------------------------

    def _near(self, alarm: _Alarm) -> Iterable[_Station]:
        return self._stations.values() if alarm.site == SYSTEM_SITE else self._of_site.get(alarm.site, ())

    def _at_ms(self, station: _Station) -> int:
        return max(self._now_ms, station.since_ms)

    def _begin(self, station: _Station, alarm: _Alarm) -> None:
        accepted = (station.site, alarm.rule, alarm.subject) in self._accepted
        station.taking[alarm.id] = _Taking(alarm, self._at_ms(station), accepted)
        if not accepted:
            station.account.add(alarm.basis.take)
        self._dirty[station.site] = station

    def _end(self, station: _Station, alarm_id: int) -> None:
        taking = station.taking.pop(alarm_id)
        if not taking.accepted:
            station.account.remove(taking.alarm.basis.take)
        self._tell(station, taking, self._at_ms(station))
        self._dirty[station.site] = station

    def _tell(self, station: _Station, taking: _Taking, until_ms: int) -> None:
        if taking.from_ms < until_ms:
            alarm, take = taking.alarm, taking.alarm.basis.take
            self._sink.deducted(
                station.site,
                Deducted(
                    taking.from_ms, until_ms, alarm.id, alarm.rule, alarm.subject, take.level, take.points / 1000,
                    taking.accepted,
                ),
            )  # fmt: skip

    def _rearrange(self) -> None:
        self._of_site = {}
        for station in self._stations.values():
            for site in (station.site, *station.covers) if station.is_there else ():
                self._of_site.setdefault(site, []).append(station)
        for site, station in self._rearranged.items():
            for alarm_id, taking in list(station.taking.items()):
                if alarm_id not in self._alarms or not station.takes(taking.alarm):
                    self._end(station, alarm_id)
            for alarm in self._alarms.values():
                if alarm.id not in station.taking and station.takes(alarm):
                    self._begin(station, alarm)
            self._dirty[site] = station
        self._rearranged = {}

    def _settle(self, station: _Station) -> None:
        verdict = station.account.verdict(is_stale=station.is_stale) if station.is_there else None
        if verdict == station.verdict:
            return
        at_ms = self._at_ms(station)
        if station.verdict is not None and station.since_ms < at_ms:
            self._sink.span(station.site, Span(station.since_ms, at_ms, station.verdict))
        station.verdict, station.since_ms = verdict, at_ms
