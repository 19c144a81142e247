"""Hazards at hand, and counts of them: those of the list's page are made once for each change."""

from __future__ import annotations

from typing import NamedTuple

from gateway.web.context import Web
from gateway.web.registers.at_hand import at_hand, changes_of
from gateway.work.hazard_counts import HazardCounts, count_hazards, counts_hold_ms
from gateway.work.rectification import HAZARD, Hazard

MOST_COUNTED = 64
"""Readers of different sites whose counts are kept."""


class _Counted(NamedTuple):
    """basis: what they were made of. The span they are of began at from_ms; they hold for less than hold_ms after."""

    basis: tuple[object, ...]
    from_ms: int
    hold_ms: int
    counts: HazardCounts


def open_hazards(web: Web) -> list[Hazard]:
    """Hazards at hand, as the live picture has them, by what to fix first."""
    return at_hand(web, HAZARD, place_of)


def place_of(row: Hazard) -> tuple[int, int, int, int, int]:
    """What to fix first comes first: what is late, what an authority watches, what is major, then by date."""
    held = (not row.is_overdue, not row.is_listed, row.level != "major")
    return (int(held[0]), int(held[1]), int(held[2]), row.due_ms or row.from_ms, row.id)


async def hazard_counts(web: Web, from_ms: int, until_ms: int, site: str | None = None) -> HazardCounts:
    """Counts of a span: of what is at hand, and of what the ledger has beside it."""
    return count_hazards(await _rows(web, from_ms, until_ms, site), from_ms, until_ms)


async def latest_counts(web: Web, span_ms: int) -> HazardCounts:
    """Counts of the span up to now, counted anew only when a hazard changed or the span has reached another moment."""
    until_ms = web.now_ms()
    from_ms = until_ms - span_ms
    if not web.picture.connected:
        return await hazard_counts(web, from_ms, until_ms)
    sites = None if web.whole is None else frozenset(web.inventory.sites)
    # Taken first: what changes while the rows are read is counted by the next reader.
    basis = (span_ms, *changes_of(web, HAZARD))
    kept: _Counted | None = web.all.counted.get(sites)
    if kept is not None and kept.basis == basis and 0 <= from_ms - kept.from_ms < kept.hold_ms:
        return kept.counts
    rows = await _rows(web, from_ms, until_ms, None)
    counts = count_hazards(rows, from_ms, until_ms)
    while len(web.all.counted) >= MOST_COUNTED:
        del web.all.counted[next(iter(web.all.counted))]
    web.all.counted[sites] = _Counted(basis, from_ms, counts_hold_ms(rows, from_ms, until_ms), counts)
    return counts


async def _rows(web: Web, from_ms: int, until_ms: int, site: str | None) -> list[Hazard]:
    sites = None if site is None else (site,)
    at_hand_now = (
        {row.id: row for row in open_hazards(web) if site in (None, row.site)} if web.picture.connected else {}
    )
    # While the gateway does not answer, what is at hand may be old: then the ledger is asked for everything.
    is_open = False if web.picture.connected else None
    terms = {"from_ms": from_ms, "until_ms": until_ms, "sites": sites, "is_open": is_open}
    found = at_hand_now | {row.id: row for row in await web.read(web.ledger.entries, HAZARD, **terms)}
    return list(found.values())
