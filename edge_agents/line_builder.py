"""Makes the lines of a site file, and what hangs on them. Devices alike share one plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from contract.panel import EVENT
from contract.profile import Profile
from contract.site import Gb26875Line, MqttLine, PanelSerialLine, PanelTcpLine, Placed, PrinterLine
from edge_agents.bus.line import ModbusLine
from edge_agents.bus.mqtt import SensorLine, restored_sensor
from edge_agents.bus.panel import PanelLine
from edge_agents.bus.panel_line import new_panel_line
from edge_agents.bus.panel_tcp import PanelListener
from edge_agents.bus.polled import LineRules, PolledDevice
from edge_agents.bus.port import FrameCounters, PolledLine
from edge_agents.bus.printer import ListeningLine
from edge_agents.drivers.gb26875.line import TransmitterLine
from edge_agents.drivers.modbus import ReadPlan, plan_reads
from edge_agents.drivers.printer import PrinterDecoder
from edge_agents.foreign import report as foreign
from edge_agents.foreign.refused import RefusedFile
from edge_agents.outside import REAL, Outside
from edge_agents.panel_report import PanelReport
from edge_agents.panel_table import TableReport
from edge_agents.recorder import Recorder
from edge_agents.reload import DeviceChange
from edge_agents.reporting import DeviceReport, Reported, ReportRule
from edge_agents.settings import AgentSettings

AnyLine = ModbusLine | ListeningLine | PanelLine | PanelListener | SensorLine | TransmitterLine


class Kept(NamedTuple):
    """What was reported before: points (`device/point`), and sensors by device."""

    points: Mapping[str, Reported] = {}
    sensors: Mapping[str, foreign.Kept] = {}


class _Plan(NamedTuple):
    profile: Profile
    reads: ReadPlan
    rules: tuple[ReportRule, ...]


class LineBuilder:
    """Makes lines.

    Args:
        settings: of the agent.
        recorder: takes what the lines report.
        now_ms: the agent's clock. stepped_ms: how far the wall clock was stepped from it.
        outside: Modbus lines, time, chance.
    """

    def __init__(
        self,
        settings: AgentSettings,
        recorder: Recorder,
        now_ms: Callable[[], int],
        stepped_ms: Callable[[], int | None] = lambda: 0,
        outside: Outside = REAL,
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._now_ms = now_ms
        self._stepped_ms = stepped_ms
        self._outside = outside
        self._plans: dict[tuple[str, int | None], _Plan] = {}

    def build(self, site: str, placed: list[Placed], kept: Kept) -> AnyLine:
        """The line these devices hang on; they are all of it."""
        line = self._build(site, placed, kept)
        line.presence.restore(kept.points)
        return line

    def _build(self, site: str, placed: list[Placed], kept: Kept) -> AnyLine:
        line, recorder = placed[0].line, self._recorder
        if isinstance(line, PanelSerialLine | PanelTcpLine):
            points = dict(kept.points)
            is_durable, folder = (lambda: not recorder.alarms_waiting), self._settings.data_dir
            return new_panel_line(placed[0], points, recorder.record, is_durable, self._now_ms, folder)
        if isinstance(line, MqttLine):
            now_ms = self._now_ms()
            sensors = [restored_sensor(one, now_ms, kept.points, kept.sensors.get(one.entry.id)) for one in placed]
            name = f"{site}-{self._settings.agent_id}-{line.id}"
            folder = self._settings.site_file.parent
            secrets = {"password_file": line.password_file, "ca_file": line.ca_file}
            line = line.model_copy(update={key: folder / path for key, path in secrets.items() if path is not None})
            return SensorLine(
                line, name, sensors, self._settings.data_dir, recorder.record, self._now_ms, stepped_ms=self._stepped_ms
            )
        if isinstance(line, Gb26875Line):
            refused = RefusedFile(self._settings.data_dir, line.id)
            return TransmitterLine(line, placed, kept.points, recorder, self._now_ms, refused)
        if isinstance(line, PrinterLine):
            profile = placed[0].profile
            assert profile.printer is not None
            report = PanelReport(placed[0].entry.id, profile.max_silence_s)
            report.restore(kept.points)
            return ListeningLine(line, PrinterDecoder(profile.printer), report, recorder.record, self._now_ms)
        assert isinstance(line, PolledLine)
        polled, frames, outside = line, FrameCounters(), self._outside
        return ModbusLine(
            line.id,
            [self._polled(device, kept) for device in placed],
            lambda: outside.new_port(polled, frames),
            recorder.record,
            self._now_ms,
            outside.monotonic,
            rules=LineRules(line.retries, line.dead_share, self._settings.misses, line.ask_who),
            frames=frames,
            uniform=outside.uniform,
        )

    def change(self, line: AnyLine, change: DeviceChange) -> None:
        """Give a running line other devices; those that stay keep what is known of them, nothing is of fresh ones."""
        if isinstance(line, SensorLine):
            sensors, now_ms = line.sensors, self._now_ms()
            line.change(
                [
                    restored_sensor(one, now_ms, {}, None)
                    if one.entry.id in change.fresh
                    else replace(sensors[one.entry.id], placed=one)
                    for one in change.after
                ]
            )
        elif isinstance(line, ModbusLine):
            devices = line.devices
            for one in change.after:
                known = devices.get(one.entry.id)
                if known is not None and isinstance(known.report, TableReport):
                    known.report.titles = one.profile.titles
            line.change(
                [
                    self._polled(one, Kept())
                    if one.entry.id in change.fresh
                    else replace(devices[one.entry.id], poll_s=one.poll_s)
                    for one in change.after
                ]
            )

    def _polled(self, placed: Placed, kept: Kept) -> PolledDevice:
        profile, entry = placed.profile, placed.entry
        assert profile.modbus is not None
        assert entry.unit_id is not None
        key = (profile.id, entry.points)
        plan = self._plans.get(key)
        if plan is None or (plan.profile is not profile and plan.profile != profile):
            reads = plan_reads(profile, entry.points)
            plan = _Plan(profile, reads, tuple(ReportRule.of(read.point) for read in reads.points))
            self._plans[key] = plan
        report = self._report(placed, plan.rules)
        report.restore(kept.points)
        return PolledDevice(entry.id, entry.unit_id, placed.poll_s, plan.reads, profile.modbus.word_order, report)

    def _report(self, placed: Placed, rules: tuple[ReportRule, ...]) -> DeviceReport:
        """A panel's table tells events beside its states; of every other device the states are all."""
        profile, entry, misses = placed.profile, placed.entry, self._settings.misses
        if profile.category == "panel" and any(point.name == EVENT for point in profile.points):
            assert entry.unit_id is not None
            return TableReport(entry.id, rules, profile.max_silence_s, misses, entry.unit_id, profile)
        return DeviceReport(entry.id, rules, profile.max_silence_s, misses)
