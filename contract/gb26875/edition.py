"""Editions of the standard: the one place that knows which tables belong to which version bytes.

GB/T 26875.3 has one edition so far (2011, main version 1). A later one is added here with its own limits and layouts.
Devices in the field send all sorts of main versions (0, 2, 16) while speaking the edition of 2011, so an unknown main
version is read by the newest known edition and reported, never refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from contract.gb26875.units import LAYOUTS_2011, MAX_UNIT_BYTES, Layout


class Edition(NamedTuple):
    """One edition. main_version: byte 4 of the frame. max_unit: bytes of an application unit at most."""

    name: str
    main_version: int
    max_unit: int
    layouts: Mapping[int, Layout]


GB26875_3_2011 = Edition("GB/T 26875.3-2011", 1, MAX_UNIT_BYTES, LAYOUTS_2011)
EDITIONS = (GB26875_3_2011,)
"""Oldest first."""


def edition_of(main_version: int) -> tuple[Edition, bool]:
    """The edition to read a frame by, and whether its main version is known."""
    for edition in EDITIONS:
        if edition.main_version == main_version:
            return edition, True
    return EDITIONS[-1], False
