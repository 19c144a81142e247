"""What the page of a device says beside its values: what stands against it, its dates, its line health as a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from contract.errors import RetryLater
from contract.profile import ONLINE
from gateway.history.base import Sample
from gateway.ledger.records import WorkRow
from gateway.web.alarm_cards import AlarmCard, alarm_card, alarm_order
from gateway.web.charts import bucket_ms
from gateway.web.context import Web
from gateway.web.inventory import Device
from gateway.web.texts import Texts
from gateway.web.upkeep.drawn import WIDTH, Curve, draw, means, rises
from gateway.web.views import DeviceRow, PointRow
from rules.calendar import moment_ms
from rules.dates import due_dates

HOURS = 12
"""Of line health that are drawn."""
SOON_MS = 30 * 86_400_000
REPEATED_MS = 20 * 60_000
"""An agent repeats what a device's health is at least this often, changed or not."""
BUCKETS = 150
MOST_TURNS = 2000
"""Times a device went silent or came back that are read for the drawing."""
BAR = 26
"""Height of the strip of errors under the answer times, in units of the drawing."""
DATED = ("inspection", "maintenance", "calibration", "battery", "test", "scrap")


class Dated(NamedTuple):
    """A kind of work on a device: when it was done last and is due next. state: overdue | soon | later; "": not due."""

    kind: str
    what: str
    last_ms: int | None
    due_ms: int | None
    state: str


class Bar(NamedTuple):
    """Errors of one stretch. x, width: of the drawing; height: 0..BAR; an_hour: errors an hour."""

    x: float
    width: float
    height: float
    an_hour: float


class Strip(NamedTuple):
    """The last HOURS of a polled device: answer times as a curve, errors as bars, silence as shaded stretches."""

    from_ms: int
    answers: Curve
    bars: list[Bar]
    errors: int
    """How many in all."""
    silent: list[tuple[float, float]]
    """x and width of each stretch without an answer."""
    silent_ms: int


def worst_point(row: DeviceRow) -> PointRow | None:
    """The value to look at first: of the worst alarm, else the least trustworthy, else the one it stands for."""
    first = next(iter(row.urgent_first), None)
    if first is not None and (first.severity or first.status != "good"):
        return first
    return row.main or next((p for p in row.points if not p.is_text), None)


def standing_alarms(device: Device, web: Web, texts: Texts) -> list[AlarmCard]:
    """Its alarms that hold or wait, the worst first."""
    mine = [alarm for alarm in web.picture.alarms.values() if f"{alarm.subject}/".startswith(f"{device.key}/")]
    return sorted((alarm_card(alarm, web.inventory, texts, web.picture.told) for alarm in mine), key=alarm_order)


def dated_rows(device: Device, work: Sequence[WorkRow], web: Web, texts: Texts) -> list[Dated]:
    """What was done and is due, overdue first, then by day: from the site entry and the records of work."""
    site = web.inventory.sites.get(device.site)
    if site is None:
        return []
    zone, asset, now_ms = ZoneInfo(site.time_zone), device.asset, web.now_ms()
    done: dict[str, date] = {}
    for row in work:
        day = datetime.fromtimestamp(row.at_ms / 1000, zone).date()
        done[row.work] = max(day, done.get(row.work, day))
    due = {} if asset is None else due_dates(asset, done, zone)
    last = dict(done)
    if asset is not None:
        named = {
            "inspection": asset.inspected, "maintenance": asset.maintained, "calibration": asset.calibrated,
            "battery": asset.battery,
        }  # fmt: skip
        for kind, in_file in named.items():
            if in_file is not None:
                last[kind] = max(in_file, last.get(kind, in_file))
    rows = [
        Dated(
            kind,
            texts.word("work" if kind == "test" else "due", kind),
            _day_ms(last.get(kind), zone),
            due.get(kind),
            _state(due.get(kind), now_ms),
        )
        for kind in DATED
        if kind in due or kind in last
    ]
    return sorted(rows, key=lambda row: (row.due_ms is None, row.due_ms or 0))


def _state(due_ms: int | None, now_ms: int) -> str:
    if due_ms is None:
        return ""
    return "overdue" if due_ms <= now_ms else "soon" if due_ms - now_ms < SOON_MS else "later"


def _day_ms(day: date | None, zone: ZoneInfo) -> int | None:
    return None if day is None else moment_ms(day, time(), zone)


async def watched_since(device: Device, web: Web) -> int | None:
    """When its first answer was kept, ms UTC; None while there is none, or while the history is away."""
    try:
        first = await web.history.raw(device.site, f"{device.id}/{ONLINE}", 0, web.now_ms() + 1, 1)
    except RetryLater:
        return None
    return first[0].observed_ms if first else None


async def line_strip(device: Device, web: Web, texts: Texts) -> Strip | None:
    """The line health of a polled device as a drawing; None where nothing is kept of it, or the history is away."""
    until_ms = web.now_ms()
    span = until_ms - HOURS * 3_600_000, until_ms
    step_ms = bucket_ms(*span, BUCKETS)
    try:
        answers = await web.history.read(device.site, f"{device.id}/response_ms", *span, step_ms)
        counts = await web.history.read(device.site, f"{device.id}/errors_count", *span, step_ms)
        turns = await web.history.raw(device.site, f"{device.id}/{ONLINE}", *span, MOST_TURNS)
    except RetryLater:
        return None
    if not answers and not counts:
        return None
    risen = rises([counts], step_ms)
    most = max([1.0, *(value for _, value in risen)])
    width = WIDTH * step_ms / (until_ms - span[0])
    bars = [
        Bar(_x(at_ms, span), round(width, 1), round(BAR * value / most, 1), value)
        for at_ms, value in risen
        if value > 0 and at_ms >= span[0]
    ]
    silent = silences(turns, until_ms)
    return Strip(
        span[0],
        draw(texts("Answer time"), "ms", means(answers), span, max(step_ms, REPEATED_MS // 2), 50.0),
        bars,
        round(sum(_risen(before.max, after.max) for before, after in pairwise(counts))),
        [(_x(begin, span), round(WIDTH * (end - begin) / (span[1] - span[0]), 1)) for begin, end in silent],
        sum(end - begin for begin, end in silent),
    )


def _risen(before: float, after: float) -> float:
    """How much a counter rose; one that began anew counts from 0."""
    return after - before if after >= before else after


def silences(turns: Sequence[Sample], until_ms: int) -> list[tuple[int, int]]:
    """The stretches (from ms, until ms) in which a device did not answer; one that goes on ends now."""
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for turn in turns:
        if turn.value is False and begin is None:
            begin = turn.observed_ms
        elif turn.value is True and begin is not None:
            found.append((begin, turn.observed_ms))
            begin = None
    return found if begin is None else [*found, (begin, until_ms)]


def _x(at_ms: int, span: tuple[int, int]) -> float:
    return round(max(0.0, WIDTH * (at_ms - span[0]) / (span[1] - span[0])), 1)
