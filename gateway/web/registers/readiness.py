"""Readiness of the stations: what each is now, what takes from it, accepted risks, the last thirty days."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.duty.readiness_report import Account, account_of
from gateway.duty.readiness_rows import DEDUCTION, MOST_RISK_MS, READY, Deduction, Risk
from gateway.web import commands
from gateway.web.access import ADMINISTER, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.decision import subject_title
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
DAY_MS = 86_400_000
SPAN_DAYS = 30
RISK_DAYS = (1, 3, 7, 30, 90)


class Item(NamedTuple):
    """Something that takes from a station, in words."""

    row: Deduction
    title: str
    subject: str
    basis: str
    risk: Risk | None


class RiskItem(NamedTuple):
    """An accepted risk in words."""

    row: Risk
    title: str
    subject: str


class Stretch(NamedTuple):
    """A stretch of time of one level, as a bar. left, width: of 1,000 for the whole."""

    level: str
    left: float
    width: float
    from_ms: int
    until_ms: int


class StationNow(NamedTuple):
    """A station as the page shows it. level: unknown while the gateway does not answer; score: None while unknown."""

    site: str
    title: str
    level: str
    score: float | None
    since_ms: int | None
    unknown: int
    causes: list[str]
    taking: list[Item]
    risks: list[RiskItem]
    covers: list[str]
    shares: list[tuple[str, float | None, int]]
    """(level, percent of the last thirty days, ms)."""
    strip: list[Stretch]
    """The last thirty days, drawn."""


@router.get("/station")
async def station(request: Request) -> Response:
    """Every station."""
    web, texts = web_of(request), web_of(request).texts(request)
    found = [await station_now(web, site, texts) for site in stations_of(web)]
    return page(
        request,
        "station.html",
        fragment="_station.html",
        stations=found,
        span_days=SPAN_DAYS,
        risk_days=RISK_DAYS,
        may_accept=person_of(request).may(ADMINISTER),
    )


@router.post("/station/{site}/risks")
async def accept_risk(
    request: Request,
    site: str,
    rule: Annotated[str, Form(max_length=100)],
    subject: Annotated[str, Form(max_length=200)],
    days: Annotated[int, Form(ge=1, le=90)],
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Accept that a rule speaks of a subject, for some days."""
    web = web_of(request)
    if not reason.strip():
        raise Refused(422, msgid("Say why the risk is accepted."))
    until_ms = web.now_ms() + min(days * DAY_MS, MOST_RISK_MS - 60_000)
    args = {"site": site, "rule": rule, "subject": subject, "reason": reason.strip(), "until_ms": until_ms}
    await commands.do(web, person_of(request), "risk.accept", **args)
    return RedirectResponse("/station", 303)


@router.post("/station/risks/{risk_id}/withdraw")
async def withdraw_risk(request: Request, risk_id: int) -> Response:
    """The risk is accepted no more."""
    await commands.do(web_of(request), person_of(request), "risk.withdraw", id=risk_id)
    return RedirectResponse("/station", 303)


def stations_of(web: Web) -> list[str]:
    """Sites with a station that the reader may see, in the order of the files."""
    return [name for name, site in web.inventory.sites.items() if site.station is not None]


async def station_now(web: Web, site: str, texts: Texts) -> StationNow:
    """One station."""
    now = next((row for row in rows_of(web, READY.name, site)), None)
    is_known = web.picture.connected and now is not None
    risks = {risk.id: risk for risk in msgspec.convert(rows_of(web, "risk", site), list[Risk])}
    rows = await web.read(web.ledger.entries, DEDUCTION, sites=(site,), is_open=True)
    stale = [cause for row in rows_of(web, "stale", site) for cause in row["causes"]]
    known = web.inventory.sites[site].station
    account = await account_since(web, site, web.now_ms() - SPAN_DAYS * DAY_MS)
    summary = account.summary
    return StationNow(
        site=site,
        title=web.inventory.site_title(site).get(texts.language),
        level=str(now["level"]) if is_known and now else "unknown",
        score=now["score"] if is_known and now else None,
        since_ms=now["from_ms"] if is_known and now else None,
        unknown=now["unknown"] if now else 0,
        causes=[subject_title(cause, web.inventory, texts) for cause in stale],
        taking=sorted((_item(web, row, risks, texts) for row in rows), key=_worst_first),
        risks=[
            RiskItem(row, _rule_title(web, row.rule, texts), _subject(web, row.subject, texts))
            for row in risks.values()
        ],
        covers=[web.inventory.site_title(name).get(texts.language) for name in (known.covers if known else [])],
        shares=[(level, summary.percent(level), ms) for level, ms in summary.ms.items()],
        strip=strip_of(account),
    )


async def account_since(web: Web, site: str, from_ms: int, until_ms: int | None = None) -> Account:
    """What a station was from then on, until then or as far as the gateway told."""
    told_ms = web.now_ms() if web.picture.connected else web.picture.since_ms
    until_ms = told_ms if until_ms is None else min(until_ms, told_ms)
    span: dict[str, Any] = {"sites": (site,), "from_ms": from_ms, "until_ms": until_ms}
    ready = await web.read(web.ledger.entries, READY, **span)
    taken = await web.read(web.ledger.entries, DEDUCTION, **span)
    return account_of(site, ready, taken, from_ms, until_ms)


def strip_of(account: Account) -> list[Stretch]:
    """The account's spans as bars, left to right; time without a record stays empty. Neighbours of a level are one."""
    whole_ms = max(account.until_ms - account.from_ms, 1)
    bars: list[Stretch] = []
    for from_ms, until_ms, verdict in account.spans:
        if bars and bars[-1].level == verdict.level and bars[-1].until_ms == from_ms:
            from_ms = bars.pop().from_ms
        # A stretch of seconds in a month is still to be seen.
        width = max((until_ms - from_ms) / whole_ms * 1000, 1.5)
        left = min((from_ms - account.from_ms) / whole_ms * 1000, 1000 - width)
        bars.append(Stretch(verdict.level, round(left, 2), round(width, 2), from_ms, until_ms))
    return bars


def rows_of(web: Web, kind: str, site: str) -> list[dict[str, Any]]:
    """Open rows of a kind of a site, as the gateway told them last."""
    return [row for row in web.picture.entries.get(kind, {}).values() if row["site"] == site]


def _item(web: Web, row: Deduction, risks: dict[int, Risk], texts: Texts) -> Item:
    return Item(
        row,
        _rule_title(web, row.rule, texts),
        _subject(web, row.subject, texts),
        row.basis_zh if texts.language == "zh" else row.basis_en,
        None if row.risk is None else risks.get(row.risk),
    )


def _worst_first(item: Item) -> tuple[bool, int, float, int]:
    order = ("not_ready", "unknown", "degraded")
    return item.row.risk is not None, order.index(item.row.level), -item.row.points, item.row.id


def _rule_title(web: Web, rule_id: str, texts: Texts) -> str:
    rule = web.inventory.rules.get(rule_id)
    return rule_id if rule is None else rule.title.get(texts.language)


def _subject(web: Web, subject: str, texts: Texts) -> str:
    return subject_title(subject, web.inventory, texts)
