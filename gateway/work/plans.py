"""Plans of patrols, checks and training, and the windows of time in which each asks for one round. Pure.

Nothing is written ahead: what was due when follows from the plan as it was in force and the local calendar.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from contract.patrol import OPEN_CYCLES, WEEKDAYS, Cycle, Opening, Plan, TrainingKind, TrainingPlan
from contract.point import Text
from contract.site import Site
from gateway.ledger.entries import Entry, Kind
from rules.calendar import moment_ms

DAY_MS = 86_400_000
AFTER_CLOSING_MS = 3_600_000
"""A place is checked within this time after it closed (practice; Order 61 gives no limit)."""
TRAINING = ("station_drill", "unit_drill", "training", "assessment")
TRAINING_TITLES: dict[TrainingKind, tuple[str, str]] = {
    "station_drill": ("微型消防站演练", "Drill of the station"),
    "unit_drill": ("单位灭火和应急疏散演练", "Fire and evacuation drill of the unit"),
    "training": ("业务训练", "Training"),
    "assessment": ("考核", "Assessment"),
}
PRACTICE = Text(zh="惯例", en="practice")
_ORDER_25 = Text(zh="公安部令第61号第二十五条", en="Order 61, article 25")
_ORDER_26 = Text(zh="公安部令第61号第二十六条", en="Order 61, article 26")
_GB25201 = Text(zh="GB 25201-2010（巡查周期）", en="GB 25201-2010 (cycle of patrols)")
_LOCAL = Text(zh="地方微型消防站规定（惯例）", en="local rules for stations (practice)")
CLAUSES: dict[tuple[str, str, str], Text] = {
    ("patrol", "public_gathering", "open_hours"): _ORDER_25,
    ("patrol", "public_gathering", "after_closing"): _ORDER_25,
    ("patrol", "key_unit", "daily"): _ORDER_25,
    ("facility", "public_gathering", "open_hours"): _GB25201,
    ("facility", "public_gathering", "daily"): _GB25201,
    ("facility", "key_unit", "daily"): _GB25201,
    ("facility", "office", "weekly"): _GB25201,
    ("facility", "other", "weekly"): _GB25201,
    ("self_check", "office", "quarterly"): _ORDER_26,
    ("self_check", "public_gathering", "monthly"): _ORDER_26,
    ("self_check", "key_unit", "monthly"): _ORDER_26,
    ("self_check", "other", "monthly"): _ORDER_26,
}
"""(kind, class of the place, cycle) -> where it is asked for."""


class Stop(msgspec.Struct, frozen=True):
    """A place of a route. items: (zh, en) each. walk_s: least time from the stop before."""

    spot: str
    device: str | None
    zh: str
    en: str
    items: tuple[tuple[str, str], ...]
    walk_s: float


class Hours(msgspec.Struct, frozen=True):
    """Opening hours: weekdays (0 Monday) and local times HH:MM."""

    days: tuple[int, ...]
    open: str
    close: str


class Spec(msgspec.Struct, frozen=True):
    """A plan, whole: with what its windows follow from. kind: of contract.patrol; one of TRAINING has no stops."""

    plan: str
    kind: str
    zh: str
    en: str
    place: str
    cycle: Cycle
    zone: str
    every_min: int = 120
    hours: tuple[Hours, ...] = ()
    stops: tuple[Stop, ...] = ()

    @property
    def is_training(self) -> bool:
        """Whether it is recorded afterwards instead of walked."""
        return self.kind in TRAINING

    def stop(self, spot: str) -> Stop | None:
        """The stop at that place."""
        return next((stop for stop in self.stops if stop.spot == spot), None)

    def basis(self) -> Text:
        """Where this is asked for; practice where nothing is known to ask for it."""
        if self.is_training:
            return PRACTICE if self.kind in ("station_drill", "unit_drill") else _LOCAL
        if self.cycle == "open_hours" and self.every_min > 120:
            return PRACTICE
        return CLAUSES.get((self.kind, self.place, self.cycle), PRACTICE)


class PlanRow(Entry, frozen=True, kw_only=True):
    """A plan as it was in force from from_ms until until_ms. owed_ms: windows that begin earlier are not owed."""

    owed_ms: int
    spec: Spec


PLAN = Kind("patrol_plan", PlanRow, frozenset({"in_force"}))


class Window(NamedTuple):
    """Time in which one round is due, ms UTC; the end does not belong to it."""

    from_ms: int
    until_ms: int


def specs_of(site: Site) -> dict[str, Spec]:
    """The plans of a site file, by id."""
    found: dict[str, Spec] = {}
    titles = {placed.entry.id: placed.title for placed in site.placed()}
    for plan in site.patrols:
        found[plan.id] = _spec(site, plan, titles)
    for training in _trainings(site):
        zh, en = TRAINING_TITLES[training.kind]
        key = f"training/{training.kind}"
        found[key] = Spec(key, training.kind, zh, en, site.place, training.cycle_or_usual, site.time_zone)
    return found


def _spec(site: Site, plan: Plan, titles: dict[str, Text]) -> Spec:
    cycle = plan.cycle_at(site.place)
    stops = []
    for stop in plan.stops:
        title = stop.title or titles[stop.device or ""]
        items = tuple((item.zh, item.en) for item in stop.items)
        walk_s = plan.walk_s if stop.walk_s is None else stop.walk_s
        stops.append(Stop(stop.spot, stop.device, title.zh, title.en, items, walk_s))
    return Spec(
        plan.id,
        plan.kind,
        plan.title.zh,
        plan.title.en,
        site.place,
        cycle,
        site.time_zone,
        round(plan.every_h * 60),
        tuple(map(_hours, site.opening)) if cycle in OPEN_CYCLES else (),
        tuple(stops),
    )


def _hours(opening: Opening) -> Hours:
    days = tuple(sorted(WEEKDAYS.index(day) for day in opening.days))
    return Hours(days, opening.open.isoformat("minutes"), opening.close.isoformat("minutes"))


def _trainings(site: Site) -> list[TrainingPlan]:
    if site.trainings is not None:
        return site.trainings
    kinds: list[TrainingKind] = ["station_drill", "training", "assessment"] if site.station is not None else []
    if site.place == "key_unit":
        kinds.append("unit_drill")
    return [TrainingPlan(kind=kind) for kind in kinds]


# --- windows ---------------------------------------------------------------------------------------------------------


def windows(spec: Spec, from_ms: int, until_ms: int) -> Iterator[Window]:
    """The windows that begin in a span (ms UTC, end not included), in order; they never overlap."""
    zone = ZoneInfo(spec.zone)
    if spec.cycle == "open_hours":
        found = _slots(spec, zone, from_ms, until_ms)
    elif spec.cycle == "after_closing":
        found = _closings(spec, zone, from_ms, until_ms)
    else:
        found = _periods(spec.cycle, zone, from_ms, until_ms)
    return (window for window in found if from_ms <= window.from_ms < until_ms)


class Almanac:
    """Windows of calendars, found once for all plans that go by the same one."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[int, int, list[Window]]] = {}

    def windows(self, spec: Spec, from_ms: int, until_ms: int) -> list[Window]:
        """As `windows`."""
        key = (spec.zone, spec.cycle, spec.every_min, spec.hours)
        known = self._known.get(key)
        if known is None or from_ms < known[0] or until_ms > known[1]:
            # As much again ahead, because time goes on.
            ahead_ms = 2 * until_ms - from_ms
            known = self._known[key] = (from_ms, ahead_ms, list(windows(spec, from_ms, ahead_ms)))
        found = known[2]
        return found[bisect_left(found, (from_ms,)) : bisect_left(found, (until_ms,))]

    def owed(self, row: PlanRow, from_ms: int, until_ms: int) -> list[Window]:
        """The windows of a plan that begin in a span and for which it answers, being in force when they end."""
        return [window for window in self.windows(row.spec, from_ms, until_ms) if _is_owed(row, window)]

    def last_ended(self, row: PlanRow, now_ms: int) -> Window | None:
        """The latest owed window that is over."""
        found = self.windows(row.spec, now_ms - reach_ms(row.spec), now_ms)
        return next((w for w in reversed(found) if w.until_ms <= now_ms and _is_owed(row, w)), None)

    def next_ending(self, row: PlanRow, now_ms: int) -> Window | None:
        """The first owed window that is not over: now, or ahead."""
        reach = reach_ms(row.spec)
        found = self.windows(row.spec, now_ms - reach, now_ms + reach)
        # They do not overlap: of those that have begun, only the latest is not over.
        begun = max(0, bisect_left(found, (now_ms + 1,)) - 1)
        return next((w for w in found[begun:] if w.until_ms > now_ms and _is_owed(row, w)), None)

    def window_of(self, row: PlanRow, at_ms: int) -> Window | None:
        """The window a round begun then counts for: the latest that had begun."""
        found = self.windows(row.spec, at_ms - reach_ms(row.spec), at_ms + 1)
        return next((window for window in reversed(found) if _is_owed(row, window)), None)


def _is_owed(row: PlanRow, window: Window) -> bool:
    return (
        window.from_ms >= row.owed_ms
        and window.until_ms > row.from_ms
        and (row.until_ms is None or window.until_ms <= row.until_ms)
    )


def reach_ms(spec: Spec) -> int:
    """So far from any moment at least one whole window lies, on either side."""
    if spec.cycle in OPEN_CYCLES:
        return 16 * DAY_MS
    return 2 * _DAYS.get(spec.cycle, 367) * DAY_MS


def _periods(cycle: Cycle, zone: tzinfo, from_ms: int, until_ms: int) -> Iterator[Window]:
    # The day before: the one whose midnight is the first not before from_ms may begin there in another zone.
    day = _first_day(cycle, _day_at(from_ms, zone) - timedelta(days=1))
    start_ms = moment_ms(day, time(), zone)
    while start_ms < until_ms:
        day = _next_period(cycle, day)
        end_ms = moment_ms(day, time(), zone)
        if end_ms > start_ms:  # a zone that skipped a whole day (Samoa, 2011)
            yield Window(start_ms, end_ms)
        start_ms = end_ms


def _slots(spec: Spec, zone: tzinfo, from_ms: int, until_ms: int) -> Iterator[Window]:
    """Equal parts of each opening; a rest shorter than half of one belongs to the part before it."""
    every_ms = spec.every_min * 60_000
    for begin_ms, close_ms in _sessions(spec, zone, from_ms, until_ms):
        at_ms = begin_ms
        while at_ms < close_ms:
            end_ms = at_ms + every_ms
            if close_ms - end_ms < every_ms / 2:
                end_ms = close_ms
            yield Window(at_ms, end_ms)
            at_ms = end_ms


def _closings(spec: Spec, zone: tzinfo, from_ms: int, until_ms: int) -> Iterator[Window]:
    sessions = _sessions(spec, zone, from_ms, until_ms + 8 * DAY_MS)
    for (_, close_ms), (open_ms, _) in pairwise(sessions):
        if open_ms > close_ms:  # a place that opens again at once never closed
            yield Window(close_ms, min(close_ms + AFTER_CLOSING_MS, open_ms))


def _sessions(spec: Spec, zone: tzinfo, from_ms: int, until_ms: int) -> Iterable[tuple[int, int]]:
    """(opens, closes) of every opening that touches the span, in order."""
    found = []
    day, last = _day_at(from_ms, zone) - timedelta(days=2), _day_at(until_ms, zone) + timedelta(days=1)
    hours = [(h, time.fromisoformat(h.open), time.fromisoformat(h.close)) for h in spec.hours]
    while day <= last:
        for each, opens, closes in hours:
            if day.weekday() in each.days:
                end = day if closes > opens else day + timedelta(days=1)
                begin_ms, end_ms = moment_ms(day, opens, zone), moment_ms(end, closes, zone)
                if end_ms > begin_ms:  # hours that the clocks skipped
                    found.append((begin_ms, end_ms))
        day += timedelta(days=1)
    found.sort()
    return found


def _day_at(at_ms: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date()


_DAYS: dict[Cycle, int] = {
    "daily": 2,
    "weekly": 8,
    "half_monthly": 17,
    "monthly": 32,
    "quarterly": 93,
    "half_yearly": 185,
}
"""No period is longer."""
_MONTHS = {"monthly": 1, "quarterly": 3, "half_yearly": 6, "yearly": 12}


def _first_day(cycle: Cycle, day: date) -> date:
    if cycle == "daily":
        return day
    if cycle == "weekly":
        return day - timedelta(days=day.weekday())
    if cycle == "half_monthly":
        return day.replace(day=1 if day.day < 16 else 16)
    months = _MONTHS[cycle]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def _next_period(cycle: Cycle, day: date) -> date:
    if cycle == "daily":
        return day + timedelta(days=1)
    if cycle == "weekly":
        return day + timedelta(days=7)
    if cycle == "half_monthly" and day.day == 1:
        return day.replace(day=16)
    year, month = divmod(day.year * 12 + day.month - 1 + _MONTHS.get(cycle, 1), 12)
    return date(year, month + 1, 1)
