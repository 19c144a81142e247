"""The rule engine: a function of (state, event, now). No I/O, no clock of its own.

All times are ms UTC on the gateway's clock. A reading is judged at its own time (observed time, corrected by the
agent's clock offset), never later than it was received. A timer is a since-time, so that it survives any restart.

    rest ──violated──> pending ──held for_s──> active ──over──> clearing ──held clear_for_s──> rest
             └ for_s = 0: straight to active       └ clear_for_s = 0: straight to rest

A bad, unknown or test value never raises: it ends a pending phase; an active alarm holds or clears as the rule's
`on_missing` says; a clearing phase falls back to active, because unknown is never OK.

The cost of a reading depends on the rules of its point only; a calm value of a calm point costs one dictionary
look-up and two comparisons.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from contract.messages import Reading, Value
from contract.profile import BUILT_IN, ONLINE, Profile
from contract.quality import GOOD, kind
from contract.site import Site
from rules.memory import Agent, Device, Effects, LastValue, RuleState, Transition, Watch
from rules.model import Absence, AgentLost, Rule, State, Threshold

MOST_POINTS = 4096
"""Points of one device; a device that names more is not believed."""
LATE_MS = 60_000
"""A decision about a moment longer ago than this is marked retrospective."""


class Engine:
    """Judges readings, silence and lost agents.

    Feed it with `observe`, `agent_heard` and `advance`, in the order things are committed; `take` gives what to
    write down. Restored from what was written down, it goes on as if it had never stopped.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._slots: dict[str, dict[str, LastValue]] = {}
        self._of_agent: dict[tuple[str, str], dict[str, LastValue]] = {}
        self._devices: dict[tuple[str, str], Device] = {}
        self._profiles: dict[tuple[str, str], Profile] = {}
        self._agents: dict[tuple[str, str], Agent] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._timers: list[tuple[int, int, Watch | Device | Agent]] = []
        self._counter = 0
        self._now_ms = 0
        self._transitions: list[Transition] = []
        self._changed: dict[tuple[str, str], Watch] = {}

    # --- what there is -------------------------------------------------------------------------------------------

    def add_site(self, site: Site) -> None:
        """Know a site's agents and devices."""
        for agent in site.agents:
            self._agent(site.site, agent.id)
        for placed in site.placed():
            self.add_device(site.site, placed.agent, placed.entry.id, placed.profile, placed.entry.points)
        for own in site.own_devices():
            self.add_device(site.site, own.agent, own.device, own.profile)

    def add_device(self, site: str, agent: str, device: str, profile: Profile, points: int | None = None) -> None:
        """Know a device and put the rules for its profile on its points. Known already: no effect."""
        if (site, device) in self._devices:
            return
        self._agent(site, agent)
        slots = self._slots.setdefault(site, {})
        made = Device(agent, int(profile.max_silence_s * 1000))
        self._devices[site, device] = made
        self._profiles[site, device] = profile
        is_line = profile.is_own  # no device: it is not online, and nobody waits for it
        own = [] if is_line else [ONLINE] if profile.modbus is None else list(BUILT_IN)
        for name in [point.name for point in profile.points_for(points)] + own:
            self._add_point(slots, site, device, made, profile, name)
        absence = [r for r in self._rules.values() if r.when.kind == "absence" and r.applies(profile.id, "*")]
        if is_line:
            absence = []
        made.watches = tuple(self._watch(rule, f"{site}/{device}", site, device) for rule in absence)
        if made.watches:
            shortest = min(_after_ms(rule) for rule in absence)
            # A value is repeated within max_silence_s; twice that is the least silence that means anything.
            made.after_ms = max(shortest, 2 * made.silence_ms)
            made.since_ms = self._now_ms
            self._schedule(self._now_ms + made.after_ms, made)

    def points(self, site: str, agent: str) -> dict[str, LastValue]:
        """The known points `device/point` of an agent's devices; the same object for ever, and it grows."""
        return self._of_agent.setdefault((site, agent), {})

    def knows(self, site: str, device: str) -> bool:
        """Whether the device stands in a site file or was approved."""
        return (site, device) in self._devices

    def values(self) -> Iterator[tuple[str, LastValue]]:
        """Every point as `site/device/point`, with its current picture."""
        for site, slots in self._slots.items():
            for point, slot in slots.items():
                yield f"{site}/{point}", slot

    def cause_of(self, site: str, device: str) -> str | None:
        """Why nothing can be known of a device now (`agent_lost`); None while its agent is connected."""
        known = self._devices.get((site, device))
        if known is None:
            return None
        agent = self._agents[site, known.agent]
        return None if agent.online else "agent_lost"

    def restore(
        self,
        states: Iterable[RuleState],
        values: Iterable[tuple[str, int, int, Value, str]],
        agents: Iterable[tuple[str, str, bool, int]],
        now_ms: int,
    ) -> None:
        """Go on from what was written down. States of rules or subjects that are gone are left alone.

        Args:
            states: as `take` gave them. values: (site/device/point, observed_ms, received_ms, value, quality).
            agents: (site, agent, online, heard_ms). now_ms: nobody counts as silent before a grace from now.
        """
        self._now_ms = now_ms
        for key, observed_ms, received_ms, value, quality in values:
            site, _, point = key.partition("/")
            slot = self._slots.get(site, {}).get(point) or self._add_late_point(site, point)
            if slot is not None:
                slot.last, slot.received_ms = Reading(point, observed_ms, value, quality), received_ms
        for device in self._devices.values():
            device.since_ms = now_ms
            if device.watches:
                self._schedule(now_ms + device.after_ms, device)
        for site, name, online, _heard_ms in agents:
            self._agents.setdefault((site, name), Agent(())).online = online
        for agent in self._agents.values():
            agent.heard_ms = agent.returned_ms = now_ms
            self._schedule_agent(agent)
        for state in states:
            watch = self._watches.get((state.rule, state.subject))
            if watch is None:
                continue
            watch.phase, watch.since_ms = state.phase, state.since_ms
            watch.alarm_id, watch.detail = state.alarm_id, dict(state.detail)
            self._settle(watch)
        self._changed.clear()

    def bind(self, rule: str, subject: str, alarm_id: int) -> None:
        """Remember the ledger's number of the alarm that a raise opened."""
        watch = self._watches.get((rule, subject))
        if watch is not None:
            watch.alarm_id = alarm_id
            self._changed[rule, subject] = watch

    def note_alarm(self, rule: str, subject: str, site: str, device: str | None, states: frozenset[str]) -> None:
        """What the alarms of a rule on a subject are now: active, unacknowledged, returned_unacknowledged."""

    def note_finding(self, rule: str, subject: str, site: str, device: str | None, finding: str, at_ms: int) -> None:
        """An alarm raised at that time was found to be this; a later finding of the same alarm replaces it."""

    def set_dates(self, site: str, device: str, dates: Mapping[str, int]) -> None:
        """When inspection, maintenance, scrap, calibration and battery of a device are due, ms UTC."""

    # --- what happens --------------------------------------------------------------------------------------------

    def observe(
        self,
        site: str,
        readings: list[Reading],
        received_ms: int,
        offset_ms: int = 0,
        found: list[LastValue | None] | None = None,
    ) -> list[Reading]:
        """Apply readings of one site in order; gives back those of devices nobody knows.

        Args:
            offset_ms: to add to the agent's times to get the gateway's.
            found: the readings' points, for a caller who has looked them up already.
        """
        self._now_ms = max(self._now_ms, received_ms)
        if found is None:
            slots = self._slots.get(site, {})
            found = [slots.get(reading.point) for reading in readings]
        strangers: list[Reading] = []
        for reading, slot in zip(readings, found, strict=True):
            if slot is None:
                slot = self._add_late_point(site, reading.point)
                if slot is None:
                    strangers.append(reading)
                    continue
            slot.last = reading
            slot.received_ms = received_ms
            if slot.watches:
                value = reading.value
                if slot.calm and reading.quality == GOOD:
                    if value.__class__ is float:
                        if slot.low <= value <= slot.high:
                            continue
                    elif value not in slot.alarming:
                        continue
                at_ms = min(reading.observed_ms + offset_ms, received_ms)
                for watch in slot.watches:
                    self._judge(watch, value, reading.quality, at_ms, received_ms)
        return strangers

    def agent_heard(self, site: str, agent: str, online: bool, heard_ms: int) -> None:
        """An agent's state message (or its last will, online false) arrived."""
        # An agent that stands in no site file may be anybody: it is heard, and nobody is called when it goes.
        known = self._agents.setdefault((site, agent), Agent(()))
        self._now_ms = max(self._now_ms, heard_ms)
        known.heard_ms = heard_ms
        if online and not known.online:
            known.returned_ms = heard_ms
        known.online = online
        for watch in known.watches:
            self._step(watch, not online, online, heard_ms, heard_ms, {"online": online, "heard_ms": heard_ms})
        self._schedule_agent(known)

    def advance(self, now_ms: int) -> None:
        """Let time pass: timers that are due speak."""
        self._now_ms = max(self._now_ms, now_ms)
        while self._timers and self._timers[0][0] <= now_ms:
            _, number, owner = heapq.heappop(self._timers)
            if owner.timer != number:
                continue  # overtaken by a later phase
            if isinstance(owner, Watch):
                self._mature(owner, now_ms, now_ms)
            elif isinstance(owner, Device):
                self._check_silence(owner, now_ms)
            else:
                self._check_heartbeat(owner, now_ms)

    def next_due_ms(self) -> int | None:
        """When `advance` next has something to do; None: nothing is waiting."""
        return self._timers[0][0] if self._timers else None

    def take(self) -> Effects:
        """What happened since the last call, to be written down in one transaction."""
        states = [
            RuleState(w.rule.id, w.subject, w.phase, w.since_ms, w.alarm_id, w.detail) for w in self._changed.values()
        ]
        effects = Effects(self._transitions, states)
        self._transitions, self._changed = [], {}
        return effects

    # --- how it is judged ----------------------------------------------------------------------------------------

    def _judge(self, watch: Watch, value: Value, quality: str, at_ms: int, now_ms: int) -> None:
        self._mature(watch, at_ms, now_ms)
        inputs = {"value": value, "quality": quality, "observed_ms": at_ms}
        if kind(quality) not in ("good", "uncertain") or value is None:
            self._missing(watch, at_ms, now_ms, inputs)
            return
        when = watch.rule.when
        if isinstance(when, Threshold):
            if value.__class__ is not float:
                self._missing(watch, at_ms, now_ms, inputs)
                return
            number = float(value)
            if when.below is not None:
                violated, over, limit = number < when.below, number >= when.clear, when.below
            else:
                assert when.above is not None
                violated, over, limit = number > when.above, number <= when.clear, when.above
            inputs["limit"] = limit
        elif isinstance(when, State):
            violated = value in when.equals
            over = not violated
        else:  # absence, told by the device's own `online`
            violated, over = value is False, value is True
        self._step(watch, violated, over, at_ms, now_ms, inputs)

    def _step(self, watch: Watch, violated: bool, over: bool, at_ms: int, now_ms: int, inputs: dict[str, Any]) -> None:
        phase = watch.phase
        if phase == "rest":
            if violated:
                self._enter(watch, "pending", at_ms, inputs)
                self._mature(watch, at_ms, now_ms)
        elif phase == "pending":
            if not violated:
                self._enter(watch, "rest", at_ms, {})
            elif at_ms < watch.since_ms:  # the agent's clock went back
                self._enter(watch, "pending", at_ms, inputs)
        elif phase == "active":
            if over:
                self._enter(watch, "clearing", at_ms, inputs)
                self._mature(watch, at_ms, now_ms)
        elif phase == "clearing" and not over:
            self._enter(watch, "active", at_ms, watch.detail)

    def _missing(self, watch: Watch, at_ms: int, now_ms: int, inputs: dict[str, Any]) -> None:
        if watch.phase == "pending":
            self._enter(watch, "rest", at_ms, {})
        elif watch.phase == "clearing":
            self._enter(watch, "active", at_ms, watch.detail)
        if watch.phase == "active" and watch.rule.on_missing == "clear":
            watch.detail = inputs
            self._decide(watch, "clear", at_ms, now_ms)

    def _mature(self, watch: Watch, at_ms: int, now_ms: int) -> None:
        """A phase that has held long enough by `at_ms` ends, at the moment it was due."""
        if watch.phase == "pending":
            due_ms = watch.since_ms + int(watch.rule.for_s * 1000)
            if due_ms <= at_ms:
                self._decide(watch, "raise", due_ms, now_ms)
        elif watch.phase == "clearing":
            due_ms = watch.since_ms + int(watch.rule.clear_for_s * 1000)
            if due_ms <= at_ms:
                self._decide(watch, "clear", due_ms, now_ms)

    def _decide(self, watch: Watch, event: Literal["raise", "clear"], event_ms: int, now_ms: int) -> None:
        self._transitions.append(
            Transition(
                watch.rule.id,
                watch.rule.version,
                watch.rule.severity,
                watch.subject,
                watch.site,
                watch.device,
                event,
                event_ms,
                now_ms - event_ms > LATE_MS,
                dict(watch.detail),
            )
        )
        self._enter(watch, "active" if event == "raise" else "rest", event_ms, watch.detail)

    def _enter(self, watch: Watch, phase: str, since_ms: int, detail: dict[str, Any]) -> None:
        watch.phase, watch.since_ms, watch.detail = phase, since_ms, detail
        self._changed[watch.rule.id, watch.subject] = watch
        self._settle(watch)

    def _settle(self, watch: Watch) -> None:
        """Timer and calm flag as the phase asks."""
        watch.timer = 0
        if watch.phase == "pending":
            self._schedule(watch.since_ms + int(watch.rule.for_s * 1000), watch)
        elif watch.phase == "clearing":
            self._schedule(watch.since_ms + int(watch.rule.clear_for_s * 1000), watch)
        if watch.owner is not None:
            watch.owner.calm = all(w.phase == "rest" for w in watch.owner.watches)

    # --- silence -------------------------------------------------------------------------------------------------

    def _check_silence(self, device: Device, now_ms: int) -> None:
        agent = self._agents[device.watches[0].site, device.agent]
        if not agent.online:
            # The agent's loss is the one cause; looked at again once it is back.
            self._schedule(now_ms + device.after_ms, device)
            return
        heard_ms = device.heard_ms
        silent_ms = max(heard_ms, device.since_ms, agent.returned_ms) + device.after_ms
        for watch in device.watches:
            if silent_ms <= now_ms:
                self._step(watch, True, False, silent_ms, now_ms, {"heard_ms": heard_ms})
            elif watch.phase != "rest" and "heard_ms" in watch.detail:
                # It was silence, not the device's own `online`, that raised this; a reading ends it.
                self._step(watch, False, True, heard_ms, now_ms, {"heard_ms": heard_ms})
        waiting = any(watch.phase != "rest" for watch in device.watches)
        self._schedule(now_ms + 1000 if waiting else max(silent_ms, now_ms + 1000), device)

    def _check_heartbeat(self, agent: Agent, now_ms: int) -> None:
        for watch in agent.watches:
            lost_ms = agent.heard_ms + _after_ms(watch.rule)
            if lost_ms <= now_ms:
                agent.online = False
                self._step(watch, True, False, lost_ms, now_ms, {"online": False, "heard_ms": agent.heard_ms})
        if agent.online:
            self._schedule(agent.heard_ms + min(_after_ms(watch.rule) for watch in agent.watches), agent)
        else:
            agent.timer = 0  # the next state message starts it again

    def _schedule_agent(self, agent: Agent) -> None:
        if agent.watches and agent.timer == 0:
            self._schedule(agent.heard_ms + min(_after_ms(watch.rule) for watch in agent.watches), agent)

    # --- making --------------------------------------------------------------------------------------------------

    def _agent(self, site: str, name: str) -> Agent:
        """An agent that equipment depends on, with the rules about its loss."""
        known = self._agents.setdefault((site, name), Agent(()))
        if not known.watches:
            lost = [rule for rule in self._rules.values() if rule.when.kind == "agent_lost"]
            known.watches = tuple(self._watch(rule, f"{site}/{name}", site, None) for rule in lost)
            known.heard_ms = max(known.heard_ms, self._now_ms)
        return known

    def _add_point(
        self, slots: dict[str, LastValue], site: str, device_id: str, device: Device, profile: Profile, name: str
    ) -> LastValue:
        watches = tuple(
            self._watch(rule, f"{site}/{device_id}/{name}", site, device_id)
            for rule in self._rules.values()
            if rule.when.kind in ("threshold", "state") and rule.applies(profile.id, name)
        )
        if name == ONLINE:
            watches += tuple(
                self._watch(rule, f"{site}/{device_id}", site, device_id)
                for rule in self._rules.values()
                if rule.when.kind == "absence" and rule.applies(profile.id, "*")
            )
        slot = LastValue(watches)
        device.points.append(slot)
        self.points(site, device.agent)[f"{device_id}/{name}"] = slot
        if name == ONLINE and watches:
            slot.alarming |= {False}
        for watch in watches:
            watch.owner = slot
        slots[f"{device_id}/{name}"] = slot
        return slot

    def _add_late_point(self, site: str, point: str) -> LastValue | None:
        """A point the profile makes on demand (a printed address), or one it does not have: kept, without rules."""
        device_id, _, name = point.partition("/")
        device = self._devices.get((site, device_id))
        if device is None or not name or len(device.points) >= MOST_POINTS:
            return None
        known = self._slots[site].get(point)
        if known is not None:  # named twice in one batch
            return known
        return self._add_point(self._slots[site], site, device_id, device, self._profiles[site, device_id], name)

    def _watch(self, rule: Rule, subject: str, site: str, device: str | None) -> Watch:
        watch = self._watches.get((rule.id, subject))
        if watch is None:
            watch = self._watches[rule.id, subject] = Watch(rule, subject, site, device)
        return watch

    def _schedule(self, due_ms: int, owner: Watch | Device | Agent) -> None:
        self._counter += 1
        owner.timer = self._counter
        heapq.heappush(self._timers, (due_ms, self._counter, owner))


def _after_ms(rule: Rule) -> int:
    assert isinstance(rule.when, AgentLost | Absence)
    return int(rule.when.after_s * 1000)
