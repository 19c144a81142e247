"""What keeps alarms from paging: the shelf, out of service, maintenance windows, drills. Pure memory.

A fire is held by nothing but a drill, which tells its leader instead, or a shelf of its own, which is short. Planned
work, out of service and suppression by a cause never hold a fire: a burning house does not read the work permit.

Everything but out of service ends by itself; `next_due_ms` says when the next one begins or ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.alarms.lifecycle import Hold
from gateway.alarms.scope import covers
from gateway.control.protocol import AlarmView
from gateway.ledger.records import Drill, Maintenance, OutOfService, Shelf

FIRE = "fire"


@dataclass(slots=True)
class Holds:
    """Everything in force, planned, or over for so short that late readings may still belong to it."""

    shelves: dict[tuple[str, str], Shelf] = field(default_factory=dict)
    out_of_service: dict[str, OutOfService] = field(default_factory=dict)
    windows: dict[int, Maintenance] = field(default_factory=dict)
    """Not closed; some may lie ahead."""
    drills: dict[int, Drill] = field(default_factory=dict)
    """Not closed."""
    past_drills: list[Drill] = field(default_factory=list)
    """Over; their agents may have been away meanwhile."""
    silent: dict[int, set[str]] = field(default_factory=dict)
    """Drill -> what is on its list and has not spoken (subjects)."""
    listed: dict[int, set[str]] = field(default_factory=dict)
    """Drill -> what is on its list (subjects)."""
    next_window: int = 1
    next_drill: int = 1
    begun: set[int] = field(default_factory=set)
    """Windows whose begin was dealt with in this run."""

    # --- what lies over an alarm ---------------------------------------------------------------------------------

    def over(self, alarm: AlarmView, now_ms: int) -> tuple[Hold | None, int | None]:
        """The strongest hold that lies over an open alarm now, and when it ends by itself."""
        if alarm.drill is not None and (drill := self.drills.get(alarm.drill)) is not None:
            return "drill", drill.until_ms
        if (shelf := self.shelves.get((alarm.rule, alarm.subject))) is not None:
            return "shelved", shelf.until_ms
        if alarm.severity == FIRE:
            return None, None
        name = alarm.subject.partition("/")[2]
        if any(self.covers_subject(row.subject, alarm.subject) for row in self.out_of_service.values()):
            return "out_of_service", None
        ends = [
            window.until_ms
            for window in self.windows.values()
            if window.site == alarm.site and window.from_ms <= now_ms and covers(window.scope, name)
        ]
        if ends:
            return "maintenance", max(ends)
        if alarm.suppressed:
            return "suppressed_by_design", None
        return None, None

    @staticmethod
    def covers_subject(taken_out: str, subject: str) -> bool:
        """Whether a subject is what was taken out of service, or a point of it."""
        return subject == taken_out or subject.startswith(taken_out + "/")

    def drill_of(self, site: str, names: Iterable[str], at_ms: int) -> Drill | None:
        """The drill that something at that time belongs to: every one of the names lies in its scope.

        names: subjects without their site. Event time counts: what happened before the drill is real.
        """
        names = list(names)
        for drill in (*self.drills.values(), *self.past_drills):
            ended_ms = drill.until_ms if drill.closed_ms is None else drill.closed_ms
            if (
                drill.site == site
                and drill.from_ms <= at_ms < ended_ms
                and names
                and all(covers(drill.scope, name) for name in names)
            ):
                return drill
        return None

    # --- time ----------------------------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        """When something next begins or ends by itself; None: nothing will."""
        return min(self._times(), default=None)

    def _times(self) -> Iterator[int]:
        yield from (shelf.until_ms for shelf in self.shelves.values())
        yield from (drill.until_ms for drill in self.drills.values())
        for window in self.windows.values():
            yield window.until_ms if window.id in self.begun else window.from_ms

    def due(self, now_ms: int) -> Iterator[Shelf | Maintenance | Drill]:
        """What has come to its end by now, in the order of the ends."""
        found: list[Shelf | Maintenance | Drill] = [
            row
            for rows in (self.shelves.values(), self.windows.values(), self.drills.values())
            for row in rows
            if row.until_ms <= now_ms
        ]
        yield from sorted(found, key=lambda row: row.until_ms)
