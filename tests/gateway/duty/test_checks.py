"""Random duty checks of a station: asked unannounced, answered with a proof, told to everybody when nobody answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ConfigError
from gateway.control.client import ControlError
from gateway.duty.checks import CHECKS, LOOK_BACK_MS, DutyCheck
from gateway.ledger.entries import entries
from tests.gateway.duty.station import HOUR_MS, MIDNIGHT_MS, MINUTE_MS, hand_over, make_station, raised, said
from tests.gateway.world import World

ANSWER_MS = 600_000


def next_check(world: World) -> int:
    """When the next one comes. Only a test that has the gateway's memory can look."""
    (found,) = world.state.duty._next.values()
    return found[0]


def kept(world: World) -> list[DutyCheck]:
    """Every check there was, oldest first."""
    return list(entries(world.connection, CHECKS))[::-1]


def ask_next(world: World) -> DutyCheck:
    """Wait for the next check."""
    world.wait(next_check(world) - world.now_ms)
    return kept(world)[-1]


def answer(world: World, check: DutyCheck, **more: Any) -> Any:
    """Somebody answers by PIN."""
    return world.ask("duty.answer", id=check.id, person=1, proof="pin", **more)


def test_a_check_is_told_in_the_second_its_time_is_over(tmp_path: Path) -> None:
    """Asked at the drawn time, unanswered ten minutes later to the millisecond; the rule speaks in the same turn."""
    world = make_station(tmp_path)
    hand_over(world, 3, 1, 2)
    at_ms = next_check(world)
    check = ask_next(world)
    assert (check.from_ms, check.until_ms, check.state, check.origin) == (at_ms, at_ms + ANSWER_MS, "open", "station")
    assert said(world, "duty_check") == "asked"
    world.wait(ANSWER_MS - 1)
    assert "duty-check-unanswered" not in dict(raised(world))
    world.wait(1)
    assert raised(world)[-1] == ("duty-check-unanswered", at_ms + ANSWER_MS - MIDNIGHT_MS)
    assert answer(world, check)["state"] == "late"
    assert said(world, "duty_check") == "ok"
    (alarm,) = world.alarms("rule = 'duty-check-unanswered'")
    assert not alarm.active


def test_nothing_is_told_when_a_check_is_answered_in_time(tmp_path: Path) -> None:
    """With who it was and how that was proven."""
    world = make_station(tmp_path)
    check = ask_next(world)
    world.wait(ANSWER_MS - 1)
    answer(world, check)
    world.wait(HOUR_MS // 4)
    assert "duty-check-unanswered" not in dict(raised(world))
    done = kept(world)[0]
    assert (done.state, done.person, done.proof, done.answered_by) == ("answered", 1, "pin", "wang")
    with pytest.raises(ControlError, match="answered already"):
        answer(world, check)


def test_a_check_is_missed_when_nobody_answers_for_an_hour(tmp_path: Path) -> None:
    """It leaves the screens and its alarm is over; nobody can answer it any more."""
    world = make_station(tmp_path)
    check = ask_next(world)
    world.wait(ANSWER_MS + HOUR_MS)
    assert kept(world)[0].state == "missed"
    with pytest.raises(ControlError, match="long over"):
        answer(world, check)


def test_nothing_anywhere_shows_a_check_before_it_is_asked(tmp_path: Path) -> None:
    """Not the ledger, not a snapshot, not an event: neither its time nor that there will be one."""
    world = make_station(tmp_path)
    at_ms = next_check(world)
    world.wait(at_ms - 1 - world.now_ms)
    dump = "\n".join(world.connection.iterdump())
    snapshot = json.dumps(world.state.snapshot(world.now_ms).duty_checks)
    events = repr(world.events)
    for text in (dump, snapshot, events):
        assert str(at_ms) not in text
        assert str(at_ms // 1000) not in text
    assert kept(world) == []
    assert snapshot == "[]"


def test_a_click_is_no_answer_when_the_gateway_asks(tmp_path: Path) -> None:
    """A PIN is, and the code of the post with a person; a made-up code, or a login that is nobody, is not."""
    world = make_station(tmp_path)
    check = ask_next(world)
    code = world.ask("duty.code", "admin", site="shuiye", post="control")["code"]
    scanned = {"id": check.id, "post": "control", "code": code}
    for args, why in (
        ({"id": check.id}, "proves nothing"),
        ({"id": check.id, "person": 1}, "want their PIN"),
        ({"id": check.id, "person": 99, "proof": "pin"}, "nobody of that number"),
        (scanned, "nobody of the people"),
        ({**scanned, "code": "a" * 26, "person": 1, "proof": "pin"}, "not that of a post"),
        ({**scanned, "post": "gate", "person": 1, "proof": "pin"}, "not that of a post"),
    ):
        with pytest.raises(ControlError, match=why):
            world.ask("duty.answer", **args)
    world.ask("duty.answer", "person/2", **scanned, person=2, proof="pin")
    done = kept(world)[0]
    assert (done.state, done.person, done.proof, done.post, done.answered_by) == (
        "answered", 2, "qr", "control", "person/2",
    )  # fmt: skip


def test_the_code_of_a_post_is_of_no_use_elsewhere(tmp_path: Path) -> None:
    """Of another ledger, or of another post."""
    world = make_station(tmp_path / "a", secret="a1" * 32)
    other = make_station(tmp_path / "b", secret="b2" * 32)
    code = world.ask("duty.code", "admin", site="shuiye", post="control")["code"]
    assert world.ask("duty.scanned", "local", site="shuiye", post="control", code=code) == {"checks": [], "people": []}
    with pytest.raises(ControlError, match="not that of a post"):
        other.ask("duty.scanned", "local", site="shuiye", post="control", code=code)


def test_checks_come_at_the_same_times_when_the_gateway_is_killed_again_and_again(tmp_path: Path) -> None:
    """Everything in memory built anew at every turn, or never: the same checks, each once."""
    steady, killed = make_station(tmp_path / "a"), make_station(tmp_path / "b")
    steady.wait(24 * HOUR_MS)
    for _ in range(24 * 4):
        killed.restart()
        killed.wait(15 * MINUTE_MS)
    times = [(check.from_ms, check.shift_ms, check.number, check.state) for check in kept(steady)]
    assert [(check.from_ms, check.shift_ms, check.number, check.state) for check in kept(killed)] == times
    assert len(times) == 6


@pytest.mark.parametrize(("away_ms", "state"), [(30_000, "open"), (61_000, "skipped"), (5 * HOUR_MS, "skipped")])
def test_a_check_is_asked_at_once_or_skipped_when_the_gateway_was_away_at_its_time(
    tmp_path: Path, away_ms: int, state: str
) -> None:
    """After a moment it is asked; after longer it is noted as skipped: one that comes at a start is not random."""
    world = make_station(tmp_path)
    at_ms = next_check(world)
    world.now_ms = at_ms + away_ms
    world.restart()
    world.turn()
    first = kept(world)[0]
    assert (first.state, first.from_ms) == (state, world.now_ms if state == "open" else at_ms)


def test_only_the_last_weeks_are_noted_when_the_clock_is_set_ten_years_ahead(tmp_path: Path) -> None:
    """What nobody asked for so long is not told one by one, and the next comes as ever."""
    world = make_station(tmp_path)
    world.now_ms += 10 * 365 * 24 * HOUR_MS
    world.turn()
    skipped = [check for check in kept(world) if check.state == "skipped"]
    assert skipped
    assert min(check.from_ms for check in skipped) > world.now_ms - LOOK_BACK_MS
    assert ask_next(world).state == "open"


def test_a_centre_is_answered_by_a_click_as_ever(tmp_path: Path) -> None:
    """It asks whether somebody is at the desk; its checks and ours are one kind, and one point says both."""
    world = make_station(tmp_path)
    made = world.ask("duty.ask", "centre/city", site="shuiye", origin="centre/city", minutes=5)
    assert said(world, "duty_check") == "asked"
    assert world.ask("duty.answer", id=made["id"])["state"] == "answered"
    assert said(world, "duty_check") == "ok"
    assert [(check.origin, check.proof) for check in kept(world)] == [("centre/city", "login")]


def test_nobody_is_checked_when_the_site_file_wants_none(tmp_path: Path) -> None:
    """per_shift 0; and more than fits into a shift is refused with the file's line."""
    world = make_station(tmp_path / "a", more="  duty_checks: {per_shift: 0}\n")
    world.wait(24 * HOUR_MS)
    assert kept(world) == []
    with pytest.raises(ConfigError, match="per_shift: got 6, want at most 5"):
        make_station(tmp_path / "b", more="  duty_checks: {per_shift: 6}\n")
