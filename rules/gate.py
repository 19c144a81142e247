"""Whether a reading can matter to a condition that does not hold: most cannot, and need no looking at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract.messages import Value
from rules.model import AllOf, AnyOf, Condition, State, Threshold

Gate = Callable[[Value], bool]


def gate_of(when: Condition, point: str | None) -> Gate | None:
    """Says of a good value of that point whether the condition, which does not hold, may come to hold by it.

    None: any value may. What it says no to leaves the condition as it is: not holding.
    """
    test = _test(when, point, top=True)
    return None if test is None or test is _any else test


def _any(_value: Value) -> bool:
    return True


def _test(when: Any, point: str | None, *, top: bool) -> Gate | None:
    """None: the point has no part in it."""
    if isinstance(when, AllOf | AnyOf):
        found = [_test(part, point, top=top and isinstance(when, AnyOf)) for part in when.of]
        tests = [test for test in found if test is not None]
        if not tests:
            return None
        if isinstance(when, AllOf):
            return lambda value: all(test(value) for test in tests)
        if not top and len(tests) < len(found):
            return _any  # a part elsewhere may hold already
        return lambda value: any(test(value) for test in tests)
    if getattr(when, "at_20c", None) == point and point is not None:
        return _any
    if getattr(when, "point", point) != point or not hasattr(when, "point"):
        # What looks at no point of its own may look at this one (a tally, a negation).
        return _any if when.kind in ("tally", "not") else None
    if isinstance(when, State):
        words = frozenset(when.equals)
        return lambda value: value in words
    if isinstance(when, Threshold) and when.at_20c is None:
        below, above = when.below, when.above
        if below is not None:
            return lambda value: value.__class__ is not float or float(value) < below
        assert above is not None
        return lambda value: value.__class__ is not float or float(value) > above
    return _any
