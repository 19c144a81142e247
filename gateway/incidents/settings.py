"""Settings of incidents: the clocks of the first minutes, and which neighbours are called."""

from __future__ import annotations

from pydantic import Field, model_validator

from contract.configfile import Section


class ResponseSettings(Section):
    """The first minutes of a fire: one minute own station, three neighbours, five fire brigade (1-3-5)."""

    own_s: float = Field(default=60.0, ge=1, le=3600)
    """The own station is there within this time (s)."""
    neighbours_s: float = Field(default=180.0, ge=1, le=3600)
    """A neighbouring station is there within this time (s)."""
    brigade_s: float = Field(default=300.0, ge=1, le=7200)
    """The fire brigade is there within this time (s)."""
    neighbours_m: float = Field(default=3000.0, ge=0, le=100_000)
    """Stations within this distance (m) are neighbours; 0: none are called."""
    neighbours: int = Field(default=3, ge=0, le=20)
    """At most so many are called, the nearest first."""

    @model_validator(mode="after")
    def _in_order(self) -> ResponseSettings:
        if not self.own_s <= self.neighbours_s <= self.brigade_s:
            raise ValueError(
                f"got own_s {self.own_s:g}, neighbours_s {self.neighbours_s:g}, brigade_s {self.brigade_s:g}, "
                "want each at least as long as the one before."
            )
        return self
