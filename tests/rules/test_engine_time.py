"""Event time: data that comes late, in whatever pieces, gives what it would have given in time."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.messages import Reading, Value
from contract.site import Site
from rules.memory import Transition
from tests.rules.engine_run import RULES, START, Run, engine_of, rule, site_of

STATION = """\
agents:
  - id: edge
    lines:
      - id: bus
        kind: modbus_tcp
        host: 10.0.0.1
        port: 502
        devices:
          - {id: hydrant-01, profile: hydrant-municipal, unit_id: 1}
          - {id: hydrant-02, profile: hydrant-municipal, unit_id: 2}
          - {id: panel-01, profile: panel-modbus, unit_id: 3, points: 4}
          - {id: pump-01, profile: pump-controller, unit_id: 4}
          - {id: indoor-01, profile: hydrant-indoor, unit_id: 5}
groups:
  - {id: main-1, kind: main, title: {zh: 一号干管, en: Main 1}, members: [hydrant-01, hydrant-02]}
  - {id: zone-1, kind: zone, title: {zh: 一区, en: Zone 1}, members: [panel-01/p001, panel-01/p002]}
"""
WORDS: dict[str, list[Value]] = {
    "hydrant-01/pressure_kpa": [300.0, 145.0, 120.0, 90.0, None],
    "hydrant-02/pressure_kpa": [300.0, 130.0, 90.0],
    "hydrant-01/flow_lps": [0.0, 3.0, 12.0],
    "hydrant-01/cap_open": [False, True],
    "hydrant-01/online": [True, False],
    "panel-01/p001": ["normal", "fire", "fault", "disabled"],
    "panel-01/p002": ["normal", "fire"],
    "panel-01/main_power": ["normal", "fault"],
    "pump-01/mode": ["auto", "manual"],
    "pump-01/running": [False, True],
    "indoor-01/pressure_kpa": [400.0, 240.0, 330.0],
}
OF_AGENT = {"agent-lost"}


class Step(NamedTuple):
    """After a pause (ms) something is measured."""

    pause_ms: int
    point: str
    value: Value


def lane_of(site: Site, point: str) -> str:
    device, _, name = point.partition("/")
    if name == "online":
        return "alarm"
    placed = next(placed for placed in site.placed() if placed.entry.id == device)
    found = placed.profile.point(name)
    return "telemetry" if found is None else found.lane


STEPS = st.lists(
    st.sampled_from(sorted(WORDS)).flatmap(
        lambda point: st.builds(Step, st.integers(0, 120_000), st.just(point), st.sampled_from(WORDS[point]))
    ),
    min_size=1,
    max_size=30,
)


class Story:
    """What is measured, and when; told in time, after an outage, or by a gateway that restarts."""

    def __init__(self, site: Site, steps: list[Step]) -> None:
        self.site = site
        self.readings: list[Reading] = []
        at_ms = START
        for step in steps:
            at_ms += step.pause_ms
            quality = "good" if step.value is not None else "unknown:no_answer"
            last = [r for r in self.readings if r.point == step.point]
            if last and last[-1].observed_ms >= at_ms:
                at_ms = last[-1].observed_ms + 1  # times of a point are unique
            self.readings.append(Reading(step.point, at_ms, step.value, quality))
        self.end_ms = at_ms + 900_000
        # Every device is heard of, so that nobody counts as silent: silence goes by the gateway's clock.
        devices = [placed.entry.id for placed in site.placed()]
        signs = [Reading(f"{d}/response_ms", at, 20.0) for at in range(START, self.end_ms, 250_000) for d in devices]
        self.readings = sorted([*self.readings, *signs], key=lambda reading: reading.observed_ms)

    def told(
        self,
        away: range | None = None,
        restarts: frozenset[int] = frozenset(),
        size: int = 3,
        ahead_ms: int = 0,
    ) -> list[Transition]:
        """Tell it. away: these readings wait until the agent is back. restarts: before these readings. ahead_ms: of
        the agent's clock, known to the gateway."""
        run = Run(engine_of(RULES, self.site))
        kept: list[Reading] = []
        for number, reading in enumerate(self.readings):
            run.advance(reading.observed_ms)
            if number in restarts:
                run.restart()
            if away is not None and number == away.start:
                run.agents["s", "edge"] = False
                run.engine.agent_heard("s", "edge", False, run.now)
                run.commit()
            if away is not None and number in away:
                kept.append(reading)
                continue
            if away is not None and number == away.stop:
                self.come_back(run, kept, size)
            raw = Reading(reading.point, reading.observed_ms + ahead_ms, reading.value, reading.quality)
            run.observe(raw, offset_ms=-ahead_ms)
        if away is not None and away.stop >= len(self.readings):
            self.come_back(run, kept, size)
        run.advance(self.end_ms)
        return run.transitions

    def come_back(self, run: Run, kept: list[Reading], size: int) -> None:
        """The agent is there again and sends what it kept: the alarm lane first."""
        run.agents["s", "edge"] = True
        lanes = {lane: [r for r in kept if lane_of(self.site, r.point) == lane] for lane in ("alarm", "telemetry")}
        batches = {lane: [rs[at : at + size] for at in range(0, len(rs), size)] for lane, rs in lanes.items()}
        run.engine.agent_heard("s", "edge", True, run.now, (len(batches["alarm"]), len(batches["telemetry"])))
        run.commit()
        for batch in [*batches["alarm"], *batches["telemetry"]]:
            run.observe(*batch)
        run.heartbeat()


def ledger(transitions: list[Transition]) -> list[tuple[str, str, str, int]]:
    """What was decided about the equipment, in order of time; not that the agent was away, and that what had been
    raised late turned out to be true still."""
    return sorted(
        (t.rule, t.subject, t.event, t.event_ms)
        for t in transitions
        if t.rule not in OF_AGENT and t.inputs.get("reason") != "still true" and t.inputs.get("cause") != "s/edge"
    )


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return site_of(tmp_path_factory.mktemp("station"), STATION)


SETTINGS = settings(deadline=None, max_examples=10, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(steps=STEPS, start=st.integers(0, 25), length=st.integers(1, 30), size=st.integers(1, 8))
def test_ledger_is_the_same_when_an_outage_is_replayed(
    station: Site, steps: list[Step], start: int, length: int, size: int
) -> None:
    """What an agent sends after an outage gives the decisions, at the times, that it would have given in time."""
    story = Story(station, steps)
    away = range(min(start, len(steps) - 1), start + length)

    assert ledger(story.told(away=away, size=size)) == ledger(story.told())


@SETTINGS
@given(steps=STEPS, restarts=st.frozensets(st.integers(0, 30)))
def test_ledger_is_the_same_when_the_gateway_restarts(
    station: Site, steps: list[Step], restarts: frozenset[int]
) -> None:
    """Restarts at any moment change no decision, with every shipped rule."""
    story = Story(station, steps)

    assert ledger(story.told(restarts=restarts)) == ledger(story.told())


@SETTINGS
@given(steps=STEPS, start=st.integers(0, 25), length=st.integers(1, 30), restarts=st.frozensets(st.integers(0, 30)))
def test_ledger_is_the_same_when_the_gateway_restarts_while_it_catches_up(
    station: Site, steps: list[Step], start: int, length: int, restarts: frozenset[int]
) -> None:
    """An outage with restarts of the gateway before, within and after it changes no decision either."""
    story = Story(station, steps)
    away = range(min(start, len(steps) - 1), start + length)

    assert ledger(story.told(away=away, restarts=restarts)) == ledger(story.told())


@SETTINGS
@given(steps=STEPS, ahead_ms=st.sampled_from([-90_000, 90_000]))
def test_ledger_is_the_same_when_the_clock_of_the_agent_is_off(station: Site, steps: list[Step], ahead_ms: int) -> None:
    """Readings are judged at their corrected time, whichever way the clock is off."""
    story = Story(station, steps)

    assert ledger(story.told(ahead_ms=ahead_ms)) == ledger(story.told())


def test_alarm_is_held_back_when_it_may_be_over_and_told_when_it_is_true_still(station: Site) -> None:
    """Two alarms of an outage: the one that was over is retrospective, the other is released as true once all came."""
    run = Run(engine_of(RULES, station))
    run.agents["s", "edge"] = False
    run.engine.agent_heard("s", "edge", False, run.now)
    run.advance(START + 7_200_000)
    run.agents["s", "edge"] = True
    run.engine.agent_heard("s", "edge", True, run.now, (3, 0))
    begin = START + 600_000
    run.observe(Reading("pump-01/mode", begin, "manual"), Reading("panel-01/p001", begin, "fault"))
    run.observe(Reading("pump-01/mode", begin + 60_000, "auto"))
    run.observe(Reading("panel-01/p002", begin + 70_000, "normal"))
    run.advance(run.now + 60_000)
    told = [(t.rule, t.event, t.retrospective) for t in run.transitions if t.rule in ("pump-manual", "panel-fault")]

    assert told == [
        ("panel-fault", "raise", True),
        ("pump-manual", "raise", True),
        ("pump-manual", "clear", True),
        ("panel-fault", "release", False),
    ]


def test_fire_does_not_wait_when_telemetry_has_a_backlog(station: Site) -> None:
    """A fire is decided as it comes, however much is still to come on the other lane."""
    run = Run(engine_of(RULES, station))
    run.agents["s", "edge"] = False
    run.engine.agent_heard("s", "edge", False, run.now)
    run.advance(START + 7_200_000)
    run.agents["s", "edge"] = True
    run.engine.agent_heard("s", "edge", True, run.now, (1, 5000))
    run.observe(Reading("panel-01/p001", run.now - 1000, "fire"))

    assert run.of("panel-fire") == [("s/panel-01/p001", "raise", 7199)]


@pytest.mark.parametrize("restart", [False, True])
def test_readings_of_two_lanes_are_put_in_order_when_one_comes_first(station: Site, restart: bool) -> None:
    """The alarm lane comes first after an outage; a rule about both lanes sees them as they happened all the same."""
    raw = {
        "id": "open-and-low",
        "per": "device",
        "applies_to": ["hydrant-municipal/*"],
        "when": {
            "kind": "all",
            "of": [
                {"kind": "state", "point": "cap_open", "equals": [True]},
                {"kind": "threshold", "point": "pressure_kpa", "below": 140, "clear": 150},
            ],
        },
    }
    run = Run(engine_of({"open-and-low": rule(raw)}, station), checkpoint_every=3)
    run.agents["s", "edge"] = False
    run.engine.agent_heard("s", "edge", False, run.now)
    run.advance(START + 7_200_000)
    run.agents["s", "edge"] = True
    run.engine.agent_heard("s", "edge", True, run.now, (1, 2))
    cap = [Reading("hydrant-01/cap_open", START + at * 1000, is_open) for at, is_open in ((15, True), (40, False))]
    run.observe(*cap)
    assert run.of() == []
    if restart:
        run.restart()
        run.engine.agent_heard("s", "edge", True, run.now, (0, 2))
    run.observe(Reading("hydrant-01/pressure_kpa", START + 10_000, 120.0))
    run.observe(Reading("hydrant-01/pressure_kpa", START + 20_000, 300.0))
    run.heartbeat()

    assert run.of() == [("s/hydrant-01", "raise", 15), ("s/hydrant-01", "clear", 20)]
