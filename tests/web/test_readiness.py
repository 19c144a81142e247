"""Readiness and equipment on their pages and in the API, on the gateway itself."""

from __future__ import annotations

from pathlib import Path

import yaml

from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from tests.web.station import SITE, Browser, Station, serving

NEW = "three short horns at noon"
STATION = """
station:
  grade: 3
  posts: [{id: control, title: {zh: 控制室, en: Control room}}]
  equipment:
    - {id: radio, title: {zh: 对讲机, en: Radios}, kind: radio, count: 4, check_every_h: 8}
    - {id: bottles, title: {zh: 灭火器, en: Extinguishers in bays}, kind: extinguisher, devices: [bay-01]}
"""


async def test_readiness_and_equipment_are_shown_ticked_accepted_and_withdrawn(tmp_path: Path, free_port: int) -> None:
    """What takes from a station stands on its page; ticks and accepted risks go through the gateway; not official."""
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    site = {**yaml.safe_load(SITE), **yaml.safe_load(STATION)}
    station.site_file.write_text(yaml.safe_dump(site, allow_unicode=True), "utf-8")
    async with open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=free_port)) as gateway:
        password = gateway.one_time_passwords["administrator"]
        async with serving(station) as address, Browser(address) as browser:
            await browser.sign_in("administrator", password)
            await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            html = (await browser.get("/station")).text
            assert "not an official score" in html
            assert "Not known" in html  # nobody has spoken yet
            assert "Agent one" in html or "edge1" in html
            now = (await browser.get("/api/v1/readiness")).json()["items"][0]
            assert (now["level"], now["score"]) == ("unknown", None)
            assert now["stale"] == ["shuiye/edge1", "shuiye/edge2"]
            rules = {row["rule"] for row in now["deductions"]}
            assert {"station-data-stale", "station-equipment-unchecked"} <= rules

            html = (await browser.get("/equipment")).text
            assert "Not checked in time" in html
            form = {"count": "4", "result": "ok", "expires": "2090-01-31"}
            answer = await browser.submit("/equipment", "/equipment/shuiye/radio", **form)
            assert answer.status_code == 303
            listed = (await browser.get("/api/v1/equipment")).json()["items"][0]
            assert [line["status"] for line in listed["lines"]] == ["ok", "ok"]
            assert "valid to 2090-01-31" in (await browser.get("/equipment")).text
            bad = await browser.submit("/equipment", "/equipment/shuiye/radio", count="3", result="short")
            assert bad.status_code == 422
            now = (await browser.get("/api/v1/readiness")).json()["items"][0]
            assert "station-equipment-unchecked" not in {row["rule"] for row in now["deductions"]}

            stale = {"rule": "station-data-stale", "subject": "shuiye/register/data", "days": "3", "reason": "moving"}
            answer = await browser.submit("/station", "/station/shuiye/risks", **stale)
            assert answer.status_code == 303
            html = (await browser.get("/station")).text
            assert "accepted risk" in html
            assert "moving" in html
            risk = (await browser.get("/api/v1/readiness")).json()["items"][0]["risks"][0]
            await browser.submit("/station", f"/station/risks/{risk['id']}/withdraw")
            assert (await browser.get("/api/v1/readiness")).json()["items"][0]["risks"] == []

            told = (await browser.get("/api/v1/readiness/shuiye")).json()
            assert told["ms"]["ready"] == 0
            assert "official" in told["note"]
            assert (await browser.get("/api/v1/readiness/nowhere")).status_code == 404
