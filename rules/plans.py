"""The rules in force, read for use: what of them is the same for every device of a profile is worked out once.

Engines that run by the same rules may share one: a gateway whose ledger failed for a moment builds its engine again.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from contract.profile import Profile
from rules.conditions import compile_condition
from rules.conditions_view import Node
from rules.gate import Gate, gate_of
from rules.model import AlarmIs, Quality, Rule, Since, State, Threshold

MOST_KNOWN = 65_536
"""Answers that are remembered for points: names of points come from devices, too."""
_POINTLESS = ("absence", "agent_lost", "line_lost")


@dataclass(frozen=True)
class Plan:
    """A rule, read for use."""

    rule: Rule

    @cached_property
    def version(self) -> str:
        """Of the rule; worked out once."""
        return self.rule.version

    @cached_property
    def node(self) -> Node | None:
        """Its condition, compiled; None of one that one reading decides, and of the engine's own kinds."""
        rule, when = self.rule, self.rule.when
        if when.kind in _POINTLESS:
            return None
        is_threshold = isinstance(when, Threshold) and when.at_20c is None
        if rule.per == "point" and (is_threshold or isinstance(when, State | Quality)):
            return None
        return compile_condition(when)

    @cached_property
    def is_about_quality(self) -> bool:
        """Whether it speaks of points that cannot be measured."""
        return any(isinstance(leaf, Quality) for leaf in self.rule.leaves())

    @cached_property
    def counts_known(self) -> bool:
        """Whether it counts from when its subject became known."""
        return any(isinstance(leaf, Since) for leaf in self.rule.leaves())

    def fits_device(self, profile: Profile) -> bool:
        """Whether a rule per device watches devices of that profile."""
        return any(fnmatch.fnmatchcase(profile.id, pattern.partition("/")[0]) for pattern in self.rule.applies_to)


class Plans:
    """All rules in force, with the profiles of one library: a profile's id stands for the same profile."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._plans = {rule.id: Plan(rule) for rule in rules}
        self._per: dict[str, list[Plan]] = {}
        for plan in self._plans.values():
            self._per.setdefault(plan.rule.per, []).append(plan)
        self._ranks: dict[str, int] = {}
        for name in self._plans:
            self._rank(name, ())
        self._of_profile: dict[str, list[Plan]] = {}
        self._of_point: dict[tuple[str, str], list[Plan]] = {}
        self._deep: dict[str, list[Plan]] = {}
        self._beside: dict[tuple[str, str, str], frozenset[str]] = {}
        self._gates: dict[tuple[str, str, str | None], Gate | None] = {}

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._plans.values())

    def __getitem__(self, rule: str) -> Plan:
        return self._plans[rule]

    def per(self, kind: str) -> Sequence[Plan]:
        """Rules per `point`, `device`, `group`, `line` or `agent`."""
        return self._per.get(kind, ())

    def rank(self, rule: str) -> int:
        """How many rules stand above one another over this one: those that inhibit it and those it looks at."""
        return self._ranks.get(rule, 0)

    def _rank(self, name: str, below: tuple[str, ...]) -> int:
        plan = self._plans.get(name)
        if plan is None or name in below:
            return -1
        if name not in self._ranks:
            above = [inhibit.rule for inhibit in plan.rule.inhibit_by]
            above += [each for leaf in plan.rule.leaves() if isinstance(leaf, AlarmIs) for each in leaf.rules]
            self._ranks[name] = 1 + max((self._rank(each, (*below, name)) for each in above), default=-1)
        return self._ranks[name]

    def of_point(self, profile: Profile, name: str) -> list[Plan]:
        """Rules per point that watch that point."""
        key = (profile.id, name)
        plans = self._of_point.get(key)
        if plans is None:
            of_profile = self._of_profile.get(profile.id)
            if of_profile is None:
                of_profile = [plan for plan in self.per("point") if plan.fits_device(profile)]
                self._of_profile[profile.id] = of_profile
            plans = [plan for plan in of_profile if plan.rule.applies(profile.id, name)]
            if len(self._of_point) < MOST_KNOWN:
                self._of_point[key] = plans
        return plans

    def deep_of(self, profile: Profile) -> list[Plan]:
        """Rules per device of that profile that look at points."""
        plans = self._deep.get(profile.id)
        if plans is None:
            plans = [plan for plan in self.per("device") if plan.node is not None and plan.fits_device(profile)]
            self._deep[profile.id] = plans
        return plans

    def gate(self, rule: Rule, version: str, point: str | None) -> Gate | None:
        """When a reading of that point (None: the rule's own) may be passed over; None: never."""
        known = (rule.id, version, point)
        if known not in self._gates:
            if len(self._gates) >= MOST_KNOWN:
                self._gates.clear()
            self._gates[known] = gate_of(rule.when, point)
        return self._gates[known]

    def beside(self, plan: Plan, profile: Profile) -> frozenset[str]:
        """Lanes of a device that tell what a rule looks at or is inhibited by. A fire waits for nobody."""
        key = (plan.rule.id, plan.version, profile.id)
        used = self._beside.get(key)
        if used is None:
            used = frozenset() if plan.rule.severity == "fire" else self._used(plan, profile)
            self._beside[key] = used
        return used

    def _used(self, plan: Plan, profile: Profile) -> frozenset[str]:
        rule = plan.rule
        named = {inhibit.rule: inhibit.scope for inhibit in rule.inhibit_by}
        for leaf in rule.leaves():
            if isinstance(leaf, AlarmIs):
                named.update(dict.fromkeys(leaf.rules, leaf.scope))
        used = {"alarm"} if plan.is_about_quality else set()
        for name, scope in named.items():
            other = self._plans.get(name)
            if scope != "device" or other is None:
                used.add("alarm")
                continue
            named_points = {leaf.point for leaf in other.rule.leaves() if getattr(leaf, "point", None) is not None}
            for point in profile.points_for(None):
                if point.name in named_points or other.rule.applies(profile.id, point.name):
                    used.add(point.lane)
        return frozenset(used)
