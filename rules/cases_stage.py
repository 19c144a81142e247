"""The station a case of a rule plays in: one site with an agent, a line and the devices the rule is about."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import PrivateAttr

from contract.errors import ConfigError
from contract.profile import (
    AGENT_PROFILE,
    GATEWAY_PROFILE,
    LINE_PROFILE,
    ONLINE,
    REGISTER_PROFILE,
    Profile,
    ProfileLibrary,
)
from contract.site import GATEWAY_DEVICE, REGISTER_DEVICE, SYSTEM_SITE, Site, agent_device, line_device
from rules.engine import Engine
from rules.model import Rule

SITE, AGENT, LINE, DEVICE, GROUP = "case", "edge", "bus", "device", "group"
_OWN = {
    LINE_PROFILE.id: (SITE, line_device(LINE)),
    AGENT_PROFILE.id: (SITE, agent_device(AGENT)),
    REGISTER_PROFILE.id: (SITE, REGISTER_DEVICE),
    GATEWAY_PROFILE.id: (SYSTEM_SITE, GATEWAY_DEVICE),
}


class Stage(NamedTuple):
    """site_id, device, point: what an input means that names none. device: the first of the case."""

    rule: Rule
    site: Site
    site_id: str
    device: str
    point: str

    def engine(self, rules: Mapping[str, Rule]) -> Engine:
        """A new engine that knows the station."""
        engine = Engine(rules)
        engine.add_site(self.site)
        if self.site_id == SYSTEM_SITE:
            engine.add_device(SYSTEM_SITE, "", GATEWAY_DEVICE, GATEWAY_PROFILE)
        return engine


def set_stage(
    rule: Rule,
    library: ProfileLibrary,
    profile: str | None,
    devices: Mapping[str, str],
    members: list[str],
    manual: frozenset[str],
    time_zone: str,
) -> Stage:
    """The station for a case of that rule. Arguments as in `rules.cases.Case`.

    Raises:
        ConfigError: the rule applies to no profile, or a profile is not known.
    """
    found, point = _watched(rule, library, profile)
    site_id, device = _OWN.get(found.id, (SITE, next(iter(devices), DEVICE)))
    placed = dict(devices) or {DEVICE: next(iter(library)).id if found.is_own else found.id}
    for name in placed.values():
        if name not in library:
            raise ConfigError(f"rule {rule.id!r}: profile: got {name!r}, want one of {', '.join(library.ids())}.")
    return Stage(rule, _site(rule, library, placed, members, manual, time_zone), site_id, device, point)


class _CaseSite(Site):
    """A site whose manual call points the case names."""

    _manual: frozenset[str] = PrivateAttr(default=frozenset())

    def is_manual(self, device: str, point: str) -> bool:
        """Whether the case says so."""
        return f"{device}/{point}" in self._manual


def _site(
    rule: Rule,
    library: ProfileLibrary,
    devices: Mapping[str, str],
    members: list[str],
    manual: frozenset[str],
    time_zone: str,
) -> Site:
    entries = [{"id": device, "profile": name, "unit_id": n} for n, (device, name) in enumerate(devices.items(), 1)]
    # Whatever the devices are: the engine does not ask how they are read.
    line = {"id": LINE, "kind": "modbus_tcp", "host": "case.invalid", "devices": entries}
    title = {"zh": "测试", "en": "Case"}
    group = {"id": GROUP, "kind": rule.group, "title": title, "members": members or list(devices)}
    site = _CaseSite.model_validate(
        {
            "site": SITE,
            "title": title,
            "time_zone": time_zone,
            "agents": [{"id": AGENT, "lines": [line]}],
            "groups": [group] if rule.group is not None else [],
        }
    )
    site._library = library
    site._manual = manual
    return site


def _watched(rule: Rule, library: ProfileLibrary, wanted: str | None) -> tuple[Profile, str]:
    """A profile the rule applies to, and the point it looks at first."""
    first = next((leaf.point for leaf in rule.leaves() if getattr(leaf, "point", None)), None)
    for profile in [*library, LINE_PROFILE, AGENT_PROFILE, GATEWAY_PROFILE, REGISTER_PROFILE]:
        if wanted is not None and profile.id != wanted:
            continue
        names = [p.name for p in profile.points_for(None)]
        for pattern in rule.applies_to:
            wanted_profile, _, wanted_point = pattern.partition("/")
            if not fnmatch.fnmatchcase(profile.id, wanted_profile):
                continue
            if rule.per == "device":
                return profile, first or ONLINE
            found = next((name for name in names if fnmatch.fnmatchcase(name, wanted_point)), None)
            if found is None and profile.is_listened_to and profile.point(wanted_point) is not None:
                found = wanted_point  # a panel's points are those it speaks of
            if found is None and fnmatch.fnmatchcase(ONLINE, wanted_point):
                found = ONLINE
            if found is not None:
                return profile, found
    if not rule.applies_to:  # per line or agent
        return next(iter(library)), ONLINE
    raise ConfigError(f"rule {rule.id!r}: applies_to: got {rule.applies_to}, want a pattern that fits a profile.")
