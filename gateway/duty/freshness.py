"""How old what is known of a site is: no station is ready on data older than two periods. Pure.

Two periods, because one reading may be late and two may not. The period of a device is its longest silence
(`max_silence_s`, its poll period where that is longer): within it every value is repeated, changed or not. In between,
the agent vouches for its devices: by its heartbeat, whose period counts in the same way, and by saying at once which
device or line does not answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from contract.site import Site
from gateway.control.protocol import AgentView
from rules.memory import Device, LastValue

PERIODS = 2
HEARTBEAT_S = 10.0
"""Of an agent that has not said its own yet."""
NEVER = 2**62


class Engine(Protocol):
    """The rule engine, as far as it knows who is there."""

    def points(self, site: str, agent: str) -> dict[str, LastValue]:
        """The known points of an agent's devices."""

    def cause_of(self, site: str, device_or_point: str) -> str | None:
        """Path of the node at fault that makes a device unknown now."""


class Look(NamedTuple):
    """What is too old. causes: paths of what does not speak; empty: everything is fresh. since_ms: from when on, 0
    where nobody can say; next_ms: when time alone makes something too old."""

    causes: tuple[str, ...]
    since_ms: int
    next_ms: int


class _Age(NamedTuple):
    """path: what is to be named. is_lost: known not to speak, whatever its age. due_ms: when it is too old, 0: it
    never spoke."""

    path: str
    is_lost: bool
    due_ms: int


class Sight(Protocol):
    """Tells how fresh the data of sites is."""

    def look(self, sites: Iterable[Site], now_ms: int, left_out: Collection[str]) -> Look:
        """Of all equipment of these sites but the devices (`site/device`) left out."""

    def rearranged(self) -> None:
        """Devices may be others now."""


class Freshness:
    """Sight of a running gateway. agents: views of all agents, kept up to date by their owner."""

    def __init__(self, engine: Engine, agents: Mapping[tuple[str, str], AgentView]) -> None:
        self._engine = engine
        self._agents = agents
        self._devices: dict[tuple[str, str], tuple[int, list[Device]]] = {}

    def rearranged(self) -> None:
        """Devices may be others now."""
        self._devices.clear()

    def look(self, sites: Iterable[Site], now_ms: int, left_out: Collection[str]) -> Look:
        """Of all equipment of these sites but the devices (`site/device`) left out."""
        causes: dict[str, None] = {}
        since_ms, next_ms = NEVER, NEVER
        for each in self._ages(sites, left_out):
            is_old = each.due_ms <= now_ms
            if is_old or each.is_lost:
                causes[each.path] = None
                since_ms = min(since_ms, each.due_ms if is_old and each.due_ms else now_ms)
            else:
                next_ms = min(next_ms, each.due_ms)
        return Look(tuple(causes), since_ms if causes else 0, next_ms)

    def _ages(self, sites: Iterable[Site], left_out: Collection[str]) -> Iterator[_Age]:
        for site in sites:
            for entry in site.agents:
                path, view = f"{site.site}/{entry.id}", self._agents.get((site.site, entry.id))
                if view is None:
                    yield _Age(path, True, 0)
                    continue
                heartbeat_s = float(view.state.get("heartbeat_s", HEARTBEAT_S))
                # One that is known to be lost may have been silent before anybody looked.
                yield _Age(path, not view.online, view.heard_ms + int(PERIODS * heartbeat_s * 1000))
                for device in self._equipment(site.site, entry.id):
                    if device.path not in left_out:
                        yield self._device(device)

    def _device(self, device: Device) -> _Age:
        cause = self._engine.cause_of(device.site, device.name)
        if cause is None and device.agent.is_behind:
            cause = device.agent.path  # more is to come that was measured before now
        measured_ms = max((_measured_ms(point) for point in device.points), default=0)
        period_ms = max(device.silence_ms, int(device.poll_s * 1000))
        return _Age(cause or device.path, cause is not None, measured_ms + PERIODS * period_ms if measured_ms else 0)

    def _equipment(self, site: str, agent: str) -> list[Device]:
        points = self._engine.points(site, agent)
        known = self._devices.get((site, agent))
        if known is None or known[0] != len(points):
            devices = {slot.device.path: slot.device for slot in points.values() if not slot.device.profile.is_own}
            known = self._devices[site, agent] = (len(points), list(devices.values()))
        return known[1]


def _measured_ms(point: LastValue) -> int:
    """When the value was measured: no later than it arrived, whatever its clock says."""
    return min(point.observed_ms, point.received_ms)
