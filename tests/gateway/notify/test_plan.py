"""Who is told what and when."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.notify.settings import NotifySettings
from tests.gateway.notify.station import START_MS, Desk, alarm, notify


def test_each_person_of_the_first_step_is_told_at_once_when_a_fire_is_raised() -> None:
    """A fire is planned in the turn that raised it."""
    with Desk() as desk:
        desk.raises(alarm(1))
        assert desk.told() == [(0.0, "wang", "alarm", "fire", [1])]


def test_the_next_step_and_repeats_come_at_their_times_when_nobody_acknowledges() -> None:
    """Li and the chief after 120 s; everybody told before again after 300 s."""
    with Desk() as desk:
        desk.raises(alarm(1))
        desk.at(310)
        assert desk.told() == [
            (0.0, "wang", "alarm", "fire", [1]),
            (120.0, "li", "escalation", "fire", [1]),
            (120.0, "chief", "escalation", "fire", [1]),
            (300.0, "wang", "repeat", "fire", [1]),
            (300.0, "li", "repeat", "fire", [1]),
            (300.0, "chief", "repeat", "fire", [1]),
        ]


@pytest.mark.parametrize("how", ["acknowledges", "clears"])
def test_steps_and_repeats_stop_when_it_is_acknowledged_or_over(how: str) -> None:
    """After that nobody is told any more, but for the all-clear."""
    with Desk() as desk:
        desk.raises(alarm(1))
        getattr(desk.at(60), how)(1)
        desk.at(1000)
        assert [row[2] for row in desk.told()] == ["alarm", *(["clear"] if how == "clears" else [])]


def test_the_all_clear_goes_once_to_those_who_were_told_when_it_is_over() -> None:
    """Li was told, the chief of another chain was not."""
    with Desk() as desk:
        desk.raises(alarm(1))
        desk.at(130).acknowledges(1)
        desk.at(200).changes("clear", 1, state="normal", active=False)
        desk.at(900)
        clears = [row[:3] for row in desk.told() if row[2] == "clear"]
        assert clears == [(200.0, "wang", "clear"), (200.0, "li", "clear"), (200.0, "chief", "clear")]


def test_a_fire_is_told_when_it_is_over_within_one_turn() -> None:
    """Raised and cleared in one group of messages: told, and told that it is over."""
    with Desk() as desk:
        desk.move(alarm(1), "raise")
        desk.move(alarm(1, active=False, state="returned_unacknowledged"), "clear")
        desk.turn()
        assert [row[2] for row in desk.told()] == ["alarm", "clear"]


def test_a_fire_that_was_over_before_it_was_known_is_told_without_haste() -> None:
    """Back-filled data: recorded and told once, no escalation, no all-clear."""
    with Desk() as desk:
        desk.move(alarm(1, retrospective=True), "raise")
        desk.move(alarm(1, retrospective=True, active=False, state="returned_unacknowledged"), "clear")
        desk.turn()
        desk.at(2000)
        assert desk.told() == [(2.0, "wang", "late", "fault", [1])]


def test_a_late_fire_pages_like_any_other_when_it_still_stands() -> None:
    """Late or not, it burns."""
    with Desk() as desk:
        desk.raises(alarm(1, retrospective=True))
        assert desk.told() == [(0.0, "wang", "alarm", "fire", [1])]


@pytest.mark.parametrize("hold", ["shelved", "out_of_service", "suppressed_by_design", "maintenance", "drill"])
def test_nobody_is_told_when_an_alarm_is_held(hold: str) -> None:
    """Held alarms are recorded and page nobody."""
    with Desk() as desk:
        desk.raises(alarm(1, hold=hold), alarm(2, "warning", hold=hold))
        desk.at(2000)
        assert desk.told() == []


def test_the_chain_begins_anew_when_a_hold_ends_and_the_alarm_stands() -> None:
    """What was shelved and still stands is told like a new one."""
    with Desk() as desk:
        desk.raises(alarm(1))
        desk.at(10).changes("shelve", 1, hold="shelved")
        desk.at(1000).changes("unshelve", 1, hold=None)
        desk.at(1121)
        late = [row[:3] for row in desk.told() if row[0] > 10]
        assert late == [
            (1000.0, "wang", "alarm"),
            (1120.0, "li", "escalation"),
            (1120.0, "chief", "escalation"),
        ]


def test_the_leader_alone_is_told_when_a_fire_belongs_to_a_drill() -> None:
    """The way to the phone is exercised, and the text says that it is a test."""
    with Desk() as desk:
        desk.raises(alarm(1, hold="drill", drill=3, drill_leader="li"))
        desk.at(1000)
        assert [row[1:3] for row in desk.told()] == [("li", "alarm")]
        assert "TEST" in desk.ledger.execute("SELECT title_en FROM notice").fetchone()[0]


def test_a_note_causes_no_message_when_the_chain_has_come_to_its_end() -> None:
    """Only time, holds and states move a chain."""
    chains = [{"id": "duty", "steps": [{"after_s": 0, "people": ["wang"]}], "repeat_s": None}]
    with Desk(notify(chains=chains)) as desk:
        desk.raises(alarm(1))
        desk.at(50).changes("note", 1, notes=1)
        desk.at(2000)
        assert len(desk.told()) == 1


def quiet(**hours: object) -> NotifySettings:
    people = [{"id": "wang", "name": "wang", "channels": [{"kind": "screen"}], "quiet_hours": [hours]}]
    chains = [{"id": "duty", "steps": [{"after_s": 0, "people": ["wang"]}], "repeat_s": None}]
    return notify(people=people, chains=chains)


def test_a_fire_is_told_and_a_warning_waits_when_a_person_has_quiet_hours() -> None:
    """06:13 to 07:00 is quiet: the warning comes within a minute of 07:00."""
    with Desk(quiet(**{"from": "22:00", "to": "07:00"})) as desk:
        desk.raises(alarm(1), alarm(2, "warning"), alarm(3, "critical"))
        desk.at(3600)
        told = desk.told()
        assert [(row[2], row[4]) for row in told] == [("alarm", [1]), ("alarm", [3]), ("alarm", [2])]
        assert told[0][0] == 0.0
        assert told[1][0] == 2.0
        assert 2800 <= told[2][0] <= 2860


def test_faults_of_one_cause_are_one_message_when_they_come_together() -> None:
    """40 devices behind one line, and one device elsewhere: two messages."""
    with Desk() as desk:
        desk.raises(*(alarm(n, "warning", cause="s/line-1") for n in range(1, 41)))
        desk.at(1).raises(alarm(41, "critical", site="t", subject="t/d41/p"))
        desk.at(10)
        assert [(row[2], len(row[4])) for row in desk.told()] == [("alarm", 40), ("alarm", 1)]
        title, text = desk.ledger.execute("SELECT title_en, text_en FROM notice ORDER BY id").fetchone()
        assert title == "Warning s: 40 alarms"
        assert text.splitlines()[:2] == ["Worst: Warning s/d1/p: rule r", "40 x rule r"]


def test_a_fault_is_told_to_nobody_when_it_is_over_before_its_message() -> None:
    """What lasted less than the gathering needs no two messages."""
    with Desk() as desk:
        desk.raises(alarm(1, "warning"))
        desk.at(1).clears(1)
        desk.at(1000)
        assert desk.told() == []
        assert desk.ledger.execute("SELECT count(*) FROM escalation").fetchone()[0] == 0


def test_at_most_twenty_messages_when_ten_thousand_faults_and_five_fires_come_in_ten_seconds() -> None:
    """Each fire at once and alone; every fault is counted in some message, the worst is named, few messages."""
    chains = [{"id": "duty", "steps": [{"after_s": 0, "people": ["wang"]}], "repeat_s": None}]
    with Desk(notify(chains=chains)) as desk:
        fires = {2000 * n: alarm(2000 * n) for n in range(1, 6)}
        for second in range(10):
            desk.at(second)
            first = second * 1000 + 1
            desk.raises(
                *(
                    fires.get(n) or alarm(n, "warning", rule=f"r{n % 7}", cause=f"c{n % 90}")
                    for n in range(first, first + 1000)
                )
            )
        desk.at(60)
        told = desk.told()
        alone = [row for row in told if row[3] == "fire"]
        assert [(row[2], row[4]) for row in alone] == [("alarm", [n]) for n in fires]
        assert [row[0] for row in alone] == [1.0, 3.0, 5.0, 7.0, 9.0]
        merged = [row for row in told if row[3] == "fault"]
        assert len(merged) <= 20
        assert sorted(n for row in merged for n in row[4]) == [n for n in range(1, 10_001) if n not in fires]


def test_a_step_is_not_put_off_when_the_clock_is_set_back_an_hour() -> None:
    """Times in wait move with a clock that goes back."""
    with Desk() as desk:
        desk.raises(alarm(1))
        desk.now_ms = START_MS + 60_000
        desk.turn()
        desk.now_ms = START_MS + 60_000 - 3_600_000
        desk.turn()
        due = desk.planner.next_due_ms()
        assert due is not None
        assert due - desk.now_ms == 60_000


def test_open_alarms_are_told_when_a_gateway_starts_that_told_nobody_of_them() -> None:
    """After a configuration without people got some."""
    with Desk() as desk:
        desk.alarms = {1: alarm(1), 2: alarm(2, state="acknowledged"), 3: alarm(3, hold="shelved")}
        desk.restart()
        desk.at(1)
        assert [row[4] for row in desk.told()] == [[1]]


# --- properties ------------------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 400)),
    st.tuples(st.just("raise"), st.sampled_from(["fire", "fire", "critical", "warning", "info"])),
    st.tuples(st.just("ack"), st.integers(0, 30)),
    st.tuples(st.just("clear"), st.integers(0, 30)),
    st.tuples(st.just("hold"), st.integers(0, 30)),
    st.tuples(st.just("unhold"), st.integers(0, 30)),
)


def play(steps: list[tuple[str, object]], restarts: frozenset[int]) -> Desk:
    """Run the steps; before those in `restarts` the gateway is killed."""
    desk, second = Desk(), 0.0
    for n, (what, value) in enumerate(steps):
        if n in restarts:
            desk.restart()
        if what == "wait":
            assert isinstance(value, int)
            second += value
            desk.at(second)
        elif what == "raise":
            number = len(desk.alarms) + 1
            desk.raises(alarm(number, str(value), recorded_ms=desk.now_ms, cause=f"c{number % 3}"))
        elif desk.alarms:
            assert isinstance(value, int)
            one = desk.alarms[value % len(desk.alarms) + 1]
            if what == "ack" and one.state == "unacknowledged":
                desk.acknowledges(one.id)
            elif what == "clear" and one.active:
                desk.changes("clear", one.id, active=False, state="normal", cleared_ms=desk.now_ms)
            elif what == "hold" and one.active:
                desk.changes("shelve", one.id, hold="shelved")
            elif what == "unhold" and one.hold is not None:
                desk.changes("unshelve", one.id, hold=None)
    desk.at(second + 3600)
    return desk


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=25), st.frozensets(st.integers(0, 24), max_size=6))
@example([("raise", "critical"), ("wait", 120), ("wait", 1)], frozenset([2]))
def test_a_killed_planner_plans_the_same_when_it_goes_on_from_the_ledger(
    steps: list[tuple[str, object]], restarts: frozenset[int]
) -> None:
    """Restarts at any place between turns change no message and no time."""
    with play(steps, frozenset()) as whole, play(steps, restarts) as broken:
        assert broken.told() == whole.told()


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_no_fire_is_grouped_delayed_or_lost_when_anything_happens(steps: list[tuple[str, object]]) -> None:
    """Each fire has one first message to each person of the first step, in its own turn, about itself alone; and
    messages about faults keep to the budget: burst, and one each refill."""
    with play(steps, frozenset()) as desk:
        told = desk.told()
        fires = {one.id: one for one in desk.alarms.values() if one.severity == "fire"}
        first = {row[4][0]: row for row in reversed(told) if row[3] == "fire" and row[2] == "alarm"}
        assert first.keys() == fires.keys()
        assert all(len(row[4]) == 1 for row in told if row[3] == "fire")
        for number, row in first.items():
            assert row[0] == (fires[number].recorded_ms - START_MS) / 1000
        for person in ("wang", "li", "chief"):
            times = [row[0] for row in told if row[1] == person and row[3] == "fault"]
            for n, begin in enumerate(times):
                within = [time for time in times[n:] if time <= begin + 60]
                assert len(within) <= 8 + 60 / 30 + 1


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_every_fault_is_in_a_message_when_it_outlasts_the_gathering(steps: list[tuple[str, object]]) -> None:
    """No fault that stands and is not held stays untold."""
    with play(steps, frozenset()) as desk:
        told = {number for row in desk.told() for number in row[4]}
        standing = {
            one.id for one in desk.alarms.values() if one.active and one.hold is None and one.state == "unacknowledged"
        }
        assert standing <= told


def test_names_cannot_forge_lines_when_they_hold_control_characters() -> None:
    """A title is one line whatever the device is called."""
    with Desk() as desk:
        desk.raises(alarm(1, subject="s/d\r\nBcc: x@y.z\u202e/p"))
        row = desk.ledger.execute("SELECT title_zh, title_en, text_zh, text_en, alarms FROM notice").fetchone()
        assert "\n" not in row[0] + row[1]
        assert "\r" not in "".join(row[:4])
        assert "\u202e" not in "".join(row[:4])
        assert msgspec.json.decode(row[4]) == [1]
