"""What keeps an alarm still, what makes one of many, and what other rules do to those that run."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.messages import Reading
from contract.site import Site
from rules.engine import Engine
from rules.model import AgentLost, Rule
from tests.rules.engine_run import LIBRARY, RULES, START, Run, engine_of, rule, site_of

PRESSURE = "s/h/pressure_kpa"
LOW = {
    "id": "low",
    "applies_to": ["hydrant-municipal/pressure_kpa"],
    "when": {"kind": "threshold", "below": 140, "clear": 150},
    "for_s": 30,
    "clear_for_s": 10,
}
CRITICAL = {**LOW, "id": "critical", "when": {"kind": "threshold", "below": 100, "clear": 110}, "for_s": 10}
CAP = {
    "id": "cap",
    "applies_to": ["hydrant-municipal/cap_open"],
    "when": {"kind": "state", "equals": [True]},
    "flap": {"count": 3, "within_s": 100, "calm_s": 60},
}


def run_of(*rules: Rule) -> Run:
    def make() -> Engine:
        engine = Engine({each.id: each for each in rules})
        engine.add_device("s", "edge", "h", LIBRARY["hydrant-municipal"])
        return engine

    return Run(make)


def test_raise_waits_when_an_inhibiting_alarm_stands() -> None:
    """While the critical alarm stands the lesser one keeps still; it is judged again when that is over."""
    run = run_of(rule({**LOW, "inhibit_by": [{"rule": "critical"}]}), rule(CRITICAL))
    run.say("h/pressure_kpa", 90.0)
    run.advance(START + 100_000)
    assert run.of("low") == []

    run.say("h/pressure_kpa", 120.0)
    run.advance(START + 200_000)
    assert run.of("critical") == [(PRESSURE, "raise", 10), (PRESSURE, "clear", 110)]
    assert run.of("low") == [(PRESSURE, "raise", 110)]


def test_alarm_is_suppressed_and_released_when_an_inhibiting_one_comes_and_goes() -> None:
    """An alarm that was up first is suppressed with the other as cause, and released."""
    run = run_of(rule({**LOW, "inhibit_by": [{"rule": "critical"}]}), rule(CRITICAL))
    run.say("h/pressure_kpa", 120.0)
    run.advance(START + 60_000)
    run.say("h/pressure_kpa", 90.0)
    run.advance(START + 100_000)
    run.say("h/pressure_kpa", 120.0)
    run.advance(START + 200_000)

    assert run.of("low") == [(PRESSURE, "raise", 30), (PRESSURE, "suppress", 70), (PRESSURE, "release", 110)]
    assert [t.cause for t in run.transitions if t.event == "suppress"] == [PRESSURE]


@pytest.mark.parametrize("restart", [False, True])
def test_one_alarm_with_a_count_when_a_contact_flaps(restart: bool) -> None:
    """From the third raise on it is one alarm that counts, until nothing came for a minute; restarts change nothing."""
    run = run_of(rule(CAP))
    for number in range(6):
        run.say("h/cap_open", True)
        run.advance(START + number * 20_000 + 10_000)
        if restart:
            run.restart()
        run.say("h/cap_open", False)
        run.advance(START + number * 20_000 + 20_000)
        if restart:
            run.restart()
    run.advance(START + 600_000)
    told = [(t.event, (t.event_ms - START) // 1000, t.count) for t in run.transitions]

    assert told == [
        ("raise", 0, 1),
        ("clear", 10, 1),
        ("raise", 20, 1),
        ("clear", 30, 1),
        ("raise", 40, 3),
        ("flap", 60, 4),
        ("flap", 80, 5),
        ("flap", 100, 6),
        ("clear", 160, 1),
    ]


def test_standing_alarm_clears_at_once_when_it_does_not_flap_any_more() -> None:
    """Held for longer than the calm time, the one alarm ends with its condition."""
    run = run_of(rule(CAP))
    for at in (0, 20, 40):
        run.say("h/cap_open", True)
        run.advance(START + (at + 10) * 1000)
        if at < 40:
            run.say("h/cap_open", False)
            run.advance(START + (at + 20) * 1000)
    run.advance(START + 300_000)
    run.say("h/cap_open", False)

    assert run.of("cap")[-2:] == [("s/h/cap_open", "raise", 40), ("s/h/cap_open", "clear", 300)]


def test_timers_of_others_go_on_when_a_rule_is_replaced() -> None:
    """An unchanged rule keeps its since-time; the alarm of one that is gone clears with the reason."""
    run = run_of(rule(LOW), rule(CRITICAL))
    run.say("h/pressure_kpa", 90.0)
    run.advance(START + 20_000)
    assert run.of() == [(PRESSURE, "raise", 10)]

    run.engine.replace_rules({"low": rule(LOW)})
    run.advance(START + 60_000)
    assert run.of() == [(PRESSURE, "raise", 10), (PRESSURE, "clear", 20), (PRESSURE, "raise", 30)]
    assert run.transitions[1].inputs == {"reason": "rule removed"}
    assert not run.engine.watches("critical", PRESSURE)


def test_alarm_stays_when_its_rule_changes_and_is_judged_anew() -> None:
    """A changed limit clears an alarm that is none any more, and raises from when the value was measured."""
    run = run_of(rule(LOW))
    run.say("h/pressure_kpa", 120.0)
    run.advance(START + 60_000)
    run.engine.replace_rules({"low": rule({**LOW, "when": {"kind": "threshold", "below": 100, "clear": 110}})})
    run.advance(START + 120_000)
    assert run.of() == [(PRESSURE, "raise", 30), (PRESSURE, "clear", 10)]

    run.engine.replace_rules({"low": rule({**LOW, "for_s": 100})})
    run.advance(START + 180_000)
    assert run.of()[2:] == [(PRESSURE, "raise", 100)]


def test_timer_goes_on_when_a_device_is_taken_out_and_added_again() -> None:
    """What stayed the same of a device that changed in the site file goes on where it was."""
    run = run_of(rule(LOW))
    run.say("h/pressure_kpa", 120.0)
    run.advance(START + 20_000)
    run.engine.remove_device("s", "h")
    assert not run.engine.knows("s", "h")
    run.engine.add_device("s", "edge", "h", LIBRARY["hydrant-municipal"])
    run.heartbeat()
    run.advance(START + 60_000)

    assert run.of() == [(PRESSURE, "raise", 30)]


def test_hours_of_the_day_speak_by_themselves_when_their_time_comes() -> None:
    """A cap that is open counts only at night; the clock raises and clears, over restarts too."""
    night = {
        "id": "night",
        "per": "device",
        "applies_to": ["hydrant-municipal/*"],
        "when": {
            "kind": "all",
            "of": [
                {"kind": "state", "point": "cap_open", "equals": [True]},
                {"kind": "time", "from": "23:00", "to": "05:00"},
            ],
        },
    }
    run = run_of(rule(night))  # START is 22:13:20 UTC; a device outside every site file goes by UTC
    run.say("h/cap_open", True)
    run.advance(START + 1_000_000)
    run.restart()
    run.advance(START + 10 * 3_600_000)
    run.restart()
    run.advance(START + 20 * 3_600_000)

    assert run.of() == [("s/h", "raise", 2_800), ("s/h", "clear", 24_400)]


def test_overdue_date_speaks_when_it_comes() -> None:
    """A date raises at its moment, and clears when work was done; told before, it says since when."""
    due = {
        "id": "due",
        "per": "device",
        "applies_to": ["hydrant-municipal/*"],
        "when": {"kind": "due", "of": "inspection"},
    }
    run = run_of(rule(due))
    run.engine.set_dates("s", "h", {"inspection": START + 50_000})
    run.advance(START + 100_000)
    run.engine.set_dates("s", "h", {"inspection": START + 900_000})
    run.advance(START + 200_000)

    assert run.of() == [("s/h", "raise", 50), ("s/h", "clear", 100)]


AGENTS = 1000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A thousand agents with a hydrant each."""
    text = "agents:\n" + "".join(
        f"  - {{id: a{n:04d}, lines: [{{id: l{n}, kind: modbus_tcp, host: 10.{n // 250}.{n % 250}.1, port: 502, "
        f"devices: [{{id: h{n:04d}, profile: transmitter-level, unit_id: 1}}]}}]}}\n"
        for n in range(AGENTS)
    )
    return site_of(tmp_path_factory.mktemp("many"), text)


def test_every_agent_is_reported_at_its_time_and_none_after_a_restart(many: Site) -> None:
    """Each of a thousand agents that falls silent is lost when its heartbeats have been missing for so long, to the
    second; a restart of the gateway gives them all their grace."""
    engine = engine_of({"agent-lost": RULES["agent-lost"]}, many)()
    engine.restore([], [], [("s", f"a{n:04d}", True, START) for n in range(AGENTS)], START)
    for n in range(AGENTS):
        engine.agent_heard("s", f"a{n:04d}", True, START + n * 7)
    raised: dict[str, int] = {}
    for now_ms in range(START, START + 60_000, 250):
        engine.advance(now_ms)
        raised.update({t.subject: now_ms for t in engine.take().transitions})
    lost = RULES["agent-lost"]
    assert isinstance(lost.when, AgentLost)
    wait_ms = int((lost.when.after_s + lost.for_s) * 1000)

    assert len(raised) == AGENTS
    assert all(0 <= raised[f"s/a{n:04d}"] - (START + n * 7 + wait_ms) <= 1000 for n in range(AGENTS))

    again = engine_of({"agent-lost": RULES["agent-lost"]}, many)()
    again.restore([], [], [("s", f"a{n:04d}", True, START) for n in range(AGENTS)], START + 3_600_000)
    for second in range(30):
        again.advance(START + 3_600_000 + second * 1000)
    assert again.take().transitions == []


def test_first_value_after_a_start_is_no_change(tmp_path: Path) -> None:
    """A value that was so before is not entered into again when the gateway starts."""
    starts = {
        "id": "starts",
        "applies_to": ["hydrant-municipal/cap_open"],
        "when": {"kind": "count", "equals": [True], "at_least": 2, "within_s": 3600},
    }
    run = run_of(rule(starts))
    run.say("h/cap_open", False)
    run.say("h/cap_open", True)
    for _ in range(3):
        run.restart()
        run.heartbeat()
        run.advance(run.now + 60_000)
        run.observe(Reading("h/cap_open", run.now, True))

    assert run.of() == []


@pytest.mark.parametrize("checkpoint_every", [1, 3, 10**9])
def test_count_goes_on_when_the_gateway_restarts_between(checkpoint_every: int) -> None:
    """What was counted before a restart counts after it, from the checkpoint, from what came since, or from both."""
    starts = {
        "id": "starts",
        "applies_to": ["hydrant-municipal/cap_open"],
        "when": {"kind": "count", "equals": [True], "at_least": 3, "within_s": 3600},
    }

    def make() -> Engine:
        engine = Engine({"starts": rule(starts)})
        engine.add_device("s", "edge", "h", LIBRARY["hydrant-municipal"])
        return engine

    run = Run(make, checkpoint_every=checkpoint_every)
    for is_open in (False, True, False, True, False):
        run.say("h/cap_open", is_open)
        run.advance(run.now + 10_000)
        run.restart()
        run.heartbeat()
    assert run.of() == []
    run.say("h/cap_open", True)

    assert run.of() == [("s/h/cap_open", "raise", 50)]
