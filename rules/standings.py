"""Alarms that others look at, found by place: what stands in one place is told without walking all that stands.

A panel in full fire has two thousand alarms of one rule, and each of them is asked at each further fire. So the alarms
of a rule lie on shelves, one for each site, agent, line, group and device. A shelf knows how many alarms have which
states now and which began first, and it walks only those that changed after the moment that is asked about: none,
unless somebody is catching up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rules.memory import Group, Spans, World

Key = tuple[str, str, str]
"""(scope, site, path): the place that a shelf is about."""


class Where(NamedTuple):
    """A scope seen from one watch. subjects: whose own alarms lie within it. things: subjects that do so unless they
    are devices. keys: the shelves that lie within it."""

    subjects: tuple[str, ...]
    things: tuple[str, ...]
    keys: tuple[Key, ...]


class Standing:
    """An alarm that others look at: when it stood, and what the gateway said of it."""

    __slots__ = ("changed_ms", "device", "keys", "noted", "own", "shown", "since_ms", "site", "spans", "subject")

    def __init__(self, site: str, device: str | None, subject: str, own: bool) -> None:
        self.site = site
        self.device = device
        self.subject = subject
        self.own = own
        """The engine itself judges it; else it only hears of it."""
        self.spans = Spans()
        self.noted: frozenset[str] = frozenset()
        # As the shelves know it.
        self.keys: list[Key] = []
        self.shown: frozenset[str] = frozenset()
        self.since_ms: int | None = None
        self.changed_ms = 0
        """No span begins or ends after this."""

    def states(self, at_ms: int) -> frozenset[str]:
        """Its states as of that moment."""
        active = frozenset(["active"]) if self.spans.at(at_ms) else frozenset[str]()
        return (self.noted - {"active"}) | active


class Shelf:
    """The alarms of one rule in one place."""

    __slots__ = ("active", "changed", "states")

    def __init__(self) -> None:
        self.active: list[tuple[int, str]] = []
        """(since, subject) of those that stand, the first first."""
        self.changed: list[tuple[int, str]] = []
        """(latest change, subject) of all, the latest last."""
        self.states: Counter[frozenset[str]] = Counter()
        """How many have these states, each as of its latest change."""

    def put(self, standing: Standing) -> None:
        """Have it here, as it is shown."""
        insort(self.changed, (standing.changed_ms, standing.subject))
        if standing.since_ms is not None:
            insort(self.active, (standing.since_ms, standing.subject))
        self.states[standing.shown] += 1

    def take(self, standing: Standing) -> None:
        """Have it here no more."""
        del self.changed[bisect_left(self.changed, (standing.changed_ms, standing.subject))]
        if standing.since_ms is not None:
            del self.active[bisect_left(self.active, (standing.since_ms, standing.subject))]
        self.states[standing.shown] -= 1
        if not self.states[standing.shown]:
            del self.states[standing.shown]

    def changed_after(self, at_ms: int) -> list[str]:
        """Subjects of those that changed after that moment."""
        if not self.changed or self.changed[-1][0] <= at_ms:
            return []
        place = bisect_right(self.changed, at_ms, key=lambda each: each[0])
        return [subject for _, subject in self.changed[place:]]


class Standings:
    """All alarms that others look at, by rule and place."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._of_rule: dict[str, dict[str, Standing]] = {}
        self._shelves: dict[str, dict[Key, Shelf]] = {}
        self._is_stale = False

    def keep_only(self, rules: Iterable[str]) -> None:
        """Forget the alarms of other rules."""
        kept = set(rules)
        self._of_rule = {rule: of_rule for rule, of_rule in self._of_rule.items() if rule in kept}
        self._is_stale = True

    def rearranged(self) -> None:
        """Devices, lines, agents or groups are others now: each alarm has to find its place anew."""
        self._is_stale = True

    def joined(self, group: Group, device: str, point: str) -> None:
        """A point, and its device with it, belongs to a group from now on."""
        for rule, of_rule in self._of_rule.items():
            for name in (f"{device}/{point}", device):
                standing = of_rule.get(f"{group.site}/{name}")
                if standing is not None and not self._is_stale:
                    self._withdraw(rule, standing)
                    self._place(rule, standing)

    def stand(self, rule: str, subject: str, site: str, device: str | None) -> Standing:
        """The alarm of that rule on that subject, made where it is not known."""
        of_rule = self._of_rule.setdefault(rule, {})
        standing = of_rule.get(subject)
        if standing is None:
            own = (rule, subject) in self._world.watches
            standing = of_rule[subject] = Standing(site, device, subject, own)
            self._place(rule, standing)
        return standing

    def pop(self, rule: str, subject: str) -> Standing | None:
        """Know it no more."""
        standing = self._of_rule.get(rule, {}).pop(subject, None)
        if standing is not None:
            self._withdraw(rule, standing)
        return standing

    def moved(self, rule: str, standing: Standing) -> None:
        """Its spans, or what was noted of it, changed."""
        shelves = self._shelves.get(rule, {})
        for key in standing.keys:
            shelves[key].take(standing)
        _read(standing)
        for key in standing.keys:
            shelves[key].put(standing)

    # --- asking --------------------------------------------------------------------------------------------------

    def states(self, rule: str, site: str, where: Where, at_ms: int) -> Iterator[frozenset[str]]:
        """Which states alarms of the rule have there as of that moment; each at least once."""
        of_rule = self._of_rule.get(rule)
        if not of_rule:
            return
        for standing in self._named(of_rule, site, where):
            yield standing.states(at_ms)
        for shelf in self._within(rule, where):
            late = [of_rule[subject] for subject in shelf.changed_after(at_ms)]
            if not late:
                yield from shelf.states
                continue
            of_others = shelf.states - Counter(standing.shown for standing in late)
            yield from of_others
            for standing in late:
                yield standing.states(at_ms)

    def first_active(self, rule: str, site: str, where: Where, at_ms: int) -> Standing | None:
        """An alarm of the rule that stood there at that moment: of those that stand still, the one that began first."""
        of_rule = self._of_rule.get(rule)
        if not of_rule:
            return None
        for standing in self._named(of_rule, site, where):
            if standing.spans.at(at_ms):
                return standing
        shelves = list(self._within(rule, where))
        first = min((shelf.active[0] for shelf in shelves if shelf.active), default=None)
        if first is not None and first[0] <= at_ms:
            return of_rule[first[1]]
        for shelf in shelves:
            for subject in shelf.changed_after(at_ms):
                if of_rule[subject].spans.at(at_ms):
                    return of_rule[subject]
        return None

    def _named(self, of_rule: dict[str, Standing], site: str, where: Where) -> Iterator[Standing]:
        for subject in where.subjects:
            standing = of_rule.get(subject)
            if standing is not None and standing.site == site:
                yield standing
        for subject in where.things:
            standing = of_rule.get(subject)
            if standing is not None and standing.site == site and not self._is_of_device(standing):
                yield standing

    def _within(self, rule: str, where: Where) -> Iterator[Shelf]:
        if self._is_stale:
            self._place_all()
        shelves = self._shelves.get(rule, {})
        for key in where.keys:
            shelf = shelves.get(key)
            if shelf is not None:
                yield shelf

    # --- placing -------------------------------------------------------------------------------------------------

    def _is_of_device(self, standing: Standing) -> bool:
        return standing.device is not None and (standing.site, standing.device) in self._world.devices

    def _place_all(self) -> None:
        self._is_stale, self._shelves = False, {}
        for rule, of_rule in self._of_rule.items():
            for standing in of_rule.values():
                self._place(rule, standing)

    def _place(self, rule: str, standing: Standing) -> None:
        _read(standing)
        standing.keys = list(self._keys(standing))
        shelves = self._shelves.setdefault(rule, {})
        for key in standing.keys:
            shelf = shelves.get(key)
            if shelf is None:
                shelf = shelves[key] = Shelf()
            shelf.put(standing)

    def _withdraw(self, rule: str, standing: Standing) -> None:
        shelves = self._shelves.get(rule, {})
        for key in standing.keys:
            shelves[key].take(standing)
            if not shelves[key].changed:
                del shelves[key]
        standing.keys = []

    def _keys(self, standing: Standing) -> Iterator[Key]:
        site = standing.site
        yield "site", site, site
        device = None if standing.device is None else self._world.devices.get((site, standing.device))
        if device is not None:
            yield "device", site, device.path
            yield "agent", site, device.agent.path
            if device.line is not None:
                yield "line", site, device.line.path
        for group in self._world.groups.get(site, ()):
            if holds(group, standing.subject, standing.device):
                yield "group", site, group.path


def _read(standing: Standing) -> None:
    """Show it on the shelves as it is now."""
    spans = standing.spans
    standing.since_ms = spans.since_ms
    standing.shown = (standing.noted - {"active"}) | (frozenset() if spans.since_ms is None else {"active"})
    ends = max((end for _, end in spans.past), default=0)
    standing.changed_ms = max(standing.changed_ms, ends, spans.since_ms or 0)


def holds(group: Group, subject: str, device: str | None) -> bool:
    """Whether the subject is the group, or one of its points or devices."""
    if subject == group.path:
        return True
    site, _, rest = subject.partition("/")
    if site != group.site:
        return False
    return rest in group.points or (device is not None and rest == device and device in group.devices)
