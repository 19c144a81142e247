"""Patrols in words: how each plan stands, rounds with their stops, completion of a month."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from gateway.web.context import Web
from gateway.web.ledger import WebLedger
from gateway.web.texts import Texts
from gateway.work import routes
from gateway.work.completion import Completion, Did, completion, did_rounds, did_trainings, slots
from gateway.work.patrols import PROGRESS, Progress
from gateway.work.plans import PLAN, Almanac, PlanRow, Spec, reach_ms
from gateway.work.routes import ROUND, VISIT, Round, Visit
from gateway.work.training import TRAINING_KIND
from rules.calendar import moment_ms

ROUNDS = 60
"""Rounds of the history on one page."""
LATE_MS = 400 * 86_400_000
"""After the longest period there is nothing late any more that is not another period's."""


class PlanLine(NamedTuple):
    """A plan and how it stands. state: overdue | due | done | ahead. at_ms: since, or until, or from when."""

    site: str
    site_title: str
    plan: str
    title: str
    kind: str
    cycle: str
    basis: str
    stops: int
    state: str
    at_ms: int
    done_ms: int | None
    rounds: list[Round]


class StopLine(NamedTuple):
    """A stop of a round. seen: None while nobody answered it. visit: note, photo and hazard of the answer."""

    spot: str
    title: str
    device: str | None
    items: list[str]
    seen: routes.Seen | None
    visit: Visit | None


class RoundLine(NamedTuple):
    """A round in words."""

    row: Round
    title: str
    site_title: str
    stops: int
    typed: int
    skipped: list[str]
    fast: list[str]


class CompletionLine(NamedTuple):
    """Counts of one plan in a month, as they stand."""

    site: str
    site_title: str
    title: str
    kind: str
    counts: Completion


def title_of(spec: Spec, texts: Texts) -> str:
    """A plan's name in the reader's language."""
    return spec.zh if texts.language == "zh" else spec.en


def cycle_words(spec: Spec, texts: Texts) -> str:
    """How often."""
    _ = texts
    if spec.cycle == "open_hours":
        return _("every %(n)s h while open", n=f"{spec.every_min / 60:g}")
    return texts.word("cycle", spec.cycle)


def running(web: Web) -> list[Round]:
    """Rounds that are walked now, or wait for another person's word."""
    return [msgspec.convert(row, Round) for row in web.picture.entries.get(ROUND.name, {}).values()]


async def plan_rows(web: Web) -> list[PlanRow]:
    """The plans in force."""
    return await web.read(web.ledger.entries, PLAN, is_open=True)


async def plan_lines(web: Web, texts: Texts, *, trainings: bool) -> list[PlanLine]:
    """Every plan in force: routes, or trainings; overdue ones first, then by when they are due."""
    rows = [
        row for row in await plan_rows(web) if row.spec.is_training == trainings and row.site in web.inventory.sites
    ]
    stands = list(web.picture.entries.get(PROGRESS.name, {}).values())
    titles = {site: site_title(web, site, texts) for site in web.inventory.sites}
    # A city has thousands of plans: what they come to is worked out beside the loop.
    return await asyncio.to_thread(_plan_lines, rows, stands, running(web), titles, texts, web.now_ms())


def _plan_lines(
    rows: list[PlanRow],
    stands: list[dict[str, Any]],
    rounds: list[Round],
    titles: dict[str, str],
    texts: Texts,
    now_ms: int,
) -> list[PlanLine]:
    progress = {(row["site"], row["plan"]): msgspec.convert(row, Progress) for row in stands}
    walks: dict[tuple[str, str], list[Round]] = {}
    for walk in rounds:
        walks.setdefault((walk.site, walk.plan), []).append(walk)
    almanac = Almanac()
    found = []
    for row in rows:
        key = (row.site, row.spec.plan)
        stand = progress.get(key)
        state, at_ms = _standing(row, stand, now_ms, almanac)
        found.append(
            PlanLine(
                row.site,
                titles[row.site],
                row.spec.plan,
                title_of(row.spec, texts),
                row.spec.kind,
                cycle_words(row.spec, texts),
                row.spec.basis().get(texts.language),
                len(row.spec.stops),
                state,
                at_ms,
                stand.done_ms if stand else None,
                walks.get(key, []),
            )
        )
    order = {"overdue": 0, "due": 1, "ahead": 2, "done": 3}
    return sorted(found, key=lambda line: (order[line.state], line.at_ms, line.site, line.plan))


def _standing(row: PlanRow, stand: Progress | None, now_ms: int, almanac: Almanac) -> tuple[str, int]:
    if stand is not None and stand.state == "overdue":
        return "overdue", stand.from_ms
    window = almanac.next_ending(row, now_ms)
    if window is None:
        # The window in which the plan began is not owed, but it may be walked.
        ahead = almanac.windows(row.spec, now_ms, now_ms + reach_ms(row.spec))
        return "ahead", ahead[0].from_ms if ahead else now_ms
    if window.from_ms > now_ms:
        return "ahead", window.from_ms
    if stand is not None and stand.done_ms is not None and stand.done_ms >= window.from_ms:
        return "done", window.until_ms
    return "due", window.until_ms


async def round_lines(web: Web, texts: Texts, **terms: Any) -> list[RoundLine]:
    """Rounds in words, newest first; terms as of the ledger's entries."""
    rounds = await web.read(web.ledger.entries, ROUND, **terms)
    specs = await specs_of_rounds(web, rounds)
    return [round_line(web, walk, specs.get(walk.row), texts) for walk in rounds]


def round_line(web: Web, walk: Round, spec: Spec | None, texts: Texts) -> RoundLine:
    """A round in words."""

    def name(spot: str) -> str:
        stop = spec.stop(spot) if spec else None
        return spot if stop is None else (stop.zh if texts.language == "zh" else stop.en)

    return RoundLine(
        walk,
        title_of(spec, texts) if spec else walk.plan,
        site_title(web, walk.site, texts),
        len(spec.stops) if spec else len(walk.seen),
        sum(seen.how == "typed" for seen in walk.seen),
        [name(spot) for spot in walk.skipped],
        [name(spot) for spot in walk.fast],
    )


async def specs_of_rounds(web: Web, rounds: list[Round]) -> dict[int, Spec]:
    """The plans these rounds walked, by the number of the plan's row."""
    found = {}
    for number in {walk.row for walk in rounds}:
        row = await web.read(web.ledger.entry, PLAN, number)
        if row is not None:
            found[number] = row.spec
    return found


async def stop_lines(web: Web, walk: Round, spec: Spec, texts: Texts) -> list[StopLine]:
    """The stops of a round in the order of the route, each with its last answer."""
    until_ms = walk.until_ms if walk.until_ms is not None else web.now_ms() + 60_000
    visits: dict[str, Visit] = {}
    terms = {"sites": (walk.site,), "from_ms": walk.from_ms, "until_ms": until_ms + 1}
    for visit in await web.read(web.ledger.entries, VISIT, **terms):
        if visit.round == walk.id:
            visits.setdefault(visit.spot, visit)
    seen = {each.spot: each for each in walk.seen}
    zh = texts.language == "zh"
    return [
        StopLine(
            stop.spot,
            stop.zh if zh else stop.en,
            stop.device,
            [item[0] if zh else item[1] for item in stop.items],
            seen.get(stop.spot),
            visits.get(stop.spot),
        )
        for stop in spec.stops
    ]


async def completion_lines(web: Web, texts: Texts, first: date, site: str | None = None) -> list[CompletionLine]:
    """Counts of every plan that was in force in the month that begins on that day; of one site or of all."""
    months = {key: span for key, span in _months(web, first).items() if site in (None, key)}
    titles = {key: site_title(web, key, texts) for key in months}
    return await web.read(_completion_lines, web.ledger, months, titles, texts, web.now_ms())


def _completion_lines(
    ledger: WebLedger, months: dict[str, tuple[int, int]], titles: dict[str, str], texts: Texts, now_ms: int
) -> list[CompletionLine]:
    plans: dict[str, dict[str, list[PlanRow]]] = {}
    for row in ledger.entries(PLAN, sites=tuple(months)):
        plans.setdefault(row.site, {}).setdefault(row.spec.plan, []).append(row)
    almanac = Almanac()
    found = []
    for site in sorted(plans):
        from_ms, until_ms = months[site]
        # What was walked late counts for the window before it, however long that one was.
        span = {"sites": (site,), "from_ms": from_ms, "until_ms": until_ms + LATE_MS}
        did: dict[str, list[Did]] = {}
        for walk in ledger.entries(ROUND, **span):
            did.setdefault(walk.plan, []).extend(did_rounds([walk]))
        for held in ledger.entries(TRAINING_KIND, **span):
            did.setdefault(held.plan, []).extend(did_trainings([held]))
        for plan, of_plan in sorted(plans[site].items()):
            counts = completion(slots(of_plan, did.get(plan, ()), from_ms, until_ms, now_ms, almanac), now_ms)
            if counts.due:
                spec = max(of_plan, key=lambda row: row.id).spec
                found.append(CompletionLine(site, titles[site], title_of(spec, texts), spec.kind, counts))
    return found


def month_of(text: str | None, web: Web) -> date:
    """The first day of a month written 2026-03; this month for anything else."""
    try:
        return datetime.strptime(text or "", "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        today = datetime.fromtimestamp(web.now_ms() / 1000, ZoneInfo(web.settings.timezone)).date()
        return today.replace(day=1)


def next_month(first: date, months: int = 1) -> date:
    """The first day so many months later (or earlier)."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(max(1, min(9998, year)), month + 1, 1)


def _months(web: Web, first: date) -> dict[str, tuple[int, int]]:
    """Site -> the month by its own clock, ms UTC."""
    midnight = datetime.min.time()
    return {
        site.site: (
            moment_ms(first, midnight, ZoneInfo(site.time_zone)),
            moment_ms(next_month(first), midnight, ZoneInfo(site.time_zone)),
        )
        for site in web.inventory.sites.values()
    }


def site_title(web: Web, site: str, texts: Texts) -> str:
    """A site's name in the reader's language; itself for one that is gone."""
    found = web.inventory.sites.get(site)
    return site if found is None else found.title.get(texts.language)
