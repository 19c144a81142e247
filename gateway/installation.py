"""What is installed, as the configuration says: sites, profiles, rules. Makes engines for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from contract.errors import ConfigError
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from gateway.ledger.records import ApprovedDevice
from gateway.settings import GatewaySettings
from rules.engine import Engine
from rules.model import Rule, load_packs


class Installation:
    """Sites, rules and profiles, loaded and checked."""

    def __init__(self, sites: Mapping[str, Site], rules: Mapping[str, Rule], library: ProfileLibrary) -> None:
        self.sites = sites
        self.rules = rules
        self.library = library
        self._listed = {
            (site.site, placed.entry.id): placed.agent for site in sites.values() for placed in site.placed()
        } | {(site.site, own.device): own.agent for site in sites.values() for own in site.own_devices()}

    def engine(self, approved: Iterable[ApprovedDevice]) -> Engine:
        """A fresh engine that knows every listed and approved device."""
        engine = Engine(self.rules)
        for site in self.sites.values():
            engine.add_site(site)
        for device in approved:
            # A profile that was taken away since leaves the device unknown again; its readings are kept.
            if device.site in self.sites and device.profile in self.library:
                engine.add_device(device.site, device.agent, device.device, self.library[device.profile])
        return engine

    def owners(self, approved: Iterable[ApprovedDevice]) -> dict[tuple[str, str], str]:
        """Agent of every (site, device) that is listed or approved."""
        return {(a.site, a.device): a.agent for a in approved} | self._listed

    @property
    def hash(self) -> str:
        """Short hash of sites and rules: which configuration was in force."""
        parts = [f"{site.site}={site.content_hash}" for site in self.sites.values()]
        parts += [f"{rule.id}={rule.version}" for rule in self.rules.values()]
        return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]


def load_installation(settings: GatewaySettings) -> Installation:
    """Read site files and rule packs. Raises ConfigError with every file and line that is wrong."""
    library = ProfileLibrary(settings.profiles)
    sites: dict[str, Site] = {}
    for path in settings.sites:
        site = load_site(path, library)
        if site.site in sites:
            raise ConfigError(f"{path}: site: got {site.site!r} again, want each site in one file.")
        sites[site.site] = site
    return Installation(sites, load_packs(settings.rule_folders, settings.rule_overrides), library)
