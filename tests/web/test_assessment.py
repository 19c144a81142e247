"""The assessment on the page, in the table for a spreadsheet and by the API."""

from __future__ import annotations

import csv
import io

from gateway.duty.checks import CHECKS, DutyCheck
from gateway.ledger.changes import Changes
from gateway.ledger.entries import Pen, Sheet, load_entries
from gateway.work.rectification import HAZARD, Hazard, Round
from tests.web.station import Browser, Station, now_ms, serving

HOUR_MS = 3_600_000


def fill(station: Station) -> None:
    """Two duty checks, a hazard, a fire that was false."""
    at_ms = now_ms()
    began = Changes(at_ms - HOUR_MS)
    began.add_audit("gateway", "gateway.start", "gateway")
    began.write(station.db)
    changes = Changes(at_ms)
    pen = Pen(changes, at_ms)
    checks, hazards = Sheet(CHECKS, load_entries(station.db)), Sheet(HAZARD, load_entries(station.db))
    for number, state in ((1, "answered"), (2, "unanswered")):
        row = DutyCheck(id=number, site="shuiye", state=state, from_ms=at_ms - 2, until_ms=at_ms, origin="gateway")
        pen.write(checks, row, "ask")
    text = "=1+1 <img src=x onerror=alert(1)>"
    pen.write(
        hazards,
        Hazard(
            id=1, site="shuiye", state="found", from_ms=at_ms - 1, source="person", text=text,
            rounds=(Round(at_ms - 1),),
        ),
        "report",
    )  # fmt: skip
    changes.write(station.db)
    station.alarm("panel-fire", "shuiye/panel-01/p001", "fire", ago_s=0, cleared=True, by="duty")


async def test_counts_stand_beside_every_rate(station: Station) -> None:
    """On the page in words, by the API as numbers; what has nothing to count says so."""
    station.user("inspector")
    fill(station)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("inspector")
        html = (await browser.get("/assessment")).text
        assert "Duty checks answered in time" in html
        assert "50.0&nbsp;%" in html
        assert "1 / 2" in html
        assert "not an official score" in html
        assert "<img src=x" not in html
        told = (await browser.get("/api/v1/assessment?length=week")).json()
        rates = {rate["name"]: rate for rate in told["total"]["rates"]}
        assert (rates["duty_checks"]["part"], rates["duty_checks"]["whole"]) == (1, 2)
        assert rates["patrols"]["percent"] is None
        assert told["total"]["figures"]["hazards"]["found"] == 1
        assert told["total"]["figures"]["fires"] == 1
        assert [line["id"] for line in told["lines"]] == ["shuiye"]


async def test_a_spreadsheet_gets_numbers_and_no_formula(station: Station) -> None:
    """A title that begins like a formula is text in every spreadsheet."""
    station.user("inspector")
    site = station.site_file.read_text("utf-8").replace("title: {zh: ", 'title: {zh: "=cmd|", en: "=cmd|"} # ', 1)
    station.site_file.write_text(site, "utf-8")
    fill(station)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("inspector")
        answer = await browser.get("/assessment.csv")
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
        assert rows[1][1] == "'=cmd|"
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
        at = rows[0].index("Duty checks answered in time")
        assert rows[1][at : at + 3] == ["50.00", "1", "2"]


async def test_what_there_is_not_is_said(station: Station) -> None:
    """A period or an area nobody knows."""
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        assert (await browser.get("/assessment?period=2026-13")).status_code == 422
        assert (await browser.get("/assessment?period=x")).status_code == 422
        assert (await browser.get("/api/v1/assessment?area=nowhere")).status_code == 404
        assert (await browser.get("/assessment?period=2020-01")).status_code == 200
