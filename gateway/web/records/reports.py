"""Readiness and rectification of an area in a month: rates with the counts on both sides, and what they are made of.

A local measure, never an official score: there is no national formula for one.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from gateway.assessment.figures import READINESS_NAMES, Figures, Rate, added, rates
from gateway.assessment.periods import Period
from gateway.assessment.report import Ledgers, places, report, trend
from gateway.duty.readiness_report import Account, account_of
from gateway.duty.readiness_rows import DEDUCTION, READY
from gateway.exports.document import Column, Table
from gateway.web import decision
from gateway.web.context import Web
from gateway.web.texts import Texts, msgid
from gateway.work.hazard_counts import HazardCounts, count_hazards
from gateway.work.rectification import HAZARD, Hazard

HOUR_MS = 3_600_000
TREND = 6
"""Months drawn beside one another."""
READY_RATES = ("ready", "duty_checks", "intact", "online", "patrols", "trainings")
RECTIFICATION_RATES = ("hazards_closed", "hazards_in_time")


class Line(NamedTuple):
    """A site with its figures; account: of its station, None where it has none."""

    site: str
    title: str
    figures: Figures
    account: Account | None


class Report(NamedTuple):
    """The month of an area. trend: months before it and itself, the earliest first."""

    lines: list[Line]
    total: Figures
    trend: list[tuple[Period, Figures]]

    def rates(self, names: tuple[str, ...]) -> list[tuple[Rate, list[tuple[str, Rate]]]]:
        """The rates of these names, each with those of the months before: (month, rate)."""
        found = []
        for rate in rates(self.total):
            if rate.name in names:
                before = [(p.name, next(r for r in rates(of) if r.name == rate.name)) for p, of in self.trend]
                found.append((rate, before))
        return found


async def month_report(
    web: Web, texts: Texts, sites: tuple[str, ...], month: Period, *, with_trend: bool = True
) -> Report:
    """Read it. Raises RetryLater."""
    known = [web.inventory.sites[name] for name in sites]
    of = places(known, await web.read(web.ledger.approved_devices))
    ledgers, now_ms = Ledgers(web.ledger, web.all.ledger), web.now_ms()
    by_site = await web.read(report, ledgers, of, web.inventory.rules, month, now_ms)
    zone = ZoneInfo(web.settings.timezone)
    past = await web.read(trend, ledgers, of, web.inventory.rules, month, now_ms, TREND, zone) if with_trend else []
    until_ms = min(month.until_ms, now_ms, await web.read(web.all.ledger.alive_ms))
    from_ms = min(max(month.from_ms, await web.read(web.all.ledger.first_ms)), until_ms)
    span = {"from_ms": from_ms, "until_ms": until_ms}
    ready = await web.read(web.ledger.entries, READY, sites=sites, **span)
    taken = await web.read(web.ledger.entries, DEDUCTION, sites=sites, **span)
    lines = []
    for site in known:
        account = None
        if site.station is not None:
            mine = [row for row in ready if row.site == site.site]
            account = account_of(site.site, mine, [row for row in taken if row.site == site.site], from_ms, until_ms)
        lines.append(Line(site.site, site.title.get(texts.language), by_site[site.site], account))
    return Report(lines, added(by_site.values()), past)


async def hazards_of(web: Web, sites: tuple[str, ...], month: Period) -> tuple[list[Hazard], HazardCounts]:
    """Hazards in force in the month, the latest first, and their counts."""
    until_ms = min(month.until_ms, web.now_ms())
    found = await web.read(web.ledger.entries, HAZARD, sites=sites, from_ms=month.from_ms, until_ms=until_ms)
    rows = [row for row in found if row.rounds]
    return rows, count_hazards(rows, month.from_ms, until_ms)


async def readiness_tables(web: Web, texts: Texts, sites: tuple[str, ...], month: Period) -> list[Table]:
    """Rates, stations, deductions."""
    found = await month_report(web, texts, sites, month, with_trend=False)
    stations = [(line, line.account) for line in found.lines if line.account is not None]
    levels = tuple(Column(f"{texts.word('readiness', name)} (h)", "number") for name in READINESS_NAMES)
    return [
        _rate_table(texts, found, READY_RATES),
        Table(
            texts("Stations"),
            (
                Column(texts("Station")),
                *levels,
                Column(texts("Period (h)"), "number"),
                Column(texts("Ready (%)"), "number"),
            ),
            (
                (
                    line.title,
                    *(round(account.summary.ms[name] / HOUR_MS, 3) for name in READINESS_NAMES),
                    round((account.until_ms - account.from_ms) / HOUR_MS, 3),
                    account.summary.percent("ready"),
                )
                for line, account in stations
            ),
        ),
        Table(
            texts("What was taken from readiness"),
            (
                Column(texts("Station")),
                Column(texts("From"), "time"),
                Column(texts("Until"), "time"),
                Column(texts("Rule")),
                Column(texts("Subject")),
                Column(texts("Readiness")),
                Column(texts("Points"), "number"),
                Column(texts("Accepted as a risk")),
            ),
            (
                (
                    line.title,
                    each.from_ms,
                    each.until_ms,
                    _rule_title(web, texts, each.rule),
                    decision.subject_title(each.subject, web.inventory, texts),
                    texts.word("readiness", each.level),
                    each.points,
                    texts("yes") if each.accepted else texts("no"),
                )
                for line, account in stations
                for each in account.deductions
            ),
        ),
    ]


async def rectification_tables(web: Web, texts: Texts, sites: tuple[str, ...], month: Period) -> list[Table]:
    """Rates, counts site by site, hazards."""
    found = await month_report(web, texts, sites, month, with_trend=False)
    names = (
        msgid("Open before"),
        msgid("Found"),
        msgid("Closed"),
        msgid("Open after"),
        msgid("Late in this time"),
        msgid("Late at its end"),
        msgid("Closed in time"),
    )
    columns = (Column(texts("Site")), *(Column(texts(name), "number") for name in names))

    def row(title: str, counts: HazardCounts) -> tuple[Any, ...]:
        return (
            title,
            counts.before,
            counts.found,
            counts.closed,
            counts.after,
            counts.overdue,
            counts.overdue_after,
            counts.in_time,
        )

    return [
        _rate_table(texts, found, RECTIFICATION_RATES),
        Table(
            texts("Site by site"),
            columns,
            [
                *(row(line.title, line.figures.hazards) for line in found.lines),
                row(texts("Total"), found.total.hazards),
            ],
        ),
        await hazard_table(web, texts, sites, month),
    ]


async def hazard_table(web: Web, texts: Texts, sites: tuple[str, ...], month: Period) -> Table:
    """Every hazard in force in the month with its rectification."""
    rows, _ = await hazards_of(web, sites, month)
    columns = (
        Column(texts("Number"), "number"),
        Column(texts("Site")),
        Column(texts("Found"), "time"),
        Column(texts("Source")),
        Column(texts("Level")),
        Column(texts("What")),
        Column(texts("Place")),
        Column(texts("State")),
        Column(texts("Responsible")),
        Column(texts("Deadline"), "time"),
        Column(texts("Measure")),
        Column(texts("Fixed"), "time"),
        Column(texts("By")),
        Column(texts("Confirmed"), "time"),
        Column(texts("Closed"), "time"),
        Column(texts("Opened again"), "number"),
        Column(texts("Late")),
    )
    return Table(
        texts("Hazards"),
        columns,
        (
            (
                h.id,
                h.site,
                h.from_ms,
                texts.word("hazard_source", h.source),
                texts.word("hazard_level", h.level),
                h.text or decision.subject_title(h.subject, web.inventory, texts),
                h.place or h.subject,
                texts.word("hazard_state", h.state),
                h.order.owner if h.order else None,
                h.due_ms if h.order is None else h.order.deadline_ms,
                h.order.measure if h.order else None,
                h.fix.at_ms if h.fix else None,
                texts.who(h.fix.by) if h.fix else None,
                h.confirmed_ms,
                h.until_ms,
                h.reopened,
                texts("yes") if h.overdue else texts("no"),
            )
            for h in rows
        ),
    )


def _rate_table(texts: Texts, found: Report, names: tuple[str, ...]) -> Table:
    return Table(
        texts("Rates"),
        (
            Column(texts("Rate")),
            Column(texts("Part"), "number"),
            Column(texts("Of"), "number"),
            Column(texts("Counted in")),
            Column("%", "number"),
        ),
        (
            (
                texts.word("assessment", rate.name),
                rate.part,
                rate.whole,
                texts("milliseconds") if rate.unit == "ms" else texts("times"),
                None if rate.percent is None else round(rate.percent, 4),
            )
            for rate, _ in found.rates(names)
        ),
    )


def _rule_title(web: Web, texts: Texts, rule: str) -> str:
    known = web.inventory.rules.get(rule)
    return rule if known is None else known.title.get(texts.language)
