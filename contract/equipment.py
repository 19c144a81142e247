"""What a site file says of equipment beside how it is read: dates of its life, limits of its own, groups."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Literal, NamedTuple

from pydantic import Field

from contract.configfile import Section
from contract.point import Ident, Text
from contract.point_map import MappedPoint
from contract.topics import is_ident

GroupKind = Literal["zone", "main", "area"]
"""zone: detectors of one fire compartment; main: hydrants on one water main; area: whatever belongs together."""


class Limits(Section):
    """Durations and limits of one rule, changed. Absent: as the rule says."""

    for_s: float | None = Field(default=None, ge=0)
    clear_for_s: float | None = Field(default=None, ge=0)
    after_s: float | None = Field(default=None, gt=0)
    below: float | None = None
    above: float | None = None
    clear: float | None = None
    at_least: int | None = Field(default=None, ge=1)
    within_s: float | None = Field(default=None, gt=0)
    window_s: float | None = Field(default=None, gt=0)
    longer_than_s: float | None = Field(default=None, gt=0)
    readiness_state: Literal["degraded", "not_ready", "unknown", "none"] | None = None
    """What its alarm makes of the station; none: it takes nothing from readiness."""
    readiness_points: float | None = Field(default=None, ge=0, le=100)
    """Points its alarm takes from the readiness score; a local measure, not an official one."""


class Asset(Section):
    """Dates of a device's life. What was done since is recorded at the gateway; the later date counts."""

    extinguisher: Literal["water", "powder", "clean_gas", "carbon_dioxide"] | None = None
    """Kind of an extinguisher; with `made` it gives the dates of maintenance and scrapping (GB 50444)."""
    made: date | None = None
    inspected: date | None = None
    maintained: date | None = None
    calibrated: date | None = None
    """Last calibration of its sensor."""
    battery: date | None = None
    """Last new battery."""
    crowded: bool = False
    """Stands where the routine check is half-monthly and not monthly (places with crowds, petrol stations, boiler
    rooms, basements and the like)."""


class Group(Section):
    """Points that are judged together."""

    id: Ident
    """Unique in the site, and no device's name."""
    kind: GroupKind
    title: Text
    members: list[str] = Field(min_length=1)
    """`device` or `device/point`; `*` stands for any characters."""


class PointGroup(NamedTuple):
    """A group of a site, whether its file names it or a panel's point map does."""

    id: str
    kind: GroupKind
    title: Text
    members: tuple[str, ...]
    """Patterns as in `Group.members`."""

    def has(self, device: str, point: str) -> bool:
        """Whether that point belongs to it."""
        return any(is_member(pattern, device, point) for pattern in self.members)


def is_member(pattern: str, device: str, point: str) -> bool:
    """Whether a pattern `device` or `device/point` means that point."""
    wanted_device, _, wanted_point = pattern.partition("/")
    return fnmatch.fnmatchcase(device, wanted_device) and fnmatch.fnmatchcase(point, wanted_point or "*")


def zones_of(device: str, title: Text, points: Mapping[str, MappedPoint]) -> Iterator[PointGroup]:
    """The zones (分区) that a panel's point map names, in the order of the map; ids `<device>-zone-<zone>`.

    Args:
        title: of the panel; it stands before the zone's name.
    """
    members: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for point, mapped in points.items():
        if mapped.zone:
            key = _zone_key(mapped.zone)
            names.setdefault(key, mapped.zone)
            members.setdefault(key, []).append(f"{device}/{point}")
    for key, points_of_zone in members.items():
        name = Text(zh=f"{title.zh} {names[key]}", en=f"{title.en} {names[key]}")
        yield PointGroup(_zone_id(device, key), "zone", name, tuple(points_of_zone))


def _zone_key(zone: str) -> str:
    """Spellings that differ in case and spaces are one zone."""
    return "-".join(zone.lower().split())


def _zone_id(device: str, key: str) -> str:
    """The zone's name where it may stand in an id, else eight hex digits made from it (a Chinese name)."""
    plain = f"{device}-zone-{key}"
    if is_ident(plain):
        return plain
    return f"{device[:34]}-zone-{hashlib.sha256(f'{device}/{key}'.encode()).hexdigest()[:8]}"


_MANUAL = ("手报", "手动报警", "手动火灾报警", "manual call point", "call point", "break glass", "pull station", "mcp")


def is_manual_type(mapped: MappedPoint) -> bool:
    """Whether a point is a manual call point (手动报警按钮): by its type, or by its place where no type was given."""
    text = (mapped.type or f"{mapped.place_zh} {mapped.place_en}").lower()
    return any(word in text for word in _MANUAL)
