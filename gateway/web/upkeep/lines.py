"""Lines: how each is now, how it was (use, errors, answer time), and the reports of the line doctor kept of it."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, File, Query, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.errors import RetryLater
from contract.lines import Line as SiteLine
from contract.own_points import LINE_POINTS
from contract.profile import ONLINE
from contract.site import line_device
from gateway.history.base import Bucket
from gateway.web import views
from gateway.web.access import Refused
from gateway.web.api_models import Answer
from gateway.web.charts import bucket_ms
from gateway.web.context import Web, person_of, web_of
from gateway.web.inventory import Device
from gateway.web.refusals import FINDINGS, in_words
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.web.upkeep.drawn import Curve, draw, highest, means, rises
from gateway.work.line_reports import LINE_REPORT, LineReport, Report

router = APIRouter()
HOUR_MS = 3_600_000
SPANS = (24, 168, 720)
"""Hours that may be shown."""
BYTES = 256 * 1024
"""Largest report that is taken."""
DRAWN = 32
"""Devices of a line whose answer time is drawn."""
ERRORS = ("timeouts_count", "bad_frames_count", "late_count")


class LineRow(NamedTuple):
    """A line as it is now. values: point -> its row; online: None while it never spoke."""

    site: str
    site_title: str
    agent: str
    line: SiteLine
    where: str
    online: bool | None
    values: dict[str, views.PointRow]
    devices: int
    silent: int
    reports: int

    @property
    def key(self) -> str:
        """site/line"""
        return f"{self.site}/{self.line.id}"


@router.get("/upkeep/lines")
async def lines(request: Request) -> Response:
    """Every line, those that are not well first."""
    web, texts = web_of(request), web_of(request).texts(request)
    kept = await web.read(web.ledger.entries, LINE_REPORT, limit=1000)
    counts: dict[tuple[str, str], int] = {}
    for report in kept:
        counts[report.site, report.line] = counts.get((report.site, report.line), 0) + 1
    rows = [
        row_of(web, site, line.id, texts, counts.get((site, line.id), 0))
        for site, known in web.inventory.sites.items()
        for agent in known.agents
        for line in agent.lines
    ]
    rows.sort(key=lambda row: (row.online is not False, -row.silent, -_busy(row), row.key))
    return page(request, "upkeep/lines.html", fragment="upkeep/_lines.html", rows=rows)


@router.get("/upkeep/lines/{site}/{line}")
async def line_page(request: Request, site: str, line: str, hours: Annotated[int, Query()] = 24) -> Response:
    """One line: its figures over time, its devices, its reports."""
    web, texts = web_of(request), web_of(request).texts(request)
    row = row_of(web, site, line, texts)
    hours = hours if hours in SPANS else SPANS[0]
    devices = devices_on(web, site, line)
    away = False
    curves: list[Curve] = []
    try:
        curves = await _curves(web, row, devices, hours, texts)
    except RetryLater:
        away = True
    reports = await web.read(web.ledger.entries, LINE_REPORT, sites=(site,), limit=500)
    return page(
        request,
        "upkeep/line.html",
        row=row,
        hours=hours,
        spans=SPANS,
        curves=curves,
        away=away,
        from_ms=web.now_ms() - hours * HOUR_MS,
        units=[
            (device, views.health_rows(device, web.picture, texts, web.now_ms()), _answers(web, device))
            for device in devices
        ],
        reports=[report for report in reports if report.line == line][:30],
        told=lambda text: in_words(text, texts.language, FINDINGS),
    )


@router.post("/upkeep/lines/{site}/{line}/reports")
async def keep_report(
    request: Request, site: str, line: str, report: Annotated[UploadFile | None, File()] = None
) -> Response:
    """Keep a report of `weizhan line doctor --json`. The same file again is the same report."""
    web, texts = web_of(request), web_of(request).texts(request)
    row_of(web, site, line, texts)
    data = await report.read(BYTES + 1) if report is not None else b""
    if len(data) > BYTES:
        raise Refused(
            413, msgid("The file is too large. Want the report of `weizhan line doctor --json`, 256 KiB at most.")
        )
    await keep(web, person_of(request).name, site, line, data)
    return RedirectResponse(f"/upkeep/lines/{site}/{line}#reports", 303)


class LineReportAnswer(Answer):
    """A kept report of the line doctor."""

    id: int
    site: str
    line: str
    at_ms: int
    by: str
    report: dict[str, Any]


async def keep(web: Web, who: str, site: str, line: str, data: bytes) -> LineReport:
    """Check a report and have it kept. Raises Refused for what is none."""
    try:
        report = msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused(
            422,
            msgid("This is no report of the line doctor. Make one with `weizhan line doctor --json > report.json`."),
        ) from exc
    kept = await web.link.ask("line_report.keep", who, site=site, line=line, report=msgspec.to_builtins(report))
    return msgspec.convert(kept, LineReport)


def report_answer(row: LineReport) -> LineReportAnswer:
    """A report as the API tells it."""
    report = msgspec.to_builtins(row.report)
    return LineReportAnswer(id=row.id, site=row.site, line=row.line, at_ms=row.from_ms, by=row.by, report=report)


def row_of(web: Web, site: str, line: str, texts: Texts, reports: int = 0) -> LineRow:
    """A line as it is now. Raises Refused when there is none of that name."""
    known = web.inventory.sites.get(site)
    pairs = [(agent, each) for agent in known.agents for each in agent.lines if each.id == line] if known else []
    if not pairs or known is None:
        raise Refused(404, msgid("There is no such line."))
    agent, found = pairs[0]
    own = web.inventory.own.get(f"{site}/{line_device(line)}")
    values = {}
    for point in LINE_POINTS:
        if own is not None and f"{own.key}/{point.name}" in web.picture.values:
            values[point.name] = views.point_row(own, point, web.picture, texts, web.now_ms(), None, {})
    online = web.picture.values.get(f"{site}/{line_device(line)}/{ONLINE}")
    devices = devices_on(web, site, line)
    host, port = getattr(found, "host", ""), getattr(found, "port", "")
    return LineRow(
        site, known.title.get(texts.language), web.inventory.agent_title(site, agent.id).get(texts.language), found,
        f"{host}:{port}" if host else str(port), None if online is None else online.value is True, values,
        len(devices), sum(_answers(web, device) is False for device in devices), reports,
    )  # fmt: skip


def devices_on(web: Web, site: str, line: str) -> list[Device]:
    """The devices of a line, in file order."""
    return [device for device in web.inventory.devices.values() if (device.site, device.line) == (site, line)]


def _answers(web: Web, device: Device) -> bool | None:
    online = web.picture.values.get(f"{device.key}/{ONLINE}")
    return None if online is None else online.value is True


def _busy(row: LineRow) -> float:
    busy = row.values.get("busy_pct")
    return float(busy.text) if busy is not None and busy.text.replace(".", "", 1).isdigit() else 0.0


async def _curves(web: Web, row: LineRow, devices: list[Device], hours: int, texts: Texts) -> list[Curve]:
    until_ms = web.now_ms()
    span = until_ms - hours * HOUR_MS, until_ms
    step_ms = bucket_ms(*span, 200)
    # Values are repeated at least this often by line and agent, changed or not.
    longest_ms = max(step_ms, 20 * 60_000)
    own = line_device(row.line.id)

    async def read(device: str, point: str) -> list[Bucket]:
        return await web.history.read(row.site, f"{device}/{point}", *span, step_ms)

    errors = [await read(own, point) for point in ERRORS]
    answers = [await read(device.id, "response_ms") for device in devices[:DRAWN]]
    return [
        draw(texts("Share of line time used"), "%", means(await read(own, "busy_pct")), span, longest_ms, 100.0),
        draw(texts("Errors an hour"), "", rises(errors, step_ms), span, longest_ms, 5.0),
        draw(texts("Slowest answer of a device"), "ms", highest(answers), span, longest_ms, 50.0),
    ]
