"""The handover sheet (交接班记录): everything that is open, held or not told at that moment, and two signatures.

Nothing is copied together beforehand: the sheet is what stands when it is looked at, and what stands when the second
side signs is what was handed over.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from contract.quality import TEST
from gateway.duty.proof import Proof
from gateway.ledger.entries import Entry, Kind

if TYPE_CHECKING:
    from gateway.state import WorkingState

Side = Literal["old", "new"]
ItemKind = Literal[
    "alarm", "shelf", "service", "maintenance", "drill", "test", "notice", "unknown_device",
    "incident", "hazard", "round", "duty_check",
]  # fmt: skip
DAY_MS = 86_400_000


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing on the sheet. key: its number or name among its kind; since_ms: UTC.

    what: subject, scope or person; more: rule, reason or state; is_late: it came after the first side had signed.
    """

    kind: ItemKind
    key: str
    site: str
    since_ms: int
    what: str
    more: str = ""
    severity: str = ""
    hold: str = ""
    is_late: bool = False


class Signature(msgspec.Struct, frozen=True):
    """Who signed, when (ms UTC), how that was proven. by: login at that screen; note: in their own words.

    instead: signed for an old crew that was not there (any more).
    """

    person: int
    at_ms: int
    proof: Proof
    by: str
    note: str = ""
    instead: bool = False


class Stay(msgspec.Struct, frozen=True):
    """Somebody at a post. from_ms: on duty since then without a break; until_ms: None while they are there."""

    person: int
    post: str
    from_ms: int
    until_ms: int | None = None
    proof: Proof = "login"


class Handover(Entry, frozen=True, kw_only=True):
    """A handover. state: open | signed. from_ms: since when somebody waits for it; until_ms: both have signed.

    shift: the old one, None where nobody was on duty; begins: the new one. due_ms: the planned change. arriving: the
    new crew. items: what stood when the second side signed; while it is open, when the first one did.
    """

    shift: int | None
    due_ms: int
    begins: int | None = None
    arriving: tuple[Stay, ...] = ()
    old: Signature | None = None
    new: Signature | None = None
    items: tuple[Item, ...] = ()


HANDOVER = Kind("handover", Handover, frozenset({"open"}))


class Unsent(NamedTuple):
    """A message to a person that has not gone, or was given up since the last handover."""

    id: int
    site: str
    person: str
    channel: str
    kind: str
    severity: str
    state: str
    due_ms: int


def read_unsent(connection: sqlite3.Connection, site: str) -> list[Unsent]:
    """Messages that wait, and those given up since this site's last handover (or for a day before the latest audit)."""
    columns = (
        "notice.id, alarm.site, notice.person, notice.channel, notice.kind, notice.severity, notice.state, "
        "notice.due_ms FROM notice JOIN alarm ON alarm.id = json_extract(notice.alarms, '$[0]')"
    )
    last = connection.execute("SELECT max(until_ms) FROM entry WHERE kind = 'handover' AND site = ?", (site,))
    (since_ms,) = last.fetchone()
    if since_ms is None:
        (latest_ms,) = connection.execute("SELECT max(at_ms) FROM audit").fetchone()
        since_ms = (latest_ms or 0) - DAY_MS
    rows = connection.execute(
        f"SELECT {columns} WHERE notice.state IN ('planned', 'sending') "
        f"UNION ALL SELECT {columns} WHERE notice.state IN ('failed', 'expired') AND notice.due_ms > ? ORDER BY 1",
        (since_ms,),
    )
    return [Unsent(*row) for row in rows]


def standing(state: WorkingState, site: str, unsent: Iterable[Unsent]) -> tuple[Item, ...]:
    """Everything that stands at a station and the sites it covers, in a fixed order."""
    known = state.installation.sites.get(site)
    station = known.station if known is not None else None
    sites = {site, *(station.covers if station is not None else ())}
    found = [*_alarms(state), *_held(state), *_strangers(state), *_tests(state, sites), *_entries(state)]
    found += [
        Item("notice", str(n.id), n.site, n.due_ms, f"{n.person}/{n.channel}", n.state, n.severity) for n in unsent
    ]
    return tuple(sorted((item for item in found if item.site in sites), key=lambda i: (i.kind, i.site, i.key)))


def digest(items: Iterable[Item]) -> str:
    """What tells two sheets apart: which things stand on them."""
    keys = "\n".join(sorted(f"{item.kind} {item.site} {item.key}" for item in items))
    return hashlib.sha256(keys.encode()).hexdigest()[:16]


def marked(items: Iterable[Item], before: Iterable[Item]) -> tuple[Item, ...]:
    """The sheet, with what is not on the earlier one marked as late."""
    known = {(item.kind, item.site, item.key) for item in before}
    return tuple(
        item if (item.kind, item.site, item.key) in known else msgspec.structs.replace(item, is_late=True)
        for item in items
    )


def _alarms(state: WorkingState) -> Iterator[Item]:
    for alarm in state.book.open.values():
        yield Item(
            "alarm", str(alarm.id), alarm.site, alarm.raised_ms, alarm.subject, alarm.rule, alarm.severity,
            alarm.hold or "",
        )  # fmt: skip


def _held(state: WorkingState) -> Iterator[Item]:
    holds = state.book.holds
    for shelf in holds.shelves.values():
        site = shelf.subject.partition("/")[0]
        key = f"{shelf.rule} {shelf.subject}"
        yield Item("shelf", key, site, shelf.from_ms, shelf.subject, shelf.reason, shelf.severity)
    for row in holds.out_of_service.values():
        yield Item("service", row.subject, row.subject.partition("/")[0], row.from_ms, row.subject, row.reason)
    for window in holds.windows.values():
        yield Item("maintenance", str(window.id), window.site, window.from_ms, " ".join(window.scope), window.reason)
    for drill in holds.drills.values():
        yield Item("drill", str(drill.id), drill.site, drill.from_ms, " ".join(drill.scope), drill.reason)


def _strangers(state: WorkingState) -> Iterator[Item]:
    for (site, device), row in state.unknown.items():
        if (site, device) not in state.approved:
            yield Item("unknown_device", device, site, row.first_ms, device, row.agent)


def _tests(state: WorkingState, sites: set[str]) -> Iterator[Item]:
    """Points whose device says that it is being tested."""
    for point, slot in state.engine.values():
        site = point.partition("/")[0]
        if slot.quality == TEST and site in sites:
            yield Item("test", point, site, slot.observed_ms, point)


def _entries(state: WorkingState) -> Iterator[Item]:
    registers = state.registers
    open_rows: tuple[tuple[ItemKind, Iterable[Entry]], ...] = (
        ("incident", registers.rows("incident")),
        ("hazard", [*registers.hazards.open(), *_reports(state)]),
        ("round", registers.rows("round")),
        ("duty_check", state.duty.shown.values()),
    )
    for kind, rows in open_rows:
        for row in rows:
            yield Item(kind, str(row.id), row.site, row.from_ms, _what(row), row.state)


def _reports(state: WorkingState) -> Iterator[Entry]:
    """What the public reported and nobody has looked at yet."""
    for site in state.installation.sites:
        yield from state.registers.hazards.reported(site)


def _what(row: Entry) -> str:
    """What a register's row is about, as far as its kind says so in a field of a usual name."""
    for name in ("subject", "title", "text", "plan", "origin"):
        found: Any = getattr(row, name, "")
        if isinstance(found, str) and found:
            return found[:200]
    return ""
