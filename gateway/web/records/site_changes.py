"""What the versions of a site file say of one device: when it was entered, moved, changed, taken out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gateway.sites.register import IN_FORCE, PAST, SITE_VERSION, SiteVersion, version_path
from gateway.web.context import Web

FIELDS = ("title", "place", "profile", "unit_id", "asset", "limits")
"""Fields of a device's entry that are compared, beside the agent and line it hangs on."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Change(NamedTuple):
    """A change of a device's entry. what: entered | moved | changed | removed; fields: (name, before, after).

    version: number of the version that made it.
    """

    version: int
    at_ms: int
    by: str
    what: str
    fields: tuple[tuple[str, str, str], ...] = ()


class SiteChanges(NamedTuple):
    """Changes of every device of a site. versions: numbers of those that were read, the earliest first.

    last: entries of the devices in the last of them that could be read. is_whole: every file was there.
    """

    versions: tuple[int, ...] = ()
    changes: dict[str, list[Change]] = {}
    last: dict[str, dict[str, str]] = {}
    is_whole: bool = True


async def site_changes(web: Web, site: str) -> SiteChanges:
    """What the versions of a site's file say of its devices; each version is read once."""
    versions = await web.read(web.ledger.entries, SITE_VERSION, sites=(site,))
    kept: SiteChanges = web.all.site_changes.get(site, SiteChanges())
    found = await web.read(go_on, kept, web.all.ledger.path.parent, versions)
    if found.is_whole:
        web.all.site_changes[site] = found
    return found


def go_on(kept: SiteChanges, data_dir: Path, versions: Iterable[SiteVersion]) -> SiteChanges:
    """The changes up to the last version, from those up to an earlier one. Reads files: not on an event loop.

    What cannot be read is left out.
    """
    rows = sorted((row for row in versions if row.state in (IN_FORCE, PAST)), key=lambda row: (row.from_ms, row.id))
    numbers = tuple(row.id for row in rows)
    if numbers == kept.versions:
        return kept
    if numbers[: len(kept.versions)] != kept.versions:  # one was undone
        kept = SiteChanges()
    changes = {device: list(each) for device, each in kept.changes.items()}
    before, is_whole = kept.last, True
    for row in rows[len(kept.versions) :]:
        try:
            raw = version_path(data_dir, row.site, row.sha256).read_bytes()
        except OSError:
            is_whole = False
            continue
        try:
            text = yaml.load(raw, LOADER)  # noqa: S506 # a safe one
        except yaml.YAMLError:
            continue
        after = _entries(text)
        for device in before.keys() | after.keys():
            if (change := _change(row, before.get(device), after.get(device))) is not None:
                changes.setdefault(device, []).append(change)
        before = after
    return SiteChanges(numbers, changes, before, is_whole)


def _change(version: SiteVersion, before: dict[str, str] | None, after: dict[str, str] | None) -> Change | None:
    if after == before:
        return None
    if after is None or before is None:
        return Change(version.id, version.from_ms, version.by, "removed" if after is None else "entered")
    names = sorted({*before, *after})
    fields = tuple((n, before.get(n, ""), after.get(n, "")) for n in names if before.get(n) != after.get(n))
    moved = {name for name, _, _ in fields} & {"place", "agent", "line"}
    return Change(version.id, version.from_ms, version.by, "moved" if moved else "changed", fields)


def _entries(text: Any) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for agent in _rows(text, "agents"):
        for line in _rows(agent, "lines"):
            for entry in _rows(line, "devices"):
                kept = {name: _said(entry[name]) for name in FIELDS if name in entry}
                placed = {"agent": _said(agent.get("id")), "line": _said(line.get("id"))}
                found.setdefault(_said(entry.get("id")), kept | placed)
    return found


def _rows(value: Any, name: str) -> list[dict[str, Any]]:
    found = value.get(name) if isinstance(value, dict) else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(each)}" for key, each in value.items())
    return str(value)
