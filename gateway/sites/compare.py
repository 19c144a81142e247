"""What a new site file changes, device by device and line by line. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from contract.profile import Text
from contract.site import Placed, Site

MOST_LINES = 4000


class FieldChange(NamedTuple):
    """A field that differs; empty text: it is not there."""

    name: str
    old: str
    new: str


class DeviceChange(NamedTuple):
    """A device that comes, goes or differs."""

    how: Literal["added", "removed", "changed"]
    device: str
    title: Text
    where: str
    fields: tuple[FieldChange, ...]


class DiffLine(NamedTuple):
    """A line of the text. how: plus | minus | same | at (where the next stretch begins)."""

    how: Literal["plus", "minus", "same", "at"]
    text: str


class Comparison(NamedTuple):
    """Everything that differs."""

    devices: tuple[DeviceChange, ...]
    beside: tuple[str, ...]
    """Parts of the file beside devices that differ, by their keys."""
    lines: tuple[DiffLine, ...]


def compare_sites(old: Site, new: Site, old_text: str, new_text: str) -> Comparison:
    """What a site becomes."""
    before, after = _devices(old), _devices(new)
    changes = [_change("removed", before[key], ()) for key in before if key not in after]
    changes += [
        _change("added", after[key], tuple(_fields({}, _flat(after[key])))) for key in after if key not in before
    ]
    for key in after.keys() & before.keys():
        fields = tuple(_fields(_flat(before[key]), _flat(after[key])))
        if fields:
            changes.append(_change("changed", after[key], fields))
    order = ("removed", "changed", "added")
    changes.sort(key=lambda change: (order.index(change.how), change.device))
    beside = tuple(
        name for name in type(new).model_fields if name != "agents" and getattr(old, name) != getattr(new, name)
    ) + (("agents",) if _lines(old) != _lines(new) else ())
    return Comparison(tuple(changes), beside, tuple(_diff(old_text, new_text)))


def _devices(site: Site) -> dict[str, Placed]:
    return {placed.entry.id: placed for placed in site.placed()}


def _lines(site: Site) -> list[Any]:
    """Agents and lines without what hangs on them."""
    return [
        (agent.id, agent.title, [line.model_dump(exclude={"devices"}) for line in agent.lines]) for agent in site.agents
    ]


def _change(
    how: Literal["added", "removed", "changed"], placed: Placed, fields: tuple[FieldChange, ...]
) -> DeviceChange:
    return DeviceChange(how, placed.entry.id, placed.title, f"{placed.agent} / {placed.line.id}", fields)


def _flat(placed: Placed) -> dict[str, str]:
    found = {"line": f"{placed.agent} / {placed.line.id}"}
    for path, value in _leaves(placed.entry.model_dump(mode="json", exclude={"id"}, exclude_none=True), ""):
        found[path] = str(value)
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def _fields(old: dict[str, str], new: dict[str, str]) -> Iterator[FieldChange]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name, "") != new.get(name, ""):
            yield FieldChange(name, old.get(name, ""), new.get(name, ""))


def _diff(old: str, new: str) -> Iterator[DiffLine]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2)
    for number, line in enumerate(lines):
        if number < 2:
            continue  # names of files
        if number > MOST_LINES:
            return
        how: Any = {"+": "plus", "-": "minus", "@": "at"}.get(line[:1], "same")
        yield DiffLine(how, line.strip("@ ") if how == "at" else line[1:])
