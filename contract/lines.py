"""The lines of a site file and the devices on them: how each kind is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contract.configfile import Section
from contract.equipment import Asset, Limits
from contract.profile import Ident, Text


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


AskWho = Literal["idle", "gaps", "never"]


class PolledLine(_Line):
    retries: int = Field(default=1, ge=0, le=5)
    """How often a damaged answer is asked for again at once. After a missing one the device waits for its turn."""
    dead_share: float = Field(default=0.1, ge=0.01, le=0.5)
    """Largest share of the line's time that silent devices may take; 0.1 is one tenth. Less keeps the others steadier,
    more notices sooner that a device is back."""
    ask_who: AskWho = "idle"
    """When devices are asked which firmware they run: `idle`, only where nothing else is due for so long (0.6 s, on TCP
    `timeout_s`) that even one that is slow to refuse disturbs nothing; `gaps`, in shorter gaps of a full line as well,
    where such a device may cost one read when it reconnects; `never`, for devices that cannot stand the question."""


class ModbusTcpLine(PolledLine):
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


class ModbusRtuLine(_SerialLine, PolledLine):
    """Devices on one RS-485 line."""

    kind: Literal["modbus_rtu"]
    timeout_s: float = Field(default=0.5, gt=0, le=60)
    """Wait for an answer at most this long."""


class ModbusRtuTcpLine(PolledLine):
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


class Gb26875Line(_Line):
    """User information transmission devices (用户信息传输装置) that connect to us, by GB/T 26875.3."""

    kind: Literal["gb26875"]
    listen: str = "127.0.0.1"
    """Own address to listen on; 0.0.0.0 is every one."""
    port: int = Field(ge=1, le=65535)
    """Port to listen on."""
    transport: Literal["tcp", "udp", "both"] = "tcp"
    """What they use."""
    dialects: list[str] = []
    """Private tables these transmitters keep to (docs/gb26875.md names them)."""
    silent_after_s: float | None = Field(default=300.0, gt=0, le=7 * 86400)
    """A transmitter that says nothing for so long is offline; null: only one whose connection closed. The standard
    knows no heartbeat; most send one every 20 to 60 s."""
    sync_clock: bool = True
    """Set the clock of a transmitter that is off by more than 5 s, at most once a day (type 90)."""


Line = Annotated[
    ModbusTcpLine
    | ModbusRtuLine
    | ModbusRtuTcpLine
    | PrinterLine
    | PanelSerialLine
    | PanelTcpLine
    | MqttLine
    | Gb26875Line,
    Field(discriminator="kind"),
]
PANEL_LINES = (PanelSerialLine, PanelTcpLine)
HOSTED_LINES = (ModbusTcpLine, ModbusRtuTcpLine, MqttLine)
"""Lines that are somebody else's endpoint."""


LINE_PREFIX, AGENT_PREFIX = "line-", "agent-"
"""Reserved at the head of a device's id."""


def line_device(line_id: str) -> str:
    """The device under whose name a line reports its own health."""
    return f"{LINE_PREFIX}{line_id}"


def agent_device(agent_id: str) -> str:
    """The device under whose name stands what is known of an agent."""
    return f"{AGENT_PREFIX}{agent_id}"
