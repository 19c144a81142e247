"""The frame (数据包) of GB/T 26875.3-2011: 30 bytes around the application unit.

    0     2        4      5      6        12       18            24       26       27        27+L      28+L   30+L
    +-----+--------+------+------+--------+--------+-------------+--------+--------+---------+---------+------+
    | @@  | serial | main | user | time 6 | source | destination | L      | command| unit    | checksum| ##   |
    | 4040| LE     | ver. | ver. |        | 6      | 6           | LE     |        | L bytes |         | 2323 |
    +-----+--------+------+------+--------+--------+-------------+--------+--------+---------+---------+------+
             |<-------------------- sum of these bytes, low 8 bits, is the checksum ------------->|

L is at most 1024 and may be 0. Addresses are kept as the six bytes of the wire, low byte first, and mean what the site
says they mean: senders put serial numbers, zeros or an IP address there.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from contract.errors import MessageError
from contract.gb26875.time_tag import TIME_BYTES, TimeTag
from contract.gb26875.units import MAX_UNIT_BYTES

START, END = b"@@", b"##"
OVERHEAD = 30
MAX_FRAME_BYTES = OVERHEAD + MAX_UNIT_BYTES
CONTROL, SEND_DATA, CONFIRM, REQUEST, RESPONSE, DENY = 1, 2, 3, 4, 5, 6
"""Command byte (命令字节); 0 and 7..127 are reserved, 128..255 the user's."""
_HEAD = struct.Struct("<2sHBB6s6s6sHB")
_ADDRESS_BYTES = 6


class Frame(msgspec.Struct, frozen=True):
    """What a frame carries. src, dst: six bytes each. unit: bytes of the application unit."""

    serial: int
    main_version: int
    user_version: int
    sent: TimeTag
    src: bytes
    dst: bytes
    command: int
    unit: bytes = b""


class Problem(NamedTuple):
    """Why bytes are no frame. reason: `short`, `start`, `limit`, `length`, `checksum` or `end`; text: for people."""

    reason: str
    text: str


class Inspection(NamedTuple):
    """Bytes held against the form of a frame.

    frame: None when even the head is incomplete. problems: empty when it is a good frame. checksum: as given,
    checksum_sum: as it ought to be; None when the bytes do not reach so far.
    """

    frame: Frame | None
    length: int | None
    checksum: int | None
    checksum_sum: int | None
    problems: tuple[Problem, ...]


class FrameError(MessageError):
    """These bytes are no frame. `reason` as in Problem, the first one found; `problems` has all."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems[0].reason, "; ".join(problem.text for problem in problems))
        self.problems = problems


def checksum_of(raw: bytes) -> int:
    """Low 8 bits of the sum of all bytes from the serial number to the end of the application unit."""
    return sum(raw) & 0xFF


def inspect_frame(raw: bytes, max_unit: int = MAX_UNIT_BYTES) -> Inspection:
    """Hold bytes that should be one whole frame against its form. Never raises."""
    problems = []
    if not raw.startswith(START):
        problems.append(Problem("start", f"start marker {raw[:2].hex().upper() or 'absent'}, expected 4040"))
    if len(raw) < _HEAD.size:
        problems.append(Problem("short", f"{len(raw)} bytes, a frame has at least {OVERHEAD}"))
        return Inspection(None, None, None, None, tuple(problems))
    _, serial, main, user, sent, src, dst, length, command = _HEAD.unpack_from(raw)
    if length > max_unit:
        problems.append(Problem("limit", f"application unit of {length} bytes, at most {max_unit} allowed"))
    given = wanted = None
    if len(raw) != OVERHEAD + length:
        problems.append(Problem("length", f"length {len(raw)}, expected {OVERHEAD + length} = {OVERHEAD} + {length}"))
    else:
        given, wanted = raw[-3], checksum_of(raw[2:-3])
        if given != wanted:
            problems.append(Problem("checksum", f"checksum 0x{given:02X}, sum gives 0x{wanted:02X}"))
        if raw[-2:] != END:
            problems.append(Problem("end", f"end marker {raw[-2:].hex().upper()}, expected 2323"))
    frame = Frame(serial, main, user, TimeTag(sent), src, dst, command, raw[27 : 27 + length])
    return Inspection(frame, length, given, wanted, tuple(problems))


def read_frame(raw: bytes, max_unit: int = MAX_UNIT_BYTES) -> Frame:
    """The frame of exactly these bytes.

    Raises:
        FrameError: markers, length or checksum do not agree; the sender is to be answered with deny (6) where its
            serial number can be read.
    """
    found = inspect_frame(raw, max_unit)
    if found.problems or found.frame is None:
        raise FrameError(found.problems)
    return found.frame


def write_frame(frame: Frame, max_unit: int = MAX_UNIT_BYTES) -> bytes:
    """The bytes of a frame.

    Raises:
        MessageError: reason `frame`, for a number out of range, an address or time tag that has not six bytes, or a
            unit longer than allowed.
    """
    for name, raw, size in (("src", frame.src, _ADDRESS_BYTES), ("dst", frame.dst, _ADDRESS_BYTES),
                            ("sent", frame.sent.raw, TIME_BYTES)):  # fmt: skip
        if len(raw) != size:
            raise MessageError("frame", f"{name}: got {len(raw)} bytes, want {size}.")
    if len(frame.unit) > max_unit:
        raise MessageError("frame", f"unit: got {len(frame.unit)} bytes, want at most {max_unit}. Split it.")
    try:
        head = _HEAD.pack(START, frame.serial, frame.main_version, frame.user_version, frame.sent.raw, frame.src,
                          frame.dst, len(frame.unit), frame.command)  # fmt: skip
    except struct.error as exc:
        raise MessageError(
            "frame", f"got serial {frame.serial}, version {frame.main_version}.{frame.user_version}, command "
            f"{frame.command}; want serial 0..65535, the others 0..255."
        ) from exc  # fmt: skip
    raw = head + frame.unit
    return raw + bytes((checksum_of(raw[2:]),)) + END


def is_stale_confirm(raw: bytes) -> bool:
    """Whether a refused frame is a confirm or deny made from the sender's own frame without a new checksum.

    Some centres turn a data frame (command 2) into its confirm by changing the command alone. Nothing but the checksum
    may be wrong, and it must be exactly what it was before the change.
    """
    found = inspect_frame(raw)
    if found.frame is None or [problem.reason for problem in found.problems] != ["checksum"]:
        return False
    command = found.frame.command
    return command in (CONFIRM, DENY) and found.checksum == (checksum_of(raw[2:-3]) - command + SEND_DATA) & 0xFF


def answer_to(frame: Frame, command: int, sent: TimeTag, unit: bytes = b"") -> Frame:
    """The answer to a frame: its serial number and version, addresses turned round, own send time."""
    return Frame(frame.serial, frame.main_version, frame.user_version, sent, frame.dst, frame.src, command, unit)
