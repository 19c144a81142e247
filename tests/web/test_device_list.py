"""Rows of devices that are kept are those that would be made now; the list finds, groups and turns its pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.control.protocol import Event
from gateway.web import views
from gateway.web.app import load_inventory
from gateway.web.device_list import PAGE, list_devices
from gateway.web.inventory import Inventory
from gateway.web.kept_rows import KeptRows
from gateway.web.picture import Picture
from gateway.web.texts import Texts, load_catalogues
from tests.web.station import Station, now_ms

TEXTS = Texts("en", load_catalogues()["en"], ZoneInfo("Asia/Shanghai"))
START_MS = 1_763_776_800_000
DEVICE = "shuiye/hydrant-01"


@pytest.fixture
def inventory(station: Station) -> Inventory:
    """The station's devices and rules."""
    return load_inventory(station.settings())


def _alarm(active: bool, subject: str, hold: str | None) -> Event:
    state = "unacknowledged" if active else "normal"
    fields = dict.fromkeys(
        ("cleared_ms", "acknowledged_ms", "acknowledged_by", "assignee", "hold_until_ms", "cause", "finding")
    )
    row = {
        **fields, "id": 7, "rule": "hydrant-pressure-low", "subject": subject, "site": "shuiye", "device": "hydrant-01",
        "severity": "warning", "state": state, "active": active, "retrospective": False, "raised_ms": START_MS,
        "recorded_ms": START_MS, "inputs": {}, "hold": hold, "count": 1, "drill": None, "drill_leader": None,
        "notes": 0,
    }  # fmt: skip
    return Event(event="alarm", data=row)


def _reading(name: str) -> Callable[[tuple[int, float, str]], Event]:
    return lambda drawn: Event(event="reading", data=[[f"shuiye/{name}", START_MS + drawn[0], drawn[1], drawn[2]]])


_VALUE = st.tuples(st.integers(-700_000, 0), st.sampled_from([0.0, 150.0]), st.sampled_from(["good", "bad:sensor"]))
_TRUTH = st.tuples(st.just(0), st.booleans(), st.just("good"))
_EVENTS = st.one_of(
    _VALUE.map(_reading("hydrant-01/pressure_kpa")),
    _TRUTH.map(_reading("hydrant-01/online")),
    _TRUTH.map(_reading("line-field/online")),
    st.builds(
        _alarm, st.booleans(), st.sampled_from([DEVICE, f"{DEVICE}/pressure_kpa"]), st.sampled_from([None, "drill"])
    ),
    st.booleans().map(
        lambda online: Event(
            event="agent",
            data={"site": "shuiye", "agent": "edge1", "online": online, "heard_ms": START_MS, "clock_offset_ms": 0,
                  "state": {}},
        )
    ),
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.tuples(_EVENTS, st.integers(0, 400_000)), max_size=12))
def test_a_kept_row_is_the_one_made_anew_when_anything_moved(
    station: Station, inventory: Inventory, events: list[tuple[Event, int]]
) -> None:
    """Whatever happened and however long ago: the page shows what it would show without rows that were kept."""
    station.all_good()
    picture = Picture(lambda: START_MS, lambda *_: None)
    picture.apply(Event(event="snapshot", data=station._snapshot()))
    at_ms = START_MS
    for event, later_ms in events:
        picture.apply(event)
        at_ms += later_ms
        kept = views.agent_rows(picture, inventory, TEXTS, at_ms)
        rows, picture.rows = picture.rows, KeptRows()
        assert views.agent_rows(picture, inventory, TEXTS, at_ms) == kept
        picture.rows = rows


def test_a_row_is_made_once_when_nothing_moved(station: Station, inventory: Inventory) -> None:
    """A page of thousands of devices costs what changed since the last one."""
    station.all_good()
    picture = Picture(now_ms, lambda *_: None)
    picture.apply(Event(event="snapshot", data=station._snapshot()))
    views.agent_rows(picture, inventory, TEXTS, now_ms())
    made = picture.rows.made
    picture.apply(Event(event="reading", data=[[f"{DEVICE}/pressure_kpa", now_ms(), 1.0, "good"]]))
    views.agent_rows(picture, inventory, TEXTS, now_ms())
    assert (made, picture.rows.made) == (len(inventory.devices), len(inventory.devices) + 1)


def _many(station: Station, inventory: Inventory, count: int) -> list[views.AgentRow]:
    station.all_good()
    picture = Picture(now_ms, lambda *_: None)
    picture.apply(Event(event="snapshot", data=station._snapshot()))
    agent = views.agent_rows(picture, inventory, TEXTS, now_ms())[0]
    row = agent.lines[0][2][0]
    rows = [replace(row, key=f"shuiye/d-{n:04d}", id=f"d-{n:04d}", title=f"Hydrant {n}") for n in range(count)]
    rows[-1] = replace(rows[-1], severity="warning", kind="Tank")
    return [replace(agent, lines=[("rs1", "modbus_rtu", rows)])]


def test_every_device_stands_on_one_page_when_pages_are_turned(station: Station, inventory: Inventory) -> None:
    """No device is left out and none shown twice."""
    agents = _many(station, inventory, 2 * PAGE + 5)
    pages = [list_devices(agents, number=n) for n in (1, 2, 3)]
    shown = [row.id for page in pages for group in page.groups for row in group.rows]
    assert shown == [f"d-{n:04d}" for n in range(2 * PAGE + 5)]
    assert [(page.number, page.pages, page.total) for page in pages] == [(n, 3, 2 * PAGE + 5) for n in (1, 2, 3)]
    assert list_devices(agents, number=9).number == 3


def test_only_what_fits_is_listed_when_searched(station: Station, inventory: Inventory) -> None:
    """Words in any case, all of them; what needs attention; an agent; groups of a kind."""
    agents = _many(station, inventory, 30)
    found = list_devices(agents, words="HYDRANT d-0007")
    assert [row.id for group in found.groups for row in group.rows] == ["d-0007"]
    assert list_devices(agents, only_attention=True).total == 1
    assert list_devices(agents, agent="shuiye/other").groups == []
    assert [len(group.rows) for group in list_devices(agents, by="kind").groups] == [29, 1]


def test_the_board_draws_what_needs_somebody_when_a_station_is_large(station: Station, inventory: Inventory) -> None:
    """Thousands of good devices are counted, not drawn; those with an alarm are drawn, the worst up to a bound."""
    station.all_good()
    snapshot = station._snapshot()
    device = inventory.devices[DEVICE]
    values = {key.removeprefix(f"{DEVICE}/"): row for key, row in snapshot["values"].items() if f"{DEVICE}/" in key}
    for n in range(5_000):
        inventory.devices[f"shuiye/d-{n:04d}"] = device._replace(id=f"d-{n:04d}")
        snapshot["values"] |= {f"shuiye/d-{n:04d}/{name}": row for name, row in values.items()}
    picture = Picture(now_ms, lambda *_: None)
    picture.apply(Event(event="snapshot", data=snapshot))
    assert all(not agent.more for agent in views.agent_rows(picture, inventory, TEXTS, now_ms()))
    picture.apply(_alarm(True, "shuiye/d-4999/pressure_kpa", None))
    assert _drawn(picture, inventory) == ["d-4999"]
    picture.apply(_alarm(False, "shuiye/d-4999/pressure_kpa", None))
    rows = [[f"shuiye/d-{n:04d}/pressure_kpa", now_ms(), 1.0, "bad:device"] for n in range(1_000)]
    picture.apply(Event(event="reading", data=rows))
    drawn = _drawn(picture, inventory)
    assert drawn == [f"d-{n:04d}" for n in range(len(drawn))]
    assert len(drawn) > views.MOST_TILES // 2


def _drawn(picture: Picture, inventory: Inventory) -> list[str]:
    """The made-up devices on the board. All that is not drawn is counted."""
    agents = views.board(picture, inventory, TEXTS, now_ms()).agents
    drawn = [row.id for agent in agents for _, _, rows in agent.lines for row in rows]
    assert len(drawn) <= views.MOST_TILES
    assert len(drawn) + sum(agent.more for agent in agents) == len(inventory.devices)
    return [one for one in drawn if one.startswith("d-")]
