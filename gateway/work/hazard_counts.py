"""Hazards of a time span in numbers: found, closed, overdue, with what stood before and after. Pure.

Every number is a count of rounds: a hazard that was closed and returned was found twice. So
`before + found - closed = after`, whatever the span.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.work.rectification import Hazard


class HazardCounts(NamedTuple):
    """Counts of a span [from, until), ms UTC.

    before, after: open at its beginning, at its end. overdue: late at some time of it; overdue_after: late at its end.
    in_time: of those closed, how many were never late. reported: reports of the public that came in.
    """

    before: int = 0
    found: int = 0
    closed: int = 0
    after: int = 0
    overdue: int = 0
    overdue_after: int = 0
    in_time: int = 0
    reported: int = 0


def count_hazards(rows: Iterable[Hazard], from_ms: int, until_ms: int) -> HazardCounts:
    """The counts of a span, from the hazards that were in force in it (more of them change nothing)."""
    total = [0] * len(HazardCounts._fields)
    for row in rows:
        for n, count in enumerate(_of(row, from_ms, until_ms)):
            total[n] += count
    return HazardCounts(*total)


def counts_hold_ms(rows: Iterable[Hazard], from_ms: int, until_ms: int) -> int:
    """For how long the counts of a span stay the same while it moves on and no hazard changes, ms.

    They may be others once its beginning or end reaches the moment of something that was not behind it: less than what
    is given is safe.
    """
    hold_ms = until_ms - from_ms
    for row in rows:
        for at_ms in _moments(row):
            if at_ms >= until_ms:
                hold_ms = min(hold_ms, at_ms - until_ms)
            elif at_ms >= from_ms:
                hold_ms = min(hold_ms, at_ms - from_ms)
    return hold_ms


def _moments(row: Hazard) -> Iterator[int]:
    if row.reported_ms is not None:
        yield row.reported_ms
    for each in row.rounds:
        yield each.found_ms
        if each.closed_ms is not None:
            yield each.closed_ms
    for late in row.overdue:
        yield late.since_ms
        if late.until_ms:
            yield late.until_ms


def _of(row: Hazard, from_ms: int, until_ms: int) -> tuple[int, ...]:
    """Of one, in the order of HazardCounts."""
    before = opened = closed = after = in_time = 0
    for each in row.rounds:
        end_ms = until_ms if each.closed_ms is None else each.closed_ms
        before += each.found_ms < from_ms <= end_ms
        opened += from_ms <= each.found_ms < until_ms
        after += each.found_ms < until_ms <= end_ms
        if each.closed_ms is not None and from_ms <= each.closed_ms < until_ms:
            closed += 1
            in_time += not any(each.found_ms <= late.since_ms < each.closed_ms for late in row.overdue)
    overdue = late_after = False
    for late in row.overdue:
        end_ms = late.until_ms or until_ms
        overdue = overdue or (late.since_ms < until_ms and end_ms > from_ms)
        late_after = late_after or late.since_ms < until_ms <= end_ms
    reported = row.reported_ms is not None and from_ms <= row.reported_ms < until_ms
    return before, opened, closed, after, int(overdue), int(late_after), in_time, int(reported)
