"""Incidents and the grid on pages and API with the gateway behind them; a user of one area sees that area."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from contract.messages import Batch, Reading
from contract.mqtt import MqttSettings
from gateway.app import Gateway, open_gateway
from gateway.history.settings import EmbeddedSettings
from tests.gateway.harness import arrival, until
from tests.gateway.incident_town import people, write_town
from tests.web.station import Browser, Station, now_ms, serving

NEW = "three short horns at noon"


class Town:
    """The whole product on one machine."""

    def __init__(self, gateway: Gateway, address: str, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self._address = address
        self._stack = stack
        self._seqs: dict[str, int] = {}

    async def browser(self, role: str) -> Browser:
        """A browser with that role signed in."""
        browser = await self._stack.enter_async_context(Browser(self._address))
        await browser.sign_in(role, self.gateway.one_time_passwords[role])
        await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
        return browser

    async def fire(self, site: str, word: str = "fire") -> None:
        """A panel of that site speaks; the gateway has it when this returns."""
        seq = self._seqs[site] = self._seqs.get(site, 0) + 1
        reading = Reading("panel-01/p001", now_ms(), word, "good")
        made = Batch(
            site=site, agent="edge1", epoch="e1", lane="alarm", seq=seq, oldest=1, sent_ms=now_ms(), readings=[reading]
        )
        before = self.gateway.pipeline.status()["passed"]
        assert self.gateway.pipeline.offer(arrival(made, now_ms()))
        await until(lambda: self.gateway.pipeline.status()["passed"] > before)
        active = word == "fire"
        await until(lambda: self._burns(site) is active)

    def _burns(self, site: str) -> bool:
        alarms = self.gateway.pipeline.working.book.open.values()
        return any(alarm.site == site and alarm.severity == "fire" and alarm.active for alarm in alarms)


@asynccontextmanager
async def town(folder: Path, port: int) -> AsyncIterator[Town]:
    """Gateway and pages of the town; nothing of its broker is there."""
    settings = write_town(folder)
    station = Station.__new__(Station)
    station.settings = lambda: settings  # type: ignore[method-assign] # the town's own files
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        gateway = await enter(open_gateway(settings, EmbeddedSettings(), MqttSettings(port=port), notify=people()))
        yield Town(gateway, await enter(serving(station)), stack)


async def test_a_fire_is_followed_to_its_complete_sheet_when_people_enter_what_they_do(
    tmp_path: Path, free_port: int
) -> None:
    """By forms and by API: confirmed, neighbours called, there, found, closed; the timeline has written itself."""
    async with town(tmp_path, free_port) as made:
        desk, admin = await made.browser("duty"), await made.browser("administrator")
        csrf = {"X-CSRF-Token": await admin.csrf()}
        taken_on = await admin.submit("/people", "/people", name="赵六", site="shuiye", roles="fighter")
        number = taken_on.headers["location"].rpartition("/")[2]
        await made.fire("shuiye")
        html = (await desk.get("/incidents")).text
        assert "Incident no. 1" in html
        assert "Confirm the fire" in (await desk.get("/incidents/1")).text
        await step(desk, "confirm")
        html = (await desk.get("/incidents/1")).text
        assert "1112 m" in html
        assert "2780 m" in html
        answer = await desk.submit("/incidents/1", "/incidents/1/steps", step="close")
        assert (answer.status_code, "still stands" in answer.text) == (409, True)
        await step(desk, "arrive", station="shuiye", people=number)
        await step(desk, "answer", station="east")
        await step(desk, "brigade", what="called")
        lines = (await desk.get("/api/v1/incidents/1")).json()["timeline"]
        assert [line["what"] for line in lines if line["source"] == "incident"] == [
            "Incident opened", "Fire confirmed", "Neighbour called", "Neighbour called", "Crew there",
            "Neighbour answered", "Fire brigade",
        ]  # fmt: skip
        assert {"alarm", "notice"} <= {line["source"] for line in lines}
        sheet = (await desk.get("/incidents/1/sheet")).text
        assert "The sheet lacks:" in sheet
        await step(desk, "find", finding="real", found="oil in a pan", cause="left alone")
        await made.fire("shuiye", "normal")
        await step(desk, "close", text="handed over")
        sheet = (await desk.get("/incidents/1/sheet")).text
        for text in (
            "The sheet is complete.",
            "赵六",
            "oil in a pan",
            "left alone",
            "handed over",
            "Assistance wanted",
        ):
            assert text in sheet, text
        assert (await admin.get("/api/v1/incidents")).json()["items"] == []
        opened = await admin.post("/api/v1/incidents", json={"site": "hill", "text": "smoke"}, headers=csrf)
        assert opened.json()["row"]["calls"] == []
        args = {"step": "find", "finding": "false", "false_class": "steam", "found": "none"}
        found = await admin.post("/api/v1/incidents/2/steps", json=args, headers=csrf)
        assert (found.status_code, found.json()["missing"]) == (200, ["arrival", "people"])
        assert (await admin.get("/api/v1/incidents/99")).status_code == 404


async def test_a_user_of_one_area_sees_and_does_what_lies_there_only(tmp_path: Path, free_port: int) -> None:
    """Pages, API, commands and the stream; what lies elsewhere does not exist for them."""
    async with town(tmp_path, free_port) as made:
        desk, admin = await made.browser("duty"), await made.browser("administrator")
        await made.fire("east")
        assert "east" in (await desk.get("/")).text
        answer = await admin.submit("/admin/accounts", "/admin/accounts/duty/rights", role="duty", area="nowhere")
        assert answer.status_code == 404
        await admin.submit("/admin/accounts", "/admin/accounts/duty/rights", role="duty", area="west-side")
        assert (await desk.get("/api/v1/session")).json()["area"] == "west-side"
        (alarm,) = [a for a in (await admin.get("/api/v1/alarms")).json()["items"] if a["severity"] == "fire"]
        pages = ("/devices/east/panel-01", f"/alarms/{alarm['id']}", "/incidents/1")
        for path in (*pages, "/incidents/1/sheet", *(f"/api/v1{page}" for page in pages)):
            assert (await admin.get(path)).status_code == 200, path
            assert (await desk.get(path)).status_code == 404, path
        csrf = {"X-CSRF-Token": await desk.csrf()}
        tries: list[tuple[str, dict[str, Any]]] = [
            (f"/api/v1/alarms/{alarm['id']}/acknowledge", {"note": ""}),
            ("/api/v1/incidents/1/steps", {"step": "confirm"}),
            ("/api/v1/incidents", {"site": "east", "text": "smoke"}),
        ]
        for path, body in tries:
            assert (await desk.post(path, json=body, headers=csrf)).status_code == 404, path
        await see_what_they_are_called_to(desk, admin)
        assert await devices(desk) == {"shuiye"}
        assert {a["site"] for a in (await desk.get("/api/v1/alarms")).json()["items"]} <= {"shuiye", "system"}
        assert [site["site"] for site in (await desk.get("/api/v1/sites")).json()["items"]] == ["shuiye"]
        tree = (await desk.get("/api/v1/grid")).json()["items"]
        assert ([area["area"] for area in tree], tree[0]["sites"]) == (["west-side"], ["shuiye"])
        assert "East side" not in (await desk.get("/grid")).text
        assert "Market" in (await desk.get("/grid")).text
        assert await first_heartbeat(desk) == []
        await admin.submit("/admin/accounts", "/admin/accounts/duty/rights", role="duty", area="")
        assert await first_heartbeat(desk) == [alarm["id"]]
        assert await devices(desk) == {"shuiye", "east", "port", "hill"}


async def see_what_they_are_called_to(desk: Browser, admin: Browser) -> None:
    """The fire of another area, once their station is called there: they read it and answer for themselves."""
    csrf, other = {"X-CSRF-Token": await desk.csrf()}, {"X-CSRF-Token": await admin.csrf()}
    path = "/api/v1/incidents/1/steps"
    assert (await admin.post(path, json={"step": "confirm"}, headers=other)).status_code == 200
    assert (await desk.get("/incidents/1")).status_code == 200
    assert [row["id"] for row in (await desk.get("/api/v1/incidents")).json()["items"]] == [1]
    assert (await desk.post(path, json={"step": "answer", "station": "shuiye"}, headers=csrf)).status_code == 200
    for body in ({"step": "answer", "station": "port"}, {"step": "note", "text": "x"}, {"step": "close"}):
        assert (await desk.post(path, json=body, headers=csrf)).status_code == 404, body


async def step(browser: Browser, name: str, **fields: str) -> None:
    """One step of incident 1 by its form."""
    answer = await browser.submit("/incidents/1", "/incidents/1/steps", step=name, **fields)
    assert answer.status_code == 303, answer.text[-2000:]


async def devices(browser: Browser) -> set[str]:
    """Sites of the devices that the reader is shown."""
    return {device["site"] for device in (await browser.get("/api/v1/devices")).json()["items"]}


async def first_heartbeat(browser: Browser) -> list[int]:
    """The fires that the stream's first heartbeat names."""
    async with browser.stream("GET", "/api/v1/stream") as answer, asyncio.timeout(10):
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                fires: list[int] = json.loads(line[6:])["fires"]
                return fires
    return []
