"""Rows of devices that were made already: kept until something they are made of moved. Pure, no I/O."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from gateway.web.inventory import Inventory
from gateway.web.row_book import RowBook


class _Kept(msgspec.Struct, frozen=True, gc=False):
    # The collector needs not go through them, as no cycle leads back from a row.
    of: Any
    basis: Any
    from_ms: int
    until_ms: int | None
    row: Any


class KeptRows:
    """The last row of each (language, device key).

    A row holds for the same device (the very object: a reload of the site makes another), an equal basis, and a time
    from when it was made to before `until_ms`: a page never shows a value as fresh for longer than that.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Kept] = {}
        self._books: WeakKeyDictionary[Inventory, dict[str, RowBook]] = WeakKeyDictionary()
        self.made = 0
        """How many rows had to be made."""

    def find(self, language: str, of: Any, basis: Any, now_ms: int) -> Any:
        """The row, or None when it has to be made anew."""
        kept = self._rows.get((language, of.key))
        if kept is None or kept.of is not of or kept.basis != basis or now_ms < kept.from_ms:
            return None
        return kept.row if kept.until_ms is None or now_ms <= kept.until_ms else None

    def keep(self, language: str, of: Any, basis: Any, now_ms: int, until_ms: int | None, row: Any) -> None:
        """Keep a row that was made at now_ms and holds up to and with until_ms (None: for ever)."""
        self.made += 1
        self._rows[language, of.key] = _Kept(of, basis, now_ms, until_ms, row)

    def until_ms(self, language: str, key: str) -> int | None:
        """How long the kept row of a device holds; None: until something moves."""
        return self._rows[language, key].until_ms

    def book(self, language: str, inventory: Inventory) -> RowBook:
        """The rows of all devices of an inventory, as they were at the last page."""
        return self._books.setdefault(inventory, {}).setdefault(language, RowBook())

    def clear(self) -> None:
        """Forget all of them."""
        self._rows.clear()
