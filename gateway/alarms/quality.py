"""How good the alarms are: the figures of ISA-18.2 over the ledger, each with the counts it is made of.

Tests (drills) are left out and counted apart; an alarm that flaps is one alarm with its count of raises. What is
judged good or bad is for the reader: ISA-18.2 and EEMUA 191 take about one alarm in ten minutes as what a person can
handle for long, and ten in ten minutes as a flood.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.alarms.lifecycle import RETURNED, UNACKNOWLEDGED
from gateway.control.protocol import AlarmView
from gateway.ledger.reader import LedgerReader

SLOT_MS = 600_000
FLOOD = 10
"""Alarms in ten minutes that are a flood."""
STANDING_MS = 86_400_000
MOST = 20
"""Rows of a list."""


class Rate(msgspec.Struct, kw_only=True, frozen=True):
    """Alarms in ten minutes. slots: how many alarms each ten minutes from from_ms on had."""

    alarms: int
    minutes: float
    mean: float
    most: int
    most_ms: int | None
    """When the fullest ten minutes began."""
    floods: int
    """Ten minutes with FLOOD alarms or more."""
    slots: list[int]


class Chatter(msgspec.Struct, kw_only=True, frozen=True):
    """A rule on a subject that spoke often."""

    rule: str
    subject: str
    alarms: int
    raises: int


class Delay(msgspec.Struct, kw_only=True, frozen=True):
    """Seconds from when the gateway knew to when somebody acknowledged. None: nobody has."""

    acknowledged: int
    p50_s: float | None
    p95_s: float | None


class Quality(msgspec.Struct, kw_only=True, frozen=True):
    """The report. Lists of alarms are cut at MOST; their counts are whole."""

    site: str | None
    from_ms: int
    until_ms: int
    by_severity: dict[str, int]
    tests: int
    """Alarms of drills, counted in nothing else."""
    retrospective: int
    rate: Rate
    chatter: list[Chatter]
    standing: int
    """Active at the end of the span for longer than a day."""
    standing_alarms: list[AlarmView]
    never_acknowledged: int
    """Raised in the span and not acknowledged to this hour."""
    never_acknowledged_alarms: list[AlarmView]
    delay: Delay
    fire_delay: Delay
    held: dict[str, int]
    """Open alarms that are held now, by kind of hold."""
    findings: dict[str, int]
    """What the alarms of the span were found to be; `none`: nobody said."""
    false_share: float | None
    """false / (real + false); None where neither was found."""


def report(reader: LedgerReader, from_ms: int, until_ms: int, site: str | None = None) -> Quality:
    """The figures of a span (event time), of one site or of all.

    Raises:
        RetryLater: the ledger cannot be read now.
        ValueError: the span is empty.
    """
    if until_ms <= from_ms:
        raise ValueError(f"until_ms: got {until_ms}, want a time after from_ms {from_ms}.")
    raised = reader.alarms_raised(from_ms, until_ms, site)
    real = [alarm for alarm in raised if alarm.drill is None]
    standing = [
        alarm
        for alarm in reader.alarms_standing(until_ms, site)
        if alarm.drill is None and until_ms - alarm.raised_ms > STANDING_MS
    ]
    never = [alarm for alarm in real if alarm.state in (UNACKNOWLEDGED, RETURNED)]
    opened = [alarm for alarm in reader.open_alarms() if site in (None, alarm.site)]
    findings: Counter[str] = Counter(alarm.finding or "none" for alarm in real)
    told = findings["real"] + findings["false"]
    return Quality(
        site=site,
        from_ms=from_ms,
        until_ms=until_ms,
        by_severity=dict(Counter(alarm.severity for alarm in real)),
        tests=len(raised) - len(real),
        retrospective=sum(alarm.retrospective for alarm in real),
        rate=_rate(real, from_ms, until_ms),
        chatter=_chatter(real),
        standing=len(standing),
        standing_alarms=standing[:MOST],
        never_acknowledged=len(never),
        never_acknowledged_alarms=never[:MOST],
        delay=_delay(real),
        fire_delay=_delay([alarm for alarm in real if alarm.severity == "fire"]),
        held=dict(Counter(alarm.hold for alarm in opened if alarm.hold is not None)),
        findings={str(what): count for what, count in findings.items()},
        false_share=findings["false"] / told if told else None,
    )


def _rate(alarms: Sequence[AlarmView], from_ms: int, until_ms: int) -> Rate:
    slots = [0] * -(-(until_ms - from_ms) // SLOT_MS)
    for alarm in alarms:
        slots[(alarm.raised_ms - from_ms) // SLOT_MS] += 1
    most = max(slots)
    return Rate(
        alarms=len(alarms),
        minutes=(until_ms - from_ms) / 60_000,
        mean=len(alarms) * SLOT_MS / (until_ms - from_ms),
        most=most,
        most_ms=from_ms + slots.index(most) * SLOT_MS if most else None,
        floods=sum(count >= FLOOD for count in slots),
        slots=slots,
    )


def _chatter(alarms: Sequence[AlarmView]) -> list[Chatter]:
    found: dict[tuple[str, str], list[int]] = {}
    for alarm in alarms:
        counts = found.setdefault((alarm.rule, alarm.subject), [0, 0])
        counts[0] += 1
        counts[1] += alarm.count
    rows = [Chatter(rule=key[0], subject=key[1], alarms=n[0], raises=n[1]) for key, n in found.items()]
    return sorted(rows, key=lambda row: (-row.raises, row.rule, row.subject))[:MOST]


def _delay(alarms: Sequence[AlarmView]) -> Delay:
    waits = sorted(
        (alarm.acknowledged_ms - alarm.recorded_ms) / 1000 for alarm in alarms if alarm.acknowledged_ms is not None
    )
    return Delay(acknowledged=len(waits), p50_s=_quantile(waits, 0.5), p95_s=_quantile(waits, 0.95))


def _quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed."""
    if not values:
        return None
    return values[max(0, math.ceil(share * len(values)) - 1)]


def as_json(quality: Quality) -> dict[str, Any]:
    """The report in plain types."""
    plain: dict[str, Any] = msgspec.to_builtins(quality)
    return plain
