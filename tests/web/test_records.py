"""Records: devices found as they were and are, a life on one page, a certificate that adds up, files that are kept."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from pypdf import PdfReader

from gateway.duty.checks import CHECKS, DutyCheck
from gateway.duty.handover import Stay
from gateway.duty.shifts import SHIFT, Shift
from gateway.exports.checking import check_file
from gateway.exports.checking_desk import CheckingDesk, TooMuch
from gateway.exports.document import Spool, lines
from gateway.history.base import Row
from gateway.ledger import audit
from gateway.ledger.entries import Entry, Kind
from gateway.ledger.records import AuditEntry
from gateway.web.app import load_inventory
from gateway.work.rectification import HAZARD, Hazard
from rules.model import Limits, Threshold, with_limits
from tests.exports import papers
from tests.web.station import Browser, Station, now_ms, serving

DAY_MS = 86_400_000
HYDRANT = "shuiye/hydrant-01"


def told(station: Station, ago_ms: int, action: str = "start") -> None:
    """A row of the audit chain."""
    with station.db:
        audit.append(station.db, [AuditEntry(now_ms() - ago_ms, "local", action, "gateway", {})])


@asynccontextmanager
async def inspecting(station: Station, language: str = "en") -> AsyncIterator[Browser]:
    """An inspector's browser on a station whose ledger began ten days ago."""
    station.user("inspector")
    told(station, 10 * DAY_MS)
    told(station, 0, "stop")
    async with station.gateway(), serving(station) as address, Browser(address, language) as browser:
        await browser.sign_in("inspector")
        yield browser


async def made(browser: Browser, page: str = "/records/exports", **fields: str) -> Any:
    """Ask for an export and wait for it; the answer with the file."""
    answer = await browser.submit(page, "/records/exports", **fields)
    assert answer.status_code == 303, answer.text
    where = answer.headers["location"]
    for _ in range(400):
        text = (await browser.get(where)).text
        if "every 1s" not in text:
            break
        await asyncio.sleep(0.05)
    return await browser.get(f"{where}/file")


def month_of_values() -> str:
    """The month in which the values of two days ago lie: YYYY-MM in the pages' zone."""
    return f"{datetime.now(ZoneInfo('Asia/Shanghai')) - timedelta(days=2):%Y-%m}"


async def test_a_device_is_found_as_it_was_on_a_day_and_as_it_is_now(station: Station) -> None:
    """An alarm that stood then and one that stands now; before the ledger began nothing is called good."""
    station.alarm("hydrant-pressure-low", f"{HYDRANT}/pressure_kpa", "critical", ago_s=3 * 86400, value=90)
    station.db.execute("UPDATE alarm SET active = 0, state = 'normal', cleared_ms = ?", (now_ms() - DAY_MS,))
    station.alarm("hydrant-cap-open", f"{HYDRANT}/cap_open", "warning", ago_s=60)
    async with inspecting(station) as browser:
        today = date.fromisoformat((await browser.get("/records")).text.split('max="')[1][:10])

        async def states(back: int | None) -> list[str]:
            on = "" if back is None else f"&on={today - timedelta(days=back)}"
            text = (await browser.get(f"/records?text=hydrant-01{on}")).text
            return re.findall(r"badge (?:sev|st)-(\w+)", text.split("<tbody>")[1])

        assert await states(None) == ["warning"]
        assert await states(2) == ["critical", "warning"]
        assert await states(30) == ["unknown", "warning"]
        assert (await browser.get(f"/records?on={today + timedelta(days=2)}")).status_code == 422
        assert (await browser.get("/records?on=soon")).status_code == 422
        assert "Nothing fits" in (await browser.get("/records?text=nowhere")).text


async def test_nothing_is_called_good_now_when_the_gateway_is_away(station: Station) -> None:
    """Unknown is never OK."""
    station.user("inspector")
    async with serving(station) as address, Browser(address, "en") as browser:
        async with station.gateway():
            await browser.sign_in("inspector")
        text = (await browser.get("/records")).text
        assert "st-good" not in text.split("<tbody>")[1]


async def test_a_life_tells_what_happened_and_what_was_done_when_everything_did(station: Station) -> None:
    """Alarm with its steps, who was on duty, work with its note; a kind alone when it is chosen."""
    station.alarm("hydrant-pressure-low", f"{HYDRANT}/pressure_kpa", "critical", ago_s=9000, cleared=True, by="wang")
    row = ("shuiye", "hydrant-01", "calibration", now_ms() - DAY_MS, now_ms(), "li", "<img src=x onerror=alert(1)>")
    station.db.execute(
        "INSERT INTO work (site, device, work, at_ms, recorded_ms, by, note) VALUES (?,?,?,?,?,?,?)", row
    )
    async with inspecting(station) as browser:
        text = (await browser.get(f"/records/{HYDRANT}")).text
        assert "wang" in text
        assert "On duty then: nobody on record" in text
        assert "&lt;img src=x onerror" in text
        assert "<img src=x" not in text
        alone = (await browser.get(f"/records/{HYDRANT}?kind=work")).text
        assert "&lt;img src=x" in alone
        assert "wang" not in alone.split('id="life"')[1]
        assert (await browser.get("/records/shuiye/nothing")).status_code == 404


def kept(station: Station, kind: Kind[Any], rows: Iterable[Entry]) -> None:
    """Put rows of a register into the ledger."""
    query = "INSERT INTO entry VALUES (?,?,?,?,0,?,?,?)"
    told = [
        (kind.name, row.id, row.site, row.state, row.from_ms, row.until_ms, msgspec.json.encode(row).decode())
        for row in rows
    ]
    with station.db:
        station.db.executemany(query, told)


async def test_a_life_is_whole_when_thousands_of_shifts_checks_and_hazards_came_after_it(station: Station) -> None:
    """Who was on duty two years ago and how they answered, and a hazard of then: not pushed out by what others did."""
    with station.site_file.open("a", encoding="utf-8") as site:
        site.write("station: {grade: 3, posts: [{id: control, title: {zh: 消防控制室, en: Control room}, crew: 1}]}\n")
    ago_ms = now_ms() - 700 * DAY_MS
    told(station, 701 * DAY_MS)
    station.alarm("hydrant-pressure-low", f"{HYDRANT}/pressure_kpa", "critical", ago_s=700 * 86_400, cleared=True)
    third = DAY_MS // 3
    shifts = [
        Shift(id=n + 1, site="shuiye", state="over", from_ms=at, until_ms=at + third, planned_ms=at, ends_ms=at + third,
              stays=(Stay(n % 7 + 1, "control", at, at + third),))
        for n in range(2100)
        if (at := ago_ms - third // 2 + n * third)
    ]  # fmt: skip
    kept(station, SHIFT, shifts)
    checks = [
        DutyCheck(id=n + 1, site="shuiye", state="answered", from_ms=at, until_ms=at + 60_000, origin="gateway")
        for n in range(2100)
        if (at := ago_ms - 3_600_000 + n * third)
    ]
    kept(station, CHECKS, checks)
    subjects = (HYDRANT, *(["shuiye/hydrant-02"] * 1500))
    hazards = [
        Hazard(id=n + 1, site="shuiye", state="closed", from_ms=ago_ms + n, until_ms=ago_ms + n + 1, source="person",
               subject=subject, text=f"hazard {n}")
        for n, subject in enumerate(subjects)
    ]  # fmt: skip
    kept(station, HAZARD, hazards)
    async with inspecting(station) as browser:
        text = (await browser.get(f"/records/{HYDRANT}")).text
    assert "On duty then: Person no. 1 (Control room); duty check of" in text
    assert "hazard 0" in text
    assert "hazard 1" not in text


async def test_every_row_of_a_life_is_reached_once_when_there_are_more_than_a_page(station: Station) -> None:
    """On the page, in the API and in a file, also of rows of the same instant, and while new ones come in between."""
    numbers = []
    with station.db:
        for n in range(650):
            ago_s = 3 * 86_400 + n // 90 * 60  # ninety at a time
            numbers.append(station.alarm("hydrant-pressure-low", f"{HYDRANT}/pressure_kpa", "critical", ago_s=ago_s))
        station.db.execute("UPDATE alarm SET raised_ms = raised_ms / 60000 * 60000")
        times = [row[0] for row in station.db.execute("SELECT DISTINCT raised_ms FROM alarm")]
        for at in times:
            for note in ("one", "two"):
                row = ("shuiye", "hydrant-01", "calibration", at, at, "li", f"{note}-{at}")
                station.db.execute(
                    "INSERT INTO work (site, device, work, at_ms, recorded_ms, by, note) VALUES (?,?,?,?,?,?,?)", row
                )
    notes = sorted(f"{note}-{at}" for at in times for note in ("one", "two"))
    async with inspecting(station) as browser:
        where, links, told, found = f"/records/{HYDRANT}", [], [], 0
        address: str | None = where
        while address is not None:
            text = (await browser.get(address)).text
            found += 1
            if found == 1:  # what comes now moves nothing on the pages behind
                station.alarm("hydrant-pressure-low", f"{HYDRANT}/pressure_kpa", "critical")
            life = text.split('class="life"')[1].split("</ol>")[0]
            links += [int(number) for number in re.findall(r'href="/alarms/(\d+)"', life)]
            told += re.findall(r"(?:one|two)-\d+", life)
            onward = re.search(r'rel="next" href="([^"]+)#life"', text)
            address = onward[1].replace("&amp;", "&") if onward else None
        assert sorted(links) == numbers
        assert sorted(told) == notes
        assert found == 4
        for kind, size in (("", 77), ("alarm", 500), ("work", 5)):
            events: list[Any] = []
            after = ""
            while True:
                only = f"&kind={kind}" if kind else ""
                page = (await browser.get(f"/api/v1{where}?limit={size}{only}{after}")).json()
                events += page["events"]
                assert len(page["events"]) == size or not page["more"]
                assert page["more"] is (page["next"] is not None)
                if page["next"] is None:
                    break
                after = f"&after={page['next']}"
            counts = page["counts"]
            assert (counts["alarm"], counts["work"]) == (651, len(notes))
            assert len(events) == (counts[kind] if kind else sum(counts.values()))
            assert [event["at_ms"] for event in events] == sorted((e["at_ms"] for e in events), reverse=True)
            assert sorted(line for e in events if e["kind"] == "work" for line in e["lines"]) == (
                [] if kind == "alarm" else notes
            )
        file = (await made(browser, kind="life", site="shuiye", device="hydrant-01", file="csv")).text
        rows = [row for row in csv.reader(io.StringIO(file)) if row[2:3] == ["Alarms"]]
        assert len(rows) == 651
        for cursor in ("x", "WzFd", "WyJhIiwwLDFd", "WzEsMCwieCJd", "Wy05ZTk5LDAsMV0"):
            for address in (f"/api/v1{where}?after={cursor}", f"{where}?before={cursor}"):
                answer = await browser.get(address)
                assert answer.status_code == 422, (cursor, answer.text)


async def test_a_life_tells_every_time_out_of_service_when_the_device_is_back(station: Station) -> None:
    """From when to when, by whom, why, and who returned it; also of a point of it, and of one that is out now."""
    entries = [
        AuditEntry(now_ms() - 5 * DAY_MS, "wang", "service.take_out", HYDRANT, {"reason": "valve mended"}),
        AuditEntry(now_ms() - 4 * DAY_MS, "li", "service.return", HYDRANT, {"note": "tried and tight"}),
        AuditEntry(now_ms() - 3 * DAY_MS, "wang", "service.take_out", f"{HYDRANT}/pressure_kpa", {"reason": "sensor"}),
        AuditEntry(now_ms() - 3 * DAY_MS, "wang", "service.take_out", "shuiye/hydrant-011", {"reason": "not mine"}),
    ]
    with station.db:
        audit.append(station.db, entries)
    async with inspecting(station) as browser:
        events = (await browser.get(f"/api/v1/records/{HYDRANT}")).json()["events"]
        page = (await browser.get(f"/records/{HYDRANT}?kind=hold")).text
    held = [(e["who"], e["until_ms"] is None, e["lines"]) for e in events if e["kind"] == "hold"]
    assert [(who, is_out) for who, is_out, _ in held] == [("wang", True), ("wang", False)]
    assert held[0][2][-1] == "sensor"
    assert held[1][2][0] == "valve mended"
    assert held[1][2][1].endswith("Returned to service · li · tried and tight")
    assert "tried and tight" in page
    assert "not mine" not in page


async def test_a_certificate_adds_up_when_values_came_and_were_lost(station: Station) -> None:
    """The page and the file say the same sum, and that every link of the chain holds."""
    begin = now_ms() - 4 * DAY_MS
    rows = [Row("shuiye", "hydrant-01", "pressure_kpa", begin + n * 300_000, 150.0, "good") for n in range(600)]
    rows += [
        Row("shuiye", "hydrant-01", "pressure_kpa", begin + n * 300_000, None, "bad:no_answer") for n in range(600, 700)
    ]
    await station.remember(rows)
    page = f"/records/{HYDRANT}/completeness?month={month_of_values()}"
    months = (f"{month_of_values()}-02", "2001-01-02")
    came = [("shuiye", "edge1", "hydrant-01", "telemetry", day, 3, 17) for day in months]
    station.db.executemany("INSERT INTO resent VALUES (?,?,?,?,?,?,?)", came)
    async with inspecting(station) as browser:
        text = (await browser.get(page)).text
        found = re.search(
            r'sum">(\d+) = (\d+) received \+ (\d+) arrival no longer kept \+ (\d+) late \+ (\d+) missing', text
        )
        assert found is not None
        due, *parts = map(int, found.groups())
        assert due == sum(parts) > 0
        assert parts[1] > 0
        assert "every link holds" in text
        fields = {"kind": "completeness", "file": "csv", "site": "shuiye", "device": "hydrant-01"}
        file = await made(browser, **fields, month=month_of_values())
        table = list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"))))
        sums = {row[0]: int(row[1]) for row in table if len(row) == 2 and row[1].isdigit()}
        assert sums.pop("Due") == sum(sums.values())
        assert ["shuiye/edge1", "telemetry", f"{month_of_values()}-02", "3", "17"] in table
        assert "3 batches, 17 readings of it" in text
        said = (await browser.get(f"/api/v1{page}")).json()["again"]
        assert said == [{"day": f"{month_of_values()}-02", "lane": "telemetry", "batches": 3, "readings": 17}]
        station.db.execute("DROP TRIGGER audit_no_update")
        station.db.execute("UPDATE audit SET actor = 'mallory'")
        assert "does not fit" in (await browser.get(page)).text


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_every_kind_of_export_is_whole_when_made_as_every_kind_of_file(
    language: str, station: Station, tmp_path: Path
) -> None:
    """Seven kinds; the file is checked against its code, and the gateway was told of it."""
    station.alarm("hydrant-pressure-low", f"{HYDRANT}/pressure_kpa", "critical", ago_s=60, value=90)
    kinds = ("life", "completeness", "readiness", "rectification", "alarms", "duty", "hazards")
    async with inspecting(station, language) as browser:
        for kind, file in zip(kinds, ("pdf", "xlsx", "csv", "pdf", "xlsx", "csv", "xlsx"), strict=True):
            answer = await made(
                browser, kind=kind, file=file, site="shuiye", device="hydrant-01" if kind == "life" else ""
            )
            assert answer.status_code == 200, kind
            path = tmp_path / f"{kind}.{file}"
            path.write_bytes(answer.content)
            found = check_file(path)
            assert found.is_whole, kind
            assert {"op": "exported", "what": f"export/{found.found}"} in [
                {"op": ask.op, "what": ask.args.get("what")} for ask in station.asked
            ]
            if kind == "life":
                text = "\n".join(page.extract_text() for page in PdfReader(path).pages)
                assert ("设备档案" if language == "zh" else "Record of a device") in text
                assert "shuiye/hydrant-01" in text


async def test_a_chart_of_an_export_has_the_limits_of_its_time_when_a_rule_was_changed(station: Station) -> None:
    """Not those of today alone: what held at the beginning, and what holds since when."""
    rule = load_inventory(station.settings()).rules["hydrant-pressure-low"]
    assert isinstance(rule.when, Threshold)
    now = float(rule.when.below or 0)
    moved_ms = now_ms() - 2 * 3_600_000
    for kept_rule, first_ms in ((with_limits(rule, Limits(below=now - 40), "old"), 1_000), (rule, moved_ms)):
        row = (kept_rule.id, kept_rule.version, first_ms, kept_rule.model_dump_json(by_alias=True))
        station.db.execute("INSERT INTO rule_version VALUES (?, ?, ?, ?)", row)
    at = now_ms() - 4 * 3_600_000
    await station.remember(
        [Row("shuiye", "hydrant-01", "pressure_kpa", at + n * 60_000, 150.0, "good") for n in range(60)]
    )
    async with inspecting(station) as browser:
        file = await made(browser, kind="life", file="csv", site="shuiye", device="hydrant-01")
    lines = list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"))))
    limits = [json.loads(line[2])["limits"] for line in lines if line[:1] == ["table"] and "kPa" in line[-1]]
    assert [at for _, at in limits[0]] == [now - 40, now]
    assert "since" not in limits[0][0][0]
    assert "since 20" in limits[0][1][0]


async def test_an_export_is_its_owners_alone_when_others_ask_for_it(station: Station) -> None:
    """Another inspector gets 404 for page and file; what is unknown is said in a sentence."""
    station.user("other", "inspector")
    async with inspecting(station) as browser:
        answer = await browser.submit("/records/exports", "/records/exports", kind="hazards", file="csv")
        where = answer.headers["location"]
        assert (await browser.submit("/records/exports", "/records/exports", kind="x", file="csv")).status_code == 422
        assert (
            await browser.submit("/records/exports", "/records/exports", kind="life", file="csv")
        ).status_code == 404
        async with Browser(str(browser.base_url), "en") as stranger:
            await stranger.sign_in("other")
            assert (await stranger.get(where)).status_code == 404
            assert (await stranger.get(f"{where}/file")).status_code == 404
            assert where not in (await stranger.get("/records/exports")).text
        assert (await browser.submit(where, f"{where}/drop")).status_code == 303
        assert (await browser.get(where)).status_code == 404


async def check(browser: Browser, name: str, data: bytes) -> Any:
    """Send a file to be checked."""
    fields = {"csrf": await browser.csrf()}
    return await browser.post("/records/check", data=fields, files={"file": (name, data, "application/octet-stream")})


@pytest.mark.parametrize("kind", ["csv", "xlsx", "pdf"])
async def test_a_file_is_told_ours_strange_or_changed_when_it_is_sent_to_be_checked(
    kind: str, station: Station, tmp_path: Path
) -> None:
    """As handed out: whole, by whom and when. Not in the chain: whole, but not ours. One digit else: changed. Whatever
    it is called, and nothing of it stays."""
    station.alarm("hydrant-pressure-low", f"{HYDRANT}/pressure_kpa", "critical", ago_s=60, value=90)
    async with inspecting(station) as browser:
        file = (await made(browser, kind="alarms", file=kind, site="shuiye")).content
        path = tmp_path / f"x.{kind}"
        path.write_bytes(file)
        code = check_file(path).found
        kept = sorted(p.name for p in station.folder.rglob("*") if p.is_file())
        strange = await check(browser, f"x.{kind}", file)
        assert (strange.status_code, "Whole, but not on record here" in strange.text) == (200, True)
        assert "stands in the chain of this system" in strange.text
        with station.db:
            entry = AuditEntry(now_ms(), "inspector", "exported", f"export/{code}", {"range": "alarms: <b>x</b>"})
            audit.append(station.db, [entry])
        ours = (await check(browser, "<img src=x>.txt", file)).text
        for told in ("Whole and unchanged", code, "inspector", "&lt;b&gt;x", "&lt;img src=x&gt;.txt", "Asia/Shanghai"):
            assert told in ours, told
        assert sorted(p.name for p in station.folder.rglob("*") if p.is_file()) == kept
        document = Spool(tmp_path / "other.jsonl")
        document.path.write_bytes(b"".join(lines(papers.document(["x"]))))
        forged = tmp_path / f"forged.{kind}"
        papers.WRITERS[kind](document, code, forged, lambda _: None)  # another content under a code that is ours
        changed = (await check(browser, f"x.{kind}", forged.read_bytes())).text
        assert "Changed after it was made" in changed
        assert "What the audit chain says of the code in the file" in changed
        torn = await check(browser, f"x.{kind}", file[: len(file) // 2])
        assert (torn.status_code, "Could not be checked" in torn.text) == (422, True)


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_pdf_of_another_version_is_told_proven_and_not_compared_when_it_is_sent(
    language: str, station: Station, tmp_path: Path
) -> None:
    """Its content stands in the chain; that nobody compared the drawing, and which version drew it, is said."""
    spool = Spool(tmp_path / "old.jsonl")
    spool.path.write_bytes(b"".join(lines(papers.document(["x"]), "1 fpdf2-2.7.0 font-00000000")))
    papers.WRITERS["pdf"](spool, spool.code(), tmp_path / "old.pdf", lambda _: None)
    async with inspecting(station, language) as browser:
        with station.db:
            entry = AuditEntry(now_ms(), "inspector", "exported", f"export/{spool.code()}", {"range": "life"})
            audit.append(station.db, [entry])
        html = (await check(browser, "old.pdf", (tmp_path / "old.pdf").read_bytes())).text
        known = {
            "zh": ("内容已证实，版面未比对", "均按次序出现"),
            "en": ("Content proven, drawing not", "in their order"),
        }
        for told in (*known[language], "1 fpdf2-2.7.0 font-00000000", spool.code(), "inspector"):
            assert told in html, told
        assert ("生成后被改动" if language == "zh" else "Changed after it was made") not in html


async def test_a_check_is_given_up_when_a_file_takes_too_long(tmp_path: Path) -> None:
    """The process ends, nothing is left, and the next file is checked."""
    document = Spool(tmp_path / "x.jsonl")
    document.path.write_bytes(b"".join(lines(papers.document(["x"]))))
    papers.WRITERS["csv"](document, document.code(), tmp_path / "x.csv", lambda _: None)
    data = (tmp_path / "x.csv").read_bytes()
    with pytest.raises(TooMuch):
        await CheckingDesk(0.001).check(data)
    assert (await CheckingDesk().check(data)).is_whole


async def test_a_code_is_known_only_when_the_chain_has_it(station: Station) -> None:
    """Where the QR code of an export leads."""
    code = "ab" * 32
    async with inspecting(station) as browser:
        assert "handed out by this system" in (await browser.get(f"/records/check?code={code}")).text
        entry = AuditEntry(now_ms(), "inspector", "exported", f"export/{code}", {"range": "life pdf: x"})
        with station.db:
            audit.append(station.db, [entry])
        assert "This system handed out" in (await browser.get(f"/records/check?code={code.upper()}")).text
        assert "This is no code" in (await browser.get("/records/check?code=12")).text
