"""Exports put together: each kind gives a document of facts and tables in the reader's language."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from contract.errors import RetryLater
from contract.site import SYSTEM_SITE
from contract.units import unit_of
from gateway.assessment import periods
from gateway.assessment.periods import Period
from gateway.duty.checks import CHECKS
from gateway.duty.log import LOG
from gateway.duty.readiness_report import LOCAL_MEASURE
from gateway.duty.shifts import SHIFT
from gateway.exports.document import Chart, Column, Document, Table
from gateway.web import charts
from gateway.web.access import Refused
from gateway.web.alarm_cards import alarm_card
from gateway.web.chart_lines import threshold_lines, versions_of_others
from gateway.web.context import Web
from gateway.web.duty import origin_text
from gateway.web.inventory import Device
from gateway.web.records.certificate_tables import certificate_tables, site_tables
from gateway.web.records.former import Former, find_device
from gateway.web.records.life import life
from gateway.web.records.reports import hazard_table, readiness_tables, rectification_tables
from gateway.web.records.words import identity
from gateway.web.registers.staff import people_names
from gateway.web.texts import Texts, msgid

CHARTED = 3
"""Points whose values are drawn in a life."""
CHART_BUCKETS = 400
HOUR_MS = 3_600_000


class Wanted(NamedTuple):
    """What is asked for. device: `device` of the site, where the kind is of one; area: of the grid; month: YYYY-MM."""

    kind: str
    month: Period
    site: str = ""
    device: str = ""
    area: str = ""


class Scope(NamedTuple):
    """The sites an export is of, and how they are called."""

    sites: tuple[str, ...]
    title: str


Made = tuple[str, list[tuple[str, str]], list[str], list[Table]]
"""Title, facts, notes, tables."""


def scope_of(web: Web, texts: Texts, wanted: Wanted) -> Scope:
    """Sites of an order. Raises Refused (404) for a site or area the reader has nothing of."""
    inventory = web.inventory
    if wanted.site:
        if wanted.site not in inventory.sites:
            raise Refused(404, msgid("There is no such site."))
        return Scope((wanted.site,), inventory.site_title(wanted.site).get(texts.language))
    if wanted.area:
        below = inventory.grid.below(wanted.area)
        sites = tuple(name for name, site in inventory.sites.items() if site.area in below)
        if not sites:
            raise Refused(404, msgid("There is no such area."))
        return Scope(sites, inventory.grid.areas[wanted.area].title.get(texts.language))
    return Scope(tuple(inventory.sites), texts("Everything"))


def device_of(web: Web, wanted: Wanted) -> Device:
    """The device of an order. Raises Refused (404)."""
    found = web.inventory.devices.get(f"{wanted.site}/{wanted.device}")
    if found is None:
        raise Refused(404, msgid("There is no such device."))
    return found


async def build(web: Web, texts: Texts, wanted: Wanted, by: str) -> Document:
    """The document of an order. by: who asked. Raises Refused, RetryLater."""
    await web.refresh_approvals()
    title, facts, notes, tables = await _KINDS[wanted.kind](web, texts, wanted)
    rows = await web.read(web.all.ledger.audit, limit=1)
    head = f"{rows[0].id}:{rows[0].hash}" if rows else "0:" + "0" * 64
    facts = [*facts, (texts("Asked for by"), by), (texts("Times"), web.settings.timezone)]
    return Document(
        wanted.kind,
        title,
        texts.language,
        web.settings.timezone,
        web.now_ms(),
        head,
        tuple(facts),
        tuple(notes),
        tables,
    )


async def _life(web: Web, texts: Texts, wanted: Wanted) -> Made:
    device, gone = await find_device(web, wanted.site, wanted.device)
    whole = await life(web, texts, device, gone)
    notes = [
        texts("The ledger began at %(time)s; of the time before nothing is known.", time=texts.stamp(whole.first_ms))
    ]
    zone, end_ms = ZoneInfo(web.settings.timezone), web.now_ms()
    if gone is not None:
        end_ms = gone.removed_ms
        notes.append(gone_words(texts, gone))
    last = datetime.fromtimestamp(end_ms / 1000, zone).date()
    shown = min(wanted.month, periods.period_of("month", last, zone), key=lambda month: month.from_ms)
    from_ms = periods.before(shown, zone).from_ms
    tables: list[Table] = []
    try:
        for point in [p for p in device.points.values() if p.is_number][:CHARTED]:
            tables.append(await _chart(web, texts, device, point.name, from_ms, min(shown.until_ms, end_ms)))
    except RetryLater:
        notes.append(texts("The history could not be read, so no values are in this file."))
    columns = (
        Column(texts("Time"), "time"),
        Column(texts("Until"), "time"),
        Column(texts("What")),
        Column(texts("Severity")),
        Column(texts("Event")),
        Column(texts("Who")),
        Column(texts("Details")),
    )
    rows = (
        (
            e.at_ms,
            e.until_ms,
            texts.word("life", e.kind),
            texts.word("severity", e.severity) if e.severity else None,
            e.title,
            texts.who(e.who),
            "\n".join(e.lines),
        )
        for e in whole.events
    )
    tables.append(Table(texts("Life of the device"), columns, rows))
    return (
        f"{texts.word('export', 'life')} · {device.title.get(texts.language)}",
        identity(web, texts, device),
        notes,
        tables,
    )


def gone_words(texts: Texts, gone: Former) -> str:
    """That a device was taken out, when and by whom."""
    return texts(
        "Taken out of the site file at %(time)s by %(who)s. What stands here is as it was then.",
        time=texts.stamp(gone.removed_ms), who=texts.who(gone.by),
    )  # fmt: skip


async def _chart(web: Web, texts: Texts, device: Device, point: str, from_ms: int, until_ms: int) -> Table:
    step_ms = charts.bucket_ms(from_ms, until_ms, CHART_BUCKETS)
    found = await charts.numbers(web.history, device, point, from_ms, until_ms, step_ms)
    title = device.points[point].title.get(texts.language)
    unit = unit_of(point)
    rows: list[tuple[Any, ...]] = []
    for bucket in found:
        if bucket is None:
            rows.append((rows[-1][0] + step_ms, None, None, None))
        else:
            rows.append((bucket.start_ms, bucket.min, bucket.mean, bucket.max))
    limits = await _limits(web, texts, device, point, from_ms, until_ms)
    columns = (
        Column(texts("Time"), "time"),
        Column(texts("Lowest"), "number"),
        Column(texts("Mean"), "number"),
        Column(texts("Highest"), "number"),
    )
    name = f"{title} · {texts.day(from_ms)} – {texts.day(until_ms)}"
    return Table(name, columns, rows, Chart(unit.symbol if unit else "", limits))


async def _limits(
    web: Web, texts: Texts, device: Device, point: str, from_ms: int, until_ms: int
) -> tuple[tuple[str, float], ...]:
    """The limits that were in force in a span, and since when, where one began or moved within it."""
    kept = await web.read(web.ledger.rule_versions)
    others = versions_of_others(web.inventory, device)
    found = []
    for line in threshold_lines(kept, device, point, from_ms, until_ms, texts.language, others):
        for step in line.steps:
            if step.at is not None:
                word = texts.word("severity", line.severity)
                since = step.from_ms > from_ms
                label = texts("%(what)s, since %(time)s", what=word, time=texts.stamp(step.from_ms)) if since else word
                found.append((label, float(step.at)))
    return tuple(found)


async def _completeness(web: Web, texts: Texts, wanted: Wanted) -> Made:
    if wanted.device:
        device, gone = await find_device(web, wanted.site, wanted.device)
        facts, notes, tables = await certificate_tables(web, texts, device, wanted.month, gone)
        if gone is not None:
            notes = [gone_words(texts, gone), *notes]
        title = f"{texts.word('export', wanted.kind)} · {device.title.get(texts.language)} · {wanted.month.name}"
        return title, [*identity(web, texts, device)[:6], *facts], notes, tables
    scope = scope_of(web, texts, wanted)
    facts, notes, tables = await site_tables(web, texts, scope.sites, wanted.month)
    return f"{texts.word('export', wanted.kind)} · {scope.title} · {wanted.month.name}", facts, notes, tables


async def _readiness(web: Web, texts: Texts, wanted: Wanted) -> Made:
    scope = scope_of(web, texts, wanted)
    tables = await readiness_tables(web, texts, scope.sites, wanted.month)
    return (
        f"{texts.word('export', wanted.kind)} · {scope.title} · {wanted.month.name}",
        _span(texts, web, wanted, scope),
        [LOCAL_MEASURE],
        tables,
    )


async def _rectification(web: Web, texts: Texts, wanted: Wanted) -> Made:
    scope = scope_of(web, texts, wanted)
    tables = await rectification_tables(web, texts, scope.sites, wanted.month)
    return (
        f"{texts.word('export', wanted.kind)} · {scope.title} · {wanted.month.name}",
        _span(texts, web, wanted, scope),
        [LOCAL_MEASURE],
        tables,
    )


async def _hazards(web: Web, texts: Texts, wanted: Wanted) -> Made:
    scope = scope_of(web, texts, wanted)
    return (
        f"{texts.word('export', wanted.kind)} · {scope.title} · {wanted.month.name}",
        _span(texts, web, wanted, scope),
        [],
        [await hazard_table(web, texts, scope.sites, wanted.month)],
    )


async def _alarms(web: Web, texts: Texts, wanted: Wanted) -> Made:
    scope = scope_of(web, texts, wanted)
    columns = (
        Column(texts("Number"), "number"),
        Column(texts("Raised"), "time"),
        Column(texts("Known to the gateway"), "time"),
        Column(texts("Ended"), "time"),
        Column(texts("Severity")),
        Column(texts("Alarm")),
        Column(texts("Where")),
        Column(texts("Subject")),
        Column(texts("State")),
        Column(texts("Acknowledged"), "time"),
        Column(texts("Who")),
        Column(texts("Finding")),
        Column(texts("Times"), "number"),
        Column(texts("Rule")),
    )

    test = texts("TEST")

    def rows() -> Iterator[tuple[Any, ...]]:
        # Day by day, so that a month of a city is never in memory at once.
        sites = {*scope.sites, *((SYSTEM_SITE,) if web.whole is None and not wanted.site and not wanted.area else ())}
        for begin in range(wanted.month.from_ms, wanted.month.until_ms, 24 * HOUR_MS):
            end = min(begin + 24 * HOUR_MS, wanted.month.until_ms)
            for alarm in web.ledger.alarms_raised(begin, end, wanted.site or None):
                if alarm.site not in sites:
                    continue
                card = alarm_card(alarm, web.inventory, texts)
                spot = " · ".join(part for part in (card.where, card.spot or card.point) if part)
                yield (
                    alarm.id,
                    alarm.raised_ms,
                    alarm.recorded_ms,
                    alarm.cleared_ms,
                    texts.word("severity", alarm.severity),
                    card.title if alarm.drill is None else f"{card.title} · {test}",
                    spot,
                    alarm.subject,
                    texts.word("alarm_state", alarm.state),
                    alarm.acknowledged_ms,
                    texts.who(alarm.acknowledged_by) or None,
                    texts.word("finding", alarm.finding) if alarm.finding else None,
                    alarm.count,
                    alarm.rule,
                )

    title = f"{texts.word('export', wanted.kind)} · {scope.title} · {wanted.month.name}"
    return title, _span(texts, web, wanted, scope), [], [Table(texts("Alarms"), columns, rows())]


async def _duty(web: Web, texts: Texts, wanted: Wanted) -> Made:
    scope, names = scope_of(web, texts, wanted), await people_names(web)
    span = {"sites": scope.sites, "from_ms": wanted.month.from_ms, "until_ms": wanted.month.until_ms}

    def name(person: int | None) -> str | None:
        return None if person is None else names.get(person) or texts("Person no. %(n)s", n=person)

    log = await web.read(web.ledger.entries, LOG, sites=scope.sites, until_ms=wanted.month.until_ms)
    log = [row for row in log if row.from_ms >= wanted.month.from_ms]
    checks = await web.read(web.ledger.entries, CHECKS, **span)
    shifts = await web.read(web.ledger.entries, SHIFT, **span)
    stays = ((row, stay) for row in reversed(shifts) for stay in row.stays)
    tables = [
        Table(
            texts("On duty"),
            (
                Column(texts("Site")),
                Column(texts("From"), "time"),
                Column(texts("Until"), "time"),
                Column(texts("Post")),
                Column(texts("Who")),
            ),
            ((row.site, stay.from_ms, stay.until_ms, stay.post, name(stay.person)) for row, stay in stays),
        ),
        Table(
            texts("Duty checks"),
            (
                Column(texts("Site")),
                Column(texts("Asked"), "time"),
                Column(texts("By")),
                Column(texts("Result")),
                Column(texts("Answered"), "time"),
                Column(texts("Who")),
                Column(texts("Proof")),
            ),
            (
                (
                    row.site,
                    row.from_ms,
                    origin_text(row.origin, texts),
                    texts.word("check", row.state),
                    row.answered_ms,
                    name(row.person) or texts.who(row.answered_by),
                    texts.word("proof", row.proof) if row.proof else None,
                )
                for row in reversed(checks)
            ),
        ),
        Table(
            texts("Control-room log"),
            (
                Column(texts("Site")),
                Column(texts("Time"), "time"),
                Column(texts("What")),
                Column(texts("Text")),
                Column(texts("Who")),
                Column(texts("Corrects"), "number"),
            ),
            (
                (
                    row.site,
                    row.from_ms,
                    texts.word("topic", row.topic),
                    row.text,
                    name(row.person) or texts.who(row.by),
                    row.corrects,
                )
                for row in reversed(log)
            ),
        ),
    ]
    return (
        f"{texts.word('export', wanted.kind)} · {scope.title} · {wanted.month.name}",
        _span(texts, web, wanted, scope),
        [],
        tables,
    )


def _span(texts: Texts, web: Web, wanted: Wanted, scope: Scope) -> list[tuple[str, str]]:
    until_ms = min(wanted.month.until_ms, web.now_ms())
    return [
        (texts("Scope"), scope.title),
        (texts("Sites"), str(len(scope.sites))),
        (texts("Period"), f"{texts.stamp(wanted.month.from_ms)} – {texts.stamp(until_ms)}"),
    ]


_KINDS: dict[str, Callable[[Web, Texts, Wanted], Awaitable[Made]]] = {
    "life": _life,
    "completeness": _completeness,
    "readiness": _readiness,
    "rectification": _rectification,
    "alarms": _alarms,
    "duty": _duty,
    "hazards": _hazards,
}
KINDS = tuple(_KINDS)
"""Kinds of exports."""
