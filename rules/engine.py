"""The rule engine: a function of (state, event, now). No I/O, no clock of its own.

All times are ms UTC on the gateway's clock. A reading is judged at its own time (observed time, corrected by the
agent's clock offset), never later than it was received. A timer is a since-time, so that it survives any restart.

    memory.py    what is remembered          horizon.py   how far event time is complete, and the order of judging
    phases.py    the phases of an alarm      presence.py  agents, lines, silence
    causes.py    what stands above an alarm  standings.py alarms that others look at, by place
    wiring.py    which rule watches what     plans.py     the rules, read for use
    sight.py     what a condition sees       conditions.py, series.py   whether it holds

The cost of a reading depends on the rules of its point only; a calm value of a calm point costs one dictionary
look-up and two comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from contract.messages import Reading, Value
from contract.profile import BUILT_IN, ONLINE, Profile
from contract.quality import GOOD
from contract.site import Site
from rules.causes import Causes
from rules.horizon import LOOK, Progress
from rules.keeping import states_of
from rules.memory import (
    Agent,
    Device,
    Effects,
    Feed,
    Group,
    Lane,
    LastValue,
    RuleState,
    Watch,
    World,
)
from rules.model import Rule, with_limits
from rules.phases import LATE_MS, Phases
from rules.plans import Plans
from rules.presence import Presence
from rules.restoring import Restoring, Tail
from rules.rewiring import Rewiring
from rules.wiring import MOST_POINTS, Wiring, lane_of

__all__ = ["LATE_MS", "MOST_POINTS", "Engine"]


class Engine:
    """Judges readings, silence, lost agents, dates, hours and alarms about alarms.

    Feed it with `observe`, `agent_heard`, `broker`, `note_alarm`, `note_finding` and `advance`, in the order things are
    committed; `take` gives what to write down. Restored from what was written down, it goes on as if it had never
    stopped.

    Args:
        rules: those in force. plans: the same, read for use, where somebody has read them already.
    """

    def __init__(self, rules: Mapping[str, Rule], plans: Plans | None = None) -> None:
        self._world = World(dict(rules))
        self._phases = Phases(self._world, lambda: self._progress, lambda: self._causes)
        self._progress = Progress(self._world, self._apply, self._phases.fire)
        self._causes = Causes(self._world, self._progress, self._phases)
        self._presence = Presence(self._world, self._progress, self._phases, self._causes)
        self._wiring = Wiring(self._world, self._progress, self._causes)
        self._wiring.set_rules(Plans(rules.values()) if plans is None else plans)
        self._restoring = Restoring(
            self._world, self._progress, self._phases, self._presence, self._causes, self._add_late_point
        )
        self._rewiring = Rewiring(
            self._world, self._wiring, self._progress, self._phases, self._causes, self._restoring.arm
        )
        self._is_restored = False

    # --- what there is -------------------------------------------------------------------------------------------

    def add_site(self, site: Site) -> None:
        """Know a site's agents, lines, devices and groups. What is known already stays as it is."""
        world = self._world
        world.sites[site.site] = site
        groups = world.groups.setdefault(site.site, [])
        known = {group.id: group for group in groups}
        for group in site.all_groups():
            if group.id in known:
                known[group.id].set_members(tuple(group.members))
            else:
                made = Group(site.site, group.id, group.kind, tuple(group.members))
                groups.append(made)
                self._wiring.group(made)
                self._causes.rearranged()
        for agent in site.agents:
            self._wiring.agent(site.site, agent.id)
        for own in site.own_devices():
            self.add_device(site.site, own.agent, own.device, own.profile)
        for placed in site.placed():
            limits = {
                rule: with_limits(world.rules[rule], limit, f"sites.{site.site}.{placed.entry.id}.limits.{rule}")
                for rule, limit in placed.entry.limits.items()
                if rule in world.rules
            }
            self.add_device(
                site.site, placed.agent, placed.entry.id, placed.profile, placed.entry.points,
                line=f"line-{placed.line.id}", poll_s=placed.poll_s, limited=limits,
            )  # fmt: skip

    def add_device(
        self,
        site: str,
        agent: str,
        device: str,
        profile: Profile,
        points: int | None = None,
        *,
        line: str | None = None,
        poll_s: float | None = None,
        limited: Mapping[str, Rule] | None = None,
    ) -> None:
        """Know a device and put the rules for its profile on its points. Known already: no effect.

        Args:
            line: `line-<id>` it hangs on. poll_s: its period of a poll. limited: rules that have other limits for it.
        """
        world = self._world
        if (site, device) in world.devices:
            return
        is_gateways = profile.category in ("agent", "gateway", "register")  # the gateway's own: always there
        above = world.own if is_gateways else self._wiring.agent(site, agent)
        made = world.devices[site, device] = Device(site, device, above, profile)
        made.agent_name = agent
        made.rules, made.poll_s = dict(limited or {}), poll_s or profile.poll_s
        above.devices.append(made)
        if profile.category == "line":
            self._wiring.line(site, above, device)
        elif line is not None:
            made.line = self._wiring.line(site, above, line)
            made.line.devices.append(made)
        self._wiring.device(made)
        self._causes.rearranged()
        of_agent = self.points(site, agent)
        built_in = [] if profile.is_own else [ONLINE] if profile.modbus is None else list(BUILT_IN)
        lanes = {point.name: above.lanes[point.lane] for point in profile.points_for(points)}
        lanes.update((name, above.lanes[BUILT_IN[name].lane]) for name in built_in if name not in lanes)
        for name, lane in lanes.items():
            self._add_point(made, of_agent, name, lane)
        self._presence.expect(made, world.now_ms)
        if self._is_restored:
            self._rewiring.came_back(made)

    def remove_device(self, site: str, device: str) -> None:
        """Forget a device; when it is added again, what stayed the same of it goes on where it was."""
        self._rewiring.remove_device(site, device)

    def remove_line(self, site: str, device: str) -> None:
        """Forget a line (`line-<id>`), after its devices."""
        self._rewiring.remove_device(site, device)
        self._rewiring.remove_line(site, device)

    def remove_agent(self, site: str, agent: str) -> None:
        """Miss an agent no more, after its lines and devices were forgotten."""
        self._rewiring.remove_agent(site, agent)

    def replace_groups(self, site: Site) -> None:
        """Judge the groups of that site file together from here on; those that are the same go on."""
        self._world.sites[site.site] = site
        groups = [Group(site.site, group.id, group.kind, tuple(group.members)) for group in site.all_groups()]
        self._rewiring.replace_groups(site.site, groups)

    def forget(self, rule: str, subject: str) -> None:
        """That rule does not judge that subject any more: an alarm of it explains and inhibits nothing."""
        self._causes.end(rule, subject)

    def replace_rules(self, rules: Mapping[str, Rule]) -> None:
        """Put other rules in force. An unchanged rule keeps phase, timers and alarms; the alarms of one that is gone
        clear; a changed one keeps its alarm and is judged anew from the last values."""
        self._rewiring.replace_rules(rules)

    def watches(self, rule: str, subject: str) -> bool:
        """Whether that rule judges that subject."""
        return (rule, subject) in self._world.watches

    def watching(self, subject: str) -> Iterator[Watch]:
        """Every rule that looks at `site/device` or `site/device/point`, on whatever subject."""
        _, _, name = subject.partition("/")
        _, _, point = name.partition("/")
        for watch in self._world.watches.values():
            looks = watch.subject == subject or watch.subject.startswith(f"{subject}/") or name in watch.points
            if point and not looks and watch.node is not None and watch.device is not None:
                looks = watch.device.path == subject.rpartition("/")[0] and point in watch.node.needs.points
            if looks:
                yield watch

    def set_dates(self, site: str, device: str, due_ms: Mapping[str, int]) -> None:
        """Say when dates of a device's life come: inspection, maintenance, scrap, calibration, battery."""
        known = self._world.devices.get((site, device))
        if known is None or known.due_ms == due_ms:
            return
        known.due_ms = dict(due_ms)
        for watch in self._world.watches.values():
            if watch.device is known and watch.node is not None and watch.node.needs.dates:
                self._progress.schedule(watch, self._world.now_ms, LOOK)

    def points(self, site: str, agent: str) -> dict[str, LastValue]:
        """The known points `device/point` of an agent's devices; the same object for ever, and it grows."""
        return self._world.of_agent.setdefault((site, agent), {})

    def knows(self, site: str, device: str) -> bool:
        """Whether the device stands in a site file or was approved."""
        return (site, device) in self._world.devices

    def values(self) -> Iterator[tuple[str, LastValue]]:
        """Every point as `site/device/point`, with its current picture."""
        return self._world.values()

    def value(self, key: str) -> LastValue | None:
        """The current picture of `site/device/point`; None: nobody knows that point."""
        site, _, point = key.partition("/")
        return self._world.slots.get(site, {}).get(point)

    def cause_of(self, site: str, device_or_point: str) -> str | None:
        """Path of the node at fault that makes a device, or `device/point`, unknown now; None: its path is whole.

        `broker`, `site/agent`, `site/line-<id>` or `site/device`, whichever is highest.
        """
        return self._causes.cause_of(site, device_or_point)

    def rules_in_force(self) -> dict[tuple[str, str], Rule]:
        """Every (id, version) that judges something now, those with limits of one device included."""
        return {(watch.rule.id, watch.version): watch.rule for watch in self._world.watches.values()}

    # --- going on ------------------------------------------------------------------------------------------------

    def restore(
        self,
        states: Iterable[RuleState],
        values: Iterable[tuple[str, int, int, Value, str]],
        agents: Iterable[tuple[str, str, bool, int]],
        now_ms: int,
        series: Iterable[tuple[str, Any]] = (),
        tail: Iterable[Tail] = (),
        alive_ms: int = 0,
    ) -> None:
        """Go on from what was written down. States of rules or subjects that are gone are left alone.

        Args:
            states: as `take` gave them. values: (site/device/point, observed_ms, received_ms, value, quality).
            agents: (site, agent, online, heard_ms). now_ms: the start.
            series: as `series` gave them at the last checkpoint. tail: (site, readings, received_ms, offset_ms) of
                what was committed since, in order: seen, and not judged again. alive_ms: when the last run is known
                to have run; back within RESUME_MS it is as if there had been no stop, later everybody gets a grace.
        """
        self._is_restored = True
        self._restoring.restore(states, values, agents, now_ms, series, tail, alive_ms)

    def series(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is remembered of points (`site/device/point`) beside their last values, of all that changed since the
        last call; as JSON can hold it."""
        return self._restoring.series()

    def bind(self, rule: str, subject: str, alarm_id: int) -> None:
        """Remember the ledger's number of the alarm that a raise opened."""
        watch = self._world.watches.get((rule, subject))
        if watch is not None:
            watch.alarm_id = alarm_id
            self._world.changed[rule, subject] = watch

    # --- what happens --------------------------------------------------------------------------------------------

    def observe(
        self,
        site: str,
        readings: list[Reading],
        received_ms: int,
        offset_ms: int = 0,
        found: list[LastValue | None] | None = None,
    ) -> list[Reading]:
        """Apply readings of one batch in order; gives back those of devices nobody knows.

        Args:
            offset_ms: to add to the agent's times to get the gateway's.
            found: the readings' points, for a caller who has looked them up already.
        """
        world = self._world
        world.now_ms = max(world.now_ms, received_ms)
        if found is None:
            slots = world.slots.get(site, {})
            found = [slots.get(reading.point) for reading in readings]
        strangers: list[Reading] = []
        take = self._progress.take
        slot: LastValue | None = None
        for reading, slot in zip(readings, found, strict=True):
            if slot is None:
                slot = self._add_late_point(site, reading.point)
                if slot is None:
                    strangers.append(reading)
                    continue
            slot.last = reading
            slot.received_ms = received_ms
            if slot.feeds:
                value = reading.value
                if slot.calm and reading.quality == GOOD:
                    if value.__class__ is float:
                        if slot.low <= value <= slot.high:
                            continue
                    elif value not in slot.alarming:
                        continue
                take(slot, reading, min(reading.observed_ms + offset_ms, received_ms))
        # One batch is of one agent: one of its points tells.
        if slot is not None and slot.lane.agent.is_behind:
            self._arrived(site, readings, received_ms, offset_ms)
        return strangers

    def _arrived(self, site: str, readings: list[Reading], received_ms: int, offset_ms: int) -> None:
        newest: dict[Lane, int] = {}
        slots = self._world.slots[site]
        for reading in readings:
            slot = slots.get(reading.point)
            if slot is not None and slot.lane.behind:
                at_ms = min(reading.observed_ms + offset_ms, received_ms)
                newest[slot.lane] = max(newest.get(slot.lane, 0), at_ms)
        for lane, at_ms in newest.items():
            self._progress.arrived(lane, at_ms, self._world.now_ms)

    def _apply(self, feed: Feed, reading: Reading, at_ms: int) -> None:
        """Judge one reading in one course; everything before it in that course has been judged."""
        if feed.trace is not None:
            feed.trace.add(reading, at_ms)
            feed.slot.is_new = True
        if feed.node is not None:
            self._presence.told(feed.node, reading, at_ms)
        value, is_good, slot = reading.value, reading.quality == GOOD, feed.slot
        if feed.quick and not (slot.quiet and is_good and slot.is_harmless(value)):
            for watch in feed.quick:
                self._phases.judge(watch, reading, at_ms)
        for watch, gate, name in feed.looks:
            if is_good and watch.phase == "rest":
                calm = watch.calm
                if calm is not None and calm.covers(name, value, at_ms):
                    continue
                if gate is not None and not gate(value) and (calm is not None or not watch.knows_calm):
                    continue
            self._phases.look(watch, at_ms)

    def agent_heard(
        self,
        site: str,
        agent: str,
        online: bool,
        heard_ms: int,
        held: tuple[int, int] | None = (0, 0),
        waited_s: float = 0.0,
    ) -> None:
        """An agent's state message (or its last will, online false) arrived, or a batch as a sign of life.

        Args:
            held: batches it still holds of (alarm, telemetry); None: it did not say. waited_s: age of the oldest.
        """
        # An agent that stands in no site file may be anybody: it is heard, and nobody is called when it goes.
        known = self._world.agents.setdefault((site, agent), Agent(f"{site}/{agent}"))
        self._world.now_ms = max(self._world.now_ms, heard_ms)
        self._presence.agent_heard(known, online, heard_ms, held, waited_s)

    def broker(self, connected: bool, at_ms: int) -> None:
        """The gateway's connection to the broker was lost or is back. While it is away no agent counts as lost."""
        self._world.now_ms = max(self._world.now_ms, at_ms)
        self._presence.broker(connected, at_ms)

    def woke(self, now_ms: int) -> None:
        """The gateway did not run for a while: what waits is taken first, nobody is silent before a grace from now."""
        self._world.now_ms = max(self._world.now_ms, now_ms)
        self._presence.give_grace(now_ms)

    def stepped(self, by_ms: int, now_ms: int) -> None:
        """The gateway's clock was set by so much (less than 0: back): silence goes on from where it was."""
        self._world.now_ms = now_ms
        self._presence.stepped(by_ms, now_ms)

    def note_alarm(self, rule: str, subject: str, site: str, device: str | None, states: frozenset[str]) -> None:
        """What the alarms of a rule on a subject are: active, unacknowledged, returned_unacknowledged."""
        self._causes.note_alarm(rule, subject, site, device, states)

    def note_finding(self, rule: str, subject: str, site: str, device: str | None, finding: str, at_ms: int) -> None:
        """An alarm raised at that time was found to be this; a later finding of the same alarm replaces it."""
        self._causes.note_finding(rule, subject, site, device, finding, at_ms)

    def advance(self, now_ms: int) -> None:
        """Let time pass: timers that are due speak."""
        self._world.now_ms = max(self._world.now_ms, now_ms)
        self._presence.advance(now_ms)
        self._progress.advance(now_ms)

    def next_due_ms(self) -> int | None:
        """When `advance` next has something to do; None: nothing is waiting."""
        dues = [self._progress.next_due_ms(), self._presence.next_due_ms()]
        return min((due for due in dues if due is not None), default=None)

    def take(self) -> Effects:
        """What happened since the last call, to be written down in one transaction."""
        world = self._world
        states = [watch.state() for watch in world.changed.values()] + self._progress.states()
        states += states_of(node for node in world.moved.values() if node is not world.own)
        effects = Effects(world.transitions, states)
        world.transitions, world.changed, world.changed_courses, world.moved = [], {}, {}, {}
        return effects

    # --- making --------------------------------------------------------------------------------------------------

    def _add_point(self, device: Device, of_agent: dict[str, LastValue], name: str, lane: Lane) -> LastValue:
        slot = LastValue(f"{device.site}/{device.name}/{name}", device, lane)
        device.points.append(slot)
        key = f"{device.name}/{name}"
        of_agent[key] = slot
        self._world.slots.setdefault(device.site, {})[key] = slot
        self._wiring.point(device, name, slot)
        return slot

    def _add_late_point(self, site: str, point: str) -> LastValue | None:
        """A point the profile makes on demand (a printed address), or one it does not have: kept, without rules."""
        device_id, _, name = point.partition("/")
        device = self._world.devices.get((site, device_id))
        if device is None or not name or len(device.points) >= MOST_POINTS:
            return None
        known = self._world.slots[site].get(point)
        if known is not None:  # named twice in one batch
            return known
        agent = device.agent_name
        return self._add_point(device, self.points(site, agent), name, lane_of(device, name))
