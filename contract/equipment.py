"""What a site file says of equipment beside how it is read: dates of its life, limits of its own, groups."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from contract.configfile import Section
from contract.profile import Ident, Text

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
