"""The life of an alarm: every step that has a meaning, and no other."""

from __future__ import annotations

import pytest

from gateway.alarms.lifecycle import Event, next_state


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [
        ("normal", "raise", "unacknowledged"),
        ("normal", "clear", None),
        ("normal", "acknowledge", None),
        ("unacknowledged", "raise", None),
        ("unacknowledged", "clear", "returned_unacknowledged"),
        ("unacknowledged", "acknowledge", "acknowledged"),
        ("acknowledged", "raise", None),
        ("acknowledged", "clear", "normal"),
        ("acknowledged", "acknowledge", None),
        ("returned_unacknowledged", "raise", None),
        ("returned_unacknowledged", "clear", None),
        ("returned_unacknowledged", "acknowledge", "normal"),
    ],
)
def test_alarm_moves_as_isa_18_2_says_when_an_event_comes(state: str, event: Event, expected: str | None) -> None:
    """The whole table."""
    assert next_state(state, event) == expected
