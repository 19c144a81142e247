"""A certificate of completeness as facts, notes and tables: of a device, or of all devices of sites."""

from __future__ import annotations

from contract.units import unit_of
from gateway.assessment.completeness import Count, added
from gateway.assessment.periods import Period
from gateway.exports.document import Column, Table
from gateway.ingest.resent import WHOLE
from gateway.web.access import Refused
from gateway.web.context import Web
from gateway.web.inventory import Device
from gateway.web.records.former import Former
from gateway.web.records.proof import Again, Certificate, came_again, certificate
from gateway.web.records.words import lost_word, percent
from gateway.web.texts import Texts, msgid

MOST_DEVICES = 300
"""Devices of one certificate; each takes a part of a second."""
Made = tuple[list[tuple[str, str]], list[str], list[Table]]


async def certificate_tables(web: Web, texts: Texts, device: Device, month: Period, gone: Former | None = None) -> Made:
    """Of one device. gone: that it was taken out."""
    found = await certificate(web, device, month, gone=gone)
    tables = [
        _sum_table(texts, found.total),
        Table(
            texts("Point by point"),
            (
                Column(texts("Point")),
                Column(texts("Unit")),
                *_count_columns(texts),
                Column(texts("Reasons")),
            ),
            (
                (
                    each.point.title.get(texts.language),
                    unit.symbol if (unit := unit_of(each.point.name)) else None,
                    *_counts(each.count),
                    reasons(texts, each.count),
                )
                for each in found.points
            ),
        ),
        Table(
            texts("Readings that the agent gave up"),
            (
                Column(texts("From"), "time"),
                Column(texts("Until"), "time"),
                Column(texts("Readings"), "number"),
                Column(texts("Reason")),
                Column(texts("Recorded"), "time"),
            ),
            (
                (row.first_ms, row.last_ms, row.readings, texts.word("gap", row.reason), row.recorded_ms)
                for row in found.gaps
            ),
        ),
        again_table(texts, found.again),
        Table(
            texts("Numbers taken so far"),
            (Column(texts("Life of the outbox")), Column(texts("Lane")), Column(texts("Highest number"), "number")),
            found.watermarks,
        ),
    ]
    return facts_of(texts, found), notes_of(texts, found), tables


async def site_tables(web: Web, texts: Texts, sites: tuple[str, ...], month: Period) -> Made:
    """Of every device of some sites, a row each. Raises Refused when they are too many."""
    devices = [device for device in web.inventory.devices.values() if device.site in sites]
    if len(devices) > MOST_DEVICES:
        raise Refused(422, msgid("That is more devices than one certificate can hold. Choose a site."))
    found: list[tuple[Device, Certificate]] = []
    for device in devices:
        found.append((device, await certificate(web, device, month, found[-1][1].audit if found else None)))
    total = added(each.total for _, each in found)
    tables = [
        _sum_table(texts, total),
        Table(
            texts("Device by device"),
            (
                Column(texts("Site")),
                Column(texts("Device")),
                *_count_columns(texts),
                Column(texts("Reasons")),
                Column(texts("Readings that came again"), "number"),
            ),
            (
                (
                    d.site,
                    f"{d.title.get(texts.language)} ({d.id})",
                    *_counts(c.total),
                    reasons(texts, c.total),
                    c.again.readings,
                )
                for d, c in found
            ),
        ),
        again_table(texts, await came_again(web, month, sorted({(d.site, d.agent, WHOLE) for d in devices}))),
    ]
    if not found:
        return [], [texts("No devices.")], tables
    return facts_of(texts, found[0][1], total), notes_of(texts, found[0][1]), tables


def facts_of(texts: Texts, found: Certificate, total: Count | None = None) -> list[tuple[str, str]]:
    """What a certificate says in a line each."""
    audit, count = found.audit, total or found.total
    rows = [
        (texts("Period"), f"{texts.stamp(found.from_ms)} – {texts.stamp(found.until_ms)}"),
        (texts("Due"), arithmetic(texts, count)),
        (texts("Came, late or not"), percent(count.percent)),
        (
            texts("Audit chain of the period"),
            texts("no rows")
            if audit.first is None or audit.last is None
            else texts(
                "rows %(first)s to %(last)s, %(n)s in all: %(verdict)s",
                first=audit.first.id,
                last=audit.last.id,
                n=audit.rows,
                verdict=texts("every link holds")
                if audit.broken is None
                else texts("row %(n)s does not fit", n=audit.broken),
            ),
        ),
    ]
    if audit.last is not None:
        rows.append((texts("Last row of the period"), f"{audit.last.id}:{audit.last.hash}"))
    rows.append((texts("Head of the chain now"), f"{audit.head.id}:{audit.head.hash}"))
    if total is None:
        came = found.arrivals
        doubled = came.readings - came.distinct
        rows.append(
            (
                texts("Readings in the inbox"),
                texts(
                    "%(all)s = %(distinct)s different + %(double)s double; %(late)s of them late",
                    all=came.readings,
                    distinct=came.distinct,
                    double=doubled,
                    late=came.late,
                ),
            )
        )
        rows.append((texts("Came again and was dropped"), again_words(texts, found.again)))
    return rows


def again_words(texts: Texts, again: Again) -> str:
    """How much came again, in words."""
    return texts("%(batches)s batches, %(readings)s readings of it", batches=again.batches, readings=again.readings)


def again_table(texts: Texts, again: Again) -> Table:
    """What came again, day by day and lane by lane."""
    columns = (
        Column(texts("Agent")),
        Column(texts("Lane")),
        Column(texts("Day of arrival")),
        Column(texts("Batches"), "number"),
        Column(texts("Readings"), "number"),
    )
    rows = (
        (f"{row.site}/{row.agent}", texts.word("lane", row.lane), row.day, row.batches, row.readings)
        for row in again.rows
    )
    return Table(texts("What came again and was dropped"), columns, rows)


def notes_of(texts: Texts, found: Certificate) -> list[str]:
    """How it was counted, and how to check it by hand."""
    minutes = f"{found.over.step_ms / 60_000:g}"
    notes = [
        texts(
            "A device repeats every value within its longest silence. In every %(n)s minutes, twice that, one report "
            "of each point is due; each is counted once: due = received + arrival no longer kept + late + lost.",
            n=minutes,
        ),
        texts(
            "Late: it arrived longer after it was measured than the device may be silent. When something arrived is "
            "kept as long as the inbox; of what is older only the value is kept."
        ),
        texts(
            "What an agent sends again has no effect: a batch is taken by its number, once. What came again is counted "
            "apart, on the day it came; a double reading in the inbox is one that was measured and sent twice."
        ),
        texts(
            "To check the chain by hand: `weizhan audit verify` and `weizhan ledger verify` on the machine; `--head` "
            "with the head above proves that nothing before it was cut or rewritten. To check this file alone: "
            "`weizhan export verify`."
        ),
    ]
    if found.again.since_ms is not None:
        since = texts.stamp(found.again.since_ms)
        notes.append(texts("What came again is counted since %(time)s; before, it was dropped uncounted.", time=since))
    if found.away:
        notes.insert(0, texts("The history could not be read. Nothing is said of values; ask again later."))
    return notes


def arithmetic(texts: Texts, count: Count) -> str:
    """The sum, written out."""
    words = (texts("received"), texts("arrival no longer kept"), texts("late"), texts("missing"))
    numbers = (count.received, count.unchecked, count.late, count.lost_in_all)
    parts = " + ".join(f"{number} {word}" for number, word in zip(numbers, words, strict=True))
    return f"{count.due} = {parts}"


def reasons(texts: Texts, count: Count) -> str:
    """What was lost and why, the most first."""
    ordered = sorted(count.lost.items(), key=lambda each: -each[1])
    return "; ".join(f"{lost_word(texts, reason)}: {number}" for reason, number in ordered)


def _sum_table(texts: Texts, total: Count) -> Table:
    missing, due = texts("missing"), texts("Due")
    rows: list[tuple[str, int]] = [
        (texts("received"), total.received),
        (texts("arrival no longer kept"), total.unchecked),
        (texts("late"), total.late),
        *(
            (f"{missing}: {lost_word(texts, reason)}", n)
            for reason, n in sorted(total.lost.items(), key=lambda e: -e[1])
        ),
        (due, total.due),
    ]
    return Table(texts("The sum"), (Column(texts("Reports")), Column(texts("Count"), "number")), rows)


def _count_columns(texts: Texts) -> tuple[Column, ...]:
    names = (msgid("Due"), msgid("received"), msgid("arrival no longer kept"), msgid("late"), msgid("missing"))
    return tuple(Column(texts(name), "number") for name in names)


def _counts(count: Count) -> tuple[int, ...]:
    return count.due, count.received, count.unchecked, count.late, count.lost_in_all
