"""Assessment: the week or the month of an area, in counts and rates, part by part and beside the periods before."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from contract.grid import Area
from gateway.assessment import periods
from gateway.assessment.figures import READINESS_NAMES, Figures, Rate, added, rates
from gateway.assessment.periods import Length, Period
from gateway.assessment.report import Ledgers, Place, places, report, trend
from gateway.duty.readiness_report import LOCAL_MEASURE
from gateway.exports.document import guard
from gateway.incidents.rows import CLOCKS
from gateway.web.access import Refused
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import Web, web_of
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.work.rectification import HAZARD, Hazard

router = APIRouter()
api = APIRouter()
TREND = 6
"""Periods drawn beside one another."""
MOST_HAZARDS = 200
LESS_IS_BETTER = frozenset({"false_alarms"})
HOUR_MS = 3_600_000
_Name = Annotated[str, Query(max_length=10, pattern=r"^(\d{4}-(\d{2}|W\d{2}))?$")]
_Area = Annotated[str, Query(max_length=60)]


class Line(NamedTuple):
    """An area within the one that is shown, or a site of it. units: those that no site watches, of an area."""

    id: str
    title: str
    is_area: bool
    units: int
    figures: Figures
    rates: list[Rate]


class Card(NamedTuple):
    """A rate with the same of the periods before, the earliest first. None: there was nothing to take a share of."""

    rate: Rate
    before: list[tuple[Period, Rate]]


@router.get("/assessment")
async def assessment(request: Request, period: _Name = "", area: _Area = "", length: Length = "month") -> Response:
    """The figures of a period. Without a name the running one; `length` says of which length."""
    web, texts = web_of(request), web_of(request).texts(request)
    shown, chosen = _period(web, period, length), _area(web, area)
    sites = await _sites(web, area)
    by_site = await web.read(report, _ledgers(web), sites, web.inventory.rules, shown, web.now_ms())
    past = await web.read(trend, _ledgers(web), sites, web.inventory.rules, shown, web.now_ms(), TREND, _zone(web))
    total = added(by_site.values())
    return page(
        request,
        "assessment.html",
        period=shown,
        before=periods.before(shown, _zone(web)).name,
        after=periods.after(shown, _zone(web)).name if shown.until_ms <= web.now_ms() else None,
        other=_switched(shown, web),
        area=area,
        areas=() if chosen is None else web.inventory.grid.path(area),
        total=total,
        cards=[
            Card(rate, [(each, rates(of)[number]) for each, of in past]) for number, rate in enumerate(rates(total))
        ],
        clocks=list(zip(CLOCKS, total.clocks_due, total.clocks_met, strict=True)),
        readiness=list(zip(READINESS_NAMES, total.readiness, strict=True)),
        lines=_lines(web, texts, area, by_site),
        hazards=await _hazards(web, sites, shown),
        less_is_better=LESS_IS_BETTER,
    )


@router.get("/assessment.csv")
async def assessment_csv(request: Request, period: _Name = "", area: _Area = "", length: Length = "month") -> Response:
    """The table for a spreadsheet: a line a part, every rate with its two counts. UTF-8 with a mark, as Excel wants."""
    web, texts = web_of(request), web_of(request).texts(request)
    shown = _period(web, period, length)
    _area(web, area)
    by_site = await web.read(report, _ledgers(web), await _sites(web, area), web.inventory.rules, shown, web.now_ms())
    lines = _lines(web, texts, area, by_site)
    text = io.StringIO()
    writer = csv.writer(text)
    names = [rate.name for rate in rates(Figures())]
    head = [cell for name in names for cell in (texts.word("assessment", name), texts("Part"), texts("Of"))]
    writer.writerow([texts("Period"), texts("Area or site"), *head])
    total = Line("", texts("Total"), True, 0, Figures(), rates(added(by_site.values())))
    for line in (*lines, total):
        cells = [
            cell
            for rate in line.rates
            for cell in ("" if rate.percent is None else f"{rate.percent:.2f}", rate.part, rate.whole)
        ]
        writer.writerow([shown.name, guard(line.title), *cells])
    writer.writerow([texts("Local measure, not an official score.")])
    headers = {"Content-Disposition": f'attachment; filename="assessment-{shown.name}.csv"'}
    return Response("\ufeff" + text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


class RateAnswer(Answer):
    """A share with the counts it is made of; `percent` is null where there is nothing to take a share of."""

    name: str
    part: int
    whole: int
    unit: str = Field(description="count, or ms")
    percent: float | None


class LineAnswer(Answer):
    """An area or a site; `figures` are raw counts (times in ms) that add up."""

    id: str
    title_zh: str
    title_en: str
    is_area: bool
    figures: dict[str, Any]
    rates: list[RateAnswer]


class AssessmentAnswer(Answer):
    """A week or a month of an area."""

    period: str = Field(examples=["2026-11"])
    from_ms: int
    until_ms: int
    area: str
    note: str = LOCAL_MEASURE
    total: LineAnswer
    lines: list[LineAnswer]


@api.get("/api/v1/assessment", responses=PROBLEMS, operation_id="assessment_get")
async def assessment_api(
    request: Request, period: _Name = "", area: _Area = "", length: Length = "month"
) -> AssessmentAnswer:
    """The figures of a period (`2026-11`, `2026-W47`; the running one when none is named) for an area or everything."""
    web = web_of(request)
    shown = _period(web, period, length)
    chosen = _area(web, area)
    by_site = await web.read(report, _ledgers(web), await _sites(web, area), web.inventory.rules, shown, web.now_ms())
    zh, en = (Texts(language, web.catalogues[language], _zone(web)) for language in ("zh", "en"))
    pairs = zip(_lines(web, zh, area, by_site), _lines(web, en, area, by_site), strict=True)
    of = added(by_site.values())
    titles = ("全部", "Everything") if chosen is None else (chosen.title.zh, chosen.title.en)
    return AssessmentAnswer(
        period=shown.name,
        from_ms=shown.from_ms,
        until_ms=shown.until_ms,
        area=area,
        total=_answer(Line(area, titles[0], True, 0, of, rates(of)), titles[1]),
        lines=[_answer(line, other.title) for line, other in pairs],
    )


def _answer(line: Line, title_en: str) -> LineAnswer:
    figures = {
        **line.figures._asdict(),
        "readiness": dict(zip(READINESS_NAMES, line.figures.readiness, strict=True)),
        "clocks_due": dict(zip(CLOCKS, line.figures.clocks_due, strict=True)),
        "clocks_met": dict(zip(CLOCKS, line.figures.clocks_met, strict=True)),
        "devices": line.figures.devices._asdict(),
        "hazards": line.figures.hazards._asdict(),
    }
    return LineAnswer(
        id=line.id,
        title_zh=line.title,
        title_en=title_en,
        is_area=line.is_area,
        figures=figures,
        rates=[RateAnswer(**rate._asdict(), percent=rate.percent) for rate in line.rates],
    )


def _zone(web: Web) -> ZoneInfo:
    return ZoneInfo(web.settings.timezone)


def _ledgers(web: Web) -> Ledgers:
    return Ledgers(web.ledger, web.all.ledger)


def _period(web: Web, name: str, length: Length) -> Period:
    zone = _zone(web)
    if not name:
        return periods.period_of(length, datetime.fromtimestamp(web.now_ms() / 1000, zone).date(), zone)
    try:
        return periods.named(name, zone)
    except ValueError:
        raise Refused(422, msgid("There is no such week or month.")) from None


def _switched(shown: Period, web: Web) -> str:
    """The month of a week, the first week of a month: what the other button shows."""
    return periods.period_of("week" if shown.length == "month" else "month", shown.day, _zone(web)).name


def _area(web: Web, area: str) -> Area | None:
    """The area asked for; one that the reader has nothing of is none."""
    if not area:
        return None
    found = web.inventory.grid.areas.get(area)
    if found is None or (web.whole is not None and not _inside(web, area)):
        raise Refused(404, msgid("There is no such area."))
    return found


def _inside(web: Web, area: str) -> bool:
    return any(site.area in web.inventory.grid.below(area) for site in web.inventory.sites.values())


async def _sites(web: Web, area: str) -> list[Place]:
    """The sites of the area that the reader may see."""
    within = web.inventory.grid.below(area)
    sites = [site for site in web.inventory.sites.values() if not area or site.area in within]
    return places(sites, await web.read(web.ledger.approved_devices))


def _lines(web: Web, texts: Texts, area: str, by_site: dict[str, Figures]) -> list[Line]:
    """The areas within, then the sites that lie in no area within."""
    grid = web.inventory.grid
    inner: Sequence[Area] = grid.areas[area].areas if area else grid.roots
    found: list[Line] = []
    told: set[str] = set()
    for each in inner:
        sites = [name for name in by_site if web.inventory.sites[name].area in grid.below(each.id)]
        told.update(sites)
        if not sites and web.whole is not None:
            continue  # nothing of it is the reader's
        of = added(by_site[name] for name in sites)
        unwatched = sum(placed.unit.site is None for placed in grid.units_of(each.id))
        found.append(Line(each.id, each.title.get(texts.language), True, unwatched, of, rates(of)))
    unit_of = {placed.unit.site: placed.unit for placed in grid.units.values() if placed.unit.site}
    for name, of in by_site.items():
        if name in told:
            continue
        title = web.inventory.sites[name].title.get(texts.language)
        if name in unit_of:
            title = f"{unit_of[name].title.get(texts.language)} · {title}"
        found.append(Line(name, title, False, 0, of, rates(of)))
    return found


async def _hazards(web: Web, sites: list[Place], shown: Period) -> list[Hazard]:
    """Hazards found, closed or late in the span, the latest first."""
    names = tuple(place.site for place in sites)
    span = {"from_ms": shown.from_ms, "until_ms": shown.until_ms}
    rows = await web.read(web.ledger.entries, HAZARD, sites=names, limit=MOST_HAZARDS, **span)
    return [row for row in rows if row.rounds]
