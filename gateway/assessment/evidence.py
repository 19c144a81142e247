"""What a certificate of completeness rests on, read from history and ledger.

history   which stretches have values, and what was said where there was none
inbox     when it came (only of the last days: the inbox is trimmed once the history has it)
gap, alarm, gateway-stopped   why something could not come
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

import msgspec

from contract import quality as q
from contract.messages import Reading
from contract.site import line_device
from gateway.assessment.completeness import LEAST_MS, Evidence, Outage, Stretches
from gateway.assessment.device_time import SILENT, Span, Watched
from gateway.control.protocol import AlarmView
from gateway.history.base import History, Sample
from gateway.ledger.records import GapRow
from rules.model import Rule

PAGE = 20_000
"""Samples of one read."""
BUCKETS = 5000
MOST_BATCHES = 300_000
"""Batches of the inbox that are looked through; of the rest the time of arrival is not told."""
_readings = msgspec.json.Decoder(list[Reading])


class Arrivals(NamedTuple):
    """What the inbox says of a device. kept_ms: since when it is whole, ms UTC; readings: all there are, each time a
    point and time came counted; distinct: each point and time once; late: that came after more than the longest
    silence. by_point: point -> stretch -> whether something came in time."""

    kept_ms: int
    readings: int
    distinct: int
    late: int
    batches: int
    by_point: Mapping[str, Mapping[int, bool]]


async def values_of(
    history: History, site: str, key: str, is_number: bool, over: Stretches
) -> tuple[frozenset[int], dict[int, str]]:
    """Stretches of a point (`device/point`) with a value, and the causes told in those without. Raises RetryLater."""
    if not is_number:
        return _sorted_out(await _samples(history, site, key, over.from_ms, over.until_ms), over)
    have: set[int] = set()
    for begin in range(over.from_ms, over.until_ms, BUCKETS * over.step_ms):
        end = min(over.until_ms, begin + BUCKETS * over.step_ms)
        have.update(over.at(each.start_ms) for each in await history.read(site, key, begin, end, over.step_ms))
    said: dict[int, str] = {}
    for begin, end in _holes(over, have):
        # Numbers are missing here, so what there is says why.
        said.update(_sorted_out(await _samples(history, site, key, begin, end), over)[1])
    return frozenset(have), said


def arrivals(
    connection: sqlite3.Connection, site: str, agent: str, device: str, over: Stretches, silence_ms: int
) -> Arrivals:
    """What the inbox still has of a device's span. Reads it batch by batch: not on an event loop."""
    first = connection.execute("SELECT min(received_ms) FROM inbox").fetchone()[0]
    late_ms = max(LEAST_MS, silence_ms)
    head = f"{device}/"
    seen: dict[str, set[int]] = {}
    in_time: dict[str, dict[int, bool]] = {}
    readings = late = batches = 0
    query = (
        "SELECT received_ms, readings, correction_ms FROM inbox WHERE received_ms >= ? AND site = ? AND agent = ? "
        "ORDER BY id LIMIT ?"
    )
    for received_ms, blob, correction_ms in connection.execute(query, (over.from_ms, site, agent, MOST_BATCHES)):
        mine = [each for each in _readings.decode(blob) if each.point.startswith(head)]
        batches += bool(mine)
        for each in mine:
            at_ms = each.observed_ms + correction_ms
            if not over.from_ms <= at_ms < over.until_ms:
                continue
            point = each.point[len(head) :]
            readings += 1
            seen.setdefault(point, set()).add(at_ms)
            is_late = received_ms - at_ms > late_ms
            late += is_late
            if q.kind(each.quality) in ("good", "uncertain", "test") and each.value is not None:
                known = in_time.setdefault(point, {})
                number = over.at(at_ms)
                known[number] = known.get(number, False) or not is_late
    distinct = sum(map(len, seen.values()))
    return Arrivals(first if first is not None else 2**62, readings, distinct, late, batches, in_time)


def outages(
    device: Watched, alarms: Iterable[AlarmView], rules: Mapping[str, Rule], stops: Iterable[Span],
    gaps: Iterable[GapRow], until_ms: int,
) -> list[Outage]:  # fmt: skip
    """Why nothing could come from a device. alarms: raised or standing in the span; gaps: of all agents."""
    found = [Outage("gateway", *stop) for stop in stops]
    found += [
        Outage("gap", gap.first_ms, (gap.last_ms if gap.last_ms is not None else gap.first_ms) + 1)
        for gap in gaps
        if (gap.site, gap.agent) == (device.site, device.agent) and gap.first_ms is not None
    ]
    above = {f"{device.site}/{device.agent}": "agent", f"{device.site}/{device.device}": "device"}
    if device.line is not None:
        above[f"{device.site}/{line_device(device.line)}"] = "line"
    for alarm in alarms:
        rule = rules.get(alarm.rule)
        if rule is None or rule.when.kind not in SILENT or alarm.subject not in above:
            continue
        end_ms = until_ms if alarm.cleared_ms is None or alarm.active else alarm.cleared_ms
        # The rule waited before it spoke: the silence began earlier.
        since = alarm.inputs.get("last_ms", alarm.inputs.get("since_ms"))
        begin_ms = min(alarm.raised_ms, int(since)) if isinstance(since, int | float) and since > 0 else alarm.raised_ms
        found.append(Outage(above[alarm.subject], begin_ms, end_ms))
    return found


def evidence(
    over: Stretches, have: frozenset[int], said: Mapping[int, str], came: Mapping[int, bool], kept_ms: int
) -> Evidence:
    """Put together; of a stretch before the inbox begins nobody knows when it came."""
    return Evidence(have, said, {number: known for number, known in came.items() if number * over.step_ms >= kept_ms})


async def _samples(history: History, site: str, key: str, from_ms: int, until_ms: int) -> list[Sample]:
    found: list[Sample] = []
    while from_ms < until_ms:
        rows = await history.raw(site, key, from_ms, until_ms, PAGE)
        found += rows
        if len(rows) < PAGE:
            break
        from_ms = rows[-1].observed_ms + 1
    return found


def _sorted_out(samples: Iterable[Sample], over: Stretches) -> tuple[frozenset[int], dict[int, str]]:
    have: set[int] = set()
    said: dict[int, str] = {}
    for sample in samples:
        number = over.at(sample.observed_ms)
        kind, _, cause = sample.quality.partition(":")
        if kind in ("good", "uncertain", "test") and sample.value is not None:
            have.add(number)
        else:
            said[number] = cause or kind
    return frozenset(have), {number: cause for number, cause in said.items() if number not in have}


def _holes(over: Stretches, have: set[int]) -> Iterable[Span]:
    """Spans without a number, as (from, until) ms."""
    marks = [over.first - 1, *sorted(have), over.first + over.count]
    return [((a + 1) * over.step_ms, b * over.step_ms) for a, b in pairwise(marks) if b - a > 1]
