"""What a scope covers, what is to speak in a drill, what a decision rests on, what was not tested for long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from contract.point import Point
from contract.profile import BUILT_IN
from gateway.alarms.scope import covers
from gateway.ledger.records import LastTest
from rules.memory import Transition

if TYPE_CHECKING:
    from gateway.state import WorkingState


def names_in(state: WorkingState, site: str) -> set[str]:
    """Everything of a site that an alarm may be about, without the site: devices, points, agents, groups."""
    names = set(_points(state, site))
    for (owned_by, device), agent in state.owners.items():
        if owned_by == site:
            names |= {device, agent}
    known = state.installation.sites.get(site)
    if known is not None:
        names |= {agent.id for agent in known.agents} | {group.id for group in known.all_groups()}
    return names


def to_speak(state: WorkingState, site: str, scope: Sequence[str]) -> list[str]:
    """The subjects (with site) that are expected to speak in a drill of that scope.

    Points named by the scope itself; of devices named as a whole the points that carry states (contacts, detectors),
    without the built-in ones about the device's own health. A device that has none of these speaks by any alarm.
    """
    equipment = _equipment(state, site)
    whole = [pattern for pattern in scope if "/" not in pattern]
    named = [pattern for pattern in scope if "/" in pattern]
    found: set[str] = set()
    for name in _points(state, site):
        device, _, point = name.partition("/")
        if device not in equipment:  # a line or an agent: nothing that could be tested
            continue
        kind = equipment[device].get(point)  # None: a place that a panel or printer named by itself
        if kind is not None and kind.text:
            continue
        speaks = point not in BUILT_IN and (kind is None or not kind.is_number)
        if covers(named, name) or (speaks and covers(whole, name)):
            found.add(f"{site}/{name}")
    spoken_for = {subject.split("/")[1] for subject in found}
    found |= {f"{site}/{device}" for device in equipment if device not in spoken_for and covers(whole, device)}
    return sorted(found)


def names_behind(state: WorkingState, decision: Transition) -> list[str]:
    """The names (without site) that a decision rests on: its subject, or of a group the points that were counted.

    A long count names only its first points: then it rests on everything that belongs to the group.
    """
    name = decision.subject.partition("/")[2]
    if decision.device is not None:
        return [name]
    counts = list(_tallies(decision.inputs))
    if counts and all(len(count["points"]) >= count.get("count", 0) for count in counts):
        return [str(point) for count in counts for point in count["points"]]
    site = state.installation.sites.get(decision.site)
    group = site.groups_by_id.get(name) if site else None
    if group is None:
        return [name]
    return [point for point in _points(state, decision.site) if group.has(*point.split("/", 1))]


def untested(subjects: Iterable[str], tested: Mapping[str, LastTest], before_ms: int) -> list[tuple[str, int | None]]:
    """(subject, when it was last seen to work) of those whose last test is older than that, the longest first.

    A test of a device as a whole counts for each of its points. None: never tested.
    """
    found: list[tuple[str, int | None]] = []
    for subject in subjects:
        rows = (tested.get(subject), tested.get(subject.rpartition("/")[0]))
        last_ms = max((row.at_ms for row in rows if row is not None), default=None)
        if last_ms is None or last_ms < before_ms:
            found.append((subject, last_ms))
    return sorted(found, key=lambda row: (row[1] or 0, row[0]))


def _points(state: WorkingState, site: str) -> Iterator[str]:
    for agent in {agent for (owned_by, _), agent in state.owners.items() if owned_by == site}:
        yield from state.engine.points(site, agent)


def _equipment(state: WorkingState, site: str) -> dict[str, dict[str, Point]]:
    """Device -> its points as its profile names them."""
    known = state.installation.sites.get(site)
    found = {placed.entry.id: placed.points for placed in known.placed()} if known is not None else {}
    for device in state.approved.values():
        if device.site == site and device.profile in state.installation.library:
            found.setdefault(device.device, state.installation.library[device.profile].points_for(None))
    return {device: {point.name: point for point in points} for device, points in found.items()}


def _tallies(inputs: Any) -> Iterator[dict[str, Any]]:
    """Every count of points among the inputs of a decision, however deep its condition is nested."""
    if isinstance(inputs, dict):
        if inputs.get("kind") == "tally" and isinstance(inputs.get("points"), list):
            yield inputs
        else:
            for value in inputs.values():
                yield from _tallies(value)
    elif isinstance(inputs, list):
        for value in inputs:
            yield from _tallies(value)
