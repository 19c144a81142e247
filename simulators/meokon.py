"""A simulated MEOKON wireless terminal V3.0: encodes its own frames and publishes them as hex text.

    A5 5A | 00 | length 2 | id 12 | battery | RSSI | interval 2 | count 2 | unit | alarms | low 2 | high 2 | now 2 |
    UTC 4 | records 2 each | CRC-16/Modbus, high byte first | 55 AA

Nobody answers it, so it sends the records it holds again with every frame, as the real one does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import aiomqtt

TOPIC = "GIOT-GW/UL/"
KPA_OF_COUNT = {0: 0.1, 1: 1.0, 2: 1.0}
"""Unit code -> kPa of one count: 0.1 kPa, 0.001 MPa, 0.01 bar."""
MOST_RECORDS = 600


@dataclass
class Terminal:
    """One terminal. Pressures in kPa; battery in per cent (steps of 5)."""

    id: str
    pressure_kpa: float = 300.0
    low_kpa: float = 140.0
    high_kpa: float = 1000.0
    battery_pct: int = 100
    mode: int = 1
    """0 dual, 1 battery, 2 external."""
    external_power: bool = False
    rssi_dbm: int = -70
    interval_s: int = 60
    unit_code: int = 1
    extra_alarms: int = 0
    """Alarm bits beside low and high, which follow from pressure and limits."""
    records_kpa: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_RECORDS))

    def record(self) -> None:
        """Cache the pressure, as the terminal does once an interval."""
        self.records_kpa.append(self.pressure_kpa)

    def frame(self, time_s: int) -> bytes:
        """What it sends at this time (seconds UTC)."""
        alarms = (self.pressure_kpa < self.low_kpa) | (self.pressure_kpa > self.high_kpa) << 1 | self.extra_alarms
        body = b"\xa5\x5a\x00" + _two(39 + 2 * len(self.records_kpa)) + self.id.encode("ascii").ljust(12, b"0")[:12]
        body += bytes([self.external_power << 7 | self.mode << 5 | self.battery_pct // 5, self.rssi_dbm & 0xFF])
        body += _two(self.interval_s) + _two(len(self.records_kpa)) + bytes([self.unit_code, alarms])
        body += b"".join(self._counts(kpa) for kpa in (self.low_kpa, self.high_kpa, self.pressure_kpa))
        body += time_s.to_bytes(4, "big") + b"".join(map(self._counts, self.records_kpa))
        return body + _two(_crc(body)) + b"\x55\xaa"

    def payload(self, time_s: int) -> bytes:
        """The frame as it is published."""
        return self.frame(time_s).hex().upper().encode()

    async def publish(self, client: aiomqtt.Client, time_s: int) -> None:
        """Send one frame."""
        await client.publish(TOPIC + self.id, self.payload(time_s), qos=1)

    def _counts(self, kpa: float) -> bytes:
        return _two(round(kpa / KPA_OF_COUNT.get(self.unit_code, 1.0)))


def _two(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _crc(data: bytes) -> int:
    remainder = 0xFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            is_odd = remainder & 1
            remainder >>= 1
            if is_odd:
                remainder ^= 0xA001
    return remainder
