"""Numbers that points have at a centre: system type and address, component type and address. Pure.

A number once given stays: it is written down with the first event that uses it. A panel's loop and point, and the
address a transmitter gave a component, are kept; everything else is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from contract.profile import Profile

FIRE_ALARM, HYDRANTS, SPRINKLERS, GENERAL = 1, 11, 12, 0
_SYSTEMS = {"panel": FIRE_ALARM, "detector": FIRE_ALARM, "hydrant": HYDRANTS, "water": HYDRANTS, "pump": HYDRANTS,
            "transmitter": HYDRANTS, "extinguisher": GENERAL, "station": GENERAL}  # fmt: skip
"""Category of a device -> system type (table 3 of the standard)."""
_COMPONENTS = {"panel": 1, "detector": 25, "hydrant": 130, "water": 92, "pump": 91, "transmitter": 128,
               "extinguisher": 160, "station": 161, "line": 162, "agent": 162, "gateway": 162}  # fmt: skip
"""Category of a device -> component type: of the standard, or of the dialect `weizhan`."""
_PRIVATE = 128
_LOOP_POINT = re.compile(r"(?:c\w+?)?l(\d{3})[pdm](\d{3})")
_FOREIGN = re.compile(r"c(\d{4,6})(?:p([0-9a-f]{8})|\w+)")
COUNTED_FROM = 0xF000_0000
"""Component addresses that are counted begin here, above every loop (low word) and point (high word)."""


class Number(NamedTuple):
    """What a point is called at a centre."""

    sys_type: int
    sys_addr: int
    comp_type: int
    comp_addr: int


class Numbers:
    """The numbers of one centre.

    Args:
        known: (key, number) as written down. private_codes: whether codes of 128 and up may be used.
    """

    def __init__(self, known: Iterable[tuple[str, Number]], *, private_codes: bool) -> None:
        self._known = dict(known)
        self._private = private_codes
        self._systems: dict[int, int] = {}
        self._count = COUNTED_FROM - 1
        for number in self._known.values():
            self._note(number)
        self.fresh: dict[str, Number] = {}
        """Given since the last look, to be written down."""

    def of(self, device: str, profile: Profile, point: str | None) -> Number:
        """The number of a device's point, or of the device itself; given now when it has none."""
        key = device if point is None else f"{device}/{point}"
        number = self._known.get(key)
        if number is None:
            number = self._give(device, profile, point)
            self._known[key] = self.fresh[key] = number
            self._note(number)
        return number

    def key_of(self, sys_type: int, sys_addr: int, comp_addr: int) -> str | None:
        """The point of a component that a centre asks for; None when there is none."""
        return next(
            (
                key
                for key, n in self._known.items()
                if (n.sys_type, n.sys_addr, n.comp_addr) == (sys_type, sys_addr, comp_addr)
            ),
            None,
        )

    def systems(self) -> set[tuple[int, int]]:
        """Every (type, address) there is."""
        return {(n.sys_type, n.sys_addr) for n in self._known.values()}

    def of_system(self, sys_type: int, sys_addr: int) -> list[str]:
        """Keys of everything in a system."""
        return [key for key, n in self._known.items() if (n.sys_type, n.sys_addr) == (sys_type, sys_addr)]

    def _give(self, device: str, profile: Profile, point: str | None) -> Number:
        foreign = _FOREIGN.fullmatch(point or "")
        if foreign is not None and profile.transmitter is not None:
            # What a transmitter told us goes on under the numbers it has there.
            system = int(foreign[1])
            address = int(foreign[2], 16) if foreign[2] else 0
            return Number(system // 1000, system % 1000, 0 if foreign[2] else 1, address)
        sys_type = _SYSTEMS.get(profile.category, GENERAL)
        if point is not None:
            own = self.of(device, profile, None)
            loop = _LOOP_POINT.fullmatch(point)
            if loop is not None:
                return Number(own.sys_type, own.sys_addr, 25, int(loop[1]) | int(loop[2]) << 16)
            return Number(own.sys_type, own.sys_addr, own.comp_type, self._next())
        sys_addr = (self._systems.get(sys_type, 0) % 255) + 1
        return Number(sys_type, sys_addr, self._component(profile), self._next())

    def _component(self, profile: Profile) -> int:
        code = _COMPONENTS.get(profile.category, 0)
        return code if self._private or code < _PRIVATE else 0

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _note(self, number: Number) -> None:
        self._systems[number.sys_type] = max(self._systems.get(number.sys_type, 0), number.sys_addr)
        if number.comp_addr > self._count:
            self._count = number.comp_addr
