"""A certificate for a device and a month: what was due and what came, and that nothing of it was changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from contract.errors import RetryLater
from contract.profile import ONLINE, Point
from contract.site import SYSTEM_SITE
from gateway.assessment.completeness import Count, Stretches, account, added, stretches
from gateway.assessment.device_time import stops_of
from gateway.assessment.evidence import Arrivals, evidence, outages, values_of
from gateway.assessment.periods import Period
from gateway.ledger.life_rows import AuditSpan
from gateway.ledger.records import GapRow, ResentRow
from gateway.ledger.upgrade import RESENT_SINCE
from gateway.web.context import Web
from gateway.web.inventory import Device
from gateway.web.records.former import Former
from gateway.web.records.search import STOP_MS, watched_of


class PointAccount(NamedTuple):
    """The account of one point."""

    point: Point
    count: Count  # type: ignore[assignment] # the field's own name


class Again(NamedTuple):
    """What came again in a month and was dropped. since_ms: counted since then; None: all of it was counted."""

    rows: list[ResentRow]
    since_ms: int | None

    @property
    def batches(self) -> int:
        """Batches with something of it."""
        return sum(row.batches for row in self.rows)

    @property
    def readings(self) -> int:
        """Its readings in them."""
        return sum(row.readings for row in self.rows)


class Certificate(NamedTuple):
    """What is certified. from_ms, until_ms: the span that was looked at: of the month, what has passed and is recorded.

    away: the history could not be read, so nothing is said of values. gaps: of its agent in the span. again: of the
    device.
    """

    over: Stretches
    from_ms: int
    until_ms: int
    points: list[PointAccount]
    total: Count
    arrivals: Arrivals
    gaps: list[GapRow]
    again: Again
    watermarks: list[tuple[str, str, int]]
    audit: AuditSpan
    away: bool

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Reasons of what was lost, the most frequent first."""
        return Counter(self.total.lost).most_common()


async def certificate(
    web: Web, device: Device, month: Period, audit: AuditSpan | None = None, gone: Former | None = None
) -> Certificate:
    """Work it out. Raises RetryLater: no ledger.

    audit: the chain over the span, where it was looked at already. gone: that it was taken out; nothing is due after.
    """
    whole = web.all.ledger
    until_ms = min(month.until_ms, web.now_ms())
    if gone is not None:
        until_ms = max(month.from_ms, min(until_ms, gone.removed_ms))
    from_ms = min(max(month.from_ms, await web.read(whole.first_ms)), until_ms)
    over = stretches(device.profile.max_silence_s, from_ms, until_ms)
    silence_ms = round(device.profile.max_silence_s * 1000)
    came = await web.read(web.ledger.arrivals, device.site, device.agent, device.id, over, silence_ms)
    standing = await web.read(web.ledger.alarms_standing, from_ms)
    raised = await web.read(web.ledger.alarms_raised, from_ms, until_ms + 4 * silence_ms, device.site)
    stops = stops_of(await web.read(whole.alarms_raised, from_ms, until_ms + STOP_MS, SYSTEM_SITE))
    gaps = [row for row in await web.read(web.ledger.gaps) if (row.site, row.agent) == (device.site, device.agent)]
    alarms = {alarm.id: alarm for alarm in (*standing, *raised)}
    why = outages(watched_of(device), alarms.values(), web.inventory.rules, stops, gaps, until_ms)
    points, away = list[PointAccount](), False
    for point in due_points(device):
        key = f"{device.id}/{point.name}"
        try:
            have, said = await values_of(web.history, device.site, key, point.is_number, over)
            first = await web.history.raw(device.site, key, 0, until_ms, 1)
        except RetryLater:
            away = True
            break
        found = evidence(over, have, said, came.by_point.get(point.name, {}), came.kept_ms)
        points.append(PointAccount(point, account(over, found, why, first[0].observed_ms if first else None)))
    mine = (device.site, device.agent)
    marks = [(key[2], key[3], seq) for key, seq in (await web.read(web.ledger.watermarks)).items() if key[:2] == mine]
    chain = audit if audit is not None else await web.read(whole.audit_span, from_ms, until_ms)
    return Certificate(
        over, from_ms, until_ms, [] if away else points, added(each.count for each in points) if not away else Count(),
        came, [row for row in gaps if _touches(row, from_ms, until_ms)],
        await came_again(web, month, [(device.site, device.agent, device.id)]),
        sorted(marks),
        chain, away,
    )  # fmt: skip


async def came_again(web: Web, month: Period, of: Iterable[tuple[str, str, str]]) -> Again:
    """What came again in a month. of: (site, agent, device); device '': the agent's batches as a whole."""
    first, last = month.day.isoformat(), (month.end - timedelta(days=1)).isoformat()
    rows = [row for each in of for row in await web.read(web.ledger.resent, *each, first, last)]
    since = int(await web.read(web.all.ledger.meta, RESENT_SINCE) or 0)
    return Again(rows, since if since > month.from_ms else None)


def due_points(device: Device) -> list[Point]:
    """Points whose values are repeated; a text is said once, and `online` is the agent's word, not the device's."""
    return [point for point in device.points.values() if not point.text and point.name != ONLINE]


def _touches(row: GapRow, from_ms: int, until_ms: int) -> bool:
    begin = row.recorded_ms if row.first_ms is None else row.first_ms
    end = begin if row.last_ms is None else row.last_ms
    return begin < until_ms and end >= from_ms
