"""Duty checks and monitoring centres on the pages and in the API."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.control.protocol import Event
from gateway.web.app import load_inventory
from gateway.web.duty import DutyScreen, duty_lines
from gateway.web.picture import Picture
from gateway.web.texts import Texts, load_catalogues
from tests.web.station import Browser, Station, now_ms, serving

ZONE = ZoneInfo("Asia/Shanghai")
NOW = 1_763_776_800_000
MINUTE = 60_000


def row(number: int = 1, state: str = "open", **other: Any) -> dict[str, Any]:
    """A check as the gateway tells it, asked a minute ago, with a minute left."""
    head = {"id": number, "site": "shuiye", "origin": "centre/city", "asked_ms": NOW - MINUTE, "until_ms": NOW + MINUTE}
    return {**head, "state": state, "answered_ms": None, "answered_by": None, **other}


def test_a_check_is_shown_as_long_as_it_matters(station: Station) -> None:
    """Open until the gateway says otherwise, missed for an hour after its time, answered for a minute."""
    screen = DutyScreen()
    screen.replace([row(1), row(2, "unanswered", until_ms=NOW - MINUTE)])
    screen.apply(row(3, "answered", answered_ms=NOW, answered_by="wang"))
    inventory = load_inventory(station.settings())
    texts = Texts("zh", load_catalogues()["zh"], ZONE)

    def shown(at_ms: int) -> list[tuple[int, str]]:
        return [(line.id, line.state) for line in duty_lines(screen, inventory, texts, at_ms)]

    assert duty_lines(screen, inventory, texts, NOW)[0].who == "监控中心 city"
    assert shown(NOW) == [(1, "open"), (2, "unanswered"), (3, "answered")]
    assert shown(NOW + MINUTE - 1) == [(1, "open"), (2, "unanswered"), (3, "answered")]
    assert shown(NOW + MINUTE) == [(1, "open"), (2, "unanswered")]
    assert shown(NOW + 59 * MINUTE) == [(1, "open")]


def test_what_was_answered_stays_and_what_was_open_goes_when_the_gateway_comes_back() -> None:
    """A snapshot has no answered ones; an open one that it does not name was answered meanwhile."""
    screen = DutyScreen()
    screen.replace([row(1), row(2)])
    screen.apply(row(2, "answered", answered_ms=NOW, answered_by="wang"))
    screen.replace([row(4)])
    assert [check.id for check in screen.waiting(NOW)] == [4]
    assert [check.id for check in screen.answered(NOW)] == [2]


def test_a_duty_event_is_no_unknown_device() -> None:
    """It goes to the screens under its own name, and the heartbeat lists it."""
    told: list[str] = []
    picture = Picture(lambda: NOW, lambda name, _: told.append(name))
    picture.apply(Event(event="duty", data=row(7)))
    assert (told, picture.unknown_devices, picture.waiting_duty()) == (["duty"], {}, [(7, NOW + MINUTE)])


@pytest.mark.parametrize(("left_ms", "text"), [(170_000, "02:50"), (59_001, "01:00"), (1, "00:01"), (-5, "00:00")])
def test_the_time_left_is_zero_only_when_it_is_over(left_ms: int, text: str) -> None:
    """As the page's script counts."""
    assert Texts("en", {}, ZONE).left(left_ms) == text


async def test_the_desk_sees_a_check_on_every_page_and_others_on_the_board_only(station: Station) -> None:
    """With the button for those who may answer; on the board below a fire and above all the rest."""
    for name in ("duty", "maintainer"):
        station.user(name)
    number = station.acts.check()
    station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    station.alarm("water-level-low", "shuiye/tank-01/level_m", "critical")
    async with station.gateway(), serving(station) as address:
        for name in ("duty", "maintainer"):
            may = name == "duty"
            async with Browser(address) as browser:
                await browser.sign_in(name)
                board = (await browser.get("/")).text
                assert (
                    board.index('class="fires"') < board.index(f'data-duty="{number}"') < board.index('class="counts"')
                )
                assert (f'action="/duty/{number}/answer"' in board) is may
                assert f"data-duty='[[{number}," in board.replace("&#34;", '"').replace('"[[', "'[[")
                for path in ("/devices", "/alarms", "/notifications", "/devices/shuiye/hydrant-01"):
                    html = (await browser.get(path)).text
                    assert (f'action="/duty/{number}/answer"' in html) is may, path
                    assert ('data-duty="null"' in html) is not may, path


async def test_an_answer_goes_to_the_gateway_once_with_who(station: Station) -> None:
    """From a form as from the API; a second one is told that somebody was faster; nothing without token or role."""
    for name in ("duty", "inspector"):
        station.user(name)
    first, second, missed = (
        station.acts.check(),
        station.acts.check(),
        station.acts.check(left_s=-9, state="unanswered"),
    )
    async with station.gateway(), serving(station) as address, Browser(address) as browser, Browser(address) as wall:
        await wall.sign_in("inspector")
        await browser.sign_in("duty")
        for who, csrf in ((wall, await wall.csrf()), (browser, "made up")):
            for path in (f"/duty/{first}/answer", f"/api/v1/duty-checks/{first}/answer"):
                assert (await who.post(path, headers={"X-CSRF-Token": csrf})).status_code == 403
        assert (await wall.get("/duty", headers={"HX-Request": "true"})).status_code == 403
        answer = await browser.submit("/devices", f"/duty/{first}/answer", next="/devices")
        assert (answer.status_code, answer.headers["location"]) == (303, "/devices")
        assert "Duty check answered" in (await browser.get("/devices")).text
        assert (await browser.submit("/", f"/duty/{first}/answer")).status_code == 409
        token = {"X-CSRF-Token": await browser.csrf()}
        waiting = (await wall.get("/api/v1/duty-checks")).json()["items"]
        assert [(check["id"], check["state"]) for check in waiting] == [(second, "open"), (missed, "unanswered")]
        told = (await browser.post(f"/api/v1/duty-checks/{second}/answer", headers=token)).json()
        assert (told["state"], told["answered_by"]) == ("answered", "duty")
        told = (await browser.post(f"/api/v1/duty-checks/{missed}/answer", headers=token)).json()
        assert told["state"] == "late"
        assert (await browser.post("/api/v1/duty-checks/99/answer", headers=token)).status_code == 404
        assert (await browser.get("/api/v1/duty-checks")).json()["items"] == []
    asked = [(ask.actor, ask.args["id"]) for ask in station.asked if ask.op == "duty.answer"]
    assert asked == [("duty", n) for n in (first, first, second, missed, 99)]


async def test_each_centre_stands_on_the_page_of_the_ways_out(station: Station) -> None:
    """Since when, what waits, what it denied; while the gateway is away nobody claims a connection."""
    station.user("inspector")
    hour_ago = now_ms() - 3_600_000
    counts = {"since_ms": hour_ago, "connects": 1, "confirmed": 9, "untold_values": 0}
    station.centres = {
        "city": {**counts, "connected": True, "denied": 0, "repeated": 3, "last_confirm_ms": hour_ago},
        "county": {**counts, "connected": False, "denied": 2, "repeated": 0, "last_confirm_ms": None},
    }
    station.db.executemany(
        "INSERT INTO upward (centre, urgency, type, object, created_ms, done_ms) VALUES (?, 2, 2, x'00', ?, ?)",
        [("county", hour_ago + 5, None), ("county", hour_ago, None), ("city", hour_ago, hour_ago)],
    )
    async with serving(station) as address, Browser(address) as browser:
        async with station.gateway():
            await browser.sign_in("inspector")
            html = (await browser.get("/notifications")).text
            city, county = html.split('data-centre="city"')[1].split('data-centre="county"')
            assert "connected" in city
            assert "nothing waits" in city
            assert "sent again: 3" in city
            assert "1 h ago" in city
            assert "denied" not in city
            assert "not connected" in county
            assert "2 waiting" in county
            assert "denied by the centre: 2" in county
            rows = (await browser.get("/api/v1/centres")).json()["items"]
            assert [(row["centre"], row["connected"], row["waiting"]) for row in rows] == [
                ("city", True, 0),
                ("county", False, 2),
            ]
            assert rows[1]["oldest_ms"] == hour_ago
        while (await browser.get("/api/v1/status")).json()["connected"]:
            pass
        rows = (await browser.get("/api/v1/centres")).json()["items"]
        assert [(row["connected"], row["since_ms"], row["waiting"]) for row in rows] == [
            (None, None, 0),
            (None, None, 2),
        ]
