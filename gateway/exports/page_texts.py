"""What the pages of a PDF show, compared with what its content says, whoever drew them: every text, in its order.

Where a text stands and how it is broken into lines is the business of the layout; that it is there is not. What stands
on the pages beside it (page heads, numbers of pages, axes of charts) is not judged. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.exports.document import Cell, Header, Spool

MOST_SHOWN = 600
"""Characters of one cell that are printed; the whole text is in the attached content."""
_WRITTEN_OUT = re.compile(r"\[U\+([0-9A-F]{4,6})\]")


class Drawing(NamedTuple):
    """Pages that were not drawn anew, because another version drew them. version: which, '' when the file does not say.

    texts: how many the content has; absent: how many of them the pages do not show; first: the first of those.
    """

    version: str
    texts: int
    absent: int
    first: str


def compare(spool: Spool, pages: Iterable[str], code: str) -> Drawing:
    """Look for every text of the content on the pages. Raises BadExport for a content that is none."""
    printed = _plain("".join(pages))
    header = spool.header()
    texts = absent = at = 0
    first = ""
    for text in _texts(spool, header, code):
        wanted = _plain(text[:MOST_SHOWN])
        if not wanted:
            continue
        texts += 1
        found = printed.find(wanted, at)
        if found >= 0:
            at = found + len(wanted)
        elif wanted not in printed:  # another layout may have another order
            absent += 1
            first = first or text[:80]
    return Drawing(header.drawn, texts, absent, first)


def _texts(spool: Spool, header: Header, code: str) -> Iterator[str]:
    yield header.title
    for _, value in header.facts:
        yield value
    yield from (header.made, header.head, code, *header.notes)
    for head, rows in spool.tables():
        yield head.table
        if head.chart is not None:
            continue  # drawn as lines
        for count, row in enumerate(rows):
            if not count:  # an empty table needs no heads
                yield from (title for title, _ in head.columns)
            yield from (_shown(cell) for cell in row)


def _shown(cell: Cell) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else repr(cell)


def _plain(text: str) -> str:
    """Without spaces and ends of lines; what a font had no shape for is what it was."""
    whole = "".join(text.split())
    return _WRITTEN_OUT.sub(lambda found: chr(int(found[1], 16)) if int(found[1], 16) < 0x110000 else "", whole)
