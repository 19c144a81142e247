"""What keeps alarms from paging: who may, for how long, and that everything speaks again by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from contract.messages import Reading
from gateway.alarms.lifecycle import Hold
from gateway.commands_alarms import SHELVE_FIRE_MS, SHELVE_MS
from gateway.commands_holds import DRILL_MS, MAINTENANCE_MS
from gateway.control.client import ControlError
from gateway.control.feed import Subscriber
from gateway.control.protocol import Ask
from gateway.installation import Installation
from tests.gateway.harness import FIRE, START_MS, Clock, arrival, batch, open_bench
from tests.gateway.world import HOUR_MS, World, install

FAULT = "panel-01/p002"
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install(tmp_path_factory.mktemp("site"))


@pytest.fixture
def world(installation: Installation) -> World:
    return World(installation)


def refused(world: World, op: Any, text: str, **args: Any) -> None:
    with pytest.raises(ControlError, match=text):
        world.ask(op, **args)


def shelve(world: World, alarm_id: int, for_ms: int, reason: str = "换电池") -> Any:
    return world.ask("alarm.shelve", alarm_id=alarm_id, until_ms=world.now_ms + for_ms, reason=reason)


# --- the shelf -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
def test_shelved_alarm_speaks_again_when_its_time_is_up(world: World, restart: bool) -> None:
    """At its time by itself, also across a restart; it was listed all the while and nothing of it was lost."""
    world.see(FAULT, "fault")
    shelve(world, 1, 30 * MINUTE_MS)
    assert [(a.state, a.hold, a.hold_until_ms) for a in world.open] == [
        ("unacknowledged", "shelved", START_MS + 30 * MINUTE_MS)
    ]
    if restart:
        world.restart()
    world.wait(30 * MINUTE_MS - 1)
    assert [a.hold for a in world.open] == ["shelved"]
    world.wait(1)
    assert [(a.state, a.hold) for a in world.open] == [("unacknowledged", None)]
    assert world.steps(1)[-1] == ("unshelve", "unacknowledged", 30 * MINUTE_MS, "gateway")
    assert world.state.snapshot(0).shelved == []


def test_shelf_ends_at_its_own_time_when_the_gateway_was_down_then(world: World) -> None:
    """The end is dated when it was due and recorded when the gateway knew."""
    world.see(FAULT, "fault")
    shelve(world, 1, MINUTE_MS)
    world.now_ms += HOUR_MS
    world.restart()
    world.turn()
    row = world.connection.execute("SELECT event, event_ms, recorded_ms FROM transition ORDER BY id DESC").fetchone()
    assert row == ("unshelve", START_MS + MINUTE_MS, START_MS + HOUR_MS)


def test_next_episode_is_shelved_too_when_the_rule_is_on_the_shelf(world: World) -> None:
    """It is the rule on its subject that lies there; the shelf stays listed while there is no alarm at all."""
    world.see(FAULT, "fault")
    shelve(world, 1, HOUR_MS)
    world.ask("alarm.acknowledge", alarm_id=1)
    world.now_ms += 1000
    world.see(FAULT, "normal")
    world.wait(MINUTE_MS)
    assert world.open == []
    assert [row["alarm_id"] for row in world.state.snapshot(0).shelved] == [1]
    world.see(FAULT, "fault")
    assert [(a.id, a.hold) for a in world.open] == [(2, "shelved")]
    world.ask("alarm.unshelve", alarm_id=1, note="done")
    assert [(a.id, a.hold) for a in world.open] == [(2, None)]


def test_other_shelf_of_the_rule_stays_when_one_ends(world: World) -> None:
    """A shelf belongs to a rule on a subject; a restart finds the one that is left."""
    world.see(FAULT, "fault")
    world.see("panel-01/p003", "fault")
    shelve(world, 1, MINUTE_MS)
    shelve(world, 2, HOUR_MS)
    world.wait(MINUTE_MS)
    world.restart()
    assert [a.hold for a in world.open] == [None, "shelved"]
    assert [row["alarm_id"] for row in world.state.snapshot(0).shelved] == [2]


def test_shelving_is_refused_when_it_is_too_long_or_says_no_reason(world: World) -> None:
    """A fire lies there for 4 h at most, anything else for a week; nothing is shelved silently."""
    world.see(FIRE, "fire")
    world.see(FAULT, "fault")
    until = world.now_ms + 4 * HOUR_MS
    refused(world, "alarm.shelve", r"at most 4 h for a fire", alarm_id=1, until_ms=until + 1, reason="x")
    refused(world, "alarm.shelve", r"at most 168 h\.", alarm_id=2, until_ms=world.now_ms + 169 * HOUR_MS, reason="x")
    refused(world, "alarm.shelve", "more than 0", alarm_id=2, until_ms=world.now_ms, reason="x")
    refused(world, "alarm.shelve", "reason", alarm_id=1, until_ms=until, reason="  ")
    refused(world, "alarm.shelve", "got no such alarm", alarm_id=9, until_ms=until, reason="x")
    refused(world, "alarm.unshelve", "is not on the shelf", alarm_id=1)
    assert [a.hold for a in world.open] == [None, None]
    world.ask("alarm.shelve", alarm_id=1, until_ms=until, reason="蒸汽")
    assert [(a.severity, a.hold) for a in world.open] == [("fire", "shelved"), ("warning", None)]


def test_base_state_goes_on_when_the_alarm_is_held(world: World) -> None:
    """Acknowledged and cleared beneath the shelf as without it."""
    world.see(FAULT, "fault")
    shelve(world, 1, HOUR_MS)
    world.now_ms += 1000
    world.see(FAULT, "normal")
    world.wait(MINUTE_MS)
    assert [(a.state, a.hold) for a in world.open] == [("returned_unacknowledged", "shelved")]
    world.ask("alarm.acknowledge", alarm_id=1)
    assert [(a.state, a.hold) for a in world.alarms()] == [("normal", None)]


# --- out of service --------------------------------------------------------------------------------------------------


def test_alarms_page_nobody_when_their_device_is_out_of_service_and_fires_do(world: World) -> None:
    """Until somebody returns it, also across a restart; a fire is not held by it."""
    world.see(FAULT, "fault")
    world.ask("service.take_out", subject="shuiye/panel-01", reason="主板返修")
    world.restart()
    world.see("panel-01/p003", "fault")
    world.see(FIRE, "fire")
    assert [(a.severity, a.hold) for a in world.open] == [
        ("warning", "out_of_service"),
        ("warning", "out_of_service"),
        ("fire", None),
    ]
    assert [row["subject"] for row in world.state.snapshot(0).out_of_service] == ["shuiye/panel-01"]
    refused(world, "service.take_out", "wang has taken it out", subject="shuiye/panel-01", reason="x")
    world.ask("service.return", subject="shuiye/panel-01", note="ok")
    assert [a.hold for a in world.open] == [None, None, None]
    refused(world, "service.return", "is not out of service", subject="shuiye/panel-01")


@pytest.mark.parametrize("subject", ["shuiye", "shuiye/", "shuiye/panel-02", "shuiye/panel-01/p999", "x/panel-01"])
def test_taking_out_of_service_is_refused_when_nothing_has_that_name(world: World, subject: str) -> None:
    """A slip of the pen takes nothing out."""
    refused(world, "service.take_out", "got no such device or point", subject=subject, reason="x")


# --- maintenance -----------------------------------------------------------------------------------------------------


def window(world: World, begins_ms: int, ends_ms: int, *scope: str) -> Any:
    return world.ask(
        "maintenance.open",
        site="shuiye",
        scope=list(scope),
        from_ms=world.now_ms + begins_ms,
        until_ms=world.now_ms + ends_ms,
        reason="年检",
    )


@pytest.mark.parametrize("restart", [False, True])
def test_what_still_stands_pages_when_a_maintenance_window_ends(world: World, restart: bool) -> None:
    """Recorded and held while it lasts; a fire pages; at its end what stands speaks, what is over does not."""
    window(world, 10 * MINUTE_MS, 70 * MINUTE_MS, "panel-01")
    world.see(FAULT, "fault")
    world.wait(9 * MINUTE_MS)
    assert [a.hold for a in world.open] == [None]
    world.wait(MINUTE_MS)
    assert [(a.hold, a.hold_until_ms) for a in world.open] == [("maintenance", START_MS + 70 * MINUTE_MS)]
    if restart:
        world.restart()
    world.see("panel-01/p003", "fault")
    world.see(FIRE, "fire")
    world.decide("raise", "shuiye/hydrant-01/cap_open", device="hydrant-01")
    world.now_ms += 1000
    world.see("panel-01/p003", "normal")
    world.wait(30 * MINUTE_MS)
    held = {a.subject.split("/")[-1]: (a.active, a.hold) for a in world.open}
    assert held["p002"] == (True, "maintenance")
    assert held["p003"] == (False, "maintenance")
    assert held["p001"] == held["cap_open"] == (True, None)
    world.events.clear()
    world.wait(40 * MINUTE_MS)
    assert [a.hold for a in world.open] == [None] * 4
    assert [alarm for alarm, _ in world.pages()] == [1]
    assert ("unhold", "unacknowledged", 70 * MINUTE_MS, "gateway") in world.steps(1)
    row = world.connection.execute("SELECT closed_ms - ?, closed_by FROM maintenance", (START_MS,)).fetchone()
    assert row == (70 * MINUTE_MS, "gateway")


def test_maintenance_is_refused_when_it_covers_nothing_or_lasts_too_long(world: World) -> None:
    """What was meant would page, or never again."""
    args = {"site": "shuiye", "from_ms": world.now_ms, "until_ms": world.now_ms + HOUR_MS, "reason": "x"}
    refused(world, "maintenance.open", "which nothing in shuiye fits", **args, scope=["panel-01", "panel-09"])
    refused(world, "maintenance.open", "want `device`", **args, scope=["../panel-01"])
    refused(world, "maintenance.open", "got no such site", **{**args, "site": "other"}, scope=["*"])
    refused(
        world, "maintenance.open", "at most 744 h", **{**args, "until_ms": world.now_ms + 745 * HOUR_MS}, scope=["*"]
    )
    refused(world, "maintenance.open", "more than 0", **{**args, "until_ms": world.now_ms}, scope=["*"])
    refused(world, "maintenance.open", "scope", **args, scope=[])
    refused(world, "maintenance.close", "is not planned and not in force", id=1)


def test_strongest_hold_shows_when_several_lie_over_one_alarm(world: World) -> None:
    """And the next one when it ends, so that none of them is forgotten."""
    world.see(FAULT, "fault")
    window(world, 0, 120 * MINUTE_MS, "*")
    world.ask("service.take_out", subject=f"shuiye/{FAULT}", reason="x")
    shelve(world, 1, MINUTE_MS)
    seen = [world.open[0].hold]
    world.wait(MINUTE_MS)
    seen.append(world.open[0].hold)
    world.ask("service.return", subject=f"shuiye/{FAULT}")
    seen.append(world.open[0].hold)
    world.ask("maintenance.close", id=1, note="early")
    seen.append(world.open[0].hold)
    assert seen == ["shelved", "out_of_service", "maintenance", None]


# --- what the engine says of causes and flapping ---------------------------------------------------------------------


def test_alarm_is_suppressed_by_design_when_its_cause_has_the_alarm_and_a_fire_never_is(world: World) -> None:
    """Held with its cause while that lasts, listed, and speaking again afterwards; a fire says its cause and pages."""
    for rule, severity in (("low", "warning"), ("fire", "fire")):
        world.decide("raise", "shuiye/tank-01", rule=rule, severity=severity, device="tank-01")
        world.decide("suppress", "shuiye/tank-01", rule=rule, severity=severity, cause="shuiye/line-tcp2")
    assert [(a.severity, a.hold, a.cause) for a in world.open] == [
        ("warning", "suppressed_by_design", "shuiye/line-tcp2"),
        ("fire", None, "shuiye/line-tcp2"),
    ]
    world.restart()
    world.decide("release", "shuiye/tank-01", rule="low")
    assert [(a.hold, a.cause) for a in world.open] == [(None, None), (None, "shuiye/line-tcp2")]
    world.decide("suppress", "shuiye/tank-01", rule="low", cause="shuiye/edge2")
    world.decide("clear", "shuiye/tank-01", rule="low")
    assert [(a.state, a.hold) for a in world.open if a.rule == "low"] == [("returned_unacknowledged", None)]


def test_flapping_is_one_alarm_with_a_count_when_it_comes_and_goes(world: World) -> None:
    """The count grows on the one alarm; a flap of something that is not up is a raise and not lost."""
    world.decide("raise", "shuiye/tank-01", rule="low", device="tank-01")
    world.ask("alarm.acknowledge", alarm_id=1)
    for count in (2, 3, 4):
        world.decide("flap", "shuiye/tank-01", rule="low", count=count)
    assert [(a.id, a.state, a.count) for a in world.open] == [(1, "acknowledged", 4)]
    world.decide("clear", "shuiye/tank-01", rule="low")
    world.decide("flap", "shuiye/tank-01", rule="low", count=5)
    assert [(a.id, a.state, a.count) for a in world.open] == [(2, "unacknowledged", 5)]


async def test_shelf_ends_by_itself_when_nobody_looks_and_nothing_arrives(tmp_path: Path) -> None:
    """The running pipeline wakes for it; subscribers are told."""
    clock = Clock()
    async with open_bench(tmp_path, clock) as bench:
        await bench.take(arrival(batch(1, Reading(FIRE, START_MS, "fire"), lane="alarm")))
        args = {"alarm_id": 1, "until_ms": START_MS + MINUTE_MS, "reason": "x"}
        await bench.pipeline.ask(Ask(id=1, op="alarm.shelve", actor="wang", args=args))
        screen = Subscriber()
        await bench.pipeline.subscribe(screen)
        first = msgspec.json.decode(await screen.get() or b"")
        assert [row["alarm_id"] for row in first["data"]["shelved"]] == [1]
        clock.now_ms += MINUTE_MS
        told: dict[str, Any] = {}
        while "shelf" not in told:
            event = msgspec.json.decode(await screen.get() or b"")
            if event["event"] == "shelf" or event["data"].get("id") == 1:
                told[event["event"]] = event["data"]
        assert (told["alarm"]["hold"], told["shelf"]["open"]) == (None, False)
        assert bench.reader.shelves() == []
        steps = [(step.event, step.event_ms - START_MS) for step in bench.reader.transitions(1)]
        assert steps == [("raise", 0), ("shelve", 0), ("unshelve", MINUTE_MS)]


# --- one alarm -------------------------------------------------------------------------------------------------------


def test_alarm_tells_its_story_when_people_worked_on_it(world: World) -> None:
    """Assigned, noted, acknowledged, cleared, and found out afterwards; also what is over can be found out."""
    world.see(FIRE, "fire")
    world.ask("alarm.assign", alarm_id=1, person="li", note="你去")
    world.ask("alarm.note", "li", alarm_id=1, note="没有烟")
    world.ask("alarm.acknowledge", "li", alarm_id=1, note="")
    world.now_ms += 1000
    world.see(FIRE, "normal")
    world.restart()
    world.ask("alarm.find", "li", alarm_id=1, finding="false", note="水蒸气")
    (alarm,) = world.alarms()
    assert (alarm.state, alarm.assignee, alarm.finding, alarm.notes) == ("normal", "li", "false", 3)
    assert [step[0] for step in world.steps(1)] == ["raise", "assign", "note", "acknowledge", "clear", "find"]
    actions = {row[0] for row in world.connection.execute("SELECT action FROM audit")}
    assert {"alarm.assign", "alarm.note", "alarm.find"} <= actions
    world.restart()
    assert [found.finding for found in world.state.book._found] == ["false"]


def test_command_on_an_alarm_is_refused_when_it_makes_no_sense(world: World) -> None:
    """With the reason, and nothing changed."""
    world.see(FIRE, "fire")
    refused(world, "alarm.assign", "got no such user", alarm_id=1, person="nobody")
    refused(world, "alarm.note", "note", alarm_id=1, note="")
    refused(world, "alarm.note", "got no such alarm", alarm_id=7, note="x")
    refused(world, "alarm.find", "finding", alarm_id=1, finding="perhaps")
    refused(world, "alarm.find", "got no such alarm", alarm_id=0, finding="real")
    refused(world, "alarm.assign", "got no such alarm", alarm_id=7, person="li")
    world.now_ms += 1000
    world.see(FIRE, "normal")
    world.ask("alarm.acknowledge", alarm_id=1)
    refused(world, "alarm.assign", "is back to normal", alarm_id=1, person="li")
    refused(world, "alarm.shelve", "is back to normal", alarm_id=1, until_ms=world.now_ms + 1000, reason="x")
    assert world.alarms()[0].assignee is None


def test_work_moves_the_date_when_it_is_recorded(world: World) -> None:
    """An inspection today is due again in a month; a test counts as a test of the device."""
    done = world.ask("work.record", site="shuiye", device="tank-01", work="inspection", at_ms=world.now_ms, note="好")
    assert 27 * 24 * HOUR_MS < done["due_ms"]["inspection"] - world.now_ms <= 31 * 24 * HOUR_MS
    world.ask("work.record", site="shuiye", device="tank-01", work="test", at_ms=world.now_ms - HOUR_MS)
    refused(world, "work.record", "got no such device", site="shuiye", device="x", work="test", at_ms=world.now_ms)
    refused(world, "work.record", "a time that is past", site="shuiye", device="tank-01", work="test", at_ms=2**60)
    world.restart()
    assert world.state.done["shuiye", "tank-01"] == {"inspection": START_MS, "test": START_MS - HOUR_MS}
    assert world.connection.execute("SELECT subject, at_ms, by FROM tested").fetchall() == [
        ("shuiye/tank-01", START_MS - HOUR_MS, "wang")
    ]


def test_limits_stand_in_the_docs_when_they_change() -> None:
    """docs/alarms.md promises what the commands refuse."""
    page = (Path(__file__).parents[2] / "docs/alarms.md").read_text("utf-8")
    assert f"at most {SHELVE_MS // (24 * HOUR_MS)} days, a fire at most {SHELVE_FIRE_MS // HOUR_MS} h" in page
    assert f"with the drill, at most {DRILL_MS // HOUR_MS} h" in page
    assert f"with the window, at most {MAINTENANCE_MS // (24 * HOUR_MS)} days" in page
    assert all(f"| `{hold}` |" in page for hold in get_args(Hold))
