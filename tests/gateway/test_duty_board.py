"""What the duty board keeps: floor plans, ticks of advice, sound checks; audited, and there after a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.board.rows import ADVICE, MOST_MARKS, MOST_PLANS, SOUND_CHECK, SPAN, Advice, FloorPlan
from gateway.control.client import ControlError
from gateway.ledger.entries import find_entry
from tests.gateway.world import World, install

PICTURE = {"picture": "ab" * 32, "width": 1600, "height": 900}
FIRE = "shuiye/panel-01/p012"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(install(tmp_path))


def add(world: World, title: str = "1st floor") -> int:
    return int(world.ask("floor_plan.add", site="shuiye", title=title, **PICTURE)["id"])


def plan(world: World, number: int) -> FloorPlan:
    found = world.state.registers.board.plan(number)
    assert found is not None
    return found


def done_by_audit(world: World, head: str) -> list[tuple[str, str]]:
    rows = world.connection.execute("SELECT actor, action FROM audit WHERE action LIKE ? ORDER BY id", (f"{head}.%",))
    return [(actor, action) for actor, action in rows]


def burn(world: World) -> int:
    """A fire; gives its number."""
    world.decide("raise", FIRE, severity="fire", rule="panel-fire", device="panel-01")
    return next(alarm.id for alarm in world.state.book.open.values() if alarm.subject == FIRE)


def test_a_device_stands_where_it_was_put_when_the_gateway_starts_again(world: World) -> None:
    """Placed, moved, placed twice alike, taken off: each change once in the audit trail; the plan survives a start."""
    number = add(world)
    for x in (1000, 2000, 2000):
        world.ask("floor_plan.place", id=number, at="hydrant-01", x=x, y=SPAN)
    world.ask("floor_plan.place", id=number, at="panel-01/p012", x=0, y=0)
    world.restart()
    assert [(m.at, m.x, m.y) for m in plan(world, number).marks] == [
        ("hydrant-01", 2000, SPAN),
        ("panel-01/p012", 0, 0),
    ]
    world.ask("floor_plan.unplace", id=number, at="hydrant-01")
    world.ask("floor_plan.unplace", id=number, at="hydrant-01")
    verbs = [action for _, action in done_by_audit(world, "floor_plan")]
    assert verbs == ["floor_plan.add", *["floor_plan.place"] * 3, "floor_plan.unplace"]


def test_plans_keep_their_order_and_marks_when_title_and_picture_change(world: World) -> None:
    """A new picture of the same floor leaves the devices where they are; a removed plan is gone from the list."""
    first, second = add(world), add(world, "2nd floor")
    world.ask("floor_plan.place", id=first, at="hydrant-01", x=5, y=6)
    world.ask("floor_plan.change", id=first, title=" Ground floor ", position=9, **{**PICTURE, "picture": "cd" * 32})
    assert [row.title for row in world.state.registers.board.plans("shuiye")] == ["2nd floor", "Ground floor"]
    assert (plan(world, first).picture, len(plan(world, first).marks)) == ("cd" * 32, 1)
    world.ask("floor_plan.remove", id=second)
    assert [row.id for row in world.state.registers.board.plans("shuiye")] == [first]


@pytest.mark.parametrize(
    ("op", "args", "code"),
    [
        ("floor_plan.add", {"site": "elsewhere", "title": "x", **PICTURE}, "not_found"),
        ("floor_plan.add", {"site": "shuiye", "title": " ", **PICTURE}, "invalid"),
        ("floor_plan.add", {"site": "shuiye", "title": "x", **PICTURE, "picture": "../../etc"}, "invalid"),
        ("floor_plan.place", {"id": 1, "at": "nobody", "x": 1, "y": 1}, "not_found"),
        ("floor_plan.place", {"id": 1, "at": "hydrant-01", "x": SPAN + 1, "y": 1}, "invalid"),
        ("floor_plan.place", {"id": 1, "at": "../x", "x": 1, "y": 1}, "invalid"),
        ("floor_plan.place", {"id": 7, "at": "hydrant-01", "x": 1, "y": 1}, "not_found"),
        ("floor_plan.change", {"id": 1, "picture": "ab" * 32}, "invalid"),
        ("advice.tick", {"alarm_id": 99, "step": 0}, "not_found"),
        ("sound_check.listen", {"site": "elsewhere", "heard": True}, "not_found"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(world: World, op: str, args: dict[str, Any], code: str) -> None:
    """Unknown sites, plans and devices, places outside of the plan, names that are paths."""
    add(world)
    with pytest.raises(ControlError) as refused:
        world.ask(op, **args)
    assert refused.value.code == code


def test_a_plan_too_many_and_a_mark_too_many_are_refused(world: World) -> None:
    """Rows are written whole into the chain: they stay small."""
    number = add(world)
    full = plan(world, number)
    world.state.registers.board._plans.rows[number] = msgspec.structs.replace(
        full, marks=tuple(full.marks) + tuple(_marks(MOST_MARKS))
    )
    with pytest.raises(ControlError, match="Use a further plan"):
        world.ask("floor_plan.place", id=number, at="hydrant-01", x=1, y=1)
    for _ in range(MOST_PLANS - 1):
        add(world)
    with pytest.raises(ControlError, match="Remove one first"):
        add(world)


def _marks(count: int) -> list[Any]:
    from gateway.board.rows import Mark

    return [Mark(f"panel-01/p{n:03d}", n, n) for n in range(count)]


def test_a_step_is_done_once_by_who_did_it_first_and_its_list_ends_with_the_alarm(world: World) -> None:
    """Two people tick the same step; one is taken back; what was done can be read after the alarm is over."""
    alarm = burn(world)
    world.ask("advice.tick", alarm_id=alarm, step=0)
    world.ask("advice.tick", actor="li", alarm_id=alarm, step=0)
    world.ask("advice.tick", actor="li", alarm_id=alarm, step=1)
    world.ask("advice.tick", actor="li", alarm_id=alarm, step=1, done=False)
    world.restart()
    row = world.state.registers.board.advice(alarm)
    assert row is not None
    assert [(done.step, done.by, bool(done.text)) for done in row.done] == [(0, "wang", True)]
    assert done_by_audit(world, "advice") == [("wang", "advice.tick"), ("li", "advice.tick"), ("li", "advice.untick")]
    with pytest.raises(ControlError, match="want one of the"):
        world.ask("advice.tick", alarm_id=alarm, step=50)
    world.ask("alarm.acknowledge", alarm_id=alarm)
    world.decide("clear", FIRE, severity="fire", rule="panel-fire", device="panel-01")
    kept: Advice | None = find_entry(world.connection, ADVICE, alarm)
    assert kept is not None
    assert (kept.state, len(kept.done)) == ("over", 1)
    with pytest.raises(ControlError, match="its list is closed"):
        world.ask("advice.tick", alarm_id=alarm, step=1)


def test_the_last_sound_check_of_a_site_counts(world: World) -> None:
    """Not heard, then heard: the first is past, the second stands; both are in the ledger."""
    world.ask("sound_check.listen", site="shuiye", heard=False, screen="1920 x 1080")
    world.wait(60_000)
    world.ask("sound_check.listen", site="shuiye", heard=True)
    world.restart()
    rows = world.state.registers.rows(SOUND_CHECK.name)
    assert [(row.state, row.id) for row in rows] == [("heard", 2)]
    first = find_entry(world.connection, SOUND_CHECK, 1)
    assert first is not None
    assert (first.state, first.heard, first.screen) == ("past", False, "1920 x 1080")
