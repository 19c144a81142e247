"""Rows of a list: nothing that holds now is hidden, what is over folds, what a cause suppresses stands under it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.control.protocol import AlarmView, Event
from gateway.ledger.records import TransitionRow
from gateway.web import decision, views
from gateway.web.alarm_cards import AlarmCard, alarm_card, silent
from gateway.web.app import load_inventory
from gateway.web.folding import fold
from gateway.web.inventory import Inventory
from gateway.web.picture import Picture
from tests.web.station import Station, now_ms
from tests.web.test_views import TEXTS

POINT = "shuiye/hydrant-01/pressure_kpa"


@pytest.fixture
def inventory(station: Station) -> Inventory:
    """The station's devices and rules."""
    return load_inventory(station.settings())


def _card(inventory: Inventory, number: int, subject: str = POINT, *, active: bool = True, **more: Any) -> AlarmCard:
    state = more.pop("state", "unacknowledged" if active else "returned_unacknowledged")
    fields: dict[str, Any] = {
        "id": number, "rule": "hydrant-pressure-low", "subject": subject, "site": "shuiye",
        "device": "hydrant-01", "severity": "warning", "state": state, "active": active, "retrospective": False,
        "raised_ms": 1_000 * number, "recorded_ms": 1_000 * number,
        "cleared_ms": None if active else 1_000 * number + 1,
        "acknowledged_ms": None, "acknowledged_by": None, "inputs": {},
    }  # fmt: skip
    return alarm_card(AlarmView(**(fields | more)), inventory, TEXTS)


def _shape(rows: list[Any]) -> list[tuple[int, list[int], list[int]]]:
    return [(row.head.id, [c.id for c in row.episodes], [c.id for c in row.below]) for row in rows]


def test_episodes_fold_under_the_one_that_holds_when_a_subject_has_many(inventory: Inventory) -> None:
    """One row, its episodes newest first, all of them to be acknowledged at once."""
    cards = [_card(inventory, n, active=False) for n in range(1, 31)] + [_card(inventory, 31)]
    rows = fold(cards)
    assert _shape(rows) == [(31, list(range(30, 0, -1)), [])]
    assert rows[0].waiting_ids == list(range(31, 0, -1))


def test_two_that_hold_stand_in_two_rows_when_they_have_one_subject(inventory: Inventory) -> None:
    """What holds now is never folded away; what is over goes under one of them."""
    rows = fold([_card(inventory, 1), _card(inventory, 2, rule="hydrant-stuck"), _card(inventory, 3, active=False)])
    assert sorted(row.head.id for row in rows) == [1, 2]
    assert sum(len(row.episodes) for row in rows) == 1


def test_a_step_names_its_cause_in_words_when_an_alarm_is_kept_still(inventory: Inventory) -> None:
    """Once, with device and point, and never with the names that programs use."""
    given = {"hold": "suppressed_by_design", "cause": POINT}
    row = TransitionRow(1, 1, "suppress", "unacknowledged", "suppressed", 1_000, 1_000, "rule", "", given)
    assert decision.step(row, inventory, TEXTS).detail == "cause: Victory Road hydrant · Water pressure"


def test_what_a_cause_suppresses_stands_under_it_but_a_fire_never_does(inventory: Inventory) -> None:
    """A fire below a lost line keeps its own row."""
    held: dict[str, Any] = {"hold": "suppressed_by_design", "cause": "shuiye/edge1", "suppressed": True}
    cards = [
        _card(inventory, 1, "shuiye/edge1", device=None, rule="agent-lost", severity="critical"),
        _card(inventory, 2, **held),
        _card(inventory, 3, "shuiye/panel-01/p001", severity="fire", rule="panel-fire", device="panel-01", **held),
    ]
    assert sorted(_shape(fold(cards))) == [(1, [], [2]), (3, [], [])]


def test_a_suppressed_alarm_keeps_its_row_when_its_cause_is_not_in_the_list(inventory: Inventory) -> None:
    """A filter hides no alarm by hiding its cause."""
    rows = fold([_card(inventory, 2, hold="suppressed_by_design", cause="shuiye/line-x", suppressed=True)])
    assert _shape(rows) == [(2, [], [])]


def test_a_test_does_not_fold_with_real_alarms(inventory: Inventory) -> None:
    """Also of the same point."""
    rows = fold([_card(inventory, 1, hold="drill", drill=4), _card(inventory, 2, active=False)])
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("severity", "hold", "quiet"),
    [
        ("fire", None, False),
        ("fire", "suppressed_by_design", False),
        ("fire", "maintenance", False),
        ("fire", "out_of_service", False),
        ("fire", "shelved", True),
        ("fire", "drill", True),
        ("warning", "suppressed_by_design", True),
        ("warning", "maintenance", True),
        ("warning", None, False),
    ],
)
def test_a_fire_is_silenced_by_a_shelf_or_a_drill_only(severity: str, hold: str | None, quiet: bool) -> None:
    """Neither a cause above it nor a window nor a device out of service silences it."""
    assert silent(severity, hold) is quiet


def _picture(station: Station) -> Picture:
    picture = Picture(now_ms, lambda *_: None)
    picture.apply(Event(event="snapshot", data=station._snapshot()))
    return picture


def _fill(station: Station, inventory: Inventory) -> None:
    for device in inventory.devices.values():
        for point in device.points.values():
            station.values.setdefault(
                f"{device.key}/{point.name}", [now_ms(), False if not point.is_number else 1.0, "good"]
            )


def test_a_fire_of_a_drill_leads_no_board_and_sounds_nowhere(station: Station, inventory: Inventory) -> None:
    """It is counted nowhere as real, its device is in test, and a real fire beside it leads as always."""
    _fill(station, inventory)
    drill = station.acts._drill_open("maintainer", "shuiye", ["panel-01"], now_ms() + 60_000, "walk test")["id"]
    station.acts.spoke(drill, station.alarm("panel-fire", "shuiye/panel-01/p001", "fire"))
    picture = _picture(station)
    board = views.board(picture, inventory, TEXTS, now_ms())
    assert (board.fires, board.severities["fire"], board.headline, picture.waiting_fires()) == ([], 0, "normal", [])
    assert [row.head.is_drill for row in board.tests] == [True]
    assert board.devices["test"] == 1
    real = station.alarm("panel-fire", "shuiye/panel-01/p009", "fire")
    picture = _picture(station)
    assert views.board(picture, inventory, TEXTS, now_ms()).headline == "fire"
    assert picture.waiting_fires() == [real]


def test_a_fire_that_outlasts_its_drill_is_real(station: Station, inventory: Inventory) -> None:
    """The number of the drill alone silences nothing."""
    alarm = station.alarm("panel-fire", "shuiye/panel-01/p001", "fire")
    station.acts.change(alarm, drill=3, hold=None)
    picture = _picture(station)
    assert picture.waiting_fires() == [alarm]
    board = views.board(picture, inventory, TEXTS, now_ms())
    assert (board.headline, [card.is_drill for card in board.fires], board.tests) == ("fire", [False], [])


def test_a_shelved_alarm_stays_on_the_board_and_keeps_it_from_normal(station: Station, inventory: Inventory) -> None:
    """Nothing is green while something is kept still."""
    _fill(station, inventory)
    alarm = station.alarm("water-level-low", "shuiye/tank-01/level_m", "critical")
    station.acts._alarm_shelve("duty", alarm, now_ms() + 60_000, "cleaning")
    board = views.board(_picture(station), inventory, TEXTS, now_ms())
    assert (board.headline, [row.head.id for row in board.held], board.rows) == ("held", [alarm], [])
    assert board.severities["critical"] == 0


def test_a_device_out_of_service_is_not_counted_good(station: Station, inventory: Inventory) -> None:
    """It is shown as what it is, and the board is not normal."""
    _fill(station, inventory)
    station.acts._service_take_out("maintainer", "shuiye/hydrant-02", "valve")
    board = views.board(_picture(station), inventory, TEXTS, now_ms())
    assert (board.headline, board.devices["out"], board.devices["good"]) == ("held", 1, len(inventory.devices) - 1)


@pytest.mark.parametrize(
    ("node", "value", "cause", "devices"),
    [
        ("shuiye/line-field/online", False, "line away", 5),
        ("system/gateway/broker_connected", False, "broker away", 10),
    ],
)
def test_everything_below_a_lost_node_is_unknown_for_that_one_cause(
    station: Station, inventory: Inventory, node: str, value: bool, cause: str, devices: int
) -> None:
    """And the alarm of the cause says how many devices are unknown because of it."""
    _fill(station, inventory)
    station.values[node] = [now_ms(), value, "good"]
    subject = "shuiye/line-field" if "line" in node else node
    alarm = station.alarm("agent-lost", subject, "critical")
    board = views.board(_picture(station), inventory, TEXTS, now_ms())
    rows = [row for agent in board.agents for _, _, found in agent.lines for row in found]
    assert [row.reason for row in rows if row.status == "unknown"] == [cause] * devices
    assert [(c.id, c.below) for c in board.alarms] == [(alarm, devices)]
