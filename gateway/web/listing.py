"""Lists of the API, all turned the same way: `limit` and `after` in, `items` and `next` out."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict

from gateway.web.access import Refused
from gateway.web.texts import msgid

T = TypeVar("T")
MOST = 500
"""Items on one page."""
Key = tuple[str | int | float, ...]
"""What a list is ordered by, ascending; no two items of a list have the same."""


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    items: list[T]
    next: str | None
    """Send it as `after` for the next page; null: this was the last."""


class Turn(NamedTuple):
    """Which page is asked for. after: key of the last item of the page before; None for the first page."""

    after: Key | None
    limit: int

    @property
    def before(self) -> int | None:
        """The cursor of a list that goes from the newest number to the oldest. Raises Refused for another one."""
        if self.after is None:
            return None
        number = self.after[0] if len(self.after) == 1 else None
        if not isinstance(number, int) or not 0 < number < 2**62:
            raise foreign()
        return number


def _turn(
    after: Annotated[
        str | None, Query(max_length=1000, description="`next` of the page before; the first page without it.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Most items of one page.")] = 100,
) -> Turn:
    return Turn(None if after is None else _read(after), limit)


def turn_of(cursor: str, limit: int) -> Turn:
    """The page behind a cursor; '' for the first. Raises Refused for what is no cursor."""
    return Turn(_read(cursor) if cursor else None, limit)


Turned = Annotated[Turn, Depends(_turn)]
"""Parameter of every route that answers a list."""


def _read(cursor: str) -> Key:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        key = msgspec.json.decode(raw, type=list[str | int | float])
    except (UnicodeError, binascii.Error, msgspec.DecodeError) as exc:
        raise foreign() from exc
    return tuple(key)


def foreign() -> Refused:
    """The refusal of a cursor that is none of the list."""
    return Refused(422, msgid("after: this is not the `next` of a page of this list. Begin with the first page."))


def _cursor(key: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).rstrip(b"=").decode("ascii")


def cut(things: Iterable[T], turn: Turn, key: Callable[[T], Key]) -> tuple[list[T], str | None]:
    """The page of things that are all at hand, in order of their key, and the cursor of the next.

    What comes or goes between two pages moves nothing else: a page begins behind the key of the last one.
    """
    keyed = sorted(((key(thing), n, thing) for n, thing in enumerate(things)), key=lambda each: each[:2])
    if turn.after is not None:
        try:
            keyed = [each for each in keyed if each[0] > turn.after]
        except TypeError as exc:  # a cursor of another list
            raise foreign() from exc
    part = keyed[: turn.limit]
    return [thing for _, _, thing in part], _cursor(part[-1][0]) if len(keyed) > turn.limit else None


def cut_ordered(things: Sequence[T], turn: Turn, key: Callable[[T], Key]) -> tuple[list[T], str | None]:
    """The same of things that are in that order already: only those about the place are looked at."""
    try:
        begin = 0 if turn.after is None else bisect_right(things, turn.after, key=key)
    except TypeError as exc:  # a cursor of another list
        raise foreign() from exc
    part = list(things[begin : begin + turn.limit])
    return part, _cursor(key(part[-1])) if begin + turn.limit < len(things) else None


class Paged(NamedTuple):
    """A page of a list that is all at hand. number: from 1; pages: how many there are; total: items of all of them."""

    items: list[Any]
    number: int
    pages: int
    total: int


def paged(things: Sequence[Any], number: int, size: int) -> Paged:
    """The page of this number; the last one where there are not so many."""
    pages = max(1, -(-len(things) // size))
    number = min(max(1, number), pages)
    return Paged(list(things[(number - 1) * size : number * size]), number, pages, len(things))


def newest(rows: list[T], turn: Turn) -> tuple[list[T], str | None]:
    """The page of rows read newest first with `before=turn.before, limit=turn.limit + 1`, and the next cursor."""
    part = rows[: turn.limit]
    last: Any = part[-1] if part else None
    number = last["id"] if isinstance(last, dict) else getattr(last, "id", 0)
    return part, _cursor((number,)) if len(rows) > turn.limit else None
