"""The devices of a fast run as its agent sees them: polled, sending by themselves, listened to."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from contract.lines import ModbusRtuLine, ModbusRtuTcpLine
from contract.panel import EventClass, PanelEvent
from contract.site import Placed
from edge_agents.bus.presence import LinePresence
from edge_agents.drivers.modbus import Block, ReadGroup, decode_group, plan_reads
from edge_agents.foreign.drivers import decoder_of
from edge_agents.foreign.report import ForeignReport
from edge_agents.panel_table import TableReport
from edge_agents.panels.receiver import Frame, Noise
from edge_agents.panels.report import PanelEvents
from edge_agents.reporting import DeviceReport, Observation, ReportRule, Reports
from simulators.device import Device
from simulators.sensors import Sensor
from simulators.serial_line import character_s
from simulators.station import DevicePlan
from simulators.story_acts import LineAct, PanelAct

if TYPE_CHECKING:
    from cli.sim_edge import FastEdge

MISSES = 3
PROBE_MS = 10_000
"""A silent device is asked this often."""
ANSWER_MS = 15
"""A device thinks for so long."""
HEARTBEAT_MS = 60_000
"""A listened panel says that it is there."""
SENDS_MS = 1_200_000
"""A sensor that sends by itself does so at least this often."""

Record = Callable[[Reports], None]


class EdgeLine:
    """A polled line: what it suffers from, and who on it has not answered since anybody did."""

    def __init__(self, line_id: str, record: Record, now_ms: Callable[[], int], rng: random.Random) -> None:
        self.parts: dict[str, PolledPart] = {}
        self.unanswered: set[str] = set()
        self.act: LineAct | None = None
        self.presence = LinePresence(line_id, record, now_ms)
        self.asked: list[PolledPart] = []
        """Whom nobody has asked since the last answer, to be asked at once."""
        self._record = record
        self._rng = rng

    def is_lost(self) -> bool:
        """Whether this request is not answered, with what the line does to it; a damaged answer is asked for again."""
        act = self.act
        if act is None or act.fault == "echo":
            return False
        share = 1.0 if act.fault == "unplugged" else act.share
        return self._rng.random() < (share * share if act.fault == "noise" else share)

    def missed(self, part: PolledPart, now_ms: int) -> None:
        """A device did not answer."""
        if self.presence.is_up is False:
            return
        was_silent = part.report.is_silent
        reports = part.report.missed(now_ms)
        self.unanswered.add(part.id)
        left = [o for o in self.parts.values() if o.id not in self.unanswered and not o.report.is_silent]
        if part.report.is_silent and not left and len(self.parts) > 1:
            self.presence.say(False)
            for other in self.parts.values():
                self._record(other.report.line_down(now_ms))
            return
        self._record(reports)
        if part.report.is_silent and not was_silent:
            self.asked += left


class PolledPart:
    """A Modbus device and its reports."""

    def __init__(self, placed: Placed, plan: DevicePlan, line: EdgeLine, edge: FastEdge) -> None:
        profile = placed.profile
        assert profile.modbus is not None
        self.id = placed.entry.id
        self.device = Device(
            self.id, profile, edge.recorder, start=plan.start, points=plan.points, setting=plan.setting
        )  # fmt: skip
        self.report = _report_of(placed)
        self._line = line
        self._edge = edge
        self._plan = plan_reads(profile, placed.entry.points)
        self._order = profile.modbus.word_order
        self._poll_ms = round(placed.poll_s * 1000)
        self._phase_ms = edge.rng.randrange(self._poll_ms)
        self._silence_ms = int(profile.max_silence_s * 1000)
        self._transfer_ms = _transfer_ms(placed, self._plan.groups)

    def first_ms(self, now_ms: int) -> int:
        return self._grid_ms(now_ms)

    def changed(self, now_ms: int) -> int:
        return self._grid_ms(now_ms)

    def look(self, now_ms: int) -> int:
        if self.device.silent or self._line.is_lost():
            self._line.missed(self, now_ms)
            return now_ms + (PROBE_MS if self.report.is_silent else self._poll_ms)
        at_ms = now_ms + self._transfer_ms
        seen = self._read()
        if self.report.edges(seen):
            at_ms += self._transfer_ms  # the second read, which says the same: nothing changes within a poll here
        self._line.unanswered.clear()
        self._line.presence.say(True)
        self._edge.record(self.report.answered(seen, at_ms))
        if self._line.act is not None and self._line.act.fault != "echo":
            return self._grid_ms(now_ms + 1)
        return self._edge.quiet_ms(now_ms, self._silence_ms)

    def _grid_ms(self, now_ms: int) -> int:
        past = (now_ms - self._phase_ms) % self._poll_ms
        return now_ms if past == 0 else now_ms + self._poll_ms - past

    def _read(self) -> list[Observation]:
        seen: list[Observation] = []
        for group in self._plan.groups:
            words: dict[int, int] = {}
            for block in group.blocks:
                words.update(_answer(self.device, block))
            seen += [Observation(read.at, *decoded) for read, decoded in decode_group(group, words, self._order)]
        return seen


class SensorPart:
    """A sensor that sends by itself, and its reports."""

    def __init__(self, placed: Placed, plan: DevicePlan, edge: FastEdge) -> None:
        self._address = placed.entry.address or placed.entry.id
        self.sensor = Sensor(placed.profile, self._address, plan.start)
        self._decode = decoder_of(placed.profile)
        self._report = ForeignReport(placed.entry.id, placed.profile, edge.now_ms)
        self._edge = edge
        self._send_ms = edge.now_ms + edge.rng.randrange(5000)

    def first_ms(self, now_ms: int) -> int:
        self._edge.record(self._report.line_up(now_ms))
        return self._send_ms

    def changed(self, now_ms: int) -> int:
        self._send_ms = now_ms
        return now_ms

    def look(self, now_ms: int) -> int:
        if now_ms >= self._send_ms:
            self._send_ms = now_ms + SENDS_MS
            if not self.sensor.silent:
                message = self._decode(self._address, self.sensor.payload(now_ms))
                self._edge.record(self._report.taken(message, now_ms + ANSWER_MS, is_retained=False).reports)
        self._edge.record(self._report.refresh(now_ms))
        return min(self._send_ms, now_ms + HEARTBEAT_MS)


class PanelPart:
    """A panel that is listened to, and its reports."""

    def __init__(self, placed: Placed, edge: FastEdge) -> None:
        assert placed.profile.panel is not None
        self.silent = False
        self.said: list[tuple[PanelAct, bool]] = []
        self.garbled = False
        self._report = PanelEvents(placed.entry.id, placed.profile.panel, placed.profile.max_silence_s)
        self._edge = edge
        self._beat_ms = edge.now_ms

    def first_ms(self, now_ms: int) -> int:
        self._edge.record(self._report.opened(now_ms))
        return now_ms

    def changed(self, now_ms: int) -> int:
        return now_ms

    def look(self, now_ms: int) -> int:
        said, self.said = self.said, []
        frames: list[Frame | Noise] = []
        if not self.silent:
            frames = [Frame(b"", {}, [_event(act, now_ms, is_over=is_over)]) for act, is_over in said]
            if self.garbled:
                frames = [Noise(b"\x81\x93" * 16, 32, "no_frame")]
            elif not frames and now_ms >= self._beat_ms:
                frames = [Frame(b"", {}, [])]
        if now_ms >= self._beat_ms:
            self._beat_ms = now_ms + HEARTBEAT_MS
        if frames:
            self._edge.record(self._report.took(frames, now_ms + ANSWER_MS))
        self._edge.record(self._report.tick(now_ms + ANSWER_MS))
        return min(self._beat_ms, now_ms + 15_000)


def _report_of(placed: Placed) -> DeviceReport:
    profile, entry = placed.profile, placed.entry
    rules = tuple(ReportRule.of(read.point) for read in plan_reads(profile, entry.points).points)
    if profile.category == "panel":
        return TableReport(entry.id, rules, profile.max_silence_s, MISSES, entry.unit_id or 1, profile)
    return DeviceReport(entry.id, rules, profile.max_silence_s, MISSES)


def _answer(device: Device, block: Block) -> Iterator[tuple[int, int]]:
    """The words a device answers with, through its own PDU."""
    answer = device.answer(struct.pack(">BHH", block.function, block.address, block.size))
    if answer[0] & 0x80:
        raise AssertionError(f"{device.name}: got exception {answer[1]} for {block}")
    if block.function in (1, 2):
        return iter((block.address + n, answer[2 + n // 8] >> n % 8 & 1) for n in range(block.size))
    return iter(zip(range(block.address, block.address + block.size),
                    struct.unpack(f">{block.size}H", answer[2:]), strict=True))  # fmt: skip


def _transfer_ms(placed: Placed, groups: tuple[ReadGroup, ...]) -> int:
    """How long one round of reads takes on the wire."""
    line = placed.line
    blocks = [block for group in groups for block in group.blocks]
    if isinstance(line, ModbusRtuLine | ModbusRtuTcpLine):
        characters = sum(8 + 5 + 2 * block.size + 7 for block in blocks)
        return round(characters * character_s(line.baud) * 1000) + ANSWER_MS * len(blocks)
    return ANSWER_MS * len(blocks)


def _event(act: PanelAct, now_ms: int, *, is_over: bool) -> PanelEvent:
    address = act.address or f"l{act.loop:03d}p{act.point:03d}"
    told: dict[str, Any] = {"event": act.event, "received_ms": now_ms, "address": address}
    if act.event in (EventClass.FIRE, EventClass.FIRE_SUBSEQUENT) and is_over:
        return PanelEvent(event=EventClass.RESET, received_ms=now_ms)
    return PanelEvent(**told, restored=is_over, loop=act.loop, point=str(act.point))
