"""The judges find what was planted, and nothing in a clean run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.messages import Value
from simulators.truth import Alarm, Segment, Truth, judge_alarms, judge_readings, read_truth

P = "hydrant-01/pressure_kpa"
FIRE = ("panel-fire", "shuiye-demo/panel-01/p009")


def _segment(value: Value, from_ms: int, to_ms: int, served: int = 3, point: str = P, **more: Any) -> Segment:
    return Segment(point, value, more.pop("quality", "good"), from_ms, to_ms, served, **more)


def _clean() -> tuple[Truth, list[tuple[str, int, Value]]]:
    truth = Truth(
        segments=[
            _segment(262.0, 0, 5_000),
            _segment(266.0, 5_000, 10_000),
            _segment(262.0, 10_000, 15_000),
            _segment(False, 0, 9_000, point="hydrant-01/cap_open"),
            _segment(True, 9_000, 15_000, point="hydrant-01/cap_open"),
        ],
        end_ms=15_000,
    )
    stored: list[tuple[str, int, Value]] = [
        (P, 100, 262.0),
        (P, 5_100, 266.00000001),
        (P, 10_100, 262.0),
        ("hydrant-01/cap_open", 100, False),
        ("hydrant-01/cap_open", 9_010, True),
        ("hydrant-01/online", 90, True),
    ]
    return truth, stored


def _counts(truth: Truth, stored: list[tuple[str, int, Value]]) -> dict[str, int]:
    judged: dict[str, Any] = dict(judge_readings(truth, stored))
    judged.pop("details")
    return {name: count for name, count in judged.items() if count}


def test_nothing_is_found_when_all_was_stored_once() -> None:
    """A clean run is clean; the agent's own `online` is not judged."""
    assert _counts(*_clean()) == {"produced": 5, "stored": 5}


@pytest.mark.parametrize("gone", range(5))
def test_value_is_lost_when_its_reading_is_missing(gone: int) -> None:
    """Each planted loss is found, also where the value itself came twice."""
    truth, stored = _clean()
    del stored[gone]
    assert _counts(truth, stored) == {"produced": 5, "stored": 4, "lost": 1}


def test_reading_is_duplicated_when_its_point_and_time_came_before() -> None:
    """The same point and time more than once, whatever the value, counts for each extra one."""
    truth, stored = _clean()
    assert _counts(truth, [*stored, stored[1], stored[1]]) == {"produced": 5, "stored": 5, "duplicated": 2}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((P, 2_000, 266.0), "true later"),
        ((P, 12_000, 266.0), "true earlier, too long ago"),
        ((P, 200, 26.2), "off by ten"),
        ((P, 200, "262"), "text for a number"),
        ((P, -100, 262.0), "before its time"),
        (("nobody/knows_kpa", 200, 1.0), "unknown point"),
    ],
)
def test_reading_is_wrong_when_it_was_not_so_then(row: tuple[str, int, Value], why: str) -> None:
    """A good value that no segment of that time has is wrong."""
    truth, stored = _clean()
    assert _counts(truth, [*stored, row]) == {"produced": 5, "stored": 5, "wrong": 1}, why


def test_reading_is_not_judged_when_its_value_still_holds() -> None:
    """While the simulators run, what holds now is not in the file and nothing can be said about it."""
    truth, stored = _clean()
    now: tuple[str, int, Value] = (P, 20_000, 270.0)
    assert _counts(truth, [*stored, now]) == {"produced": 5, "stored": 5, "wrong": 1}
    truth.end_ms = None
    assert _counts(truth, [*stored, now]) == {"produced": 5, "stored": 5}


def test_reading_is_right_when_it_was_on_the_line_during_the_change() -> None:
    """A value may carry a time shortly after it changed, as the answer was under way."""
    truth, stored = _clean()
    assert _counts(truth, [*stored, (P, 5_900, 262.0)]) == {"produced": 5, "stored": 5}


def test_value_is_unseen_when_it_was_read_less_than_twice() -> None:
    """Nobody is blamed for what nobody could see; if it was stored all the same that is right."""
    truth, stored = _clean()
    truth.segments[1] = _segment(266.0, 5_000, 10_000, served=1)
    assert _counts(truth, stored) == {"produced": 4, "stored": 4, "unseen": 1}


def test_values_are_one_when_nothing_was_seen_between_them() -> None:
    """262, an unseen 266, 262: a product that reports changes has nothing to report."""
    truth, stored = _clean()
    truth.segments[1] = _segment(266.0, 5_000, 10_000, served=0)
    del stored[1:3]
    assert _counts(truth, stored) == {"produced": 3, "stored": 3, "unseen": 1}


def test_return_is_lost_when_what_lay_between_was_stored() -> None:
    """262, a 266 that was read once and stored, 262: the way back must be stored too."""
    truth, stored = _clean()
    truth.segments[1] = _segment(266.0, 5_000, 10_000, served=1)
    del stored[2]
    assert _counts(truth, stored) == {"produced": 4, "stored": 3, "lost": 1, "unseen": 1}


def test_return_is_lost_when_no_measurement_lay_between() -> None:
    """262, a missing word that was read, 262: the product saw the gap and must store the return."""
    truth, stored = _clean()
    truth.segments[1] = _segment(None, 5_000, 10_000, quality="bad:missing")
    stored[1] = (P, 5_100, None)
    assert _counts(truth, stored) == {"produced": 4, "stored": 4}
    del stored[2]
    assert _counts(truth, stored) == {"produced": 4, "stored": 3, "lost": 1}


def test_printed_events_count_when_nothing_is_ever_served() -> None:
    """What was printed is produced; empty parts of a printed line do not matter."""
    truth = Truth(
        segments=[
            _segment("25/11/22  09:30 | 系统复位", 1_000, 1_000, 0, "panel-02/printout", printed=True),
            _segment("fire", 500, 1_000, 0, "panel-02/l003p021", printed=True),
            _segment("normal", 1_000, 9_000, 0, "panel-02/l003p021", printed=True),
        ]
    )
    stored: list[tuple[str, int, Value]] = [
        ("panel-02/printout", 1_020, "25/11/22  09:30 |  | 系统复位"),
        ("panel-02/l003p021", 510, "fire"),
        ("panel-02/l003p021", 1_020, "normal"),
    ]
    assert _counts(truth, stored) == {"produced": 3, "stored": 3}
    assert _counts(truth, stored[1:]) == {"produced": 3, "stored": 2, "lost": 1}


def test_printed_line_is_lost_when_its_twin_came_before() -> None:
    """The same text printed twice in a minute is two events."""
    line = "25/11/22  09:30 | 系统复位"
    truth = Truth(
        segments=[_segment(line, at, at, 0, "panel-02/printout", printed=True) for at in (1_000, 5_000)],
    )
    assert _counts(truth, [("panel-02/printout", 1_020, line)]) == {"produced": 2, "stored": 1, "lost": 1}


def _alarms() -> Truth:
    return Truth(
        alarms=[
            Alarm(*FIRE, 10_000, 20_000, True, 0, 20_000),
            Alarm(*FIRE, 40_000, 50_000, True, 0, 50_000),
            Alarm("agent-lost", "shuiye-demo/edge-01", 60_000, None, False, 12_000, 90_000),
            Alarm("pump-manual", "shuiye-demo/pump-01/mode", 85_000, None, False, 10_000, 90_000),
        ]
    )


def _said() -> list[tuple[str, str, str, int]]:
    return [
        (*FIRE, "raise", 10_200),
        (*FIRE, "clear", 20_100),
        (*FIRE, "raise", 40_100),
        (*FIRE, "clear", 50_100),
        ("agent-lost", "shuiye-demo/edge-01", "raise", 70_000),
    ]


def _verdict(said: list[tuple[str, str, str, int]]) -> tuple[int, int, int, int]:
    judged = judge_alarms(_alarms(), said)
    return judged["expected"], judged["raised"], judged["missed"], judged["false"]


def test_every_alarm_is_found_when_all_were_raised() -> None:
    """A condition still short of its rule's delay at the end is not expected, and may speak."""
    assert _verdict(_said()) == (3, 3, 0, 0)
    assert _verdict([*_said(), ("pump-manual", "shuiye-demo/pump-01/mode", "raise", 89_900)]) == (3, 3, 0, 0)


@pytest.mark.parametrize("gone", [0, 2, 4])
def test_alarm_is_missed_when_it_was_not_raised(gone: int) -> None:
    """Each condition needs its own raise."""
    said = _said()
    del said[gone]
    assert _verdict(said) == (3, 2, 1, 0)


@pytest.mark.parametrize(
    "extra",
    [
        (*FIRE, "raise", 15_000),
        (*FIRE, "raise", 30_000),
        (*FIRE, "raise", 9_000),
        ("panel-fire", "shuiye-demo/panel-01/p010", "raise", 15_000),
        ("panel-fault", FIRE[1], "raise", 15_000),
    ],
    ids=["again", "between", "too early", "other subject", "other rule"],
)
def test_alarm_is_false_when_nothing_called_for_it(extra: tuple[str, str, str, int]) -> None:
    """A raise beyond the one of its condition is false, and said why."""
    assert _verdict([*_said(), extra]) == (3, 3, 0, 1)


def test_raise_is_not_judged_when_the_simulators_had_stopped() -> None:
    """With the simulators the equipment and the link went away; what is said about that is right."""
    truth = _alarms()
    truth.end_ms = 90_000
    late = ("agent-lost", "shuiye-demo/edge-01", "raise", 90_001)
    assert judge_alarms(truth, [*_said(), late])["false"] == 0
    truth.end_ms = None
    assert judge_alarms(truth, [*_said(), late])["false"] == 1


@pytest.mark.parametrize("subject", ["system/gateway/path_hop", "shuiye-demo/agent-edge-01/outbox_age_s"])
def test_what_the_product_says_of_itself_is_not_judged_when_nothing_expects_it(subject: str) -> None:
    """The truth file knows the equipment; a line that is said to be lost is equipment."""
    assert _verdict([*_said(), ("path-test-failed", subject, "raise", 12_000)]) == (3, 3, 0, 0)
    assert _verdict([*_said(), ("line-lost", "shuiye-demo/line-rtu-1", "raise", 12_000)]) == (3, 3, 0, 1)


@pytest.mark.parametrize(
    ("served", "first_ms", "unseen"),
    [(3, 10_100, 0), (3, 17_400, 0), (3, 17_600, 1), (1, 10_100, 1), (0, None, 1)],
    ids=["in time", "just in time", "too late for the rule", "once", "never"],
)
def test_alarm_is_unseen_when_its_point_was_not_read_in_time(served: int, first_ms: int | None, unseen: int) -> None:
    """Nobody is blamed for a condition nobody could know of; one that could be known stays missed."""
    alarm = Alarm("pump-manual", "shuiye-demo/pump-01/mode", 10_000, 20_000, False, 2_000, 20_000)
    segment = _segment("manual", 10_000, 20_000, served, "pump-01/mode", first_served_ms=first_ms)
    judged = judge_alarms(Truth(segments=[segment], alarms=[alarm]), [])
    assert (judged["expected"], judged["missed"], judged["unseen"]) == (1 - unseen, 1 - unseen, unseen)
    raised = [(alarm.rule, alarm.subject, "raise", 12_000)]
    judged = judge_alarms(Truth(segments=[segment], alarms=[alarm]), raised)
    assert (judged["expected"], judged["raised"], judged["unseen"], judged["false"]) == (1, 1, 0, 0)


def test_last_line_is_passed_over_when_it_was_cut(tmp_path: Path) -> None:
    """A killed simulator leaves half a line; a damaged line elsewhere is an error with its place."""
    path = tmp_path / "truth.jsonl"
    step = b'{"kind":"step","name":"a","at_ms":1,"zh":"z","en":"e"}\n'
    path.write_bytes(step + step[:20])
    assert len(read_truth(path).steps) == 1
    path.write_bytes(step[:20] + b"\n" + step)
    with pytest.raises(ValueError, match=r"truth\.jsonl:1: "):
        read_truth(path)
