"""The agent of a fast run: the production decoders and reports over the simulated devices, in virtual time.

    device's registers ── PDU ──> plan_reads, decode_group ──> DeviceReport ──┐
    sensor's document ───────────> its decoder ─────────────> ForeignReport ──┼─> readings by lane
    panel's events ───────────────────────────────────────> PanelEvents ─────┘

What stands between them in a real agent (sockets, waiting, retries) is made up for by its rules: a device is asked on
the grid of its poll period; a poll that would see what the last one saw is left out; an alarm edge is read twice; three
missed polls make a device silent; a line on which nobody answers is said to be lost before its devices are.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from cli.sim_parts import ANSWER_MS, EdgeLine, PanelPart, PolledPart, SensorPart
from contract.messages import Value
from contract.site import Placed, Site
from edge_agents.reporting import Reports
from simulators.recorder import Recorder
from simulators.station import DevicePlan
from simulators.story_acts import LineAct, PanelAct


class FastEdge:
    """Everything of one agent.

    Args:
        plan: the devices as they are simulated. site: the same as the agent knows them.
        now_ms: virtual time of the start.
        seed: of phases and of what a bad line does.
        beat_ms: period of the agent's heartbeat; a poll that would find nothing new falls together with one.
    """

    def __init__(self, plan: Mapping[str, DevicePlan], site: Site, now_ms: int, seed: int, beat_ms: int) -> None:
        self.now_ms = now_ms
        self._start_ms, self._beat_ms = now_ms, beat_ms
        self.rng = random.Random(f"{seed}/edge")  # noqa: S311  # a seed that must repeat, not a secret
        self.recorder = Recorder(Path("/dev/null"), lambda: self.now_ms)
        self.lines: dict[str, EdgeLine] = {}
        self.taken: list[Reports] = []
        self._parts: dict[str, PolledPart | SensorPart | PanelPart] = {}
        for placed in site.placed():
            self._parts[placed.entry.id] = self._part(placed, plan[placed.entry.id])
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._order = count()
        for name, part in self._parts.items():
            self._push(name, part.first_ms(now_ms))

    def __enter__(self) -> FastEdge:
        return self

    def __exit__(self, *_: object) -> None:
        self.recorder.close()

    @property
    def size(self) -> int:
        """How many devices there are."""
        return len(self._parts)

    def record(self, reports: Reports) -> None:
        """Keep readings until they are taken."""
        if reports.alarm or reports.telemetry:
            self.taken.append(reports)

    def take(self) -> Reports:
        """What was reported since the last call."""
        out = Reports([], [])
        for reports in self.taken:
            out.alarm.extend(reports.alarm)
            out.telemetry.extend(reports.telemetry)
        self.taken.clear()
        return out

    def next_ms(self) -> int:
        """When something is looked at next."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else 2**62

    def advance(self, now_ms: int) -> None:
        """Look at everything that is due until now."""
        while (due_ms := self.next_ms()) <= now_ms:
            _, _, name = heapq.heappop(self._heap)
            self.now_ms = due_ms
            self._push(name, self._parts[name].look(due_ms))
            for line in self.lines.values():
                for part in line.asked:
                    self._push(part.id, due_ms + ANSWER_MS)
                line.asked.clear()
        self.now_ms = now_ms

    def quiet_ms(self, now_ms: int, silence_ms: int) -> int:
        """When to look again at something that does not change: so often that nothing is silent for too long."""
        beats = max(1, silence_ms // 2 // self._beat_ms)
        past = (now_ms - self._start_ms) // self._beat_ms
        return self._start_ms + (past + beats) * self._beat_ms

    def beat(self) -> None:
        """Once a minute: say again of each line whether it is there."""
        for line in self.lines.values():
            line.presence.repeat()

    # --- what happens ---------------------------------------------------------------------------------------------

    def set_point(self, name: str, value: Value) -> None:
        """A point of a device has another value."""
        device, _, point = name.partition("/")
        part = self._parts[device]
        if isinstance(part, PolledPart):
            before = part.device.value(point)
            part.device.set(point, value)
            if part.device.value(point) == before:
                return
        elif isinstance(part, SensorPart):
            part.sensor.values[point] = value
        self._wake(device)

    def set_broken(self, name: str, *, is_broken: bool) -> None:
        """A word that means nothing, as a broken sensor gives; afterwards the next value is a good one again."""
        device, _, point = name.partition("/")
        part = self._parts[device]
        assert isinstance(part, PolledPart)
        if is_broken:
            part.device.spoil(point)
        else:
            part.device.mend(point)
        self._wake(device)

    def set_silence(self, device: str, *, is_silent: bool) -> None:
        """A device answers nobody, or answers again."""
        part = self._parts[device]
        if isinstance(part, PolledPart):
            part.device.silent = is_silent
        elif isinstance(part, SensorPart):
            part.sensor.silent = is_silent
        else:
            part.silent = is_silent
        self._wake(device)

    def set_line(self, line: str, act: LineAct | None) -> None:
        """A line suffers from something, or not any more."""
        if line not in self.lines:  # a listened panel's line
            for part in self._parts.values():
                if isinstance(part, PanelPart):
                    part.garbled = act is not None and act.fault == "noise"
                    part.silent = act is not None and act.fault == "unplugged"
            return
        self.lines[line].act = act
        for name in self.lines[line].parts:
            self._wake(name)

    def say(self, act: PanelAct, *, is_over: bool) -> None:
        """A listened panel says something."""
        part = self._parts[act.device]
        assert isinstance(part, PanelPart)
        part.said.append((act, is_over))
        self._wake(act.device)

    def _wake(self, name: str) -> None:
        due_ms = self._parts[name].changed(self.now_ms)
        if due_ms < self._due.get(name, 2**62):
            self._push(name, due_ms)

    def _push(self, name: str, at_ms: int) -> None:
        self._due[name] = at_ms
        heapq.heappush(self._heap, (at_ms, next(self._order), name))

    def _part(self, placed: Placed, plan: DevicePlan) -> PolledPart | SensorPart | PanelPart:
        if placed.profile.panel is not None:
            return PanelPart(placed, self)
        if placed.profile.modbus is None:
            return SensorPart(placed, plan, self)
        line_id = placed.line.id
        if line_id not in self.lines:
            self.lines[line_id] = EdgeLine(line_id, self.record, lambda: self.now_ms, self.rng)
        line = self.lines[line_id]
        part = line.parts[placed.entry.id] = PolledPart(placed, plan, line, self)
        return part
