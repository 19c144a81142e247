"""An answer that comes too late is told as what it is, and what became of the command is looked up: pages and API."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gateway.control.deeds import KEEP_S
from gateway.ledger.store import FILE
from gateway.web.link import make_mark
from tests.web.office import Office, open_office
from tests.web.station import SITE, Browser, Station, csrf_in, now_ms, serving

NEW = SITE.replace("Victory Road hydrant", "Victory Road 18 hydrant")
SHORT_S = 0.3


@contextlib.contextmanager
def slow_disk(office: Office) -> Iterator[None]:
    """While this is held nothing is committed: somebody else holds the ledger."""
    with contextlib.closing(sqlite3.connect(office.settings.data_dir / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def _settled(browser: Browser, path: str) -> str:
    """The page of an outcome once it is known."""
    async with asyncio.timeout(15):
        while 'data-outcome="open"' in (html := (await browser.get(path)).text):
            await asyncio.sleep(0.05)
    return html


async def test_a_change_of_a_site_that_takes_too_long_is_not_called_undone_when_it_is_still_applied(
    tmp_path: Path,
) -> None:
    """The page says that it is not known, then that it was done; sent again, whichever way, it has no other effect."""
    async with open_office(tmp_path / "o", wait_s=SHORT_S) as office:
        browser, here = office.browser, "/admin/sites/shuiye"
        token = csrf_in((await browser.get("/admin/sites")).text)
        staged = await browser.post(f"{here}/file", data={"csrf": token}, files={"file": ("a.yaml", NEW.encode())})
        change = staged.headers["location"]
        html = (await browser.get(change)).text
        once = re.findall(r'name="once" value="([^"]+)"', html)[0]
        form, referer = {"csrf": csrf_in(html), "once": once}, {"Referer": f"{office.address}{change}"}
        with slow_disk(office):
            answer = await browser.post(change, data=form, headers=referer)
            outcome = answer.headers["location"]
            assert (answer.status_code, outcome.startswith("/outcome/")) == (303, True)
            html = (await browser.get(outcome)).text
            assert 'data-outcome="open"' in html
            assert "do not send it again" in html
            assert (await browser.post(change, data=form, headers=referer)).headers["location"] == outcome
        html = await _settled(browser, outcome)
        assert 'data-outcome="done"' in html
        assert f'href="{change}"' in html
        assert office.site_file.read_text("utf-8") == NEW
        again = await browser.post(change, data={"csrf": csrf_in(html)})
        assert (again.status_code, again.headers["location"]) == (303, "/admin/sites")
        rows = (await browser.get("/api/v1/audit")).json()["items"]
        assert len([row for row in rows if row["action"] == "site_version.apply"]) == 1


async def test_a_program_finds_what_became_of_its_command_when_the_answer_was_late(tmp_path: Path) -> None:
    """504 with where to look; done once it is; asked for anew by then, the gateway says that it is there."""
    async with open_office(tmp_path / "o", wait_s=SHORT_S) as office:
        made = {"name": "zhao", "role": "duty", "area": ""}
        with slow_disk(office):
            answer = await office.api("POST", "/api/v1/accounts", json=made)
            assert (answer.status_code, answer.json()["type"]) == (504, "urn:weizhan:problem:not-known-yet")
            told = (await office.browser.get(answer.headers["location"])).json()
            assert told["state"] == "open"
        async with asyncio.timeout(15):
            while (told := (await office.browser.get(answer.headers["location"])).json())["state"] == "open":
                await asyncio.sleep(0.05)
        assert (told["state"], told["why"]) == ("done", "")
        assert (await office.api("POST", "/api/v1/accounts", json=made)).status_code == 409


async def test_what_was_committed_is_known_for_ever_when_the_gateway_was_started_anew(tmp_path: Path) -> None:
    """From the audit chain; what does not stand there was not done, and long ago is too long ago. Nobody else's."""
    async with open_office(tmp_path / "o") as office:
        await office.api("POST", "/api/v1/accounts", json={"name": "zhao", "role": "duty", "area": ""})
        rows = (await office.browser.get("/api/v1/audit")).json()["items"]
        mark = next(row for row in rows if row["action"] == "user.create" and row["subject"] == "zhao")["detail"][
            "mark"
        ]
    async with open_office(tmp_path / "o") as office:
        old = f"{now_ms() - int(KEEP_S * 1000) - 1000:x}.{'A' * 16}"

        async def state(mark: str) -> str:
            return str((await office.browser.get(f"/api/v1/outcomes/{mark}")).json().get("state"))

        assert [await state(each) for each in (mark, make_mark(), old)] == ["done", "undone", "lost"]
        for path in ("/outcome/x", "/outcome/19ad1f2c400.short", "/api/v1/outcomes/x"):
            assert (await office.browser.get(path)).status_code == 404
        assert 'data-outcome="lost"' in (await office.browser.get(f"/outcome/{old}?back=//evil.example")).text


async def test_nobody_is_told_that_nothing_was_changed_when_the_connection_breaks_while_asked(station: Station) -> None:
    """A person is led to where it is looked up, a part of a page and who is not signed in read that it is not known."""
    station.user("duty")
    alarm = station.alarm("hydrant-pressure-low", "shuiye/hydrant-01/pressure_kpa", "warning")
    station.cut_off = {"alarm.note", "session.open"}
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        answer = await browser.sign_in("duty")
        assert (answer.status_code, "not known whether this was done" in answer.text) == (504, True)
        station.cut_off.discard("session.open")
        await browser.sign_in("duty")
        form = {"csrf": await browser.csrf(), "note": "seen"}
        answer = await browser.post(f"/alarms/{alarm}/note", data=form)
        assert answer.headers["location"].startswith("/outcome/")
        assert 'data-outcome="undone"' in await _settled(browser, answer.headers["location"])
        part = await browser.post(f"/alarms/{alarm}/note", data=form, headers={"HX-Request": "true"})
        assert (part.status_code, "may still do it" in part.text, "<html" in part.text) == (504, True, False)


async def test_a_part_that_was_done_is_not_denied_when_the_gateway_goes_away_in_the_middle(station: Station) -> None:
    """Of two alarms acknowledged together one was: the page of what became of the other says so."""
    station.user("duty")
    alarms = [station.alarm("hydrant-pressure-low", f"shuiye/hydrant-0{n}/pressure_kpa", "warning") for n in (1, 2)]
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        form = {"csrf": await browser.csrf(), "alarm_id": [str(each) for each in alarms]}
        station.cut_after = {"alarm.acknowledge"}
        answer = await browser.post("/alarms/acknowledge", data=form)
        assert (answer.status_code, answer.headers["location"].startswith("/outcome/")) == (303, True)
        assert "part=1" in answer.headers["location"]
        assert "what came before it was done" in await _settled(browser, answer.headers["location"])
