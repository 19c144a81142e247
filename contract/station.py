"""What a site file says of its micro fire station: its posts, its crew, its duty checks. Facts of the installation;
people, rosters and records live in the gateway's registers.
"""

from __future__ import annotations

from datetime import time
from typing import Literal

from pydantic import Field, model_validator

from contract.configfile import Section
from contract.point import Ident, Text

MINUTES_A_CHECK = 80
"""A shift has room for one random duty check in so many minutes."""
CertificateKind = Literal["operator", "operator_senior", "technician", "fire_fighter", "driver", "first_aid"]
"""operator: junior certificate of facility operation (attendants, patrol); operator_senior: testing and maintenance;
technician: repair (GB 25201-2010 as textbooks give it)."""
EquipmentKind = Literal["vehicle", "breathing", "clothing", "radio", "tool", "extinguisher", "hose", "other"]


class Post(Section):
    """A place that is manned around the clock."""

    id: Ident
    title: Text
    crew: int = Field(default=2, ge=1, le=20)
    """People at this post at any time; a control room has two (GB 25201-2010)."""
    certificates: list[CertificateKind] = []
    """What each person at this post must hold."""


class DutyChecks(Section):
    """Random duty checks (查岗) of this station."""

    per_shift: int = Field(default=2, ge=0, le=8)
    answer_s: float = Field(default=600.0, ge=30, le=3600)
    """Time to answer."""


class Needed(Section):
    """One line of the list of equipment the station must have."""

    id: Ident
    title: Text
    kind: EquipmentKind
    count: int = Field(default=1, ge=1, le=999)
    check_every_h: float = Field(default=24.0, gt=0, le=8784)
    """A tick older than this says nothing any more."""
    devices: list[Ident] = []
    """Devices of the site that watch it; without any it is ticked by hand."""


class Station(Section):
    """The micro fire station of a site."""

    grade: Literal[1, 2, 3]
    """Level of the station; local rules name their own (crew and equipment follow from them)."""
    crew: int = Field(default=6, ge=1, le=200)
    """People the station has on its list (key unit: at least 6; 公消〔2015〕301号)."""
    posts: list[Post] = Field(min_length=1)
    shifts: list[time] = Field(default=[time(8), time(16), time(0)], min_length=2, max_length=6)
    """When shifts begin, local time; none may last longer than shift_h."""
    shift_h: float = Field(default=8.0, gt=0, le=24)
    """Longest shift (GB 25201-2010: 8 h)."""
    handover_s: float = Field(default=900.0, ge=60, le=7200)
    """The handover must be signed by both sides within this time."""
    sound_check: bool = True
    """Each crew listens to the sounds of the duty screen when it takes over; false where no screen sounds."""
    log_h: float = Field(default=2.0, gt=0, le=24)
    """The control-room log wants an entry this often."""
    duty_checks: DutyChecks = DutyChecks()
    equipment: list[Needed] = []
    covers: list[Ident] = []
    """Further sites (their hydrants, water, panels) this station answers for; its own site always."""

    @model_validator(mode="after")
    def _checks_are_random(self) -> Station:
        """Checks are half an hour apart; where shifts have no room for more than that, they would be foreseen."""
        minutes = sorted({60 * begin.hour + begin.minute for begin in self.shifts})
        shortest = min((b - a) % 1440 or 1440 for a, b in zip(minutes, [*minutes[1:], minutes[0]], strict=True))
        most = max(0, (shortest - 2) // MINUTES_A_CHECK)
        if self.duty_checks.per_shift > most:
            raise ValueError(
                f"duty_checks.per_shift: got {self.duty_checks.per_shift}, want at most {most} where a shift has "
                f"{shortest} minutes (more could be foreseen)."
            )
        return self
