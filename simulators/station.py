"""The equipment of a station: built from a plan, bound to loopback, described by a site file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import yaml

from contract.equipment import zones_of
from contract.messages import Value
from contract.point_map import MappedPoint
from contract.profile import ProfileLibrary, Text
from simulators.device import Device
from simulators.encoding import TransmitterSetting
from simulators.identity import Identity
from simulators.modbus_rtu import ModbusRtuLine
from simulators.modbus_tcp import ModbusTcpServer
from simulators.panels.transmitter import Transmitter
from simulators.ports import free_port
from simulators.printer import PrinterPanel
from simulators.recorder import Recorder
from simulators.sensors import Sensor, SensorNet
from simulators.story_acts import LineAct

Pair = tuple[str, str]
"""A text in Chinese and English."""


@dataclass(frozen=True)
class DevicePlan:
    """One device. `start`: first values by point; `setting`: unit and decimals of a transmitter."""

    id: str
    profile: str
    title: Pair
    place: Pair
    unit_id: int | None = None
    poll_s: float | None = None
    points: int | None = None
    start: Mapping[str, Value] = field(default_factory=dict)
    setting: TransmitterSetting | None = None
    places: Mapping[str, Pair] = field(default_factory=dict)
    """Of a panel: address -> place and what hangs there; written as its point map."""
    zones: Mapping[str, str] = field(default_factory=dict)
    """Of a panel: address -> its zone, written there too."""
    address: str | None = None
    """Of a sensor that sends on a broker by itself: its id there."""
    asset: Mapping[str, Any] = field(default_factory=dict)
    """Dates of its life, as a site file has them."""
    identity: Identity | Literal["own"] | None = "own"
    """Who a Modbus device says it is; None: it refuses to say; "own": what its profile makes of it."""


@dataclass(frozen=True)
class LinePlan:
    """One line. `timeout_s` and `baud` go into the site file; a TCP line has no baud."""

    id: str
    kind: Literal["modbus_tcp", "modbus_rtu", "printer", "mqtt", "panel_tcp"]
    """mqtt: sensors and the broker they send to. panel_tcp: a transmitter that connects to the agent."""
    devices: tuple[DevicePlan, ...]
    baud: int = 9600
    timeout_s: float = 0.5


@dataclass(frozen=True)
class StationPlan:
    """One site with one agent."""

    site: str
    title: Pair
    agent: str
    agent_title: Pair
    lines: tuple[LinePlan, ...]
    station: dict[str, Any] | None = None
    """Its posts and equipment, as a site file has them."""
    patrols: tuple[dict[str, Any], ...] = ()
    """Routes that are walked, as a site file has them."""
    trainings: tuple[dict[str, Any], ...] | None = None
    """Drills and training, as a site file has them; None: the usual ones."""
    groups: tuple[dict[str, Any], ...] = ()
    """Points judged together, as a site file has them."""

    @property
    def devices(self) -> dict[str, DevicePlan]:
        """Every device by id."""
        return {device.id: device for line in self.lines for device in line.devices}

    @property
    def zones(self) -> dict[str, str]:
        """Every zone by the id that the product gives it, and its panel."""
        found: dict[str, str] = {}
        for device in self.devices.values():
            mapped = {
                address: MappedPoint(*place, "", device.zones.get(address, ""))
                for address, place in device.places.items()
            }
            title = Text(zh=device.title[0], en=device.title[1])
            found |= {zone.id: device.id for zone in zones_of(device.id, title, mapped)}
        return found


class Station:
    """`async with Station(plan, folder, recorder) as station` binds every line; `write_site` describes them.

    Args:
        plan: what stands where.
        folder: where the links to the pseudo-terminals go.
        recorder: told every level and every served read.
    """

    def __init__(self, plan: StationPlan, folder: Path, recorder: Recorder, library: ProfileLibrary) -> None:
        self.plan = plan
        self.devices: dict[str, Device] = {}
        self.panels: dict[str, PrinterPanel] = {}
        self.sensors: dict[str, Sensor] = {}
        self.transmitters: dict[str, Transmitter] = {}
        self._lines: dict[str, ModbusTcpServer | ModbusRtuLine | Transmitter] = {}
        self._nets: dict[str, SensorNet] = {}
        self._folder = folder.absolute()
        self._recorder = recorder
        self._library = library
        self._ports: dict[str, int | str] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for line in self.plan.lines:
                await self._bind(line, stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def site(self) -> dict[str, Any]:
        """The site file's content with the ports in use."""
        return site_of(self.plan, self._ports)

    def write_site(self, path: Path) -> None:
        """Write the site file, whole or not at all, and beside it the point maps it names."""
        write_site(path, self.plan, self._ports)

    # --- what happens ---------------------------------------------------------------------------------------------

    def set(self, name: str, value: Value) -> None:
        """Give a point, `device/point`, a value. Raises KeyError or ValueError."""
        device, _, point = name.partition("/")
        if device in self._nets:
            self._nets[device].set(device, point, value)
        else:
            self.devices[device].set(point, value)

    def set_broken(self, name: str, *, is_broken: bool) -> None:
        """A sensor's word means nothing, or something again."""
        device, _, point = name.partition("/")
        if is_broken:
            self.devices[device].spoil(point)
        else:
            self.devices[device].mend(point)

    def set_silence(self, device: str, *, is_silent: bool) -> None:
        """A device says nothing, or speaks again."""
        found = self.devices.get(device) or self.sensors.get(device) or self.transmitters[device]
        found.silent = is_silent

    def set_line(self, line: str, act: LineAct | None) -> None:
        """A line suffers from something, or not any more."""
        found = self._lines[line]
        if isinstance(found, Transmitter):
            found.silent = act is not None
        else:
            found.faults.act = act

    # --- its lines ------------------------------------------------------------------------------------------------

    async def _bind(self, line: LinePlan, stack: AsyncExitStack) -> None:
        link = self._folder / line.id
        if line.kind == "mqtt":
            sensors = {plan.id: self._sensor(plan) for plan in line.devices}
            net = await stack.enter_async_context(SensorNet(sensors))
            self.sensors |= sensors
            self._nets |= dict.fromkeys(sensors, net)
            self._ports[line.id] = net.port
            return
        if line.kind == "panel_tcp":
            (device,) = line.devices
            self._ports[line.id] = port = free_port()
            transmitter = await stack.enter_async_context(Transmitter(port))
            self._lines[line.id] = self.transmitters[device.id] = transmitter
            return
        if line.kind == "printer":
            (device,) = line.devices
            panel = PrinterPanel(device.id, link, self._recorder, baud=line.baud)
            self.panels[device.id] = await stack.enter_async_context(panel)
            self._ports[line.id] = str(link)
            return
        units = {device.unit_id: self._make(device) for device in line.devices if device.unit_id is not None}
        self.devices |= {device.name: device for device in units.values()}
        if line.kind == "modbus_tcp":
            server = await stack.enter_async_context(ModbusTcpServer(units, self._recorder))
            self._lines[line.id], self._ports[line.id] = server, server.port
        else:
            serial = await stack.enter_async_context(ModbusRtuLine(units, link, self._recorder, baud=line.baud))
            self._lines[line.id], self._ports[line.id] = serial, str(link)

    def _sensor(self, plan: DevicePlan) -> Sensor:
        return Sensor(self._library[plan.profile], plan.address or plan.id, plan.start)

    def _make(self, plan: DevicePlan) -> Device:
        profile = self._library[plan.profile]
        return Device(
            plan.id, profile, self._recorder, start=plan.start, points=plan.points, setting=plan.setting,
            identity=plan.identity,
        )  # fmt: skip


def site_of(plan: StationPlan, ports: Mapping[str, int | str]) -> dict[str, Any]:
    """A site file's content; lines without a port are left out.

    Args:
        ports: by line: TCP port, or path of the terminal.
    """
    lines: list[dict[str, Any]] = []
    for line in plan.lines:
        if line.id not in ports:
            continue
        entry: dict[str, Any] = {"id": line.id, "kind": line.kind}
        if line.kind in ("modbus_tcp", "mqtt"):
            entry |= {"host": "127.0.0.1", "port": ports[line.id]}
        elif line.kind == "panel_tcp":
            entry |= {"port": ports[line.id]}
        else:
            entry |= {"port": ports[line.id], "baud": line.baud}
        if line.kind in ("modbus_tcp", "modbus_rtu"):
            entry["timeout_s"] = line.timeout_s
            entry["ask_who"] = "gaps"  # these lines are full, and their devices answer at once
        entry["devices"] = [_entry(device) for device in line.devices]
        lines.append(entry)
    devices = {entry["id"] for line in lines for entry in line["devices"]}
    agent = {"id": plan.agent, "title": _text(plan.agent_title), "lines": lines}
    found: dict[str, Any] = {"site": plan.site, "title": _text(plan.title), "agents": [agent]}
    if plan.groups:
        kept = [{**group, "members": [m for m in group["members"] if m in devices]} for group in plan.groups]
        found["groups"] = [group for group in kept if group["members"]]
    if plan.patrols:
        found["patrols"] = list(plan.patrols)
    if plan.trainings is not None:
        found["trainings"] = list(plan.trainings)
    return found if plan.station is None else {**found, "station": plan.station}


def write_site(path: Path, plan: StationPlan, ports: Mapping[str, int | str]) -> None:
    """Write a site file, whole or not at all, and beside it the point maps it names."""
    for device in plan.devices.values():
        if device.places:
            _write_point_map(path.parent / _point_map(device), device)
    head = "# Written by the simulators for this run: the ports are of this run.\n"
    part = path.with_suffix(".part")
    part.write_text(head + yaml.safe_dump(site_of(plan, ports), allow_unicode=True, sort_keys=False), "utf-8")
    part.replace(path)


def _entry(device: DevicePlan) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": device.id,
        "profile": device.profile,
        "title": _text(device.title),
        "place": _text(device.place),
        "unit_id": device.unit_id,
        "poll_s": device.poll_s,
        "points": device.points,
        "point_map": _point_map(device) if device.places else None,
        "address": device.address,
        "asset": dict(device.asset) or None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _point_map(device: DevicePlan) -> str:
    return f"{device.id}-points.csv"


def _write_point_map(path: Path, device: DevicePlan) -> None:
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("address", "place_zh", "place_en", "zone"))
        writer.writerows((address, *row, device.zones.get(address, "")) for address, row in device.places.items())
    part.replace(path)


def _text(pair: Pair) -> dict[str, str]:
    return {"zh": pair[0], "en": pair[1]}
