"""Who is on duty: a shift begins and ends by two signatures, and everything that is wrong with it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlError
from gateway.duty.log import LOG
from gateway.duty.people import Certificate
from gateway.duty.shifts import SHIFT
from gateway.ledger.entries import entries
from tests.gateway.duty.station import (
    HOUR_MS,
    MIDNIGHT_MS,
    MINUTE_MS,
    add_person,
    hand_over,
    make_station,
    raised,
    running,
    said,
    sign,
    sign_on,
)
from tests.gateway.world import World

QUIET = "  duty_checks: {per_shift: 0}\n"


def sign_off(world: World, person: int) -> Any:
    """Somebody goes."""
    return world.ask("shift.sign_off", site="shuiye", person=person, proof="pin")


def test_a_post_is_empty_until_two_people_have_signed(tmp_path: Path) -> None:
    """Where nobody was on duty somebody else of the station is the witness."""
    world = make_station(tmp_path, more=QUIET)
    assert said(world, "crew") == "absent"
    sign_on(world, 1, 2)
    assert said(world, "crew") == "absent"
    sign(world, "new", 1)
    with pytest.raises(ControlError, match="Want two people"):
        sign(world, "old", 1)
    assert said(world, "crew") == "absent"
    done = sign(world, "old", 3)
    assert (done["state"], done["old"]["instead"]) == ("signed", True)
    assert (said(world, "crew"), said(world, "crew_count")) == ("ok", 2.0)
    assert world.state.registers.shifts.present("shuiye") == {"control": (1, 2)}
    shift = running(world)
    assert (shift.planned_ms, shift.ends_ms) == (MIDNIGHT_MS, MIDNIGHT_MS + 8 * HOUR_MS)


def test_the_old_crew_is_on_duty_until_both_sides_have_signed(tmp_path: Path) -> None:
    """Also when that takes hours; fifteen minutes after the planned change it is an alarm."""
    world = make_station(tmp_path, more=QUIET)
    hand_over(world, 3, 1, 2)
    world.wait(8 * HOUR_MS - 5 * MINUTE_MS)
    sign_on(world, 3, 4)
    assert said(world, "handover") == "ok"
    world.wait(5 * MINUTE_MS)
    assert said(world, "handover") == "due"
    with pytest.raises(ControlError, match="until the handover is signed"):
        sign_off(world, 1)
    sign(world, "new", 3)
    world.wait(15 * MINUTE_MS)
    assert said(world, "handover") == "unsigned"
    assert ("handover-unsigned", 8 * HOUR_MS + 15 * MINUTE_MS) in raised(world)
    world.wait(2 * HOUR_MS)
    assert world.state.registers.shifts.present("shuiye") == {"control": (1, 2)}
    sign(world, "old", 2)
    assert said(world, "handover") == "ok"
    assert world.state.registers.shifts.present("shuiye") == {"control": (3, 4)}
    assert running(world).ends_ms == MIDNIGHT_MS + 16 * HOUR_MS
    (first,) = entries(world.connection, SHIFT, state="over")
    assert first.until_ms == world.now_ms
    assert {stay.until_ms for stay in first.stays} == {world.now_ms}


def test_the_leader_signs_for_a_crew_that_is_gone_only_when_it_is_overdue_and_says_why(tmp_path: Path) -> None:
    """Nobody else may, and not before."""
    world = make_station(tmp_path, more=QUIET)
    add_person(world, 9, roles=("leader",))
    hand_over(world, 3, 1, 2)
    world.wait(8 * HOUR_MS)
    sign_on(world, 3, 4)
    sign(world, "new", 3)
    with pytest.raises(ControlError, match="Once it is overdue"):
        sign(world, "old", 9, note="they left")
    world.wait(15 * MINUTE_MS)
    with pytest.raises(ControlError, match="not of the crew"):
        sign(world, "old", 5, note="they left")
    with pytest.raises(ControlError, match="want why"):
        sign(world, "old", 9)
    assert sign(world, "old", 9, note="they left")["old"]["instead"]


def test_a_signature_is_refused_when_the_sheet_is_another_than_was_seen(tmp_path: Path) -> None:
    """Nobody signs what they have not read; what comes between the two signatures is marked."""
    world = make_station(tmp_path, more=QUIET)
    hand_over(world, 3, 1, 2)
    sign_on(world, 3, 4, takes_over=True)
    seen = world.ask("handover.look", site="shuiye")["seen"]
    world.see("panel-01/p001", "fault")
    with pytest.raises(ControlError, match="has changed"):
        world.ask("handover.sign", site="shuiye", side="old", seen=seen, person=1, proof="pin")
    sign(world, "old", 1)
    world.see("panel-01/p002", "fault")
    done = sign(world, "new", 3)
    late = {item["what"]: item.get("is_late", False) for item in done["items"] if item["kind"] == "alarm"}
    assert late["shuiye/panel-01/p001"] is False
    assert late["shuiye/panel-01/p002"] is True


def test_people_join_and_leave_a_running_shift_but_the_last_one_stays(tmp_path: Path) -> None:
    """One less is too few; nobody can go and leave the post alone."""
    world = make_station(tmp_path, more=QUIET)
    hand_over(world, 3, 1, 2)
    world.wait(HOUR_MS)
    sign_off(world, 2)
    assert (said(world, "crew"), said(world, "crew_count")) == ("short", 1.0)
    with pytest.raises(ControlError, match="hand over first"):
        sign_off(world, 1)
    with pytest.raises(ControlError, match="is not on duty"):
        sign_off(world, 2)
    sign_on(world, 4)
    assert said(world, "crew") == "ok"
    with pytest.raises(ControlError, match="on duty here already"):
        sign_on(world, 4)
    world.wait(5 * MINUTE_MS)
    assert "crew-short" not in dict(raised(world))
    assert [(s.person, s.until_ms is None) for s in running(world).stays] == [(1, True), (2, False), (4, True)]


def test_somebody_without_a_valid_certificate_is_said_on_the_day_it_expires(tmp_path: Path) -> None:
    """A higher certificate does for a lower one; a renewed one ends it."""
    world = make_station(tmp_path, more=QUIET)
    add_person(world, 7, certificates=(Certificate("technician"),))
    add_person(world, 8, certificates=(Certificate("operator", MIDNIGHT_MS + 3 * HOUR_MS),))
    hand_over(world, 3, 7, 8)
    assert said(world, "crew") == "ok"
    world.wait(3 * HOUR_MS - 1)
    assert said(world, "crew") == "ok"
    world.wait(1)
    assert said(world, "crew") == "unqualified"
    world.wait(MINUTE_MS)
    assert ("crew-unqualified", 3 * HOUR_MS + MINUTE_MS) in raised(world)
    add_person(world, 8, certificates=(Certificate("operator", MIDNIGHT_MS + 999 * HOUR_MS),))
    assert said(world, "crew") == "ok"


def test_a_shift_that_is_too_long_is_said_also_over_two_shifts(tmp_path: Path) -> None:
    """Whoever goes on with the next crew has been there since they came."""
    world = make_station(tmp_path, more=QUIET)
    hand_over(world, 3, 1, 2)
    world.wait(8 * HOUR_MS)
    assert said(world, "shift") == "ok"
    hand_over(world, 1, 3, 2)
    world.wait(1)
    assert said(world, "shift") == "long"
    world.wait(15 * MINUTE_MS)
    assert ("shift-too-long", 8 * HOUR_MS + 15 * MINUTE_MS + 1) in raised(world)


def test_the_log_wants_an_entry_every_two_hours_while_somebody_is_there(tmp_path: Path) -> None:
    """Alarms do not write it; an entry is never changed, but put right by a later one."""
    world = make_station(tmp_path, more=QUIET)
    world.wait(5 * HOUR_MS)
    assert said(world, "log") == "ok"  # nobody is there who could write
    hand_over(world, 3, 1, 2)
    world.see("panel-01/p001", "fault")
    world.wait(2 * HOUR_MS - 1)
    assert said(world, "log") == "ok"
    world.wait(1)
    assert said(world, "log") == "overdue"
    write: dict[str, Any] = {"site": "shuiye", "person": 1, "proof": "pin"}
    first = world.ask("log.write", text="all quiet", **write)
    assert said(world, "log") == "ok"
    world.ask("log.write", text="not so quiet", topic="panel", alarm=1, corrects=first["id"], **write)
    with pytest.raises(ControlError, match="no such entry"):
        world.ask("log.write", text="?", corrects=77, **write)
    rows = list(entries(world.connection, LOG))
    assert [(row.text, row.person, row.corrects, row.shift) for row in rows] == [
        ("not so quiet", 1, 1, running(world).id),
        ("all quiet", 1, None, running(world).id),
    ]


def test_somebody_who_comes_is_told_what_is_wrong_with_the_form(tmp_path: Path) -> None:
    """Unknown site, post and person; a login that is nobody; a person without proof. Who came may go again."""
    world = make_station(tmp_path, more=QUIET)
    sign_on(world, 1)
    on: dict[str, Any] = {"site": "shuiye", "post": "control", "person": 1, "proof": "pin"}
    for args, why in (
        ({**on, "site": "anyang"}, "no such site"),
        ({**on, "post": "gate"}, "want one of control"),
        ({**on, "person": 77}, "nobody of that number"),
        ({**on, "person": None}, "login 'wang' is nobody"),
        ({**on, "proof": "login"}, "want their PIN"),
    ):
        with pytest.raises(ControlError, match=why):
            world.ask("shift.sign_on", **args)
    sign_off(world, 1)
    handover = world.state.registers.shifts.handover("shuiye")
    assert handover is not None
    assert handover.arriving == ()


def test_everything_is_as_it_was_when_the_gateway_is_killed_in_the_middle_of_a_handover(tmp_path: Path) -> None:
    """Built anew from the ledger between any two steps."""
    world = make_station(tmp_path, more=QUIET)
    hand_over(world, 3, 1, 2)
    world.restart()
    world.wait(8 * HOUR_MS)
    world.restart()
    sign_on(world, 3)
    world.restart()
    sign_on(world, 4)
    sign(world, "old", 2, note="pump 1 drips")
    world.restart()
    world.wait(15 * MINUTE_MS - 1)
    assert said(world, "handover") == "due"
    world.restart()
    world.wait(1)
    assert said(world, "handover") == "unsigned"
    world.restart()
    done = sign(world, "new", 4)
    assert (done["old"]["note"], done["new"]["person"]) == ("pump 1 drips", 4)
    assert world.state.registers.shifts.present("shuiye") == {"control": (3, 4)}
