"""Frames of a MEOKON (铭控) wireless pressure or hydrant terminal V3.0, as hex text in MQTT payloads. Pure.

     0  A5 5A       5  id 12        19  interval 2   24  alarm bits 1   29  pressure now 2   35 + 2 count  CRC 2
     2  command 1  17  battery 1    21  count 2      25  low limit 2    31  UTC seconds 4    37 + 2 count  55 AA
     3  length 2   18  RSSI 1       23  unit 1       27  high limit 2   35  records 2 each

Big-endian. length counts the whole frame. battery: bit 7 external power, bits 6-5 mode, bits 4-0 times 5 %. rssi:
signed dBm. interval: seconds between records. records: old to new, `count` of them. CRC-16/Modbus over everything
before it, sent high byte first (the reverse of Modbus itself).

Source: the maker's table of protocol V3.0 and its two example frames. The terminal wants an answer within 5 s and
repeats its records without one; no byte of that answer is published, so none is sent and repeats are expected.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from contract import quality as q
from contract.errors import MessageError
from contract.mqtt_device import FrameUnit
from contract.profile import Profile
from contract.units import FACTORS
from edge_agents.foreign.message import MAX_PAYLOAD, Decode, Measured, Message, Sample

START, END = b"\xa5\x5a", b"\x55\xaa"
COMMAND = 0x00
SHORTEST = 39
MOST_RECORDS = 600
"""What a terminal on GPRS may send; on NB-IoT 200."""
HYDRANT_WITH_TILT = 24
ALARMS = ("low", "high", "battery", "sensor_fault", "hardware", "second_low", "second_high", "third")
HYDRANT_ALARMS = (*ALARMS[:5], "impact", "tilt", "water_discharge")
MODES = ("dual", "battery", "external", "reserved")
_HEAD = struct.Struct(">B H 12s B b H H B B H H H I")
_HEX = re.compile(rb"[0-9A-Fa-f]*")
_ID = re.compile(rb"[\x21-\x7e]{12}")
TERMINAL_POINTS = {
    "low": "pressure_low",
    "high": "pressure_high",
    "battery": "battery_low",
    "sensor_fault": "sensor_fault",
    "hardware": "hardware_fault",
    "second_low": "pressure_second_low",
    "second_high": "pressure_second_high",
    "third": "third_alarm",
    "impact": "impact",
    "tilt": "tilted",
    "water_discharge": "water_discharge",
}
"""Alarm of a frame -> name of its point."""


class Frame(NamedTuple):
    """The fields of a frame, raw. time_s: seconds since 1970 UTC. records: old to new."""

    device: str
    battery: int
    rssi_dbm: int
    interval_s: int
    unit_code: int
    alarm_bits: int
    low: int
    high: int
    now: int
    time_s: int
    records: tuple[int, ...]

    @property
    def battery_pct(self) -> int:
        """Charge in per cent, in steps of 5; above 100 the byte is wrong."""
        return (self.battery & 0x1F) * 5

    @property
    def battery_mode(self) -> str:
        """What the terminal lives on: dual, battery, external; `reserved` is not in the maker's table."""
        return MODES[self.battery >> 5 & 3]

    @property
    def external_power(self) -> bool:
        """Whether external power is there."""
        return bool(self.battery & 0x80)

    @property
    def alarms(self) -> dict[str, bool]:
        """Every alarm this kind of terminal has, by name."""
        names = HYDRANT_ALARMS if self.unit_code == HYDRANT_WITH_TILT else ALARMS
        return {name: bool(self.alarm_bits >> bit & 1) for bit, name in enumerate(names)}

    def record_times_s(self) -> list[int]:
        """When each record was taken, old to new: the newest at the frame's own time, one interval between two."""
        newest = len(self.records) - 1
        return [self.time_s - (newest - at) * self.interval_s for at in range(len(self.records))]


def crc16(data: bytes) -> int:
    """CRC-16/Modbus."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def parse_hex(payload: bytes) -> bytes:
    """The bytes of hex text; white space around it is taken off. Raises MessageError `not_hex` or `oversized`."""
    if len(payload) > MAX_PAYLOAD:
        raise MessageError("oversized", f"got {len(payload)} characters, want at most {MAX_PAYLOAD}")
    text = payload.strip()
    if len(text) % 2 or not _HEX.fullmatch(text) or not text:
        raise MessageError("not_hex", f"got {text[:20]!r}, want an even number of hex digits")
    return bytes.fromhex(text.decode("ascii"))


def parse_frame(data: bytes) -> Frame:
    """A frame, checked whole.

    Raises:
        MessageError: `short`, `long`, `start`, `end`, `length`, `crc`, `command`, `count` or `id`.
    """
    if len(data) < SHORTEST:
        raise MessageError("short", f"got {len(data)} bytes, want at least {SHORTEST}")
    if len(data) > SHORTEST + 2 * MOST_RECORDS:
        raise MessageError("long", f"got {len(data)} bytes, want at most {SHORTEST + 2 * MOST_RECORDS}")
    if data[:2] != START:
        raise MessageError("start", f"got {data[:2].hex()}, want {START.hex()}")
    if data[-2:] != END:
        raise MessageError("end", f"got {data[-2:].hex()}, want {END.hex()}")
    head = _HEAD.unpack_from(data, 2)
    command, length, device, battery, rssi, interval_s, count, unit, bits, low, high, now, time_s = head
    if length != len(data):
        raise MessageError("length", f"got {len(data)} bytes, want the {length} it says")
    got, want = int.from_bytes(data[-4:-2], "big"), crc16(data[:-4])
    if got != want:
        raise MessageError("crc", f"got {got:04x}, want {want:04x} (high byte first)")
    if command != COMMAND:
        raise MessageError("command", f"got {command:#04x}, want {COMMAND:#04x}")
    if count > MOST_RECORDS or SHORTEST + 2 * count != length:
        raise MessageError("count", f"got {count} records in {length} bytes, want {(length - SHORTEST) / 2:g}")
    if not _ID.fullmatch(device):
        raise MessageError("id", f"got {device!r}, want 12 printable ASCII characters")
    records = struct.unpack_from(f">{count}H", data, SHORTEST - 4)
    return Frame(device.decode("ascii"), battery, rssi, interval_s, unit, bits, low, high, now, time_s, records)


def decoder(profile: Profile) -> Decode:
    """The decoder of a profile with a `mqtt_frame` section of driver meokon."""
    assert profile.mqtt_frame is not None
    units = profile.mqtt_frame.units

    def decode(device: str, payload: bytes) -> Message:
        return decode_message(profile, units, device, payload)

    return decode


def decode_message(profile: Profile, units: dict[int, FrameUnit], device: str, payload: bytes) -> Message:
    """A frame as points of its profile.

    The table does not say when the newest record was taken; it is put at the frame's time.

    Raises:
        MessageError: as `parse_frame`; `identity` (another id than in the topic), `type` (a code of another profile).
    """
    frame = parse_frame(parse_hex(payload))
    if frame.device != device:
        raise MessageError("identity", f"got a frame of {frame.device!r}, want {device!r} as in the topic")
    if frame.unit_code not in units:
        known = ", ".join(map(str, sorted(units)))
        raise MessageError("type", f"got unit or type code {frame.unit_code}, want one of {known}. Choose its profile")
    unit = units[frame.unit_code]

    def pressure(name: str, raw: int) -> Measured:
        return _pressure(profile, unit, name, raw)

    is_good = frame.battery_pct <= 100
    current = [
        pressure("pressure_kpa", frame.now),
        pressure("low_limit_kpa", frame.low),
        pressure("high_limit_kpa", frame.high),
        Measured("battery_pct", float(frame.battery_pct) if is_good else None, q.GOOD if is_good else _OUT),
        Measured("signal_dbm", float(frame.rssi_dbm), q.GOOD),
        Measured("external_power", frame.external_power, q.GOOD),
        *(Measured(TERMINAL_POINTS[name], is_on, q.GOOD) for name, is_on in frame.alarms.items()),
    ]
    cached = [
        Sample(time_s * 1000, pressure("pressure_kpa", raw))
        for time_s, raw in zip(frame.record_times_s(), frame.records, strict=True)
    ]
    return Message(frame.time_s * 1000, [seen for seen in current if profile.point(seen.point)], cached)


_OUT = q.bad("out_of_range")


def _pressure(profile: Profile, unit: FrameUnit, name: str, raw: int) -> Measured:
    if unit.unit is None or unit.scale is None:
        return Measured(name, None, q.bad("unknown_unit"))
    # Rounded where the factor's binary fraction would show: 605 * 0.001 MPa is 605 kPa.
    value = round(raw * unit.scale * FACTORS[unit.unit, "kpa"], 6)
    point = profile.point(name)
    if point is not None and point.range is not None and not point.range[0] <= value <= point.range[1]:
        return Measured(name, None, _OUT)
    return Measured(name, value, q.GOOD)
