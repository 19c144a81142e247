"""Simple paths into a JSON document: `data.sensors[0].value`. Pure; no wildcards, no filters, nothing is evaluated.

path  = name { "." name | "[" number "]" }
name  = one or more characters except . [ ] and white space
"""

from __future__ import annotations

import re
from typing import Any, Final

MOST_TEXT = 200
MOST_STEPS = 12
MOST_INDEX = 9999
_STEP = re.compile(r"\.?([^.\[\]\s]+)|\[(\d{1,4})\]")


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""What `find` gives when the document has nothing at the path; JSON null is None."""


def parse_path(text: str) -> tuple[str | int, ...]:
    """The steps of a path: text for a key, a number for a place in a list.

    Raises:
        ValueError: the text is no such path; says where it goes wrong.
    """
    steps: list[str | int] = []
    at = 0
    if len(text) > MOST_TEXT:
        raise ValueError(f"path: got {len(text)} characters, want at most {MOST_TEXT}.")
    while at < len(text):
        match = _STEP.match(text, at)
        # The first step has no dot before it; every later name has.
        if match is None or (match[1] is not None and (text[at] == ".") != bool(steps)):
            raise ValueError(f"path: got {text!r}, wrong at character {at + 1}, want names and numbers like a.b[0].c.")
        steps.append(match[1] if match[1] is not None else int(match[2]))
        at = match.end()
    if not steps or len(steps) > MOST_STEPS:
        raise ValueError(f"path: got {len(steps)} steps in {text!r}, want 1 to {MOST_STEPS}.")
    return tuple(steps)


def find(document: Any, steps: tuple[str | int, ...]) -> Any:
    """What stands at the path: any JSON value, None for null, ABSENT when there is nothing."""
    for step in steps:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return ABSENT
            document = document[step]
        else:
            if not isinstance(document, dict) or step not in document:
                return ABSENT
            document = document[step]
    return document
