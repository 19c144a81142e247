"""The rule lab in the pages: a change on the stored history, in a process of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.history.settings import EmbeddedSettings
from gateway.settings import GatewaySettings
from gateway.web.upkeep.lab import changeable
from gateway.web.upkeep.lab_desk import BROKEN_OFF, NOT_STARTED, LabDesk
from rules.model import load_packs
from tests.gateway.harness import until
from tests.web.station import Browser
from tests.web.upkeep_house import House, open_upkeep

LOW = {"rule": "hydrant-pressure-low", "days": "1"}
PACK = """\
pack: mine
title: {zh: 试验, en: Mine}
rules:
  - id: hydrant-below-200
    title: {zh: 低于二百, en: Below two hundred}
    advice: [{zh: 看, en: look}]
    basis: {zh: 惯例, en: practice}
    severity: info
    applies_to: [hydrant-municipal/pressure_kpa]
    when: {kind: threshold, below: 200, clear: 201}
    on_missing: hold
"""


@pytest.fixture
async def house(tmp_path: Path, free_port: int) -> AsyncIterator[House]:
    """A hydrant that fell to 130 kPa for a while, in the history."""
    async with open_upkeep(tmp_path, free_port) as made:
        made.plant.wake()
        made.plant.all_good()
        for n, value in enumerate([190.0, 190.0, 130.0, 130.0, 190.0, 190.0]):
            made.plant.say("hydrant-02/pressure_kpa", value, ago_s=(6 - n) * 300, lane="telemetry")
        await made.plant.settled()
        await until(lambda: made.gateway.mirror.counts.pending == 0 and made.gateway.mirror.counts.passed > 6)
        yield made


async def finished(browser: Browser, path: str) -> str:
    """The page of a comparison once it is made."""
    async with asyncio.timeout(60):
        while "lab-progress" in (html := (await browser.get(path)).text):
            await asyncio.sleep(0.1)
    return html


async def test_a_proposed_limit_shows_what_it_would_have_changed(house: House) -> None:
    """An alarm lost with a lower limit, moved with a longer delay; one gained by a pack; nothing is in force."""
    browser = await house.browser("maintainer")
    assert 'value="140"' in (await browser.get("/upkeep/lab?rule=hydrant-pressure-low")).text
    answer = await browser.submit("/upkeep/lab", "/upkeep/lab", **LOW, below="120", clear="125")
    html = await finished(browser, answer.headers["location"])
    assert '<b>1</b><span><span class="mark mark-lost">' in html
    assert "below: 120, clear: 125" in html
    assert html.count('class="was"') == 1
    assert 'class="will"' not in html
    answer = await browser.submit("/upkeep/lab", "/upkeep/lab", **LOW, for_s="300")
    assert '<b>1</b><span><span class="mark mark-changed">' in await finished(browser, answer.headers["location"])
    csrf = await browser.csrf()
    files = {"pack": ("mine.yaml", PACK.encode(), "application/yaml")}
    answer = await browser.post("/upkeep/lab", data={"csrf": csrf, "days": "1"}, files=files)
    html = await finished(browser, answer.headers["location"])
    assert "mark mark-gained" in html
    assert "weizhan rules apply mine/" in html
    assert "hydrant-below-200" not in house.gateway.pipeline.working.installation.rules
    other = await house.browser("administrator")
    assert (await other.get(answer.headers["location"])).status_code == 404  # somebody else's


async def test_a_token_of_one_site_reads_no_comparison_of_all_when_its_person_made_one(house: House) -> None:
    """Results hold alarms of every site they were made of: who may see less does not get them, nor their names."""
    browser = await house.browser("maintainer")
    made = (await browser.submit("/upkeep/lab", "/upkeep/lab", **LOW, below="120", clear="125")).headers["location"]
    form = {"name": "script", "area": "site:shuiye", "reads_only": "yes"}
    page = (await browser.submit("/account", "/account/tokens", **form)).text
    token = page.split("wzt_")[1].split("<")[0]
    async with Browser(house.address) as program:
        program.headers["Authorization"] = f"Bearer wzt_{token}"
        listed = await program.get("/upkeep/lab")
        assert (listed.status_code, made in listed.text) == (200, False)
        assert (await program.get(made)).status_code == 404
    assert made in (await browser.get("/upkeep/lab")).text


async def test_what_cannot_be_compared_is_told(house: House) -> None:
    """No change, no number, no rule, no pack, a pack that contradicts itself: a sentence each."""
    browser = await house.browser("maintainer")
    page, csrf = "/upkeep/lab", await browser.csrf()
    for fields, status in (
        ({}, 422), ({"below": "low"}, 422), ({"below": "nan"}, 422), ({"below": "140"}, 422), ({"site": "mars"}, 404),
        ({"rule": "none", "below": "1"}, 404),
    ):  # fmt: skip
        assert (await browser.submit(page, page, **{**LOW, **fields})).status_code == status
    for data in (b"\xff\xfe", b"rules: []", b"x" * 300_000):
        answer = await browser.post(page, data={"csrf": csrf}, files={"pack": ("p.yaml", data, "text/plain")})
        assert answer.status_code in (413, 422)
    answer = await browser.submit(page, page, **LOW, below="160", clear="150")  # over at a level that is still low
    html = await finished(browser, answer.headers["location"])
    assert "The comparison could not be made." in html
    assert "clear" in html


@pytest.mark.parametrize(
    ("python", "said"), [("/nowhere/python", NOT_STARTED), (shutil.which("false") or "", BROKEN_OFF)]
)
async def test_the_desk_is_free_again_and_says_why_when_a_process_cannot_run(
    tmp_path: Path, python: str, said: str
) -> None:
    """One that cannot be started, and one that ends without a word, are failed; the next one may begin."""
    desk = LabDesk(
        GatewaySettings(sites=[tmp_path / "none.yaml"], data_dir=tmp_path), EmbeddedSettings(kind="embedded"), python
    )
    asked = {"rule": "hydrant-pressure-low", "from_ms": 0, "until_ms": 1000, "limits": {"below": 120.0}}
    try:
        for _ in range(2):
            made = desk.start("li", None, 1000, **asked)
            await until(lambda made=made: made.state != "running")
            assert (made.state, made.error) == ("failed", said)
    finally:
        await desk.close()


def test_every_rule_says_which_of_its_limits_may_be_changed() -> None:
    """Durations always; a limit only where one condition has it."""
    rules = load_packs([], {})
    assert changeable(rules["hydrant-pressure-low"]) == {
        "for_s": 30.0, "clear_for_s": 30.0, "below": 140.0, "clear": 150.0,
    }  # fmt: skip
    assert "above" not in changeable(rules["clock-skew"]) or "below" in changeable(rules["clock-skew"])
