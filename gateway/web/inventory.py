"""What is watched: sites, agents, lines, devices and rules, as the site files and the approvals say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from contract.errors import WeizhanError
from contract.profile import ONLINE_POINT, Point, Profile, ProfileLibrary, Text
from contract.site import Placed, Site
from gateway.ledger.records import ApprovedDevice
from rules.model import Rule, Threshold


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

    @property
    def key(self) -> str:
        """site/device"""
        return f"{self.site}/{self.id}"


@dataclass
class Inventory:
    """Sites, devices and rules by their names."""

    sites: dict[str, Site]
    rules: Mapping[str, Rule]
    library: ProfileLibrary
    devices: dict[str, Device] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for site in self.sites.values():
            for placed in site.placed():
                device = _placed(site.site, placed)
                self.devices[device.key] = device

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
            points = {point.name: point for point in profile.points}
            self.devices[key] = Device(
                row.site, row.agent, None, None, row.device, title, None, profile, _with_online(points)
            )

    def point(self, key: str) -> tuple[Device, Point] | None:
        """The device and point of `site/device/point`; None when either is unknown."""
        head, _, name = key.rpartition("/")
        device = self.devices.get(head)
        point = None if device is None else device.points.get(name) or device.profile.point(name)
        return None if device is None or point is None else (device, point)

    def limits(self, device: Device, point: str) -> list[tuple[Rule, Threshold]]:
        """The threshold rules that watch a point."""
        return [
            (rule, rule.when)
            for rule in self.rules.values()
            if isinstance(rule.when, Threshold) and rule.applies(device.profile.id, point)
        ]

    def site_title(self, site: str) -> Text:
        """The site's title; its id for one we have no file of."""
        known = self.sites.get(site)
        return known.title if known else Text(zh=site, en=site)

    def agent_title(self, site: str, agent: str) -> Text:
        """The agent's title; its id where it has none."""
        known = self.sites[site].agent(agent) if site in self.sites else None
        return known.title if known and known.title else Text(zh=agent, en=agent)

    def agent_keys(self) -> list[tuple[str, str]]:
        """Every (site, agent), in file order, then those of approved devices."""
        keys = [(site.site, agent.id) for site in self.sites.values() for agent in site.agents]
        return list(dict.fromkeys([*keys, *((d.site, d.agent) for d in self.devices.values())]))


def _placed(site: str, placed: Placed) -> Device:
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
    )


def _with_online(points: dict[str, Point]) -> dict[str, Point]:
    return {**points, ONLINE_POINT.name: ONLINE_POINT}
