"""Answers an RTU unit still owes, and when its next answer may be believed. Pure; times are monotonic seconds.

Modbus RTU has no transaction id: an answer that comes after its timeout looks exactly like the answer to the next
request of the same length. So the length serves as one. After a request that stayed unanswered

1. no request of that length goes to the unit until `horizon_s` has passed, whatever order it answers in;
2. then it is first asked for fewer registers, a length it owes no answer of: a unit works one request after the
   other, so that answer shows that everything older has been answered or lost, however late it was;
3. where every shorter length is owed too, the first answer is thrown away and the line listens.
"""

from __future__ import annotations

KEPT_S = 120.0
"""An answer that has not come after this long does not come any more: no unit, converter or serial server keeps it."""


class OwedAnswers:
    """What the units of one line owe.

    Args:
        horizon_s: within this time after a request an answer may come in any order.
    """

    __slots__ = ("_horizon_s", "_owed")

    def __init__(self, horizon_s: float) -> None:
        self._horizon_s = horizon_s
        self._owed: dict[int, dict[tuple[int, int], float]] = {}

    def add(self, unit: int, function: int, size: int, asked_s: float) -> None:
        """This request was not answered."""
        self._owed.setdefault(unit, {})[_key(function, size)] = asked_s

    def settle(self, unit: int) -> None:
        """Everything the unit was asked before has been answered or lost."""
        self._owed.pop(unit, None)

    def any(self, unit: int, now_s: float) -> bool:
        """Whether an older answer of this unit may still come."""
        owed = self._owed.get(unit)
        if owed is None:
            return False
        for key in [key for key, asked_s in owed.items() if now_s - asked_s > KEPT_S]:
            del owed[key]
        if not owed:
            del self._owed[unit]
        return bool(owed)

    def ready_s(self, unit: int) -> float:
        """When the unit may be asked again at the earliest."""
        owed = self._owed.get(unit)
        return max(owed.values()) + self._horizon_s if owed else 0.0

    def oldest_s(self, unit: int) -> float:
        """When the oldest unanswered request was sent."""
        return min(self._owed[unit].values())

    def telling_size(self, unit: int, function: int, size: int) -> int | None:
        """How many registers to ask for so that the answer can be told from every owed one; None: there is no way."""
        owed = self._owed.get(unit, {})
        sizes = [size, *range(1, size)] if function in (3, 4) else [size, *range(1, size, 8)]
        return next((each for each in sizes if _key(function, each) not in owed), None)


def _key(function: int, size: int) -> tuple[int, int]:
    """What an answer shows of its request: the function and the length (of bits only whole bytes)."""
    return function, (size + 7) // 8 if function in (1, 2) else size
