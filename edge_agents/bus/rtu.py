"""Finding the answer to one read request in the bytes of an RTU line. Pure.

    request    0 unit  1 function  2-3 address  4-5 count  6-7 CRC
    answer     0 unit  1 function  2 bytes of data  3.. data  last two: CRC
    exception  0 unit  1 function | 0x80  2 code  3-4 CRC
    identity   0 unit  1 0x2B  2 0x0E  3 read code  4 conformity  5 more follows  6 next object  7 number of objects
               8.. of each object: id, length, bytes  last two: CRC; asked for by 0 unit  1 0x2B  2 0x0E  3 1  4 object

Only a frame of the unit, function and length that was asked for, with a right CRC, is an answer. Noise before it (a
driver switching on), an echo of the request, late answers of other lengths and frames between others are passed over
and named, so that they can be counted.

Source: MODBUS over serial line V1.02, 2.5.1; MODBUS protocol V1.1b3, 6.1-6.4, 6.21.
"""

from __future__ import annotations

from dataclasses import dataclass

READS = (1, 2, 3, 4)
FRAME_BYTES = 5
"""Unit, function, byte count and CRC around the data of an answer; also a whole exception."""
REQUEST_BYTES = 8
IDENTITY, IDENTITY_TYPE = 0x2B, 0x0E
"""Function and MEI type of Read Device Identification."""
IDENTITY_REQUEST_BYTES = 7
MOST_BYTES = 256
"""Longest frame of a line."""
_IDENTITY_HEAD = 8


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_TABLE = _crc_table()


def crc_of(data: bytes) -> int:
    """CRC-16/Modbus; 0 over a frame that carries its own CRC."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is out. third_byte: what follows the function in its answer, for a read the bytes of data."""

    unit: int
    function: int
    third_byte: int

    @classmethod
    def of(cls, unit: int, function: int, size: int) -> Asked:
        """The request for `size` registers (functions 3, 4) or bits (1, 2)."""
        return cls(unit, function, (size + 7) // 8 if function in (1, 2) else 2 * size)

    @classmethod
    def identity(cls, unit: int) -> Asked:
        """The request for its identification."""
        return cls(unit, IDENTITY, IDENTITY_TYPE)


@dataclass(slots=True)
class Sifted:
    """What was found. `answer` is the whole frame, None while there is none.

    damaged: a frame that looked like the answer has a wrong CRC and nothing follows it.
    echoed: the request came back to us. late: answers of this unit to something else. foreign: sound frames of others.
    rest: bytes that belong to no frame.
    """

    answer: bytes | None = None
    damaged: bool = False
    echoed: bool = False
    late: int = 0
    foreign: int = 0
    rest: int = 0


def sift(heard: bytes, asked: Asked) -> Sifted:
    """Look for the answer in everything heard since the request was sent."""
    found = Sifted()
    at, end = 0, len(heard)
    while at + FRAME_BYTES <= end:
        length = _length(heard, at)
        if length and at + length <= end and crc_of(heard[at : at + length]) == 0:
            frame = heard[at : at + length]
            at += length
            if frame[0] == asked.unit and frame[1] & 0x7F == asked.function:
                if length == FRAME_BYTES or frame[2] == asked.third_byte:
                    found.answer, found.damaged = frame, False
                    return found
                found.late += 1
            else:
                found.foreign += 1
            continue
        if request := _request_length(heard, at):
            ours = heard[at] == asked.unit and heard[at + 1] == asked.function
            found.echoed |= ours
            found.foreign += not ours
            at += request
            continue
        if _is_answer(heard, at, asked):
            # Whole, it is damaged; not whole, it may still be coming, or be noise in front of the true one.
            found.damaged = at + length == end
        at += 1
        found.rest += 1
    found.rest += end - at
    return found


def _request_length(heard: bytes, at: int) -> int:
    """Bytes of the sound request that begins here; 0 when none does."""
    if heard[at + 1] in READS:
        length = REQUEST_BYTES
    elif heard[at + 1] == IDENTITY and heard[at + 2] == IDENTITY_TYPE:
        length = IDENTITY_REQUEST_BYTES
    else:
        return 0
    return length if at + length <= len(heard) and crc_of(heard[at : at + length]) == 0 else 0


def _is_answer(heard: bytes, at: int, asked: Asked) -> bool:
    """Whether a frame that begins here has the head of the answer."""
    if heard[at] != asked.unit:
        return False
    return heard[at + 1] == asked.function and heard[at + 2] == asked.third_byte


def _length(heard: bytes, at: int) -> int:
    """Bytes of the answer or exception that would begin here; 0 when none can."""
    if not 1 <= heard[at] <= 247:
        return 0
    function = heard[at + 1]
    if function in READS:
        return FRAME_BYTES + heard[at + 2]
    if function == IDENTITY:
        return _identity_length(heard, at)
    if function & 0x80 and function & 0x7F in (*READS, IDENTITY):
        return FRAME_BYTES
    return 0


def _identity_length(heard: bytes, at: int) -> int:
    """Bytes of the identification that begins here; 0 when it is none, or its objects are not all heard yet."""
    if len(heard) < at + _IDENTITY_HEAD or heard[at + 2] != IDENTITY_TYPE:
        return 0
    length = _IDENTITY_HEAD
    for _ in range(heard[at + 7]):
        if len(heard) < at + length + 2:
            return 0
        length += 2 + heard[at + length + 1]
    length += 2
    return length if length <= MOST_BYTES else 0
