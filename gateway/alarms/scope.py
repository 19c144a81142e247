"""What a drill or a maintenance window covers: patterns of devices and points."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

_PATTERN = re.compile(r"[a-z0-9_*-]{1,48}(/[a-z0-9_*-]{1,48})?")
MOST_PATTERNS = 200


def is_pattern(text: str) -> bool:
    """Whether the text is `device`, `device/point` or `*`, with `*` for any characters."""
    return _PATTERN.fullmatch(text) is not None


def covers(scope: Iterable[str], subject: str) -> bool:
    """Whether a subject without its site (`device`, `device/point`, an agent's or group's name) lies in the scope.

    A pattern without `/` covers the device and all its points; one with `/` only points.
    """
    name, _, point = subject.partition("/")
    for pattern in scope:
        wanted, with_point, of_point = pattern.partition("/")
        if not fnmatch.fnmatchcase(name, wanted):
            continue
        if not with_point or (point and fnmatch.fnmatchcase(point, of_point)):
            return True
    return False
