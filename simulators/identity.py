"""Who a simulated device says it is: Modbus Read Device Identification (function 43, MEI type 14).

request  0 0x2B  1 0x0E  2 read code  3 first object
answer   0 0x2B  1 0x0E  2 read code  3 conformity  4 more follows  5 next object  6 number of objects
         7.. of each: id, length, bytes
"""

from __future__ import annotations

from dataclasses import dataclass

FUNCTION, MEI_TYPE = 0x2B, 0x0E
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
_STREAMS = (1, 2, 3)
"""Read codes basic, regular, extended; a device that has only the basic objects gives those for each."""
_INDIVIDUAL = 4
_BASIC_AND_INDIVIDUAL = 0x81
ROOM = 246
"""Bytes of objects that fit into one answer."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The basic objects: VendorName, ProductCode, MajorMinorRevision. room: bytes of objects in one answer."""

    vendor: bytes
    product: bytes
    revision: bytes
    room: int = ROOM


def answer_identity(identity: Identity | None, pdu: bytes) -> bytes:
    """The answer to a request of function 43; a device without an identity (None) refuses it."""
    if identity is None or len(pdu) < 2 or pdu[1] != MEI_TYPE:
        return _exception(ILLEGAL_FUNCTION)
    if len(pdu) != 4 or pdu[2] not in (*_STREAMS, _INDIVIDUAL):
        return _exception(ILLEGAL_VALUE)
    code, first = pdu[2], pdu[3]
    objects = (identity.vendor, identity.product, identity.revision)
    if code == _INDIVIDUAL:
        if first >= len(objects):
            return _exception(ILLEGAL_ADDRESS)
        body, more, following, count = _object(first, objects[first]), 0, 0, 1
    else:
        first = first if first < len(objects) else 0  # as the standard has it: an unknown object begins anew
        body, following = b"", first
        while following < len(objects):
            each = _object(following, objects[following])
            if body and len(body) + len(each) > identity.room:
                break
            body, following = body + each, following + 1
        count = following - first
        more, following = (0xFF, following) if following < len(objects) else (0, 0)
    return bytes((FUNCTION, MEI_TYPE, code, _BASIC_AND_INDIVIDUAL, more, following, count)) + body


def _object(number: int, data: bytes) -> bytes:
    return bytes((number, len(data))) + data


def _exception(code: int) -> bytes:
    return bytes((FUNCTION | 0x80, code))
