"""Whom something may be given: the gateway refuses who could not see to it, whatever page or program asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlError
from gateway.installation import load_installation
from tests.gateway.incident_town import write_town
from tests.gateway.world import World

HASH = "$argon2id$v=19$x"
BARRED = [
    ("off", "is switched off"),
    ("eastern", "does not see site 'shuiye'"),
    ("reader", "is inspector and changes nothing"),
]
"""An account, and why it is given nothing of the site shuiye."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A town of two streets: a fire and a hazard on the west side, and accounts that could see to neither."""
    made = World(load_installation(write_town(tmp_path)))
    for name, role, area in (
        ("administrator", "administrator", ""), ("western", "duty", "west-side"), ("off", "duty", ""),
        ("eastern", "maintainer", "east-side"), ("reader", "inspector", ""),
    ):  # fmt: skip
        made.ask("user.create", "local", name=name, role=role, area=area, password_hash=HASH)
    made.ask("user.disable", "administrator", name="off")
    made.decide("raise", "shuiye/hydrant-01", device="hydrant-01", severity="critical", rule="low")
    made.ask("hazard.report", site="shuiye", text="blocked exit", place="stair 2")
    return made


def alarm(world: World, name: str, actor: str = "wang") -> Any:
    """It is for them to see to."""
    number = next(row.id for row in world.open if row.rule == "low")
    return world.ask("alarm.assign", actor, alarm_id=number, person=name, note="")


def hazard(world: World, name: str, actor: str = "wang") -> Any:
    """They are to fix it."""
    return world.ask("hazard.assign", actor, id=1, owner=name, measure="clear it", days=3)


def new_order(world: World, name: str, actor: str = "wang") -> Any:
    """An order that is theirs from the first."""
    return world.ask("order.open", actor, site="shuiye", title="see to it", owner=name)


def taken_order(world: World, name: str, actor: str = "wang") -> Any:
    """An order that is given to them."""
    number = world.ask("order.open", actor, site="shuiye", title=f"for {name}", place=name)["id"]
    return world.ask("order.take", actor, id=number, owner=name)


Give = Callable[..., Any]
GIVE = [alarm, hazard, new_order, taken_order]


@pytest.mark.parametrize(("name", "why"), BARRED)
@pytest.mark.parametrize("give", GIVE)
def test_nothing_is_given_when_the_account_could_not_see_to_it(world: World, give: Give, name: str, why: str) -> None:
    """Switched off, of another area, or one that only reads: each is told why."""
    with pytest.raises(ControlError, match=why):
        give(world, name)


@pytest.mark.parametrize("give", GIVE)
def test_it_is_given_when_the_account_may(world: World, give: Give) -> None:
    """Of the area, or switched on again."""
    assert give(world, "western")
    world.ask("user.enable", "administrator", name="off")
    world.restart()
    assert give(world, "off")


def test_a_unit_without_an_account_is_taken_as_it_is_when_it_is_to_fix_something(world: World) -> None:
    """A contractor fixes hazards and has work orders; an alarm is for accounts."""
    assert hazard(world, "Fireworks Ltd")["order"]["owner"] == "Fireworks Ltd"
    assert new_order(world, "Fireworks Ltd")["owner"] == "Fireworks Ltd"
    with pytest.raises(ControlError, match="got no such user"):
        alarm(world, "Fireworks Ltd")


def test_an_account_of_another_area_is_none_when_somebody_of_one_area_names_it(world: World) -> None:
    """Who is for one street is not told which accounts the other one has."""
    with pytest.raises(ControlError, match="'eastern': got no such user"):
        alarm(world, "eastern", "western")


def test_a_person_gets_no_login_when_it_is_switched_off_or_of_another_area(world: World) -> None:
    """What a person of a station signs on with must let them in there; one that is switched off later stays theirs."""
    person = {"site": "shuiye", "name": "王建国"}
    for name, why in BARRED[:2]:
        with pytest.raises(ControlError, match=why):
            world.ask("person.add", "administrator", **person, user=name)
    number = world.ask("person.add", "administrator", **person, user="western")["id"]
    world.ask("user.disable", "administrator", name="western")
    world.ask("person.change", "administrator", id=number, **person, phone="13800000000", user="western")
    with pytest.raises(ControlError, match="is switched off"):
        world.ask("person.change", "administrator", id=number, site="east", name="王建国", user="western")


def test_people_of_another_area_are_none_when_somebody_of_one_area_names_them(world: World) -> None:
    """As doing a hazard, walking to a fire, on a roster; with a PIN somebody of another station stands in."""
    number = world.ask("person.add", "administrator", site="east", name="李东")["id"]
    world.ask("incident.open", "western", site="shuiye", text="smoke")
    cell = {"site": "shuiye", "day": "2026-03-02", "shift": "08:00", "post": "room", "people": [number]}
    of_east = f"person {number}: got nothing of area 'west-side'"
    for op, args in (
        ("hazard.assign", {"id": 1, "owner": "western", "measure": "x", "days": 1, "person": number}),
        ("incident.depart", {"id": 1, "station": "shuiye", "people": [number]}),
        ("roster.plan", {"cells": [cell]}),
    ):
        with pytest.raises(ControlError, match=of_east):
            world.ask(op, "western", **args)
    world.ask("incident.depart", "administrator", id=1, station="shuiye", people=[number])
    world.ask("shift.sign_on", "western", site="shuiye", post="room", person=number, proof="pin")
