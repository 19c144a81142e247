"""Rosters: planned by command, judged for a week ahead, and what is wrong is an alarm."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.control.client import ControlError
from gateway.duty.roster_check import HORIZON_MS, shifts_of_day
from tests.gateway.staff import Staff, install_stations
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
    """A full roster that ends: the first shift without people is told of seven days before it begins, ten minutes later."""
    people = [staff.add() for _ in range(9)]
    staff.fill([people[0:2], people[2:4], people[4:6]], people[6:9], days=range(-1, 9))
    first = shifts_of_day(staff.station(), staff.zone(), staff.today() + timedelta(days=9))[0]
    staff.world.wait(48 * HOUR_MS)
    (raised,) = [a.raised_ms for a in staff.world.open if (a.rule, a.site, a.active) == ("roster-gap", "shuiye", True)]
    assert raised == first.from_ms - HORIZON_MS + 1 + 600_000
