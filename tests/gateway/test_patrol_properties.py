"""Windows, overdue and completion against a simulation that knows nothing of them and looks at the clock again and
again: every minute for what people do, every quarter of an hour for hours and days, as nothing of these begins between.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.patrol import WEEKDAYS
from contract.profile import ProfileLibrary
from contract.site import Site
from gateway.installation import Installation
from gateway.ledger.changes import Changes
from gateway.ledger.entries import Pen, entries, load_entries
from gateway.ledger.upgrade import prepare
from gateway.work.completion import SlotState, completion, did_rounds, slots
from gateway.work.patrols import ADOPTED, Patrols
from gateway.work.plans import PLAN, specs_of, windows
from gateway.work.routes import ROUND, Answer

MIN_MS = 60_000
QUARTER_MS = 15 * MIN_MS
DAY_MIN = 24 * 60
DAYS = 6
LIBRARY = ProfileLibrary()
CHANGES = {
    "Asia/Shanghai": (date(2025, 3, 30),),
    "Europe/Berlin": (date(2025, 3, 30), date(2025, 10, 26)),
    "America/New_York": (date(2025, 3, 9), date(2025, 11, 2)),
    "Australia/Lord_Howe": (date(2025, 4, 6), date(2025, 10, 5)),
    "America/Santiago": (date(2025, 4, 6), date(2025, 9, 7)),
    "Atlantic/Azores": (date(2025, 3, 30), date(2025, 10, 26)),
}
"""Zone -> days on which its clocks change (none in Shanghai)."""
QUARTERS = [f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in (0, 15, 30, 45)]


class Case(NamedTuple):
    """A plan and when it is looked at. begin_ms: a whole minute."""

    site: Site
    zone: ZoneInfo
    begin_ms: int
    cycle: str


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any cycle in any zone, a few days before the clocks change."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    day = draw(st.sampled_from(CHANGES[zone])) - timedelta(days=draw(st.integers(2, 4)))
    begin = datetime.combine(day, time(draw(st.integers(0, 23)), draw(st.integers(0, 59))), UTC)
    cycle = draw(
        st.sampled_from(("open_hours", "open_hours", "after_closing", "daily", "weekly", "half_monthly", "monthly"))
    )
    hours = []
    if cycle in ("open_hours", "after_closing"):
        opens, closes = draw(st.sampled_from(QUARTERS)), draw(st.sampled_from(QUARTERS))
        days = draw(st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=7, unique=True))
        hours = [{"days": days, "open": opens, "close": closes}]
    plan = {
        "id": "p",
        "title": {"zh": "查", "en": "p"},
        "kind": "patrol",
        "cycle": cycle,
        "walk_s": 0,
        "every_h": draw(st.sampled_from((0.5, 1, 2, 5))),
        "stops": [{"id": "a", "title": {"zh": "甲", "en": "a"}}],
    }
    line = {"id": "l", "kind": "modbus_tcp", "host": "h", "devices": [{"id": "d", "profile": "hydrant-municipal"}]}
    made = Site.model_validate(
        {
            "site": "s",
            "title": {"zh": "站", "en": "s"},
            "time_zone": zone,
            "opening": hours,
            "patrols": [plan],
            "agents": [{"id": "e", "lines": [line]}],
        }
    )
    made._library = LIBRARY
    return Case(made, ZoneInfo(zone), int(begin.timestamp() * 1000), cycle)


# --- the simulation --------------------------------------------------------------------------------------------------


def naive_windows(case: Case, first_ms: int, last_ms: int) -> list[tuple[int, int]]:
    """The windows that end by last_ms or later begin before it, found by looking at the wall clock."""
    clock = [
        (at, datetime.fromtimestamp(at / 1000, case.zone).replace(tzinfo=None))
        for at in range(first_ms - first_ms % QUARTER_MS, last_ms, QUARTER_MS)
    ]
    if case.cycle not in ("open_hours", "after_closing"):
        return list(_naive_periods(case.cycle, clock))
    sessions = list(_naive_sessions(case, clock))
    if case.cycle == "after_closing":
        found = []
        for (_, closed), (opened, _) in pairwise(sessions):
            quarters = [at for at in range(closed, closed + 60 * MIN_MS, QUARTER_MS) if at < opened]
            found += [(quarters[0], quarters[-1] + QUARTER_MS)] if quarters else []
        return found
    every = round(case.site.patrols[0].every_h * 60)
    found = []
    for opened, closed in sessions:
        begun = opened
        for at in range(opened, closed, QUARTER_MS):
            if at - begun == every * MIN_MS and closed - at >= every * MIN_MS / 2:
                found.append((begun, at))
                begun = at
        found.append((begun, closed))
    return found


def _naive_sessions(case: Case, clock: list[tuple[int, datetime]]) -> Iterator[tuple[int, int]]:
    hours = case.site.opening[0]
    day = clock[0][1].date() + timedelta(days=1)
    while day < clock[-1][1].date() - timedelta(days=1):
        if WEEKDAYS[day.weekday()] in hours.days:
            last = day if hours.close > hours.open else day + timedelta(days=1)
            begin, end = datetime.combine(day, hours.open), datetime.combine(last, hours.close)
            opened = next(at for at, local in clock if local >= begin)
            closed = next(at for at, local in clock if local >= end)
            if closed > opened:
                yield opened, closed
        day += timedelta(days=1)


def _naive_periods(cycle: str, clock: list[tuple[int, datetime]]) -> Iterator[tuple[int, int]]:
    def key(local: datetime) -> tuple[int, ...]:
        keys: dict[str, tuple[int, ...]] = {
            "daily": (local.year, local.month, local.day),
            "weekly": local.isocalendar()[:2],
            "half_monthly": (local.year, local.month, local.day >= 16),
            "monthly": (local.year, local.month),
        }
        return keys[cycle]

    latest, begun = key(clock[0][1]), None
    for at, local in clock:
        if key(local) > latest:
            latest = key(local)
            if begun is not None:
                yield begun, at
            begun = at


class Walk(NamedTuple):
    """A round of the simulation."""

    begun: int
    ended: int
    is_whole: bool


def naive_overdue(owed: list[tuple[int, int]], walks: list[Walk], first_ms: int, last_ms: int) -> Iterator[bool]:
    """Minute by minute: whether the latest window that is over has no whole round begun since it began."""
    ends = {until_ms: from_ms for from_ms, until_ms in owed}
    over, best = -1, -1
    ended: dict[int, list[int]] = {}
    for walk in walks:
        if walk.is_whole:
            ended.setdefault(walk.ended, []).append(walk.begun)
    for at in range(first_ms, last_ms + 1, MIN_MS):
        over = ends.get(at, over)
        best = max(best, *ended.get(at, ()), -1)
        yield over > best


def naive_states(owed: list[tuple[int, int]], walks: list[Walk], now: int) -> list[SlotState]:
    """What became of each window that had begun."""
    begun = [window for window in owed if window[0] <= now]
    found: list[SlotState] = []
    for n, (from_ms, until_ms) in enumerate(begun):
        end = begun[n + 1][0] if n + 1 < len(begun) else 2**60
        mine = [walk for walk in walks if from_ms <= walk.begun < end and walk.begun <= now]
        whole = [walk for walk in mine if walk.is_whole and walk.ended <= now]
        if any(walk.begun < until_ms and walk.ended <= until_ms for walk in whole):
            found.append("complete")
        elif whole:
            found.append("late")
        elif any(walk.ended > now for walk in mine):
            found.append("running")
        elif mine:
            found.append("partial")
        else:
            found.append("missed" if until_ms <= now else "due")
    return found


# --- the register ----------------------------------------------------------------------------------------------------


class Desk:
    """A register on a ledger in memory, driven by its own due times and by people."""

    def __init__(self, *sites: Site) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        prepare(self.connection, Path("memory"))
        self.installation = Installation({site.site: site for site in sites}, {}, LIBRARY)
        self.said: list[tuple[int, float]] = []
        self.restart()

    def restart(self) -> None:
        self.patrols = Patrols(load_entries(self.connection), b"x" * 32)
        self.patrols.install(self.installation)

    def turn(self, at_ms: int, act: Any = None) -> None:
        changes = Changes(at_ms)
        pen = Pen(changes, at_ms)
        if act is not None:
            act(pen)
        due = self.patrols.next_due_ms()
        if due is not None and due <= at_ms:
            self.patrols.advance(pen)
        if ("s", "patrols_overdue_count") in (said := pen.take_said()):
            self.said.append((at_ms, float(said["s", "patrols_overdue_count"])))  # type: ignore[arg-type] # a number
        changes.write(self.connection)

    def wait(self, until_ms: int) -> None:
        while (due := self.patrols.next_due_ms()) is not None and due < until_ms:
            self.turn(due)


def walk_it(desk: Desk, walk: Walk, number: int) -> Iterator[tuple[int, Any]]:
    """(when, what a person does) of one round."""

    def begin(pen: Pen) -> None:
        row = desk.patrols.plan("s", "p")
        assert row is not None
        assert desk.patrols.start(pen, row, f"w{number}", None).id == number

    def end(pen: Pen) -> None:
        row = desk.patrols.find(number)
        assert row is not None
        if walk.is_whole:
            desk.patrols.tick(pen, row, "a", "qr", (Answer(0, "ok"),), by=row.by)
            row = desk.patrols.find(number)
            assert row is not None
        desk.patrols.finish(pen, row, row.by)

    yield walk.begun, begin
    yield walk.ended, end


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_windows_are_those_a_person_with_a_watch_would_find(case: Case) -> None:
    """Whatever the hours and the zone, the clocks going forward or back."""
    reach = 10 * DAY_MIN * MIN_MS
    from_ms, until_ms = case.begin_ms, case.begin_ms + DAYS * DAY_MIN * MIN_MS
    # Periods are found by their change: what is looked at begins a whole period before.
    before = 40 * DAY_MIN * MIN_MS if case.cycle in ("weekly", "half_monthly", "monthly") else reach
    naive = naive_windows(case, from_ms - before, until_ms + before)
    wanted = [window for window in naive if from_ms <= window[0] < until_ms]
    assert [tuple(window) for window in windows(specs_of(case.site)["p"], from_ms, until_ms)] == wanted


@settings(max_examples=35, deadline=None)
@given(case=cases(), seed=st.integers(0, 2**32))
def test_overdue_and_completion_are_those_of_a_simulation_that_looks_again_and_again(case: Case, seed: int) -> None:
    """Rounds whole or not, in time or late, across windows and restarts of the gateway."""
    rng = random.Random(seed)
    end_ms = case.begin_ms + DAYS * DAY_MIN * MIN_MS
    walks = []
    for _ in range(rng.randrange(12)):
        begun = case.begin_ms + rng.randrange(DAYS * DAY_MIN) * MIN_MS
        walks.append(Walk(begun, min(begun + rng.choice((0, 5, 30, 150, 700)) * MIN_MS, end_ms), rng.random() < 0.7))
    walks.sort()
    desk = Desk(case.site)
    desk.turn(case.begin_ms)
    steps = [step for n, walk in enumerate(walks, 1) for step in walk_it(desk, walk, n)]
    for at_ms, act in sorted(steps, key=lambda step: step[0]):
        desk.wait(at_ms)
        if rng.random() < 0.3:
            desk.restart()
        desk.turn(at_ms, act)
    desk.wait(end_ms + 1)

    before = (40 if case.cycle in ("weekly", "half_monthly", "monthly") else 10) * DAY_MIN * MIN_MS
    naive = naive_windows(case, case.begin_ms - before, end_ms + before)
    owed = [window for window in naive if window[0] >= case.begin_ms]
    told, said = dict(desk.said), 0.0
    for at_ms, late in zip(
        range(case.begin_ms, end_ms + 1, MIN_MS), naive_overdue(owed, walks, case.begin_ms, end_ms), strict=True
    ):
        said = told.get(at_ms, said)
        assert said == float(late), datetime.fromtimestamp(at_ms / 1000, case.zone)

    plans, rounds = list(entries(desk.connection, PLAN)), list(entries(desk.connection, ROUND))
    found = slots(plans, did_rounds(rounds), case.begin_ms, end_ms, end_ms)
    wanted = naive_states([window for window in owed if window[0] < end_ms], walks, end_ms)
    assert [slot.state for slot in found] == wanted
    counts = completion(found, end_ms)
    assert counts.due == sum(counts[1:])
    assert counts.complete == wanted.count("complete")


@pytest.mark.parametrize(
    ("cycle", "begins"),
    [
        ("quarterly", ["2025-01-01", "2025-04-01", "2025-07-01"]),
        ("half_yearly", ["2025-01-01", "2025-07-01"]),
        ("yearly", ["2025-01-01"]),
    ],
)
def test_long_periods_begin_on_their_first_day(cycle: str, begins: list[str]) -> None:
    """By the local calendar."""
    zone = ZoneInfo("Asia/Shanghai")
    spec = specs_of(_training(cycle))["training/unit_drill"]
    span = (
        int(datetime(2025, 1, 1, tzinfo=zone).timestamp() * 1000),
        int(datetime(2025, 9, 30, tzinfo=zone).timestamp() * 1000),
    )
    assert [datetime.fromtimestamp(w.from_ms / 1000, zone).strftime("%Y-%m-%d") for w in windows(spec, *span)] == begins


def _training(cycle: str) -> Site:
    line = {"id": "l", "kind": "modbus_tcp", "host": "h", "devices": [{"id": "d", "profile": "hydrant-municipal"}]}
    made = Site.model_validate(
        {
            "site": "s",
            "title": {"zh": "站", "en": "s"},
            "trainings": [{"kind": "unit_drill", "cycle": cycle}],
            "agents": [{"id": "e", "lines": [line]}],
        }
    )
    made._library = LIBRARY
    return made


def test_a_citys_plans_come_into_force_in_portions_when_the_gateway_first_knows_them() -> None:
    """No alarm waits behind all of them; the turns follow each other at once until every plan is in force."""
    title = {"zh": "查", "en": "p"}
    stops = [{"id": "a", "title": title}]
    plans = [{"id": f"p{n}", "title": title, "kind": "patrol", "cycle": "daily", "stops": stops} for n in range(40)]
    line = {"id": "l", "kind": "modbus_tcp", "host": "h", "devices": [{"id": "d", "profile": "hydrant-municipal"}]}
    sites = []
    for n in range(ADOPTED // 40 + 1):
        agents = [{"id": "e", "lines": [line]}]
        sites.append(Site.model_validate({"site": f"s{n}", "title": title, "patrols": plans, "agents": agents}))
        sites[-1]._library = LIBRARY
    desk = Desk(*sites)
    desk.turn(1000)
    assert (len(list(entries(desk.connection, PLAN))), desk.patrols.next_due_ms()) == (ADOPTED, 0)
    desk.turn(1001)
    assert len(list(entries(desk.connection, PLAN))) == ADOPTED + 40
    assert (desk.patrols.next_due_ms() or 0) > 1001
    assert len(desk.patrols.plans("s0")) == 40
