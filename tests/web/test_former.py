"""Devices that were taken out of a site file: found, with who they were and their life up to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from contract.profile import ProfileLibrary
from gateway.sites.register import SiteVersion, sha256_of, version_path
from gateway.web.records.former import removed_of
from tests.web.examples import Known
from tests.web.office import Office, open_office
from tests.web.station import SITE, csrf_in
from tests.web.test_records import made


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
    assert f"{where}/completeness" not in page
    exported = (await made(browser, where, kind="life", site="shuiye", device="panel-01", file="csv")).text
    assert "Taken out of the site file at" in exported
    assert exported.count("taken out of the site file") == 1
    assert (await browser.submit(where, "/records/exports", kind="completeness", site="shuiye", device="panel-01",
                                 file="csv")).status_code == 404  # fmt: skip
    told = (await browser.get(f"/api/v1{where}")).json()
    assert told["removed_ms"] == told["events"][0]["at_ms"] > 0
    assert max(event["at_ms"] for event in told["events"]) <= told["removed_ms"]
    assert (await browser.get("/records/shuiye/never-there")).status_code == 404
    await put_in_force(office, SITE)
    await answers(office, "/devices/shuiye/panel-01", 200)
    assert (await browser.get(f"/api/v1{where}")).json()["removed_ms"] is None
    assert f'href="{where}"' not in (await browser.get("/records/former")).text


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
