"""A site file describes a site once: its agents, their lines, the devices on them. Agent and gateway read it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, PrivateAttr

from contract import configfile
from contract.configfile import Section
from contract.equipment import Group, PointGroup, is_manual_type, zones_of
from contract.errors import ConfigError
from contract.hazard import HazardHandling
from contract.lines import (
    DeviceEntry,
    Gb26875Line,
    Line,
    ModbusRtuLine,
    ModbusRtuTcpLine,
    ModbusTcpLine,
    MqttLine,
    PanelSerialLine,
    PanelTcpLine,
    PolledLine,
    PrinterLine,
    agent_device,
    line_device,
)
from contract.order import OrderHandling
from contract.patrol import Opening, PlaceClass, Plan, TrainingPlan
from contract.patrol_check import patrol_problems
from contract.point_map import MappedPoint, load_point_map
from contract.profile import (
    AGENT_PROFILE,
    LINE_PROFILE,
    LISTENED_LINE_PROFILE,
    REGISTER_PROFILE,
    Ident,
    Point,
    Profile,
    ProfileLibrary,
    Text,
)
from contract.site_check import group_problems, places_in, problems_of
from contract.station import Station

SYSTEM_SITE = "system"
"""Reserved: the site of what the gateway knows of itself."""
GATEWAY_DEVICE = "gateway"
"""The one device of the site `system`, of profile GATEWAY_PROFILE."""
REGISTER_DEVICE = "register"
"""Device of every site, of profile REGISTER_PROFILE: what the gateway keeps of it beside its equipment."""


class Location(Section):
    """Where something stands, degrees (WGS 84)."""

    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class AgentEntry(Section):
    """One agent and what it reads."""

    id: Ident
    title: Text | None = None
    lines: list[Line] = Field(min_length=1)


class Placed(NamedTuple):
    """A device with everything known of it."""

    agent: str
    line: Line
    entry: DeviceEntry
    profile: Profile

    @property
    def title(self) -> Text:
        return self.entry.title or self.profile.title

    @property
    def poll_s(self) -> float:
        return self.entry.poll_s or self.profile.poll_s

    @property
    def points(self) -> list[Point]:
        return self.profile.points_for(self.entry.points)


class Site(Section):
    """One micro fire station and the equipment it watches."""

    site: Ident
    """Name on the wire."""
    title: Text
    """Name for people."""
    time_zone: str = "Asia/Shanghai"
    """Where its clock hangs; rules about hours of the day go by it."""
    agents: list[AgentEntry] = Field(min_length=1)
    area: Ident | None = None
    """Area of the grid file it lies in."""
    location: Location | None = None
    station: Station | None = None
    """Its micro fire station, where it has one."""
    place: PlaceClass = "other"
    """Class of the place; how often it is patrolled and checked follows from it."""
    opening: list[Opening] = []
    """When a public gathering place is open, local time."""
    patrols: list[Plan] = Field(default=[], max_length=40)
    """Routes that are walked: fire patrols, self-checks, patrols of the facilities."""
    trainings: list[TrainingPlan] | None = None
    """Drills and training; without it the usual ones of a station, and of a key unit."""
    hazards: HazardHandling = HazardHandling()
    """How hazards are followed here."""
    orders: OrderHandling = OrderHandling()
    """How work orders are followed here."""
    groups: list[Group] = []
    """Points that are judged together, beside the zones that a panel's point map names."""
    _library: ProfileLibrary = PrivateAttr()
    _titled: dict[str, Profile] = PrivateAttr(default_factory=dict)
    _maps: dict[str, Mapping[str, MappedPoint]] = PrivateAttr(default_factory=dict)
    _content_hash: str = PrivateAttr(default="")

    @property
    def content_hash(self) -> str:
        """Short hash of the content, for telling whether two sides run the same file."""
        return self._content_hash

    def placed(self) -> Iterator[Placed]:
        """Every device, in file order."""
        for agent in self.agents:
            for line in agent.lines:
                for entry in line.devices:
                    profile = self._titled.get(entry.id) or self._library[entry.profile]
                    yield Placed(agent.id, line, entry, profile)

    def own_devices(self) -> Iterator[OwnDevice]:
        """What reports on itself beside the devices: each agent, each line, what the gateway keeps of the site."""
        yield OwnDevice(GATEWAY_DEVICE, REGISTER_DEVICE, REGISTER_PROFILE)
        for agent in self.agents:
            yield OwnDevice(agent.id, agent_device(agent.id), AGENT_PROFILE)
            for line in agent.lines:
                profile = LINE_PROFILE if isinstance(line, PolledLine) else LISTENED_LINE_PROFILE
                yield OwnDevice(agent.id, line_device(line.id), profile)

    def agent(self, agent_id: str) -> AgentEntry | None:
        """The agent of that id."""
        return next((agent for agent in self.agents if agent.id == agent_id), None)

    def all_groups(self) -> Iterator[PointGroup]:
        """Every group: those of the file, then the zones of each panel's point map."""
        for group in self.groups:
            yield PointGroup(group.id, group.kind, group.title, tuple(group.members))
        for placed in self.placed():
            if (points := self._maps.get(placed.entry.id)) is not None:
                yield from zones_of(placed.entry.id, placed.title, points)

    @cached_property
    def groups_by_id(self) -> Mapping[str, PointGroup]:
        """Every group by its id."""
        return {group.id: group for group in self.all_groups()}

    def is_manual(self, device: str, point: str) -> bool:
        """Whether the point is a manual call point, as its panel's point map says."""
        mapped = self._maps.get(device, {}).get(point)
        return mapped is not None and is_manual_type(mapped)


class OwnDevice(NamedTuple):
    """A device that is no equipment: a line's or an agent's own state."""

    agent: str
    device: str
    profile: Profile


def load_site(path: Path, library: ProfileLibrary) -> Site:
    """Read and check a site file and the point maps it names.

    Raises:
        ConfigError: with file:line for every problem found: form, unknown profiles, repeated ids, two devices with
            one address, a device that does not fit its line, a group without members, a time zone nobody knows; with
            file and row for what is wrong with a point map.
    """
    node = configfile.read_node(path)
    data = configfile.build(node, path)
    site = configfile.validate(data, Site, path, node)
    problems = list(problems_of(site, library, path, node))
    if problems:
        raise ConfigError("\n".join(problems))
    site._library = library
    digest = hashlib.sha256(site.model_dump_json(by_alias=True).encode())
    for entry in (entry for agent in site.agents for line in agent.lines for entry in line.devices):
        if entry.point_map is not None:
            points = load_point_map(path.parent / entry.point_map)
            titles = {name: Text(zh=point.title[0], en=point.title[1]) for name, point in points.items()}
            site._maps[entry.id] = points
            site._titled[entry.id] = library[entry.profile].with_titles(titles)
            digest.update(repr(sorted(points.items())).encode())
    site._content_hash = digest.hexdigest()[:16]
    problems = [*group_problems(site, path, node), *patrol_problems(site, places_in(path, node))]
    if problems:
        raise ConfigError("\n".join(problems))
    return site


__all__ = [
    "GATEWAY_DEVICE",
    "REGISTER_DEVICE",
    "SYSTEM_SITE",
    "AgentEntry",
    "DeviceEntry",
    "Gb26875Line",
    "Line",
    "Location",
    "ModbusRtuLine",
    "ModbusRtuTcpLine",
    "ModbusTcpLine",
    "MqttLine",
    "OwnDevice",
    "PanelSerialLine",
    "PanelTcpLine",
    "Placed",
    "PrinterLine",
    "Site",
    "agent_device",
    "line_device",
    "load_site",
]
