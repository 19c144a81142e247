"""Quality of a value: a word, with a cause after a colon where there is one.

    good               measured, in range
    uncertain:stale    a value, but not one to lean on (any cause)
    bad:out_of_range   the device answered with something that is no measurement
    test               produced on purpose (walk test, drill): never counts as a real state
    unknown:no_answer  nothing was measured; the cause names the node of the path that failed

Only `good` may ever count as ready; `unknown` is never shown or judged as normal.
"""

from __future__ import annotations

import re

GOOD = "good"
TEST = "test"
_FORM = re.compile(r"good|test|(uncertain|bad|unknown):[a-z0-9_/-]{1,48}")


def bad(cause: str) -> str:
    """Quality of an answer that is no measurement, e.g. `bad("out_of_range")`."""
    return f"bad:{cause}"


def unknown(cause: str) -> str:
    """Quality of a point that could not be measured, e.g. `unknown("no_answer")`."""
    return f"unknown:{cause}"


def uncertain(cause: str) -> str:
    """Quality of a value that may be off, e.g. `uncertain("clock")`."""
    return f"uncertain:{cause}"


def kind(quality: str) -> str:
    """The word before the colon: good, uncertain, bad, test or unknown."""
    return quality.partition(":")[0]


def is_valid(quality: str) -> bool:
    """Whether the text has one of the forms above."""
    return quality == GOOD or _FORM.fullmatch(quality) is not None
