"""Calibration and replacement dates: what is due in which month, overdue first, and the same as a table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import datetime
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from gateway.exports.document import guard
from gateway.web.access import HANDLE
from gateway.web.context import Web, person_of, web_of
from gateway.web.inventory import Device
from gateway.web.render import page
from gateway.web.texts import Texts
from gateway.web.upkeep.health_pages import areas_of
from gateway.web.upkeep.order_steps import orders_at_hand
from gateway.work.dates import TEST
from rules.dates import due_dates

router = APIRouter()
MONTHS = 12
"""Months that are drawn from this one on; what is later stands in one column."""
SHOWN = 300
OVERDUE, LATER = "overdue", "later"
STANDARD = ("inspection", "maintenance", "scrap")
"""Dates of an extinguisher that come from GB 50444-2008; every other interval is practice (rules/dates.py)."""


class DueRow(NamedTuple):
    """Something that is due. month: `2026-03`, overdue or later; is_standard: the interval is the standard's."""

    device: Device
    title: str
    site: str
    what: str
    at_ms: int
    month: str
    is_standard: bool
    order: int | None

    @property
    def is_late(self) -> bool:
        """Whether its day has come."""
        return self.month == OVERDUE


class Column(NamedTuple):
    """A month as it is drawn. height: 0..100."""

    name: str
    label: str
    count: int  # type: ignore[assignment] # the field's own name; nobody counts the members of a column
    height: float
    kinds: dict[str, int]


@router.get("/upkeep/dates")
async def dates(
    request: Request,
    month: Annotated[str, Query(max_length=10)] = "",
    what: Annotated[str, Query(max_length=20)] = "",
    site: Annotated[str, Query(max_length=60)] = "",
    area: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """The year ahead by month, and what is due in one of them."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    rows = [row for row in await due_rows(web, texts) if _fits(web, row, site, area)]
    kinds = list(dict.fromkeys(row.what for row in sorted(rows, key=lambda row: row.what)))
    wanted = [row for row in rows if what in ("", row.what)]
    columns = _columns(wanted, texts, web)
    month = month if month in {column.name for column in columns} else ""
    listed = [row for row in wanted if month in ("", row.month)]
    return page(
        request,
        "upkeep/dates.html",
        columns=columns,
        rows=listed[:SHOWN],
        more=max(0, len(listed) - SHOWN),
        month=month,
        what=what,
        kinds=kinds,
        site=site,
        area=area,
        areas=areas_of(web, who, texts),
        sites=[(key, web.inventory.site_title(key).get(texts.language)) for key in web.inventory.sites],
        late=sum(row.is_late for row in wanted),
        may_open=who.may(HANDLE),
    )


@router.get("/upkeep/dates.csv")
async def dates_csv(
    request: Request,
    site: Annotated[str, Query(max_length=60)] = "",
    area: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """Every date for a spreadsheet. UTF-8 with a mark, as Excel wants."""
    web, texts = web_of(request), web_of(request).texts(request)
    text = io.StringIO()
    writer = csv.writer(text)
    head = [texts("Site"), texts("Device"), texts("Name"), texts("Place"), texts("What is due"), texts("Due")]
    writer.writerow([*head, texts("State"), texts("Basis")])
    for row in await due_rows(web, texts):
        if _fits(web, row, site, area):
            place = row.device.place.get(texts.language) if row.device.place else ""
            state = texts("overdue") if row.is_late else ""
            basis = "GB 50444-2008" if row.is_standard else texts("practice")
            cells = (row.site, row.device.key, row.title, place, texts.word("due", row.what), texts.day(row.at_ms))
            writer.writerow([guard(cell) for cell in (*cells, state, basis)])
    headers = {"Content-Disposition": f'attachment; filename="dates-{texts.day(web.now_ms())}.csv"'}
    return Response("\ufeff" + text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


async def due_rows(web: Web, texts: Texts) -> list[DueRow]:
    """Every date of every device, the soonest first."""
    await web.refresh_approvals()
    done = await web.read(web.ledger.work_done)
    orders = {order.subject: order.id for order in orders_at_hand(web) if order.is_open}
    now_ms, found = web.now_ms(), []
    last = _month_after(web, now_ms, MONTHS)
    for device in web.inventory.devices.values():
        known = web.inventory.sites.get(device.site)
        if device.asset is None or known is None:
            continue
        zone = ZoneInfo(known.time_zone)
        days = {
            work: datetime.fromtimestamp(at_ms / 1000, zone).date()
            for work, at_ms in done.get((device.site, device.id), {}).items()
            if work != TEST
        }
        is_extinguisher = device.asset.extinguisher is not None
        for what, at_ms in due_dates(device.asset, days, zone).items():
            month = OVERDUE if at_ms <= now_ms else _month(web, at_ms)
            found.append(
                DueRow(
                    device, device.title.get(texts.language), known.title.get(texts.language), what, at_ms,
                    LATER if month != OVERDUE and month >= last else month, is_extinguisher and what in STANDARD,
                    orders.get(device.key),
                )
            )  # fmt: skip
    return sorted(found, key=lambda row: (row.at_ms, row.device.key, row.what))


def _fits(web: Web, row: DueRow, site: str, area: str) -> bool:
    return site in ("", row.device.site) and (not area or row.device.site in web.inventory.grid.sites_of(area))


def _month(web: Web, at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(web.settings.timezone)).strftime("%Y-%m")


def _month_after(web: Web, at_ms: int, months: int) -> str:
    year, month = map(int, _month(web, at_ms).split("-"))
    years, month = divmod(month - 1 + months, 12)
    return f"{year + years}-{month + 1:02d}"


def _columns(rows: list[DueRow], texts: Texts, web: Web) -> list[Column]:
    kinds: dict[str, Counter[str]] = {}
    for row in rows:
        kinds.setdefault(row.month, Counter())[row.what] += 1
    names = [OVERDUE, *(_month_after(web, web.now_ms(), n) for n in range(MONTHS)), LATER]
    most = max((sum(each.values()) for each in kinds.values()), default=0) or 1
    labels = {OVERDUE: texts("overdue"), LATER: texts("later")}
    return [
        Column(
            name, labels.get(name, name), (count := sum(kinds.get(name, {}).values())), round(100 * count / most, 1),
            dict(kinds.get(name, {})),
        )
        for name in names
    ]  # fmt: skip
