"""What a device tells of itself: the answer to Modbus Read Device Identification (function 43, MEI type 14). Pure.

    request    0 0x2B  1 0x0E  2 read code 1 (basic)  3 first object
    answer     0 0x2B  1 0x0E  2 read code  3 conformity  4 more follows (0 or 0xFF)  5 next object
               6 number of objects  7.. of each: object id, length, bytes
    exception  0 0xAB  1 code

Basic objects: 0 VendorName, 1 ProductCode, 2 MajorMinorRevision. Source: MODBUS protocol V1.1b3, 6.21.
"""

from __future__ import annotations

from typing import NamedTuple

from contract.errors import DeviceError
from contract.profile import IDENTITY_POINTS

FUNCTION, MEI_TYPE, BASIC = 0x2B, 0x0E, 1
OBJECTS = tuple(range(len(IDENTITY_POINTS)))
"""The basic objects, in the order of IDENTITY_POINTS."""
_HEAD = 7
_NOT_NOW = {5: "busy", 6: "busy", 10: "no_answer", 11: "no_answer"}
"""Exception codes that say "not now"; 10 and 11 are a gateway's unit not answering. Every other one is a refusal."""


class IdentityPart(NamedTuple):
    """One answer. objects: id -> bytes, of the basic ones. next_object: where to go on; None: this is all."""

    objects: dict[int, bytes]
    next_object: int | None


def decode_identity(pdu: bytes, asked: int) -> IdentityPart:
    """An answer without address and check sum, to a request that began at the object `asked`.

    Raises:
        DeviceError: `refused`, `busy`, `no_answer` (a gateway says so), `bad_answer` (its parts contradict each other).
    """
    if len(pdu) == 2 and pdu[0] == FUNCTION | 0x80:
        raise DeviceError(_NOT_NOW.get(pdu[1], "refused"), f"got exception {pdu[1]} to the question who it is")
    if len(pdu) < _HEAD or pdu[:2] != bytes((FUNCTION, MEI_TYPE)):
        raise DeviceError("bad_answer", f"got {pdu[:16].hex(' ')}, want an identification")
    objects: dict[int, bytes] = {}
    at = _HEAD
    for _ in range(pdu[6]):
        if at + 2 > len(pdu) or at + 2 + pdu[at + 1] > len(pdu):
            raise DeviceError("bad_answer", f"got an object that ends behind its {len(pdu)} bytes")
        number, data = pdu[at], pdu[at + 2 : at + 2 + pdu[at + 1]]
        if number in objects:
            raise DeviceError("bad_answer", f"got object {number} twice")
        objects[number] = data
        at += 2 + len(data)
    if at != len(pdu):
        raise DeviceError("bad_answer", f"got {len(pdu) - at} bytes after its objects")
    # A device that sends us back to where we have been would have us ask for ever.
    goes_on = bool(pdu[4]) and max([asked, *objects]) < pdu[5] <= OBJECTS[-1]
    return IdentityPart({n: objects[n] for n in OBJECTS if n in objects}, pdu[5] if goes_on else None)


def shown_text(data: bytes) -> str:
    """The text of an object for people, from which its bytes can be told again.

    What is no printable UTF-8 becomes `\\xNN` for each byte, and so does a backslash. Padding at the end (NUL, blanks)
    is left out; that alone cannot be told again.
    """
    text = data.rstrip(b"\0 ").decode("utf-8", "surrogateescape")
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char.isprintable() and char != "\\":
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
