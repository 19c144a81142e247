"""What the engine gives away: decisions, and what is to be remembered over a restart."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Event = Literal["raise", "clear", "flap", "suppress", "release"]
COURSE = "~course"
"""Stands for a rule in the rule states: how far a course is judged while it holds readings back."""


class RuleState(NamedTuple):
    """What a rule remembers of a subject. phase: pending | active | clearing | past (at rest, with a memory), or rest =
    nothing to remember."""

    rule: str
    subject: str
    phase: str
    since_ms: int
    alarm_id: int | None
    detail: dict[str, Any]


class Transition(NamedTuple):
    """A decision, with what it rests on.

    cause: of a suppressed alarm, the path of what explains it. count: raises so far, of an alarm that flaps.
    """

    rule: str
    rule_version: str
    severity: str
    subject: str
    site: str
    device: str | None
    event: Event
    event_ms: int
    retrospective: bool
    inputs: dict[str, Any]
    cause: str | None = None
    count: int = 1  # type: ignore[assignment]  # hides tuple.count, which nobody wants of a decision


class Effects(NamedTuple):
    """What happened since the last `take`: decisions in order, and the rule states that changed."""

    transitions: list[Transition]
    states: list[RuleState]
