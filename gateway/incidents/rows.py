"""An incident as the ledger keeps it, and what may be asked of a row: pure functions of the row and the time."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from gateway.alarms.holds import FIRE
from gateway.control.protocol import AlarmView
from gateway.ledger.entries import Entry, Kind

Clock = Literal["station", "neighbours", "brigade"]
CLOCKS: tuple[Clock, ...] = get_args(Clock)
Finding = Literal["real", "false", "test", "unclear"]
FalseClass = Literal["cooking", "smoking", "dust", "steam", "insects", "works", "fault", "malicious", "other"]
"""What a false alarm came from."""
How = Literal["second_detector", "manual_call_point", "rule", "person"]
OPEN = "open"
CLOSED = "closed"


class Crew(msgspec.Struct, frozen=True, kw_only=True):
    """A station on its way. Times ms UTC; people: numbers of persons."""

    site: str
    people: tuple[int, ...] = ()
    departed_ms: int | None = None
    arrived_ms: int | None = None
    distance_m: int | None = None
    """Of a neighbour: how far it is."""
    called_ms: int | None = None
    """Of a neighbour: when it was called."""
    answered_ms: int | None = None
    """Of a neighbour: when somebody there said that they come."""
    by: str = ""
    """Who called it: the gateway or a person."""


class Incident(Entry, frozen=True, kw_only=True):
    """A fire and what it set going. from_ms: when the gateway knew of it, or somebody opened it; until_ms: closed."""

    alarm: int | None = None
    """The fire that opened it; None: opened by hand. Further fires of the site are those raised while it is open."""
    subject: str = ""
    """Of that fire."""
    rule: str = ""
    text: str = ""
    """What and where, by whoever opened it by hand."""
    opened_by: str = "gateway"
    drill: int | None = None
    """The drill it belongs to: nobody outside is called, and no clock raises an alarm."""
    confirmed_ms: int | None = None
    confirmed_by: How | None = None
    due: dict[str, int] = {}
    """Clock -> when it runs over (ms UTC)."""
    late: tuple[str, ...] = ()
    """Clocks that ran over."""
    own: Crew | None = None
    calls: tuple[Crew, ...] = ()
    """Neighbours that were called, in the order they were."""
    brigade_called_ms: int | None = None
    brigade_arrived_ms: int | None = None
    brigade_needed: bool = True
    """Whether somebody has not said that no brigade is needed."""
    finding: Finding | None = None
    false_class: FalseClass | None = None
    cause: str = ""
    found: str = ""
    """What was found, in words."""
    closed_by: str = ""
    note: str = ""


INCIDENT: Kind[Incident] = Kind("incident", Incident, frozenset({OPEN}))


def is_met(row: Incident, clock: str) -> bool:
    """Whether nothing is to be waited for on this clock any more."""
    if row.finding in ("false", "test"):
        return True
    if clock == "station":
        return row.own is not None and row.own.arrived_ms is not None
    if clock == "neighbours":
        return bool(row.calls) and any(crew.arrived_ms is not None for crew in row.calls)
    return row.brigade_arrived_ms is not None or not row.brigade_needed


def waits_for(row: Incident, clock: str) -> bool:
    """Whether somebody is to come by this clock: no neighbour comes who was not called."""
    if clock == "neighbours" and not row.calls:
        return False
    if clock == "brigade" and row.drill is not None:
        return False
    return not is_met(row, clock)


def next_clock(row: Incident) -> tuple[int, str] | None:
    """The next clock that runs over without anybody having met it: when (ms UTC), and which."""
    waits = [(at, clock) for clock, at in row.due.items() if clock not in row.late and waits_for(row, clock)]
    return min(waits, default=None)


def response_word(row: Incident) -> str:
    """What the site's point `response` says of this incident: the last clock that ran over and still waits."""
    late = [clock for clock in CLOCKS if clock in row.late and waits_for(row, clock)]
    return f"{late[-1]}_late" if late and row.state == OPEN and row.drill is None else "ok"


def burns(alarm: AlarmView, row: Incident) -> bool:
    """Whether an alarm is a fire of this incident that still stands; one on the shelf does not."""
    if alarm.site != row.site or alarm.severity != FIRE or not alarm.active:
        return False
    return alarm.drill == row.drill if row.drill is not None else alarm.hold is None


def missing(row: Incident) -> list[str]:
    """What the sheet still lacks, as words of the family `incident_missing`."""
    lacks: list[str] = []
    if row.finding is None:
        lacks.append("finding")
    if row.own is None or row.own.arrived_ms is None:
        lacks.append("arrival")
    if row.own is None or not row.own.people:
        lacks.append("people")
    if not row.found.strip():
        lacks.append("found")
    if row.finding == "real":
        lacks += ["cause"] * (not row.cause.strip())
        lacks += ["brigade"] * (row.brigade_needed and row.brigade_called_ms is None)
    if row.finding == "false" and row.false_class is None:
        lacks.append("false_class")
    return lacks
