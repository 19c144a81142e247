"""What the owner of a polled line needs of its connection, and what is counted on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from contract.site import ModbusRtuLine, ModbusRtuTcpLine, ModbusTcpLine
from edge_agents.drivers.identity import IdentityPart
from edge_agents.drivers.modbus import Block

PolledLine = ModbusTcpLine | ModbusRtuLine | ModbusRtuTcpLine


class Port(Protocol):
    """What a line needs of its connection."""

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""

    async def open(self) -> None:
        """Connect. Raises RetryLater when the line cannot be opened."""

    async def read(self, unit_id: int, block: Block, answer_s: float, *, is_probe: bool = False) -> list[int]:
        """The words (or bits as 0/1) of a block. Raises DeviceError."""

    def identity_s(self, usual_s: float) -> tuple[float, float]:
        """For a unit whose answers usually take so long: how long an identification takes, and how long a unit that is
        slow to refuse may take the line, seconds."""

    async def identify(self, unit_id: int, first_object: int, wait_s: float) -> IdentityPart:
        """What the unit tells of itself, from this object on. Raises DeviceError."""

    def ready_s(self, unit_id: int) -> float:
        """Monotonic time before which the unit is not asked."""

    def close(self) -> None:
        """Close; may be called again."""


@dataclass(slots=True)
class FrameCounters:
    """What was heard on a line since the start, over all its connections."""

    requests: int = 0
    timeouts: int = 0
    damaged: int = 0
    """Answers with a wrong CRC, wrong length or wrong transaction."""
    foreign: int = 0
    """Sound frames that nobody asked for: another master, another unit."""
    late: int = 0
    """Answers thrown away because they came after their timeout."""
    echoed: int = 0
    """Requests that came back: the adapter hears itself."""
    waited_s: float = 0.0
    """Time between sending and answer or giving up, summed."""
    lost_s: float = 0.0
    """The part of it that gave no answer."""
