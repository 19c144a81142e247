"""Rows of the registers: kept, chained, shown and restored together, or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from gateway.ledger import audit
from gateway.ledger.changes import Changes
from gateway.ledger.entries import Entry, Kind, Pen, Sheet, entries, find_entry, load_entries
from gateway.ledger.upgrade import prepare
from gateway.registers import REPEAT_MS, Registers
from tests.gateway.world import install


class Thing(Entry, frozen=True, kw_only=True):
    """A row of a register made up here."""

    text: str = ""


THING = Kind("thing", Thing, frozenset({"begun"}))
OTHER = Kind("other", Thing, frozenset({"begun"}))


class Book:
    """A ledger in memory and the sheets on it."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        prepare(self.connection, Path("memory"))
        self.restart()

    def restart(self) -> None:
        saved = load_entries(self.connection)
        self.things, self.others = Sheet(THING, saved), Sheet(OTHER, saved)

    def write(self, at_ms: int, *rows: Thing, verb: str = "note") -> Pen:
        """A turn that keeps these rows."""
        changes = Changes(at_ms)
        pen = Pen(changes, at_ms)
        for row in rows:
            pen.write(self.things, row, verb, "wang")
        changes.write(self.connection)
        return pen


def thing(
    number: int, state: str = "begun", site: str = "s", from_ms: int = 1000, until_ms: int | None = None
) -> Thing:
    return Thing(id=number, site=site, state=state, from_ms=from_ms, until_ms=until_ms, text=f"t{number}")


def test_open_rows_and_numbers_come_back_when_the_gateway_starts_again() -> None:
    """A row that is over stays in the ledger and leaves the memory; its number is never given again."""
    book = Book()
    book.write(1000, thing(book.things.take_id()), thing(book.things.take_id()))
    book.write(2000, thing(2, "over"))
    book.restart()
    assert list(book.things.rows) == [1]
    assert (book.things.take_id(), book.others.take_id()) == (3, 1)
    assert find_entry(book.connection, THING, 2) == thing(2, "over")
    assert find_entry(book.connection, OTHER, 2) is None


def test_every_change_is_whole_in_the_chain_when_a_row_changes_more_than_once_in_a_turn() -> None:
    """The table has the last state, the chain each of them; screens are told the last."""
    book = Book()
    pen = book.write(1000, thing(1), thing(1, "over"))
    rows = book.connection.execute("SELECT actor, action, subject, detail FROM audit ORDER BY id").fetchall()
    assert [row[:3] for row in rows] == [("wang", "thing.note", "thing/1")] * 2
    assert [msgspec.json.decode(row[3])["row"]["state"] for row in rows] == ["begun", "over"]
    assert book.connection.execute("SELECT state, open FROM entry").fetchall() == [("over", 0)]
    assert [(e.event, e.data["open"], e.data["row"]["state"]) for e in pen.events()] == [("entry", False, "over")]
    assert audit.verify_chain(book.connection) is None


def test_rows_are_found_by_site_state_and_span() -> None:
    """Newest first; a row counts for a span when it was in force at some time of it."""
    book = Book()
    book.write(
        1000,
        thing(1, "over", from_ms=0, until_ms=1000),
        thing(2, site="t", from_ms=1000),
        thing(3, "over", from_ms=2000, until_ms=3000),
    )

    def found(**wanted: object) -> list[int]:
        return [row.id for row in entries(book.connection, THING, **wanted)]  # type: ignore[arg-type] # names below

    assert found() == [3, 2, 1]
    assert found(sites=("s",)) == [3, 1]
    assert found(sites=()) == []
    assert found(state="over", limit=1) == [3]
    assert found(is_open=True) == [2]
    assert found(from_ms=1000, until_ms=2000) == [2]
    assert found(before=3) == [2, 1]


def test_what_was_said_is_said_again_after_an_hour_and_only_news_before(tmp_path: Path) -> None:
    """The history shows no gap where nothing changed, and a turn costs nothing where nothing is due."""
    said = {"s/register/b": (2.0, 500), "s/register/a": (1.0, 0)}
    registers = Registers(load_entries(Book().connection), b"0" * 32, install(tmp_path), said)

    def news(at_ms: int, **told: float) -> list[tuple[str, object]]:
        pen = Pen(Changes(at_ms), at_ms)
        for point, value in told.items():
            pen.say("s", point, value)
        return [(reading.point, reading.value) for reading in registers.news(pen).get("s", [])]

    assert news(1000, a=1.0, b=3.0) == [("register/b", 3.0)]
    assert news(REPEAT_MS - 1) == []
    assert news(REPEAT_MS) == [("register/a", 1.0)]
    assert news(REPEAT_MS + 999) == []
    assert news(REPEAT_MS + 1000) == [("register/b", 3.0)]
    assert news(2 * REPEAT_MS, b=3.0) == [("register/a", 1.0)]
