"""The tree of causes, and alarms above alarms: what explains an alarm, what inhibits it, who looks at it.

    broker -> agent -> line -> device -> point

A fault of a node makes everything below it unknown by that one cause. Alarms that say no more than that something
below cannot be reached (silent devices, lost lines and agents, values of bad or unknown quality) wait while a node
above is at fault, or are suppressed when they were up before. What is known to be wrong with the equipment itself
stays up: the last thing known is not made better by knowing nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rules.horizon import LOOK, REVIEW, Progress
from rules.memory import Agent, Device, Group, Line, Watch, World
from rules.model import AlarmIs, Findings, Rule
from rules.phases import Block, Phases
from rules.standings import Standing, Standings, Where, holds

BROKER = "broker"
RETURN_MS = 15_000
"""After its cause is over, what it explained has at least this long to come back by itself."""
KEPT = 8
"""Past spans of an alarm that outlive a restart."""
_OF_DEVICE = frozenset({"device"})
FINDINGS = 10_000
"""Findings kept of a rule; the oldest go first."""


class Finding(NamedTuple):
    """What somebody found an alarm to be."""

    at_ms: int
    subject: str
    site: str
    device: str | None
    finding: str


class Causes:
    """Knows what stands above each alarm."""

    def __init__(self, world: World, progress: Progress, phases: Phases) -> None:
        self._world = world
        self._progress = progress
        self._phases = phases
        self._standings = Standings(world)
        self._findings: dict[str, list[Finding]] = {}
        self._looking: dict[str, list[Watch]] = {}
        self._inhibited: dict[str, list[Watch]] = {}
        self._named: frozenset[str] = frozenset()
        self._scopes: dict[tuple[str, str, str], frozenset[str]] = {}
        """Of a rule (id, version) that looks at a rule; read once, they are asked at every move of its alarms."""

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """Know which rules are named by others."""
        named: set[str] = set()
        for rule in rules:
            named.update(inhibit.rule for inhibit in rule.inhibit_by)
            named.update(name for leaf in rule.leaves() if isinstance(leaf, AlarmIs) for name in leaf.rules)
        self._named = frozenset(named)
        self._looking, self._inhibited, self._scopes = {}, {}, {}
        self._standings.keep_only(named)

    def follow(self, watch: Watch) -> None:
        """Know what the watch looks at and what inhibits it."""
        for inhibit in watch.rule.inhibit_by:
            self._inhibited.setdefault(inhibit.rule, []).append(watch)
        for leaf in watch.rule.leaves():
            if isinstance(leaf, AlarmIs | Findings):
                for name in leaf.rules:
                    watches = self._looking.setdefault(name, [])
                    if watch not in watches[-1:]:
                        watches.append(watch)

    def forget(self, watch: Watch) -> None:
        """A watch was taken out."""
        for watches in (*self._inhibited.values(), *self._looking.values()):
            if watch in watches:
                watches.remove(watch)

    def end(self, rule: str, subject: str) -> None:
        """That rule does not judge that subject any more: an alarm of it explains and inhibits nothing."""
        standing = self._standings.pop(rule, subject)
        if standing is not None and standing.spans.end(self._world.now_ms):
            self._spread(rule, standing, self._world.now_ms)

    # --- alarms above alarms -------------------------------------------------------------------------------------

    def announce(self, watch: Watch, at_ms: int) -> None:
        """The alarm of the watch began or ended then."""
        if watch.rule.id not in self._named:
            return
        device = None if watch.device is None else watch.device.name
        standing = self._standings.stand(watch.rule.id, watch.subject, watch.site, device)
        changed = standing.spans.begin(at_ms) if watch.is_up else standing.spans.end(at_ms)
        if changed:
            self._standings.moved(watch.rule.id, standing)
            watch.past = list(standing.spans.past)[-KEPT:]  # who catches up later looks back, also over a restart
            self._spread(watch.rule.id, standing, at_ms)

    def recall(self, watch: Watch) -> None:
        """After a restart: since when the alarm of the watch stands, and when it stood before."""
        if watch.rule.id in self._named and (watch.is_up or watch.past):
            device = None if watch.device is None else watch.device.name
            standing = self._standings.stand(watch.rule.id, watch.subject, watch.site, device)
            standing.spans.past.extend(watch.past)
            if watch.is_up:
                standing.spans.begin(watch.up_ms)
            self._standings.moved(watch.rule.id, standing)

    def note_alarm(self, rule: str, subject: str, site: str, device: str | None, states: frozenset[str]) -> None:
        """What the gateway says of the alarms of a rule on a subject."""
        if rule not in self._named:
            return
        standing, now_ms = self._standings.stand(rule, subject, site, device), self._world.now_ms
        if states == standing.noted:
            return
        standing.noted = states
        if not standing.own:
            _ = standing.spans.begin(now_ms) if "active" in states else standing.spans.end(now_ms)
        self._standings.moved(rule, standing)
        self._spread(rule, standing, now_ms)

    def note_finding(self, rule: str, subject: str, site: str, device: str | None, finding: str, at_ms: int) -> None:
        """An alarm raised then was found to be this; a later finding of the same alarm replaces the former."""
        findings = self._findings.setdefault(rule, [])
        findings[:] = [known for known in findings if (known.at_ms, known.subject) != (at_ms, subject)][-FINDINGS:]
        findings.insert(
            bisect_right(findings, at_ms, key=lambda each: each.at_ms), Finding(at_ms, subject, site, device, finding)
        )
        for watch in self._looking.get(rule, ()):
            if self._is_within("device", watch, site, device, subject):
                self._progress.schedule(watch, self._world.now_ms, LOOK)

    def alarms(self, watch: Watch, rules: Sequence[str], scope: str, at_ms: int) -> Iterator[frozenset[str]]:
        """Which states alarms of these rules within the scope of the watch have, as of that moment."""
        where = self._where(scope, watch)
        for rule in rules:
            yield from self._standings.states(rule, watch.site, where, at_ms)

    def finding_times(self, watch: Watch, rules: Sequence[str], finding: str, since_ms: int) -> list[int]:
        """When alarms of these rules about the watch's subject were found to be that, after that moment."""
        return sorted(
            known.at_ms
            for rule in rules
            for known in self._findings.get(rule, ())
            if known.at_ms > since_ms
            and known.finding == finding
            and self._is_within("device", watch, known.site, known.device, known.subject)
        )

    def _spread(self, rule: str, standing: Standing, at_ms: int) -> None:
        for watch in self._inhibited.get(rule, ()):
            # One that is behind may come to wait or to be up only when its own time has come that far.
            if watch.waits or watch.is_up or watch.course.is_behind:
                self._progress.schedule(watch, at_ms, REVIEW)
        its = None if standing.device is None else self._world.devices.get((standing.site, standing.device))
        for watch in self._looking.get(rule, ()):
            scopes = self._scopes_of(watch, rule)
            is_elsewhere = its is not None and watch.device is not its and watch.group is None
            if is_elsewhere and scopes == _OF_DEVICE and watch.subject != standing.subject:
                continue  # as `_is_within` would say, of every other device of a city
            if any(self._is_within(scope, watch, standing.site, standing.device, standing.subject) for scope in scopes):
                self._progress.schedule(watch, at_ms, LOOK)

    def _scopes_of(self, watch: Watch, rule: str) -> frozenset[str]:
        """The scopes within which the watch looks at alarms of a rule."""
        key = (watch.rule.id, watch.version, rule)
        scopes = self._scopes.get(key)
        if scopes is None:
            leaves = (leaf for leaf in watch.rule.leaves() if isinstance(leaf, AlarmIs) and rule in leaf.rules)
            scopes = self._scopes[key] = frozenset(leaf.scope for leaf in leaves)
        return scopes

    def _is_within(self, scope: str, watch: Watch, site: str, device: str | None, subject: str) -> bool:
        if site != watch.site:
            return False
        if scope == "site" or subject == watch.subject:
            return True
        its = None if device is None else self._world.devices.get((site, device))
        line = self._line(watch)
        if scope == "agent":
            agent = self._agent(watch, line)
            if agent is None or subject == agent.path or (its is not None and its.agent is agent):
                return agent is not None
            return any(each.path == subject for each in agent.lines)
        if scope == "line":
            return line is not None and (subject == line.path or (its is not None and its.line is line))
        if scope == "group":
            return any(holds(group, subject, device) for group in self._groups(watch))
        if watch.group is not None:
            return holds(watch.group, subject, device)
        mine = watch.device
        if its is None:  # the subject is a group, a line or an agent: of a group it is about every device in it
            group = next((g for g in self._world.groups.get(site, ()) if g.path == subject), None)
            return group is not None and mine is not None and mine.name in group.devices
        return mine is its

    def _where(self, scope: str, watch: Watch) -> Where:
        """The same as `_is_within`, for looking up instead of asking each."""
        site, mine = watch.site, (watch.subject,)
        line = self._line(watch)
        if scope == "site":
            return Where((), (), (("site", site, site),))
        if scope == "agent":
            agent = self._agent(watch, line)
            if agent is None:
                return Where(mine, (), ())
            lines = [each.path for each in agent.lines]
            return Where((*mine, agent.path, *lines), (), (("agent", site, agent.path),))
        if scope == "line":
            return Where(mine, (), ()) if line is None else Where((*mine, line.path), (), (("line", site, line.path),))
        if scope == "group" or watch.group is not None:
            return Where(mine, (), tuple(("group", site, group.path) for group in self._groups(watch)))
        if watch.device is None:
            return Where(mine, (), ())
        name = watch.device.name
        groups = tuple(group.path for group in self._world.groups.get(site, ()) if name in group.devices)
        return Where(mine, groups, (("device", site, watch.device.path),))

    def rearranged(self) -> None:
        """Devices, lines, agents or groups are others now."""
        self._standings.rearranged()

    def joined(self, group: Group, device: str, point: str) -> None:
        """A point, and its device with it, belongs to a group from now on."""
        self._standings.joined(group, device, point)

    def _line(self, watch: Watch) -> Line | None:
        """The line that the subject of the watch hangs on, or is."""
        if watch.device is not None:
            return watch.device.line
        return self._world.lines.get((watch.site, watch.subject.partition("/")[2]))

    def _agent(self, watch: Watch, line: Line | None) -> Agent | None:
        """The agent that the subject of the watch depends on, or is."""
        if watch.device is not None:
            return watch.device.agent
        if line is not None:
            return line.agent
        return self._world.agents.get((watch.site, watch.subject.partition("/")[2]))

    def _groups(self, watch: Watch) -> Iterator[Group]:
        if watch.group is not None:
            yield watch.group
            return
        device = None if watch.device is None else watch.device.name
        for group in self._world.groups.get(watch.site, ()):
            if holds(group, watch.subject, device):
                yield group

    # --- what explains an alarm ----------------------------------------------------------------------------------

    def block(self, watch: Watch, at_ms: int) -> Block | None:
        """What explains or inhibits the alarm at that moment."""
        for inhibit in watch.rule.inhibit_by:
            where = self._where(inhibit.scope, watch)
            standing = self._standings.first_active(inhibit.rule, watch.site, where, at_ms)
            if standing is not None:
                return Block(standing.subject, {"inhibited_by": inhibit.rule, "subject": standing.subject})
        if watch.above is None:
            return None
        cause = self._above(watch, at_ms)
        return None if cause is None else Block(cause, {"cause": cause})

    def _above(self, watch: Watch, at_ms: int) -> str | None:
        node, grace_ms = watch.above, grace_of(watch)
        if isinstance(node, Device):
            if node.watches and node.fault.at(at_ms, grace_ms):
                return node.path
            node = node.line or node.agent
        if isinstance(node, Line):
            if node.watches and node.fault.at(at_ms, grace_ms):
                return node.path
            node = node.agent
        if isinstance(node, Agent):
            if node.is_own:
                return None
            if node.watches and (
                not node.online or (watch.suppressed == node.path and at_ms < node.returned_ms + grace_ms)
            ):
                return node.path
        world = self._world
        if not world.broker_connected or (watch.suppressed == BROKER and at_ms < world.broker_ms + grace_ms):
            return BROKER
        return None

    def cause_of(self, site: str, name: str) -> str | None:
        """Path of the node at fault that makes a device, or a point `device/point`, unknown now."""
        device_id = name.partition("/")[0]
        device = self._world.devices.get((site, device_id))
        if device is None:
            return None
        if device.agent.is_own:
            return None
        if not self._world.broker_connected:
            return BROKER
        if not device.agent.online:
            return device.agent.path
        if device.line is not None and device.line.fault.since_ms is not None:
            return device.line.path
        return device.path if device.fault.since_ms is not None else None

    def changed(self, node: Device | Line, at_ms: int) -> None:
        """A node's fault began or ended then: what lies below it is looked at, at that time and after the grace."""
        below = list(node.explained) if isinstance(node, Device) else [w for d in node.devices for w in d.explained]
        for watch in below:
            if watch.above is not node and isinstance(node, Device):
                continue
            if watch.phase == "rest" and not watch.flapping:
                continue
            self._progress.schedule(watch, at_ms, REVIEW)
            if node.fault.since_ms is None:
                self._progress.schedule(watch, at_ms + grace_of(watch), REVIEW)

    def changed_agent(self, agent: Agent, now_ms: int) -> None:
        """An agent went or came: at once, because nothing below it has a time of its own meanwhile."""
        self._review(
            [w for d in agent.devices for w in d.explained] + [w for n in agent.lines for w in n.watches], now_ms
        )

    def changed_broker(self, now_ms: int) -> None:
        """The broker went or came."""
        for agent in self._world.agents.values():
            self._review(agent.watches, now_ms)
            self.changed_agent(agent, now_ms)

    def _review(self, watches: Iterable[Watch], now_ms: int) -> None:
        for watch in watches:
            if watch.is_up or watch.waits:
                self._phases.review(watch, now_ms)
                if watch.suppressed is not None or watch.waits:
                    self._progress.schedule(watch, now_ms + grace_of(watch), REVIEW)


def grace_of(watch: Watch) -> int:
    """How long what was explained has to come back by itself once its cause is over, ms."""
    device = watch.device
    return RETURN_MS if device is None else max(RETURN_MS, device.wait_ms)
