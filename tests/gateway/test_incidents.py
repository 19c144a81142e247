"""Incidents: opened by fire, clocks of one, three and five minutes, neighbours by distance, closed when complete."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.control.client import ControlError
from gateway.installation import Installation
from rules.memory import Transition
from tests.gateway.incident_town import NIGHT_MS, Town
from tests.gateway.incident_town import town as town_of

MINUTE_MS = 60_000
FIRE = "panel-01/p001"
_ALARMS = "(SELECT id FROM alarm WHERE rule IN ('panel-fire', 'response-late'))"
OF_THE_FIRE = (
    "SELECT * FROM entry WHERE kind = 'incident'",
    "SELECT at_ms, actor, action, detail FROM audit WHERE subject = 'incident/1' ORDER BY id",
    "SELECT person, kind, severity, title_zh, text_zh, due_ms, stop FROM notice WHERE lane = 'fire' ORDER BY id",
    "SELECT * FROM alarm WHERE rule IN ('panel-fire', 'response-late') ORDER BY id",
    "SELECT alarm_id, event, to_state, event_ms, recorded_ms, actor FROM transition "
    f"WHERE alarm_id IN {_ALARMS} ORDER BY id",
    "SELECT * FROM escalation WHERE alarm_id < 0",
)
"""What a kill must not change; what the system says of its own restart stands elsewhere."""


def story(town: Town, *, restart: bool = False) -> None:
    """A fire at night that nobody acknowledges: the crew goes late, a neighbour comes, the brigade is called.

    restart: everything in memory is lost between any two steps, as by kill -9.
    """

    def step(seconds: int) -> None:
        if restart:
            town.restart()
        town.wait(NIGHT_MS + seconds * 1000 - town.now_ms)

    town.see(FIRE, "fire")
    step(40)
    town.ask("incident.depart", id=1, station="shuiye")
    step(95)
    town.ask("incident.answer", "li", id=1, station="east")
    step(100)
    town.ask("incident.arrive", id=1, station="shuiye", people=[1, 2])
    step(110)
    town.ask("incident.brigade", id=1, what="called")
    step(170)
    town.ask("incident.arrive", "li", id=1, station="east")
    step(290)
    town.ask("incident.brigade", id=1, what="arrived")
    step(900)
    town.ask("incident.find", id=1, finding="real", found="油锅起火", cause="无人看管")
    town.see(FIRE, "normal")
    step(960)
    town.ask("incident.close", id=1, note="移交消防救援队")
    step(961)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The town's files, read once."""
    return town_of(tmp_path_factory.mktemp("town"))


@pytest.fixture
def town(installation: Installation) -> Town:
    """The town with two people on the list of its station."""
    made = Town(installation)
    hire(made)
    return made


def hire(town: Town) -> None:
    """Two people, numbers 1 and 2."""
    for name in ("赵六", "孙七"):
        town.ask("person.add", name=name, site="shuiye", roles=["fighter"])


def response(town: Town) -> Any:
    """What the site's register says of the response."""
    values = dict(town.state.engine.values())
    return values["shuiye/register/response"].value


def test_neighbours_are_called_nearest_first_when_nobody_goes_within_a_minute(town: Town) -> None:
    """One minute without the own station: both stations within three kilometres, by their own chains; not the far one.

    Nobody acknowledges: two minutes after each call and after the fire the chief is told, once for each.
    """
    town.see(FIRE, "fire")
    town.wait(59_999)
    assert town.told() == [(0, "shuiye", "alarm")]
    town.wait(1)
    assert town.told()[1:] == [(60, "east", "call"), (60, "port", "call")]
    assert [(call["site"], call["distance_m"], call["called_ms"] - NIGHT_MS) for call in town.row()["calls"]] == [
        ("east", 1112, 60_000), ("port", 2780, 60_000)
    ]  # fmt: skip
    town.wait(2 * MINUTE_MS)
    assert town.told()[3:] == [(120, "chief", "escalation"), (180, "chief", "call"), (180, "chief", "call")]


def test_each_clock_is_said_when_it_runs_over_and_until_somebody_is_there(town: Town) -> None:
    """One, three, five minutes; the alarm of it stands until the arrival is entered."""
    town.see(FIRE, "fire")
    heard = []
    for seconds in (59, 60, 179, 180, 299, 300):
        town.wait(NIGHT_MS + seconds * 1000 - town.now_ms)
        heard.append(response(town))
    assert heard == ["ok", "station_late", "station_late", "neighbours_late", "neighbours_late", "brigade_late"]
    town.wait(1000)
    assert [alarm.rule for alarm in town.open if alarm.rule == "response-late"] == ["response-late"]
    town.ask("incident.brigade", id=1, what="arrived")
    assert response(town) == "neighbours_late"
    town.ask("incident.arrive", id=1, station="port")
    assert response(town) == "station_late"
    town.ask("incident.arrive", id=1, station="shuiye")
    assert response(town) == "ok"
    town.wait(MINUTE_MS)
    assert not [alarm for alarm in town.open if alarm.rule == "response-late" and alarm.active]
    assert town.row()["late"] == ["station", "neighbours", "brigade"]


def test_a_clock_did_not_run_over_when_an_arrival_in_time_is_entered_afterwards(town: Town) -> None:
    """The crew was there after 50 s and enters it at the end of the second minute."""
    town.see(FIRE, "fire")
    town.wait(110_000)
    town.ask("incident.arrive", id=1, station="shuiye", at_ms=NIGHT_MS + 50_000)
    assert (response(town), town.row()["late"], town.row()["own"]["arrived_ms"]) == ("ok", [], NIGHT_MS + 50_000)


def test_neighbours_are_called_at_once_when_a_second_detector_speaks(town: Town) -> None:
    """The same incident; the second fire confirms it."""
    town.see(FIRE, "fire")
    town.wait(10_000)
    town.see("panel-01/p002", "fire")
    row = town.row()
    assert (row["confirmed_by"], row["confirmed_ms"]) == ("second_detector", NIGHT_MS + 10_000)
    assert [call["called_ms"] - NIGHT_MS for call in row["calls"]] == [10_000, 10_000]
    assert list(town.state.registers.incidents.sheet.rows) == [1]


def test_a_manual_call_point_confirms_when_it_is_the_first_sign(town: Town) -> None:
    """Somebody stood there and pressed it."""
    town.see("panel-02/l001p002", "fire")
    assert town.row()["confirmed_by"] == "manual_call_point"
    assert [call["site"] for call in town.row()["calls"]] == ["east", "port"]


def test_the_call_ends_when_the_neighbour_answers_and_is_over_for_the_others_when_it_is_false(town: Town) -> None:
    """Who has answered is not told again before the all-clear; what was found goes to the alarm too."""
    town.see(FIRE, "fire")
    town.wait(60_000)
    town.ask("incident.answer", id=1, station="east")
    town.wait(150_000)
    assert [who for _, who, kind in town.told("call")] == ["east", "port", "chief"]
    town.ask("incident.find", id=1, finding="false", false_class="cooking", found="厨房油烟")
    assert [who for _, who, kind in town.told("clear")] == ["east", "port", "chief"]
    assert response(town) == "ok"
    assert town.alarms("severity = 'fire'")[0].finding == "false"
    town.wait(10 * MINUTE_MS)
    assert response(town) == "ok"


def test_the_incident_is_that_of_the_drill_when_the_fire_is_a_test(town: Town) -> None:
    """Its clocks run, nobody outside is called, the site says nothing."""
    until_ms = NIGHT_MS + 60 * MINUTE_MS
    drill = town.ask("drill.open", site="shuiye", scope=["panel-01"], until_ms=until_ms, reason="月度演练")
    town.see(FIRE, "fire")
    town.see("panel-01/p002", "fire")
    town.wait(6 * MINUTE_MS)
    row = town.row()
    assert (row["drill"], row["calls"], row["late"]) == (drill["id"], [], ["station"])
    assert town.told("call") == []
    assert response(town) in (None, "ok")
    with pytest.raises(ControlError, match="calls nobody outside"):
        town.ask("incident.call", id=1, station="east")
    with pytest.raises(ControlError, match="calls nobody outside"):
        town.ask("incident.brigade", id=1, what="called")
    town.see("tank-01/level_m", 2.0, agent="edge2")
    town.see("panel-02/l001p001", "fire")
    assert town.row(2)["drill"] is None


def test_no_incident_opens_when_the_fire_is_shelved_until_the_shelf_ends(town: Town) -> None:
    """A detector at fault is shelved and its incident closed; when it still stands afterwards, it is a fire."""
    town.see(FIRE, "fire")
    (fire,) = town.alarms("severity = 'fire'")
    town.ask("alarm.shelve", alarm_id=fire.id, until_ms=NIGHT_MS + 30 * MINUTE_MS, reason="探测器故障")
    town.ask("incident.arrive", id=1, station="shuiye", people=[1])
    town.ask("incident.find", id=1, finding="false", false_class="fault", found="无火情")
    town.ask("incident.close", id=1)
    town.see(FIRE, "normal")
    town.wait(MINUTE_MS)
    town.see(FIRE, "fire")
    assert town.state.registers.incidents.sheet.rows == {}
    town.wait(30 * MINUTE_MS)
    (row,) = town.state.registers.incidents.sheet.rows.values()
    assert (row.id, row.from_ms - NIGHT_MS) == (2, 30 * MINUTE_MS)


def test_a_fire_is_a_fire_when_somebody_works_on_the_panel(town: Town) -> None:
    """A maintenance window holds faults still, never a fire."""
    until_ms = NIGHT_MS + 30 * MINUTE_MS
    args: dict[str, Any] = {
        "site": "shuiye",
        "scope": ["panel-01"],
        "from_ms": NIGHT_MS,
        "until_ms": until_ms,
        "reason": "维保",
    }
    town.ask("maintenance.open", **args)
    town.see(FIRE, "fire")
    assert list(town.state.registers.incidents.sheet.rows) == [1]


def test_no_incident_opens_when_a_fire_that_comes_late_is_over_already(town: Town) -> None:
    """It is recorded as a matter of the past; one that still stands is a fire of now, and its clocks begin now."""
    town.turn(decisions=[late("p001", "raise"), late("p001", "clear")])
    assert [alarm.retrospective for alarm in town.alarms("severity = 'fire'")] == [True]
    assert town.state.registers.incidents.sheet.rows == {}
    town.turn(decisions=[late("p002", "raise")])
    assert [row.from_ms for row in town.state.registers.incidents.sheet.rows.values()] == [NIGHT_MS]


def late(point: str, event: Any) -> Transition:
    """A decision about forty minutes ago, when an agent sends what it kept."""
    subject, at_ms = f"shuiye/panel-01/{point}", NIGHT_MS - 40 * MINUTE_MS
    return Transition("panel-fire", "v1", "fire", subject, "shuiye", "panel-01", event, at_ms, True, {})


def test_closing_is_refused_when_it_burns_or_the_sheet_lacks_something(town: Town) -> None:
    """Each thing is named; nothing has changed."""
    town.see(FIRE, "fire")
    with pytest.raises(ControlError, match=r"fire alarm \d+ still stands"):
        town.ask("incident.close", id=1)
    town.see(FIRE, "normal")
    with pytest.raises(ControlError, match="lacks finding, arrival, people, found"):
        town.ask("incident.close", id=1)
    town.ask("incident.arrive", id=1, station="shuiye", people=[1])
    town.ask("incident.find", id=1, finding="real", found="纸箱")
    with pytest.raises(ControlError, match="lacks cause, brigade"):
        town.ask("incident.close", id=1)
    town.ask("incident.brigade", id=1, what="not_needed")
    town.ask("incident.find", id=1, finding="false", found="纸箱")
    with pytest.raises(ControlError, match="lacks false_class"):
        town.ask("incident.close", id=1)
    town.ask("incident.find", id=1, finding="real", found="纸箱", cause="烟头")
    town.ask("incident.close", id=1)
    assert (town.row()["state"], town.state.registers.incidents.sheet.rows) == ("closed", {})


def test_a_wrong_command_is_refused_and_changes_nothing(town: Town) -> None:
    """With what was got and what is wanted."""
    town.see(FIRE, "fire")
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("incident.arrive", {"id": 9, "station": "shuiye"}, "incident 9: got none"),
        ("incident.arrive", {"id": 1, "station": "moon"}, "no such site"),
        ("incident.arrive", {"id": 1, "station": "shuiye", "people": [77]}, "got 77"),
        ("incident.arrive", {"id": 1, "station": "shuiye", "at_ms": NIGHT_MS + 10**9}, "not ahead"),
        ("incident.arrive", {"id": 1, "station": "shuiye", "at_ms": NIGHT_MS - 1}, "since it began"),
        ("incident.answer", {"id": 1, "station": "hill"}, "was not called"),
        ("incident.open", {"site": "shuiye", "text": "烟"}, "incident 1 is open already"),
        ("incident.open", {"site": "moon", "text": "烟"}, "no such site"),
        ("incident.call", {"id": 1, "station": "shuiye"}, "called already"),
        ("incident.find", {"id": 1, "finding": "false", "found": " "}, "found"),
    ]
    for op, args, said in wrong:
        with pytest.raises(ControlError, match=said):
            town.ask(op, **args)


def test_somebody_who_saw_a_fire_opens_an_incident_when_no_alarm_tells_of_it(town: Town) -> None:
    """It counts as confirmed; a fire alarm that comes later is one more of it."""
    town.ask("incident.open", site="shuiye", text="楼后冒烟")
    assert [call["site"] for call in town.row()["calls"]] == ["east", "port"]
    assert town.told("call") == [(0, "east", "call"), (0, "port", "call")]
    said = town.connection.execute("SELECT title_zh, text_zh FROM notice WHERE kind = 'call'").fetchone()
    assert said[0] == "【请求增援·火警】水冶微站：人工报告的火情"
    assert "楼后冒烟" in said[1]
    town.see(FIRE, "fire")
    assert list(town.state.registers.incidents.sheet.rows) == [1]


def test_a_neighbour_without_people_to_tell_is_called_all_the_same(installation: Installation) -> None:
    """The record says that it is to be called; who has no chain is phoned."""
    town = Town(installation)
    town.ask("incident.open", site="hill", text="山火")
    assert town.row()["calls"] == []
    town.ask("incident.call", id=1, station="shuiye")
    assert (town.row()["calls"][0]["site"], town.row()["calls"][0]["distance_m"]) == ("shuiye", 44478)


def test_the_night_ends_the_same_when_the_gateway_is_killed_before_every_step(installation: Installation) -> None:
    """The incident and each step of it, messages and alarms are the same, to the millisecond."""
    whole, killed = Town(installation, secret="ab" * 32), Town(installation, secret="ab" * 32)
    for each, restart in ((whole, False), (killed, True)):
        hire(each)
        story(each, restart=restart)
    for what in OF_THE_FIRE:
        assert killed.connection.execute(what).fetchall() == whole.connection.execute(what).fetchall(), what
    row = whole.row()
    assert (row["state"], row["late"], row["closed_by"]) == ("closed", ["station"], "wang")
    assert [call["arrived_ms"] and call["arrived_ms"] - NIGHT_MS for call in row["calls"]] == [170_000, None]
