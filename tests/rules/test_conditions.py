"""Conditions about last values, dates, alarms and the clock, and the tree that joins them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from contract.equipment import Asset
from contract.errors import ConfigError
from contract.messages import Reading, Value
from rules.calendar import to_ms
from rules.conditions import Truth, compile_condition, pressure_at_20c
from rules.dates import due_dates
from rules.model import Condition
from rules.series import Series

CONDITION: TypeAdapter[Any] = TypeAdapter(Condition)
SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
T, F, U = (True, False), (False, True), (False, False)
"""Violated, over, not known."""


class Seen:
    """What a condition sees."""

    known_ms = 0

    def __init__(
        self,
        last: Mapping[str | None, tuple[Value, str] | Value] | None = None,
        alarms: Sequence[set[str]] = (),
        findings: Sequence[int] = (),
        due: Mapping[str, int] | None = None,
        zone: ZoneInfo = SHANGHAI,
    ) -> None:
        self._last = last or {}
        self._alarms = alarms
        self._findings = findings
        self._due = due or {}
        self._zone = zone

    def last(self, point: str | None) -> Reading | None:
        if point not in self._last:
            return None
        given = self._last[point]
        value, quality = given if isinstance(given, tuple) else (given, "good")
        return Reading(point or "d/p", 5, value, quality)

    def series(self, point: str | None) -> Series | None:
        return None

    def points(self) -> list[str]:
        return [point for point in self._last if point is not None]

    def is_manual(self, point: str) -> bool:
        return False

    def alarms(self, rules: Sequence[str], scope: str) -> list[frozenset[str]]:
        return [frozenset(states) for states in self._alarms]

    def finding_times(self, rules: Sequence[str], finding: str, since_ms: int) -> list[int]:
        return [at_ms for at_ms in self._findings if at_ms > since_ms]

    def due_ms(self, what: str) -> int | None:
        return self._due.get(what)

    def local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, self._zone)


def judge(when: dict[str, Any], seen: Seen, at_ms: int = 10) -> Truth:
    """The condition, written as in a pack, judged."""
    return compile_condition(CONDITION.validate_python(when)).judge(seen, at_ms)


def truth(when: dict[str, Any], seen: Seen, at_ms: int = 10) -> tuple[bool, bool]:
    """(violated, over)."""
    judged = judge(when, seen, at_ms)
    return judged.violated, judged.over


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (99.9, T),
        (100.0, U),
        (109.9, U),
        (110.0, F),
        ((50.0, "uncertain:stale"), T),
        ((50.0, "test"), U),
        ((50.0, "bad:out_of_range"), U),
        ((None, "unknown:no_answer"), U),
        ("words", U),
        (True, U),
    ],
)
def test_threshold_is_known_only_from_a_number_one_can_lean_on(given: Any, expected: tuple[bool, bool]) -> None:
    """Beyond the limit, between it and the clear level, at the clear level; and what is no measured number."""
    assert truth({"kind": "threshold", "below": 100, "clear": 110}, Seen({None: given})) == expected


def test_threshold_above_is_over_at_its_clear_level() -> None:
    """The same on the other side."""
    when = {"kind": "threshold", "above": 100, "clear": 90}
    assert [truth(when, Seen({None: v})) for v in (100.1, 100.0, 90.1, 90.0)] == [T, U, U, F]


def test_pressure_is_compared_as_at_20c_when_the_bottle_is_cold() -> None:
    """1.0 MPa at -10 °C is 1.125 MPa at 20 °C: physics, by absolute pressure."""
    assert pressure_at_20c(1000.0, 20.0) == pytest.approx(1000.0)
    assert pressure_at_20c(1000.0, -10.0) == pytest.approx((1000 + 101.325) * 293.15 / 263.15 - 101.325)

    when = {"kind": "threshold", "point": "kpa", "at_20c": "temp", "below": 1100, "clear": 1120}
    assert truth(when, Seen({"kpa": 1000.0, "temp": -10.0})) == F
    assert truth(when, Seen({"kpa": 1000.0, "temp": 20.0})) == T
    assert judge(when, Seen({"kpa": 1000.0, "temp": 20.0})).inputs["temperature_c"] == 20.0
    for temperature in ((None, "bad:missing"), (20.0, "test"), "warm", -273.15):
        assert truth(when, Seen({"kpa": 1000.0, "temp": temperature})) == U
    assert truth(when, Seen({"kpa": 1000.0})) == U


def test_state_is_unknown_when_the_value_is() -> None:
    """A word is one of those or it is not; 1.0 is not true."""
    when = {"kind": "state", "equals": [True, "fire"]}
    given = [True, "fire", False, "normal", 1.0, (None, "unknown:x"), ("fire", "test")]
    assert [truth(when, Seen({None: v})) for v in given] == [T, T, F, F, F, U, U]
    assert truth(when, Seen()) == U


def test_quality_speaks_of_the_reading_and_not_of_its_value() -> None:
    """A word or a whole quality; exceptions; never heard is not known."""
    when = {"kind": "quality", "is": ["bad", "unknown:no_answer"], "except_for": ["bad:missing"]}
    qualities = ["bad:crc", "bad:missing", "unknown:no_answer", "unknown:agent", "good", "test"]
    assert [truth(when, Seen({None: (None, q)})) for q in qualities] == [T, F, T, F, F, F]
    assert truth(when, Seen()) == U


@pytest.mark.parametrize(("one", "other"), list(itertools.product((T, F, U), repeat=2)))
def test_tree_follows_three_valued_logic_when_parts_are_not_known(
    one: tuple[bool, bool], other: tuple[bool, bool]
) -> None:
    """`all` is over as soon as a part is, `any` violated as soon as a part is, `not` swaps the two."""
    words = {T: "on", F: "off", U: (None, "unknown:x")}
    seen = Seen({"a": words[one], "b": words[other]})
    parts = [{"kind": "state", "point": p, "equals": ["on"]} for p in "ab"]
    assert truth({"kind": "all", "of": parts}, seen) == (one[0] and other[0], one[1] or other[1])
    assert truth({"kind": "any", "of": parts}, seen) == (one[0] or other[0], one[1] and other[1])
    assert truth({"kind": "not", "of": parts[0]}, seen) == (one[1], one[0])


def test_tree_names_the_leaves_that_decided() -> None:
    """What a person reads under "why": the leaf that ended it, or all that were needed."""
    parts = [{"kind": "state", "point": p, "equals": ["on"]} for p in "ab"]
    on_off = Seen({"a": "on", "b": "off"})

    def because(when: dict[str, Any], seen: Seen) -> list[tuple[str, bool]]:
        return [(leaf["point"], leaf.get("not", False)) for leaf in judge(when, seen).inputs["because"]]

    assert because({"kind": "all", "of": parts}, on_off) == [("b", False)]
    assert because({"kind": "any", "of": parts}, on_off) == [("a", False)]
    assert because({"kind": "not", "of": {"kind": "any", "of": parts}}, Seen({"a": "off", "b": "off"})) == [
        ("a", True),
        ("b", True),
    ]


def test_needs_name_everything_a_tree_looks_at() -> None:
    """Nothing else need wake it."""
    window = {"kind": "window", "point": "kpa", "of": "min", "window_s": 60, "below": 1, "clear": 1}
    tally = {"kind": "tally", "of": {"kind": "threshold", "at_20c": "temp", "below": 1, "clear": 1}, "at_least": 2}
    parts = [
        window,
        {"kind": "not", "of": {"kind": "count", "point": "run", "equals": [True], "at_least": 2, "within_s": 9}},
        {"kind": "any", "of": [tally, {"kind": "alarm", "rules": ["x"]}]},
        {"kind": "findings", "rules": ["y"], "finding": "false", "more_than": 1, "within_s": 9},
        {"kind": "due", "of": "scrap"},
        {"kind": "time", "from": "23:00", "to": "05:00"},
        {"kind": "state", "point": "mode", "equals": ["manual"]},
    ]
    needs = compile_condition(CONDITION.validate_python({"kind": "all", "of": parts})).needs
    assert needs.points == {"kpa", "run", "mode"}
    assert {point: {keep.key for keep in keeps} for point, keeps in needs.keeps.items()} == {
        "kpa": {"window:60000"},
        "run": {"words:True:2"},
    }
    assert (needs.tally, needs.beside) == (True, {"temp"})
    assert (needs.alarm_rules, needs.finding_rules, needs.dates, needs.clock) == ({"x"}, {"y"}, True, True)


def test_tally_leaves_points_out_that_never_spoke() -> None:
    """Two of three are enough; a point heard once and unknown now may still be one, one never heard takes no part."""
    when = {"kind": "tally", "of": {"kind": "state", "equals": ["fire"]}, "at_least": 2}
    unknown = (None, "unknown:no_answer")
    assert truth(when, Seen({"p/1": "fire", "p/2": "fire", "p/3": "normal"})) == T
    assert truth(when, Seen({"p/1": "fire", "p/2": unknown, "p/3": "normal"})) == U
    assert truth(when, Seen({"p/1": "fire", "p/2": "normal"})) == F
    assert truth(when, Seen()) == U


@pytest.mark.parametrize("kind", ["absence", "agent_lost", "line_lost"])
def test_compiling_is_refused_when_the_engine_alone_can_tell(kind: str) -> None:
    """What is no condition on readings is not for these nodes."""
    extra = {} if kind == "line_lost" else {"after_s": 5}
    with pytest.raises(ConfigError, match=kind):
        compile_condition(CONDITION.validate_python({"kind": kind, **extra}))


def test_compiling_is_refused_when_a_tally_would_need_temperatures_of_the_past() -> None:
    """Entries are remembered of the point alone."""
    of = {"kind": "threshold", "at_20c": "temp", "below": 1, "clear": 1}
    with pytest.raises(ConfigError, match="Take within_s out"):
        compile_condition(CONDITION.validate_python({"kind": "tally", "of": of, "at_least": 1, "within_s": 5}))


# --- alarms, findings, dates -----------------------------------------------------------------------------------------


def test_alarm_condition_looks_for_any_of_the_states() -> None:
    """One alarm in one of the states is enough; none is known to be none."""
    when = {"kind": "alarm", "rules": ["panel-fire"], "states": ["unacknowledged", "returned_unacknowledged"]}
    assert truth(when, Seen(alarms=[{"active"}, {"active", "unacknowledged"}])) == T
    assert truth(when, Seen(alarms=[{"active"}])) == F
    assert truth(when, Seen()) == F


def test_findings_expire_when_they_grow_old() -> None:
    """More than two within 100 ms; over at the moment the third last leaves."""
    when = {"kind": "findings", "rules": ["x"], "finding": "false", "more_than": 2, "within_s": 0.1}
    seen = Seen(findings=[10, 30, 50, 70])
    assert judge(when, seen, 80)[:2] == T
    assert judge(when, seen, 80).again_ms == 130
    assert judge(when, seen, 129)[:2] == T
    assert judge(when, seen, 130)[:2] == F


def test_due_speaks_ahead_of_the_date() -> None:
    """From `ahead_s` before on; not known without a date."""
    when = {"kind": "due", "of": "scrap", "ahead_s": 1}
    seen = Seen(due={"scrap": 5000})
    assert [(*judge(when, seen, ms)[:2], judge(when, seen, ms).again_ms) for ms in (3999, 4000)] == [
        (*F, 4000),
        (*T, None),
    ]
    assert judge(when, Seen(), 4000) == Truth(False, False, {"kind": "due", "of": "scrap", "due_ms": None}, None)


def days_of(asset: Asset, **done: date) -> dict[str, str]:
    """The dates as days in Shanghai."""
    due = due_dates(asset, done, SHANGHAI)
    assert all(datetime.fromtimestamp(ms / 1000, SHANGHAI).hour == 0 for ms in due.values())
    return {what: datetime.fromtimestamp(ms / 1000, SHANGHAI).date().isoformat() for what, ms in due.items()}


@pytest.mark.parametrize(
    ("kind", "first", "second", "scrap"),
    [
        ("water", "2023-05-31", "2024-06-30", "2026-05-31"),
        ("powder", "2025-05-31", "2025-06-30", "2030-05-31"),
        ("clean_gas", "2025-05-31", "2025-06-30", "2030-05-31"),
        ("carbon_dioxide", "2025-05-31", "2025-06-30", "2032-05-31"),
    ],
)
def test_extinguisher_dates_follow_its_kind(kind: Any, first: str, second: str, scrap: str) -> None:
    """GB 50444: first maintenance after 3 or 5 years, then every 1 or 2, scrapped after 6, 10, 10 or 12."""
    asset = Asset(extinguisher=kind, made=date(2020, 5, 31))
    assert days_of(asset) == {"inspection": "2020-06-30", "maintenance": first, "scrap": scrap}
    assert days_of(asset, maintenance=date(2023, 6, 30))["maintenance"] == second
    # Work before the first was due does not bring the next one forward.
    assert days_of(asset, maintenance=date(2021, 1, 1))["maintenance"] == first


def test_inspection_counts_from_the_later_of_file_and_record() -> None:
    """Monthly; half-monthly where the place is crowded; to the end of a short month."""
    asset = Asset(extinguisher="powder", made=date(2020, 1, 1), inspected=date(2024, 1, 31))
    assert days_of(asset)["inspection"] == "2024-02-29"
    assert days_of(asset, inspection=date(2024, 3, 5))["inspection"] == "2024-04-05"
    assert days_of(asset, inspection=date(2023, 3, 5))["inspection"] == "2024-02-29"
    crowded = asset.model_copy(update={"crowded": True})
    assert days_of(crowded)["inspection"] == "2024-02-15"


def test_dates_are_left_out_when_nothing_is_known_for_them() -> None:
    """No date is invented."""
    assert days_of(Asset()) == {}
    assert days_of(Asset(made=date(2020, 1, 1))) == {}
    assert days_of(Asset(extinguisher="water")) == {}
    assert days_of(Asset(extinguisher="water", maintained=date(2024, 2, 29))) == {"maintenance": "2025-02-28"}
    assert days_of(Asset(calibrated=date(2024, 5, 1), battery=date(2024, 5, 1))) == {
        "calibration": "2025-05-01",
        "battery": "2027-05-01",
    }


# --- the clock -------------------------------------------------------------------------------------------------------

WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def by_wall(local: datetime, begin: str, until: str, days: list[str]) -> bool:
    """Whether the clock on the wall shows a time of the span; true away from the hours the clocks are changed."""
    shown, allowed = f"{local:%H:%M}", [WEEK.index(day) for day in days or WEEK]
    if begin < until:
        return begin <= shown < until and local.weekday() in allowed
    return (shown >= begin and local.weekday() in allowed) or (shown < until and (local.weekday() - 1) % 7 in allowed)


@pytest.mark.parametrize("zone", [SHANGHAI, BERLIN], ids=str)
@pytest.mark.parametrize("days", [[], ["fri"], ["sat", "sun"], ["mon", "wed"]], ids=str)
@pytest.mark.parametrize(("begin", "until"), [("23:00", "05:00"), ("08:00", "17:30"), ("04:00", "04:00")])
def test_clock_condition_follows_the_wall_clock_through_weeks_of_summer_time(
    zone: ZoneInfo, days: list[str], begin: str, until: str
) -> None:
    """Every half hour for three weeks around a change of the clocks, and each change is announced exactly."""
    when = {"kind": "time", "from": begin, "to": until, "days": days}
    node = compile_condition(CONDITION.validate_python(when))
    seen = Seen(zone=zone)
    at = datetime(2026, 3, 20, tzinfo=UTC)
    again_ms: int | None = to_ms(at)
    inside = False
    while at < datetime(2026, 4, 10, tzinfo=UTC):
        judged = node.judge(seen, to_ms(at))
        assert judged[:2] == (T if by_wall(at.astimezone(zone), begin, until, days) else F), at
        if again_ms is not None and to_ms(at) >= again_ms:
            inside, again_ms = judged.violated, judged.again_ms
        assert judged.violated == inside, f"{at}: changed before {again_ms}"
        at += timedelta(minutes=30)


def test_clock_condition_waits_for_the_moment_when_its_hour_is_skipped() -> None:
    """02:30 does not exist on 29 March 2026 in Berlin: the span begins when the clocks jump, at 01:00 UTC."""
    when = {"kind": "time", "from": "02:30", "to": "04:00"}
    midnight = to_ms(datetime(2026, 3, 29, tzinfo=BERLIN))
    jump = to_ms(datetime(2026, 3, 29, 1, tzinfo=UTC))
    assert judge(when, Seen(zone=BERLIN), midnight).again_ms == jump
    assert judge(when, Seen(zone=BERLIN), jump)[:2] == T
    assert judge(when, Seen(zone=BERLIN), jump).again_ms == to_ms(datetime(2026, 3, 29, 4, tzinfo=BERLIN))


def test_clock_condition_begins_once_when_its_hour_comes_twice() -> None:
    """02:30 comes twice on 25 October 2026 in Berlin: the span runs from the first one through."""
    when = {"kind": "time", "from": "02:30", "to": "04:00"}
    first = to_ms(datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN))
    end = to_ms(datetime(2026, 10, 25, 4, tzinfo=BERLIN))
    assert judge(when, Seen(zone=BERLIN), first - 1).again_ms == first
    assert judge(when, Seen(zone=BERLIN), first).again_ms == end
    assert end - first == 150 * 60_000
    assert judge(when, Seen(zone=BERLIN), first + 45 * 60_000)[:2] == T
