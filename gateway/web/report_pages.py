"""Pages that tell of the system's own work: messages sent, rules in force, the quality of the alarms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from contract.site import SYSTEM_SITE, Site
from gateway.alarms.quality import FLOOD, SLOT_MS, Chatter, Quality, report
from gateway.control.protocol import AlarmView
from gateway.web.access import Refused
from gateway.web.alarm_cards import SEVERITIES, AlarmCard, alarm_card
from gateway.web.centres import centre_rows
from gateway.web.context import web_of
from gateway.web.decision import subject_title
from gateway.web.folding import fold
from gateway.web.notices import message_rows, plain_failure
from gateway.web.proofs import channels, proof_line, proof_ways
from gateway.web.render import page
from gateway.web.rule_cases import case_rows, origin_of
from gateway.web.rule_words import rule_words
from gateway.web.texts import Texts, msgid
from rules.model import Rule

router = APIRouter()
PAGE_ROWS = 100
DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
BARS = 180


class RuleRow(NamedTuple):
    """A rule in the list."""

    id: str
    title: str
    severity: str
    limits: str
    basis: str
    since_ms: int | None
    alarms: int


@router.get("/notifications")
async def notifications(request: Request, before: Annotated[int | None, Query(ge=1)] = None) -> Response:
    """Is the way to people proven, how do the channels do, what was sent to whom."""
    web, texts = web_of(request), web_of(request).texts(request)
    rows = await web.read(web.ledger.messages, PAGE_ROWS + 1, before)
    return page(
        request,
        "notifications.html",
        fragment="_notifications.html",
        proof=proof_line(web.picture, web.inventory, texts, web.now_ms()),
        ways=proof_ways(web.picture, web.inventory, texts),
        channels=[{**way, "error": plain_failure(way.get("error"), texts)} for way in channels(web.picture)],
        centres=centre_rows(web.picture, await web.read(web.ledger.waiting_upward)),
        notices=message_rows(rows[:PAGE_ROWS], web.picture, texts),
        next_before=rows[PAGE_ROWS - 1].id if len(rows) > PAGE_ROWS else None,
        older=before is not None,
    )


@router.get("/rules")
async def rules(request: Request, severity: str = "", text: Annotated[str, Query(max_length=100)] = "") -> Response:
    """Every rule in force: what it watches, at which limits, on what basis, since when, how often it spoke."""
    web, texts = web_of(request), web_of(request).texts(request)
    counts = await web.read(web.ledger.alarms_by_rule, web.now_ms() - MONTH_MS)
    since = {(row.id, row.version): row.first_ms for row in await web.read(web.ledger.rule_versions)}
    titles = {key: rule.title for key, rule in web.inventory.rules.items()}

    def row(rule: Rule) -> RuleRow:
        said = rule_words(rule, texts, web.inventory.point_names(rule, texts), titles)
        limits = (
            " · ".join(line.text for line in said.when)
            .replace(": · ", ": ")
            .replace("：· ", "：")
            .replace("： · ", "：")
        )
        return RuleRow(
            rule.id, said.title, rule.severity, limits, said.basis, since.get((rule.id, said.version)),
            counts.get(rule.id, 0),
        )  # fmt: skip

    found = [row(rule) for rule in web.inventory.rules.values() if severity in ("", rule.severity)]
    words = text.casefold().split()
    found = [r for r in found if all(w in f"{r.id} {r.title} {r.limits} {r.basis}".casefold() for w in words)]
    found.sort(key=lambda r: (SEVERITIES.index(r.severity), r.title))
    return page(
        request, "rules.html", rules=found, severity=severity, text=text.strip(), severities=SEVERITIES,
        total=len(web.inventory.rules),
    )  # fmt: skip


@router.get("/rules/{rule_id}")
async def rule_page(request: Request, rule_id: str) -> Response:
    """One rule: when it speaks, what to do then, its versions, its latest alarms."""
    web, texts = web_of(request), web_of(request).texts(request)
    rule = web.inventory.rules.get(rule_id)
    if rule is None:
        raise Refused(404, msgid("There is no such rule."))
    await web.refresh_approvals()
    titles = {key: known.title for key, known in web.inventory.rules.items()}
    alarms = await web.read(web.ledger.alarms, rule=rule_id, limit=20)
    names = web.inventory.point_names(rule, texts)
    origin = await asyncio.to_thread(origin_of, rule_id, web.inventory.rule_folders)
    return page(
        request,
        "rule.html",
        rule=rule_words(rule, texts, names, titles),
        origin=origin,
        cases=case_rows(origin.cases, texts, names) if origin is not None else [],
        limited=_limited(web.inventory.sites.values(), rule_id, texts),
        versions=(await web.read(web.ledger.rule_versions, rule_id))[::-1],
        alarms=[alarm_card(alarm, web.inventory, texts, web.picture.told) for alarm in alarms],
    )


class Bar(NamedTuple):
    """A bar of the chart of alarms in ten minutes: the fullest ten minutes of its stretch. height: 0..100."""

    x: int
    height: float
    alarms: int
    from_ms: int
    flood: bool


@router.get("/quality")
async def quality(request: Request, days: Annotated[int, Query(ge=1, le=400)] = 7, site: str = "") -> Response:
    """How good the alarms are: how many, which ones chatter, stand, are never acknowledged, are false."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    now_ms = web.now_ms()
    known = site if site in (*web.inventory.sites, SYSTEM_SITE) else None
    found = await web.read(report, web.ledger, now_ms - days * DAY_MS, now_ms + 1, known)

    def cards(alarms: Sequence[AlarmView]) -> list[AlarmCard]:
        return [alarm_card(alarm, web.inventory, texts, web.picture.told) for alarm in alarms]

    def chatter(row: Chatter) -> dict[str, object]:
        rule = web.inventory.rules.get(row.rule)
        title = rule.title.get(texts.language) if rule else row.rule
        return {
            "title": title, "where": subject_title(row.subject, web.inventory, texts), "alarms": row.alarms,
            "raises": row.raises, "rule": row.rule,
        }  # fmt: skip

    sites = [(key, web.inventory.site_title(key).get(texts.language)) for key in (*web.inventory.sites, SYSTEM_SITE)]
    top, drawn = bars(found)
    return page(
        request, "quality.html", q=found, days=days, site=known or "", sites=sites, bars=drawn, top=top, flood=FLOOD,
        chatter=[chatter(row) for row in found.chatter[:10]], standing=cards(found.standing_alarms),
        never=fold(cards(found.never_acknowledged_alarms), worst_first=True), severities=SEVERITIES,
    )  # fmt: skip


def bars(found: Quality) -> tuple[int, list[Bar]]:
    """The chart of alarms in ten minutes in at most BARS bars, and the number at its top."""
    slots = found.rate.slots
    step = max(1, -(-len(slots) // BARS))
    top = max(FLOOD + 2, *slots)
    drawn = []
    for n, at in enumerate(range(0, len(slots), step)):
        most = max(slots[at : at + step])
        drawn.append(Bar(n, round(100 * most / top, 1), most, found.from_ms + at * SLOT_MS, most >= FLOOD))
    return top, drawn


def _limited(sites: Iterable[Site], rule_id: str, texts: Texts) -> list[tuple[str, str, str]]:
    """(site/device, title, limits) of the devices whose site entry changes this rule."""
    return [
        (
            f"{site.site}/{placed.entry.id}",
            placed.title.get(texts.language),
            " · ".join(f"{texts.word('input', k)} {v:g}" for k, v in limits.model_dump(exclude_none=True).items()),
        )
        for site in sites
        for placed in site.placed()
        if (limits := placed.entry.limits.get(rule_id)) is not None
    ]
