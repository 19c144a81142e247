"""What the data says of a thing since a moment: the witness that work orders wait for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from contract import quality as q
from contract.profile import ONLINE
from gateway.control.protocol import AgentView
from rules.memory import LastValue


class Engine(Protocol):
    """The rule engine, as far as it knows values."""

    def points(self, site: str, agent: str) -> dict[str, LastValue]:
        """The known points `device/point` of an agent's devices."""


class Witness(Protocol):
    """Tells when a thing was last seen to work."""

    def last_good_ms(self, subject: str) -> int | None:
        """When a good value of `site/device/point`, `site/device` or `site/agent` was last measured, ms UTC.

        None: never, or it does not answer now.
        """


class NoWitness:
    """Where there is no data."""

    def last_good_ms(self, subject: str) -> int | None:  # noqa: ARG002 # it knows of none
        """Never."""
        return None


class EngineWitness:
    """Of a running gateway. agents: views of all agents; owner_of(site, device): the agent a device belongs to."""

    def __init__(
        self,
        engine: Engine,
        agents: Mapping[tuple[str, str], AgentView],
        owner_of: Callable[[str, str], str | None],
    ) -> None:
        self._engine = engine
        self._agents = agents
        self._owner_of = owner_of

    def last_good_ms(self, subject: str) -> int | None:
        """As in `Witness`. A device that has a point `online` must be online; of an agent its heartbeat counts."""
        site, _, rest = subject.partition("/")
        device, _, point = rest.partition("/")
        view = self._agents.get((site, device))
        if view is not None and not point:
            return view.heard_ms if view.online else None
        owner = self._owner_of(site, device)
        if owner is None:
            return None
        points, head = self._engine.points(site, owner), device + "/"
        online = points.get(head + ONLINE)
        if online is not None and online.received_ms and online.value is not True:
            return None
        if point:
            slots = [found] if (found := points.get(head + point)) is not None else []
        else:
            slots = [slot for name, slot in points.items() if name.startswith(head)]
        return max((slot.observed_ms for slot in slots if slot.received_ms and slot.quality == q.GOOD), default=None)
