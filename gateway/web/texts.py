"""Texts in the reader's language, and times, ages and numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from babel.messages.pofile import read_po

from contract import quality as q
from contract.messages import Value
from contract.profile import Point
from contract.units import unit_of

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, Language] = ("zh", "en")
LOCALE = Path(__file__).parent / "locale"
_EXACT = Context(prec=350)
"""Any float, however large."""


def load_catalogues(folder: Path = LOCALE) -> dict[Language, dict[str, str]]:
    """msgid -> text for each language, from the .po files: messages.po, and one for each register's pages."""
    found: dict[Language, dict[str, str]] = {}
    for language in LANGUAGES:
        texts = found[language] = {}
        for path in sorted((folder / language / "LC_MESSAGES").glob("*.po")):
            with path.open("rb") as file:
                catalogue = read_po(file, locale=language)
            texts.update({str(m.id): str(m.string) for m in catalogue if m.id and m.string})
    return found


def msgid(text: str) -> str:
    """Marks a text that is translated where it is shown, so that the catalogues are checked for it."""
    return text


class Texts:
    """One reader's language and time zone. Methods give plain text; the templates escape it."""

    def __init__(self, language: Language, catalogue: Mapping[str, str], zone: ZoneInfo) -> None:
        self.language = language
        self._catalogue = catalogue
        self._zone = zone

    def __call__(self, msgid: str, /, **values: Any) -> str:
        """The text of a msgid, with %(name)s filled in."""
        text = self._catalogue.get(msgid, msgid)
        return text % values if values else text

    def clock(self, at_ms: int, *, seconds: bool = True) -> str:
        """Time of day."""
        return self._at(at_ms).strftime("%H:%M:%S" if seconds else "%H:%M")

    def stamp(self, at_ms: int) -> str:
        """Date and time, in the shown time zone."""
        return _stamp(at_ms // 1000, self._zone)

    def when(self, at_ms: int, now_ms: int) -> str:
        """Time of day, with the date unless it is today's."""
        at = self._at(at_ms)
        return at.strftime("%H:%M" if at.date() == self._at(now_ms).date() else "%Y-%m-%d %H:%M")

    def local(self, at_ms: int) -> str:
        """As a field for date and time wants it."""
        return self._at(at_ms).strftime("%Y-%m-%dT%H:%M")

    def day(self, at_ms: int) -> str:
        """Date."""
        return self._at(at_ms).strftime("%Y-%m-%d")

    def iso(self, at_ms: int) -> str:
        """For the datetime attribute: UTC."""
        return _iso(at_ms // 1000)

    def ago(self, at_ms: int, now_ms: int) -> str:
        """How long ago, in one unit. The page's script keeps it current with the same steps and words."""
        seconds = max(0, (now_ms - at_ms) // 1000)
        if seconds < 3:
            return self("just now")
        for limit, size, msgid in (
            (60, 1, "%(n)s s ago"),
            (3600, 60, "%(n)s min ago"),
            (86400, 3600, "%(n)s h ago"),
        ):
            if seconds < limit:
                return self(msgid, n=seconds // size)
        return self("%(n)s d ago", n=seconds // 86400)

    def lasted(self, duration_ms: int) -> str:
        """A duration as a running clock: 04:09, 1:02:33, or days and hours."""
        seconds = max(0, duration_ms // 1000)
        if seconds >= 86400:
            return self("%(d)s d %(h)s h", d=seconds // 86400, h=seconds % 86400 // 3600)
        hours, rest = divmod(seconds, 3600)
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"

    def value(self, point: Point | None, value: Value) -> str:
        """A value without its unit; a dash when there is none."""
        if value is None:
            return "—"
        if isinstance(value, bool):
            return self("yes") if value else self("no")
        if isinstance(value, str):
            return value if point is not None and point.text else self.word("state", value)
        places = decimals(point) if point is not None else 2
        # Halves go up, as the page's script rounds: a number does not change when its page is drawn anew.
        text = str(Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _EXACT))
        return text.rstrip("0").rstrip(".") if point is None and "." in text else text

    def quality(self, quality: str) -> str:
        """Why a value is not to be leaned on; empty for good."""
        if quality == q.GOOD:
            return ""
        kind, _, cause = quality.partition(":")
        head = self.word("quality", kind)
        return head if not cause else self("%(quality)s: %(cause)s", quality=head, cause=self.word("cause", cause))

    def word(self, family: str, word: str) -> str:
        """A code word of the contract (state, quality, cause, severity...) for people; itself when it is new to us."""
        return self._catalogue.get(f"{family}.{word}", word)

    def who(self, actor: str | None) -> str:
        """Who did something, for people: the name they sign in with, or a word for the system's own; '' for nobody."""
        number = (actor or "").removeprefix("person/")
        if number != actor and number.isdigit():
            return self("person %(n)s", n=number)
        return self.word("audit_actor", actor) if actor else ""

    def family(self, family: str) -> dict[str, str]:
        """All known words of a family, for the page's script."""
        head = family + "."
        return {key[len(head) :]: text for key, text in self._catalogue.items() if key.startswith(head)}

    def left(self, left_ms: int) -> str:
        """Time that is left, 4:09; zero only when it is over."""
        seconds = max(0, -(-left_ms // 1000))
        return f"{seconds // 60:02d}:{seconds % 60:02d}"

    def _at(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, self._zone)


@lru_cache(4096)  # a page says the same seconds again and again
def _stamp(at_s: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_s, zone).strftime("%Y-%m-%d %H:%M:%S")


@lru_cache(4096)
def _iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decimals(point: Point) -> int:
    """Decimals worth showing: those the device resolves."""
    if not point.is_number:
        return 0
    unit = unit_of(point.name)
    if unit is not None and unit.suffix == "kpa":
        # A tenth of a kPa is noise on a gauge that swings by whole ones; three digits are what an eye takes in.
        return 1 if point.scale < 1 or point.device_unit is not None else 0
    if point.device_unit is not None:
        return 2
    return min(2, max(0, -math.floor(math.log10(point.scale)))) if point.scale < 1 else 0


def choose_language(cookie: str | None, accept: str | None, default: Language) -> Language:
    """The language a reader chose, else the first of Accept-Language that we have, else the default."""
    if cookie in LANGUAGES:
        return cookie
    for part in (accept or "")[:500].split(","):
        tag = part.partition(";")[0].strip().lower().partition("-")[0]
        if tag in LANGUAGES:
            return tag
    return default
