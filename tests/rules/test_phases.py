"""The phases of an alarm, step by step: what each decision is, when, and on what it rests."""

from __future__ import annotations

from typing import Any

import pytest

from rules.memory import Transition
from rules.model import Rule
from tests.rules.station import LOW, START_MS, UNKNOWN, Station, a_rule, played


@pytest.mark.parametrize(
    ("more", "steps", "expected"),
    [
        # at once
        ({}, [(0, 300.0), (5, 99.9)], [(5, "raise")]),
        ({}, [(0, 300.0), (5, 100.0)], []),
        ({}, [(5, 90.0), (9, 109.9)], [(5, "raise")]),
        ({}, [(5, 90.0), (9, 110.0)], [(5, "raise"), (9, "clear")]),
        # held for a while: due to the second, started anew by what breaks it, not by more of the same
        ({"for_s": 30}, [(5, 90.0)], [(35, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (20, 80.0)], [(35, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (34, 105.0), (34.5, 90.0)], [(64.5, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (35, 300.0)], [(35, "raise"), (35, "clear")]),
        ({"for_s": 30}, [(5, 90.0), (34.999, 300.0)], []),
        ({"for_s": 30}, [(5, 90.0), (20, None, UNKNOWN), (25, 90.0)], [(55, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (20, 90.0, "test"), (25, 90.0)], [(55, "raise")]),
        ({"for_s": 30}, [(5, 90.0), (20, 90.0, "uncertain:stale")], [(35, "raise")]),
        # over for a while
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0)], [(5, "raise"), (40, "clear")]),
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0), (39, 90.0), (50, 300.0)], [(5, "raise"), (80, "clear")]),
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0), (39, 105.0)], [(5, "raise")]),
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0), (39, None, UNKNOWN)], [(5, "raise")]),
        ({"clear_for_s": 30}, [(5, 90.0), (10, 300.0), (40, None, UNKNOWN)], [(5, "raise"), (40, "clear")]),
        # missing: held, or cleared where the rule says so
        ({}, [(5, 90.0), (9, None, UNKNOWN)], [(5, "raise")]),
        ({"on_missing": "clear"}, [(5, 90.0), (9, None, UNKNOWN)], [(5, "raise"), (9, "clear")]),
        ({"on_missing": "clear"}, [(5, 90.0), (9, 90.0, "bad:crc")], [(5, "raise"), (9, "clear")]),
        ({"on_missing": "clear", "clear_for_s": 30}, [(5, 90.0), (9, 300.0), (12, None, UNKNOWN)],
         [(5, "raise"), (12, "clear")]),
        ({}, [(5, None), (6, "words"), (7, True)], []),
        ({"on_missing": "clear"}, [(5, 90.0), (7, "words")], [(5, "raise"), (7, "clear")]),
        # above
        ({"when": {"kind": "threshold", "above": 400, "clear": 390}}, [(1, 400.0), (5, 400.1), (6, 390.1), (7, 390.0)],
         [(5, "raise"), (7, "clear")]),
    ],
)  # fmt: skip
def test_threshold_moves_through_its_phases(more: dict[str, Any], steps: list[Any], expected: list[Any]) -> None:
    """Every way from phase to phase, to the millisecond."""
    assert played(a_rule(**more), *steps) == expected


def test_state_is_no_number() -> None:
    """A truth or word; 1.0 is not true."""
    rule = a_rule(point="cap_open", when={"kind": "state", "equals": [True]})
    station = Station(rule)
    for second, value in ((1, 1.0), (2, True), (3, 1.0), (4, True), (5, False)):
        station.at(second, value, point="cap_open")
    assert station.story() == [(2, "raise"), (3, "clear"), (4, "raise"), (5, "clear")]


def test_decision_says_what_it_rests_on() -> None:
    """Rule, version, severity, subject, and the reading with its limit."""
    rule = a_rule(for_s=10)
    station = Station(rule)
    station.at(5, 90.0)
    station.go(60)
    station.at(70, 300.0)
    raised, cleared = station.decided
    assert raised == Transition(
        "low", rule.version, "warning", "case/h1/pressure_kpa", "case", "h1", "raise", START_MS + 15_000, False,
        {"value": 90.0, "quality": "good", "observed_ms": START_MS + 5_000, "limit": 100.0}, None, 1,
    )  # fmt: skip
    assert cleared.inputs == {"value": 300.0, "quality": "good", "observed_ms": START_MS + 70_000, "limit": 100.0}
    assert (cleared.event, cleared.retrospective, cleared.count) == ("clear", False, 1)


def test_missing_value_that_clears_stands_in_the_decision() -> None:
    """The bad reading is why."""
    station = Station(a_rule(on_missing="clear"))
    station.at(5, 90.0)
    station.at(7, None, "bad:crc")
    assert station.decided[-1].inputs == {"value": None, "quality": "bad:crc", "observed_ms": START_MS + 7_000}


# --- conditions that look at more than one reading -------------------------------------------------------------------

OPEN = {"kind": "state", "point": "cap_open", "equals": [True]}
LOW_AND_OPEN = {"kind": "all", "of": [{**LOW, "point": "pressure_kpa"}, OPEN]}


def a_device_rule(**more: Any) -> Rule:
    """The same on several points."""
    return a_rule(**{"applies_to": ["hydrant-municipal/*"], "per": "device", "when": LOW_AND_OPEN, **more})


def test_condition_on_two_points_moves_through_its_phases() -> None:
    """Pending since both hold; either one ends it; the leaf that decided stands in the decision."""
    station = Station(a_device_rule(for_s=10, clear_for_s=10))
    station.at(0, 90.0)
    station.at(5, True, point="cap_open")
    station.at(14, 300.0)
    station.at(20, 90.0)
    station.at(50, False, point="cap_open")
    station.at(55, True, point="cap_open")
    station.at(60, 300.0)
    station.go(100)
    assert station.story() == [(30, "raise"), (70, "clear")]
    raised, cleared = station.decided
    assert [leaf["point"] for leaf in raised.inputs["because"]] == ["pressure_kpa", "cap_open"]
    assert raised.inputs["at_ms"] == START_MS + 20_000
    assert [leaf["point"] for leaf in cleared.inputs["because"]] == ["pressure_kpa"]
    assert cleared.inputs["at_ms"] == START_MS + 60_000


@pytest.mark.parametrize(("on_missing", "expected"), [("hold", ["raise"]), ("clear", ["raise", "clear"])])
def test_condition_on_two_points_holds_or_clears_when_one_goes_missing(on_missing: str, expected: list[str]) -> None:
    """As the rule says; and a pending phase ends, because what is not known never raises."""
    station = Station(a_device_rule(on_missing=on_missing))
    station.at(0, 90.0)
    station.at(5, True, point="cap_open")
    station.at(20, None, UNKNOWN, point="cap_open")
    assert [event for _, event in station.story()] == expected
    pending = Station(a_device_rule(on_missing=on_missing, for_s=30))
    pending.at(0, 90.0)
    pending.at(5, True, point="cap_open")
    pending.at(20, None, UNKNOWN, point="cap_open")
    pending.go(100)
    assert pending.story() == []


def test_between_limit_and_clear_level_nothing_is_missing() -> None:
    """All points are known: an alarm that clears on missing values stays up."""
    station = Station(a_device_rule(on_missing="clear"))
    station.at(0, 90.0)
    station.at(5, True, point="cap_open")
    station.at(9, 105.0)
    station.go(100)
    assert station.story() == [(5, "raise")]


def test_window_is_judged_again_when_time_alone_changes_it() -> None:
    """The fall is over once the high value has left the window, without any reading."""
    window = {"kind": "window", "of": "fall", "window_s": 60, "samples": 1, "above": 50, "clear": 20}
    station = Station(a_rule(when=window))
    station.at(0, 300.0)
    station.at(70, 200.0)
    station.at(80, 201.0)
    station.go(300)
    assert station.story() == [(70, "raise"), (130, "clear")]


def test_hour_of_the_day_raises_what_holds_already() -> None:
    """The clock strikes 22:14 UTC, 40 s after the start."""
    night = {"kind": "time", "from": "22:14", "to": "22:15"}
    station = Station(a_device_rule(when={"kind": "all", "of": [night, OPEN]}))
    station.at(1, True, point="cap_open")
    station.go(300)
    assert station.story() == [(40, "raise"), (100, "clear")]


def test_longest_pause_counts_from_when_the_device_became_known() -> None:
    """Closed ever since: due 100 s after the start, whatever was heard in between."""
    pause = {"kind": "since", "equals": [True], "longer_than_s": 100}
    station = Station(a_rule(point="cap_open", when=pause))
    station.at(7, False, point="cap_open")
    station.at(60, False, point="cap_open")
    station.go(300)
    assert station.story() == [(100, "raise")]


def test_device_that_says_it_is_away_is_absent() -> None:
    """Its `online` is enough; it does not wait for silence."""
    rule = a_device_rule(when={"kind": "absence", "after_s": 600})
    station = Station(rule)
    station.at(5, True, point="online")
    station.at(10, False, point="online")
    station.at(50, True, point="online")
    station.go(60)
    assert [event for _, event in station.story()] == ["raise", "clear"]
