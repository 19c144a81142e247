"""Puts rules on what there is: points, devices, groups, lines, agents; and each rule into its course."""

from __future__ import annotations

import fnmatch
from zoneinfo import ZoneInfo

from contract.profile import BUILT_IN, ONLINE
from contract.site import Site
from rules.board import Trace
from rules.causes import Causes
from rules.horizon import Progress
from rules.memory import Agent, Device, Feed, Group, Lane, LastValue, Line, Watch, World
from rules.plans import Plan, Plans
from rules.series import Keep, Series
from rules.sight import Sight

MOST_POINTS = 4096
"""Points of one device; a device that names more is not believed."""
POLLS = 3
MARGIN_MS = 5_000
MOST_WAIT_MS = 180_000
"""Devices of a dying line go silent one after the other, within so many periods of a poll and a margin; a device's
silence is not believed before, but never later than this."""


class Wiring:
    """Makes watches and joins them with points and courses."""

    def __init__(self, world: World, progress: Progress, causes: Causes) -> None:
        self._world = world
        self._progress = progress
        self._causes = causes
        self._plans = Plans(())
        self._limited: dict[int, Plan] = {}
        self._wanted: dict[tuple[str, str, str], list[tuple[Watch, frozenset[Keep]]]] = {}

    def set_rules(self, plans: Plans) -> None:
        """Know the rules in force."""
        self._plans, self._limited = plans, {}
        self._causes.set_rules(plan.rule for plan in plans)

    # --- agents and lines ----------------------------------------------------------------------------------------

    def agent(self, site: str, name: str) -> Agent:
        """An agent that equipment depends on, with the rules about its loss."""
        agent = self._world.agents.setdefault((site, name), Agent(f"{site}/{name}"))
        if not agent.watches:
            self.wire_agent(site, agent)
        return agent

    def wire_agent(self, site: str, agent: Agent) -> None:
        """Put the rules per agent on it."""
        if agent.is_own:
            return
        for plan in self._plans.per("agent"):
            lanes = [] if plan.node is None else list(agent.lanes.values())
            watch = self._watch(plan, agent.path, site, None, lanes)
            if plan.node is None:
                watch.above = "broker"
                agent.watches.append(watch)

    def line(self, site: str, agent: Agent, device: str) -> Line:
        """A line of an agent, with the rules about its loss. device: `line-<id>`."""
        line = self._world.lines.get((site, device))
        if line is None:
            line = self._world.lines[site, device] = Line(f"{site}/{device}", agent)
            agent.lines.append(line)
            self.wire_line(site, line)
        return line

    def wire_line(self, site: str, line: Line) -> None:
        """Put the rules per line on it."""
        for plan in self._plans.per("line"):
            watch = self._watch(plan, line.path, site, None, [line.agent.lanes["alarm"]])
            watch.above = line.agent
            if plan.node is None:
                line.watches.append(watch)

    # --- devices and points --------------------------------------------------------------------------------------

    def device(self, device: Device) -> None:
        """Put the rules per device on it."""
        for plan in self._plans.per("device"):
            if not plan.fits_device(device.profile) or (plan.rule.when.kind == "absence" and device.profile.is_own):
                continue
            mine = self._mine(plan, device)
            lane = device.agent.lanes["alarm"]
            watch = self._watch(mine, device.path, device.site, device, [lane] if mine.node is None else [])
            if mine.node is None:
                watch.above = device.line or device.agent
                device.watches.append(watch)
                device.explained.append(watch)
            else:
                self._look_at(mine, watch, device)
        self._set_wait(device)

    def _set_wait(self, device: Device) -> None:
        """How long the silence of the devices of its line is not believed."""
        line = device.line
        if line is not None and line.watches and len(line.devices) > 1:
            wait_ms = int(POLLS * max(each.poll_s for each in line.devices) * 1000) + MARGIN_MS
            for each in line.devices:
                each.wait_ms = min(wait_ms, MOST_WAIT_MS)

    def point(self, device: Device, name: str, slot: LastValue) -> None:
        """Put the rules on a point of it, and the point into what looks at it."""
        for plan in self._plans.of_point(device.profile, name):
            mine = self._mine(plan, device)
            others = set[str]() if mine.node is None else {str(each) for each in mine.node.needs.points - {None}}
            lanes = [slot.lane, *(lane_of(device, other) for other in others), *self._beside(mine, device)]
            watch = self._watch(mine, f"{device.site}/{device.name}/{name}", device.site, device, lanes)
            if mine.is_about_quality:
                watch.above = device
                device.explained.append(watch)
            if mine.node is None:
                quick = self._feed(slot, watch.course).quick
                quick.append(watch)
                quick.sort(key=lambda each: each.rank)
                watch.slots.append(slot)
            else:
                self._show(watch, slot, mine.node.needs.keeps.get(None, frozenset()))
                for other in others:
                    self._show_named(watch, device, other, mine.node.needs.keeps.get(other, frozenset()))
        if name == ONLINE:
            self._tells(slot, device)
        self._looked_at(device, name, slot)
        slot.feeds.sort(key=lambda feed: len(feed.course.lanes))
        slot.set_limits()

    def _tells(self, slot: LastValue, device: Device) -> None:
        feed = self._feed(slot, self._progress.course([slot.lane]))
        line = self._world.lines.get((device.site, device.name))
        if line is not None:
            feed.node, line.teller = line, slot
        elif not device.profile.is_own:
            feed.node, device.teller = device, slot
            feed.quick.extend(device.watches)
            for watch in device.watches:
                watch.slots.append(slot)

    def _mine(self, plan: Plan, device: Device) -> Plan:
        rule = device.rules.get(plan.rule.id)
        if rule is None:
            return plan
        limited = self._limited.get(id(rule))
        if limited is None:
            limited = self._limited[id(rule)] = Plan(rule)
        return limited

    # --- what looks at more than one reading ---------------------------------------------------------------------

    def _look_at(self, plan: Plan, watch: Watch, device: Device) -> None:
        """Give a rule per device its course; its points join it as they are made."""
        assert plan.node is not None
        needs, lanes = plan.node.needs, device.agent.lanes
        names = [str(point) for point in needs.points] + list(needs.beside)
        used = {lane_of(device, name).name for name in names}
        if needs.tally:
            known = device.profile.points_for(None)
            used |= {point.lane for point in known if plan.rule.applies(device.profile.id, point.name)}
            if device.profile.is_listened_to or not used:
                used.add("alarm")
        if plan.is_about_quality:
            watch.above = device
            device.explained.append(watch)
        self._join(watch, [lanes[name] for name in used] + self._beside(plan, device))

    def _looked_at(self, device: Device, name: str, slot: LastValue) -> None:
        """Show a new point to the rules of its device and of its groups that look at it."""
        for watch, keeps in self._wanted.pop((device.site, device.name, name), ()):
            self._show(watch, slot, keeps)
        for plan in self._plans.deep_of(device.profile):
            mine = self._world.watches.get((plan.rule.id, device.path))
            if mine is not None and mine.node is not None:
                needs = mine.node.needs
                if name in needs.points or name in needs.beside:
                    self._show(mine, slot, needs.keeps.get(name, frozenset()))
                if needs.tally and plan.rule.applies(device.profile.id, name):
                    mine.points.append(f"{device.name}/{name}")
                    self._show(mine, slot, needs.tally_keeps)
        for group in self._world.groups.get(device.site, ()):
            if is_member(group, device.name, name):
                group.points.add(f"{device.name}/{name}")
                group.devices.add(device.name)
                self._causes.joined(group, device.name, name)
                self._join_group(group, device, name, slot)

    def _join_group(self, group: Group, device: Device, name: str, slot: LastValue) -> None:
        for watch in group.watches:
            assert watch.node is not None
            plan = self._plans[watch.rule.id]
            if plan.rule.applies(device.profile.id, name):
                watch.points.append(f"{device.name}/{name}")
                self._join(watch, [*watch.course.lanes, slot.lane])
                self._show(watch, slot, watch.node.needs.tally_keeps)
                for other in watch.node.needs.beside:
                    self._show_named(watch, device, other, frozenset())

    def group(self, group: Group) -> None:
        """Put the rules per group on it; its points join as they are made."""
        for plan in self._plans.per("group"):
            if plan.rule.group == group.kind:
                watch = self._watch(plan, group.path, group.site, None, [])
                watch.group = group
                group.watches.append(watch)

    def _show_named(self, watch: Watch, device: Device, name: str, keeps: frozenset[Keep]) -> None:
        """Let it see another point of the device, now or when that is made."""
        slot = self._world.slots[device.site].get(f"{device.name}/{name}")
        if slot is not None:
            self._show(watch, slot, keeps)
        else:
            self._wanted.setdefault((device.site, device.name, name), []).append((watch, keeps))

    def _show(self, watch: Watch, slot: LastValue, keeps: frozenset[Keep]) -> None:
        """Let the watch see a point, and be judged at each of its readings."""
        feed = self._feed(slot, watch.course)
        if feed.trace is None:
            feed.trace = watch.course.traces.setdefault(slot.key, Trace())
        if keeps:
            wanted = feed.trace.keeps | keeps
            if feed.trace.series is None:
                feed.trace.series = Series(wanted)
            elif wanted != feed.trace.keeps:
                feed.trace.series.keep(wanted)
            feed.trace.keeps = wanted
        if watch not in feed.deep:
            feed.deep.append(watch)
            feed.deep.sort(key=lambda each: each.rank)
            device, name = slot.device, slot.key.rpartition("/")[2]
            feed.looks = []
            for each in feed.deep:
                known_as = None if each.rule.per == "point" and each.subject == slot.key else name
                gate = self._plans.gate(each.rule, each.version, known_as) if each.device is device else None
                feed.looks.append((each, gate, known_as))
        watch.calm = None
        if watch.sight is not None:
            watch.sight.shown(slot.key.rpartition("/")[2])
        slot.settle()

    def _feed(self, slot: LastValue, course: object) -> Feed:
        for feed in slot.feeds:
            if feed.course is course:
                return feed
        feed = Feed(slot, course)  # type: ignore[arg-type]  # a Course
        slot.feeds.append(feed)
        return feed

    # --- courses -------------------------------------------------------------------------------------------------

    def _watch(self, plan: Plan, subject: str, site: str, device: Device | None, lanes: list[Lane]) -> Watch:
        world, key = self._world, (plan.rule.id, subject)
        watch = world.watches.get(key)
        if watch is None:
            watch = world.watches[key] = Watch(plan.rule, plan.version, subject, site, device)
            watch.node = plan.node
            watch.rank = self._plans.rank(plan.rule.id)
            watch.counts_known = plan.counts_known
            watch.course = self._progress.course(lanes)
            if plan.node is not None:
                watch.knows_calm = plan.node.knows_calm
                place = world.sites.get(site)
                zone = None if place is None else ZoneInfo(place.time_zone)
                watch.sight = Sight(watch, self._causes, place, zone)
            self._causes.follow(watch)
        return watch

    def _join(self, watch: Watch, lanes: list[Lane]) -> None:
        """Move a watch to the course of more lanes, with what it sees."""
        course = self._progress.course(lanes)
        if course is watch.course:
            return
        old, watch.course = watch.course, course
        for point in watch.points:
            slot = self._world.slots[watch.site].get(point)
            feed = None if slot is None else next((f for f in slot.feeds if f.course is old and watch in f.deep), None)
            if slot is not None and feed is not None:
                place = feed.deep.index(watch)
                del feed.deep[place], feed.looks[place]
                self._show(watch, slot, self._keeps(watch))
        self._progress.move(watch, old)

    def _keeps(self, watch: Watch) -> frozenset[Keep]:
        return frozenset() if watch.node is None else watch.node.needs.tally_keeps

    def _beside(self, plan: Plan, device: Device) -> list[Lane]:
        """Lanes that tell what the rule looks at or is inhibited by. A fire waits for nobody."""
        return [device.agent.lanes[name] for name in self._plans.beside(plan, device.profile)]


def lane_of(device: Device, name: str) -> Lane:
    """The lane that a point's readings come on."""
    point = BUILT_IN.get(name) or device.profile.point(name)
    return device.agent.lanes["telemetry" if point is None else point.lane]


def is_member(group: Group, device: str, name: str) -> bool:
    """Whether a point belongs to a group."""
    point = f"{device}/{name}"
    if device in group.exact or point in group.exact:
        return True
    return any(fnmatch.fnmatchcase(point, p) or fnmatch.fnmatchcase(device, p) for p in group.wild)


__all__ = ["MOST_POINTS", "Site", "Wiring", "lane_of"]
