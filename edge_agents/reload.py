"""What a new site file changes for a running agent. Pure: two lists of placed devices in, what to touch out.

A device that only got another name or place for people is the same to the agent. Another period changes the schedule
only. Another profile, profile content, address or size makes it another device. A line whose own settings changed is
started anew; one whose devices changed goes on and takes the change between two reads, where its kind can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from contract.profile import Profile
from contract.site import AgentEntry, Placed, Site

CHANGEABLE = ("modbus_tcp", "modbus_rtu", "modbus_rtu_tcp", "mqtt")
"""Kinds of line that take other devices while they run; the others are one panel each."""
FOR_PEOPLE = {"title", "place"}
Lines = Mapping[str, list[Placed]]
"""Line -> its devices, in file order."""


class DeviceChange(NamedTuple):
    """The devices of a line that goes on. after: all of them, in order. fresh: ids that begin anew. gone: ids left."""

    after: list[Placed]
    fresh: frozenset[str]
    gone: frozenset[str]


class Diff(NamedTuple):
    """stop, start: ids of lines; a line to be started anew is in both. change: lines that go on with other devices.

    gone: ids of devices of stopped lines that the new file has nowhere.
    """

    stop: list[str]
    start: list[str]
    change: dict[str, DeviceChange]
    gone: list[str]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be touched."""
        return not (self.stop or self.start or self.change)

    def __str__(self) -> str:
        parts = [("stopped", self.stop), ("started", self.start), ("changed", list(self.change))]
        return "; ".join(f"{word} {', '.join(ids)}" for word, ids in parts if ids) or "nothing to change"


def lines_of(site: Site, entry: AgentEntry) -> dict[str, list[Placed]]:
    """The lines of one agent with everything known of their devices."""
    found: dict[str, list[Placed]] = {line.id: [] for line in entry.lines}
    for placed in site.placed():
        if placed.agent == entry.id:
            found[placed.line.id].append(placed)
    return found


def compare(old: Lines, new: Lines) -> Diff:
    """What must be touched to go from one configuration to the other."""
    diff, profiles = Diff([], [], {}, []), _SameProfiles()
    for line_id, before in old.items():
        after = new.get(line_id)
        if after is None or _own_settings(before) != _own_settings(after):
            diff.stop.append(line_id)
            continue
        change = _compare_devices(before, after, profiles)
        if change is None:
            continue
        if before[0].line.kind in CHANGEABLE:
            diff.change[line_id] = change
        else:
            diff.stop.append(line_id)
    diff.start.extend(line_id for line_id in new if line_id not in old or line_id in diff.stop)
    staying = {placed.entry.id for devices in new.values() for placed in devices}
    diff.gone.extend(
        placed.entry.id for line_id in diff.stop for placed in old[line_id] if placed.entry.id not in staying
    )
    return diff


class _SameProfiles:
    """Tells whether two profiles read alike; each pair is looked at once, however many devices share it."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def __call__(self, old: Profile, new: Profile) -> bool:
        key = (id(old), id(new))
        if key not in self._known:
            sides = [profile.model_dump(exclude={"poll_s"}) for profile in (old, new)]
            self._known[key] = old is new or sides[0] == sides[1]
        return self._known[key]


def _compare_devices(before: list[Placed], after: list[Placed], profiles: _SameProfiles) -> DeviceChange | None:
    known = {placed.entry.id: placed for placed in before}
    fresh = [
        placed.entry.id
        for placed in after
        if placed.entry.id not in known or not _is_same(known[placed.entry.id], placed, profiles)
    ]
    gone = known.keys() - {placed.entry.id for placed in after}
    ways = {placed.entry.id: _way(placed) for placed in before}
    is_calm = all(ways.get(placed.entry.id) == _way(placed) for placed in after)
    if not fresh and not gone and is_calm:
        return None
    return DeviceChange(after, frozenset(fresh), frozenset(gone))


def _way(placed: Placed) -> tuple[object, ...]:
    """What a polled device takes over while it stays what it is: its period, the places its events name."""
    return placed.poll_s, placed.profile.titles if placed.profile.modbus is not None else None


def _is_same(old: Placed, new: Placed, profiles: _SameProfiles) -> bool:
    """Whether it is the same device to the agent, its period aside."""
    skipped = {*FOR_PEOPLE, "poll_s"}
    if old.entry.model_dump(exclude=skipped) != new.entry.model_dump(exclude=skipped):
        return False
    return profiles(old.profile, new.profile)


def _own_settings(devices: list[Placed]) -> dict[str, object]:
    return devices[0].line.model_dump(exclude={"devices"})
