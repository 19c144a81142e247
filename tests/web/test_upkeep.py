"""Health by cause and work orders on pages and API, with the gateway behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contract.grid import Grid, GridFile
from contract.profile import ProfileLibrary
from contract.site import load_site
from gateway.control.protocol import AlarmView
from gateway.web.inventory import Inventory
from gateway.web.picture import Current, Picture
from gateway.web.texts import Texts, load_catalogues
from gateway.web.upkeep.health import Row, causes, kind_of
from gateway.web.upkeep.trending import Trend, trends
from gateway.work.order_life import Cause, Order
from rules.model import load_packs
from tests.web.station import SITE
from tests.web.upkeep_house import House, open_upkeep

NOW = 1_763_776_800_000
RULES = load_packs([], {})


def told(number: int, rule: str, subject: str, *, ago_s: float = 60, **more: Any) -> AlarmView:
    """An alarm that stands."""
    at_ms = NOW - int(ago_s * 1000)
    site, device = subject.split("/")[:2]
    return AlarmView(
        id=number, rule=rule, subject=subject, site=site, device=device, severity=RULES[rule].severity,
        state="unacknowledged", active=True, retrospective=False, raised_ms=at_ms, recorded_ms=at_ms, cleared_ms=None,
        acknowledged_ms=None, acknowledged_by=None, inputs={}, **more,
    )  # fmt: skip


def rows_of(tmp_path: Path, *alarms: AlarmView, orders: tuple[Order, ...] = ()) -> list[Row]:
    """What the page would show of these alarms."""
    path = tmp_path / "shuiye.yaml"
    path.write_text(SITE, "utf-8")
    library = ProfileLibrary()
    site = load_site(path, library)
    inventory = Inventory({"shuiye": site}, RULES, library, grid=Grid(GridFile(), {"shuiye": site}))
    picture = Picture(lambda: NOW, lambda *_: None)
    picture.alarms = {alarm.id: alarm for alarm in alarms}
    texts = Texts("en", load_catalogues()["en"], ZoneInfo("Asia/Shanghai"))
    return causes(picture, inventory, orders, texts, NOW)


def test_what_hides_fires_comes_first_when_causes_are_listed(tmp_path: Path) -> None:
    """A lost line with a panel before one without, that before what only takes from readiness, then the oldest."""
    found = rows_of(
        tmp_path,
        told(1, "hydrant-signal-weak", "shuiye/hydrant-01/signal_dbm", ago_s=9000),
        told(2, "hydrant-battery-low", "shuiye/hydrant-01/battery_pct", ago_s=500),
        told(3, "panel-main-power", "shuiye/panel-01/main_power"),
        told(4, "line-lost", "shuiye/line-field", ago_s=80),
        told(5, "line-lost", "shuiye/line-panel-line", ago_s=10),
        told(6, "panel-silent", "shuiye/panel-02", ago_s=10),
        told(7, "hydrant-pressure-low", "shuiye/hydrant-01/pressure_kpa"),
    )
    assert [row.node.partition("/")[2] for row in found] == [
        "line-panel-line", "panel-02", "line-field", "panel-01", "hydrant-01", "hydrant-01",
    ]  # fmt: skip
    assert [(row.kind, row.devices, row.blind) for row in found[:4]] == [
        ("line", 1, 16), ("unit", 1, 1), ("line", 5, 0), ("unit", 1, 0),
    ]  # fmt: skip
    assert [row.kind for row in found[4:]] == ["signal", "battery"]  # pressure is what the town does, not the plant


def test_alarms_of_one_cause_are_one_row_when_they_say_the_same_thing(tmp_path: Path) -> None:
    """Several faults of a device are one row; what follows from a cause above, or belongs to a drill, is none."""
    order = Order(id=3, site="shuiye", state="open", from_ms=NOW, subject="shuiye/bay-01", due_ms=NOW)
    (row,) = rows_of(
        tmp_path,
        told(1, "sensor-fault", "shuiye/bay-01/pressure_kpa"),
        told(2, "sensor-fault", "shuiye/bay-01/temperature_c", ago_s=900),
        told(3, "device-silent", "shuiye/hydrant-01", cause="shuiye/line-field"),
        told(4, "device-silent", "shuiye/hydrant-02", drill=2),
        orders=(order,),
    )
    assert (row.kind, row.since_ms, len(row.alarms), [o.id for o in row.orders]) == ("unit", NOW - 900_000, 2, [3])


@pytest.mark.parametrize(
    ("rule", "subject", "kind"),
    [
        ("agent-lost", "shuiye/edge1", "line"),
        ("clock-skew", "shuiye/agent-edge1", "clock"),
        ("outbox-backlog", "shuiye/agent-edge1/outbox_age_s", "backlog"),
        ("disk-low", "system/gateway/disk_free_pct", "history"),
        ("broker-lost", "system/gateway/broker_connected", "line"),
        ("calibration-due", "shuiye/hydrant-01", "date"),
        ("sensor-missing", "shuiye/hydrant-01/pressure_kpa", "unit"),
        ("hydrant-stuck", "shuiye/hydrant-01/pressure_kpa", "unit"),
        ("panel-fire", "shuiye/panel-01/p001", None),
        ("hydrant-leak-night", "shuiye/hydrant-01", None),
    ],
)
def test_a_rule_says_which_part_is_unhealthy_when_it_speaks(rule: str, subject: str, kind: Cause | None) -> None:
    """By what it watches, not by its name."""
    assert kind_of(RULES[rule], subject) == kind


@pytest.fixture
async def house(tmp_path: Path, free_port: int) -> AsyncIterator[House]:
    """A station in which everything is well but one panel's main power, and one date."""
    async with open_upkeep(tmp_path, free_port) as made:
        made.plant.wake()
        made.plant.all_good()
        made.plant.say("panel-01/main_power", "fault")
        await made.plant.settled()
        yield made


async def test_an_order_closes_by_itself_when_the_data_shows_the_work(house: House) -> None:
    """From the cause over the form to done; a value from before does not close it, one measured after does."""
    browser = await house.browser("maintainer")
    html = await house.shown(browser, "/upkeep", "Panel main power")
    assert "1</b> devices" in html
    alarm = html.split("/upkeep/orders/new?cause=unit&amp;alarm=")[1].split('"')[0]
    form = {"alarm_id": alarm, "cause": "unit", "priority": "urgent", "title": "", "owner": "maintainer"}
    page = f"/upkeep/orders/new?alarm={alarm}"
    first = await browser.submit(page, "/upkeep/orders", **form)
    assert first.headers["location"] == "/upkeep/orders/1"
    again = await browser.submit(page, "/upkeep/orders", **form)  # a second click is no second order
    assert again.headers["location"] == "/upkeep/orders/1"
    here = "/upkeep/orders/1"
    assert (await browser.submit(here, f"{here}/steps", step="use", name="fuse", count="2")).status_code == 303
    assert (await browser.submit(here, f"{here}/steps", step="window", hours="1")).status_code == 303
    done = {"step": "done", "note": "fuse changed", "works": "maintenance"}
    assert (await browser.submit(here, f"{here}/steps", **done)).status_code == 303
    assert "it still stands" in (await browser.get(here)).text
    house.plant.say("panel-01/main_power", "normal")
    html = await house.shown(browser, here, "by the data")
    assert "fuse × 2" in html
    assert house.ledger.work("shuiye", "panel-01", 5)[0].work == "maintenance"
    actions = [row.action for row in house.ledger.entry_history("order", 1)]
    assert actions == [
        "order.open", "order.take", "order.see", "order.use", "order.window", "order.done", "order.clear",
        "order.confirm",
    ]  # fmt: skip


async def test_what_is_near_a_limit_is_told_by_page_and_api_alike(house: House) -> None:
    """A battery on its way to its limit, with the rule that will speak, though a date of its device is due."""
    browser, address = await house.browser("maintainer"), "/api/v1/near-limits?kind=battery"
    assert (await browser.get(address)).json()["items"] == []
    house.plant.say("hydrant-01/battery_pct", 26.0)
    await house.plant.settled()
    await house.shown(browser, "/upkeep?kind=battery", "/devices/shuiye/hydrant-01")
    (found,) = (await browser.get(address)).json()["items"]
    assert (found["point"], found["value"], found["side"]) == ("shuiye/hydrant-01/battery_pct", 26.0, "below")
    assert (found["limit"], found["near"], found["rule"]) == (20.0, 0.6, "hydrant-battery-low")
    assert (await browser.get(f"{address}&site=elsewhere")).json()["items"] == []


async def test_orders_over_the_api_are_those_of_the_pages(house: House) -> None:
    """The same order, its history, lists in turns, problems in words."""
    browser = await house.browser("maintainer")
    await house.shown(browser, "/upkeep", "Panel main power")
    (cause,) = (await browser.get("/api/v1/causes?kind=unit")).json()["items"]
    assert (cause["node"], cause["effect"], cause["devices"]) == ("shuiye/panel-01", "degraded", 1)
    headers = {"X-CSRF-Token": await browser.csrf()}
    body = {"alarm_id": cause["alarms"][0], "cause": "unit"}
    order = (await browser.post("/api/v1/orders", json=body, headers=headers)).json()
    assert (order["state"], order["needs_data"]) == ("open", True)
    by_hand = {"site": "shuiye", "place": "gate", "title": "paint it"}
    other = (await browser.post("/api/v1/orders", json=by_hand, headers=headers)).json()
    steps = f"/api/v1/orders/{other['id']}/steps"
    for step in ({"step": "take"}, {"step": "done", "note": "painted"}):
        assert (await browser.post(steps, json=step, headers=headers)).status_code == 200
    refused = await browser.post(steps, json={"step": "close"}, headers=headers)
    assert refused.status_code == 409  # a second person looks at it
    assert 'href="/upkeep/orders/1"' in (await browser.get("/devices/shuiye/panel-01")).text
    page = (await browser.get("/api/v1/orders?show=all&limit=1")).json()
    rest = (await browser.get(f"/api/v1/orders?show=all&limit=1&after={page['next']}")).json()
    assert [row["id"] for row in (*page["items"], *rest["items"])] == [2, 1]
    assert (await browser.get("/api/v1/orders/1/history")).json()["items"][0]["action"] == "order.open"
    assert (await browser.get("/api/v1/orders/77")).status_code == 404


async def test_what_is_entered_wrongly_is_told_when_an_order_is_opened(house: House) -> None:
    """Nothing to do, a date that is over, a strange site, a step that is not next: a sentence each, nothing done."""
    browser = await house.browser("maintainer")
    new = "/upkeep/orders/new"
    yesterday = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
    for fields, said in (
        ({"site": "shuiye"}, "Say what is to be done."),
        ({"site": "shuiye", "title": "x", "until": yesterday}, "The date must lie in the future."),
        ({"site": "shuiye", "title": "x", "priority": "now"}, "Check what you entered."),
    ):
        answer = await browser.submit(new, "/upkeep/orders", **fields)
        assert answer.status_code == 422
        assert said in answer.text
    assert (await browser.submit(new, "/upkeep/orders", site="mars", title="x")).status_code == 404
    await browser.submit(new, "/upkeep/orders", site="shuiye", title="<img src=x onerror=alert(1)>")
    assert (await browser.submit(new, "/upkeep/orders/1/steps", step="done", note="x")).status_code == 409
    assert "<img src=x" not in (await browser.get("/upkeep/orders/1")).text
    inspector = await house.browser("inspector")
    assert (await inspector.get("/upkeep/orders/1")).status_code == 200
    assert (await inspector.get(new)).status_code == 403


def trends_of(tmp_path: Path, values: dict[str, Any], *alarms: AlarmView, ago_s: float = 5) -> list[Trend]:
    """What the page would call near a limit, of these last values (`device/point` -> value)."""
    path = tmp_path / "shuiye.yaml"
    path.write_text(SITE, "utf-8")
    library = ProfileLibrary()
    inventory = Inventory({"shuiye": load_site(path, library)}, RULES, library)
    picture = Picture(lambda: NOW, lambda *_: None)
    for point, value in values.items():
        device, _, name = f"shuiye/{point}".rpartition("/")
        picture.values[f"{device}/{name}"] = Current(NOW - int(ago_s * 1000), value, "good")
        picture.names.setdefault(device, {})[name] = None
    picture.alarms = {alarm.id: alarm for alarm in alarms}
    return trends(picture, inventory, Texts("en", load_catalogues()["en"], ZoneInfo("Asia/Shanghai")), NOW)


WORSENING = {
    "hydrant-01/battery_pct": 26.0,  # 60 % of the way from 35 to 20
    "hydrant-02/battery_pct": 90.0,
    "hydrant-01/signal_dbm": -109.0,
    "line-field/failed_pct": 4.0,
    "line-field/busy_pct": 20.0,
    "agent-edge1/clock_offset_ms": -28_000.0,
    "agent-edge1/outbox_age_s": 700.0,  # beyond; the rule waits a minute
}


def test_what_is_near_its_limit_is_listed_the_nearest_first_with_limit_and_rule(tmp_path: Path) -> None:
    """Line, battery, signal, clock, backlog; what is well is not in it."""
    found = trends_of(tmp_path, WORSENING)
    assert [(row.kind, row.key.partition("/")[2], round(row.near, 2)) for row in found] == [
        ("backlog", "agent-edge1/outbox_age_s", 1.21),
        ("clock", "agent-edge1/clock_offset_ms", 0.9),  # all of its devices are behind it
        ("signal", "hydrant-01/signal_dbm", 0.9),
        ("line", "line-field/failed_pct", 0.75),
        ("battery", "hydrant-01/battery_pct", 0.6),
    ]
    assert [(row.side, row.limit, row.rule) for row in found] == [
        ("above", 600.0, "outbox-backlog"),
        ("below", -30_000.0, "clock-skew"),
        ("below", -110.0, "hydrant-signal-weak"),
        ("above", 5.0, ""),
        ("below", 20.0, "hydrant-battery-low"),
    ]
    assert found[0].behind >= found[1].behind


def test_a_value_is_not_called_near_when_it_alarms_or_is_too_old(tmp_path: Path) -> None:
    """An alarm stands among the causes; an old value says nothing of now."""
    battery = {"hydrant-01/battery_pct": 26.0}
    alarm = told(1, "hydrant-battery-low", "shuiye/hydrant-01/battery_pct")
    assert trends_of(tmp_path, battery, alarm) == []
    assert trends_of(tmp_path, battery, ago_s=86_400) == []
    assert trends_of(tmp_path, {"hydrant-01/battery_pct": True}) == []
