"""The values of the last `window_ms` of one point, and figures made of them.

A value holds from its time until the next one; a reading that is not known ends it and begins a hole. At a moment `at`
the window is (at - window_ms, at]; a value is in it when it held at any instant of it, the one that held when the
window began included.

Cost: O(1) a value in order, on the average; O(log n) a question; O(n) a late value. The extremes come from two
monotone stacks, the mean from running sums in whole numbers (millionths of the unit times ms), so that neither drifts
and a track restored from a dump answers the same to the last bit.

Memory: exact up to `MOST` values in a window, 16 bytes each (60 more where a mean is wanted). Beyond that neighbours
are joined as long as they span at most a `GRAINS`-th of the window together: their extremes, sum and number are kept,
and what is lost is only where the window begins, by at most that span (0.2 % of it).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

QUANTUM = 1_000_000
"""Means are made of millionths of the unit, as whole numbers."""
MOST = 2048
"""Values of a window that are kept as they are."""
GRAINS = 512
_HOLE = math.nan
_CUT = 64
_ANY = (-math.inf, math.inf)
_MARGIN = 2 / QUANTUM
"""Means are rounded to millionths: what is nearer to a limit than this is worked out."""


class Look(NamedTuple):
    """A window at one moment.

    at_ms: the moment: as asked, or the newest value's time where that is later. first: index of the value that held
    when the window began. latest: None in a hole. seen: values in the window. covered: no hole in it, and it begins
    no earlier than the values do. covered_ms: when it will be covered if no hole comes; None while in a hole.
    """

    at_ms: int
    first: int
    latest: float | None
    seen: int
    covered: bool
    covered_ms: int | None


class Bounds(NamedTuple):
    """Values within `limits` (lowest, highest) that come from `from_ms` on, and before `until_ms` (None: ever after),
    keep a figure of the window on its side of a limit."""

    limits: tuple[float, float]
    from_ms: int
    until_ms: int | None


class WindowTrack:
    """See the module."""

    __slots__ = (
        "_area",
        "_at",
        "_head",
        "_high",
        "_highs",
        "_low",
        "_lows",
        "_number",
        "_run_ms",
        "_value",
        "_window_ms",
    )

    def __init__(self, window_ms: int, mean: bool) -> None:
        self._window_ms = window_ms
        self._area: list[int] | None = [] if mean else None
        self._clear()

    def _clear(self) -> None:
        self._head = 0
        """Index of the first value that still matters; those before it are cut off in one go now and then."""
        self._at = array("q")
        self._value = array("d")
        # One and the same as the values until neighbours were joined; the numbers of values likewise.
        self._low = self._high = self._value
        self._number: array[int] | None = None
        self._lows: list[int] = []
        self._highs: list[int] = []
        self._run_ms: int | None = None
        """Where the unbroken run of known values up to now began; None in a hole."""
        if self._area is not None:
            self._area = []

    # --- remembering ---------------------------------------------------------------------------------------------

    def append(self, at_ms: int, value: float | None) -> None:
        """Remember a value; None and what is no finite number begin a hole."""
        number = value if value is not None and math.isfinite(value) else _HOLE
        if self._at and at_ms < self._at[-1]:
            self._place(at_ms, number)
            return
        self._push(at_ms, number, number, number, 1)
        at, head = self._at, self._head
        if len(at) > head + 1 and at[head + 1] <= at_ms - self._window_ms:
            self._trim()
        if len(at) - self._head > MOST:
            self._join()

    def _push(self, at_ms: int, value: float, low: float, high: float, number: int) -> None:
        index = len(self._at)
        if self._area is not None:
            self._area.append(self._area_until(at_ms) if index else 0)
        self._at.append(at_ms)
        self._value.append(value)
        if self._low is not self._value:
            self._low.append(low)
            self._high.append(high)
        if self._number is not None:
            self._number.append(number)
        if low == low:  # it is a number
            stack, column = self._lows, self._low
            while stack and column[stack[-1]] >= low:
                stack.pop()
            stack.append(index)
            stack, column = self._highs, self._high
            while stack and column[stack[-1]] <= high:
                stack.pop()
            stack.append(index)
        if value != value:
            self._run_ms = None
        elif self._run_ms is None:
            self._run_ms = at_ms

    def _trim(self) -> None:
        """Let go of what ended before a window that ends now."""
        at, head = self._at, self._head
        begin = at[-1] - self._window_ms
        while head + 1 < len(at) and at[head + 1] <= begin:
            head += 1
        self._head = head
        if head > _CUT and head * 2 > len(at):
            for column in {id(c): c for c in (at, self._value, self._low, self._high)}.values():
                del column[:head]
            for more in (self._number, self._area):
                if more is not None:
                    del more[:head]
            self._lows = [i - head for i in self._lows if i >= head]
            self._highs = [i - head for i in self._highs if i >= head]
            self._head = 0

    def _place(self, at_ms: int, value: float) -> None:
        """Put a late value where it belongs; one that ended before the window is left out."""
        rows = self._rows()
        place = bisect_right(rows, at_ms, key=lambda row: row[0])
        if place == 0 and rows[0][0] <= self._at[-1] - self._window_ms:
            return
        rows.insert(place, (at_ms, value, value, value, 1))
        self._fill(rows)
        self._trim()

    def _join(self) -> None:
        """Join neighbours that are close together; the newest value stays as it is."""
        *rows, newest = self._rows()
        grain = self._window_ms // GRAINS
        joined: list[tuple[int, float, float, float, int]] = []
        for row, end_ms in zip(rows, [*(r[0] for r in rows[1:]), newest[0]], strict=True):
            if joined and end_ms - joined[-1][0] <= grain:
                joined[-1] = _merge(joined[-1], row, end_ms)
            else:
                joined.append(row)
        self._fill([*joined, newest])

    def _rows(self) -> list[tuple[int, float, float, float, int]]:
        span = range(self._head, len(self._at))
        count = self._number
        return [(self._at[i], self._value[i], self._low[i], self._high[i], count[i] if count else 1) for i in span]

    def _fill(self, rows: Sequence[tuple[int, float, float, float, int]]) -> None:
        self._clear()
        if any(row[4] != 1 for row in rows):
            self._low, self._high, self._number = array("d"), array("d"), array("q")
        for row in rows:
            self._push(*row)

    # --- asking --------------------------------------------------------------------------------------------------

    def look(self, at_ms: int, samples: int) -> Look | None:
        """The window that ends at that moment; None while there are no values.

        Args:
            samples: values it wants before it counts as covered.
        """
        if not self._at:
            return None
        at_ms = max(at_ms, self._at[-1])
        begin = at_ms - self._window_ms
        first = self._index(begin)
        latest = self._value[-1]
        seen = len(self._at) - first if self._number is None else sum(self._number[first:])
        run_ms = self._run_ms
        covered = run_ms is not None and run_ms <= begin and seen >= samples
        covered_ms = None if run_ms is None else run_ms + self._window_ms
        return Look(at_ms, first, None if math.isnan(latest) else latest, seen, covered, covered_ms)

    def lowest(self, look: Look) -> tuple[float, int | None] | None:
        """The least value in the window and the moment it leaves it (None: it holds still); None in a mere hole."""
        return self._extreme(self._lows, self._low, look)

    def highest(self, look: Look) -> tuple[float, int | None] | None:
        """The greatest one likewise."""
        return self._extreme(self._highs, self._high, look)

    def _extreme(self, stack: list[int], column: array[float], look: Look) -> tuple[float, int | None] | None:
        place = bisect_left(stack, look.first)
        if place == len(stack):
            return None
        index = stack[place]
        leaves = self._at[index + 1] + self._window_ms if index + 1 < len(self._at) else None
        return column[index], leaves

    def fewer_ms(self, look: Look, samples: int) -> int | None:
        """When fewer than `samples` values will be in the window if none come; None: never, or it is so already."""
        if look.seen < samples:
            return None
        seen, index = look.seen, look.first
        if self._number is None:
            index += seen - samples + 1
        else:
            while seen >= samples:
                seen -= self._number[index]
                index += 1
        return self._at[index] + self._window_ms if index < len(self._at) else None

    def area(self, look: Look) -> int:
        """Integral over a covered window: millionths of the unit times ms; divided by the window it is the mean."""
        return self._area_until(look.at_ms) - self._area_at(look.at_ms - self._window_ms, look.first)

    def area_reaches(self, look: Look, levels: Sequence[int]) -> int | None:
        """When the integral over the window may pass one of the levels if no value comes; None: it never does.

        Passing: it is below, at or above the level at that moment and was not before. Exact while the value that
        leaves the window stays the same; beyond that a moment before which nothing can happen.
        """
        area, latest = self.area(look), _quanta(self._value[-1])
        slope = latest - _quanta(self._value[look.first])
        if look.first + 1 == len(self._at):
            return None  # one value holds throughout
        room = self._at[look.first + 1] + self._window_ms - look.at_ms  # until the next value begins to leave
        exact = room
        for level in levels:
            gap = level - area
            if slope and gap * slope >= 0:
                exact = min(exact, max(-(-abs(gap) // abs(slope)), 1))
        low, high = self.lowest(look), self.highest(look)
        assert low is not None, "the window is covered"
        assert high is not None, "the window is covered"
        steepest = max(abs(latest - _quanta(low[0])), abs(latest - _quanta(high[0])))
        if steepest == 0:
            return None
        nearest = min(abs(level - area) for level in levels)
        again_ms = look.at_ms + max(exact, nearest // steepest)
        # Once the newest value holds throughout, the mean stays what it is.
        return again_ms if again_ms <= self._at[-1] + self._window_ms else None

    def calm(self, at_ms: int, of: str, below: float | None, above: float | None) -> Bounds | None:
        """What keeps that figure from lying beyond the limit: for `below` at or above it, for `above` at or below it.

        None: it may lie beyond it already, or this figure cannot be kept there by bounds. The mean is kept by the
        extremes: it lies between them.
        """
        look = self.look(at_ms, 0)
        low, high = (None, None) if look is None else (self.lowest(look), self.highest(look))
        if look is None or look.latest is None or low is None or high is None:
            return None
        lowest, highest = low[0], high[0]
        if above is not None:
            if of == "min":
                if look.latest <= above:  # it holds until another comes: no time passes it, however long
                    return Bounds((-math.inf, above), look.at_ms, None)
                return self._until_last(look, self._lows, lambda index: self._low[index], above)
            if of in ("max", "mean"):
                most = above if of == "max" else above - _MARGIN
                return Bounds((-math.inf, most), look.at_ms, None) if highest <= most else None
            return _span(look, of, lowest, highest, above)
        assert below is not None, "the model has one of the two"
        if of == "max":
            if look.latest >= below:
                return Bounds((below, math.inf), look.at_ms, None)
            return self._until_last(look, self._highs, lambda index: -self._high[index], -below)
        if of in ("min", "mean"):
            least = below if of == "min" else below + _MARGIN
            return Bounds((least, math.inf), look.at_ms, None) if lowest >= least else None
        if of == "range" and highest - lowest >= below:
            leave_ms = [look.at_ms + self._window_ms if ms is None else ms for _, ms in (low, high)]
            return Bounds(_ANY, look.at_ms, min(leave_ms))
        return None

    def _until_last(self, look: Look, stack: list[int], level: Callable[[int], float], most: float) -> Bounds | None:
        """Until the last of the values at or below that level leaves the window; the newest is none of them.

        Levels ascend along the stack.
        """
        place = bisect_right(stack, most, bisect_left(stack, look.first), key=level) - 1
        if place < 0 or stack[place] < look.first:
            return None
        return Bounds(_ANY, look.at_ms, self._at[stack[place] + 1] + self._window_ms)

    def _index(self, at_ms: int) -> int:
        """The value that held at that moment; the first one when it is earlier."""
        return max(bisect_right(self._at, at_ms, self._head) - 1, self._head)

    def _area_until(self, at_ms: int) -> int:
        return self._area_at(at_ms, len(self._at) - 1)

    def _area_at(self, at_ms: int, index: int) -> int:
        assert self._area is not None, "kept with mean"
        value = self._value[index]
        return self._area[index] + (0 if math.isnan(value) else _quanta(value) * (at_ms - self._at[index]))

    # --- keeping -------------------------------------------------------------------------------------------------

    def dump(self) -> list[Any]:
        """All of it as JSON can hold it: [time, value] each, [time, value, low, high, number] for joined ones."""
        return [
            [row[0], _plain(row[1])] if row[4] == 1 else [row[0], *map(_plain, row[1:4]), row[4]]
            for row in self._rows()
        ]

    def load(self, data: list[Any]) -> None:
        """Go on from a dump."""
        rows = []
        for at_ms, *rest in data:
            value, low, high, number = rest if len(rest) == 4 else (rest[0], rest[0], rest[0], 1)
            rows.append((at_ms, _number(value), _number(low), _number(high), number))
        self._fill(rows)


def _span(look: Look, of: str, lowest: float, highest: float, most: float) -> Bounds | None:
    """The widest even bounds in which no rise, fall or range of more than `most` can come about."""
    assert look.latest is not None, "asked only then"
    apart = {"rise": look.latest - lowest, "fall": highest - look.latest}.get(of, highest - lowest)
    room = (most - apart) / 2
    if room < 0:
        return None
    if of == "rise":
        low, high = lowest - room, lowest - room + most
    else:
        low, high = highest + room - most, highest + room
    # A difference of floats rises with its parts: where this one is not too much, no other within the bounds is.
    sound = high - low <= most and (of == "fall" or low <= lowest) and (of == "rise" or highest <= high)
    return Bounds((low, high), look.at_ms, None) if sound and low <= look.latest <= high else None


def _merge(
    one: tuple[int, float, float, float, int], other: tuple[int, float, float, float, int], end_ms: int
) -> tuple[int, float, float, float, int]:
    """Two neighbours as one value that has their mean; a hole in one makes a hole of both, with the extremes kept."""
    begin, middle = one[0], other[0]
    value = other[1]
    if math.isnan(one[1]) or math.isnan(other[1]):
        value = _HOLE
    elif end_ms > begin:
        value = (one[1] * (middle - begin) + other[1] * (end_ms - middle)) / (end_ms - begin)
    lows = [low for low in (one[2], other[2]) if not math.isnan(low)]
    highs = [high for high in (one[3], other[3]) if not math.isnan(high)]
    return begin, value, min(lows, default=_HOLE), max(highs, default=_HOLE), one[4] + other[4]


def _quanta(value: float) -> int:
    return round(value * QUANTUM)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return _HOLE if value is None else float(value)
