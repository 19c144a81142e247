"""Devices that were taken out of a site file: as they were when they went, when that was, and who did it.

Known from the versions of site files that the gateway keeps (gateway/sites): of a file that somebody changed by hand
nothing is kept, so a device that went that way is not found here; its alarms stay in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from contract.profile import Point, ProfileLibrary
from contract.site import Placed, Site
from gateway.sites.register import IN_FORCE, PAST, SITE_VERSION, SiteVersion, version_path
from gateway.web.access import Refused
from gateway.web.context import Web
from gateway.web.inventory import Device, placed_device
from gateway.web.records.site_changes import LOADER
from gateway.web.texts import Texts, msgid

MOST_VERSIONS = 200
"""Versions of a site that are looked through, the latest."""


class Former(NamedTuple):
    """A device that is not installed any more. device: as it was at last."""

    device: Device
    removed_ms: int
    by: str


async def former_devices(web: Web, sites: Iterable[str]) -> list[Former]:
    """Those of some sites, the latest that went first; one that came back is not among them."""
    found: list[Former] = []
    for site in sites:
        versions = await web.read(web.ledger.entries, SITE_VERSION, sites=(site,), limit=MOST_VERSIONS)
        basis = tuple((row.id, row.state) for row in versions)
        kept = web.all.former.get(site)
        if kept is None or kept[0] != basis:
            read = await web.read(removed_of, web.all.ledger.path.parent, site, versions, web.inventory.library)
            kept = web.all.former[site] = (basis, read)
        found += [row for row in kept[1] if row.device.key not in web.inventory.devices]
    return sorted(found, key=lambda row: (-row.removed_ms, row.device.key))


async def find_device(web: Web, site: str, device: str) -> tuple[Device, Former | None]:
    """A device, installed or taken out. Raises Refused (404): it never was, or the reader may not see its site."""
    await web.refresh_approvals()
    if (known := web.inventory.devices.get(f"{site}/{device}")) is not None:
        return known, None
    rows = await former_devices(web, (site,)) if site in web.inventory.sites else []
    gone = next((row for row in rows if row.device.id == device), None)
    if gone is None:
        raise Refused(404, msgid("There is no such device."))
    return gone.device, gone


async def find_point(web: Web, key: str) -> tuple[Device, Point, Former | None]:
    """Device and point of `site/device/point`, of a device that is installed or was. Raises Refused (404)."""
    await web.refresh_approvals()
    if (found := web.inventory.point(key)) is not None:
        return *found, None
    site, _, rest = key.partition("/")
    rows = await former_devices(web, (site,)) if site in web.inventory.sites else []
    for row in rows:
        name, _, point = rest.partition("/")
        if row.device.id == name and (known := row.device.points.get(point)) is not None:
            return row.device, known, row
    raise Refused(404, msgid("There is no such point."))


def fits(row: Former, words: str, texts: Texts) -> bool:
    """Whether all of the words stand in what it was called, where it stood or what it was."""
    device, language = row.device, texts.language
    place = device.place.get(language) if device.place is not None else ""
    said = f"{device.title.zh} {device.title.en} {device.key} {place} {device.profile.title.get(language)}".casefold()
    return all(word in said for word in words.casefold().split())


def removed_of(data_dir: Path, site: str, versions: Sequence[SiteVersion], library: ProfileLibrary) -> list[Former]:
    """Devices that stood in a version and not in the next. Reads files: not on an event loop."""
    rows = sorted((row for row in versions if row.state in (IN_FORCE, PAST)), key=lambda row: (row.from_ms, row.id))
    gone: dict[str, Former] = {}
    before = _devices(data_dir, site, rows[0].before, library) if rows else {}
    for row in rows:
        after = _devices(data_dir, site, row.sha256, library)
        if after is None:
            continue  # what cannot be read proves that nothing went
        for name, device in (before or {}).items():
            if name not in after:
                gone[name] = Former(device, row.from_ms, row.by)
        before = after
    return list(gone.values())


def _devices(data_dir: Path, site: str, sha256: str, library: ProfileLibrary) -> dict[str, Device] | None:
    """Devices of a text that was kept, by their id; None where it cannot be read."""
    if not sha256:
        return None
    try:
        data: Any = yaml.load(version_path(data_dir, site, sha256).read_bytes(), LOADER)  # noqa: S506 # a safe one
        known = Site.model_validate(data)
    except (OSError, yaml.YAMLError, ValidationError):
        return None
    return {
        entry.id: placed_device(site, Placed(agent.id, line, entry, library[entry.profile]))
        for agent in known.agents
        for line in agent.lines
        for entry in line.devices
        if entry.profile in library
    }
