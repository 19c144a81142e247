"""Conditions compiled: the tree of `rules.model` as nodes that judge.

Each answer is one of three: violated, over, or neither, and neither is what unknown gives. `all` is over as soon as
one part is, `any` violated as soon as one part is; `not` swaps the two, and what is not known stays so. Nodes hold
nothing that changes an answer: what is remembered of points lies in `rules.series`, and the engine is asked through
`View`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, tzinfo
from typing import Any

from contract.errors import ConfigError
from rules.calendar import DAYS, Span
from rules.conditions_points import (
    CountNode,
    QualityNode,
    SinceNode,
    StateNode,
    TallyNode,
    ThresholdNode,
    WindowNode,
    pressure_at_20c,
)
from rules.conditions_view import Calm, Needs, Node, Truth, View, earliest, joined
from rules.model import (
    AlarmIs,
    AllOf,
    AnyOf,
    Clock,
    Condition,
    Count,
    Due,
    Findings,
    Not,
    Quality,
    Since,
    State,
    Tally,
    Threshold,
    Window,
)

__all__ = ["Needs", "Node", "Truth", "View", "compile_condition", "pressure_at_20c"]


def compile_condition(when: Condition) -> Node:
    """The condition as a node that judges.

    Raises:
        ConfigError: for what cannot be judged: absence, lost agents and lost lines are the engine's own, and a tally
            with `within_s` has no temperatures of the past.
    """
    match when:
        case AllOf() | AnyOf():
            parts = [compile_condition(part) for part in when.of]
            return _All(parts) if isinstance(when, AllOf) else _Any(parts)
        case Not():
            return _Not(compile_condition(when.of))
        case Threshold():
            return ThresholdNode(when)
        case State():
            return StateNode(when)
        case Quality():
            return QualityNode(when)
        case Window():
            return WindowNode(when)
        case Count():
            return CountNode(when)
        case Since():
            return SinceNode(when)
        case Tally():
            if when.within_s is not None and isinstance(when.of, Threshold) and when.of.at_20c is not None:
                raise ConfigError("tally: got at_20c with within_s, want one of them. Take within_s out.")
            return TallyNode(when)
        case Due():
            return _Due(when)
        case AlarmIs():
            return _AlarmIs(when)
        case Findings():
            return _Findings(when)
        case Clock():
            return _Clock(when)
        case _:
            raise ConfigError(
                f"condition: got {when.kind}, want one that is judged from readings, alarms or the clock."
            )


class _All:
    def __init__(self, parts: list[Node]) -> None:
        self._parts = parts
        self.needs = joined(part.needs for part in parts)
        self.knows_calm = any(part.knows_calm for part in parts)

    def judge(self, view: View, at_ms: int) -> Truth:
        decisive, truths = _ask(self._parts, view, at_ms, lambda truth: truth.over)
        if decisive is not None:
            return Truth(False, True, _because([decisive]), decisive.again_ms)
        violated = all(truth.violated for truth in truths)
        return Truth(violated, False, _because(truths), earliest((t.again_ms for t in truths), at_ms))

    def calm(self, view: View, at_ms: int) -> Calm | None:
        for part in self._parts:  # while one part does not hold the others do not matter
            calm = part.calm(view, at_ms)
            if calm is not None:
                return calm
        return None


class _Any:
    def __init__(self, parts: list[Node]) -> None:
        self._parts = parts
        self.needs = joined(part.needs for part in parts)
        self.knows_calm = all(part.knows_calm for part in parts)

    def judge(self, view: View, at_ms: int) -> Truth:
        decisive, truths = _ask(self._parts, view, at_ms, lambda truth: truth.violated)
        if decisive is not None:
            return Truth(True, False, _because([decisive]), decisive.again_ms)
        over = all(truth.over for truth in truths)
        return Truth(False, over, _because(truths), earliest((t.again_ms for t in truths), at_ms))

    def calm(self, view: View, at_ms: int) -> Calm | None:
        whole = Calm({}, at_ms)
        for part in self._parts:
            calm = part.calm(view, at_ms)
            if calm is None:
                return None
            limits = dict(whole.limits)
            for point, (low, high) in calm.limits.items():
                known = limits.get(point, (low, high))
                limits[point] = max(known[0], low), min(known[1], high)
            until_ms = earliest((whole.until_ms, calm.until_ms), at_ms)
            whole = Calm(limits, max(whole.from_ms, calm.from_ms), until_ms)
        return whole


def _ask(
    parts: list[Node], view: View, at_ms: int, decides: Callable[[Truth], bool]
) -> tuple[Truth | None, list[Truth]]:
    """The first truth of a part that decides whatever the others say (it is looked at again when that one may have
    changed), and the truths of those before it."""
    truths: list[Truth] = []
    for part in parts:
        truth = part.judge(view, at_ms)
        if decides(truth):
            return truth, truths
        truths.append(truth)
    return None, truths


class _Not:
    def __init__(self, part: Node) -> None:
        self._part = part
        self.needs = part.needs
        self.knows_calm = False

    def judge(self, view: View, at_ms: int) -> Truth:
        truth = self._part.judge(view, at_ms)
        return Truth(
            truth.over, truth.violated, {"because": [{**leaf, "not": True} for leaf in _leaves(truth)]}, truth.again_ms
        )

    def calm(self, _view: View, _at_ms: int) -> Calm | None:
        return None


class _Due:
    """Violated from `ahead_s` before the date on; not known without one."""

    def __init__(self, leaf: Due) -> None:
        self._leaf = leaf
        self._ahead_ms = round(leaf.ahead_s * 1000)
        self.needs = Needs(dates=True)
        self.knows_calm = True

    def judge(self, view: View, at_ms: int) -> Truth:
        due_ms = view.due_ms(self._leaf.of)
        inputs = {"kind": "due", "of": self._leaf.of, "due_ms": due_ms}
        if due_ms is None:
            return Truth(False, False, inputs, None)
        from_ms = due_ms - self._ahead_ms
        return Truth(at_ms >= from_ms, at_ms < from_ms, inputs, earliest([from_ms], at_ms))

    def calm(self, view: View, at_ms: int) -> Calm | None:
        due_ms = view.due_ms(self._leaf.of)
        if due_ms is None:
            return Calm({}, at_ms)
        return Calm({}, at_ms, due_ms - self._ahead_ms) if at_ms < due_ms - self._ahead_ms else None


class _AlarmIs:
    def __init__(self, leaf: AlarmIs) -> None:
        self._leaf = leaf
        self._states = frozenset[str](leaf.states)
        self.needs = Needs(alarm_rules=frozenset(leaf.rules))
        self.knows_calm = False

    def judge(self, view: View, _at_ms: int) -> Truth:
        leaf = self._leaf
        violated = any(states & self._states for states in view.alarms(leaf.rules, leaf.scope))
        inputs = {"kind": "alarm", "rules": list(leaf.rules), "scope": leaf.scope, "states": list(leaf.states)}
        return Truth(violated, not violated, inputs, None)

    def calm(self, _view: View, _at_ms: int) -> Calm | None:
        return None


class _Findings:
    def __init__(self, leaf: Findings) -> None:
        self._leaf = leaf
        self._within_ms = round(leaf.within_s * 1000)
        self.needs = Needs(finding_rules=frozenset(leaf.rules))
        self.knows_calm = False

    def judge(self, view: View, at_ms: int) -> Truth:
        leaf = self._leaf
        times = view.finding_times(leaf.rules, leaf.finding, at_ms - self._within_ms)
        inputs = {"kind": "findings", "finding": leaf.finding, "count": len(times), "limit": leaf.more_than}
        if len(times) > leaf.more_than:
            return Truth(True, False, inputs, times[-leaf.more_than - 1] + self._within_ms)
        return Truth(False, True, inputs, None)

    def calm(self, _view: View, _at_ms: int) -> Calm | None:
        return None


class _Clock:
    """Remembers for each zone the stretch of time it last told of; telling it anew would give the same."""

    def __init__(self, leaf: Clock) -> None:
        self._told: dict[tzinfo | None, tuple[int, int, bool]] = {}
        self._leaf = leaf
        days = frozenset(DAYS.index(day) for day in leaf.days) or frozenset(range(7))
        self._span = Span(time.fromisoformat(leaf.from_), time.fromisoformat(leaf.to), days)
        self.needs = Needs(clock=True)
        self.knows_calm = True

    def judge(self, view: View, at_ms: int) -> Truth:
        inside, change_ms = self._tell(view, at_ms)
        inputs = {"kind": "time", "from": self._leaf.from_, "to": self._leaf.to}
        return Truth(inside, not inside, inputs, earliest([change_ms], at_ms))

    def calm(self, view: View, at_ms: int) -> Calm | None:
        inside, change_ms = self._tell(view, at_ms)
        return None if inside or change_ms <= at_ms else Calm({}, at_ms, change_ms)

    def _tell(self, view: View, at_ms: int) -> tuple[bool, int]:
        """Whether that moment lies within the hours, and when that changes."""
        local = view.local(at_ms)
        from_ms, change_ms, inside = self._told.get(local.tzinfo, (0, 0, False))
        if not from_ms <= at_ms < change_ms:
            inside, found_ms = self._span.at(local)
            change_ms = at_ms if found_ms is None else found_ms
            self._told[local.tzinfo] = (at_ms, change_ms, inside)
        return inside, change_ms


def _leaves(truth: Truth) -> list[dict[str, Any]]:
    because: list[dict[str, Any]] = truth.inputs.get("because", [truth.inputs])
    return because


def _because(truths: list[Truth]) -> dict[str, Any]:
    return {"because": [leaf for truth in truths for leaf in _leaves(truth)]}
