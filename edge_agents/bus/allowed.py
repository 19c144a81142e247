"""What a polled line may send: the allow-list of monitor-only, looked at on the last step before the wire. Pure.

Reads of registers and bits (functions 1 to 4), and Read Device Identification (function 43 with MEI type 14, basic
objects), because which firmware a device runs belongs to what is known of it. That function changes nothing in a
device. Every other MEI type is refused: type 13 carries CANopen services, which write.
"""

from __future__ import annotations

from contract.errors import WeizhanError
from edge_agents.bus.rtu import READS
from edge_agents.drivers import identity

_READ_BYTES = 5
"""Function, address, count."""
_IDENTITY_HEAD = bytes((identity.FUNCTION, identity.MEI_TYPE, identity.BASIC))


class ForbiddenRequestError(WeizhanError):
    """A request that could change something was about to be sent: a fault of this program. Nothing was sent."""


def is_allowed(pdu: bytes) -> bool:
    """Whether a request (function and what follows, no address, no check sum) may be sent."""
    if len(pdu) == _READ_BYTES:
        return pdu[0] in READS
    return pdu[:3] == _IDENTITY_HEAD and len(pdu) == 4 and pdu[3] in identity.OBJECTS


def check_request(pdu: bytes) -> None:
    """Raises ForbiddenRequestError unless the request may be sent."""
    if not is_allowed(pdu):
        raise ForbiddenRequestError(f"got the request {pdu[:16].hex(' ')}, want a read or who-is-it. Nothing was sent.")
