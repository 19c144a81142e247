"""What a centre is told of: the equipment of a station, from its site file and approved while running. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from contract.profile import Profile
from gateway.installation import Installation
from gateway.ledger.records import ApprovedDevice
from rules.model import Rule


class Equipment(NamedTuple):
    """What the translation has to know of an installation: profile of every device of the site, and the rules."""

    profiles: Mapping[str, Profile]
    rules: Mapping[str, Rule]


class EquipmentOf:
    """Equipment by site, made anew when the installation or what was approved is another."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Installation, frozenset[tuple[str, str]], Equipment]] = {}

    def of(
        self, site: str, installation: Installation, approved: Mapping[tuple[str, str], ApprovedDevice]
    ) -> Equipment:
        """Of one site. approved: devices of all sites that somebody approved, by (site, device)."""
        made, keys = self._made.get(site), frozenset(approved)
        if made is None or made[0] is not installation or made[1] != keys:
            made = self._made[site] = (installation, keys, _equipment(site, installation, approved))
        return made[2]


def _equipment(site: str, installation: Installation, approved: Mapping[tuple[str, str], ApprovedDevice]) -> Equipment:
    library = installation.library
    # A profile that was taken away since leaves an approved device unknown again.
    profiles = {
        device.device: library[device.profile]
        for device in approved.values()
        if device.site == site and device.profile in library
    }
    # The site file's word counts where both name a device.
    profiles |= {placed.entry.id: placed.profile for placed in installation.sites[site].placed()}
    return Equipment(profiles, installation.rules)
