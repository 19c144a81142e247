"""A site file that is not in its place yet, checked as it will be there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from contract.errors import ConfigError
from contract.grid import load_grid
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from rules.check import check_limits
from rules.model import Rule

MOST_BYTES = 512 * 1024
"""Largest site file that is taken through a page; the pipe to the gateway carries twice as much."""


def check_text(
    text: bytes,
    path: Path,
    name: str,
    library: ProfileLibrary,
    rules: Mapping[str, Rule],
    sites: Mapping[str, tuple[Path, Site]],
    grid: Path | None,
) -> Site:
    """The site that a text would be in the place of `path`, checked as a start checks it.

    Args:
        name: site it must be. sites: all that are in force, with their files. grid: the grid file.

    Raises:
        ConfigError: with `FILE:line` for every problem; FILE is the name of `path`.
    """
    if len(text) > MOST_BYTES:
        raise ConfigError(f"{path.name}: got {len(text)} bytes, want at most {MOST_BYTES}.")
    with tempfile.TemporaryDirectory(prefix="weizhan-site-") as folder:
        candidate = Path(folder) / path.name
        _surround(Path(folder), path)
        candidate.write_bytes(text)
        try:
            site = load_site(candidate, library)
            if site.site != name:
                raise ConfigError(f"{candidate}: site: got {site.site!r}, want {name!r}. Each file keeps its site.")
            wrong = [str(found) for found in check_limits(candidate, site, rules) if found.is_error]
            if wrong:
                raise ConfigError("\n".join(wrong))
            load_grid(grid, {**sites, name: (candidate, site)})
        except ConfigError as exc:
            raise ConfigError(str(exc).replace(str(candidate), path.name).replace(f"{folder}/", "")) from exc
    return site


def _surround(folder: Path, path: Path) -> None:
    """What stands beside the file stands beside its candidate: point maps are named relative to it."""
    for each in path.parent.iterdir():
        if each.name != path.name and not each.name.startswith("."):
            (folder / each.name).symlink_to(each)
