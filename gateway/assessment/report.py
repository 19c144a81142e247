"""A report: the figures of a week or month for a list of sites, read from the ledger, with the periods before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from contract.site import SYSTEM_SITE, Site
from gateway.assessment import periods
from gateway.assessment.device_time import Watched, stops_of
from gateway.assessment.figures import Figures, Rows, added, figures
from gateway.assessment.periods import Period
from gateway.duty.checks import CHECKS
from gateway.duty.readiness_rows import READY
from gateway.incidents.rows import INCIDENT
from gateway.ledger.entries import Kind
from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import ApprovedDevice
from gateway.work.plans import PLAN
from gateway.work.rectification import HAZARD
from gateway.work.routes import ROUND
from gateway.work.training import TRAINING_KIND
from rules.model import Rule

T = TypeVar("T")
HOLDS_MS = 400 * 86_400_000
"""Rounds and trainings that began so long before a span may still count in it: a plan's longest cycle and a margin."""


class Place(NamedTuple):
    """What a report needs to know of a site."""

    site: str
    has_station: bool
    devices: tuple[Watched, ...]


class Ledgers(NamedTuple):
    """Where rows come from: the ledger as the reader may see it, and the whole one, for when no gateway ran."""

    own: LedgerReader
    whole: LedgerReader


def places(sites: Iterable[Site], approved: Iterable[ApprovedDevice]) -> list[Place]:
    """The sites with their devices: of their files, and approved ones."""
    more = defaultdict(list)
    for row in approved:
        more[row.site].append(Watched(row.site, row.device, row.agent, None))
    return [
        Place(
            site.site,
            site.station is not None,
            (*(Watched(site.site, p.entry.id, p.agent, p.line.id) for p in site.placed()), *more[site.site]),
        )
        for site in sites
    ]


def report(
    ledgers: Ledgers, of: Sequence[Place], rules: Mapping[str, Rule], period: Period, now_ms: int
) -> dict[str, Figures]:
    """Figures of each site in a period, as far as it has passed and since the ledger began."""
    from_ms, until_ms = max(period.from_ms, ledgers.whole.first_ms()), min(period.until_ms, now_ms)
    if until_ms <= from_ms or not of:
        return {place.site: Figures() for place in of}
    own = ledgers.own
    names = tuple(place.site for place in of)
    standing = {alarm.id: alarm for alarm in own.alarms_standing(from_ms)}
    raised = {alarm.id: alarm for alarm in own.alarms_raised(from_ms, until_ms)}
    alarms = _by_site(list((standing | raised).values()))
    stops = stops_of(ledgers.whole.alarms_raised(from_ms, until_ms + HOLDS_MS, SYSTEM_SITE))

    def rows(kind: Kind[Any], **terms: Any) -> dict[str, list[Any]]:
        return _by_site(own.entries(kind, sites=names, **terms))

    span: dict[str, int] = {"from_ms": from_ms, "until_ms": until_ms}
    ready, checks, incidents, hazards = (rows(kind, **span) for kind in (READY, CHECKS, INCIDENT, HAZARD))
    plans = rows(PLAN, **span)
    rounds, trainings = (rows(kind, until_ms=until_ms) for kind in (ROUND, TRAINING_KIND))
    return {
        place.site: figures(
            Rows(
                _of(alarms, place.site), _of(ready, place.site), _of(checks, place.site), _of(incidents, place.site),
                _of(hazards, place.site), _of(plans, place.site), _recent(rounds, place.site, from_ms),
                _recent(trainings, place.site, from_ms),
            ),
            place.devices, rules, stops, from_ms, until_ms, has_station=place.has_station, site=place.site,
        )
        for place in of
    }  # fmt: skip


def trend(
    ledgers: Ledgers, of: Sequence[Place], rules: Mapping[str, Rule], period: Period, now_ms: int, most: int,
    zone: ZoneInfo,
) -> list[tuple[Period, Figures]]:  # fmt: skip
    """All sites together in this period and those before it, the earliest first."""
    found: list[tuple[Period, Figures]] = []
    for _ in range(most):
        found.append((period, added(report(ledgers, of, rules, period, now_ms).values())))
        period = periods.before(period, zone)
    return found[::-1]


def _by_site(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.site].append(row)
    return found


def _of(rows: Mapping[str, list[T]], site: str) -> list[T]:
    return rows.get(site, [])


def _recent(rows: Mapping[str, list[Any]], site: str, from_ms: int) -> list[Any]:
    return [row for row in rows.get(site, ()) if row.from_ms >= from_ms - HOLDS_MS]


__all__ = ["Ledgers", "Place", "places", "report", "trend"]
