"""What people do with alarms, drills, windows and records of work: by form and by API."""

from __future__ import annotations

import re

import httpx
import pytest

from gateway.web.receipts import TRIES, Brake
from tests.web.station import HOUR_MS, Browser, Station, csrf_in, now_ms, serving

POINT = "shuiye/hydrant-01/pressure_kpa"


def _args(station: Station, op: str) -> list[dict[str, object]]:
    return [ask.args for ask in station.asked if ask.op == op]


async def test_an_alarm_is_assigned_noted_found_and_its_page_tells_of_it(station: Station) -> None:
    """Each command carries who and what; the page shows every step with its words."""
    station.user("duty")
    station.user("maintainer")
    alarm = station.alarm("hydrant-pressure-low", POINT, "warning", value=128.4, limit=140.0)
    page = f"/alarms/{alarm}"
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        await browser.submit(page, f"{page}/assign", person="maintainer", note="please look")
        await browser.submit(page, f"{page}/note", note="works in the street")
        await browser.submit(page, f"{page}/find", finding="false", note="")
        html = (await browser.get(page)).text
    for text in (
        "to maintainer",
        "please look",
        "works in the street",
        "false alarm",
        "Notes: 1",
        "128.4 kPa",
        "140 kPa",
    ):
        assert text in html, text
    assert "Water pressure below 140 kPa (over at 150 kPa)" in html
    assert [(ask.op, ask.actor) for ask in station.asked if ask.op.startswith("alarm.")] == [
        ("alarm.assign", "duty"), ("alarm.note", "duty"), ("alarm.find", "duty"),
    ]  # fmt: skip


async def test_a_shelf_says_who_why_and_until_when_everywhere(station: Station) -> None:
    """On the alarm, in the list of what is held, on the board; and it ends with one click."""
    station.user("duty")
    alarm = station.alarm("water-level-low", "shuiye/tank-01/level_m", "critical")
    page = f"/alarms/{alarm}"
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        await browser.submit(page, f"{page}/shelve", minutes="120", reason="tank is being cleaned")
        (args,) = _args(station, "alarm.shelve")
        assert abs(int(str(args["until_ms"])) - now_ms() - 2 * HOUR_MS) < 60_000
        for path in (page, "/alarms?show=held", "/alarms"):
            html = (await browser.get(path)).text
            assert "tank is being cleaned" in html, path
            assert "duty" in html
        assert "Kept still" in (await browser.get("/")).text
        standing = (await browser.get("/api/v1/standing")).json()["shelved"]
        assert [(row["who"], row["reason"], row["rule"]) for row in standing] == [
            ("duty", "tank is being cleaned", "water-level-low")
        ]
        await browser.submit("/alarms?show=held", f"{page}/unshelve", next="/alarms?show=held")
        assert "tank is being cleaned" not in (await browser.get("/alarms?show=held")).text


async def test_a_shelf_is_no_longer_than_role_and_severity_allow(station: Station) -> None:
    """Eight hours by the duty desk, four for a fire whoever asks, none by an inspector; the gateway is not asked."""
    fire = station.alarm("panel-fire", "shuiye/panel-01/p001", "fire")
    warning = station.alarm("hydrant-pressure-low", POINT, "warning")
    cases = [
        ("duty", [(warning, 8, 303), (warning, 9, 403), (fire, 4, 303)]),
        ("maintainer", [(warning, 9, 303)]),
        ("administrator", [(fire, 5, 422)]),
        ("inspector", [(warning, 1, 403)]),
    ]
    async with station.gateway(), serving(station) as address:
        for role, wanted in cases:
            station.user(role)
            async with Browser(address) as browser:
                await browser.sign_in(role)
                for alarm, hours, status in wanted:
                    path = f"/alarms/{alarm}/shelve"
                    answer = await browser.submit("/", path, minutes=str(hours * 60), reason="works")
                    assert (role, hours, answer.status_code) == (role, hours, status)
                if role == "duty":
                    blank = await browser.submit("/", path, minutes="30", reason=" ")
                    past = await browser.submit("/", path, until="2020-01-01T00:00", reason="works")
                    odd = await browser.submit("/", path, until="tomorrow", reason="works")
                    assert (blank.status_code, past.status_code, odd.status_code) == (422, 422, 422)
    assert len(_args(station, "alarm.shelve")) == 3


async def test_the_list_finds_by_text_site_and_severity_and_folds(station: Station) -> None:
    """Thirty episodes of one point are one row; all of them are acknowledged at once, somebody being faster or not."""
    station.user("duty")
    ids = [
        station.alarm("panel-fault", "shuiye/panel-01/p003", "warning", ago_s=n * 60, cleared=True) for n in range(30)
    ]
    station.alarm("hydrant-pressure-low", POINT, "warning")
    station.alarm("agent-lost", "shuiye/edge2", "critical", cleared=True, by="duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        html = (await browser.get("/alarms")).text
        assert html.count('<th scope="row">') == 2
        assert "29 earlier of the same" in html
        html = (await browser.get("/alarms", params={"text": "VICTORY road pressure"})).text
        assert html.count('<th scope="row">') == 1
        assert "No alarm fits" in (await browser.get("/alarms", params={"site": "system"})).text
        assert "Agent two" in (await browser.get("/alarms", params={"show": "all", "text": "agent two"})).text
        assert (
            "Agent two"
            not in (await browser.get("/alarms", params={"show": "all", "severity": "warning"})).text.split("<tbody>")[
                1
            ]
        )
        station.acts.change(ids[4], state="normal", acknowledged_ms=now_ms(), acknowledged_by="somebody")
        token = csrf_in((await browser.get("/")).text)
        answer = await browser.post("/alarms/acknowledge", data={"csrf": token, "alarm_id": [str(n) for n in ids[:6]]})
        assert answer.status_code == 303
    assert len([a for a in station.asked if a.op == "alarm.acknowledge"]) == 6
    left = station.db.execute("SELECT count(*) FROM alarm WHERE state = 'returned_unacknowledged'").fetchone()[0]
    assert left == 24


@pytest.mark.parametrize(("language", "words"), [("zh", ("校准", "判定时间")), ("en", ("calibration", "Decided at"))])
async def test_what_decided_is_told_without_code_words_when_a_date_is_due(
    station: Station, language: str, words: tuple[str, str]
) -> None:
    """What kind of condition it was is no fact for people; what is due has its word."""
    station.user("maintainer")
    due = {"kind": "due", "of": "calibration", "due_ms": now_ms() - HOUR_MS, "at_ms": now_ms()}
    alarm = station.alarm("calibration-due", "shuiye/hydrant-01", "info", **due)
    async with station.gateway(), serving(station) as address, Browser(address, language) as browser:
        await browser.sign_in("maintainer")
        html = (await browser.get(f"/alarms/{alarm}")).text
    told = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", html))
    assert {"kind", "at_ms", "of"}.isdisjoint(told)
    assert words[0] in told.values()
    assert words[1] in told


async def test_a_drill_begins_ticks_and_ends(station: Station) -> None:
    """Scope, reason and hours go to the gateway; its page lists what spoke; the board says DRILL until it ends."""
    station.user("maintainer")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        assert (await browser.submit("/drills", "/drills", site="shuiye", reason="x", hours="1")).status_code == 422
        answer = await browser.submit(
            "/drills", "/drills", site="shuiye", scope="panel-01", reason="walk test", hours="0.5"
        )
        assert answer.headers["location"] == "/drills"
        (args,) = _args(station, "drill.open")
        assert (args["scope"], args["reason"]) == (["panel-01"], "walk test")
        station.acts.spoke(1, station.alarm("panel-fire", "shuiye/panel-01/p002", "fire"))
        html = (await browser.get("/drills/1")).text
        assert "1 of 16 spoke" in html
        assert html.count('class="spoke"') == 1
        assert "DRILL" in (await browser.get("/")).text
        await browser.submit("/drills/1", "/drills/1/close")
        assert "DRILL" not in (await browser.get("/")).text
        assert "did not speak" in (await browser.get("/drills/1")).text
        html = (await browser.get("/drills?days=30")).text
        assert "Not tested for 30 days" in html
        assert "Fire alarm panel" in html


async def test_a_window_is_planned_in_the_zone_of_the_pages_and_ended(station: Station) -> None:
    """22:50 in Shanghai is 14:50 UTC; one that ends before it begins is refused here."""
    station.user("maintainer")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        form = {"site": "shuiye", "scope": "pump-01", "reason": "bearings", "begin": "2036-03-01T22:50"}
        await browser.submit("/maintenance", "/maintenance", **form, end="2036-03-02T02:00")
        (args,) = _args(station, "maintenance.open")
        assert (args["from_ms"], args["until_ms"]) == (2_087_995_800_000, 2_088_007_200_000)
        answer = await browser.submit("/maintenance", "/maintenance", **form, end="2036-03-01T22:00")
        assert answer.status_code == 422
        html = (await browser.get("/maintenance")).text
        assert "Ahead" in html
        assert "bearings" in html
        await browser.submit("/maintenance", "/maintenance/1/close")
        assert "Ahead" not in (await browser.get("/maintenance")).text


def _dates(answer: httpx.Response) -> str:
    """The panel of a device's dates."""
    return answer.text.partition('id="work"')[2].partition("</section>")[0]


async def test_work_moves_the_dates_and_what_is_overdue_says_so(station: Station) -> None:
    """In words beside the colour; a device without dates says why."""
    station.user("maintainer")
    text = station.site_file.read_text("utf-8").replace(
        "    - id: bay-01\n", "    - id: bay-01\n      asset: {extinguisher: powder, made: 2016-01-10}\n"
    )
    station.site_file.write_text(text, "utf-8")
    page = "/devices/shuiye/bay-01"
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        before = _dates(await browser.get(page))
        assert before.count("overdue for") == before.count("due-overdue") >= 2
        await browser.submit(page, f"{page}/work", work="inspection", note="all well")
        after = _dates(await browser.get(page))
        assert after.count("overdue for") == before.count("overdue for") - 1
        assert "all well" in after
        (args,) = _args(station, "work.record")
        assert (args["device"], args["work"]) == ("bay-01", "inspection")
        assert "No dates" in (await browser.get("/devices/shuiye/tank-01")).text


async def test_out_of_service_is_told_on_the_device_until_it_is_returned(station: Station) -> None:
    """Who and why stand there."""
    station.user("maintainer")
    page = "/devices/shuiye/hydrant-02"
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        form = {"subject": "shuiye/hydrant-02", "next": page}
        await browser.submit(page, "/service/take-out", **form, reason="valve is broken")
        assert "valve is broken" in (await browser.get(page)).text
        await browser.submit(page, "/service/return", **form, note="mended")
        assert "valve is broken" not in (await browser.get(page)).text


async def test_a_receipt_needs_no_account_and_no_more_than_the_button(station: Station) -> None:
    """Loading the page confirms nothing; an unknown token is told without a reason; too many are braked."""
    station.tokens.add("7.tknv5c.AAAAAAAAAAAAAAAAAAAAAA")
    link = "/r/7.tknv5c.AAAAAAAAAAAAAAAAAAAAAA"
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        assert "I have read it" in (await browser.get(link)).text
        assert _args(station, "notice.receipt") == []
        assert "you have read the message" in (await browser.submit(link, link)).text
        assert _args(station, "notice.receipt") == [{"token": "7.tknv5c.AAAAAAAAAAAAAAAAAAAAAA"}]
        assert (await browser.post(link)).status_code == 403
        answer = await browser.submit("/r/made-up-token", "/r/made-up-token")
        assert (answer.status_code, "not valid any more" in answer.text) == (404, True)
        codes = [(await browser.get("/r/made-up-token")).status_code for _ in range(TRIES)]
        assert codes[-1] == 429


def test_a_brake_forgets_what_is_longer_ago_than_its_window() -> None:
    """And counts each address for itself."""
    clock = [0.0]
    brake = Brake(lambda: clock[0])
    assert [brake.allows("a") for _ in range(TRIES + 1)] == [True] * TRIES + [False]
    assert brake.allows("b")
    clock[0] = 61.0
    assert brake.allows("a")


async def test_the_api_does_what_the_pages_do(station: Station) -> None:
    """Commands with problem documents for what is wrong; lists for the rest."""
    station.user("administrator")
    alarm = station.alarm("hydrant-pressure-low", POINT, "warning")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("administrator")
        csrf = {"X-CSRF-Token": await browser.csrf()}

        async def post(path: str, **body: object) -> int:
            return (await browser.post(f"/api/v1/{path}", json=body, headers=csrf)).status_code

        head = f"alarms/{alarm}"
        assert await post(f"{head}/assign", person="administrator") == 200
        assert await post(f"{head}/note", note="seen") == 200
        assert await post(f"{head}/find", finding="maybe") == 422
        assert await post(f"{head}/shelve", until_ms=now_ms() + HOUR_MS, reason="works") == 200
        found = (await browser.get(f"/api/v1/{head}")).json()
        assert (found["assignee"], found["notes"], found["hold"]) == ("administrator", 1, "shelved")
        assert await post(f"{head}/unshelve") == 200
        assert await post("drills", site="shuiye", scope=["*"], until_ms=now_ms() + HOUR_MS, reason="x") == 200
        assert await post("drills/1/close") == 200
        assert await post("path-receipt", token="12345678") == 200
        assert _args(station, "path.receipt") == [{"token": "12345678", "channel": "screen", "hop": "painted"}]
        rules = {row["rule"]: row for row in (await browser.get("/api/v1/rules")).json()["items"]}
        assert rules["hydrant-pressure-low"]["alarms_30d"] == 1
        quality = (await browser.get("/api/v1/quality", params={"days": 1})).json()
        assert quality["rate"]["alarms"] == 1
        assert (await browser.get("/api/v1/notices")).json()["items"] == []
        described = (await browser.get("/api/v1/openapi.json")).json()["paths"]
        assert "/api/v1/alarms/{alarm_id}/shelve" in described


async def test_reports_stand_with_their_counts(station: Station) -> None:
    """Quality, rules and notifications, each drawn from the ledger."""
    station.user("inspector")
    for n in range(12):
        alarm = station.alarm("panel-fault", "shuiye/panel-01/p003", "warning", ago_s=n * 10, cleared=True)
        station.acts.change(alarm, finding="false" if n < 9 else "real")
    station.db.execute(
        "INSERT INTO notice (person, channel, lane, kind, severity, alarms, title_zh, title_en, text_zh, text_en, "
        "due_ms, state, attempts, error) VALUES ('li', 'ding', 'fault', 'alarm', 'warning', ?, '水压低', "
        "'Pressure low', '', '', ?, 'failed', 3, 'got 503, want 2xx')",
        (f"[{alarm}]", now_ms()),
    )
    station.proofs = [{"target": "channel/li/ding", "state": "failed", "hop": "send", "proven_ms": None}]
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("inspector")
        html = (await browser.get("/quality?days=1")).text
        for text in ("<b>12</b>", "75 %", "Alarms: 12", "is-flood"):
            assert text in html, text
        html = (await browser.get("/notifications")).text
        for text in (
            "Alarm path broken: li · ding, at sending",
            "Pressure low",
            "The service answered with an error.",
            "3 tries",
        ):
            assert text in html, text
        html = (await browser.get(f"/alarms/{alarm}")).text
        assert "The service answered with an error." in html
        html = (await browser.get("/rules", params={"text": "panel-fault"})).text
        assert ">12</td>" in html
        assert "It never spoke." in (await browser.get("/rules/hydrant-stuck")).text
        assert (await browser.get("/rules/nothing")).status_code == 404


async def test_changed_rules_and_sites_are_read_again_when_the_gateway_says_so(station: Station) -> None:
    """A wrong file leaves the pages as they are."""
    station.user("inspector")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("inspector")
        good = station.site_file.read_text("utf-8")
        station.site_file.write_text(good.replace("Victory Road hydrant", "Hydrant of the new name"), "utf-8")
        station._tell("configuration", {"configuration": "x"})
        while "Hydrant of the new name" not in (await browser.get("/devices")).text:
            pass
        station.site_file.write_text("site: [", "utf-8")
        station._tell("configuration", {"configuration": "y"})
        assert "Hydrant of the new name" in (await browser.get("/devices")).text


async def test_the_system_itself_has_its_devices(station: Station) -> None:
    """The gateway, an agent and a line as they report of themselves: named, with a page and values."""
    station.user("inspector")
    station.values["system/gateway/disk_free_pct"] = [now_ms(), 41.0, "good"]
    station.values["shuiye/agent-edge1/outbox_count"] = [now_ms(), 3.0, "good"]
    station.values["shuiye/line-field/online"] = [now_ms(), True, "good"]
    alarm = station.alarm("disk-low", "system/gateway/disk_free_pct", "warning", value=9.0)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("inspector")
        html = (await browser.get("/devices")).text
        for text in ("This system", "Agent one", "line field"):
            assert text in html, text
        assert "41" in (await browser.get("/devices/system/gateway")).text
        html = (await browser.get(f"/alarms/{alarm}")).text
        assert "Gateway" in html
        assert "This system" in html
