"""Rows of a register that are at hand, made and placed once for each change: a list of thousands is not made anew for
each page of a hundred. Pure but for what it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from gateway.ledger.entries import E, Kind
from gateway.web.context import Web
from gateway.web.listing import Key

SPARE = 1000
"""Rows that are at hand no more and are kept until so many have come together."""


class _Kept(NamedTuple):
    """of: the row of the picture, which is another object once something changed."""

    of: dict[str, Any]
    made: Any
    key: Key


def changes_of(web: Web, kind: Kind[Any]) -> tuple[int, int]:
    """Another pair once a row of the kind changed, at hand or not: the gateway tells of each when it is committed."""
    picture = web.all.picture
    return picture.snapshots, picture.entry_changes[kind.name]


def at_hand(web: Web, kind: Kind[E], place: Callable[[E], Key]) -> list[E]:
    """The rows of a kind that the reader may see, in the order of their place, which the row alone decides."""
    rows = web.picture.entries.get(kind.name, {})
    kept: dict[int, _Kept] = web.all.at_hand.setdefault(kind.name, {})
    found = []
    for number, row in rows.items():
        each = kept.get(number)
        if each is None or each.of is not row:
            made = msgspec.convert(row, kind.form)
            each = kept[number] = _Kept(row, made, place(made))
        found.append(each)
    whole = web.all.picture.entries.get(kind.name, {})
    if len(kept) > len(whole) + SPARE:
        for number in [number for number in kept if number not in whole]:
            del kept[number]
    found.sort(key=attrgetter("key"))
    return [each.made for each in found]
