"""What a site file says of work orders (工单): how long work may take, and when the data confirms that it is done."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.configfile import Section

Priority = Literal["urgent", "high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("urgent", "high", "normal", "low")


class OrderHandling(Section):
    """Times of work orders at this site. All of them are local practice, to be set by the unit."""

    urgent_h: float = Field(default=24.0, gt=0, le=8784)
    """An urgent order that names no date of its own is to be done within this time."""
    high_h: float = Field(default=72.0, gt=0, le=8784)
    normal_h: float = Field(default=336.0, gt=0, le=8784)
    low_h: float = Field(default=720.0, gt=0, le=8784)
    confirm_h: float = Field(default=0.5, ge=0, le=8784)
    """The alarm an order stands on must have stayed clear this long after the work before the data confirms it."""
    confirm_within_h: float = Field(default=24.0, gt=0, le=8784)
    """Work that the data has not confirmed (or nobody has looked at) within this time is overdue again."""
    return_days: float = Field(default=14.0, ge=0, le=3660)
    """An order whose fault comes back within this time of its closing is opened again; afterwards it is filed."""

    def due_h(self, priority: Priority) -> float:
        """Hours an order of this priority has."""
        return {"urgent": self.urgent_h, "high": self.high_h, "normal": self.normal_h, "low": self.low_h}[priority]
