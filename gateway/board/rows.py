"""Rows of the duty board: floor plans with their marks, steps of advice that were done, sound checks. Times ms UTC."""

from __future__ import annotations

import msgspec

from gateway.ledger.entries import Entry, Kind

SPAN = 10_000
"""Places on a plan are ten-thousandths of its width and height, from the upper left corner."""
MOST_MARKS = 400
"""Marks on one plan: a row is written whole into the chain at each change."""
MOST_PLANS = 40
"""Plans of one site."""


class Mark(msgspec.Struct, frozen=True):
    """Something on a plan. at: `device` or `device/point`; x, y: 0..SPAN."""

    at: str
    x: int
    y: int


class FloorPlan(Entry, frozen=True, kw_only=True):
    """A plan of a site. state: shown | removed. picture: its name in the store of plans, width and height its pixels.

    position: plans of a site are shown in this order, then by number.
    """

    title: str
    picture: str
    width: int
    height: int
    position: int = 0
    marks: tuple[Mark, ...] = ()

    def mark(self, at: str) -> Mark | None:
        """The mark of a device or point."""
        return next((mark for mark in self.marks if mark.at == at), None)


class Done(msgspec.Struct, frozen=True):
    """A step of the advice that somebody did. step: counted from 0; text: as it was told (zh)."""

    step: int
    text: str
    by: str
    at_ms: int


class Advice(Entry, frozen=True, kw_only=True):
    """What was done of an alarm's advice; its number is that of the alarm. state: open | over (with the alarm)."""

    done: tuple[Done, ...] = ()

    @property
    def alarm(self) -> int:
        """Number of the alarm."""
        return self.id


EARLY_MS = 3_600_000
"""A sound check up to so long before both sides have signed is one at the start of the shift."""


class SoundCheck(Entry, frozen=True, kw_only=True):
    """Somebody listened to the test tone of a screen. state: heard | not_heard, the last of a site; past: an earlier.

    from_ms: when they listened.
    """

    heard: bool
    user: str
    person: int | None = None
    screen: str = ""
    """What kind of screen, as its browser calls itself."""

    def is_of_shift(self, begin_ms: int) -> bool:
        """Whether it counts for the shift that began then."""
        return self.from_ms >= begin_ms - EARLY_MS


FLOOR_PLAN = Kind("floor_plan", FloorPlan, frozenset({"shown"}))
ADVICE = Kind("advice", Advice, frozenset({"open"}))
SOUND_CHECK = Kind("sound_check", SoundCheck, frozenset({"heard", "not_heard"}))
