"""What the versions of a site file say of one device: when it was entered, moved, changed, taken out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gateway.sites.register import SiteVersion, version_path

FIELDS = ("title", "place", "profile", "unit_id", "asset", "limits")
"""Fields of a device's entry that are compared, beside the agent and line it hangs on."""


class Change(NamedTuple):
    """A change of a device's entry. what: entered | moved | changed | removed; fields: (name, before, after).

    version: number of the version that made it.
    """

    version: int
    at_ms: int
    by: str
    what: str
    fields: tuple[tuple[str, str, str], ...] = ()


def read_texts(data_dir: Path, versions: Iterable[SiteVersion]) -> list[tuple[SiteVersion, Any]]:
    """The versions that were in force, the earliest first, each with its file; what cannot be read is left out."""
    found = []
    for row in sorted(versions, key=lambda row: (row.from_ms, row.id)):
        if row.state not in ("in_force", "past"):
            continue
        try:
            found.append((row, yaml.safe_load(version_path(data_dir, row.site, row.sha256).read_bytes())))
        except (OSError, yaml.YAMLError):
            continue
    return found


def changes_of(device: str, texts: Iterable[tuple[SiteVersion, Any]]) -> list[Change]:
    """Every change of a device's entry over the versions, the earliest first."""
    found: list[Change] = []
    before: dict[str, str] | None = None
    for version, text in texts:
        after = _entry(device, text)
        if after == before:
            continue
        if after is None or before is None:
            found.append(Change(version.id, version.from_ms, version.by, "removed" if after is None else "entered"))
        else:
            names = sorted({*before, *after})
            fields = tuple((n, before.get(n, ""), after.get(n, "")) for n in names if before.get(n) != after.get(n))
            moved = {name for name, _, _ in fields} & {"place", "agent", "line"}
            found.append(Change(version.id, version.from_ms, version.by, "moved" if moved else "changed", fields))
        before = after
    return found


def _entry(device: str, text: Any) -> dict[str, str] | None:
    for agent in _rows(text, "agents"):
        for line in _rows(agent, "lines"):
            for entry in _rows(line, "devices"):
                if entry.get("id") == device:
                    kept = {name: _said(entry[name]) for name in FIELDS if name in entry}
                    return kept | {"agent": _said(agent.get("id")), "line": _said(line.get("id"))}
    return None


def _rows(value: Any, name: str) -> list[dict[str, Any]]:
    found = value.get(name) if isinstance(value, dict) else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(each)}" for key, each in value.items())
    return str(value)
