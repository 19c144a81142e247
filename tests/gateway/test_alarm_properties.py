"""Whatever happens in whatever order: no alarm is lost, nothing held hides or lasts, a restart changes nothing."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.alarms.lifecycle import next_state
from gateway.control.client import ControlError
from gateway.installation import Installation
from tests.gateway.world import HOUR_MS, World, install

SUBJECTS = [
    ("fire", "shuiye/panel-01/p001", "panel-01"),
    ("warning", "shuiye/panel-01/p001", "panel-01"),
    ("warning", "shuiye/hydrant-01/cap_open", "hydrant-01"),
    ("critical", "shuiye/edge1", None),
]
SCOPES = [["panel-01"], ["panel-01/p001"], ["*"], ["hydrant-01", "edge1"], ["nowhere"]]
TAKEN_OUT = ["shuiye/panel-01", "shuiye/panel-01/p001", "shuiye/hydrant-01", "shuiye/x"]
SPANS_MS = [-1, 0, 60_000, 3 * HOUR_MS, 5 * HOUR_MS, 200 * HOUR_MS]
NUMBERS = st.integers(0, 6)
STEP = st.one_of(
    st.tuples(
        st.just("decide"),
        st.sampled_from(["raise", "raise", "raise", "clear", "flap", "suppress", "release"]),
        st.sampled_from(SUBJECTS),
    ),
    st.tuples(st.just("wait"), st.sampled_from([1, 59_999, 60_000, HOUR_MS, 9 * HOUR_MS])),
    st.tuples(st.just("restart")),
    st.tuples(st.sampled_from(["alarm.acknowledge", "alarm.unshelve", "alarm.note", "alarm.find"]), NUMBERS),
    st.tuples(st.just("alarm.shelve"), NUMBERS, st.sampled_from(SPANS_MS)),
    st.tuples(st.sampled_from(["service.take_out", "service.return"]), st.sampled_from(TAKEN_OUT)),
    st.tuples(
        st.just("maintenance.open"), st.sampled_from(SCOPES), st.sampled_from(SPANS_MS), st.sampled_from(SPANS_MS)
    ),
    st.tuples(st.just("drill.open"), st.sampled_from(SCOPES), st.sampled_from(SPANS_MS)),
    st.tuples(st.sampled_from(["maintenance.close", "drill.close"]), st.integers(0, 3)),
)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    found = install(tmp_path_factory.mktemp("site"))
    return Installation(found.sites, {}, found.library)


def act(world: World, step: tuple[Any, ...]) -> None:
    """Do one step; a command that is refused has changed nothing (the world looks after that)."""
    now_ms = world.now_ms
    match step:
        case ("decide", event, (severity, subject, device)):
            world.decide(event, subject, rule=severity, severity=severity, device=device, cause="shuiye/edge1", count=2)
        case ("wait", ms):
            world.wait(ms)
        case ("restart",):
            world.restart()
        case ("alarm.note", number):
            world.ask("alarm.note", alarm_id=number, note="seen")
        case ("alarm.find", number):
            world.ask("alarm.find", alarm_id=number, finding="false")
        case (("alarm.acknowledge" | "alarm.unshelve") as op, number):
            world.ask(op, alarm_id=number)
        case ("alarm.shelve", number, ms):
            world.ask("alarm.shelve", alarm_id=number, until_ms=now_ms + ms, reason="x")
        case ("service.take_out", subject):
            world.ask("service.take_out", subject=subject, reason="x")
        case ("service.return", subject):
            world.ask("service.return", subject=subject)
        case ("maintenance.open", scope, begin, ms):
            span = {"from_ms": now_ms + begin, "until_ms": now_ms + ms}
            world.ask("maintenance.open", site="shuiye", scope=scope, reason="x", **span)
        case ("drill.open", scope, ms):
            world.ask("drill.open", site="shuiye", scope=scope, until_ms=now_ms + ms, reason="x")
        case (op, number):
            world.ask(op, id=number)


def check(world: World, standing: set[tuple[str, str]]) -> None:
    """What must hold after every step."""
    opened = world.open
    # Exactly one active alarm for every condition that stands, and none for any other: no alarm is lost.
    active = [(a.rule, a.subject) for a in world.alarms("active")]
    assert sorted(active) == sorted(standing)
    assert all(a.state != "normal" for a in opened if a.active)
    # Memory is what the ledger says, row by row.
    assert list(world.state.book.open.values()) == opened
    snapshot = world.state.snapshot(world.now_ms)
    assert snapshot.alarms == opened
    for alarm in opened:
        if alarm.severity == "fire":
            assert alarm.hold in (None, "shelved", "drill")
        # Whatever is held is listed with what holds it, and nothing holds beyond its time.
        assert alarm.hold_until_ms is None or alarm.hold_until_ms > world.now_ms
        if alarm.hold == "shelved":
            assert (alarm.rule, alarm.subject) in {(row["rule"], row["subject"]) for row in snapshot.shelved}
        elif alarm.hold == "drill":
            assert alarm.drill in {row["id"] for row in snapshot.drills}
        elif alarm.hold in ("maintenance", "out_of_service"):
            assert snapshot.maintenance if alarm.hold == "maintenance" else snapshot.out_of_service
        elif alarm.hold == "suppressed_by_design":
            assert alarm.suppressed
            assert alarm.cause == "shuiye/edge1"
        # A test that still stands is real once its drill is over.
        assert alarm.drill is None or not alarm.active or alarm.hold == "drill"
    chains: dict[int, str] = {}
    query = "SELECT alarm_id, event, from_state, to_state FROM transition ORDER BY id"
    for number, event, from_state, to_state in world.connection.execute(query):
        assert chains.get(number, "normal") == from_state
        assert next_state(from_state, event) == to_state
        chains[number] = to_state
    assert {a.id: a.state for a in world.alarms()} == chains


@given(st.lists(STEP, min_size=5, max_size=25))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_lost_when_anything_happens_in_any_order(
    installation: Installation, steps: list[tuple[Any, ...]]
) -> None:
    """Decisions, commands, time and restarts mixed; after each step every promise holds, and a restart changes none."""
    world = World(installation)
    standing: set[tuple[str, str]] = set()
    for step in steps:
        with contextlib.suppress(ControlError):
            act(world, step)
        if step[0] == "decide":
            key = (step[2][0], step[2][1])
            standing = standing | {key} if step[1] in ("raise", "flap") else standing
            standing = standing - {key} if step[1] == "clear" else standing
        check(world, standing)
    before = world.state.snapshot(0)
    world.restart()
    assert world.state.snapshot(0) == before
