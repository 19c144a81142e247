"""The life of an alarm, with the state names of ISA-18.2. Pure.

    normal ──raise──> unacknowledged ──acknowledge──> acknowledged ──clear──> normal
                            └──clear──> returned_unacknowledged ──acknowledge──> normal

A condition that comes back while its last alarm is still returned_unacknowledged opens a new alarm: each episode has
its own record, and the old one still wants to be acknowledged. A rule has at most one active alarm for a subject.

Shelved, suppressed by design and out of service lie over the base state as a *hold*: the base state goes on beneath
it, so that nothing is lost while the alarm is held. When a drill ends, what still stands is real and wants to be
acknowledged (again); what had returned was a test and is done with.
"""

from __future__ import annotations

from typing import Literal

NORMAL = "normal"
UNACKNOWLEDGED = "unacknowledged"
ACKNOWLEDGED = "acknowledged"
RETURNED = "returned_unacknowledged"
State = Literal["normal", "unacknowledged", "acknowledged", "returned_unacknowledged"]
Hold = Literal["shelved", "out_of_service", "suppressed_by_design", "maintenance", "drill"]
Event = Literal[
    "raise",
    "clear",
    "flap",
    "suppress",
    "release",
    "acknowledge",
    "assign",
    "note",
    "find",
    "shelve",
    "unshelve",
    "hold",
    "unhold",
    "drill_end",
]
ACTIVE = (UNACKNOWLEDGED, ACKNOWLEDGED)
OPEN = (*ACTIVE, RETURNED)

_NEXT: dict[tuple[str, str], State] = {
    (NORMAL, "raise"): "unacknowledged",
    (UNACKNOWLEDGED, "acknowledge"): "acknowledged",
    (UNACKNOWLEDGED, "clear"): "returned_unacknowledged",
    (ACKNOWLEDGED, "clear"): "normal",
    (RETURNED, "acknowledge"): "normal",
    (UNACKNOWLEDGED, "drill_end"): "unacknowledged",
    (ACKNOWLEDGED, "drill_end"): "unacknowledged",
    (RETURNED, "drill_end"): "normal",
}
_STAYS: dict[str, tuple[str, ...]] = {
    "flap": ACTIVE,
    "suppress": ACTIVE,
    "release": OPEN,
    "assign": OPEN,
    # What it was is often known only when it is over.
    "note": (*OPEN, NORMAL),
    "find": (*OPEN, NORMAL),
    "shelve": OPEN,
    "unshelve": OPEN,
    "hold": OPEN,
    "unhold": OPEN,
}
_SHOWN: dict[str, str] = {"maintenance": "out_of_service"}


def next_state(state: str, event: Event) -> str | None:
    """The base state after an event; None when the event means nothing in that state."""
    if event in _STAYS:
        return state if state in _STAYS[event] else None
    return _NEXT.get((state, event))


def shown_state(state: str, hold: str | None) -> str:
    """The one name of ISA-18.2 for an alarm: the hold's while it is held, else the base state's.

    Maintenance is a planned kind of out of service. A drill is no state of ISA-18.2: the alarm runs through its states
    and is marked as a test.
    """
    if state == NORMAL or hold is None or hold == "drill":
        return state
    return _SHOWN.get(hold, hold)
