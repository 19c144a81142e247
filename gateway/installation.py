"""What is installed, as the configuration says: sites, profiles, rules. Makes engines for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from contract.errors import ConfigError
from contract.grid import Grid, GridFile, load_grid
from contract.profile import GATEWAY_PROFILE, ProfileLibrary
from contract.site import GATEWAY_DEVICE, SYSTEM_SITE, Site, load_site
from gateway.incidents.settings import ResponseSettings
from gateway.ledger.records import ApprovedDevice
from gateway.settings import GatewaySettings
from rules.check import check_limits
from rules.engine import Engine
from rules.model import Rule, load_packs, with_limits
from rules.plans import Plans


class Installation:
    """Sites, rules, profiles and grid, loaded and checked."""

    def __init__(
        self,
        sites: Mapping[str, Site],
        rules: Mapping[str, Rule],
        library: ProfileLibrary,
        grid: Grid | None = None,
        response: ResponseSettings | None = None,
    ) -> None:
        self.sites = sites
        self.rules = rules
        self.library = library
        self.grid = Grid(GridFile(), sites) if grid is None else grid
        self.response = response or ResponseSettings()
        self._listed = {
            (site.site, placed.entry.id): placed.agent for site in sites.values() for placed in site.placed()
        } | {(site.site, own.device): own.agent for site in sites.values() for own in site.own_devices()}
        self._listed[SYSTEM_SITE, GATEWAY_DEVICE] = GATEWAY_DEVICE

    @cached_property
    def _plans(self) -> Plans:
        """The rules, read for use, by every engine built of this installation."""
        return Plans(self.rules.values())

    def engine(self, approved: Iterable[ApprovedDevice]) -> Engine:
        """A fresh engine that knows every listed and approved device."""
        engine = Engine(self.rules, self._plans)
        for site in self.sites.values():
            engine.add_site(site)
        engine.add_device(SYSTEM_SITE, GATEWAY_DEVICE, GATEWAY_DEVICE, GATEWAY_PROFILE)
        for device in approved:
            # A profile that was taken away since leaves the device unknown again; its readings are kept.
            if device.site in self.sites and device.profile in self.library:
                engine.add_device(device.site, device.agent, device.device, self.library[device.profile])
        return engine

    def owners(self, approved: Iterable[ApprovedDevice]) -> dict[tuple[str, str], str]:
        """Agent of every (site, device) that is listed or approved."""
        return {(a.site, a.device): a.agent for a in approved} | self._listed

    def versions(self) -> Iterator[Rule]:
        """Every record a decision may rest on: the rules, and each with the limits some device has of its own."""
        yield from self.rules.values()
        for site in self.sites.values():
            for placed in site.placed():
                for rule_id, limits in placed.entry.limits.items():
                    yield with_limits(self.rules[rule_id], limits, f"{site.site}/{placed.entry.id}")

    @cached_property
    def hash(self) -> str:
        """Short hash of sites, rules and grid: which configuration was in force."""
        parts = [f"{site.site}={site.content_hash}" for site in self.sites.values()]
        parts += [f"{rule.id}={rule.version}" for rule in self.rules.values()]
        parts += [f"grid={self.grid.content_hash}"] if self.grid else []
        return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]


def load_installation(settings: GatewaySettings, rules: Mapping[str, Rule] | None = None) -> Installation:
    """Read site files, rule packs and the grid. Raises ConfigError with every file and line that is wrong.

    Args:
        rules: take these as they are, and read sites and grid only.
    """
    library = ProfileLibrary(settings.profiles)
    known = load_packs(settings.rule_folders, settings.rule_overrides) if rules is None else rules
    sites: dict[str, Site] = {}
    files: dict[str, tuple[Path, Site]] = {}
    problems: list[str] = []
    for path in settings.sites:
        site = load_site(path, library)
        if site.site in sites:
            raise ConfigError(f"{path}: site: got {site.site!r} again, want each site in one file.")
        sites[site.site] = site
        files[site.site] = (path, site)
        problems += [str(found) for found in check_limits(path, site, known) if found.is_error]
    if problems:
        raise ConfigError("\n".join(problems))
    return Installation(sites, known, library, load_grid(settings.grid, files), settings.response)
