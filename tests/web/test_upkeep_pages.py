"""Dates, lines, quarantine and profiles of the maintainer's pages, with the gateway behind them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contract.profile import ProfileLibrary
from gateway.history.base import Bucket
from gateway.web.upkeep.drawn import draw, rises
from tests.gateway.harness import until
from tests.web.upkeep_house import House, open_upkeep

REPORT: dict[str, Any] = {
    "at_ms": 1_760_000_000_000, "line": "rs485", "port": "/dev/ttyUSB0", "baud": 9600,
    "counts": {"asked": 60, "answered": 57, "timeouts": 3, "late_answers": 0, "crc_errors": 1},
    "units": [{"unit_id": 2, "asked": 60, "answered": 57, "timeouts": 3, "late": 0, "crc_errors": 1,
               "median_ms": 22.5, "worst_ms": 41.0}],
    "turnaround": {"least": 18, "median": 22.5, "mean": 23, "p99": 40, "worst": 41},
    "histogram": [{"from_ms": 0, "to_ms": 50, "count": 57}], "timeout_s": 0.5, "advised_timeout_s": 0.1,
    "period_s": 10, "units_carried": 90, "findings": ["unit 2: 5 % of the requests had no answer."],
}  # fmt: skip


@pytest.fixture
async def house(tmp_path: Path, free_port: int) -> AsyncIterator[House]:
    """A station in which everything is well."""
    async with open_upkeep(tmp_path, free_port) as made:
        made.plant.wake()
        made.plant.all_good()
        await made.plant.settled()
        yield made


async def test_dates_stand_by_month_and_move_when_work_is_recorded(house: House) -> None:
    """Overdue first; the table has the same rows; recorded work takes a date out of overdue."""
    browser = await house.browser("maintainer")
    html = (await browser.get("/upkeep/dates")).text
    assert "1 overdue" in html
    # By the site's calendar, which may be a day ahead of the machine's.
    ahead = re.search(r"in (28|29|30) days", html)
    assert ahead is not None
    assert html.index("overdue for") < ahead.start()
    rows = list(csv.reader(io.StringIO((await browser.get("/upkeep/dates.csv")).text.lstrip("\ufeff"))))
    assert [row[1] for row in rows[1:2]] == ["shuiye/hydrant-01"]
    assert rows[1][6:] == ["overdue", "practice"]
    assert "GB 50444-2008" in {row[7] for row in rows}
    items = (await browser.get("/api/v1/dates?limit=2")).json()
    first = items["items"][0]
    assert (first["device"], first["what"], first["overdue"]) == ("shuiye/hydrant-01", "calibration", True)
    page = "/devices/shuiye/hydrant-01"
    assert (await browser.submit(page, f"{page}/work", work="calibration", note="done")).status_code == 303
    assert "overdue for" not in (await browser.get("/upkeep/dates")).text
    assert (await browser.get("/upkeep/dates?month=overdue&what=calibration&area=nowhere")).status_code == 200


async def test_strangers_are_let_in_and_forgotten_when_chosen_together(house: House) -> None:
    """Two let in at once with the profile that knows their points, one forgotten; a wrong choice does nothing."""
    browser = await house.browser("maintainer")
    for name in ("new-01", "new-02", "new-03"):
        house.plant.say(f"{name}/level_m", 2.5)
    await house.plant.settled()
    unknown = house.gateway.pipeline.working.unknown
    await until(lambda: len(unknown) == 3)
    here = "/upkeep/quarantine"
    html = await house.shown(browser, here, "new-03")
    assert "knows 100 % of its points" in html
    assert html.count("Fire pool or roof tank level") >= 3
    keys = ("shuiye/new-01", "shuiye/new-02")
    fields: dict[str, Any] = {"device": list(keys)}
    for key in keys:
        fields |= {f"profile:{key}": "water-level", f"title_zh:{key}": "水位", f"title_en:{key}": "Level"}
    csrf = await browser.csrf()
    nameless = await browser.post(f"{here}/approve", data={"csrf": csrf, **fields, f"title_en:{keys[1]}": ""})
    assert nameless.status_code == 422
    assert len(unknown) == 3
    answer = await browser.post(f"{here}/approve", data={"csrf": csrf, **fields})
    assert answer.headers["location"] == f"{here}?done=2&left=0"
    assert (await browser.get("/devices/shuiye/new-02")).status_code == 200
    assert (await browser.post(f"{here}/forget", data={"csrf": csrf})).status_code == 422
    answer = await browser.post(f"{here}/forget", data={"csrf": csrf, "device": "shuiye/new-03"})
    assert answer.status_code == 303
    again = await browser.post(f"{here}/forget", data={"csrf": csrf, "device": "shuiye/new-03"})
    assert again.status_code == 404
    assert "No unknown device." in await house.shown(browser, here, "No unknown device.")
    assert (await (await house.browser("duty")).get(here)).status_code == 403


async def test_refused_messages_are_readable_and_dismissed_together(house: House) -> None:
    """JSON as lines, bytes as hex, markup as text; a row somebody else dismissed is no error."""
    browser = await house.browser("maintainer")
    house.plant.babble(b'{"a": "<script>alert(1)</script>"}')
    house.plant.babble(b"\xff\x00\x7e", "alarm")
    house.plant.babble(b"hello", "state")
    await house.plant.settled()
    here = "/upkeep/quarantine"
    html = await house.shown(browser, here, "Refused messages")
    assert "<script>alert(1)" not in html
    ids = [part.split('"')[0] for part in html.split('name="row" value="')[1:]]
    csrf = await browser.csrf()
    answer = await browser.post(f"{here}/dismiss", data={"csrf": csrf, "row": [*ids, "4711"]})
    assert answer.headers["location"] == f"{here}?done={len(ids)}&left=0"
    assert (await browser.post(f"{here}/dismiss", data={"csrf": csrf, "row": ids[:1]})).status_code == 404
    assert "No message was refused." in await house.shown(browser, here, "No message was refused.")


async def test_a_report_of_the_line_doctor_is_kept_once_and_what_is_none_is_refused(house: House) -> None:
    """Upload and API keep the same row; other files and lines are told in a sentence."""
    browser = await house.browser("maintainer")
    here, csrf = "/upkeep/lines/shuiye/rs485", await browser.csrf()
    assert (await browser.get("/upkeep/lines")).status_code == 200

    async def upload(data: bytes, line: str = here) -> int:
        files = {"report": ("r.json", data, "application/json")}
        return (await browser.post(f"{line}/reports", data={"csrf": csrf}, files=files)).status_code

    assert await upload(json.dumps(REPORT).encode()) == 303
    kept = await browser.post(f"/api/v1{here[7:]}/reports", json=REPORT, headers={"X-CSRF-Token": csrf})
    assert (kept.status_code, kept.json()["id"]) == (200, 1)
    html = (await browser.get(here + "?hours=168")).text
    assert "95.0 %" in html
    assert "unit 2: 5 % of the requests had no answer." in html
    assert len((await browser.get(f"/api/v1{here[7:]}/reports")).json()["items"]) == 1
    for wrong in (b"", b"PK\x03\x04", b"[]", b"{}", b"[" * 100_000, json.dumps({**REPORT, "timeout_s": -1}).encode()):
        assert await upload(wrong) == 422
    assert await upload(b" " * 300_000) == 413
    assert await upload(json.dumps(REPORT).encode(), "/upkeep/lines/shuiye/none") == 404


async def test_every_profile_has_its_page(house: House) -> None:
    """Registers, source and test vector of each; one that is not there is told."""
    browser = await house.browser("inspector")
    assert (await browser.get("/upkeep/profiles")).status_code == 200
    for name in ProfileLibrary().ids():
        answer = await browser.get(f"/upkeep/profiles/{name}")
        assert answer.status_code == 200, name
        assert "Test vector" in answer.text
    assert "04B5 FFCE 0001" in (await browser.get("/upkeep/profiles/extinguisher-bay")).text
    assert (await browser.get("/upkeep/profiles/..%2Fx")).status_code == 404
    assert (await browser.get("/upkeep/profiles/none")).status_code == 404


def test_a_curve_breaks_where_nothing_was_measured() -> None:
    """Two stretches with a pause between them are two lines; a value alone is a dot."""
    curve = draw("x", "%", [(0, 50.0), (10, 50.0), (100, 0.0), (500, 25.0), (510, 25.0)], (0, 1000), 10, 100.0)
    assert curve.parts == ["0.0,45.0 6.0,45.0", "300.0,67.5 306.0,67.5"]
    assert (curve.dots, curve.top, curve.last, curve.worst) == ([(60.0, 90.0)], 100.0, 25.0, 50.0)


def test_a_counter_that_began_anew_counts_from_nothing() -> None:
    """Errors an hour of two counters together; a restart of the agent makes no negative errors."""
    hour = 3_600_000
    first = [Bucket(n * hour, v, v, v, 1) for n, v in enumerate((10.0, 13.0, 2.0))]
    second = [Bucket(n * hour, v, v, v, 1) for n, v in enumerate((0.0, 1.0, 1.0))]
    assert rises([first, second], hour) == [(hour, 4.0), (2 * hour, 2.0)]
