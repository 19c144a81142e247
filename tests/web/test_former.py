"""Devices that were taken out of a site file: found, with who they were and their life up to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from contract.messages import Batch, Reading
from contract.profile import ProfileLibrary
from gateway.assessment.completeness import stretches
from gateway.history.base import Row
from gateway.sites.register import SITE_VERSION, SiteVersion, sha256_of, version_path
from gateway.web.records.former import removed_of
from tests.gateway.harness import arrival
from tests.web.examples import Known
from tests.web.office import Office, open_office
from tests.web.station import HOUR_MS, SITE, Browser, Station, csrf_in, now_ms, serving
from tests.web.test_records import DAY_MS, kept, made, told


def without(*devices: str) -> str:
    """The site file without these."""
    text = yaml.safe_load(SITE)
    for agent in text["agents"]:
        for line in agent["lines"]:
            line["devices"] = [row for row in line["devices"] if row["id"] not in devices]
        agent["lines"] = [line for line in agent["lines"] if line["devices"]]
    return yaml.safe_dump(text, allow_unicode=True, sort_keys=False)


async def put_in_force(office: Office, text: str) -> None:
    """As an administrator does it."""
    token = csrf_in((await office.browser.get("/admin/sites")).text)
    answer = await office.browser.post(
        "/admin/sites/shuiye/file", data={"csrf": token}, files={"file": ("shuiye.yaml", text.encode())}
    )
    change = answer.headers["location"]
    await office.browser.post(change, data={"csrf": csrf_in((await office.browser.get(change)).text)})
    assert office.site_file.read_text("utf-8") == text


async def answers(office: Office, address: str, status: int) -> None:
    """Wait until the pages have read the file that is in force."""
    async with asyncio.timeout(20):
        while (await office.browser.get(address)).status_code != status:  # the pages are told by an event
            await asyncio.sleep(0.05)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """A real gateway."""
    async with open_office(tmp_path / "o") as made:
        yield made


async def test_a_device_that_was_taken_out_is_found_with_its_life_until_it_comes_back(office: Office) -> None:
    """Identity as it was, its fire, who took it out and when; the pages of what is installed do not know it."""
    browser, where = office.browser, "/records/shuiye/panel-01"
    number = await Known(office.gateway, "shuiye").get("alarm_id")
    assert "No device that was taken out" in (await browser.get("/records/former")).text
    await put_in_force(office, without("panel-01"))
    await answers(office, "/devices/shuiye/panel-01", 404)
    listed = (await browser.get("/records/former?text=panel")).text
    assert f'href="{where}"' in listed
    assert "administrator" in listed
    page = (await browser.get(where)).text
    assert "Taken out of the site file at" in page
    assert f'href="/alarms/{number}"' in page
    assert "panel-modbus" in page
    assert "taken out of the site file" in page.split('class="life"')[1]
    assert f"{where}/completeness" in page
    exported = (await made(browser, where, kind="life", site="shuiye", device="panel-01", file="csv")).text
    assert "Taken out of the site file at" in exported
    assert exported.count("taken out of the site file") == 1
    fields = {"kind": "completeness", "site": "shuiye", "device": "panel-01", "file": "csv"}
    assert "Taken out of the site file at" in (await made(browser, where, **fields)).text
    never = await browser.submit(where, "/records/exports", **{**fields, "device": "never-there"})
    assert never.status_code == 404
    told = (await browser.get(f"/api/v1{where}")).json()
    assert told["removed_ms"] == told["events"][0]["at_ms"] > 0
    assert max(event["at_ms"] for event in told["events"]) <= told["removed_ms"]
    assert (await browser.get("/records/shuiye/never-there")).status_code == 404
    await put_in_force(office, SITE)
    await answers(office, "/devices/shuiye/panel-01", 200)
    assert (await browser.get(f"/api/v1{where}")).json()["removed_ms"] is None
    assert f'href="{where}"' not in (await browser.get("/records/former")).text


async def test_a_device_that_was_taken_out_keeps_its_charts_and_its_certificate(office: Office) -> None:
    """Values, limits and events up to the day it went; what was due until then, and nothing after."""
    browser, key = office.browser, "shuiye/hydrant-01"
    began_ms = now_ms()
    first_ms = began_ms - 3 * HOUR_MS
    for seq, at_ms in enumerate(range(first_ms, began_ms, 60_000), 1):
        reading = Reading("hydrant-01/pressure_kpa", at_ms, 200.0 + seq, "good")
        batch = Batch(
            site="shuiye", agent="edge1", epoch="e1", lane="telemetry", seq=seq, oldest=1, sent_ms=at_ms,
            readings=[reading],
        )  # fmt: skip
        while not office.gateway.pipeline.offer(arrival(batch, at_ms)):
            await asyncio.sleep(0.01)  # its queue is full for a moment
    span = f"from_ms={first_ms}&to_ms={began_ms + HOUR_MS}"
    charts = f"/api/v1/charts?{span}&point={key}/pressure_kpa"

    async def values() -> list[float]:
        answer = await browser.get(charts)
        if answer.status_code == 503:
            return []  # nothing was ever written into the history
        (series,) = answer.json()["series"]
        return [bucket[2] for bucket in series["buckets"] if bucket is not None]

    async with asyncio.timeout(20):
        while len(await values()) < 100:  # the history is written behind the ledger
            await asyncio.sleep(0.05)
    before = await values()
    other = (await browser.get(f"/api/v1/charts?{span}&point=shuiye/hydrant-02/pressure_kpa")).json()
    await put_in_force(office, without("hydrant-01"))
    await answers(office, f"/devices/{key}", 404)
    gone_ms = (await browser.get(f"/api/v1/records/{key}")).json()["removed_ms"]

    page = (await browser.get(f"/records/{key}")).text
    assert f'data-until="{gone_ms}"' in page
    assert f'data-point="{key}/' in page
    chart = (await browser.get(charts)).json()
    assert [bucket[2] for bucket in chart["series"][0]["buckets"] if bucket is not None] == before
    assert [line["rule"] for line in chart["thresholds"]] == [line["rule"] for line in other["thresholds"]] != []
    assert all(line["steps"][-1] == [gone_ms, None] for line in chart["thresholds"])
    later = (await browser.get(charts.replace(str(first_ms), str(gone_ms + 1)))).json()
    assert (later["thresholds"], later["events"]) == ([], [])
    told = await browser.get(f"/api/v1/history?{span}&point={key}/pressure_kpa")
    assert any(told.json()["buckets"])
    for wrong in ("shuiye/hydrant-01/nothing", "shuiye/never-there/pressure_kpa", "elsewhere/hydrant-01/pressure_kpa"):
        assert (await browser.get(f"/api/v1/charts?{span}&point={wrong}")).status_code == 404, wrong

    zone = ZoneInfo("Asia/Shanghai")
    month = f"{datetime.fromtimestamp(gone_ms / 1000, zone):%Y-%m}"
    text = (await browser.get(f"/records/{key}/completeness")).text
    assert "Taken out of the site file at" in text
    assert month in text
    assert (await browser.get(f"/records/{key}/completeness?month=2001-01")).status_code == 200


async def test_a_certificate_counts_nothing_as_due_when_the_device_had_been_taken_out(station: Station) -> None:
    """A value every five minutes until it went two days ago: all of them came, none is missing since."""
    begin_ms = now_ms() - 4 * DAY_MS
    gone_ms = begin_ms + 2 * DAY_MS
    station.user("inspector")
    told(station, 10 * DAY_MS)
    rows = [
        Row("shuiye", "hydrant-01", "pressure_kpa", at_ms, 150.0, "good") for at_ms in range(begin_ms, gone_ms, 300_000)
    ]
    await station.remember(rows)
    digests = []
    for text in (SITE, without("hydrant-01")):
        digests.append(sha256_of(text.encode()))
        path = version_path(station.data_dir, "shuiye", digests[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    station.site_file.write_text(text, "utf-8")
    version = SiteVersion(
        id=1, site="shuiye", state="in_force", from_ms=gone_ms, by="li", sha256=digests[1], before=digests[0]
    )
    kept(station, SITE_VERSION, [version])
    month = f"{datetime.fromtimestamp(gone_ms / 1000, ZoneInfo('Asia/Shanghai')):%Y-%m}"
    async with station.gateway(), serving(station) as address, Browser(address, "en") as browser:
        await browser.sign_in("inspector")
        answer = (await browser.get(f"/api/v1/records/shuiye/hydrant-01/completeness?month={month}")).json()
        after = (await browser.get(f"/records/shuiye/hydrant-01/completeness?month={month}")).text
    whole = stretches(answer["step_ms"] / 2000, answer["from_ms"], gone_ms)
    pressure = answer["points"]["pressure_kpa"]
    came = pressure["received"] + pressure["unchecked"] + pressure["late"]
    assert answer["until_ms"] == gone_ms
    assert pressure["due"] == whole.count
    assert {point["due"] for point in answer["points"].values()} == {whole.count}
    first = max(answer["from_ms"], begin_ms)
    assert came >= stretches(answer["step_ms"] / 2000, first, gone_ms).count
    assert answer["total"]["due"] == whole.count * len(answer["points"])
    assert "by li" in after


def test_what_went_is_what_stood_in_a_version_and_not_in_the_next(tmp_path: Path) -> None:
    """The latest time counts; a version that was undone or cannot be read proves nothing."""
    texts = [SITE, without("hydrant-01"), SITE, without("hydrant-01", "tank-01"), "x: [", without("hydrant-01")]
    digests = [sha256_of(text.encode()) for text in texts]
    for text, digest in zip(texts, digests, strict=True):
        path = version_path(tmp_path, "shuiye", digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    states = ("past", "past", "undone", "in_force", "in_force")
    versions = [
        SiteVersion(id=n, site="shuiye", state=state, from_ms=n * 1000, by="li", sha256=digest, before=digests[n - 1])
        for n, (digest, state) in enumerate(zip(digests[1:], states, strict=True), 1)
    ]
    found = removed_of(tmp_path, "shuiye", versions, ProfileLibrary())
    assert {(row.device.id, row.removed_ms, row.by) for row in found} == {("hydrant-01", 5000, "li")}
