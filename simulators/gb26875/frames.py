"""Frames of GB/T 26875.3-2011, built and taken apart from the standard's tables alone; shared with no decoder.

Numbers are little-endian; a time tag is second, minute, hour, day, month, year - 2000 in China's time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

CONTROL, DATA, CONFIRM, REQUEST, RESPONSE, DENY = 1, 2, 3, 4, 5, 6
_CHINA = timedelta(hours=8)


class Plain(NamedTuple):
    """A frame taken apart."""

    serial: int
    source: bytes
    destination: bytes
    command: int
    unit: bytes
    is_sound: bool


def time_tag(at_ms: int) -> bytes:
    """Six bytes of an instant, ms UTC."""
    wall = datetime.fromtimestamp(at_ms / 1000, UTC) + _CHINA
    return bytes((wall.second, wall.minute, wall.hour, wall.day, wall.month, wall.year - 2000))


def frame(
    serial: int,
    command: int,
    unit: bytes = b"",
    *,
    source: bytes,
    destination: bytes = bytes(6),
    sent: bytes = bytes(6),
    version: bytes = b"\x01\x01",
) -> bytes:
    """A whole frame."""
    body = (
        serial.to_bytes(2, "little") + version + sent + source + destination
        + len(unit).to_bytes(2, "little") + bytes((command,)) + unit
    )  # fmt: skip
    return b"@@" + body + bytes((sum(body) % 256,)) + b"##"


def take_apart(stream: bytearray) -> list[Plain]:
    """The frames that are complete in the stream, taken off its front; rubbish before a start is dropped."""
    found = []
    while True:
        start = stream.find(b"@@")
        if start < 0:
            break
        del stream[:start]
        if len(stream) < 30:
            break
        size = 30 + int.from_bytes(stream[24:26], "little")
        if len(stream) < size:
            break
        raw = bytes(stream[:size])
        sound = raw[-2:] == b"##" and raw[-3] == sum(raw[2:-3]) % 256
        found.append(Plain(int.from_bytes(raw[2:4], "little"), raw[12:18], raw[18:24], raw[26], raw[27:-3], sound))
        del stream[: size if sound else 2]
    return found


def component_status(
    sys_type: int, sys_addr: int, comp_type: int, comp_addr: int, status: int, text: str, at_ms: int | None
) -> bytes:
    """A unit of type 2 with one object; without a time tag when at_ms is None."""
    name = text.encode("gb18030")[:31].ljust(31, b"\0")
    head = bytes((2, 1, sys_type, sys_addr, comp_type)) + comp_addr.to_bytes(4, "little") + status.to_bytes(2, "little")
    return head + name + (b"" if at_ms is None else time_tag(at_ms))


def system_status(sys_type: int, sys_addr: int, status: int, at_ms: int) -> bytes:
    """A unit of type 1 with one object."""
    return bytes((1, 1, sys_type, sys_addr)) + status.to_bytes(2, "little") + time_tag(at_ms)


def analog_value(
    sys_type: int, sys_addr: int, comp_type: int, comp_addr: int, analog_type: int, raw: int, at_ms: int
) -> bytes:
    """A unit of type 3 with one object."""
    head = bytes((3, 1, sys_type, sys_addr, comp_type)) + comp_addr.to_bytes(4, "little")
    return head + bytes((analog_type,)) + raw.to_bytes(2, "little", signed=True) + time_tag(at_ms)


def operation(sys_type: int, sys_addr: int, bits: int, operator: int, at_ms: int) -> bytes:
    """A unit of type 4 with one object."""
    return bytes((4, 1, sys_type, sys_addr, bits, operator)) + time_tag(at_ms)


def transmitter_status(status: int, at_ms: int | None) -> bytes:
    """A unit of type 21."""
    return bytes((21, 1, status)) + (b"" if at_ms is None else time_tag(at_ms))


def transmitter_operation(bits: int, operator: int, at_ms: int) -> bytes:
    """A unit of type 24; bit 5 answers a duty check."""
    return bytes((24, 1, bits, operator)) + time_tag(at_ms)
