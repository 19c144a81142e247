"""Work done on devices: what was recorded, and the dates that follow from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from contract.equipment import Asset
from gateway.installation import Installation
from rules.dates import due_dates

Done = dict[tuple[str, str], dict[str, int]]
"""(site, device) -> kind of work -> when it was last done, ms UTC."""
TEST = "test"
"""The one kind of work that no date follows from: it says that the device was seen to work."""


class Dated(Protocol):
    """The engine, as far as dates concern it."""

    def set_dates(self, site: str, device: str, dates: Mapping[str, int]) -> None:
        """When work on a device is due, ms UTC."""


def load_work(connection: sqlite3.Connection) -> Done:
    """The latest record of each kind of work on each device."""
    done: Done = {}
    for site, device, work, at_ms in connection.execute(
        "SELECT site, device, work, max(at_ms) FROM work GROUP BY site, device, work"
    ):
        done.setdefault((site, device), {})[work] = at_ms
    return done


def dates_of(installation: Installation, done: Done, site: str, device: str) -> dict[str, int]:
    """When each kind of work on a device is due, ms UTC, by its site entry and the records."""
    zone = ZoneInfo(installation.sites[site].time_zone)
    days = {
        work: datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date()
        for work, at_ms in done.get((site, device), {}).items()
        if work != TEST
    }
    return due_dates(_assets(installation, site).get(device) or Asset(), days, zone)


def tell_dates(engine: Dated, installation: Installation, done: Done) -> None:
    """After a start or a reload: the dates of every device that has any."""
    for site in installation.sites:
        for device in dated(installation, done, site):
            engine.set_dates(site, device, dates_of(installation, done, site, device))


def dated(installation: Installation, done: Done, site: str) -> Iterable[str]:
    """The devices of a site that dates are known of."""
    return sorted({*_assets(installation, site), *(device for known, device in done if known == site)})


def _assets(installation: Installation, site: str) -> dict[str, Asset]:
    return {
        placed.entry.id: placed.entry.asset
        for placed in installation.sites[site].placed()
        if placed.entry.asset is not None
    }
