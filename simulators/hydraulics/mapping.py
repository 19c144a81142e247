"""Which device of the town hangs where in a water network: a YAML file beside any EPANET input file.

network: district.inp                                        beside this file, or absolute
hydrants: {hydrant-01: {node: H01, main: J11, valve: PH01}}  node, the junction of its main, the pipe before it
mains: {north: [hydrant-01, hydrant-02]}                     hydrants on one main
pressures: {indoor-01: B1}                                   other devices with a pressure: their node
levels: {tank-01: ROOF}                                      devices with a level: their tank
outlets: {tank-01: B2}                                       where the pipe of another device can leak
works: [PUMP1]   booster: [BOOST]                            pumps that fill the network, and that lift into the tank
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import PrivateAttr

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.profile import Ident, Text
from simulators.hydraulics.inp import Outline, read_outline
from simulators.hydraulics.network import NETWORKS

_Loc = tuple[int | str, ...]


class HydrantAt(Section):
    """Where a hydrant stands."""

    node: str
    """Its junction."""
    main: str
    """The junction of the main beside it, where a burst is."""
    valve: str
    """The pipe between both; closing it is closing the valve."""


class Mapping(Section):
    """A network and what hangs on it."""

    title: Text
    network: str
    hydrants: dict[Ident, HydrantAt]
    mains: dict[Ident, list[Ident]]
    pressures: dict[Ident, str] = {}
    levels: dict[Ident, str] = {}
    outlets: dict[Ident, str] = {}
    works: list[str] = []
    booster: list[str] = []
    _path: Path = PrivateAttr(default=Path())

    @property
    def path(self) -> Path:
        """The file it was read from."""
        return self._path

    @property
    def network_path(self) -> Path:
        """The EPANET file."""
        return self._path.parent / self.network

    def main_node(self, device: str) -> str:
        """The junction where a burst or leak beside that device is. Raises KeyError."""
        return self.hydrants[device].main if device in self.hydrants else self.outlets[device]


def shipped_networks() -> list[str]:
    """Names of the networks that come with the product."""
    return sorted(found.stem for found in NETWORKS.glob("*.yaml"))


def load_mapping(name: str) -> Mapping:
    """A mapping by its name among those shipped, or by the path of its file.

    Raises:
        ConfigError: with file and line for everything that is wrong in it or in its network.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else NETWORKS / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(
            f"network: got {name!r}, want one of {', '.join(shipped_networks())}, or a YAML file. Name one that exists."
        )
    node = configfile.read_node(path)
    mapping = configfile.validate(configfile.build(node, path), Mapping, path, node)
    mapping._path = path
    outline = read_outline(mapping.network_path)
    problems = []
    for loc, text in _problems(mapping, outline):
        line, key = configfile.locate(node, loc)
        problems.append(f"{path}:{line}: {key}: {text}")
    if problems:
        raise ConfigError("\n".join(problems))
    return mapping


def _problems(mapping: Mapping, outline: Outline) -> Iterator[tuple[_Loc, str]]:
    file = mapping.network
    for device, at in mapping.hydrants.items():
        for key in ("node", "main"):
            if getattr(at, key) not in outline.junctions:
                yield ("hydrants", device, key), f"got {getattr(at, key)!r}, want a junction of {file}."
        if at.valve not in outline.pipes:
            yield ("hydrants", device, "valve"), f"got {at.valve!r}, want a pipe of {file}."
        elif at.node not in outline.pipes[at.valve]:
            yield ("hydrants", device, "valve"), f"got {at.valve!r}, want a pipe that ends at {at.node!r}."
    for section in ("pressures", "outlets"):
        for device, name in getattr(mapping, section).items():
            if name not in outline.junctions:
                yield (section, device), f"got {name!r}, want a junction of {file}."
    for device, name in mapping.levels.items():
        if name not in outline.tanks:
            yield ("levels", device), f"got {name!r}, want a tank of {file}."
    for section in ("works", "booster"):
        for number, name in enumerate(getattr(mapping, section)):
            if name not in outline.pumps:
                yield (section, number), f"got {name!r}, want a pump of {file}."
    for main, members in mapping.mains.items():
        for number, device in enumerate(members):
            if device not in mapping.hydrants:
                yield ("mains", main, number), f"got {device!r}, want one of the hydrants above."
