"""The engine beyond single rules: restarts at any moment, causes, strangers, cost of a calm point."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import Reading
from contract.profile import ProfileLibrary
from rules.engine import Engine
from rules.memory import RuleState, Transition
from rules.model import load_packs

LIBRARY = ProfileLibrary()
RULES = load_packs()
START = 1_700_000_000_000
DEVICES = {"hydrant-01": "hydrant-municipal", "panel-01": "panel-modbus", "pump-01": "pump-controller"}
WORDS = st.one_of(
    st.tuples(st.just("hydrant-01/pressure_kpa"), st.sampled_from([300.0, 145.0, 120.0, 90.0, 105.0, None])),
    st.tuples(st.just("panel-01/p001"), st.sampled_from(["normal", "fire", "fault", None])),
    st.tuples(st.just("pump-01/mode"), st.sampled_from(["auto", "manual", "off"])),
    st.tuples(st.just("hydrant-01/online"), st.booleans()),
)
STEPS = st.lists(st.tuples(st.integers(0, 45_000), WORDS), min_size=1, max_size=40)


def fresh() -> Engine:
    engine = Engine(RULES)
    for device, profile in DEVICES.items():
        engine.add_device("s", "edge", device, LIBRARY[profile])
    return engine


def reading(point: str, value: object, at_ms: int) -> Reading:
    quality = "unknown:no_answer" if value is None else "good"
    return Reading(point, at_ms, value, quality)  # type: ignore[arg-type]  # one of the value types


class Run:
    """A gateway's life: an engine, what was written down, and restarts from it."""

    def __init__(self) -> None:
        self.now = START
        self.engine = fresh()
        self.engine.restore([], [], [("s", "edge", True, START)], START)
        self.states: dict[tuple[str, str], RuleState] = {}
        self.transitions: list[Transition] = []
        # It holds nothing back: what an engine keeps of a backlog over a restart is tested in test_engine_time.
        self.engine.agent_heard("s", "edge", True, START)
        self.collect()

    def collect(self) -> None:
        effects = self.engine.take()
        self.transitions += effects.transitions
        self.states.update({(s.rule, s.subject): s for s in effects.states})

    def advance(self, to_ms: int) -> None:
        # Heartbeats keep the agent connected, so that only the equipment speaks.
        while self.now < to_ms:
            self.now = min(to_ms, self.now + 10_000)
            while (due := self.engine.next_due_ms()) is not None and due <= self.now:
                self.engine.advance(due)
                self.collect()
            self.engine.agent_heard("s", "edge", True, self.now)
            self.collect()

    def observe(self, point: str, value: object) -> None:
        self.engine.observe("s", [reading(point, value, self.now)], self.now)
        self.collect()

    def restart(self) -> None:
        values = [(k, v.observed_ms, v.received_ms, v.value, v.quality) for k, v in self.engine.values()]
        states = [state for state in self.states.values() if state.phase != "rest"]
        self.engine = fresh()
        self.engine.restore(states, values, [("s", "edge", True, self.now)], self.now, alive_ms=self.now)


def play(steps: list[tuple[int, tuple[str, object]]], restart_when: Callable[[int], bool]) -> list[tuple[object, ...]]:
    run = Run()
    for number, (pause_ms, (point, value)) in enumerate(steps):
        run.advance(run.now + pause_ms)
        if restart_when(number):
            run.restart()
        run.observe(point, value)
    run.advance(run.now + 120_000)
    return [(t.rule, t.subject, t.event, t.event_ms) for t in run.transitions]


@settings(deadline=None, max_examples=40)
@given(STEPS, st.sets(st.integers(0, 40)))
def test_restarts_change_no_decision(steps: list[tuple[int, tuple[str, object]]], restarts: set[int]) -> None:
    """Whenever the gateway starts anew, the decisions and their times are those of an undisturbed run."""
    assert play(steps, lambda number: number in restarts) == play(steps, lambda _: False)


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_raise_and_clear_alternate_for_each_subject(steps: list[tuple[int, tuple[str, object]]]) -> None:
    """No alarm is raised twice without a clear between, none cleared that was not raised, no time runs backward."""
    by_subject: dict[tuple[object, object], list[tuple[object, int]]] = {}
    for rule, subject, event, event_ms in play(steps, lambda _: False):
        if event not in ("raise", "clear"):
            continue
        by_subject.setdefault((rule, subject), []).append((event, event_ms))  # type: ignore[arg-type]  # event_ms

    for events in by_subject.values():
        assert [event for event, _ in events] == ["raise", "clear"] * (len(events) // 2) + ["raise"] * (len(events) % 2)
        times = [event_ms for _, event_ms in events]
        assert times == sorted(times)


def test_reading_of_a_device_nobody_knows_is_given_back() -> None:
    """Strangers are handed to the caller, the rest is applied."""
    engine = fresh()
    known, stranger = Reading("hydrant-01/pressure_kpa", START, 300.0), Reading("hydrant-09/pressure_kpa", START, 300.0)

    assert engine.observe("s", [known, stranger], START) == [stranger]
    assert engine.observe("elsewhere", [known], START) == [known]
    assert dict(engine.values())["s/hydrant-01/pressure_kpa"].value == 300.0


def test_lost_agent_is_one_alarm_and_the_cause_of_everything_below() -> None:
    """Devices under a lost agent are unknown by that one cause; none of them raises its own."""
    run = Run()
    run.engine.agent_heard("s", "edge", False, START)
    run.engine.advance(START + 7_200_000)
    run.collect()

    assert [(t.rule, t.subject) for t in run.transitions] == [("agent-lost", "s/edge")]
    assert {run.engine.cause_of("s", device) for device in DEVICES} == {"s/edge"}


def test_future_time_of_an_agent_does_not_delay_an_alarm() -> None:
    """A reading stamped an hour ahead is judged at the moment it was received."""
    run = Run()
    run.engine.observe("s", [Reading("panel-01/p001", START + 3_600_000, "fire")], START)
    run.collect()

    assert [(t.rule, t.event_ms) for t in run.transitions] == [("panel-fire", START)]


def test_clock_offset_of_an_agent_corrects_event_time() -> None:
    """With an agent five minutes behind, durations still count from when it happened."""
    run = Run()
    slow = START - 300_000
    run.engine.observe("s", [Reading("pump-01/mode", slow, "manual")], START, offset_ms=300_000)
    run.engine.advance(START + 9_000)
    run.collect()
    early = list(run.transitions)
    run.engine.advance(START + 10_000)
    run.collect()

    assert early == []
    assert [(t.rule, t.event_ms) for t in run.transitions] == [("pump-manual", START + 10_000)]


def test_agent_that_stands_in_no_site_file_calls_nobody_when_it_goes() -> None:
    """Anybody can say they are an agent; only one that equipment depends on is missed."""
    run = Run()
    run.engine.agent_heard("elsewhere", "edge-x", True, START)
    run.engine.agent_heard("elsewhere", "edge-x", False, START + 1000)
    run.engine.advance(START + 20_000)
    run.collect()
    strangers = list(run.transitions)
    run.engine.add_device("elsewhere", "edge-x", "hydrant-09", LIBRARY["hydrant-municipal"])
    run.engine.agent_heard("elsewhere", "edge-x", False, START + 30_000)
    run.engine.advance(START + 60_000)
    run.collect()

    assert strangers == []
    assert ("agent-lost", "elsewhere/edge-x") in {(t.rule, t.subject) for t in run.transitions}
