"""Checks an EPANET input file before EPANET reads it, so that a mistake is named by file and line.

EPANET 2.2 User Manual, appendix C: sections in brackets, one object a line, `;` begins a comment. What is checked is
what a network must have to be stepped here; everything else is EPANET's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from contract.errors import ConfigError

SECTIONS = frozenset({
    "TITLE", "JUNCTIONS", "RESERVOIRS", "TANKS", "PIPES", "PUMPS", "VALVES", "EMITTERS", "CURVES", "PATTERNS",
    "ENERGY", "STATUS", "CONTROLS", "RULES", "DEMANDS", "LEAKAGE", "QUALITY", "REACTIONS", "SOURCES", "MIXING",
    "OPTIONS", "TIMES", "REPORT", "COORDINATES", "VERTICES", "LABELS", "BACKDROP", "TAGS", "END",
})  # fmt: skip
_NODES = {"JUNCTIONS": (2, "id and elevation"), "RESERVOIRS": (2, "id and head"), "TANKS": (6, "id, elevation, "
          "initial, lowest and highest level, diameter")}  # fmt: skip
_LINKS = {"PIPES": (6, "id, two nodes, length, diameter, roughness"), "PUMPS": (4, "id, two nodes and a keyword"),
          "VALVES": (6, "id, two nodes, diameter, type, setting")}  # fmt: skip
_UNITS = "LPS"
"""The flow unit asked for: litres a second, and so metres and millimetres."""


class Line(NamedTuple):
    """A line with something on it. number: from 1."""

    number: int
    section: str
    fields: list[str]


class Outline(NamedTuple):
    """What a network is made of."""

    junctions: frozenset[str]
    reservoirs: frozenset[str]
    tanks: frozenset[str]
    pipes: dict[str, tuple[str, str]]
    pumps: dict[str, tuple[str, str]]
    valves: dict[str, tuple[str, str]]


def read_outline(path: Path) -> Outline:
    """The nodes and links of an input file, once everything in it was found to fit.

    Raises:
        ConfigError: with file:line, what was got and what is wanted, for every mistake found.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: {exc}. Want an EPANET input file in UTF-8.") from exc
    problems: list[str] = []
    lines = list(_lines(path, text, problems))
    nodes = {section: _named(path, lines, section, wanted, problems) for section, wanted in _NODES.items()}
    links = {section: _named(path, lines, section, wanted, problems) for section, wanted in _LINKS.items()}
    known = {name for found in nodes.values() for name in found}
    ends: dict[str, dict[str, tuple[str, str]]] = {section: {} for section in _LINKS}
    for section, found in links.items():
        for name, line in found.items():
            first, second = line.fields[1:3]
            for node in (first, second):
                if node not in known:
                    problems.append(
                        f"{path}:{line.number}: {section} {name}: got node {node!r}, want one of [JUNCTIONS], "
                        "[RESERVOIRS] or [TANKS]."
                    )
            ends[section][name] = first, second
    _check_units(path, lines, problems)
    if not nodes["RESERVOIRS"] and not nodes["TANKS"]:
        problems.append(f"{path}: got no reservoir and no tank, want a place that the water comes from.")
    if not problems:
        problems += _dry(path, nodes, ends)
    if problems:
        raise ConfigError("\n".join(problems))
    return Outline(
        frozenset(nodes["JUNCTIONS"]), frozenset(nodes["RESERVOIRS"]), frozenset(nodes["TANKS"]), ends["PIPES"],
        ends["PUMPS"], ends["VALVES"],
    )  # fmt: skip


def _lines(path: Path, text: str, problems: list[str]) -> Iterator[Line]:
    section = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition(";")[0].strip()
        if not line:
            continue
        if line.startswith("["):
            section = line.strip("[]").upper()
            if section not in SECTIONS:
                problems.append(f"{path}:{number}: got section {line!r}, want one of EPANET's, such as [PIPES].")
        elif not section:
            problems.append(f"{path}:{number}: got {line[:40]!r} before any section, want a [SECTION] first.")
        else:
            yield Line(number, section, line.split())


def _named(
    path: Path, lines: list[Line], section: str, wanted: tuple[int, str], problems: list[str]
) -> dict[str, Line]:
    """Objects of a section by their id; those with too few fields, a repeated id or a bad number are problems."""
    found: dict[str, Line] = {}
    least, what = wanted
    for line in lines:
        if line.section != section:
            continue
        name = line.fields[0]
        if len(line.fields) < least:
            problems.append(
                f"{path}:{line.number}: {section} {name}: got {len(line.fields)} fields, want {least}: {what}."
            )
            continue
        if name in found:
            problems.append(
                f"{path}:{line.number}: {section} {name}: got this id again (first on line {found[name].number}), "
                "want each once."
            )
            continue
        first = 1 if section in _NODES else 3
        for field in line.fields[first:least]:
            if section == "PUMPS" or (section == "VALVES" and field == line.fields[4]):
                continue
            if not _is_number(field):
                problems.append(f"{path}:{line.number}: {section} {name}: got {field!r}, want a number ({what}).")
        found[name] = line
    return found


def _check_units(path: Path, lines: list[Line], problems: list[str]) -> None:
    for line in lines:
        if line.section == "OPTIONS" and line.fields[0].upper() == "UNITS":
            if line.fields[-1].upper() != _UNITS:
                problems.append(
                    f"{path}:{line.number}: OPTIONS UNITS: got {line.fields[-1]!r}, want {_UNITS}. Convert the network "
                    "(EPANET saves it in other units) or change the line."
                )
            return
    problems.append(f"{path}: OPTIONS UNITS: got none, want {_UNITS}. Add a line `UNITS {_UNITS}` to [OPTIONS].")


def _dry(path: Path, nodes: dict[str, dict[str, Line]], ends: dict[str, dict[str, tuple[str, str]]]) -> Iterator[str]:
    """Junctions that no water can come to."""
    beside: dict[str, list[str]] = {}
    for links in ends.values():
        for first, second in links.values():
            beside.setdefault(first, []).append(second)
            beside.setdefault(second, []).append(first)
    reached = {*nodes["RESERVOIRS"], *nodes["TANKS"]}
    waiting = list(reached)
    while waiting:
        for node in beside.get(waiting.pop(), ()):
            if node not in reached:
                reached.add(node)
                waiting.append(node)
    for name, line in nodes["JUNCTIONS"].items():
        if name not in reached:
            yield f"{path}:{line.number}: JUNCTIONS {name}: got no way to a reservoir or tank, want a link to it."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
