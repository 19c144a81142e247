"""A site file that is not in its place yet, checked as it will be there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract import configfile
from contract.errors import ConfigError
from contract.grid import load_grid
from contract.profile import ProfileLibrary
from contract.site import MqttLine, Site, load_site
from contract.site_check import places_in
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

    What comes through a page names no file outside the folder of the site file: it would be read as the gateway, or
    sent by the agent to a broker of the sender's choice.

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
            _refuse_strange_files(candidate, path.parent)
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


def _refuse_strange_files(candidate: Path, folder: Path) -> None:
    """Before any of them is opened. folder: where the file will stand. Raises ConfigError with every line."""
    node = configfile.read_node(candidate)
    site = configfile.validate(configfile.build(node, candidate), Site, candidate, node)
    at = places_in(candidate, node)
    wrong = [
        f"{at(*place)}: got {str(name)[:200]!r}, want the name of a file in the folder of the site file: not absolute, "
        "without `..`, and no link that leads out. Put the file there; other places are for whoever has the machine."
        for place, name in _named_files(site)
        if not _is_within(name, folder)
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))


def _named_files(site: Site) -> Iterator[tuple[tuple[str | int, ...], Path]]:
    """Every file a site file names: where it stands, and the name."""
    for a, agent in enumerate(site.agents):
        for n, line in enumerate(agent.lines):
            here = ("agents", a, "lines", n)
            if isinstance(line, MqttLine):
                keys = {"password_file": line.password_file, "ca_file": line.ca_file}
                yield from (((*here, key), name) for key, name in keys.items() if name is not None)
            for d, entry in enumerate(line.devices):
                if entry.point_map is not None:
                    yield (*here, "devices", d, "point_map"), Path(entry.point_map)


def _is_within(name: Path, folder: Path) -> bool:
    if name.is_absolute() or ".." in name.parts:
        return False
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, links in a circle
        return False


def _surround(folder: Path, path: Path) -> None:
    """What stands beside the file stands beside its candidate: point maps are named relative to it."""
    for each in path.parent.iterdir():
        if each.name != path.name and not each.name.startswith("."):
            (folder / each.name).symlink_to(each)
