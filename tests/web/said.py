"""What a page says: every text a reader can come to see or hear, with the place it stands in."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

SPOKEN = ("title", "aria-label", "placeholder", "alt", "data-confirm")
"""Attributes that are read."""
SILENT = frozenset({"script", "style", "template"})
AS_IT_IS = frozenset({"code", "pre", "kbd", "samp", "bdi"})
"""Elements whose text is the same in every language: what a machine reads, and names people gave."""
VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "path", "use", "wbr", "circle", "rect"})


class Said(NamedTuple):
    """A text, the elements around it, outermost first, as `tag.class`, and the language it is marked as."""

    text: str
    where: str
    language: str


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[Said] = []
        self._open: list[tuple[str, str, bool, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        names = (given.get("class") or "").split()
        same = tag in AS_IT_IS or "mono" in names or given.get("translate") == "no"
        if not self._is_same() and not same:
            self._say(*(given[name] for name in SPOKEN if given.get(name)), label=tag)
        if tag not in VOID:
            self._open.append((tag, ".".join([tag, *names[:2]]), same, given.get("lang") or self._language()))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        at = next((n for n in range(len(self._open) - 1, -1, -1) if self._open[n][0] == tag), None)
        if at is not None:
            del self._open[at:]

    def handle_data(self, data: str) -> None:
        if not self._is_same() and not any(tag in SILENT for tag, *_ in self._open):
            self._say(data)

    def _is_same(self) -> bool:
        return any(same for _, _, same, _ in self._open)

    def _language(self) -> str:
        return self._open[-1][3] if self._open else ""

    def _say(self, *texts: str, label: str = "") -> None:
        where = " ".join([*(name for _, name, *_ in self._open[-3:]), *([f"[{label}]"] if label else [])])
        self.said += [Said(" ".join(text.split()), where, self._language()) for text in texts if text.strip()]


def said_by(html: str) -> list[Said]:
    """Every text of a page, in its order; a folded part counts, code and what is marked `translate=no` does not."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.said


ENGLISH = re.compile(r"[A-Za-z][A-Za-z'’-]*(?:,? [A-Za-z][A-Za-z'’-]*){2,}")
"""Three words or more, one after the other."""
CHINESE = re.compile(r"[\u3400-\u9fff]")
COMMAND = re.compile(r"`[^`]*`")
"""What is typed at a machine, inside a text."""


def foreign(text: str, language: str) -> str:
    """The first stretch of a text that is in the other language; '' without one."""
    found = (CHINESE if language == "en" else ENGLISH).search(COMMAND.sub("", text))
    return found[0] if found else ""
