"""People and rosters on pages and API, with the gateway behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.people import erase_person, export_person
from contract.mqtt import MqttSettings
from gateway.app import Gateway, open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger import audit
from gateway.ledger.store import FILE
from tests.gateway.staff import STATION
from tests.web.said import said_by
from tests.web.station import SITE, Browser, Station, serving

NEW = "three short horns at noon"


class Desk:
    """The whole product on one machine, and browsers signed in by role."""

    def __init__(self, station: Station, gateway: Gateway, address: str, stack: AsyncExitStack) -> None:
        self.station = station
        self.gateway = gateway
        self._address = address
        self._stack = stack

    async def browser(self, role: str) -> Browser:
        """A browser with that role signed in."""
        browser = await self._stack.enter_async_context(Browser(self._address))
        await browser.sign_in(role, self.gateway.one_time_passwords[role])
        await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
        return browser


@asynccontextmanager
async def open_desk(folder: Path, port: int) -> AsyncIterator[Desk]:
    station = Station.__new__(Station)
    station.data_dir, station.site_file = folder / "d", folder / "shuiye.yaml"
    station.site_file.write_text(f"{SITE}\n{STATION}", "utf-8")
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=port))
        )
        address = await stack.enter_async_context(serving(station))
        yield Desk(station, gateway, address, stack)


async def test_people_are_added_masked_changed_left_and_erased(tmp_path: Path, free_port: int) -> None:
    """An administrator sees numbers, the duty desk masks; who is erased is a number, also in the files."""
    async with open_desk(tmp_path, free_port) as desk:
        admin, duty = await desk.browser("administrator"), await desk.browser("duty")
        person = {"site": "shuiye", "name": "Wang Xiaoming", "phone": "138 0013 8000", "role_attendant": "1"}
        person |= {"has_operator": "1", "number_operator": "1234567890123456", "until_operator": "2031-05-01"}
        answer = await admin.submit("/people", "/people", **person, user="duty")
        assert answer.headers["location"] == "/people/1"
        assert "13800138000" in (await admin.get("/people")).text
        seen = (await duty.get("/people/1")).text
        assert ("138****8000" in seen, "13800138000" in seen, "1234567890123456" in seen) == (True, False, False)
        assert (await duty.submit("/people/1", "/people", **person)).status_code == 403
        # Their own PIN is theirs to choose; one for others is made and shown once.
        assert (await duty.submit("/people/1", "/people/1/pin", pin="111111")).status_code == 422
        assert (await duty.submit("/people/1", "/people/1/pin", pin="493817")).status_code == 200
        assert (await admin.submit("/people/1", "/people/1/pin", pin="493817")).status_code == 403
        assert "The PIN is " in (await admin.submit("/people/1", "/people/1/pin")).text
        assert (await admin.submit("/people/1", "/people/1/erase", sure="yes")).status_code == 409  # is still there
        assert (await admin.submit("/people/1", "/people/1/leave", reason="moved away")).status_code == 303
        exported = (await admin.get("/api/v1/people/1/export")).json()
        assert (exported["identity"]["phone"], "argon2" in str(exported)) == ("13800138000", False)
        assert (await duty.get("/api/v1/people/1/export")).status_code == 403
        seen_by = [
            row["subject"]
            for row in (await admin.get("/api/v1/audit")).json()["items"]
            if row["action"] == "personal.seen"
        ]
        assert {"people", "person/1"} <= set(seen_by)
        by_shell = await export_person(desk.station.data_dir, 1)
        assert by_shell["identity"] == exported["identity"]
        files = [path for path in desk.station.data_dir.rglob("*") if path.is_file()]
        assert any(b"Wang Xiaoming" in path.read_bytes() for path in files)
        assert await erase_person(desk.station.data_dir, 1)
        files = [path for path in desk.station.data_dir.rglob("*") if path.is_file()]
        secrets = (b"Wang Xiaoming", b"13800138000", b"1234567890123456")
        assert [path for path in files if any(secret in path.read_bytes() for secret in secrets)] == []
        assert "Person no. 1" in (await admin.get("/people/1")).text
        assert audit.verify(desk.station.data_dir / FILE) is None
        assert (await admin.submit("/people", "/people/1/erase", sure="yes")).status_code == 409


async def test_a_week_is_planned_and_what_cannot_be_is_named(tmp_path: Path, free_port: int) -> None:
    """Read by everybody, planned by an administrator; a person without a certificate is named, kept on demand."""
    async with open_desk(tmp_path, free_port) as desk:
        admin, duty = await desk.browser("administrator"), await desk.browser("duty")
        await admin.submit("/people", "/people", site="shuiye", name="Li Lei", has_operator="1")
        await admin.submit("/people", "/people", site="shuiye", name="Han Mei")
        html = (await duty.get("/roster")).text
        assert "Too few people" in html
        week = "2099-06-01"
        edit = f"/roster?week={week}&edit=1"
        assert "Plan the week" not in (await duty.get(edit)).text
        far = await admin.submit(edit, "/roster", site="shuiye", week=week, **{f"{week}_08:00_gate": "2"})
        assert (far.status_code, "too far ahead" in far.text) == (422, True)
        day = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
        cells = {f"{day}_08:00_control": "2", f"{day}_08:00_gate": "1"}
        edit = f"/roster?week={day}&edit=1"
        refused = await admin.submit(edit, "/roster", site="shuiye", week=day, **cells)
        assert (refused.status_code, "Han Mei · lacks a valid certificate" in refused.text) == (422, True)
        assert "Han Mei" not in (await duty.get(f"/roster?week={day}")).text
        done = await admin.submit(edit, "/roster", site="shuiye", week=day, accept="yes", **cells)
        assert done.status_code == 303
        html = (await duty.get(f"/roster?week={day}")).text
        assert ("Han Mei" in html, "Li Lei" in html) == (True, True)
        # Files: all or nothing, and what is wrong is named by row and column, on the page and in the API.
        assert (await admin.get("/people/template.xlsx")).content[:2] == b"PK"
        lines = (await admin.get("/roster/template.csv?site=shuiye")).content.decode("utf-8-sig").splitlines()
        lines = [line + "Nobody Known" if number == 3 else line + "Li Lei" for number, line in enumerate(lines)]
        body = "\n".join([lines[0].removesuffix("Li Lei"), *lines[1:4]]).encode()
        form = {"csrf": await admin.csrf()}
        page = await admin.post("/roster/import", data=form, files={"file": ("roster.csv", body)})
        assert (page.status_code, "Nobody Known" in page.text) == (422, True)
        wrong = b"Name,Rolls,Site,Roles\nZhao Yi,x,nowhere,king\n"
        for language, told in (
            ("en", ("Telephone", "one of leader / deputy", "shuiye / Shuiye")),
            ("zh-CN", ("电话", "站长 / 副站长", "水冶街道微型消防站")),
        ):
            as_read = {"Accept-Language": language}
            html = (
                await admin.post("/people/import", data=form, files={"file": ("p.csv", wrong)}, headers=as_read)
            ).text
            text = " ".join(said.text for said in said_by(html))
            assert [word for word in told if word not in text] == [], (language, text)
        headers = {"X-CSRF-Token": await admin.csrf()}
        answer = await admin.post("/api/v1/roster/import", content=body, headers=headers)
        assert [(f["row"], f["column"]) for f in answer.json()["faults"]] == [
            (2, "People"),
            (3, "People"),
            (4, "People"),
        ]
        people = "姓名,电话\n赵一,13800000001\n".encode("gb18030")
        answer = await admin.post("/api/v1/people/import", content=people, headers=headers)
        assert (answer.status_code, answer.json()["taken"]) == (200, True)
        assert [each["name"] for each in (await duty.get("/api/v1/people")).json()["items"]] == [
            "Li Lei",
            "Han Mei",
            "赵一",
        ]
        roster = (await duty.get(f"/api/v1/roster/shuiye?from={day}")).json()
        assert [(each["post"], each["people"]) for each in roster["duties"]] == [("control", [2]), ("gate", [1])]
