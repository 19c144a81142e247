"""Registers' rows: what people keep and do (a shift, a duty check, a hazard ...), one row a thing.

A row is a frozen struct. Open ones are kept in memory, in a Sheet a kind; a Pen writes them: into the sheet, the table
`entry`, the audit chain (whole, so that a row that is altered or taken away shows) and to the screens, all for the
same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from contract.messages import Value
from gateway.control.protocol import AlarmView, Event
from gateway.installation import Installation
from gateway.ledger.changes import Changes
from gateway.ledger.standing import SavedStanding, load_standing
from gateway.notify.calls import Call, End

GATEWAY = "gateway"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What every row has. Times ms UTC; site: or area, of what belongs to no site."""

    id: int
    site: str
    state: str
    from_ms: int
    until_ms: int | None = None


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True)
class Kind(Generic[E]):
    """A kind of row.

    name: in the table. form: its struct. open: states in which it is kept at hand. live: whether screens get every
    open row with their snapshot (no: too many; pages ask the ledger).
    """

    name: str
    form: type[E]
    open: frozenset[str]
    live: bool = True


class SavedEntries(NamedTuple):
    """Open rows (JSON) and last number of each kind."""

    open: dict[str, list[str]]
    last: dict[str, int]
    standing: list[SavedStanding] = []  # of a NamedTuple, never changed
    """Alarms that stand."""


def load_entries(connection: sqlite3.Connection) -> SavedEntries:
    """Read them, within the caller's transaction."""
    opened: dict[str, list[str]] = {}
    for kind, data in connection.execute("SELECT kind, data FROM entry WHERE open ORDER BY kind, id"):
        opened.setdefault(kind, []).append(data)
    last: dict[str, int] = {}
    kind = ""
    # One step of the index a kind; counting every row would take long on an old ledger.
    while row := connection.execute("SELECT min(kind) FROM entry WHERE kind > ?", (kind,)).fetchone():
        if (kind := row[0]) is None:
            break
        last[kind] = connection.execute("SELECT max(id) FROM entry WHERE kind = ?", (kind,)).fetchone()[0]
    return SavedEntries(opened, last, load_standing(connection))


class Sheet(Generic[E]):
    """The open rows of a kind, by number, and the next number."""

    def __init__(self, kind: Kind[E], saved: SavedEntries) -> None:
        decode = msgspec.json.Decoder(kind.form).decode
        self.kind = kind
        self.rows: dict[int, E] = {row.id: row for row in map(decode, saved.open.get(kind.name, ()))}
        self.next_id = saved.last.get(kind.name, 0) + 1

    def take_id(self) -> int:
        """A number for a new row."""
        self.next_id += 1
        return self.next_id - 1


class Register:
    """A register: a function of its rows, the installation, and what it is told. No I/O."""

    def sheets(self) -> Iterable[Sheet[Any]]:
        """Its rows."""
        return ()

    def install(self, installation: Installation) -> None:
        """These sites and rules are in force."""

    def restore(self, alarms: Iterable[AlarmView], alive_ms: int, now_ms: int) -> None:
        """After a start: the open alarms, and when a gateway last ran on this ledger (ms UTC; 0: never)."""

    def next_due_ms(self) -> int | None:
        """When time alone next changes something (ms UTC)."""
        return None

    def advance(self, pen: Pen) -> None:
        """Let time pass up to now, and say what follows; called when something is due."""

    def alarm_moved(self, alarm: AlarmView, event: str, pen: Pen) -> None:
        """An alarm moved (events as in table transition); `alarm` is what it is now."""


class Pen:
    """Writes the rows of one turn, and says what follows from them as own readings of a site's register."""

    def __init__(self, changes: Changes, now_ms: int) -> None:
        self.now_ms = now_ms
        self._changes = changes
        self._rows: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._live: dict[tuple[str, int], Event] = {}
        self._said: dict[tuple[str, str], Value] = {}
        self._told: list[Event] = []
        self._calls: list[Call | End] = []

    def write(self, sheet: Sheet[E], row: E, verb: str, actor: str = GATEWAY, **detail: Any) -> E:
        """Keep a row as it is now. verb: what was done, for the audit trail (`KIND.VERB`); detail: why."""
        kind, is_open = sheet.kind, row.state in sheet.kind.open
        if is_open:
            sheet.rows[row.id] = row
        else:
            sheet.rows.pop(row.id, None)
        fields = msgspec.to_builtins(row)
        data = msgspec.json.encode(row).decode()
        if not self._rows:
            self._changes.steps.append(self._write)
        key = (kind.name, row.id)
        self._rows[key] = (*key, row.site, row.state, is_open, row.from_ms, row.until_ms, data)
        self._changes.add_audit(actor, f"{kind.name}.{verb}", f"{kind.name}/{row.id}", row=fields, **detail)
        self._live[key] = Event(event="entry", data={"kind": kind.name, "open": is_open, "row": fields})
        return row

    def say(self, site: str, point: str, value: Value) -> None:
        """What a point of the site's register is now; told only when it is news.

        A count is a number on the wire as every other, and rules judge those only.
        """
        self._said[site, point] = float(value) if type(value) is int else value

    def take_said(self) -> dict[tuple[str, str], Value]:
        """What was said since the last call: (site, point) -> value."""
        said, self._said = self._said, {}
        return said

    def call(self, ask: Call | End) -> None:
        """Have another station called to a fire, or a call ended."""
        self._calls.append(ask)

    def take_calls(self) -> list[Call | End]:
        """What was asked of the notification since the last call."""
        calls, self._calls = self._calls, []
        return calls

    def add(self, step: Callable[[sqlite3.Connection], None]) -> None:
        """Write something else for the same transaction."""
        self._changes.steps.append(step)

    def tell(self, event: Event) -> None:
        """Tell screens something beside the rows."""
        self._told.append(event)

    def events(self) -> list[Event]:
        """What screens are told."""
        return [*self._live.values(), *self._told]

    def _write(self, connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT OR REPLACE INTO entry VALUES (?,?,?,?,?,?,?,?)", self._rows.values())


def find_entry(connection: sqlite3.Connection, kind: Kind[E], entry_id: int) -> E | None:
    """One row, open or not."""
    found = connection.execute("SELECT data FROM entry WHERE kind = ? AND id = ?", (kind.name, entry_id)).fetchone()
    return msgspec.json.decode(found[0], type=kind.form) if found else None


def entries(
    connection: sqlite3.Connection,
    kind: Kind[E],
    *,
    sites: tuple[str, ...] | None = None,
    state: str | tuple[str, ...] | None = None,
    is_open: bool | None = None,
    from_ms: int | None = None,
    until_ms: int | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> Iterator[E]:
    """Rows of a kind that fit, newest first.

    Args:
        sites: of these only. state: in this one, or in one of these. from_ms, until_ms: that were in force at some time
            of this span (UTC, end not included).
        before: only numbers below it (the next page).
    """
    terms: list[str] = ["kind = ?"]
    args: list[Any] = [kind.name]
    for term, value in (
        ("open = ?", is_open), ("(until_ms IS NULL OR until_ms > ?)", from_ms),
        ("from_ms < ?", until_ms), ("id < ?", before),
    ):  # fmt: skip
        if value is not None:
            terms.append(term)
            args.append(value)
    if state is not None:
        states = (state,) if isinstance(state, str) else state
        terms.append(f"state IN ({','.join('?' * len(states))})")
        args += states
    if sites is not None:
        terms.append(f"site IN ({','.join('?' * len(sites))})")
        args += sites
    query = f"SELECT data FROM entry WHERE {' AND '.join(terms)} ORDER BY id DESC LIMIT ?"  # noqa: S608 # terms are ours
    decode = msgspec.json.Decoder(kind.form).decode
    for (data,) in connection.execute(query, (*args, -1 if limit is None else limit)):
        yield decode(data)
