"""What a site file says of patrols, checks, drills and training: what is walked, where, and how often."""

from __future__ import annotations

from datetime import time
from typing import Literal

from pydantic import Field, model_validator

from contract.configfile import Section
from contract.point import Ident, Text

PlaceClass = Literal["public_gathering", "key_unit", "office", "other"]
"""Public gathering place (公众聚集场所), key unit (消防安全重点单位), office or institution, any other."""
PlanKind = Literal["patrol", "self_check", "facility"]
"""Fire patrol (防火巡查), self-check (防火检查, 自查), patrol of the fire facilities (设施巡查)."""
TrainingKind = Literal["station_drill", "unit_drill", "training", "assessment"]
Cycle = Literal[
    "open_hours",
    "after_closing",
    "daily",
    "weekly",
    "half_monthly",
    "monthly",
    "quarterly",
    "half_yearly",
    "yearly",
]
"""open_hours: every `every_h` while open. after_closing: within an hour after closing. The others go by the local
calendar: once a day, a week from Monday, a half month from the 1st and the 16th, a month ..."""
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OPEN_CYCLES: frozenset[Cycle] = frozenset({"open_hours", "after_closing"})
"""Cycles that go by the opening hours."""

PLAN_CYCLES: dict[PlanKind, dict[PlaceClass, Cycle]] = {
    "patrol": {"public_gathering": "open_hours", "key_unit": "daily", "office": "weekly", "other": "weekly"},
    "facility": {"public_gathering": "daily", "key_unit": "daily", "office": "weekly", "other": "weekly"},
    "self_check": {"public_gathering": "monthly", "key_unit": "monthly", "office": "quarterly", "other": "monthly"},
}
"""How often, unless the plan says otherwise: Order 61 articles 25 and 26, GB 25201-2010 (patrol of facilities)."""
TRAINING_CYCLES: dict[TrainingKind, Cycle] = {
    "station_drill": "monthly",
    "unit_drill": "half_yearly",
    "training": "monthly",
    "assessment": "quarterly",
}


class Opening(Section):
    """Hours in which the place is open, local time; they end on the next day when `close` is not later than `open`."""

    days: list[Weekday] = Field(default=list(WEEKDAYS), min_length=1)
    open: time
    close: time


class Stop(Section):
    """A place of a route where somebody looks, with a printed label on it."""

    id: Ident | None = None
    """Name of the place; that of its device unless given. Routes that pass the same place share its label."""
    device: Ident | None = None
    title: Text | None = None
    """What it is called; needed without a device."""
    items: list[Text] = Field(default=[], max_length=20)
    """What to look at, each answered by itself."""
    walk_s: float | None = Field(default=None, ge=0, le=3600)
    """Least time from the stop before, where it is not that of the plan."""

    @model_validator(mode="after")
    def _named(self) -> Stop:
        if self.device is None and (self.id is None or self.title is None):
            raise ValueError("got a stop without a device, want `id` and `title`. Name the place.")
        return self

    @property
    def spot(self) -> str:
        """The place its label names."""
        return self.id or self.device or ""


class Plan(Section):
    """A route that is walked again and again."""

    id: Ident
    title: Text
    kind: PlanKind
    cycle: Cycle | None = None
    """How often; without it what its kind and the class of the place ask for."""
    every_h: float = Field(default=2.0, ge=0.5, le=24)
    """Of cycle open_hours (public gathering places: at least every 2 h while open; Order 61, article 25)."""
    walk_s: float = Field(default=15.0, ge=0, le=3600)
    """Nobody gets from one stop to the next in less; a round that did needs a second person's word."""
    stops: list[Stop] = Field(min_length=1, max_length=60)

    def cycle_at(self, place: PlaceClass) -> Cycle:
        """How often at a place of that class."""
        return self.cycle or PLAN_CYCLES[self.kind][place]


class TrainingPlan(Section):
    """Drills, training or assessment that come again and again."""

    kind: TrainingKind
    cycle: Cycle | None = None
    """How often: drill of the station monthly, of the unit half-yearly, training monthly, assessment quarterly."""

    @property
    def cycle_or_usual(self) -> Cycle:
        """How often."""
        return self.cycle or TRAINING_CYCLES[self.kind]

    @model_validator(mode="after")
    def _by_calendar(self) -> TrainingPlan:
        if self.cycle in OPEN_CYCLES:
            raise ValueError(f"got cycle {self.cycle!r}, want daily to yearly. Name another.")
        return self
