"""Drills and walk tests: what is in scope is a test and is ticked, what is outside is real, and it ends by itself."""

from __future__ import annotations

from typing import Any

import pytest

from contract.messages import Reading
from gateway.alarms.coverage import untested
from gateway.control.client import ControlError
from gateway.installation import Installation
from gateway.ledger.records import LastTest
from gateway.notify.settings import NotifySettings
from gateway.notify.state import NotifyParts
from gateway.notify.ways import Ways
from tests.gateway.harness import SITE, START_MS
from tests.gateway.world import HOUR_MS, World, install

MINUTE_MS = 60_000
DETECTORS = [f"panel-01/p{n:03}" for n in range(1, 21)]
OUTSIDE = "panel-01/p025"
GAUGE = """\
          - {id: gauge-01, profile: transmitter-pressure, unit_id: 7}
"""
GROUP = """\
groups:
  - id: hall
    kind: zone
    title: {zh: 大厅, en: Hall}
    members: [panel-01/p001, panel-01/p002]
"""
NOTIFY = NotifySettings.model_validate(
    {
        "people": [
            {"id": "wang", "name": "王", "channels": [{"kind": "screen", "id": "screen"}]},
            {"id": "li", "name": "李", "channels": [{"kind": "screen", "id": "screen"}]},
        ],
        "chains": [{"id": "all", "steps": [{"after_s": 0, "people": ["li"]}], "repeat_s": None}],
        "routes": [{"chain": "all"}],
        "proof": {"enabled": False},
    }
)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install(tmp_path_factory.mktemp("site"), SITE.replace("points: 16", "points: 32") + GAUGE + GROUP)


@pytest.fixture
def world(installation: Installation) -> World:
    made = World(installation, notify=NotifyParts(NOTIFY, b"k" * 32, Ways(NOTIFY)))
    made.read(*(Reading(f"panel-01/p{n:03}", made.now_ms, "normal") for n in range(1, 33)))
    made.now_ms += 1000
    return made


def drill(world: World, *scope: str, for_ms: int = 2 * HOUR_MS, leader: str = "wang") -> Any:
    return world.ask(
        "drill.open", leader, site="shuiye", scope=list(scope), until_ms=world.now_ms + for_ms, reason="月度测试"
    )


def told(world: World) -> list[tuple[str, str, list[int]]]:
    rows = world.connection.execute("SELECT person, kind, json_extract(alarms, '$[0]') FROM notice ORDER BY id")
    return [(row[0], row[1], row[2]) for row in rows]


@pytest.mark.parametrize("restart", [False, True])
def test_one_page_and_twenty_ticks_when_one_of_21_detectors_is_outside_the_drill(world: World, restart: bool) -> None:
    """The leader hears of each test, the duty of the one that is real; the list is complete; its end restores."""
    data = drill(world, "panel-01/p00*", "panel-01/p01*", "panel-01/p020")
    assert (data["expected"], data["ticked"], data["leader"]) == (20, 0, "wang")
    for point in (*DETECTORS[:10], OUTSIDE, *DETECTORS[10:]):
        world.now_ms += 1000
        world.see(point, "fire")
    if restart:
        world.restart()

    tests = [a for a in world.open if a.drill == 1]
    assert {a.subject for a in tests} == {f"shuiye/{point}" for point in DETECTORS}
    assert {(a.hold, a.drill_leader) for a in tests} == {("drill", "wang")}
    (real,) = (a for a in world.open if a.drill is None)
    assert (real.subject, real.hold) == (f"shuiye/{OUTSIDE}", None)
    assert [row for row in told(world) if row[0] == "li"] == [("li", "alarm", real.id)]
    assert {row[2] for row in told(world) if row[0] == "wang"} == {a.id for a in tests}
    (running,) = world.state.snapshot(0).drills
    assert (running["expected"], running["ticked"]) == (20, 20)
    rows = world.connection.execute("SELECT subject, spoke_ms, alarm_id FROM drill_item ORDER BY subject").fetchall()
    assert rows == [(a.subject, a.raised_ms, a.id) for a in sorted(tests, key=lambda alarm: alarm.subject)]

    for point in DETECTORS[1:]:
        world.see(point, "normal")
    world.wait(2 * HOUR_MS)
    assert world.state.snapshot(0).drills == []
    assert {a.subject: (a.state, a.drill, a.hold) for a in world.open} == {
        f"shuiye/{DETECTORS[0]}": ("unacknowledged", None, None),
        f"shuiye/{OUTSIDE}": ("unacknowledged", None, None),
    }
    assert [row for row in told(world) if row[0] == "li"][1:] == [("li", "alarm", tests[0].id)]
    assert {a.finding for a in world.alarms() if a.drill == 1} == {"test"}
    world.now_ms += 1000
    world.see(DETECTORS[1], "fire")
    assert [a.drill for a in world.open if a.subject == f"shuiye/{DETECTORS[1]}"] == [None]


def test_acknowledged_test_pages_when_it_still_stands_after_the_drill(world: World) -> None:
    """Who acknowledged a test has not seen a fire."""
    drill(world, "panel-01", for_ms=HOUR_MS)
    world.see(DETECTORS[0], "fire")
    world.ask("alarm.acknowledge", alarm_id=1)
    assert [(a.state, a.hold) for a in world.open] == [("acknowledged", "drill")]
    world.wait(HOUR_MS)
    assert [(a.state, a.acknowledged_by) for a in world.open] == [("unacknowledged", None)]
    assert ("li", "alarm", 1) in told(world)
    assert world.steps(1)[-1] == ("drill_end", "unacknowledged", HOUR_MS + 1000, "gateway")


def test_alarm_stays_real_when_it_stood_before_the_drill(world: World) -> None:
    """A drill does not hide what burns already, nor what was measured before it and arrives in it."""
    world.see(DETECTORS[0], "fire")
    world.now_ms += 5000
    drill(world, "*")
    world.read(Reading(DETECTORS[1], world.now_ms - 3000, "fire"))
    assert [(a.drill, a.hold) for a in world.open] == [(None, None), (None, None)]


def test_late_alarm_is_a_test_when_it_was_over_within_a_drill_that_is_over(world: World) -> None:
    """Its agent was away: what came and went in the drill's time was a test, what still stands is real."""
    drill(world, "panel-01")
    at_ms = world.now_ms + MINUTE_MS
    world.wait(HOUR_MS)
    world.ask("drill.close", id=1, note="fertig")
    world.read(
        Reading(DETECTORS[0], at_ms, "fire"),
        Reading(DETECTORS[1], at_ms, "fire"),
        Reading(DETECTORS[0], at_ms + MINUTE_MS, "normal"),
    )
    assert {a.subject[-4:]: (a.drill, a.active) for a in world.open} == {"p001": (1, False), "p002": (None, True)}


def test_group_alarm_is_a_test_when_all_its_points_are_in_the_drill(installation: Installation) -> None:
    """A confirmed fire of two detectors in test is a test; with one of them outside it is a fire."""
    for scope, expected in ((["panel-01/p001", "panel-01/p002"], 1), (["panel-01/p001"], None)):
        world = World(installation)
        drill(world, *scope)
        points = ["panel-01/p001", "panel-01/p002"]
        counted = {"kind": "tally", "count": 2, "limit": 2, "points": points}
        world.decide("raise", "shuiye/hall", severity="fire", inputs={"kind": "all", "of": [counted]})
        world.decide("raise", "shuiye/hall", rule="many", inputs={**counted, "count": 30})
        assert [a.drill for a in world.open] == [expected, expected]


def test_point_is_ticked_when_it_changes_or_reports_a_test_and_not_when_it_only_speaks(world: World) -> None:
    """A repeated value, a first value and a value from before the drill prove nothing."""
    drill(world, "panel-01")
    world.see(DETECTORS[0], "normal")
    world.read(Reading(DETECTORS[1], world.now_ms - 60_000, "fault"))
    world.see(DETECTORS[2], "looked_at")
    world.see(DETECTORS[3], "fire", quality="test")
    rows = world.connection.execute("SELECT subject, how FROM drill_item WHERE spoke_ms IS NOT NULL ORDER BY 1")
    assert [(row[0][-4:], row[1]) for row in rows] == [("p003", "state"), ("p004", "test")]
    assert [a.drill for a in world.open if a.subject.endswith("p002")] == [None]


def test_whole_device_is_on_the_list_when_it_carries_no_states(world: World) -> None:
    """A gauge speaks by any alarm of its own; contacts of a hydrant each speak for themselves."""
    data = drill(world, "gauge-01", "hydrant-01")
    listed = {row[0].removeprefix("shuiye/") for row in world.connection.execute("SELECT subject FROM drill_item")}
    assert listed == {"gauge-01", "hydrant-01/cap_open", "hydrant-01/impact"}
    world.decide("raise", "shuiye/gauge-01/pressure_kpa", device="gauge-01")
    (row,) = world.connection.execute("SELECT subject, how, alarm_id FROM drill_item WHERE spoke_ms IS NOT NULL")
    assert row == ("shuiye/gauge-01", "alarm", 1)
    assert data["expected"] == 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"until_ms": START_MS + 9 * HOUR_MS}, "at most 8 h"),
        ({"until_ms": START_MS}, "more than 0"),
        ({"scope": ["panel-02"]}, "which nothing in shuiye fits"),
        ({"site": "x"}, "got no such site"),
        ({"reason": " "}, "reason"),
    ],
)
def test_drill_is_refused_when_it_is_too_long_or_means_nothing(world: World, change: dict[str, Any], text: str) -> None:
    """No shift leaves a station in test, and no slip of the pen opens a drill of nothing."""
    args = {"site": "shuiye", "scope": ["*"], "until_ms": START_MS + HOUR_MS, "reason": "x", **change}
    with pytest.raises(ControlError, match=text):
        world.ask("drill.open", **args)
    assert world.state.book.holds.drills == {}


def test_untested_are_listed_longest_first_when_their_last_test_is_old() -> None:
    """Never tested comes first; a test of the whole device counts for its points."""
    tested = {
        "s/a/p1": LastTest("s/a/p1", 100, 1, "wang"),
        "s/a/p2": LastTest("s/a/p2", 900, 1, "wang"),
        "s/b": LastTest("s/b", 950, None, "li"),
    }
    assert untested(["s/a/p1", "s/a/p2", "s/a/p3", "s/b/p1"], tested, 500) == [("s/a/p3", None), ("s/a/p1", 100)]
