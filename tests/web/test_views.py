"""What the pages make of the picture: unknown is never OK."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from gateway.control.protocol import Event
from gateway.history.base import Sample
from gateway.web import charts, views
from gateway.web.alarm_cards import AlarmCard
from gateway.web.app import load_inventory
from gateway.web.inventory import Inventory
from gateway.web.picture import Picture
from gateway.web.printed import place_told
from gateway.web.texts import Texts, load_catalogues
from tests.web.station import Station, now_ms

TEXTS = Texts("en", load_catalogues()["en"], ZoneInfo("Asia/Shanghai"))


@pytest.fixture
def inventory(station: Station) -> Inventory:
    """The station's devices and rules."""
    return load_inventory(station.settings())


def _picture(station: Station) -> Picture:
    picture = Picture(now_ms, lambda *_: None)
    picture.apply(Event(event="snapshot", data=station._snapshot()))
    return picture


def _board(station: Station, inventory: Inventory, *, later_ms: int = 0) -> views.Board:
    return views.board(_picture(station), inventory, TEXTS, now_ms() + later_ms)


def _fill(station: Station, inventory: Inventory) -> None:
    """Every point of every device has reported."""
    for device in inventory.devices.values():
        for point in device.points.values():
            station.values.setdefault(
                f"{device.key}/{point.name}", [now_ms(), False if not point.is_number else 1.0, "good"]
            )


def test_all_is_normal_when_every_value_is_good_and_fresh(station: Station, inventory: Inventory) -> None:
    """Only then."""
    _fill(station, inventory)
    board = _board(station, inventory)
    assert (board.headline, board.devices["good"]) == ("normal", len(inventory.devices))


@pytest.mark.parametrize("quality", ["bad:out_of_range", "unknown:no_answer"])
def test_not_everything_is_seen_when_one_value_is_not_good(
    station: Station, inventory: Inventory, quality: str
) -> None:
    """One bad value is enough for the board not to say that all is well."""
    _fill(station, inventory)
    station.values["shuiye/tank-01/level_m"] = [now_ms(), None, quality]
    assert _board(station, inventory).headline == "unknown"


def test_a_value_is_stale_when_older_than_twice_its_longest_silence(station: Station, inventory: Inventory) -> None:
    """A good value from long ago is not the present state."""
    _fill(station, inventory)
    board = _board(station, inventory, later_ms=2 * 300_000 + 5_000)
    hydrant = next(
        row for agent in board.agents for _, _, rows in agent.lines for row in rows if row.id == "hydrant-01"
    )
    assert (hydrant.status, board.headline) == ("stale", "unknown")


def test_all_below_a_lost_agent_is_unknown_for_that_one_cause(station: Station, inventory: Inventory) -> None:
    """No device keeps its good marks, and each names the agent."""
    _fill(station, inventory)
    station.agent("edge2", online=False)
    rows = [
        row
        for agent in _board(station, inventory).agents
        if agent.agent == "edge2"
        for _, _, found in agent.lines
        for row in found
    ]
    assert {(row.status, row.reason) for row in rows} == {("unknown", "agent lost")}
    assert {point.status for row in rows for point in row.points} == {"unknown"}


def test_nothing_is_good_when_the_gateway_does_not_answer(station: Station, inventory: Inventory) -> None:
    """The last picture stays, without one good mark in it."""
    _fill(station, inventory)
    picture = _picture(station)
    picture.lose()
    board = views.board(picture, inventory, TEXTS, now_ms())
    assert (board.headline, board.devices["good"]) == ("unknown", 0)


def test_fire_stands_before_all_else_whatever_is_older_or_newer(station: Station, inventory: Inventory) -> None:
    """fire, critical, warning, info; what is over comes after what holds."""
    station.alarm("panel-fault", "shuiye/panel-01/p007", "warning", ago_s=5)
    station.alarm("hydrant-cap-open", "shuiye/hydrant-01/cap_open", "warning", ago_s=500, cleared=True)
    station.alarm("extinguisher-removed", "shuiye/bay-01/present", "critical", ago_s=9000)
    station.alarm("panel-fire", "shuiye/panel-01/p012", "fire", ago_s=600)
    board = _board(station, inventory)
    assert board.headline == "fire"
    assert [a.title for a in board.fires] == ["Fire alarm"]
    assert [(a.severity, a.active) for a in board.alarms] == [("critical", True), ("warning", True), ("warning", False)]


def test_a_state_run_ends_when_nobody_confirms_it_for_too_long() -> None:
    """A gap is a gap, not the last value drawn on."""
    samples = [
        Sample(0, "auto", "good"),
        Sample(100, "auto", "good"),
        Sample(900, "manual", "good"),
        Sample(950, None, "unknown:line"),
    ]
    found = charts.segments(samples, 200, 1000)
    assert [tuple(s)[:3] for s in found] == [(0, 300, "auto"), (900, 950, "manual"), (950, 1000, None)]


@pytest.mark.parametrize("hours", [1, 24, 168, 720, 8760])
def test_a_chart_never_gets_more_buckets_than_a_screen_has_use_for(hours: int) -> None:
    """Whatever the period and however it lies against the bucket grid."""
    for start in (0, 1, 1_763_776_812_345):
        step = charts.bucket_ms(start, start + hours * 3_600_000)
        assert (start + hours * 3_600_000 - 1) // step - start // step + 1 <= charts.BUCKETS


@pytest.mark.parametrize(
    ("cases", "headline"),
    [
        ([("panel-fire", "p012", "fire", True, None)], "fire_over"),
        ([("panel-fire", "p012", "fire", True, "duty")], "normal"),
        ([("panel-fire", "p012", "fire", True, None), ("panel-fire", "p013", "fire", False, None)], "fire"),
        ([("panel-fire", "p012", "fire", True, None), ("pump-fault", "p001", "critical", False, None)], "fire_over"),
        ([("panel-fire", "p012", "fire", True, None), ("panel-fault", "p007", "warning", False, None)], "fire_over"),
        ([("pump-fault", "p001", "critical", True, None)], "critical_over"),
        (
            [("pump-fault", "p001", "critical", True, None), ("panel-fault", "p007", "warning", False, None)],
            "critical_over",
        ),
    ],
)
def test_what_came_and_went_unseen_keeps_the_headline_until_acknowledged(
    station: Station,
    inventory: Inventory,
    cases: list[tuple[str, str, str, bool, str | None]],
    headline: str,
) -> None:
    """A fire outranks all else while it waits; nothing is called normal while a fire or critical alarm waits."""
    _fill(station, inventory)
    for rule, point, severity, cleared, by in cases:
        station.alarm(rule, f"shuiye/panel-01/{point}", severity, ago_s=300, cleared=cleared, by=by)
    assert _board(station, inventory).headline == headline


def test_a_waiting_fire_outlives_the_gateway(station: Station, inventory: Inventory) -> None:
    """That the gateway is away does not take the fire off the board, nor out of the siren."""
    alarm = station.alarm("panel-fire", "shuiye/panel-01/p012", "fire", ago_s=300, cleared=True)
    picture = _picture(station)
    picture.lose()
    board = views.board(picture, inventory, TEXTS, now_ms())
    assert (board.headline, [card.id for card in board.fires], picture.waiting_fires()) == (
        "fire_over",
        [alarm],
        [alarm],
    )


def test_the_first_and_the_newest_fire_stand_large_when_many_burn(station: Station, inventory: Inventory) -> None:
    """Where it began and where it goes; a few more in a line each, and none is lost."""
    ids = [
        station.alarm("panel-fire", f"shuiye/panel-01/p{n:03d}", "fire", ago_s=600 - n, cleared=n == 5)
        for n in range(1, 13)
    ]
    board = _board(station, inventory)
    assert [card.id for card in board.fires] == [ids[0], ids[11]]
    assert len(board.more_fires) == views.MORE_FIRES
    assert {card.id for card in (*board.fires, *board.more_fires, *board.alarms)} == set(ids)
    assert board.alarms[0].severity == "fire"


def test_a_device_with_an_alarm_is_not_counted_good(station: Station, inventory: Inventory) -> None:
    """It answers, but its alarm says otherwise."""
    _fill(station, inventory)
    station.alarm("panel-fault", "shuiye/panel-01/p007", "warning")
    board = _board(station, inventory)
    assert (board.devices["good"], board.devices["alarm"]) == (len(inventory.devices) - 1, 1)


def _fire(station: Station, inventory: Inventory) -> AlarmCard:
    return _board(station, inventory).fires[0]


def test_the_place_of_a_panel_is_not_told_as_that_of_the_fire(station: Station, inventory: Inventory) -> None:
    """Nobody knows where the point is: what is known is where the panel hangs, and it says so."""
    station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    fire = _fire(station, inventory)
    assert (fire.spot, fire.place) == ("", "panel in: Fire control room")


def test_a_point_map_names_the_place_of_the_fire(station: Station) -> None:
    """For a panel that is polled and for one that prints."""
    for panel, address in (("panel-01", "p012"), ("panel-02", "l003p021")):
        (station.folder / f"{panel}.csv").write_text(
            f"address,place_zh,place_en\n{address},三层机房,Server room {panel}\n", "utf-8"
        )
        site = station.site_file.read_text("utf-8")
        station.site_file.write_text(site.replace(f"- id: {panel}\n", f"- id: {panel}\n      point_map: {panel}.csv\n"))
    inventory = load_inventory(station.settings())
    station.alarm("panel-fire", "shuiye/panel-01/p012", "fire", ago_s=60)
    station.alarm("panel-fire", "shuiye/panel-02/l003p021", "fire")
    fires = _board(station, inventory).fires
    assert [(fire.spot, fire.point) for fire in fires] == [
        ("Server room panel-01", "p012"),
        ("Server room panel-02", "Loop 3 point 21"),
    ]


@pytest.mark.parametrize(
    ("point", "text"),
    [
        ("printout", "25/11/22  10:20 | 003-021 | 首次火警 | 商场一层服装区 | 感烟探测器"),
        (
            "event",
            '{"event":"fire","received_ms":1,"address":"l003p021","device_zh":"感烟探测器","text":"商场一层服装区"}',
        ),
    ],
)
def test_what_the_panel_printed_of_the_address_is_the_place(
    station: Station, inventory: Inventory, point: str, text: str
) -> None:
    """Also after it printed of another address; not when it was printed long before the alarm."""
    station.alarm("panel-fire", "shuiye/panel-02/l003p021", "fire")
    picture = _picture(station)
    for at, line in ((now_ms(), text), (now_ms(), text.replace("021", "022").replace("服装", "鞋帽"))):
        picture.apply(Event(event="reading", data=[[f"shuiye/panel-02/{point}", at, line, "good"]]))
    fire = views.board(picture, inventory, TEXTS, now_ms()).fires[0]
    assert (fire.spot, fire.point) == ("商场一层服装区 · 感烟探测器", "Loop 3 point 21")
    picture.apply(Event(event="reading", data=[[f"shuiye/panel-02/{point}", now_ms() - 60_000, text, "good"]]))
    assert views.board(picture, inventory, TEXTS, now_ms()).fires[0].spot == ""


@pytest.mark.parametrize(
    "text", ["系统复位", "", "{}", '{"event":"fire","received_ms":1}', "003-021", "003-021 | 火警"]
)
def test_a_line_without_a_place_tells_none(text: str) -> None:
    """Whatever a panel sends."""
    assert [place_told(point, text) for point in ("printout", "event", "x")] == [None, None, None]
