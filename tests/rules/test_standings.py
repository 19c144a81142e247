"""Alarms that others look at: found by place, as of any moment, at a cost that what else stands does not change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import Reading
from contract.profile import ProfileLibrary
from rules.engine import Engine
from rules.memory import World
from rules.standings import Standing, Standings, Where
from tests.rules.engine_run import START, Run, engine_of, rule, site_of

FIRE = rule(
    {"id": "fire", "applies_to": ["panel-modbus/p*"], "when": {"kind": "state", "equals": ["fire"]}, "severity": "fire"}
)
STATES = st.sets(st.sampled_from(["active", "unacknowledged", "returned_unacknowledged"]))
STEP = st.tuples(
    st.integers(1, 50), st.sampled_from("abc"), st.sampled_from(["begin", "end", "note", "forget"]), STATES
)


def calls(work: Callable[[], object]) -> int:
    """How many functions the work calls."""
    count = 0

    def on(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(on)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def panel_in_fire(scope: str, states: list[str]) -> Callable[[int], int]:
    """A panel on which one point after the other goes on fire; gives the work of the next so many fires."""
    looks = {"kind": "alarm", "rules": ["fire"], "scope": scope, "states": states}
    inhibited = {"rule": "fire", "scope": scope}
    rules = [
        FIRE,
        rule({"id": "sees", "per": "device", "applies_to": ["panel-modbus/*"], "when": looks}),
        rule(
            {
                "id": "fault",
                "applies_to": ["panel-modbus/p001"],
                "when": {"kind": "state", "equals": ["fault"]},
                "inhibit_by": [inhibited],
            }
        ),
    ]
    engine = Engine({each.id: each for each in rules})
    engine.add_device("s", "edge", "panel", ProfileLibrary()["panel-modbus"], 3_000)
    run = Run(lambda: engine, checkpoint_every=10**9)
    burning = 1

    def burn(count: int) -> int:
        nonlocal burning
        work, last = 0, burning + count
        for _ in range(count):
            burning += 1
            point, now = f"panel/p{burning:03d}", run.now + 10

            def fire(point: str = point, now: int = now) -> None:
                engine.observe("s", [Reading(point, now, "fire")], now)
                engine.advance(now)
                engine.note_alarm("fire", f"s/{point}", "s", "panel", frozenset(["active"]))
                engine.observe("s", [Reading("panel/p001", now, "fault"), Reading("panel/p001", now, "normal")], now)
                engine.advance(now)

            run.now = now
            if burning == last:
                work = calls(fire)
            else:
                fire()
            run.commit()
        assert ("fire", f"s/panel/p{burning:03d}", "raise", run.now) in run.decisions
        return work

    return burn


@pytest.mark.parametrize("scope", ["device", "agent", "site"])
def test_fire_costs_the_same_when_two_thousand_others_stand(scope: str) -> None:
    """Who looks at fires that are over and not acknowledged is asked at each fire, and walks none of those that
    stand."""
    burn = panel_in_fire(scope, ["returned_unacknowledged"])
    few = burn(20)
    many = burn(2_000)
    assert many <= few + 20  # the heap of timers grows by its logarithm


@given(st.lists(STEP, max_size=40), st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_what_stands_is_told_as_of_any_moment_when_things_came_and_went(
    steps: list[tuple[int, str, str, set[str]]], at_ms: int
) -> None:
    """The shelves say what asking each alarm says, in whatever order of time things are told."""
    world = World({})
    standings = Standings(world)
    known: dict[str, Standing] = {}
    for when, name, what, states in steps:
        subject = f"s/{name}"
        if what == "forget":
            assert (standings.pop("r", subject) is not None) == (known.pop(subject, None) is not None)
            continue
        standing = known[subject] = standings.stand("r", subject, "s", None)
        if what == "note":
            standing.noted = frozenset(states)
        else:
            (standing.spans.begin if what == "begin" else standing.spans.end)(when)
        standings.moved("r", standing)
    site = Where((), (), (("site", "s", "s"),))
    assert set(standings.states("r", "s", site, at_ms)) == {each.states(at_ms) for each in known.values()}
    first = standings.first_active("r", "s", site, at_ms)
    active = [each for each in known.values() if each.spans.at(at_ms)]
    assert (first in active) if active else first is None
    still = [(each.spans.since_ms, each.subject) for each in active if (each.spans.since_ms or 99) <= at_ms]
    assert not still or (first is not None and (first.spans.since_ms, first.subject) == min(still))


def test_alarm_of_an_address_inhibits_its_zone_when_the_address_was_unknown_before(tmp_path: Path) -> None:
    """An alarm is told of a printed address that nobody has heard of; once the address is known to be in the zone, the
    alarm counts there."""
    site = site_of(
        tmp_path,
        """\
agents:
  - id: edge
    lines:
      - {id: bus, kind: panel_serial, port: /dev/ttyS0, devices: [{id: panel, profile: panel-gst100-printer}]}
groups:
  - {id: zone, kind: zone, title: {zh: 区, en: Zone}, members: ["panel/*"]}
""",
    )
    fault = {"id": "fault", "applies_to": ["panel-*/*"], "when": {"kind": "state", "equals": ["fault"]}}
    run = Run(
        engine_of({"fire": FIRE, "fault": rule({**fault, "inhibit_by": [{"rule": "fire", "scope": "group"}]})}, site),
        checkpoint_every=1,
    )
    run.engine.note_alarm("fire", "s/panel/l1", "s", "panel", frozenset(["active"]))
    run.say("panel/l2", "fault")
    assert run.decisions == [("fault", "s/panel/l2", "raise", START)]
    run.advance(START + 1_000)
    run.say("panel/l1", "normal")
    run.say("panel/l3", "fault")
    run.advance(START + 2_000)
    assert run.decisions == [("fault", "s/panel/l2", "raise", START)]
