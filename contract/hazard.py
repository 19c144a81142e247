"""What a site file says of hazards (隐患): when an alarm becomes one, how long each step may take, which days count."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from contract.configfile import Section

HazardLevel = Literal["general", "major"]
"""major: 重大火灾隐患, judged by a person after GB 35181; the program never decides it."""


class Promote(Section):
    """An alarm of this severity that stands this long is a hazard."""

    severity: Literal["critical", "warning", "info"]
    after_h: float = Field(gt=0, le=8784)


class HazardHandling(Section):
    """Times of the steps from found to filed, for this site. All of them are local practice, to be set by the unit."""

    from_alarms: list[Promote] = [
        Promote(severity="critical", after_h=24.0),
        Promote(severity="warning", after_h=72.0),
    ]
    """Which alarms become hazards by themselves; none listed: only by hand. Fires are incidents, never hazards."""
    assign_h: float = Field(default=24.0, gt=0, le=8784)
    """A hazard must be fixed on the spot or assigned within this time."""
    verify_h: float = Field(default=72.0, gt=0, le=8784)
    """What was fixed must be confirmed (and a major one signed off) within this time."""
    confirm_h: float = Field(default=24.0, ge=0, le=8784)
    """The alarm a hazard stands on must have stayed clear this long after the fix before the data confirms it."""
    return_days: float = Field(default=30.0, ge=0, le=3660)
    """A closed hazard that comes back within this time is opened again; afterwards it is filed."""
    working_days: bool = False
    """Deadlines given in days count working days instead of calendar days, unless the order says otherwise."""
    holidays: list[date] = []
    """Days off beside Saturdays and Sundays."""
    workdays: list[date] = []
    """Saturdays and Sundays that are worked (调休)."""
    public_waiting: int = Field(default=200, ge=1, le=10_000)
    """Reports of the public that may wait to be looked at; further ones are refused with a clear answer."""
