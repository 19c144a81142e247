"""Hazards on pages and API with the gateway behind them, and the form for the public: used, misused, flooded."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from contract.mqtt import MqttSettings
from gateway.app import Gateway, open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.secret import sign
from gateway.ledger.store import FILE
from gateway.web.ledger import WebLedger
from gateway.web.registers.report_desk import ReportDesk, counted_as, is_fresh, new_form
from gateway.web.settings import ReportForm, WebSettings
from gateway.work.rectification import HAZARD
from tests.web.station import SITE, Browser, Station, now_ms, serving

NEW = "three short horns at noon"
OPEN = ReportForm(open=True)


class House:
    """The whole product on one machine."""

    def __init__(self, station: Station, gateway: Gateway, address: str, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self.ledger = WebLedger(station.data_dir / FILE)
        self.address = address
        self._stack = stack

    async def browser(self, role: str) -> Browser:
        """A browser with that role signed in."""
        browser = await self._stack.enter_async_context(Browser(self.address))
        await browser.sign_in(role, self.gateway.one_time_passwords[role])
        await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
        return browser

    async def stranger(self) -> httpx.AsyncClient:
        """Somebody of the public."""
        headers = {"Accept-Language": "en"}
        client = httpx.AsyncClient(base_url=self.address, headers=headers, timeout=15)
        return await self._stack.enter_async_context(client)

    def blank(self, ago_s: float = 30) -> dict[str, str]:
        """The hidden fields of a form that was loaded some time ago."""
        made = new_form(self.ledger.secret(), now_ms() - int(ago_s * 1000))
        return {"form": made.name, "form_key": made.key}

    def link(self, site: str = "shuiye") -> str:
        """A printed link."""
        return f"/report?site={site}&key={sign(self.ledger.secret(), f'report/{site}')}"


@asynccontextmanager
async def open_house(folder: Path, port: int, form: ReportForm = OPEN) -> AsyncIterator[House]:
    """All of it, running."""
    station = Station.__new__(Station)
    station.data_dir, station.site_file = folder / "d", folder / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=port))
        )
        address = await stack.enter_async_context(serving(station, WebSettings(port=0, report_form=form)))
        house = House(station, gateway, address, stack)
        stack.callback(house.ledger.close)
        yield house


async def test_a_hazard_goes_through_the_pages_from_report_to_signature(tmp_path: Path, free_port: int) -> None:
    """Reported with a photo, assigned, fixed, not verified by who fixed it, verified, signed off; the API agrees."""
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(picture, "JPEG")
    async with open_house(tmp_path, free_port) as house:
        maintainer, admin = await house.browser("maintainer"), await house.browser("administrator")
        form = {"csrf": await maintainer.csrf(), "site": "shuiye", "text": "<b>exit</b> blocked", "place": "stair 2"}
        photo = {"photo": ("a.jpg", picture.getvalue(), "image/jpeg")}
        answer = await maintainer.post("/hazards", data={**form, "level": "major"}, files=photo)
        page = answer.headers["location"]
        assert page == "/hazards/1"
        html = (await maintainer.get(page)).text
        assert "&lt;b&gt;exit&lt;/b&gt; blocked" in html
        assert (await maintainer.get(re.findall(r'src="(/photos/[0-9a-f]{64})"', html)[0])).status_code == 200

        async def step(browser: Browser, **fields: str) -> int:
            return (await browser.submit(page, f"{page}/steps", **fields)).status_code

        order = {"step": "assign", "owner": "maintainer", "measure": "clear it", "money_yuan": "1200.50"}
        assert await step(maintainer, **order) == 422  # by when?
        assert await step(maintainer, **order, days="3", until="2031-01-01") == 422
        assert await step(maintainer, **order, days="3", working="true") == 303
        assert "1200.50 yuan" in (await maintainer.get(page)).text
        assert await step(maintainer, step="list", number="1", authority="x", until="2031-01-01") == 403
        assert await step(maintainer, step="fix", note="cleared") == 303
        assert "a second person must verify it" in (await maintainer.get(page)).text
        assert await step(maintainer, step="verify") == 409
        assert await step(admin, step="verify") == 303
        assert await step(admin, step="close", note="seen") == 303
        row = (await admin.get("/api/v1/hazards/1")).json()
        assert (row["state"], row["row"]["order"]["money_fen"], row["is_open"]) == ("closed", 120_050, False)
        actions = [line["action"] for line in (await admin.get("/api/v1/hazards/1/history")).json()["items"]]
        assert actions == [f"hazard.{verb}" for verb in ("find", "assign", "fix", "verify", "close")]
        counts = (await admin.get(f"/api/v1/hazard-counts?from_ms=0&until_ms={now_ms() + 1000}")).json()
        assert {k: counts[k] for k in ("before", "found", "closed", "after")} == {
            "before": 0, "found": 1, "closed": 1, "after": 0,
        }  # fmt: skip
        for show in ("open", "overdue", "reported", "closed"):
            assert ("&lt;b&gt;exit" in (await admin.get(f"/hazards?show={show}")).text) == (show == "closed")
        assert (await admin.get("/hazards/99")).status_code == 404


async def test_the_api_reports_orders_and_extends(tmp_path: Path, free_port: int) -> None:
    """The same commands, with what is wrong said field by field. And nothing for strangers, unless it is opened."""
    async with open_house(tmp_path, free_port, ReportForm()) as house:
        maintainer = await house.browser("maintainer")
        head = {"X-CSRF-Token": await maintainer.csrf()}

        async def post(path: str, **body: Any) -> httpx.Response:
            return await maintainer.post(f"/api/v1/hazards{path}", json=body, headers=head)

        made = await post("", subject="shuiye/hydrant-01", site="shuiye", text="leaks")
        assert (made.status_code, made.json()["state"]) == (200, "found")
        again = await post("", subject="shuiye/hydrant-01", site="shuiye", text="leaks")
        assert (again.json()["id"], again.json()["row"]["seen"]) == (1, 2)
        assert (await post("", subject="elsewhere/x", site="shuiye", text="leaks")).status_code == 422
        assert (await post("/1/steps", step="fly")).status_code == 422
        day = (datetime.now(UTC) + timedelta(days=4)).date()
        assert (await post("/1/steps", step="assign", owner="li", measure="seal", until=str(day))).status_code == 200
        late = await post("/1/steps", step="extend", note="parts", until=str(day - timedelta(days=1)))
        assert (late.status_code, "later one" in late.json()["detail"]) == (422, True)
        further = await post("/1/steps", step="extend", note="parts", until=str(day + timedelta(days=1)))
        assert further.json()["row"]["extensions"] == 1
        assert (await post("/7/steps", step="fix", note="x")).status_code == 404
        listed = (await maintainer.get("/api/v1/hazards")).json()["items"]
        assert [row["id"] for row in listed] == [1]
        anyone = await house.stranger()
        assert [(await anyone.get(path)).status_code for path in ("/report", "/report/abc")] == [404, 404]
        assert (await anyone.post("/report", data={"text": "x"})).status_code == 404


async def test_somebody_of_the_public_reports_and_follows_it_by_the_receipt(tmp_path: Path, free_port: int) -> None:
    """No account, no cookie; the words are seen by who looks at it, the number by an administrator alone."""
    async with open_house(tmp_path, free_port) as house:
        anyone, duty = await house.stranger(), await house.browser("duty")
        html = await anyone.get(house.link())
        assert ("Shuiye" in html.text, "set-cookie" in html.headers) == (True, False)
        assert 'name="csrf"' not in html.text
        words = {"text": "Boxes in the stairwell", "phone": "138 0013 8000", **house.blank()}
        sent = await anyone.post(house.link(), data=words)
        assert sent.status_code == 303
        receipt = sent.headers["location"]
        assert (await anyone.post(house.link(), data=words)).headers["location"] == receipt  # twice is once
        state = await anyone.get(receipt)
        assert ("nobody has looked at it yet" in state.text, "set-cookie" in state.headers) == (True, False)
        assert "Boxes" not in state.text
        assert (await anyone.get("/report/aaaaabbbbbcccccdddddeeeee2")).status_code == 404

        seen = (await duty.get("/hazards/1")).text
        assert ("Boxes in the stairwell" in seen, "138****00" in seen, "8000" in seen) == (True, True, False)
        take = {"step": "take", "site": "shuiye", "text": "Stairwell blocked"}
        assert (await duty.submit("/hazards/1", "/hazards/1/steps", **take)).status_code == 303
        assert "is being put right" in (await anyone.get(receipt)).text
        code = re.findall(r"mono\">([0-9A-Z-]+)<", state.text)[0]
        assert (await anyone.get(f"/report?code={code}")).headers["location"].startswith(receipt.partition("?")[0])


async def test_the_form_refuses_in_words_and_keeps_them(tmp_path: Path, free_port: int) -> None:
    """Robots, old forms, forged links, missing words, what is no photo: each answer says what to do."""
    async with open_house(tmp_path, free_port, ReportForm(open=True, per_address_hour=100)) as house:
        anyone = await house.stranger()
        good = {"text": "Boxes & <i>paper</i>", "place": "stair 2", **house.blank()}
        for change, said in (
            ({"leave_empty": "x"}, "for robots only"),
            (house.blank(-60), "sent too quickly"),  # a machine sends it at once
            (house.blank(7 * 3600), "too old"),
            ({"form_key": "aaaa"}, "too old"),
            ({"text": " "}, "Say what is wrong"),
            ({"text": "x" * 1001}, "Say what is wrong"),
            ({"place": ""}, "Say what is wrong"),
            ({"phone": "<script>"}, "digits only"),
        ):
            answer = await anyone.post("/report", data=good | change)
            assert (answer.status_code, said in answer.text) == (422, True), said
        assert "Boxes &amp; &lt;i&gt;paper&lt;/i&gt;" in answer.text
        bad = await anyone.post("/report", data=good, files={"photo": ("a.jpg", b"no picture", "image/jpeg")})
        assert (bad.status_code, "no photo that can be read" in bad.text) == (422, True)
        forged = await anyone.get("/report?site=shuiye&key=aaaaaaaaaaaaaaaaaaaaaaaaaa")
        assert (forged.status_code, "Shuiye" in forged.text) == (200, False)
        assert house.ledger.entry(HAZARD, 1) is None
        chinese = await anyone.get("/report?language=zh")
        assert "发生火情请立即拨打 119" in chinese.text


async def test_a_flood_is_refused_and_what_was_accepted_is_kept(tmp_path: Path, free_port: int) -> None:
    """Of one address by its number, of all by theirs; a printed link still works; refusals are counted."""
    async with open_house(tmp_path, free_port, ReportForm(open=True, per_address_hour=30, per_hour=20)) as house:
        anyone = await house.stranger()
        answers = []
        for n in range(40):
            answers.append(await anyone.post("/report", data={"text": f"no {n}", "place": "x", **house.blank()}))
        assert [a.status_code for a in answers] == [303] * 20 + [429] * 20
        assert ("Try again later" in answers[20].text, answers[20].headers["retry-after"]) == (True, "3600")
        assert "no 20" in answers[20].text
        kept = house.ledger.entries(HAZARD)
        assert [row.state for row in kept] == ["reported"] * 20
        assert "address" in {a.text.partition("came from this ")[2][:7] for a in answers[30:]}
        state = [(await anyone.get(a.headers["location"])).status_code for a in answers[:20]]
        assert state == [200] * 20
    with closing(WebLedger(tmp_path / "d" / FILE)) as ledger:
        told = [json.loads(row.detail)["counts"] for row in ledger.audit(limit=500) if row.action == "report.refused"]
    assert told == [{"total": 10, "address": 10}]


def test_a_printed_link_is_not_closed_by_a_flood_without_one() -> None:
    """Each link has its own measure."""
    desk = ReportDesk(ReportForm(open=True, per_address_hour=1000, per_hour=3), lambda: 0.0)
    assert [desk.may_send("192.0.2.1", "") for _ in range(4)] == [None, None, None, "total"]
    assert desk.may_send("192.0.2.2", "shuiye") is None


def test_one_customer_of_ipv6_is_one_address() -> None:
    """A network of 2^64 addresses is no crowd."""
    assert counted_as("2001:db8:1:2::1") == counted_as("2001:db8:1:2:ffff::9") != counted_as("2001:db8:1:3::1")
    assert counted_as("::ffff:192.0.2.1") == counted_as("192.0.2.1")
    assert counted_as("testclient") == "testclient"


def test_a_place_at_the_door_is_given_back() -> None:
    """No more than some at once; who leaves makes room."""
    clock = [0.0]
    desk = ReportDesk(ReportForm(open=True), lambda: clock[0])
    assert [desk.enter(f"192.0.2.{n}") for n in range(5)] == [None] * 4 + ["busy"]
    desk.leave()
    assert desk.enter("192.0.2.9") is None
    assert [desk.enter("192.0.2.9") for _ in range(20)][-1] == "address"
    clock[0] = 3601.0
    assert desk.enter("192.0.2.9") == "busy"


def test_a_form_is_ours_for_six_hours_and_not_for_the_first_two_seconds() -> None:
    """A name that was made up, or a time that was moved, does not fit its signature."""
    secret = b"s" * 32
    blank = new_form(secret, 1_000_000)
    ages = (1999, 2000, 6 * 3_600_000, 6 * 3_600_000 + 1)
    assert [is_fresh(secret, blank, 1_000_000 + age) for age in ages] == [False, True, True, False]
    moved = blank._replace(name=blank.name.replace("1000000", "9000000"))
    assert not is_fresh(secret, moved, 9_003_000)


async def test_an_odd_step_or_subject_is_told_and_no_fault_of_the_server(station: Station) -> None:
    """A step that is none, a subject that is only a word: a sentence, a form."""
    station.user("maintainer")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        assert (await browser.submit("/hazards/new", "/hazards/1/steps", step="dance")).status_code == 422
        for subject in ("pdf", "/", "shuiye", "shuiye/", "a//b"):
            assert (await browser.get("/hazards/new", params={"subject": subject})).status_code == 200, subject
