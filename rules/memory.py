"""What the engine remembers: devices, agents, points with their last values, and each rule on each subject."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from contract.messages import Reading, Value
from rules.model import Rule, State, Threshold

_INF = float("inf")
NEVER_HEARD = Reading("-/-", 0, None, "unknown:never_heard")


class RuleState(NamedTuple):
    """What a rule remembers of a subject. phase: pending | active | clearing, or rest = nothing to remember."""

    rule: str
    subject: str
    phase: str
    since_ms: int
    alarm_id: int | None
    detail: dict[str, Any]


class Transition(NamedTuple):
    """A decision, with what it rests on."""

    rule: str
    rule_version: str
    severity: str
    subject: str
    site: str
    device: str | None
    event: Literal["raise", "clear", "flap", "suppress", "release"]
    event_ms: int
    retrospective: bool
    inputs: dict[str, Any]
    cause: str | None = None
    """Path of the node at fault that it follows from."""
    count: int = 1  # type: ignore[assignment] # hides tuple.count, which nobody asks
    """Raises so far, when it flaps."""


class Effects(NamedTuple):
    """What happened since the last `take`: decisions in order, and the rule states that changed."""

    transitions: list[Transition]
    states: list[RuleState]


class Device:
    """A known device: its points, and the rules about its absence."""

    __slots__ = ("after_ms", "agent", "points", "silence_ms", "since_ms", "timer", "watches")

    def __init__(self, agent: str, silence_ms: int) -> None:
        self.agent = agent
        self.silence_ms = silence_ms
        self.since_ms = 0
        """Silence counts from here at the earliest."""
        self.after_ms = 0
        self.timer = 0
        self.points: list[LastValue] = []
        self.watches: tuple[Watch, ...] = ()

    @property
    def heard_ms(self) -> int:
        """When a reading of it last arrived, or the start of the count."""
        return max((point.received_ms for point in self.points), default=0) or self.since_ms


class LastValue:
    """The current picture of one point, and the rules that watch it."""

    __slots__ = ("alarming", "calm", "high", "last", "low", "received_ms", "watches")

    def __init__(self, watches: tuple[Watch, ...]) -> None:
        self.watches = watches
        self.last = NEVER_HEARD
        self.received_ms = 0
        # A number within [low, high], and a word not in `alarming`, changes nothing while every watch is at rest.
        self.calm = True
        thresholds = [w.rule.when for w in watches if isinstance(w.rule.when, Threshold)]
        self.low = max((t.below for t in thresholds if t.below is not None), default=-_INF)
        self.high = min((t.above for t in thresholds if t.above is not None), default=_INF)
        self.alarming = frozenset(
            word for w in watches if isinstance(w.rule.when, State) for word in w.rule.when.equals
        )

    @property
    def observed_ms(self) -> int:
        """When the value was measured, ms UTC by the agent's clock; 0 when never."""
        return self.last.observed_ms

    @property
    def value(self) -> Value:
        """The value; None when there is none."""
        return self.last.value

    @property
    def quality(self) -> str:
        """Its quality."""
        return self.last.quality


class Watch:
    """One rule on one subject."""

    __slots__ = ("alarm_id", "detail", "device", "owner", "phase", "rule", "since_ms", "site", "subject", "timer")

    def __init__(self, rule: Rule, subject: str, site: str, device: str | None) -> None:
        self.rule = rule
        self.subject = subject
        self.site = site
        self.device = device
        self.owner: LastValue | None = None
        self.phase = "rest"
        self.since_ms = 0
        self.alarm_id: int | None = None
        self.detail: dict[str, Any] = {}
        self.timer = 0


class Agent:
    """A known agent: whether it is connected, and the rules about its loss."""

    __slots__ = ("heard_ms", "online", "returned_ms", "timer", "watches")

    def __init__(self, watches: tuple[Watch, ...]) -> None:
        self.timer = 0
        self.online = False
        self.heard_ms = 0
        self.returned_ms = 0
        self.watches = watches
