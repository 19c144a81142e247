"""Pages and API over a real socket, on a real ledger and history."""

from __future__ import annotations

import math

from gateway.history.base import Row
from gateway.web.settings import WebSettings
from tests.web.station import HOUR_MS, Browser, Station, csrf_in, now_ms, serving

EVIL = "<img src=x onerror=alert(1)>"


def _unknown(station: Station) -> None:
    at = now_ms()
    station.db.execute("INSERT INTO unknown_device VALUES ('shuiye', 'hydrant-09', 'edge1', ?, ?, 1, 0)", (at, at))
    station.db.execute(
        "INSERT INTO unknown_reading (site, device, point, observed_ms, received_ms, value, quality) "
        "VALUES ('shuiye', 'hydrant-09', ?, ?, ?, ?, 'good')",
        (f"hydrant-09/{EVIL}", at, at, f'"{EVIL}"'),
    )
    station.db.execute(
        "INSERT INTO quarantine VALUES (1, 'shuiye/edge1', 'undecodable', ?, ?, ?, 3, 31, ?)",
        (EVIL, at, at, b"\xff\xfe" + EVIL.encode()),
    )


async def test_what_strangers_wrote_is_shown_as_text(station: Station) -> None:
    """Titles, samples, details, notes and names from outside stay inert."""
    station.user("administrator")
    _unknown(station)
    alarm = station.alarm("panel-fire", "shuiye/panel-01/p012", "fire", value=EVIL)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("administrator")
        pages = [(await browser.get("/devices")).text]
        await browser.submit(
            "/devices", "/devices/approve", site="shuiye", device="hydrant-09", profile="hydrant-municipal",
            title_zh=EVIL, title_en=EVIL,
        )  # fmt: skip
        await browser.submit(f"/alarms/{alarm}", f"/alarms/{alarm}/acknowledge", note=EVIL)
        for path in ("/", "/devices", "/devices/shuiye/hydrant-09", f"/alarms/{alarm}", "/alarms"):
            pages.append((await browser.get(path)).text)
    for html in pages:
        assert "<img" not in html
        assert "onerror" not in html or "&lt;img src=x onerror=alert(1)&gt;" in html


async def test_a_maintainer_approves_an_unknown_device_and_it_becomes_a_device(station: Station) -> None:
    """The command carries who, what and the titles; the device then has a page."""
    station.user("maintainer")
    _unknown(station)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        assert "hydrant-09" in (await browser.get("/devices")).text
        answer = await browser.submit(
            "/devices", "/devices/approve", site="shuiye", device="hydrant-09", profile="hydrant-municipal",
            title_zh="新消火栓", title_en="New hydrant",
        )  # fmt: skip
        assert answer.headers["location"] == "/devices/shuiye/hydrant-09"
        assert "New hydrant" in (await browser.get("/devices/shuiye/hydrant-09")).text
        ask = next(ask for ask in station.asked if ask.op == "device.approve")
        assert (ask.actor, ask.args["profile"], ask.args["title_zh"]) == ("maintainer", "hydrant-municipal", "新消火栓")
        await browser.submit("/devices", "/refused/1/dismiss")
        assert "No message was refused." in (await browser.get("/devices")).text


async def test_acknowledge_shows_who_and_when_and_the_second_is_told_somebody_was_faster(station: Station) -> None:
    """By form and by API, with the note kept."""
    station.user("duty")
    alarm = station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        csrf = {"X-CSRF-Token": await browser.csrf()}
        answer = await browser.post(f"/api/v1/alarms/{alarm}/acknowledge", json={"note": "smoke seen"}, headers=csrf)
        assert (answer.status_code, answer.json()["acknowledged_by"]) == (200, "duty")
        steps = (await browser.get(f"/api/v1/alarms/{alarm}")).json()["transitions"]
        assert [(s["event"], s["actor"], s["note"]) for s in steps] == [
            ("raise", "rule", ""),
            ("acknowledge", "duty", "smoke seen"),
        ]
        answer = await browser.post(f"/api/v1/alarms/{alarm}/acknowledge", json={}, headers=csrf)
        assert (answer.status_code, answer.json()["title"]) == (409, "Conflict")
        answer = await browser.post("/api/v1/alarms/77/acknowledge", json={}, headers=csrf)
        assert answer.json()["status"] == 404


async def test_the_board_says_what_burns_where_since_when_and_what_next(station: Station) -> None:
    """In Chinese first, in English for an English browser."""
    station.user("duty")
    station.alarm("panel-fire", "shuiye/panel-01/p012", "fire", ago_s=92)
    async with station.gateway(), serving(station) as address, Browser(address, "fr") as browser:
        await browser.sign_in("duty")
        html = (await browser.get("/")).text
        for text in ("火警", "点位 12", "消防控制室", "已持续", "下一步", "119", "确认"):
            assert text in html
        await browser.submit("/", "/preferences", language="en")
        html = (await browser.get("/")).text
        assert '<span class="label">for</span>' in html
        assert 'lang="en"' in html


async def test_history_is_thinned_and_gaps_stay_gaps(station: Station) -> None:
    """A year of values becomes at most 600 buckets with minimum, mean and maximum; silence is null."""
    station.user("inspector")
    now = now_ms() // 60_000 * 60_000
    rows = [
        Row("shuiye", "hydrant-01", "pressure_kpa", now - n * 60_000, 200.0 + math.sin(n), "good")
        for n in range(1, 3000)
        if not 100 < n < 200
    ]
    rows += [
        Row("shuiye", "pump-01", "mode", now - n * 60_000, "auto" if n > 30 else "manual", "good") for n in range(60)
    ]
    await station.remember(rows)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("inspector")

        async def ask(point: str, hours: int) -> dict[str, object]:
            query = {"point": point, "from_ms": now - hours * HOUR_MS, "to_ms": now}
            answer = await browser.get("/api/v1/history", params=query)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        day = await ask("shuiye/hydrant-01/pressure_kpa", 24)
        buckets = day["buckets"]
        assert isinstance(buckets, list)
        assert 100 < len(buckets) <= 600
        assert buckets.count(None) == 1
        assert all(b[1] <= b[2] <= b[3] for b in buckets if b)
        year = await ask("shuiye/hydrant-01/pressure_kpa", 8760)
        assert sum(b[4] for b in year["buckets"] if b) == len(rows) - 60  # type: ignore[attr-defined]  # JSON
        mode = await ask("shuiye/pump-01/mode", 1)
        assert [s[2] for s in mode["segments"]] == ["auto", "manual"]  # type: ignore[attr-defined]  # JSON
        answer = await browser.get("/api/v1/history", params={"point": "shuiye/x/y", "from_ms": 0, "to_ms": 1})
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no such point.")


async def test_pages_stay_up_and_show_nothing_as_good_when_the_gateway_is_away(station: Station) -> None:
    """The last picture with its cause; commands say that nothing was changed."""
    station.user("duty")
    alarm = station.alarm("panel-fault", "shuiye/panel-01/p007", "warning")
    async with serving(station) as address, Browser(address) as browser:
        async with station.gateway():
            await browser.sign_in("duty")
            csrf = csrf_in((await browser.get("/")).text)
            assert (await browser.get("/healthz")).text == "ok\ngateway answering\n"
        answer = await browser.get("/")
        assert answer.status_code == 200
        assert "Not everything is seen" in answer.text
        assert "st-good" not in answer.text
        status = (await browser.get("/api/v1/status")).json()
        assert (status["connected"], status["devices"]) == (False, {"unknown": 10})
        answer = await browser.post(f"/alarms/{alarm}/acknowledge", data={"csrf": csrf})
        assert answer.status_code == 503
        assert "nothing was changed" in answer.text


async def test_a_gateway_that_hangs_counts_as_away(station: Station) -> None:
    """An open connection without answers is no connection."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        station.mute = True
        while (await browser.get("/healthz")).text != "ok\ngateway not answering\n":
            pass


async def test_the_api_describes_itself_and_answers_errors_as_problems(station: Station) -> None:
    """OpenAPI lists every API route with its errors; an odd parameter is a problem document."""
    station.user("inspector")
    async with station.gateway(), serving(station, WebSettings(port=0)) as address, Browser(address) as browser:
        await browser.sign_in("inspector")
        described = (await browser.get("/api/v1/openapi.json")).json()
        assert "/api/v1/alarms/{alarm_id}/acknowledge" in described["paths"]
        answer = await browser.get("/api/v1/alarms", params={"limit": 0})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        values = (await browser.get("/api/v1/values", params={"point": "shuiye/hydrant-01/pressure_kpa"})).json()[
            "items"
        ]
        assert [(v["value"], v["unit"], v["status"]) for v in values] == [(212.4, "kPa", "good")]


async def test_a_device_of_an_unknown_site_is_not_offered_for_approval(station: Station) -> None:
    """Approval would be refused: the list says what is missing instead."""
    station.user("maintainer")
    at = now_ms()
    station.db.execute("INSERT INTO unknown_device VALUES ('elsewhere', 'hydrant-09', 'edge1', ?, ?, 1, 0)", (at, at))
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        html = (await browser.get("/devices")).text
        assert "has no site file here" in html
        assert 'action="/devices/approve"' not in html


async def test_a_refusal_is_told_in_the_language_of_the_reader(station: Station) -> None:
    """Pages speak it; the API keeps the gateway's own words."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address, "zh") as browser:
        await browser.sign_in("duty")
        answer = await browser.submit("/", "/alarms/77/acknowledge")
        assert (answer.status_code, "该内容已不存在" in answer.text) == (404, True)
        csrf = {"X-CSRF-Token": await browser.csrf()}
        answer = await browser.post("/api/v1/alarms/77/acknowledge", json={}, headers=csrf)
        assert answer.json()["detail"] == "alarm 77: no such alarm."
