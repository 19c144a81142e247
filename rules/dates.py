"""When a device's dates come: routine check, maintenance, scrapping, calibration, battery.

Extinguishers go by GB 50444-2008 (inspection, first and further maintenance, scrapping); the intervals of calibration
and battery are practice. What was recorded at the gateway and what the site file says are both known: the later counts.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import date, time, timedelta, tzinfo
from typing import Literal, get_args

from contract.equipment import Asset
from rules.calendar import moment_ms

Work = Literal["inspection", "maintenance", "calibration", "battery"]
FIRST_MAINTENANCE_MONTHS = {"water": 36, "powder": 60, "clean_gas": 60, "carbon_dioxide": 60}
"""From making; GB 50444-2008."""
MAINTENANCE_MONTHS = {"water": 12, "powder": 24, "clean_gas": 24, "carbon_dioxide": 24}
"""From the maintenance before; GB 50444-2008."""
SCRAP_MONTHS = {"water": 72, "powder": 120, "clean_gas": 120, "carbon_dioxide": 144}
"""From making; GB 50444-2008."""
CHECK_MONTHS = 1
"""Routine check of an extinguisher; GB 50444-2008."""
CROWDED_CHECK_DAYS = 15
"""Half-monthly, where the place asks for it; GB 50444-2008."""
CALIBRATION_MONTHS = 12
"""Practice: yearly."""
BATTERY_MONTHS = 36
"""Practice: transmitters of this class are sold with a battery for three years or more."""


def due_dates(asset: Asset, done: Mapping[str, date], zone: tzinfo) -> dict[str, int]:
    """When each kind of work is due, ms UTC: the beginning of that day in the site's zone.

    Args:
        done: the day each kind of work (`Work`) was last recorded.

    A date that nothing is known for is not in it: no maintenance and no scrapping without kind and making of an
    extinguisher, no calibration or battery without a first one. The routine check of an extinguisher that was never
    checked counts from its making.
    """
    last = {work: _later(asset, work, done) for work in get_args(Work)}
    found: dict[str, date | None] = {
        "inspection": _inspection(asset, last["inspection"]),
        "maintenance": _maintenance(asset, last["maintenance"]),
        "scrap": None,
        "calibration": _add_months(last["calibration"], CALIBRATION_MONTHS),
        "battery": _add_months(last["battery"], BATTERY_MONTHS),
    }
    if asset.extinguisher is not None:
        found["scrap"] = _add_months(asset.made, SCRAP_MONTHS[asset.extinguisher])
    return {what: moment_ms(day, time(), zone) for what, day in found.items() if day is not None}


def _inspection(asset: Asset, last: date | None) -> date | None:
    if last is None and asset.extinguisher is not None:
        last = asset.made
    if last is None:
        return None
    return last + timedelta(days=CROWDED_CHECK_DAYS) if asset.crowded else _add_months(last, CHECK_MONTHS)


def _maintenance(asset: Asset, last: date | None) -> date | None:
    if asset.extinguisher is None:
        return None
    first = _add_months(asset.made, FIRST_MAINTENANCE_MONTHS[asset.extinguisher])
    again = _add_months(last, MAINTENANCE_MONTHS[asset.extinguisher])
    # Work done before the first one was due does not bring the next one forward.
    return max((day for day in (first, again) if day is not None), default=None)


def _later(asset: Asset, work: Work, done: Mapping[str, date]) -> date | None:
    in_file = {
        "inspection": asset.inspected,
        "maintenance": asset.maintained,
        "calibration": asset.calibrated,
        "battery": asset.battery,
    }[work]
    return max((day for day in (in_file, done.get(work)) if day is not None), default=None)


def _add_months(day: date | None, months: int) -> date | None:
    """The same day so many months later, or the last day of a shorter month."""
    if day is None:
        return None
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
