"""A site file describes a site once: its agents, their lines, the devices on them. Agent and gateway read it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import yaml
from pydantic import Field, PrivateAttr, model_validator

from contract import configfile
from contract.configfile import Section
from contract.equipment import Asset, Group, Limits
from contract.errors import ConfigError
from contract.panel_profile import UNCALLABLE
from contract.point_map import load_point_map
from contract.profile import Ident, Point, Profile, ProfileLibrary, Text
from contract.topics import is_ident


class DeviceEntry(Section):
    """One device."""

    id: Ident
    """Name on the wire, unique in the site."""
    profile: Ident
    """Id of its profile."""
    title: Text | None = None
    """Name for people; the profile's title when absent."""
    place: Text | None = None
    """Where it hangs."""
    unit_id: int | None = Field(default=None, ge=1, le=247)
    """Modbus address, or a panel's controller number; set on the device."""
    poll_s: float | None = Field(default=None, ge=0.1, le=86400)
    """Period of a poll; the profile's when absent."""
    points: int | None = Field(default=None, ge=1, le=2000)
    """How many repeated points this device has (a panel's size); the profile's when absent."""
    point_map: str | None = None
    """Of a panel: CSV or XLSX file of addresses and their places, beside the site file or absolute."""
    address: str | None = Field(default=None, pattern=r"^[^/+#\x00]{1,64}$")
    """Id of a sensor that sends on a broker by itself, as it stands in its topic."""
    asset: Asset | None = None
    """Dates of its life."""
    limits: dict[str, Limits] = {}
    """Rules that have other limits for this device (a tank's low level), by rule id."""


class _Line(Section):
    id: Ident
    """Name of the line, unique in the site."""
    devices: list[DeviceEntry] = Field(min_length=1)
    """What hangs on it."""


class _PolledLine(_Line):
    retries: int = Field(default=1, ge=0, le=5)
    """How often a damaged answer is asked for again at once. After a missing one the device waits for its turn."""
    dead_share: float = Field(default=0.1, ge=0.01, le=0.5)
    """Largest share of the line's time that silent devices may take; 0.1 is one tenth. Less keeps the others steadier,
    more notices sooner that a device is back."""


class ModbusTcpLine(_PolledLine):
    """Devices behind one Modbus TCP endpoint."""

    kind: Literal["modbus_tcp"]
    host: str
    """Address of the endpoint."""
    port: int = Field(default=502, ge=1, le=65535)
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    """Wait for an answer at most this long."""


class _SerialLine(_Line):
    port: str
    """Serial device; use a stable name such as /dev/serial/by-path/..."""
    baud: int = Field(default=9600, ge=300, le=1_500_000)
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1


class ModbusRtuLine(_SerialLine, _PolledLine):
    """Devices on one RS-485 line."""

    kind: Literal["modbus_rtu"]
    timeout_s: float = Field(default=0.5, gt=0, le=60)
    """Wait for an answer at most this long."""


class ModbusRtuTcpLine(_PolledLine):
    """Devices on an RS-485 line behind a serial server that passes RTU frames through over TCP."""

    kind: Literal["modbus_rtu_tcp"]
    host: str
    """Address of the serial server."""
    port: int = Field(ge=1, le=65535)
    """TCP port of the server's serial port."""
    baud: int = Field(default=9600, ge=300, le=1_500_000)
    """Speed set in the serial server; gives the pause between two frames."""
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    """Wait for an answer at most this long."""


class PrinterLine(_SerialLine):
    """A panel's printer port, listened to; nothing is ever sent."""

    kind: Literal["printer"]

    @model_validator(mode="after")
    def _one_device(self) -> PrinterLine:
        if len(self.devices) != 1:
            raise ValueError(f"line {self.id}: got {len(self.devices)} devices, want 1. A printer port is one panel.")
        return self


class _OnePanel(_Line):
    @model_validator(mode="after")
    def _one_device(self) -> Self:
        if len(self.devices) != 1:
            raise ValueError(f"line {self.id}: got {len(self.devices)} devices, want 1. One port is one panel.")
        return self


class PanelSerialLine(_SerialLine, _OnePanel):
    """A panel's serial port in the protocol of its profile."""

    kind: Literal["panel_serial"]


class PanelTcpLine(_OnePanel):
    """A panel or transmitter that connects to us."""

    kind: Literal["panel_tcp"]
    listen: str = "127.0.0.1"
    """Own address to listen on; 0.0.0.0 is every one."""
    port: int = Field(ge=1, le=65535)
    """Port to listen on."""
    transport: Literal["tcp", "udp", "both"] = "tcp"
    """What they use."""


class MqttLine(_Line):
    """Sensors that send on a broker by themselves; it is listened to, nothing is ever published there."""

    kind: Literal["mqtt"]
    host: str
    """Address of the broker."""
    port: int = Field(default=1883, ge=1, le=65535)
    """Port of the broker."""
    username: str | None = None
    """Name to sign in with."""
    password_file: Path | None = None
    """File holding the password, one line; relative to the site file's folder."""
    ca_file: Path | None = None
    """CA certificate, relative to the site file's folder; with it the connection is TLS."""


Line = Annotated[
    ModbusTcpLine | ModbusRtuLine | ModbusRtuTcpLine | PrinterLine | PanelSerialLine | PanelTcpLine | MqttLine,
    Field(discriminator="kind"),
]
PANEL_LINES = (PanelSerialLine, PanelTcpLine)
HOSTED_LINES = (ModbusTcpLine, ModbusRtuTcpLine, MqttLine)
"""Lines that are somebody else's endpoint."""


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
    groups: list[Group] = []
    """Points that are judged together, beside the zones that a panel's point map names."""
    _library: ProfileLibrary = PrivateAttr()
    _titled: dict[str, Profile] = PrivateAttr(default_factory=dict)
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

    def own_devices(self) -> Iterator[tuple[str, str]]:
        """(agent, device) of what reports its own health beside the devices: each polled line (`LINE_PROFILE`)."""
        for agent in self.agents:
            yield from ((agent.id, line_device(line.id)) for line in agent.lines if isinstance(line, _PolledLine))

    def agent(self, agent_id: str) -> AgentEntry | None:
        """The agent of that id."""
        return next((agent for agent in self.agents if agent.id == agent_id), None)


def line_device(line_id: str) -> str:
    """The device under whose name a line reports its own health."""
    return f"line-{line_id}"


def load_site(path: Path, library: ProfileLibrary) -> Site:
    """Read and check a site file.

    Raises:
        ConfigError: with file:line for every problem found: form, unknown profiles, repeated ids, two devices with
            one address, a device that does not fit its line.
    """
    node = configfile.read_node(path)
    data = configfile.build(node, path)
    site = configfile.validate(data, Site, path, node)
    problems = list(_problems(site, library, path, node))
    if problems:
        raise ConfigError("\n".join(problems))
    site._library = library
    digest = hashlib.sha256(site.model_dump_json(by_alias=True).encode())
    for entry, titles in _point_titles(site, path):
        site._titled[entry.id] = library[entry.profile].with_titles(titles)
        digest.update(repr(sorted((name, title.zh, title.en) for name, title in titles.items())).encode())
    site._content_hash = digest.hexdigest()[:16]
    return site


def _point_titles(site: Site, path: Path) -> Iterator[tuple[DeviceEntry, dict[str, Text]]]:
    for agent in site.agents:
        for entry in (entry for line in agent.lines for entry in line.devices if entry.point_map is not None):
            points = load_point_map(path.parent / str(entry.point_map))
            titles = {name: point.title for name, point in points.items()}
            yield entry, {name: Text(zh=zh, en=en) for name, (zh, en) in titles.items()}


def _problems(site: Site, library: ProfileLibrary, path: Path, node: yaml.Node | None) -> Iterator[str]:
    def at(*loc: int | str) -> str:
        line, key = configfile.locate(node, loc)
        return f"{path}:{line}: {key}"

    agents: dict[str, str] = {}
    lines: dict[str, str] = {}
    devices: dict[str, str] = {}
    ports: dict[str, str] = {}
    for a, agent in enumerate(site.agents):
        where = ("agents", a)
        if agent.id in agents:
            yield f"{at(*where, 'id')}: got {agent.id!r} again (first at {agents[agent.id]}), want it once."
        agents.setdefault(agent.id, at(*where, "id"))
        for n, line in enumerate(agent.lines):
            where_line = (*where, "lines", n)
            if line.id in lines:
                yield f"{at(*where_line, 'id')}: got {line.id!r} again (first at {lines[line.id]}), want it once."
            lines.setdefault(line.id, at(*where_line, "id"))
            if not is_ident(line_device(line.id)):
                yield f"{at(*where_line, 'id')}: got {len(line.id)} characters, want at most {48 - len('line-')}."
            # One owner an endpoint, whatever is spoken on it.
            port = f"{line.host if isinstance(line, HOSTED_LINES) else agent.id}:{line.port}"
            if port in ports:
                yield (
                    f"{at(*where_line, 'port')}: got {line.port!r}, which {ports[port]} uses. "
                    "Put all devices of one port on one line."
                )
            ports.setdefault(port, at(*where_line, "port"))
            units: dict[int, str] = {}
            addresses: dict[tuple[str, str], str] = {}
            for d, entry in enumerate(line.devices):
                where_device = (*where_line, "devices", d)
                if entry.id.startswith("line-"):
                    yield f"{at(*where_device, 'id')}: got {entry.id!r}; line-... names a line's own health. Rename it."
                if entry.id in devices:
                    yield (
                        f"{at(*where_device, 'id')}: got {entry.id!r} again (first at {devices[entry.id]}), "
                        "want it once in a site."
                    )
                devices.setdefault(entry.id, at(*where_device, "id"))
                if entry.profile not in library:
                    yield (
                        f"{at(*where_device, 'profile')}: got {entry.profile!r}, want one of "
                        f"{', '.join(library.ids())}. Name a profile or add its file."
                    )
                    continue
                profile = library[entry.profile]
                if not _fits(profile, line):
                    want = _wanted(profile)
                    yield (
                        f"{at(*where_device, 'profile')}: got {entry.profile!r} on a {line.kind} line, "
                        f"want a {want} line."
                    )
                if profile.modbus is not None:
                    if entry.unit_id is None:
                        yield (
                            f"{at(*where_device, 'unit_id')}: got nothing, want 1..247. "
                            "Give the address set on the device's switch."
                        )
                    elif entry.unit_id in units:
                        yield (
                            f"{at(*where_device, 'unit_id')}: got {entry.unit_id}, which {units[entry.unit_id]} has "
                            "on this line. Two devices with one address answer at once; change a switch."
                        )
                    else:
                        units[entry.unit_id] = entry.id
                problem = _address_problem(profile, entry, addresses)
                if problem is not None:
                    yield f"{at(*where_device, 'address')}: {problem}"
                if profile.panel is not None and profile.panel.driver == "gst_crt" and entry.unit_id in UNCALLABLE:
                    yield (
                        f"{at(*where_device, 'unit_id')}: got {entry.unit_id}, want none of {list(UNCALLABLE)}. "
                        "Calling it would send a byte that controls the panel; set another address."
                    )
                if entry.point_map is not None and profile.category != "panel":
                    yield f"{at(*where_device, 'point_map')}: {entry.profile!r} is no panel. Take it out."
                if entry.points is not None and profile.repeat is None:
                    yield f"{at(*where_device, 'points')}: {entry.profile!r} has no repeated points. Take it out."


def _address_problem(profile: Profile, entry: DeviceEntry, taken: dict[tuple[str, str], str]) -> str | None:
    """What is wrong with the address of a sensor; enters it in `taken` when nothing is."""
    if profile.topic is None:
        return None if entry.address is None else f"{entry.profile!r} sends on no topic. Take it out."
    if entry.address is None:
        return (
            f"got nothing, want the sensor's id as it stands in {profile.topic}. Read it on the sensor, or in the "
            "agent's status file under strangers."
        )
    key = (profile.topic, entry.address)
    if key in taken:
        return f"got {entry.address!r}, which {taken[key]} has on this line. Enter each sensor once."
    taken[key] = entry.id
    return None


def _fits(profile: Profile, line: Line) -> bool:
    if profile.panel is not None:
        return isinstance(line, PANEL_LINES)
    if profile.topic is not None or isinstance(line, MqttLine):
        return profile.topic is not None and isinstance(line, MqttLine)
    return (profile.printer is not None) == isinstance(line, PrinterLine) and not isinstance(line, PANEL_LINES)


def _wanted(profile: Profile) -> str:
    if profile.panel is not None:
        return "panel_serial or panel_tcp"
    if profile.topic is not None:
        return "mqtt"
    return "printer" if profile.printer is not None else "modbus_tcp, modbus_rtu or modbus_rtu_tcp"


__all__ = [
    "AgentEntry",
    "DeviceEntry",
    "Line",
    "ModbusRtuLine",
    "ModbusRtuTcpLine",
    "ModbusTcpLine",
    "MqttLine",
    "PanelSerialLine",
    "PanelTcpLine",
    "Placed",
    "PrinterLine",
    "Site",
    "line_device",
    "load_site",
]
