"""The life of an alarm: every step that has a meaning, and no other."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.alarms.lifecycle import Event, next_state, shown_state

TABLE = {
    # event: normal, unacknowledged, acknowledged, returned_unacknowledged
    "raise": ("unacknowledged", None, None, None),
    "clear": (None, "returned_unacknowledged", "normal", None),
    "acknowledge": (None, "acknowledged", None, "normal"),
    "flap": (None, "unacknowledged", "acknowledged", None),
    "suppress": (None, "unacknowledged", "acknowledged", None),
    "release": (None, "unacknowledged", "acknowledged", "returned_unacknowledged"),
    "assign": (None, "unacknowledged", "acknowledged", "returned_unacknowledged"),
    "note": ("normal", "unacknowledged", "acknowledged", "returned_unacknowledged"),
    "find": ("normal", "unacknowledged", "acknowledged", "returned_unacknowledged"),
    "shelve": (None, "unacknowledged", "acknowledged", "returned_unacknowledged"),
    "unshelve": (None, "unacknowledged", "acknowledged", "returned_unacknowledged"),
    "hold": (None, "unacknowledged", "acknowledged", "returned_unacknowledged"),
    "unhold": (None, "unacknowledged", "acknowledged", "returned_unacknowledged"),
    "drill_end": (None, "unacknowledged", "unacknowledged", "normal"),
}
STATES = ("normal", "unacknowledged", "acknowledged", "returned_unacknowledged")


@pytest.mark.parametrize("event", get_args(Event))
def test_alarm_moves_as_the_table_says_when_an_event_comes(event: Event) -> None:
    """The whole table, for every event there is."""
    assert tuple(next_state(state, event) for state in STATES) == TABLE[event]


@pytest.mark.parametrize(
    ("state", "hold", "expected"),
    [
        ("unacknowledged", None, "unacknowledged"),
        ("unacknowledged", "shelved", "shelved"),
        ("acknowledged", "suppressed_by_design", "suppressed_by_design"),
        ("returned_unacknowledged", "out_of_service", "out_of_service"),
        ("unacknowledged", "maintenance", "out_of_service"),
        ("unacknowledged", "drill", "unacknowledged"),
        ("normal", "shelved", "normal"),
    ],
)
def test_shown_state_is_the_name_of_isa_18_2_when_a_hold_lies_over_the_alarm(
    state: str, hold: str | None, expected: str
) -> None:
    """A hold has the name of its own; a drill and an alarm that is over have none."""
    assert shown_state(state, hold) == expected
