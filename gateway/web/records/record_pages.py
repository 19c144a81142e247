"""Pages of records: search, the life of a device, its certificate, readiness and rectification of an area."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NamedTuple, get_args
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import RetryLater
from contract.profile import OWN, Category
from contract.units import unit_of
from gateway.assessment import periods
from gateway.assessment.periods import Period
from gateway.assessment.state_at import STATES
from gateway.duty.readiness_report import LOCAL_MEASURE
from gateway.exports.desk import FILE_KINDS
from gateway.web.access import HANDLE, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.inventory import Device
from gateway.web.listing import turn_of
from gateway.web.pages import chart_limits, due_rows
from gateway.web.records import documents
from gateway.web.records.certificate_tables import again_words, arithmetic, notes_of
from gateway.web.records.former import Former, find_device, fits, former_devices
from gateway.web.records.life import KINDS, life
from gateway.web.records.proof import certificate
from gateway.web.records.reports import (
    READY_RATES,
    RECTIFICATION_RATES,
    hazards_of,
    month_report,
)
from gateway.web.records.search import Terms, search, states
from gateway.web.records.words import identity, lost_word, percent
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
TYPES: tuple[str, ...] = tuple(name for name in get_args(Category) if name not in OWN)
SHOWN_EVENTS = 200
DAY_MS = 86_400_000
Month = Annotated[str, Query(max_length=7, pattern=r"^(\d{4}-\d{2})?$")]
Name = Annotated[str, Query(max_length=60)]


class Statistic(NamedTuple):
    """Values of a number over the last 30 days. None: there was none."""

    title: str
    unit: str
    lowest: float | None
    mean: float | None
    highest: float | None
    readings: int


@router.get("/records")
async def records(
    request: Request,
    text: Annotated[str, Query(max_length=100)] = "",
    site: Name = "",
    area: Name = "",
    type: Name = "",  # noqa: A002  # name of the query parameter
    state: Name = "",
    on: Annotated[str, Query(max_length=10)] = "",
    page_number: Annotated[int, Query(ge=1, le=10_000, alias="page")] = 1,
) -> Response:
    """Find devices; their state on a day and now."""
    web, texts = web_of(request), web_of(request).texts(request)
    terms = Terms(text.strip(), site, area, type if type in TYPES else "", state if state in STATES else "", on.strip())
    return page(
        request,
        "records.html",
        fragment="_records.html",
        terms=terms,
        found=await search(web, texts, terms, page_number),
        sites=_sites(web, texts),
        areas=areas(web, texts),
        types=TYPES,
        states=STATES,
        today=texts.day(web.now_ms()),
    )


@router.get("/records/former")
async def former(request: Request, text: Annotated[str, Query(max_length=100)] = "", site: Name = "") -> Response:
    """Devices that were taken out; each has its life up to then."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    if site and site not in web.inventory.sites:
        raise Refused(404, msgid("There is no such site."))
    rows = await former_devices(web, (site,) if site else tuple(web.inventory.sites))
    return page(
        request, "records_former.html", rows=[row for row in rows if fits(row, text, texts)], text=text, site=site,
        sites=_sites(web, texts), titles=dict(_sites(web, texts)),
    )  # fmt: skip


@router.get("/records/readiness")
async def readiness(request: Request, month: Month = "", area: Name = "", site: Name = "") -> Response:
    """Readiness of the stations of an area in a month."""
    web, texts = web_of(request), web_of(request).texts(request)
    shown = month_of(web, month)
    scope = documents.scope_of(web, texts, documents.Wanted("readiness", shown, site, "", area))
    found = await month_report(web, texts, scope.sites, shown)
    return page(
        request, "records_readiness.html", cards=found.rates(READY_RATES),
        stations=[(line, line.account) for line in found.lines if line.account is not None],
        rule_titles={key: rule.title.get(texts.language) for key, rule in web.inventory.rules.items()},
        **_report_head(web, texts, shown, scope.title, area, site, "readiness"),
    )  # fmt: skip


@router.get("/records/rectification")
async def rectification(request: Request, month: Month = "", area: Name = "", site: Name = "") -> Response:
    """Hazards of an area in a month: found, closed, late."""
    web, texts = web_of(request), web_of(request).texts(request)
    shown = month_of(web, month)
    scope = documents.scope_of(web, texts, documents.Wanted("rectification", shown, site, "", area))
    found = await month_report(web, texts, scope.sites, shown)
    rows, counts = await hazards_of(web, scope.sites, shown)
    return page(
        request, "records_rectification.html", cards=found.rates(RECTIFICATION_RATES), lines=found.lines,
        total=counts, hazards=rows[:SHOWN_EVENTS], left=max(0, len(rows) - SHOWN_EVENTS),
        **_report_head(web, texts, shown, scope.title, area, site, "rectification"),
    )  # fmt: skip


@router.get("/records/{site}/{device}")
async def device_life(
    request: Request,
    site: str,
    device: str,
    kind: Name = "",
    point: Name = "",
    before: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """Everything that is known of a device, a page at a time; before: what came before the end of another page."""
    web, texts = web_of(request), web_of(request).texts(request)
    known, gone = await find_device(web, site, device)
    chosen = next((name for name in KINDS if name == kind), None)
    whole = await life(web, texts, known, gone, turn_of(before, SHOWN_EVENTS), chosen)
    numbers = [p for p in known.points.values() if p.is_number]
    drawn = next((p for p in numbers if p.name == point), numbers[0] if numbers else None)
    work = await web.read(web.ledger.work, site, device, 500)
    statistics, away = await _statistics(web, texts, known, web.now_ms() if gone is None else gone.removed_ms)
    unit = unit_of(drawn.name) if drawn is not None else None
    return page(
        request,
        "record.html",
        device=known,
        title=known.title.get(texts.language),
        facts=identity(web, texts, known),
        state=(await states(web, [known], None))[known.key],
        gone=gone,
        kinds=KINDS,
        kind=chosen or "",
        whole=whole,
        older=bool(before),
        due=due_rows(known, work, web, texts),
        statistics=statistics,
        away=away,
        numbers=[(p.name, p.title.get(texts.language)) for p in numbers],
        drawn=drawn,
        limits=chart_limits(web, known, drawn.name, texts) if drawn is not None else [],
        drawn_unit=unit.symbol if unit else "",
        month=month_of(web, "" if gone is None else _last_month(web, gone)).name,
        files=FILE_KINDS,
        may_label=person_of(request).may(HANDLE),
    )


@router.get("/records/{site}/{device}/completeness")
async def completeness(request: Request, site: str, device: str, month: Month = "") -> Response:
    """The certificate of a device and a month."""
    web, texts = web_of(request), web_of(request).texts(request)
    known, gone = await find_device(web, site, device)
    shown = month_of(web, month or ("" if gone is None else _last_month(web, gone)))
    found = await certificate(web, known, shown, gone=gone)
    zone = ZoneInfo(web.settings.timezone)
    return page(
        request,
        "records_completeness.html",
        device=known,
        gone="" if gone is None else documents.gone_words(texts, gone),
        title=known.title.get(texts.language),
        month=shown.name,
        before=periods.before(shown, zone).name,
        after=periods.after(shown, zone).name if shown.until_ms <= web.now_ms() else None,
        found=found,
        sum=arithmetic(texts, found.total),
        lost=[(lost_word(texts, reason), number) for reason, number in found.reasons],
        words={reason: lost_word(texts, reason) for each in found.points for reason in each.count.lost},
        percent=percent,
        notes=notes_of(texts, found),
        again=again_words(texts, found.again),
        files=FILE_KINDS,
    )


def _last_month(web: Web, gone: Former) -> str:
    """The month in which a device was taken out."""
    zone = ZoneInfo(web.settings.timezone)
    last = datetime.fromtimestamp(gone.removed_ms / 1000, zone).date()
    return periods.period_of("month", last, zone).name


async def find(web: Web, site: str, device: str) -> Device:
    """A device by name. Raises Refused (404)."""
    await web.refresh_approvals()
    known = web.inventory.devices.get(f"{site}/{device}")
    if known is None:
        raise Refused(404, msgid("There is no such device."))
    return known


def month_of(web: Web, name: str) -> Period:
    """The month of this name; the running one for none. Raises Refused for one that has not begun, or is none."""
    zone = ZoneInfo(web.settings.timezone)
    try:
        found = (
            periods.named(name, zone)
            if name
            else periods.period_of("month", datetime.fromtimestamp(web.now_ms() / 1000, zone).date(), zone)
        )
        periods.before(found, zone)  # reports look back; before the first month of the calendar there is none
    except (ValueError, OverflowError):
        raise Refused(422, msgid("There is no such week or month.")) from None
    if found.from_ms > web.now_ms():
        raise Refused(422, msgid("This month has not begun. Choose an earlier one."))
    return found


def areas(web: Web, texts: Texts) -> list[tuple[str, str]]:
    """(id, title) of the areas in which the reader has a site, indented by their depth."""
    grid = web.inventory.grid
    mine = {site.area for site in web.inventory.sites.values() if site.area}
    return [
        (name, "　" * (len(grid.path(name)) - 1) + area.title.get(texts.language))
        for name, area in grid.areas.items()
        if mine & grid.below(name)
    ]


def _sites(web: Web, texts: Texts) -> list[tuple[str, str]]:
    return [(key, site.title.get(texts.language)) for key, site in web.inventory.sites.items()]


def _report_head(web: Web, texts: Texts, shown: Period, title: str, area: str, site: str, kind: str) -> dict[str, Any]:
    zone = ZoneInfo(web.settings.timezone)
    return {
        "month": shown.name,
        "period": shown,
        "before": periods.before(shown, zone).name,
        "after": periods.after(shown, zone).name if shown.until_ms <= web.now_ms() else None,
        "scope": title,
        "area": area,
        "site": site,
        "query": urlencode({name: value for name, value in (("area", area), ("site", site)) if value}),
        "areas": areas(web, texts),
        "sites": _sites(web, texts),
        "local_measure": LOCAL_MEASURE,
        "kind": kind,
        "files": FILE_KINDS,
    }


async def _statistics(web: Web, texts: Texts, device: Device, now_ms: int) -> tuple[list[Statistic], bool]:
    """Numbers over the 30 days up to then, and whether the history could not be read."""
    found = []
    for point in [p for p in device.points.values() if p.is_number]:
        try:
            rows = await web.history.read(
                device.site, f"{device.id}/{point.name}", now_ms - 30 * DAY_MS, now_ms, DAY_MS
            )
        except RetryLater:
            return [], True
        count = sum(row.count for row in rows)
        unit = unit_of(point.name)
        found.append(
            Statistic(
                point.title.get(texts.language), unit.symbol if unit else "",
                min((row.min for row in rows), default=None),
                sum(row.mean * row.count for row in rows) / count if count else None,
                max((row.max for row in rows), default=None), count,
            )
        )  # fmt: skip
    return found, False
