"""What is watched: sites, agents, lines, devices and rules, as the site files and the approvals say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from contract.equipment import Asset, Limits
from contract.errors import WeizhanError
from contract.grid import Grid, GridFile
from contract.profile import GATEWAY_PROFILE, ONLINE_POINT, Point, Profile, ProfileLibrary, Text
from contract.site import GATEWAY_DEVICE, SYSTEM_SITE, OwnDevice, Placed, Site
from gateway.ledger.records import ApprovedDevice
from gateway.web.rule_words import PointNames
from gateway.web.texts import Texts
from rules.model import Rule, Threshold, with_limits

SYSTEM_TITLE = Text(zh="本系统", en="This system")


class Device(NamedTuple):
    """A device with everything known of it. line: None for one that was approved out of quarantine."""

    site: str
    agent: str
    line: str | None
    line_kind: str | None
    id: str
    title: Text
    place: Text | None
    profile: Profile
    points: dict[str, Point]
    asset: Asset | None = None
    """Dates of its life, as its site entry says."""
    limits: Mapping[str, Limits] = {}
    """Rules that have other limits for it, by rule id."""

    @property
    def key(self) -> str:
        """site/device"""
        return f"{self.site}/{self.id}"


@dataclass(eq=False)
class Inventory:
    """Sites, devices and rules by their names."""

    sites: dict[str, Site]
    rules: Mapping[str, Rule]
    library: ProfileLibrary
    devices: dict[str, Device] = field(default_factory=dict)
    own: dict[str, Device] = field(default_factory=dict)
    """What reports on itself and is no equipment: lines, agents, the gateway."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """The file of each site."""
    rule_folders: tuple[Path, ...] = ()
    """Folders with further rule packs."""
    grid_file: Path | None = None
    grid: Grid = field(default_factory=lambda: Grid(GridFile(), {}))
    _ordered: list[Device] = field(default_factory=list)

    def __post_init__(self) -> None:
        for site in self.sites.values():
            for placed in site.placed():
                device = placed_device(site.site, placed)
                self.devices[device.key] = device
            for own in site.own_devices():
                made = self._own(site, own)
                self.own[made.key] = made
        self.own[f"{SYSTEM_SITE}/{GATEWAY_DEVICE}"] = Device(
            SYSTEM_SITE,
            GATEWAY_DEVICE,
            None,
            None,
            GATEWAY_DEVICE,
            GATEWAY_PROFILE.title,
            None,
            GATEWAY_PROFILE,
            _points(GATEWAY_PROFILE),
        )

    def _own(self, site: Site, own: OwnDevice) -> Device:
        # What the gateway keeps of a site is no agent's.
        named = own.profile.title if own.agent == GATEWAY_DEVICE else self.agent_title(site.site, own.agent)
        if own.profile.category == "line":
            line = own.device.removeprefix("line-")
            named = Text(zh=f"{named.zh} · 线路 {line}", en=f"{named.en} · line {line}")
        return Device(site.site, own.agent, None, None, own.device, named, None, own.profile, _points(own.profile))

    def find(self, key: str) -> Device | None:
        """The device of `site/device`, equipment or not."""
        return self.devices.get(key) or self.own.get(key)

    def approve(self, approvals: Iterable[ApprovedDevice]) -> None:
        """Know the approved devices as well; those known already stay as they are."""
        for row in approvals:
            key = f"{row.site}/{row.device}"
            if key in self.devices or row.profile not in self.library:
                continue
            try:
                profile = self.library[row.profile]
            except WeizhanError:
                # A profile file damaged after the approval: the gateway says so; the pages go on without it.
                continue
            title = Text(zh=row.title_zh, en=row.title_en)
            self.devices[key] = Device(
                row.site, row.agent, None, None, row.device, title, None, profile, _with_online(_points(profile))
            )

    def in_order(self) -> list[Device]:
        """The devices in the order of site and id."""
        if len(self._ordered) != len(self.devices):  # none is ever taken out or replaced
            self._ordered = sorted(self.devices.values(), key=lambda device: (device.site, device.id))
        return self._ordered

    def point(self, key: str) -> tuple[Device, Point] | None:
        """The device and point of `site/device/point`; None when either is unknown."""
        head, _, name = key.rpartition("/")
        device = self.find(head)
        point = None if device is None else device.points.get(name) or device.profile.point(name)
        return None if device is None or point is None else (device, point)

    def point_names(self, rule: Rule, texts: Texts, subject: str = "") -> PointNames:
        """Names of the points a rule speaks of: those of the subject's device, else of the profiles it applies to."""
        found = self.find("/".join(subject.split("/")[:2]))
        if found is not None:
            points = list(found.points.values())
        else:
            watched = [p for p in (*self.library, *(d.profile for d in self.own.values())) if _watches(rule, p)]
            points = [point for profile in watched for point in profile.points_for(None)]
        titles = {point.name: point.title.get(texts.language) for point in points}
        own = subject.split("/")[2] if subject.count("/") == 2 else _one_point(rule)
        return PointNames(own, titles, texts("the value"))

    def limits(self, device: Device, point: str) -> list[tuple[Rule, Threshold]]:
        """The threshold rules that watch a point, with the limits in force for this device."""
        found = []
        for rule in self.rules.values():
            if not isinstance(rule.when, Threshold) or not rule.applies(device.profile.id, point):
                continue
            own = device.limits.get(rule.id)
            mine = rule if own is None else with_limits(rule, own, device.key)
            if isinstance(mine.when, Threshold):
                found.append((mine, mine.when))
        return found

    def site_title(self, site: str) -> Text:
        """The site's title; its id for one we have no file of."""
        if site == SYSTEM_SITE:
            return SYSTEM_TITLE
        known = self.sites.get(site)
        return known.title if known else Text(zh=site, en=site)

    def agent_title(self, site: str, agent: str) -> Text:
        """The agent's title; its id where it has none."""
        if site == SYSTEM_SITE:
            return GATEWAY_PROFILE.title
        known = self.sites[site].agent(agent) if site in self.sites else None
        return known.title if known and known.title else Text(zh=agent, en=agent)

    def group_title(self, site: str, group: str) -> Text | None:
        """The title of points that are judged together (a zone, a main); None: no such group."""
        found = self.sites[site].groups_by_id.get(group) if site in self.sites else None
        return found.title if found is not None else None

    def agent_keys(self) -> list[tuple[str, str]]:
        """Every (site, agent), in file order, then those of approved devices."""
        keys = [(site.site, agent.id) for site in self.sites.values() for agent in site.agents]
        return list(dict.fromkeys([*keys, *((d.site, d.agent) for d in self.devices.values())]))


def placed_device(site: str, placed: Placed) -> Device:
    """A device of a site file as the pages know it."""
    return Device(
        site,
        placed.agent,
        placed.line.id,
        placed.line.kind,
        placed.entry.id,
        placed.title,
        placed.entry.place,
        placed.profile,
        _with_online({point.name: point for point in placed.points}),
        placed.entry.asset,
        placed.entry.limits,
    )


def _watches(rule: Rule, profile: Profile) -> bool:
    return any(fnmatchcase(profile.id, pattern.partition("/")[0]) for pattern in rule.applies_to)


def _one_point(rule: Rule) -> str | None:
    """The point that a rule per point or group judges, where it is one only."""
    names = {pattern.partition("/")[2] for pattern in rule.applies_to} if rule.per in ("point", "group") else set()
    return names.pop() if len(names) == 1 and not any("*" in name for name in names) else None


def _points(profile: Profile) -> dict[str, Point]:
    return {point.name: point for point in profile.points}


def _with_online(points: dict[str, Point]) -> dict[str, Point]:
    return {**points, ONLINE_POINT.name: ONLINE_POINT}
