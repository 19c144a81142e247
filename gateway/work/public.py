"""What people of the public wrote in the report form: their words and telephone number, beside the record.

Whoever reports is nobody we know: the words are evidence only once a person has looked at them and taken them on. Until
then, and after the hazard was filed or the report dismissed, they can be erased: the hazard and the audit chain carry a
digest of the words and the number of the row. The receipt code is known to the reporter alone; kept is its hash.
"""

from __future__ import annotations

import hashlib
import sqlite3
from functools import partial
from typing import NamedTuple

from gateway.ledger.entries import Pen
from gateway.ledger.personal import WIPE

CODE_CHARS = 26
"""Letters and digits of a receipt code: 128 bits."""


class PublicReport(NamedTuple):
    """A report as it was written. erased_ms: its words and number were erased then (ms UTC)."""

    hazard: int
    receipt: str
    text: str
    place: str
    phone: str
    erased_ms: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over what was written; a row that is altered no longer fits the audit chain."""
        return digest(self.text, self.place)


def digest(text: str, place: str) -> str:
    """What the record keeps of the words."""
    return hashlib.sha256(f"{len(text)} {text}{place}".encode()).hexdigest()


def receipt_hash(code: str) -> str:
    """What is kept of a receipt code: a thief of the ledger cannot ask in the reporter's name."""
    return hashlib.sha256(f"weizhan report receipt\n{plain_code(code)}".encode()).hexdigest()


def plain_code(code: str) -> str:
    """A code as it was made: people type it in groups and in capitals."""
    return "".join(char for char in code.lower() if char.isascii() and char.isalnum())[:64]


def shown_code(code: str) -> str:
    """A code in groups, as it is told."""
    return "-".join(code[at : at + 5] for at in range(0, len(code), 5)).upper()


def keep(pen: Pen, report: PublicReport) -> None:
    """Write a new report, for the turn's transaction."""
    pen.add(partial(_insert, report=report))


def erase(pen: Pen, hazard: int) -> None:
    """Erase words and telephone number, for the turn's transaction."""
    pen.add(partial(_erase, hazard=hazard, now_ms=pen.now_ms))


def find_report(connection: sqlite3.Connection, hazard: int) -> PublicReport | None:
    """The report behind a hazard."""
    return _find(connection, "hazard = ?", hazard)


def find_receipt(connection: sqlite3.Connection, receipt: str) -> PublicReport | None:
    """The report that a receipt (hash) was given for."""
    return _find(connection, "receipt = ?", receipt)


def _find(connection: sqlite3.Connection, term: str, value: int | str) -> PublicReport | None:
    query = f"SELECT hazard, receipt, text, place, phone, erased_ms FROM public_report WHERE {term}"  # noqa: S608 # ours
    row = connection.execute(query, (value,)).fetchone()
    return PublicReport(*row) if row else None


def _insert(connection: sqlite3.Connection, report: PublicReport) -> None:
    connection.execute("INSERT INTO public_report VALUES (?,?,?,?,?,?)", report)


def _erase(connection: sqlite3.Connection, hazard: int, now_ms: int) -> None:
    # Overwritten in the file too, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(
        "UPDATE public_report SET text = '', place = '', phone = '', erased_ms = ? WHERE hazard = ?", (now_ms, hazard)
    )
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (WIPE, str(now_ms)))  # out of the log as well
