"""Readiness of a station as rows, and as a story: what takes from it, who accepted what, what is dated back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlError
from gateway.duty.readiness_report import derived, difference, shown
from gateway.duty.readiness_rows import DEDUCTION, RISK, STALE
from gateway.installing import Install, install
from gateway.ledger.entries import entries
from gateway.ledger.verify import Checked, Damage, damages
from gateway.turn import Turn
from tests.gateway.duty.stations import STATION, Stations, installed
from tests.gateway.harness import START_MS

DAY_MS = 86_400_000
LOW = ("water-level-low", "shuiye/tank-01/level_m")


@pytest.fixture
def town(tmp_path: Path) -> Stations:
    """A station where everything is well."""
    made = Stations(installed(tmp_path))
    made.begin()
    made.live(20)
    return made


def _low(town: Stations) -> None:
    town.say("tank-01", level_m=1.0)
    town.live(40)


def test_not_known_until_everything_spoke_when_a_gateway_starts(tmp_path: Path) -> None:
    """A start proves nothing: devices that were never heard make it unknown, and so does a list nobody ticked."""
    town = Stations(installed(tmp_path))
    town.beat()
    assert town.level == "unknown"
    for device in ("hydrant-01", "hydrant-02", "rack-01"):
        town.say(device)
    town.tick()
    assert town.level == "unknown"
    town.say("tank-01")
    assert town.level == "ready"


def test_an_alarm_takes_its_points_while_it_stands_whatever_people_say(town: Stations) -> None:
    """Acknowledged, shelved or out of service: what is wrong with the equipment goes on taking from readiness."""
    _low(town)
    (alarm,) = [alarm for alarm in town.open if alarm.rule == LOW[0]]
    town.ask("alarm.acknowledge", alarm_id=alarm.id, note="")
    town.ask("alarm.shelve", alarm_id=alarm.id, until_ms=town.now_ms + 3_600_000, reason="known")
    town.ask("service.take_out", subject="shuiye/tank-01", reason="repair")
    town.live(10)
    now = town.state.registers.readiness.now("shuiye")
    assert now is not None
    assert (now.level, now.score) == ("not_ready", 70.0)
    town.say("tank-01")
    town.live(40)
    assert town.level == "ready"
    (row,) = [row for row in entries(town.connection, DEDUCTION) if row.rule == LOW[0]]
    assert (row.level, row.points, row.state) == ("not_ready", 30.0, "over")
    assert row.basis_en


def test_a_drill_takes_nothing_and_what_stands_at_its_end_does(town: Stations) -> None:
    """A test is no fault; what outlives it is one."""
    drill = town.ask("drill.open", site="shuiye", scope=["*"], until_ms=town.now_ms + 600_000, reason="walk test")
    _low(town)
    assert town.level == "ready"
    town.ask("drill.close", id=drill["id"], note="")
    assert town.level == "not_ready"


def test_not_ready_stays_and_the_score_goes_when_something_else_is_not_known(town: Stations) -> None:
    """What is certainly missing makes it not ready whatever else may be; there is no score then."""
    _low(town)
    town.dead.add("edge1")
    town.live(60)
    now = town.state.registers.readiness.now("shuiye")
    assert now is not None
    assert (now.level, now.score) == ("not_ready", None)
    assert now.unknown >= 1


def test_stale_says_so_as_an_alarm_and_is_over_when_the_data_is_fresh(town: Stations) -> None:
    """Two heartbeats missed: the station is not known, somebody reads why; the next beat ends it."""
    town.dead.add("edge2")
    town.live(35)
    assert town.level == "unknown"
    assert "station-data-stale" in {alarm.rule for alarm in town.open}
    (row,) = entries(town.connection, STALE, is_open=True)
    assert row.causes == ("shuiye/edge2",)
    town.dead.clear()
    town.beat()
    assert town.level == "ready"


def test_unknown_from_when_the_data_was_too_old_when_no_gateway_ran(town: Stations) -> None:
    """Down for an hour: ready only as long as what it knew was fresh, then not known until everybody spoke."""
    stopped_ms = town.now_ms
    town.now_ms += 3_600_000
    town.restart()
    town.turn()
    assert town.level == "unknown"
    account = shown(town.connection, "shuiye", stopped_ms, town.now_ms)
    assert account.summary.ms["ready"] <= 20_000
    assert account.summary.ms["unknown"] >= 3_580_000


def test_an_accepted_risk_stays_listed_takes_nothing_and_counts_again_when_it_expires(town: Stations) -> None:
    """Named, by somebody, until a day; not a minute longer."""
    _low(town)
    args = {"rule": LOW[0], "subject": LOW[1], "reason": "tank is being cleaned"}
    town.ask("risk.accept", site="shuiye", until_ms=town.now_ms + 60_000, **args)
    assert town.level == "ready"
    (row,) = [row for row in town.state.registers.readiness.deductions("shuiye") if row.rule == LOW[0]]
    assert row.state == "accepted"
    expires_ms = town.now_ms + 60_000
    town.live(90)
    assert town.level == "not_ready"
    (risk,) = entries(town.connection, RISK)
    assert (risk.state, risk.user, risk.until_ms) == ("expired", "wang", expires_ms)
    town.say("hydrant-01")
    account = shown(town.connection, "shuiye", START_MS, town.now_ms)
    assert [(each.accepted, each.from_ms) for each in account.deductions if each.from_ms == expires_ms] == [
        (False, expires_ms)
    ]
    assert difference(account, derived(town.connection, ["shuiye"], START_MS, town.now_ms)["shuiye"]) is None


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"until_days": 91}, "within 90 days"),
        ({"until_days": -1}, "within 90 days"),
        ({"rule": "hydrant-signal-weak"}, "none that takes from readiness"),
        ({"site": "nowhere"}, "got no station"),
        ({"reason": "  "}, "reason"),
    ],
)
def test_a_risk_is_refused_when_it_has_no_end_or_no_reason(town: Stations, args: dict[str, object], text: str) -> None:
    """No risk is accepted for ever, for nothing, or where there is nothing to accept."""
    until_ms = town.now_ms + int(str(args.pop("until_days", 5))) * DAY_MS
    given: dict[str, Any] = {
        "site": "shuiye",
        "rule": LOW[0],
        "subject": LOW[1],
        "reason": "known",
        "until_ms": until_ms,
        **args,
    }
    with pytest.raises(ControlError, match=text):
        town.ask("risk.accept", **given)


def test_a_withdrawn_risk_counts_at_once(town: Stations) -> None:
    """Who accepted it may think better of it."""
    _low(town)
    args: dict[str, Any] = {"rule": LOW[0], "subject": LOW[1], "reason": "known", "until_ms": town.now_ms + DAY_MS}
    risk = town.ask("risk.accept", site="shuiye", **args)
    with pytest.raises(ControlError, match="accepted already"):
        town.ask("risk.accept", site="shuiye", **args)
    town.ask("risk.withdraw", id=risk["id"])
    assert town.level == "not_ready"


def test_weights_are_those_of_this_installation_and_of_one_device(tmp_path: Path) -> None:
    """A rule takes what the site says, and the account from the rows says the same."""
    text = STATION.replace(
        "{id: tank-01, profile: water-level, unit_id: 1}",
        "{id: tank-01, profile: water-level, unit_id: 1, limits: "
        "{water-level-low: {readiness_state: degraded, readiness_points: 7.5}}}",
    )
    town = Stations(installed(tmp_path, text))
    town.begin()
    _low(town)
    now = town.state.registers.readiness.now("shuiye")
    assert now is not None
    assert (now.level, now.score) == ("degraded", 92.5)
    town.restart()
    town.speak()
    account = shown(town.connection, "shuiye", START_MS, town.now_ms)
    assert difference(account, derived(town.connection, ["shuiye"], START_MS, town.now_ms)["shuiye"]) is None


def test_rows_follow_when_a_station_is_added_and_taken_out_of_a_site_file(tmp_path: Path) -> None:
    """An alarm that stands already takes from a station from the moment it is one, and no longer."""
    without = STATION[: STATION.index("station:")]
    town = Stations(installed(tmp_path, without))
    town.begin_without_list()
    _low(town)
    assert town.state.registers.readiness.now("shuiye") is None
    began_ms = town.now_ms
    _install(town, tmp_path, STATION)
    town.tick()
    assert town.level == "not_ready"
    town.live(30)
    _install(town, tmp_path, without)
    town.live(30)
    town.speak()
    account = shown(town.connection, "shuiye", began_ms, town.now_ms)
    assert account.summary.ms["not_ready"] == 30_000
    assert account.summary.ms["unrecorded"] == 30_000
    assert difference(account, derived(town.connection, ["shuiye"], began_ms, town.now_ms)["shuiye"]) is None


def _install(town: Stations, folder: Path, text: str) -> None:
    """Another site file comes into force, as a reload does it."""
    new = installed(folder, text)
    turn = Turn(town.state, town.now_ms, unknown_readings=10, unknown_devices=10)
    turn.begin()
    install(Install(new, "wang"), turn)
    turn.finish()
    town.commit(turn.changes)
    town.installation = new


DAMAGES = {
    "an alarm altered": ("UPDATE alarm SET drill = 1 WHERE id = 2", "alarm 2"),
    "an alarm taken out": ("DELETE FROM alarm WHERE id = 2", "alarm 2"),
    "an alarm under another version": ("UPDATE alarm SET rule_version = 'x' WHERE id = 2", "alarm 2"),
    "a transition altered": ("UPDATE transition SET recorded_ms = recorded_ms + 1 WHERE id = 2", "transition 2"),
    "a transition taken out": ("DELETE FROM transition WHERE id = 2", "transition"),
    "the last transition taken out": (
        "DELETE FROM transition WHERE id = (SELECT max(id) FROM transition)",
        "transition of alarm",
    ),
    "a rule altered": ("UPDATE rule_version SET json = replace(json, '30.0', '3.0')", "rule_version"),
    "a rule taken out": ("DELETE FROM rule_version WHERE id = 'water-level-low'", "rule_version water-level-low"),
    "a row altered": (
        "UPDATE entry SET data = replace(data, '\"points\":30.0', '\"points\":3.0') WHERE kind = 'deduction'",
        "entry deduction/",
    ),
    "a column altered": (
        "UPDATE entry SET from_ms = from_ms + 1 WHERE kind = 'readiness' AND id = 1",
        "entry readiness/1",
    ),
    "a row taken out": ("DELETE FROM entry WHERE kind = 'readiness' AND id = 1", "entry readiness/1"),
    "a row put in": (
        "INSERT INTO entry SELECT kind, 99, site, state, open, from_ms, until_ms, data FROM entry "
        "WHERE kind = 'readiness' AND id = 1",
        "entry readiness/99",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_any_row_that_is_altered_taken_out_or_put_in_is_named(town: Stations, name: str) -> None:
    """Everything that readiness rests on is held by the audit chain, row by row."""
    _low(town)
    town.say("tank-01")
    town.live(40)
    assert [type(found) for found in damages(town.connection)] == [Checked]
    statement, row = DAMAGES[name]
    town.connection.execute("PRAGMA foreign_keys = OFF")
    town.connection.execute(statement)
    found = [found.row for found in damages(town.connection) if isinstance(found, Damage)]
    assert found
    assert found[0].startswith(row)


def test_the_first_difference_is_named_when_a_shown_row_was_altered(town: Stations) -> None:
    """What was shown is compared to what follows, and the moment is told."""
    _low(town)
    town.say("tank-01")
    town.live(40)
    town.connection.execute(
        'UPDATE entry SET data = replace(data, \'"level":"not_ready"\', \'"level":"ready"\') WHERE kind = \'readiness\''
    )
    account = shown(town.connection, "shuiye", START_MS, town.now_ms)
    found = difference(account, derived(town.connection, ["shuiye"], START_MS, town.now_ms)["shuiye"])
    assert found is not None
    assert "not_ready" in found.derived
    assert "ready, score 70" in found.shown
