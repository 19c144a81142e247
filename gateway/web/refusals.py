"""What the gateway says when it refuses, in the reader's language.

The gateway speaks English with what, got, wanted and what to do (`gateway/commands_form.py`); the catalogue beside this
file has each of its sentences in Chinese. What the line doctor finds and what is wrong with a
site file is put into words the same way (`upkeep/findings.yaml`, `admin/site_faults.yaml`).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from gateway.web.texts import Language

FILE = Path(__file__).with_name("refusals.yaml")
FINDINGS = Path(__file__).parent / "upkeep" / "findings.yaml"
SITE_FAULTS = Path(__file__).parent / "admin" / "site_faults.yaml"
LONGEST = 600
"""Characters of a refusal that are looked at; longer ones hold what somebody sent."""
_BLANK = re.compile(r"\{(\d)\}")


class Refusal(NamedTuple):
    """A sentence of the gateway. pattern: matches it whole, with groups g1, g2 ... for what differs."""

    english: str
    pattern: re.Pattern[str]
    chinese: str


@cache
def catalogue(file: Path = FILE) -> tuple[Refusal, ...]:
    """Every sentence, the ones with most fixed letters first."""
    texts: dict[str, str] = yaml.safe_load(file.read_text("utf-8"))
    found = [Refusal(english, _pattern(english), chinese) for english, chinese in texts.items()]
    return tuple(sorted(found, key=lambda refusal: -len(_BLANK.sub("", refusal.english))))


def in_words(text: str, language: Language, file: Path = FILE) -> str | None:
    """The gateway's sentence as a reader of the language is told; None for a Chinese reader where none is known."""
    if language == "en":
        return text
    for refusal in catalogue(file):
        found = refusal.pattern.fullmatch(text[:LONGEST])
        if found is not None:
            parts = _BLANK.split(refusal.chinese)
            return "".join(found[f"g{part}"].strip("'") if at % 2 else part for at, part in enumerate(parts))
    return None


def _pattern(english: str) -> re.Pattern[str]:
    # Each blank once, lazily: time grows with the length of the text times the blanks, which are few and bounded.
    parts = _BLANK.split(english)
    body = "".join(f"(?P<g{part}>.*?)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    return re.compile(body, re.DOTALL)
