"""Other rules or other devices while the engine runs: what stays the same keeps its phases, timers and memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import NamedTuple

from contract.messages import Reading
from rules.board import Trace
from rules.causes import Causes
from rules.horizon import LOOK, REVIEW, Progress
from rules.memory import Course, Device, Feed, Group, LastValue, RuleState, Watch, World
from rules.model import Rule
from rules.phases import Phases
from rules.plans import Plans
from rules.wiring import Wiring

REMOVED = "rule removed"
_Held = tuple[Course, int, int, str, Reading]


class Parted(NamedTuple):
    """What is kept of something that was taken out, for when it comes back."""

    state: RuleState
    version: str


class Rewiring:
    """Takes watches out and puts them in again.

    Args:
        arm: sets the timers of a watch that goes on where it was.
    """

    def __init__(
        self,
        world: World,
        wiring: Wiring,
        progress: Progress,
        phases: Phases,
        causes: Causes,
        arm: Callable[[Watch, bool, int], None],
    ) -> None:
        self._world = world
        self._wiring = wiring
        self._progress = progress
        self._phases = phases
        self._causes = causes
        self._arm = arm
        self._parted: dict[tuple[str, str], Parted] = {}
        self._values: dict[str, tuple[Reading, int]] = {}
        self._traces: dict[tuple[str, str], Trace] = {}

    def replace_rules(self, rules: Mapping[str, Rule]) -> None:
        """Put other rules in force."""
        world = self._world
        for watch in list(world.watches.values()):
            if watch.rule.id not in rules:
                self._phases.withdraw(watch, world.now_ms, REMOVED)
        held = self._take_all_out()
        world.rules = dict(rules)
        self._wiring.set_rules(Plans(rules.values()))
        for (site, _), agent in world.agents.items():
            if agent.devices or agent.lines:
                self._wiring.wire_agent(site, agent)
        for (site, _), line in world.lines.items():
            self._wiring.wire_line(site, line)
        for groups in world.groups.values():
            for group in groups:
                self._wiring.group(group)
        for device in world.devices.values():
            self._wiring.device(device)
            for slot in device.points:
                self._wiring.point(device, slot.key.rpartition("/")[2], slot)
        self._put_back(held)

    def _take_all_out(self) -> list[_Held]:
        world = self._world
        for watch in world.watches.values():
            self._keep(watch)
        held: list[_Held] = []
        for course in world.courses.values():
            held += [(course, at_ms, n, feed.slot.key, reading) for at_ms, n, feed, reading in course.held]
            self._traces.update({(course.key, key): trace for key, trace in course.traces.items()})
            course.held, course.timers, course.traces, course.late = [], [], {}, {}
        world.watches = {}
        for agent in world.agents.values():
            agent.watches = []
        for line in world.lines.values():
            line.watches = []
        for groups in world.groups.values():
            for group in groups:
                group.watches = []
                group.points, group.devices = set(), set()
        for device in world.devices.values():
            device.watches, device.explained, device.wait_ms = [], [], 0
            for slot in device.points:
                slot.feeds, slot.holding = [], 0
        return held

    def _put_back(self, held: list[_Held]) -> None:
        world = self._world
        for course, at_ms, number, key, reading in held:
            slot = self._slot(key)
            feed = None if slot is None else next((feed for feed in slot.feeds if feed.course is course), None)
            if slot is not None and feed is not None:
                heapq.heappush(course.held, (at_ms, number, feed, reading))
                slot.holding += 1
        for slots in world.slots.values():
            for slot in slots.values():
                self._recall(slot)
                slot.settle()
        for watch in list(world.watches.values()):
            self.welcome(watch)
        self._parted.clear()
        self._traces.clear()

    # --- one device ----------------------------------------------------------------------------------------------

    def remove_device(self, site: str, name: str) -> None:
        """Take a device out; when it comes back changed, what stayed the same goes on."""
        world = self._world
        device = world.devices.pop((site, name), None)
        if device is None:
            return
        self._causes.rearranged()
        for watch in [watch for watch in world.watches.values() if watch.device is device]:
            self._keep(watch)
            del world.watches[watch.rule.id, watch.subject]
            self._causes.forget(watch)
        of_agent = world.of_agent.get((site, device.agent_name), {})
        for slot in device.points:
            point = slot.key.partition("/")[2]
            self._values[slot.key] = (slot.last, slot.received_ms)
            for feed in slot.feeds:
                self._drop(feed)
            world.slots[site].pop(point, None)
            of_agent.pop(point, None)
        device.agent.devices.remove(device)
        if device.line is not None:
            device.line.devices.remove(device)
        device.timer = 0
        for group in world.groups.get(site, ()):
            group.devices.discard(name)
            group.points = {point for point in group.points if not point.startswith(f"{name}/")}
            for watch in group.watches:
                watch.points = [point for point in watch.points if not point.startswith(f"{name}/")]

    # --- lines, agents, groups -----------------------------------------------------------------------------------

    def remove_line(self, site: str, device: str) -> None:
        """Take a line out, after its devices."""
        line = self._world.lines.pop((site, device), None)
        if line is not None:
            self._forget(line.path)
            line.agent.lines.remove(line)

    def remove_agent(self, site: str, name: str) -> None:
        """Take an agent out, after its lines and devices: nobody misses it any more."""
        agent = self._world.agents.get((site, name))
        if agent is not None and not agent.devices and not agent.lines:
            self._forget(agent.path)
            agent.watches, agent.timer = [], 0

    def replace_groups(self, site: str, groups: list[Group]) -> None:
        """Judge other groups of points together. What is judged in the same group as before goes on."""
        kept = {group.path for group in groups}
        for group in self._world.groups.get(site, ()):
            if group.path not in kept:
                self._forget(group.path)
        self._world.groups[site] = groups
        self.replace_rules(self._world.rules)

    def _forget(self, subject: str) -> None:
        for watch in [watch for watch in self._world.watches.values() if watch.subject == subject]:
            del self._world.watches[watch.rule.id, watch.subject]
            self._causes.forget(watch)

    def _drop(self, feed: Feed) -> None:
        course, key = feed.course, feed.slot.key
        trace = course.traces.pop(key, None)
        if trace is not None:
            trace.boards = ()
            self._traces[course.key, key] = trace
        course.held = [row for row in course.held if row[2] is not feed]
        heapq.heapify(course.held)

    def came_back(self, device: Device) -> None:
        """A device was added: what is remembered of it goes on."""
        for slot in device.points:
            if slot.key in self._values:
                slot.last, slot.received_ms = self._values.pop(slot.key)
            self._recall(slot)
        for watch in [watch for watch in self._world.watches.values() if watch.device is device]:
            self.welcome(watch)
            self._parted.pop((watch.rule.id, watch.subject), None)

    # --- keeping -------------------------------------------------------------------------------------------------

    def _keep(self, watch: Watch) -> None:
        self._parted[watch.rule.id, watch.subject] = Parted(watch.state(), watch.version)

    def welcome(self, watch: Watch) -> None:
        """Give a watch that was made anew what its predecessor knew."""
        parted = self._parted.get((watch.rule.id, watch.subject))
        now_ms = self._world.now_ms
        if parted is None:
            self._judge_anew(watch)
            return
        if parted.version == watch.version:
            watch.restore(parted.state)
            self._arm(watch, parted.state.phase != "rest", now_ms)
            return
        before = Watch(watch.rule, watch.version, watch.subject, watch.site, watch.device)
        before.restore(parted.state)
        self._world.changed[watch.rule.id, watch.subject] = watch
        watch.known_ms, watch.alarm_id = before.known_ms, before.alarm_id
        if before.is_up:
            watch.phase, watch.since_ms, watch.detail = "active", before.since_ms, before.detail
            watch.suppressed, watch.is_late = before.suppressed, before.is_late
            self._phases.settle(watch)
            watch.up_ms = before.up_ms
            self._causes.recall(watch)
            self._progress.schedule(watch, now_ms, REVIEW)  # other rules may inhibit it than did before
        self._judge_anew(watch)

    def _judge_anew(self, watch: Watch) -> None:
        """Judge from the last values, at their own time; what looks deeper, now."""
        if watch.node is not None:
            self._progress.schedule(watch, self._world.now_ms, LOOK)
            return
        slot = self._slot(watch.subject)
        if slot is not None and slot.received_ms and watch.slots:
            self._phases.judge(watch, slot.last, min(slot.observed_ms, slot.received_ms))

    def _recall(self, slot: LastValue) -> None:
        for feed in slot.feeds:
            known = self._traces.get((feed.course.key, slot.key))
            if feed.trace is not None and known is not None and known is not feed.trace:
                feed.trace.load(slot.key.partition("/")[2], known.dump())
                slot.is_new = True
            elif feed.trace is not None and feed.trace.last is None and slot.received_ms:
                feed.trace.add(slot.last, min(slot.observed_ms, slot.received_ms))
                slot.is_new = True

    def _slot(self, key: str) -> LastValue | None:
        site, _, point = key.partition("/")
        return self._world.slots.get(site, {}).get(point)
