"""Health by cause: what to fix first, for whom, and what stands in it."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from contract.site import SYSTEM_SITE
from gateway.ledger.records import User
from gateway.web.access import HANDLE, Person
from gateway.web.context import Web, person_of, web_of
from gateway.web.render import page
from gateway.web.texts import Texts
from gateway.web.upkeep.health import KINDS, Row, causes
from gateway.web.upkeep.order_steps import orders_at_hand
from gateway.web.upkeep.trending import MOST as MOST_TRENDS
from gateway.web.upkeep.trending import Trend, trends

router = APIRouter()
AnyRow = TypeVar("AnyRow", Row, Trend)
MOST = 200
"""Causes on one page; further ones are counted."""


@router.get("/upkeep")
async def health(
    request: Request,
    kind: Annotated[str, Query(max_length=20)] = "",
    site: Annotated[str, Query(max_length=60)] = "",
    area: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """Every cause, what to fix first on top."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    orders = orders_at_hand(web)
    found = causes(web.picture, web.inventory, orders, texts, web.now_ms())
    users = await web.accounts({"maintainer"})
    within = narrowed(web, found, site, area)
    rows = [row for row in within if kind in ("", row.kind)]
    near = narrowed(web, trends(web.picture, web.inventory, texts, web.now_ms()), site, area)
    near = [row for row in near if kind in ("", row.kind)]
    return page(
        request,
        "upkeep/health.html",
        fragment="upkeep/_health.html",
        rows=rows[:MOST],
        more=max(0, len(rows) - MOST),
        total=len(within),
        counts={name: sum(row.kind == name for row in within) for name in KINDS},
        kinds=KINDS,
        kind=kind if kind in KINDS else "",
        site=site,
        area=area,
        areas=areas_of(web, person_of(request), texts),
        sites=[(key, web.inventory.site_title(key).get(texts.language)) for key in (*web.inventory.sites, SYSTEM_SITE)],
        who={row.site: maintainers(web, users, row.site) for row in rows[:MOST]},
        trends=near[:MOST_TRENDS],
        more_trends=max(0, len(near) - MOST_TRENDS),
        blind=sum(row.blind for row in within),
        open_orders=sum(order.is_open for order in orders),
        late_orders=sum(order.is_overdue for order in orders),
        strangers=len(web.picture.unknown_devices),
        refused=len(await web.read(web.ledger.quarantine)),
        may_open=person_of(request).may(HANDLE),
    )


def narrowed(web: Web, rows: list[AnyRow], site: str, area: str) -> list[AnyRow]:
    """The rows of a site, or of the sites of an area."""
    if site:
        return [row for row in rows if row.site == site]
    if area:
        wanted = web.inventory.grid.sites_of(area)
        return [row for row in rows if row.site in wanted]
    return rows


def areas_of(web: Web, who: Person, texts: Texts) -> list[tuple[str, str]]:
    """Areas of the grid that a person may see, the wider before the narrower."""
    grid = web.inventory.grid
    mine = [key for key in grid.areas if key in grid.below(who.area)]
    rows = [(" › ".join(each.title.get(texts.language) for each in grid.path(key)), key) for key in mine]
    return [(key, title) for title, key in sorted(rows)]


def maintainers(web: Web, users: list[User], site: str) -> list[str]:
    """Logins of those who maintain a site: of its area first, of everything else after them."""
    grid = web.all.inventory.grid
    of_area = [user.name for user in users if user.area and site in grid.sites_of(user.area)]
    return of_area or [user.name for user in users if not user.area]
