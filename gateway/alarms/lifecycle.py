"""The life of an alarm, with the state names of ISA-18.2. Pure.

    normal ──raise──> unacknowledged ──acknowledge──> acknowledged ──clear──> normal
                            └──clear──> returned_unacknowledged ──acknowledge──> normal

A condition that comes back while its last alarm is still returned_unacknowledged opens a new alarm: each episode has
its own record, and the old one still wants to be acknowledged. A rule has at most one active alarm for a subject.
"""

from __future__ import annotations

from typing import Literal

NORMAL = "normal"
UNACKNOWLEDGED = "unacknowledged"
ACKNOWLEDGED = "acknowledged"
RETURNED = "returned_unacknowledged"
State = Literal["normal", "unacknowledged", "acknowledged", "returned_unacknowledged"]
Event = Literal["raise", "clear", "acknowledge"]

_NEXT: dict[tuple[str, str], State] = {
    (NORMAL, "raise"): "unacknowledged",
    (UNACKNOWLEDGED, "acknowledge"): "acknowledged",
    (UNACKNOWLEDGED, "clear"): "returned_unacknowledged",
    (ACKNOWLEDGED, "clear"): "normal",
    (RETURNED, "acknowledge"): "normal",
}


def next_state(state: str, event: Event) -> State | None:
    """The state after an event; None when the event means nothing in that state."""
    return _NEXT.get((state, event))
