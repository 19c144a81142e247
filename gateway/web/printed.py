"""Where a panel says that a point is: the place it prints or sends beside the address.

printout  08/12/02  17:24 | 004-004 | 首次火警 | 裙楼一层上空 | 感烟探测器        date | address | word | place | kind
event     {"event": "fire", "address": "l004p004", "text": "裙楼一层上空", "device_zh": "感烟探测器", ...}
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from contract.panel import EVENT, decode_event, point_address, state_address

PRINTOUT = "printout"
MOST = 5000
"""Addresses remembered; the one told longest ago goes first."""
_ADDRESS = re.compile(r"(\d{3})-(\d{3})")


class Told(NamedTuple):
    """What a panel last told of an address."""

    observed_ms: int
    place: str


def place_told(point: str, text: str) -> tuple[str, str] | None:
    """State point and place of a printed line or an event; None when it names no address or no place."""
    return _of_printout(text) if point == PRINTOUT else _of_event(text) if point == EVENT else None


def _of_printout(text: str) -> tuple[str, str] | None:
    parts = [part.strip() for part in text.split("|")]
    for n, part in enumerate(parts):
        match = _ADDRESS.search(part)
        if match is not None:
            address = point_address(int(match[1]), int(match[2]))
            place = " · ".join(part for part in parts[n + 2 :] if part)  # after the word that says what happened
            return (address, place) if address and place else None
    return None


def _of_event(text: str) -> tuple[str, str] | None:
    try:
        event = decode_event(text)
    except msgspec.DecodeError:
        return None
    address = state_address(event)
    place = " · ".join(part for part in (event.text, event.device_zh) if part)
    return (address, place) if address and event.text else None
