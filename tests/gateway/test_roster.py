"""Rosters: planned by command, judged for a week ahead, and what is wrong is an alarm."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.control.client import ControlError
from gateway.duty.roster_check import HORIZON_MS, shifts_of_day
from tests.gateway.staff import STATION, Staff, install_stations
from tests.gateway.world import HOUR_MS, World


@pytest.fixture
def staff(tmp_path: Path) -> Staff:
    return Staff(World(install_stations(tmp_path)))


def test_roster_is_ok_when_every_post_is_manned_for_a_week(staff: Staff) -> None:
    """Three crews and a gate man each: a full roster of eight days says nothing; without one it is a gap."""
    assert staff.said("roster") == "gap"
    people = [staff.add() for _ in range(9)]
    staff.fill([people[0:2], people[2:4], people[4:6]], people[6:9], days=range(-1, 9))
    assert staff.said("roster") == "ok"
    assert ("roster-gap", "shuiye") not in staff.standing


def test_somebody_at_two_posts_is_refused_and_told_of_when_accepted(staff: Staff) -> None:
    """Across sites too; the record says that it was accepted."""
    one, two = staff.add(), staff.add()
    day = staff.today() + timedelta(days=2)
    staff.plan((day, "08:00", "control", [one, two]))
    with pytest.raises(ControlError, match="double"):
        staff.plan((day, "08:00", "gate", [one]), site="dongfeng")
    assert staff.world.state.registers.roster.day("dongfeng", day) is None
    staff.plan((day, "08:00", "gate", [one]), site="dongfeng", accept=True)
    assert (staff.said("roster"), staff.said("roster", "dongfeng")) == ("double", "double")
    staff.plan((day, "08:00", "control", [two]))
    assert (staff.said("roster"), staff.said("roster", "dongfeng")) == ("gap", "gap")


def test_roster_gap_shows_when_its_shift_comes_within_a_week(staff: Staff) -> None:
    """The first shift without people is told of seven days before it begins, ten minutes later."""
    people = [staff.add() for _ in range(9)]
    staff.fill([people[0:2], people[2:4], people[4:6]], people[6:9], days=range(-1, 9))
    first = shifts_of_day(staff.station(), staff.zone(), staff.today() + timedelta(days=9))[0]
    staff.world.wait(48 * HOUR_MS)
    (raised,) = [a.raised_ms for a in staff.world.open if (a.rule, a.site, a.active) == ("roster-gap", "shuiye", True)]
    assert raised == first.from_ms - HORIZON_MS + 1 + 600_000


def test_a_certificate_must_be_valid_to_the_end_of_a_shift(tmp_path: Path) -> None:
    """A night shift that begins on the last day ends when it is valid no more; the day shift before does not."""
    text = STATION + "  shifts: ['08:00', '20:00']\n  shift_h: 12\n"
    staff = Staff(World(install_stations(tmp_path, station=text)))
    last = staff.today() + timedelta(days=2)
    one, two = staff.add(until=last), staff.add(until=last)
    staff.plan((last, "08:00", "control", [one, two]))
    with pytest.raises(ControlError, match="certificate"):
        staff.plan((last, "20:00", "control", [one, two]))


def test_what_a_roster_cannot_hold_is_refused_whole(staff: Staff) -> None:
    """Shifts that are over, posts and times that do not exist, the same cell or person twice: nothing of it is kept."""
    one, day = staff.add(), staff.today() + timedelta(days=1)
    good = (day, "08:00", "gate", [one])
    wrong = [
        (day - timedelta(days=2), "08:00", "gate", [one]),
        (day + timedelta(days=500), "08:00", "gate", [one]),
        (day, "09:00", "gate", [one]),
        (day, "08:00", "roof", [one]),
        (day, "08:00", "gate", []),
        (day, "16:00", "gate", [one, one]),
        (day, "16:00", "gate", [99]),
    ]
    for cell in wrong:
        with pytest.raises(ControlError):
            staff.plan(good, cell, accept=True)
    with pytest.raises(ControlError):
        staff.plan(good, site="nowhere")
    assert staff.world.state.registers.roster.day("shuiye", day) is None
    assert staff.plan(good) == {"days": 1}
    assert staff.plan(good) == {"days": 0}  # what is planned already is no change


def test_a_day_leaves_the_memory_when_it_is_over_and_stays_in_the_ledger(staff: Staff) -> None:
    """A day later; its people are not planned any more."""
    one = staff.add()
    staff.plan((staff.today() + timedelta(days=1), "08:00", "gate", [one]))
    staff.world.now_ms += 3 * 24 * HOUR_MS
    staff.world.turn()
    assert list(staff.world.state.registers.roster.sheet.rows) == []
    assert staff.world.connection.execute("SELECT state FROM entry WHERE kind = 'roster'").fetchall() == [("past",)]
