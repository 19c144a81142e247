"""Flapping, inhibition, data of the past and rules that go: what comes on top of the phases of an alarm."""

from __future__ import annotations

import pytest

from tests.rules.station import AGENT, SITE, START_MS, Station, a_rule

# --- flapping --------------------------------------------------------------------------------------------------------

FLAP = {"count": 3, "within_s": 60, "calm_s": 100}


def test_flapping_is_one_alarm_with_a_count_that_ends_when_it_is_calm() -> None:
    """Two alarms, then one that counts; it ends 100 s after the last raise, whatever comes and goes between."""
    station = Station(a_rule(flap=FLAP))
    for second in (10, 20, 30, 40):
        station.at(second, 90.0)
        station.at(second + 5, 300.0)
    station.go(500)
    assert station.story() == [
        (10, "raise"), (15, "clear"), (20, "raise"), (25, "clear"), (30, "raise"), (40, "flap"), (140, "clear"),
    ]  # fmt: skip
    assert [t.count for t in station.decided if t.event in ("raise", "flap")] == [1, 1, 3, 4]
    assert station.decided[-1].inputs == {"calm_s": 100.0, "raises": 4}


def test_flapping_needs_its_raises_within_the_while() -> None:
    """The first has left the window of 60 s: no flapping."""
    station = Station(a_rule(flap=FLAP))
    for second in (10, 40, 70):
        station.at(second, 90.0)
        station.at(second + 5, 300.0)
    assert [event for _, event in station.story()] == ["raise", "clear"] * 3
    inside = Station(a_rule(flap=FLAP))
    for second in (10, 40, 69.9):
        inside.at(second, 90.0)
        inside.at(second + 5, 300.0)
    assert [event for _, event in inside.story()] == ["raise", "clear", "raise", "clear", "raise"]


def test_flapping_alarm_stays_up_when_its_condition_holds_at_the_end_of_the_calm() -> None:
    """It is no longer flapping, and clears as an ordinary one."""
    station = Station(a_rule(flap=FLAP))
    for second in (10, 20, 30):
        station.at(second, 300.0)
        station.at(second + 1, 90.0)
    station.go(200)
    assert station.story()[-1] == (31, "raise")
    station.at(210, 300.0)
    assert station.story()[-1] == (210, "clear")
    station.at(220, 90.0)
    assert station.decided[-1].count == 1


def test_flapping_ends_when_the_condition_is_only_pending_at_the_end_of_the_calm() -> None:
    """What has not held long enough is no alarm yet: the old one ends, and the next is new."""
    station = Station(a_rule(for_s=20, flap={"count": 3, "within_s": 200, "calm_s": 100}))
    for second in (0, 30, 60):
        station.at(second, 90.0)
        station.at(second + 25, 300.0)
    station.at(170, 90.0)
    station.go(185)
    assert station.story()[-2:] == [(80, "raise"), (180, "clear")]
    station.go(300)
    assert station.story()[-1] == (190, "raise")


@pytest.mark.parametrize("restarts", [(), (12,), (17,), (22,), (27,), (32,), (37,), (42,), (60,), (100,), (17, 32, 60)])
def test_flapping_goes_on_when_the_gateway_starts_anew(restarts: tuple[float, ...]) -> None:
    """Count, calm and clearing as if nothing had been."""
    station = Station(a_rule(flap=FLAP))
    steps = [(second + shift, value) for second in (10, 20, 30, 40) for shift, value in ((0, 90.0), (5, 300.0))]
    for second, value in sorted([*steps, *((at, None) for at in restarts)], key=lambda step: step[0]):
        if value is None:
            station.restart(second)
        else:
            station.at(second, value)
    station.go(500)
    assert [(t.event, t.count) for t in station.decided] == [
        ("raise", 1), ("clear", 1), ("raise", 1), ("clear", 1), ("raise", 3), ("flap", 4), ("clear", 1),
    ]  # fmt: skip
    assert station.story()[-1] == (140, "clear")


@pytest.mark.parametrize("restart", [8, 30, 99.999])
def test_what_time_alone_will_change_comes_when_the_gateway_starts_anew(restart: float) -> None:
    """A pause that is too long, a window that empties: neither waits for a reading."""
    pause = a_rule("pause", point="cap_open", when={"kind": "since", "equals": [True], "longer_than_s": 100})
    window = {"kind": "window", "of": "fall", "window_s": 100, "samples": 1, "above": 50, "clear": 20}
    station = Station(pause, a_rule(when=window))
    station.at(0, 300.0)
    station.at(6, False, point="cap_open")
    station.at(7, 200.0)
    station.restart(restart)
    station.go(300)
    assert station.story() == [(7, "raise"), (107, "clear")]
    assert station.story("pause") == [(100, "raise")]


# --- inhibition ------------------------------------------------------------------------------------------------------

CRITICAL = a_rule("critical", when={"kind": "threshold", "below": 50, "clear": 60})
INHIBITED = a_rule(inhibit_by=[{"rule": "critical"}])


def test_inhibited_alarm_waits_and_is_judged_again_afterwards() -> None:
    """It would have been raised at 10; the other one stood until 30; it still holds."""
    station = Station(CRITICAL, a_rule(for_s=5, inhibit_by=[{"rule": "critical"}]))
    station.at(5, 40.0)
    station.at(30, 70.0)
    station.go(31)
    assert station.story("critical") == [(5, "raise"), (30, "clear")]
    assert station.story() == [(30, "raise")]


def test_inhibited_alarm_says_nothing_when_it_is_over_by_then() -> None:
    """Both are over at once."""
    station = Station(CRITICAL, a_rule(for_s=5, inhibit_by=[{"rule": "critical"}]))
    station.at(5, 40.0)
    station.at(30, 300.0)
    station.go(100)
    assert station.story() == []


def test_alarm_that_is_up_is_suppressed_and_released() -> None:
    """It is low first and critical later; the cause is named."""
    station = Station(CRITICAL, INHIBITED)
    station.at(5, 90.0)
    station.at(20, 40.0)
    station.at(40, 70.0)
    station.at(60, 300.0)
    assert station.story() == [(5, "raise"), (20, "suppress"), (40, "release"), (60, "clear")]
    suppressed = next(t for t in station.decided if t.event == "suppress")
    released = next(t for t in station.decided if t.event == "release")
    assert suppressed.cause == "case/h1/pressure_kpa"
    assert released.inputs == {"reason": "its cause is over", "cause": "case/h1/pressure_kpa"}


def test_suppressed_alarm_that_clears_is_not_released() -> None:
    """It is over while it is suppressed, and the next one is new."""
    other = a_rule("critical", point="flow_lps", when={"kind": "threshold", "above": 5, "clear": 5})
    station = Station(other, INHIBITED)
    station.at(5, 90.0)
    station.at(20, 9.0, point="flow_lps")
    station.at(40, 300.0)
    station.at(50, 0.0, point="flow_lps")
    station.at(60, 90.0)
    assert station.story() == [(5, "raise"), (20, "suppress"), (40, "clear"), (60, "raise")]


# --- data of the past ------------------------------------------------------------------------------------------------


def test_back_filled_reading_is_judged_at_its_own_time() -> None:
    """What came late is decided for the moment it was measured at."""
    station = Station(a_rule(for_s=10))
    station.at(0, 300.0)
    station.at(10, 90.0, late=200)
    station.at(50, 300.0, late=170)
    assert station.story() == [(20, "raise"), (50, "clear")]


def test_decision_is_retrospective_when_it_is_long_over_and_more_is_to_come() -> None:
    """An agent comes back with a backlog: an alarm that began and ended while it was away is one of the past."""
    station = Station(a_rule())
    station.engine.agent_heard(SITE, AGENT, False, START_MS + 5_000)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 400_000, (0, 3))
    station.at(100, 90.0, late=301)
    station.at(200, 300.0, late=202)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 403_000, (0, 0))
    station.go(500)
    assert [(t.event, (t.event_ms - START_MS) / 1000, t.retrospective) for t in station.decided] == [
        ("raise", 100, True),
        ("clear", 200, True),
    ]


def test_alarm_of_the_past_is_released_when_it_is_still_true() -> None:
    """The backlog is in and the condition still holds: it is one of the present."""
    station = Station(a_rule())
    station.engine.agent_heard(SITE, AGENT, False, START_MS + 5_000)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 400_000, (0, 3))
    station.at(100, 90.0, late=301)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 403_000, (0, 0))
    station.go(500)
    assert [event for _, event in station.story()] == ["raise", "release"]
    assert station.decided[-1].inputs == {"reason": "still true"}
    assert [t.retrospective for t in station.decided] == [True, False]


@pytest.mark.parametrize(("late", "expected"), [(60, False), (60.001, True)])
def test_decision_is_retrospective_from_a_minute_on(late: float, expected: bool) -> None:
    """Just a minute ago is now."""
    station = Station(a_rule())
    station.engine.agent_heard(SITE, AGENT, False, START_MS + 5_000)
    station.engine.agent_heard(SITE, AGENT, True, START_MS + 400_000, (0, 3))
    station.at(341, 90.0, late=late)
    assert [t.retrospective for t in station.decided] == [expected]


# --- rules that go ---------------------------------------------------------------------------------------------------


def test_alarm_is_cleared_when_its_rule_is_removed() -> None:
    """With the reason; the other rule goes on undisturbed."""
    other = a_rule("other", for_s=100)
    station = Station(a_rule(), other)
    station.at(5, 90.0)
    station.go(50)
    station.engine.replace_rules({"other": other})
    station.go(200)
    assert station.story() == [(5, "raise"), (50, "clear")]
    assert next(t for t in station.decided if t.event == "clear").inputs == {"reason": "rule removed"}
    assert station.story("other") == [(105, "raise")]
