"""Equipment of the stations: what is there, by its sensors or ticked by hand, and until when it is valid. Pure.

Each line of the list in the site file (`station.equipment`) is judged by itself:

    with devices     an alarm that stands on one of them takes one away; a device that is silent tells nothing
    without          the latest tick counts: how many were there, in order or not, valid until when; a tick older than
                     `check_every_h` says nothing any more

What follows for the station is the worst of its lines: ok < unchecked < expired < short.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from contract.site import Site
from contract.station import Needed
from gateway.control.protocol import AlarmView
from gateway.duty.standing import StandingAlarms
from gateway.installation import Installation
from gateway.ledger.entries import Entry, Kind, Pen, Register, SavedEntries, Sheet

HOUR_MS = 3_600_000
Result = Literal["ok", "short", "defect"]
Status = Literal["ok", "unchecked", "expired", "short"]
STATUSES: tuple[Status, ...] = ("ok", "unchecked", "expired", "short")
"""Best first."""


class Tick(Entry, frozen=True, kw_only=True):
    """Somebody looked at a line of the list. state: latest | past. until_ms: when the next tick took its place.

    count: how many were there and in order. result: ok | short | defect. expires_ms: first moment at which one of them
    is valid no more; None: it does not expire. by: number of the person where they are known, user: their login.
    """

    item: str
    count: int
    result: Result
    user: str
    by: int | None = None
    expires_ms: int | None = None
    note: str = ""


TICK = Kind("tick", Tick, frozenset({"latest"}))


class Line(NamedTuple):
    """A line of the list as it is. missing: how many; due_ms: when time alone changes it, None: never.

    tick: the latest; alarms: numbers of those that stand on its devices.
    """

    item: str
    status: Status
    missing: int
    due_ms: int | None
    tick: Tick | None
    alarms: tuple[int, ...] = ()


class Faults(NamedTuple):
    """Alarms on the devices of a line: what they are about, and whether something cannot be reached at all."""

    alarms: tuple[int, ...]
    subjects: frozenset[str]
    is_unknown: bool


NO_FAULTS = Faults((), frozenset(), False)


def judge(needed: Needed, tick: Tick | None, faults: Faults, now_ms: int) -> Line:
    """A line of the list as of now."""
    dues: list[int] = []
    missing, status = 0, "ok"
    if needed.devices:
        missing = min(needed.count, len(faults.subjects))
        status = "short" if missing else "unchecked" if faults.is_unknown else "ok"
    elif tick is None:
        status = "unchecked"
    else:
        old_ms = tick.from_ms + int(needed.check_every_h * HOUR_MS)
        missing = max(0, needed.count - tick.count)
        if missing or tick.result != "ok":
            status = "short"  # what was missing when somebody looked is so until somebody looks again
            missing = missing or 1
        elif now_ms >= old_ms:
            status = "unchecked"
        else:
            dues.append(old_ms)
    if tick is not None and tick.expires_ms is not None:
        if now_ms < tick.expires_ms:
            dues.append(tick.expires_ms)
        elif status != "short":
            status = "expired"
    return Line(needed.id, status, missing, min(dues, default=None), tick, faults.alarms)  # type: ignore[arg-type] # one of STATUSES


class Equipment(Register):
    """Equipment of all stations."""

    def __init__(self, saved: SavedEntries) -> None:
        self._ticks = Sheet(TICK, saved)
        self._standing = StandingAlarms(saved.standing)
        self._sites: dict[str, Site] = {}
        self._latest = {(tick.site, tick.item): tick for tick in self._ticks.rows.values()}
        self._watched: dict[str, set[str]] = {}
        """Device (`site/device`) -> sites whose list names it."""
        self._dirty: set[str] = set()
        self._due_ms: dict[str, int | None] = {}

    def sheets(self) -> Iterable[Sheet[Any]]:
        return (self._ticks,)

    def install(self, installation: Installation) -> None:
        self._standing.install(installation)
        self._sites = {name: site for name, site in installation.sites.items() if site.station is not None}
        self._watched = {}
        for name in self._sites:
            for needed in self.needed(name):
                for device in needed.devices:
                    self._watched.setdefault(f"{name}/{device}", set()).add(name)
        self._dirty = set(self._sites)
        self._due_ms = {}

    def needed(self, site: str) -> list[Needed]:
        """The list of a station; empty for a site without one."""
        known = self._sites.get(site)
        return [] if known is None or known.station is None else known.station.equipment

    def lines(self, site: str, now_ms: int) -> list[Line]:
        """Every line of a station's list as it is."""
        return [
            judge(needed, self._latest.get((site, needed.id)), self._faults(site, needed), now_ms)
            for needed in self.needed(site)
        ]

    def tick(self, pen: Pen, row: Tick) -> Tick:
        """Somebody looked at a line; the tick before it is past. row.id does not count."""
        before = self._latest.get((row.site, row.item))
        if before is not None:
            pen.write(self._ticks, replace(before, state="past", until_ms=pen.now_ms), "replace", row.user)
        row = replace(row, id=self._ticks.take_id(), state="latest", from_ms=pen.now_ms)
        self._latest[row.site, row.item] = pen.write(self._ticks, row, "tick", row.user)
        self._dirty.add(row.site)
        return row

    def _faults(self, site: str, needed: Needed) -> Faults:
        paths = {f"{site}/{device}" for device in needed.devices}
        if not paths:
            return NO_FAULTS
        found = [
            alarm
            for alarm in self._standing.counting()
            if alarm.device is not None and f"{alarm.site}/{alarm.device}" in paths
        ]
        known = [alarm for alarm in found if alarm.basis.take.level != "unknown"]
        return Faults(
            tuple(alarm.id for alarm in found),
            frozenset(alarm.subject for alarm in known),
            len(known) < len(found),
        )

    # --- time and alarms -----------------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        if self._dirty:
            return 0
        return min((due for due in self._due_ms.values() if due is not None), default=None)

    def alarm_moved(self, alarm: AlarmView, event: str, pen: Pen) -> None:  # noqa: ARG002 # said in `advance`
        if self._standing.moved(alarm, event) is not None and alarm.device is not None:
            self._dirty |= self._watched.get(f"{alarm.site}/{alarm.device}", set())

    def advance(self, pen: Pen) -> None:
        due = {site for site, due_ms in self._due_ms.items() if due_ms is not None and due_ms <= pen.now_ms}
        for site in sorted(self._dirty | due):
            lines = self.lines(site, pen.now_ms)
            self._due_ms[site] = min((line.due_ms for line in lines if line.due_ms is not None), default=None)
            pen.say(site, "equipment", max((line.status for line in lines), key=STATUSES.index, default="ok"))
            pen.say(site, "equipment_missing_count", float(sum(line.missing for line in lines)))
        self._dirty.clear()
