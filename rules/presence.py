"""Who is there: agents by their heartbeats, lines and devices by what is said of them and by their silence.

Heartbeats and silence go by the gateway's clock; what an agent says of lines and devices has the time it was measured
at. While the broker is away nobody counts as lost: the broker is the one cause.
"""

from __future__ import annotations

import heapq

from contract.messages import Reading
from contract.quality import kind
from rules.causes import Causes
from rules.decisions import RuleState
from rules.horizon import Progress
from rules.keeping import take_up
from rules.memory import Agent, Device, Line, Watch, World
from rules.model import Absence, AgentLost, Rule
from rules.phases import Phases

RECHECK_MS = 1000


class Presence:
    """Judges heartbeats, silence and lost lines."""

    def __init__(self, world: World, progress: Progress, phases: Phases, causes: Causes) -> None:
        self._world = world
        self._progress = progress
        self._phases = phases
        self._causes = causes
        self._timers: list[tuple[int, int, Device | Agent]] = []
        self._counter = 0

    # --- time ----------------------------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        """When `advance` next has something to do."""
        timers = self._timers
        while timers and timers[0][2].timer != timers[0][1]:
            heapq.heappop(timers)  # set anew since
        return timers[0][0] if timers else None

    def advance(self, now_ms: int) -> None:
        """Look at everybody whose time has come."""
        while self._timers and self._timers[0][0] <= now_ms:
            _, number, who = heapq.heappop(self._timers)
            if who.timer != number:
                continue
            if isinstance(who, Device):
                self._check_silence(who, now_ms)
            else:
                self._check_heartbeat(who, now_ms)

    def _schedule(self, due_ms: int, who: Device | Agent) -> None:
        self._counter += 1
        who.timer = self._counter
        heapq.heappush(self._timers, (due_ms, self._counter, who))

    def expect(self, device: Device, now_ms: int) -> None:
        """Wait for a device from now on."""
        device.since_ms = now_ms
        if device.watches:
            self._world.moved[device.path] = device
            shortest = min(after_ms(watch.rule) for watch in device.watches)
            # A value is repeated within max_silence_s; twice that is the least silence that means anything.
            device.after_ms = max(shortest, 2 * device.silence_ms)
            self._schedule(now_ms + device.after_ms, device)

    def expect_agent(self, agent: Agent) -> None:
        """Wait for an agent's heartbeats, when nobody does yet."""
        if agent.watches and agent.timer == 0:
            self._schedule(agent.heard_ms + min(after_ms(watch.rule) for watch in agent.watches), agent)

    def give_grace(self, now_ms: int) -> None:
        """Nobody counts as silent before a grace from now, and everybody may have a backlog."""
        for agent in self._world.agents.values():
            agent.heard_ms = agent.returned_ms = now_ms
            agent.fall_behind()
            self._world.moved[agent.path] = agent
            for watch in agent.watches:
                # A loss by silence alone is counted anew too; a last will stands.
                if watch.phase == "pending" and watch.since_ms > watch.detail["heard_ms"]:
                    self._phases.step(watch, False, True, now_ms, {"heard_ms": now_ms})
            if agent.watches:
                agent.timer = 0
                self.expect_agent(agent)
        for device in self._world.devices.values():
            if device.watches:
                self.expect(device, now_ms)
                self._count_anew(device, now_ms)

    def stepped(self, by_ms: int, now_ms: int) -> None:
        """The gateway's clock was set: how long ago anybody was heard, and a known silence, stay what they were."""
        world = self._world
        for slots in world.slots.values():
            for slot in slots.values():
                if slot.received_ms:
                    slot.received_ms += by_ms
        for agent in world.agents.values():
            agent.heard_ms += by_ms
            agent.returned_ms += by_ms
            world.moved[agent.path] = agent
            for watch in agent.watches:
                if watch.phase == "pending":  # counted anew, from now on
                    inputs = watch.detail
                    self._phases.step(watch, False, True, now_ms, inputs)
                    self._phases.step(watch, True, False, now_ms, inputs)
            if agent.timer:
                agent.timer = 0
                self.expect_agent(agent)
        for device in world.devices.values():
            device.since_ms += by_ms
            world.moved[device.path] = device
            if device.silent and device.fault.since_ms is not None:
                device.fault.since_ms += by_ms
            if device.watches:
                due_ms = max(device.heard_ms, device.since_ms, device.agent.returned_ms) + device.after_ms
                self._schedule(max(due_ms, now_ms + RECHECK_MS), device)
                self._count_anew(device, now_ms)

    def _count_anew(self, device: Device, now_ms: int) -> None:
        """A silence that was noticed already stands; one that is not told yet is told later, if it goes on."""
        for watch in device.watches:
            if watch.phase == "pending" and not watch.waits and "heard_ms" in watch.detail:
                inputs = watch.detail
                self._phases.step(watch, False, True, now_ms, inputs)
                self._phases.step(watch, True, False, now_ms, inputs)
        if _is_waiting(device):
            self._schedule(now_ms + RECHECK_MS, device)

    def resume(self, kept: dict[str, RuleState], now_ms: int) -> None:
        """Go on as if there had been no stop."""
        for agent in self._world.agents.values():
            if not take_up(agent, kept):
                agent.heard_ms = agent.returned_ms = now_ms
            agent.timer = 0
            self.expect_agent(agent)
        for line in self._world.lines.values():
            take_up(line, kept)
        for device in self._world.devices.values():
            self.expect(device, now_ms)
            if take_up(device, kept) and device.watches:
                due_ms = max(device.heard_ms, device.since_ms, device.agent.returned_ms) + device.after_ms
                self._schedule(now_ms if _is_waiting(device) else due_ms, device)
        self._world.moved.clear()

    def restore_faults(self) -> None:
        """After a restart: which devices and lines were at fault, by their last values and the phases of the rules."""
        for device in self._world.devices.values():
            if device.teller is not None and device.teller.value is False:
                device.fault.begin(device.teller.observed_ms)
            up = [watch for watch in device.watches if watch.is_up or watch.phase == "pending"]
            if up and device.fault.begin(min(watch.since_ms for watch in up)):
                device.silent = True
        for line in self._world.lines.values():
            if line.teller is not None and isinstance(line.teller.value, bool):
                line.told = line.teller.value
            silent = [device.fault.since_ms for device in line.devices if device.fault.since_ms is not None]
            if line.told is False or (len(line.devices) > 1 and len(silent) == len(line.devices)):
                line.fault.begin(min((watch.since_ms for watch in line.watches if watch.since_ms), default=0))

    # --- agents and broker ---------------------------------------------------------------------------------------

    def agent_heard(
        self, agent: Agent, online: bool, heard_ms: int, held: tuple[int, int] | None, waited_s: float
    ) -> None:
        """An agent said that it is there, or its last will said that it is not."""
        agent.heard_ms = heard_ms
        self._world.moved[agent.path] = agent
        came, went = online and not agent.online, agent.online and not online
        agent.online = online
        if came:
            agent.returned_ms = heard_ms
        if came or went:
            agent.fall_behind()
        for watch in agent.watches:
            self._phases.step(watch, not online, online, heard_ms, {"online": online, "heard_ms": heard_ms})
        if came or went:
            self._causes.changed_agent(agent, heard_ms)
        if came:
            for device in agent.devices:
                if device.watches and _is_waiting(device):
                    self._schedule(heard_ms + RECHECK_MS, device)
        if online:
            self._progress.heard(agent, held, waited_s, heard_ms)
        self.expect_agent(agent)

    def broker(self, connected: bool, at_ms: int) -> None:
        """The connection to the broker was lost or is back."""
        world = self._world
        if connected == world.broker_connected:
            return
        world.broker_connected, world.broker_ms = connected, at_ms
        if connected:
            self.give_grace(at_ms)
        else:
            for agent in world.agents.values():
                agent.fall_behind()
                world.moved[agent.path] = agent
        self._causes.changed_broker(at_ms)

    def _check_heartbeat(self, agent: Agent, now_ms: int) -> None:
        agent.timer = 0
        least_ms = min(after_ms(watch.rule) for watch in agent.watches)
        if not self._world.broker_connected:
            self._schedule(now_ms + least_ms, agent)
            return
        lost = [watch for watch in agent.watches if agent.heard_ms + after_ms(watch.rule) <= now_ms]
        was_online = agent.online
        if lost and was_online:
            agent.online = False
            agent.fall_behind()
            self._world.moved[agent.path] = agent
        for watch in lost:
            lost_ms = agent.heard_ms + after_ms(watch.rule)
            self._phases.step(watch, True, False, lost_ms, {"online": False, "heard_ms": agent.heard_ms})
        if lost and was_online:
            self._causes.changed_agent(agent, now_ms)
        if agent.online:
            self._schedule(agent.heard_ms + least_ms, agent)  # else the next state message starts it again

    # --- devices -------------------------------------------------------------------------------------------------

    def told(self, node: Device | Line, reading: Reading, at_ms: int) -> None:
        """The agent said whether a device or a line can be reached."""
        value, quality = reading.value, reading.quality
        if isinstance(node, Line):
            node.told = value if isinstance(value, bool) and kind(quality) in ("good", "uncertain") else node.told
            self._world.moved[node.path] = node
            self._judge_line(node, at_ms)
        elif value is False:
            self._fail(node, at_ms, silent=False)
        elif value is True:
            self._recover(node, at_ms)

    def _fail(self, device: Device, at_ms: int, *, silent: bool) -> None:
        if device.fault.begin(at_ms):
            device.silent = silent
            self._moved(device, at_ms)
            if device.line is not None:
                self._judge_line(device.line, at_ms)
        elif not silent and device.silent:
            device.silent = False  # its agent says it now, and only its agent's word ends it
            self._world.moved[device.path] = device

    def _recover(self, device: Device, at_ms: int) -> None:
        if device.fault.end(at_ms):
            device.silent = False
            self._moved(device, at_ms)
        line = device.line
        if line is not None and line.fault.since_ms is not None:
            self._world.moved[line.path] = line
            line.told = None  # something on it answers, whatever was said before
            self._judge_line(line, at_ms)

    def _judge_line(self, line: Line, at_ms: int) -> None:
        silent = [device for device in line.devices if device.fault.since_ms is not None]
        lost = line.told is False or (len(line.devices) > 1 and len(silent) == len(line.devices))
        moved = line.fault.begin(at_ms) if lost else line.fault.end(at_ms)
        inputs = {"online": line.told, "silent": len(silent), "devices": len(line.devices), "observed_ms": at_ms}
        for watch in line.watches:
            self._phases.step(watch, lost, not lost, at_ms, inputs)
        if moved:
            self._moved(line, at_ms)

    def _moved(self, node: Device | Line, at_ms: int) -> None:
        self._world.moved[node.path] = node
        if node.teller is not None:
            node.teller.settle()
        self._causes.changed(node, at_ms)

    def _check_silence(self, device: Device, now_ms: int) -> None:
        agent = device.agent
        if not agent.online or not self._world.broker_connected:
            # The agent's loss is the one cause; looked at again once it is back.
            self._schedule(now_ms + device.after_ms, device)
            return
        heard_ms = device.heard_ms
        silent_ms = max(heard_ms, device.since_ms, agent.returned_ms) + device.after_ms
        if silent_ms <= now_ms:
            if not device.silent:
                self._fail(device, silent_ms, silent=True)
            for watch in device.watches:
                self._phases.step(watch, True, False, silent_ms, {"heard_ms": heard_ms})
        elif _has_spoken(device):
            if device.silent:
                self._recover(device, heard_ms)
            for watch in device.watches:
                # It was silence, not the device's own `online`, that raised this; a reading ends it.
                if watch.phase != "rest" and "heard_ms" in watch.detail:
                    self._phases.step(watch, False, True, heard_ms, {"heard_ms": heard_ms})
        self._schedule(now_ms + RECHECK_MS if _is_waiting(device) else max(silent_ms, now_ms + RECHECK_MS), device)


def _is_waiting(device: Device) -> bool:
    """Whether something about its silence is going on, so that it is looked at every second."""
    return device.silent or any(watch.phase != "rest" for watch in device.watches)


def _has_spoken(device: Device) -> bool:
    """Whether anything was heard of a device since it fell silent, and not that it cannot be reached.

    The time it is given after a pause, or after its agent's return, is no sign of life.
    """
    if device.teller is not None and device.teller.value is False:
        return False
    silent_ms = device.fault.since_ms
    return silent_ms is None or max((point.received_ms for point in device.points), default=0) >= silent_ms


def after_ms(rule: Rule) -> int:
    """How long a silence has to last, ms."""
    assert isinstance(rule.when, AgentLost | Absence)
    return int(rule.when.after_s * 1000)


__all__ = ["Presence", "Watch", "after_ms"]
