"""The rows of all devices in one language, moved along with the picture instead of gone through for each page. No I/O.

A station of thousands of devices has a few that changed since the last page: only their rows are asked for again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import nsmallest
from typing import TYPE_CHECKING, NamedTuple

from gateway.web.inventory import Device, Inventory

if TYPE_CHECKING:
    from gateway.web.picture import Picture
    from gateway.web.situation import Situation
    from gateway.web.views import DeviceRow

    Make = Callable[[Device], tuple[DeviceRow, int | None]]
    """The row of a device as it is now, and until when it holds (ms UTC; None: until something moves)."""

Place = tuple[str, str, str | None]
"""site, agent, line"""
Lines = dict[tuple[str, str], "list[DeviceRow]"]
"""(line, its kind) -> rows, in the order of the site file."""


class _At(NamedTuple):
    """Where the row of a device stands: its place among `rows`, those of its line, and its number `n` among all."""

    device: Device
    rows: list[DeviceRow]
    place: int
    n: int
    line: tuple[str, str]


class RowBook:
    """Rows of one inventory by agent and line, and what is counted of them.

    devices: by state, where a working device with an alarm counts as `alarm`. unseen: node at fault -> devices of which
    nothing is known because of it. speaking: devices that need somebody.
    """

    def __init__(self) -> None:
        self.agents: list[tuple[str, str]] = []
        self.lines: dict[tuple[str, str], Lines] = {}
        self.at: dict[str, _At] = {}
        self.devices: Counter[str] = Counter()
        self.unseen: Counter[str | None] = Counter()
        self.speaking: dict[str, DeviceRow] = {}
        self._known = 0
        self._snapshots = -1
        self._places: dict[Place, list[str]] = {}
        self._causes: dict[Place, tuple[str | None, str | None]] = {}
        self._subjects: dict[str, dict[str, str]] = {}
        self._marked: set[tuple[str, str]] = set()
        self._seen = 0
        self._from_ms = 0
        self._until_ms: int | None = None

    def turn_to(self, picture: Picture, inventory: Inventory, now: Situation, now_ms: int, make: Make) -> None:
        """Make every row the one of now."""
        is_other = self._snapshots != picture.snapshots or self._known != len(inventory.devices)
        # A clock that was set back makes what was fresh a thing of the future; a value that got old changes by itself.
        is_time = now_ms < self._from_ms or (self._until_ms is not None and now_ms > self._until_ms)
        if is_other or is_time:
            self._begin(inventory, make)
            self._snapshots = picture.snapshots
        else:
            for key in self._moved(picture, now):
                if key in self.at:
                    self._replace(self.at[key], make)
        self._from_ms = now_ms
        self._remember(picture, now)

    def worst(self, most: int, rank: Callable[[DeviceRow], tuple[int, int]]) -> dict[tuple[str, str], Lines]:
        """Agent -> rows of its lines: of those that speak the `most` with the lowest rank, in their order."""
        shown = nsmallest(most, self.speaking.values(), key=lambda row: (*rank(row), self.at[row.key].n))
        found: dict[tuple[str, str], Lines] = {}
        for row in sorted(shown, key=lambda row: self.at[row.key].n):
            at = self.at[row.key]
            found.setdefault((at.device.site, at.device.agent), {}).setdefault(at.line, []).append(row)
        return found

    def _begin(self, inventory: Inventory, make: Make) -> None:
        self.agents, self.lines, self.at = inventory.agent_keys(), {}, {}
        self.devices, self.unseen, self.speaking = Counter(), Counter(), {}
        self._known, self._until_ms, self._places = len(inventory.devices), None, {}
        for n, (key, device) in enumerate(inventory.devices.items()):
            line = (device.line or "", device.line_kind or "")
            rows = self.lines.setdefault((device.site, device.agent), {}).setdefault(line, [])
            row, until_ms = make(device)
            self.at[key] = _At(device, rows, len(rows), n, line)
            rows.append(row)
            self._places.setdefault((device.site, device.agent, device.line), []).append(key)
            self._count(row, 1, until_ms)

    def _moved(self, picture: Picture, now: Situation) -> set[str]:
        """Devices with readings since, or of whose alarms, holds or causes above something is not as it was."""
        moved: set[str] = set()
        for key in reversed(picture.versions):
            if picture.versions[key] <= self._seen:
                break
            moved.add(key)
        moved |= {key for key, about in now.subjects.items() if self._subjects.get(key) != about}
        moved |= self._subjects.keys() - now.subjects.keys()
        moved |= {key for key, _ in self._marked ^ _marked(picture, now)}
        for place, keys in self._places.items():
            if self._causes[place] != now.above(*place):
                moved.update(keys)
        return moved

    def _remember(self, picture: Picture, now: Situation) -> None:
        self._seen = next(reversed(picture.versions.values()), 0)
        self._subjects, self._marked = now.subjects, _marked(picture, now)
        self._causes = {place: now.above(*place) for place in self._places}

    def _replace(self, at: _At, make: Make) -> None:
        row, until_ms = make(at.device)
        self._count(at.rows[at.place], -1, None)
        at.rows[at.place] = row
        self._count(row, 1, until_ms)

    def _count(self, row: DeviceRow, by: int, until_ms: int | None) -> None:
        # A device that works and tells of an alarm is heard, but nobody would call it good.
        self.devices["alarm" if row.severity and row.status == "good" else row.status] += by
        if row.cause is not None and row.cause != row.key:
            self.unseen[row.cause] += by
        if by < 0 or not row.needs_somebody:
            self.speaking.pop(row.key, None)
        else:
            self.speaking[row.key] = row
        if until_ms is not None:
            self._until_ms = until_ms if self._until_ms is None else min(self._until_ms, until_ms)


def _marked(picture: Picture, now: Situation) -> set[tuple[str, str]]:
    return {(key, "drill") for key in now.drilled} | {(key, "out") for key in picture.standing.out_of_service}
