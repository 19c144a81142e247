"""What is remembered of a point for conditions, and a running count over many such points.

A tally asks how many points of its subject meet a condition. Asking each of 2,000 points of a panel at every reading of
one of them would take minutes in a flood. So each tally of each subject has a board: every trace tells the boards it is
on that it changed, and a board asks again about those points only.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from contract.messages import Reading
from rules.conditions_view import View
from rules.series import EntryKeep, Keep, Series

FIRST = 20
"""Points that are named, of those that count."""
_moment = itemgetter(0)


class Trace:
    """What a course has seen of a point: its latest reading at the gateway's time, and its series."""

    __slots__ = ("boards", "keeps", "last", "series")

    def __init__(self) -> None:
        self.keeps: frozenset[Keep] = frozenset()
        self.last: Reading | None = None
        self.series: Series | None = None
        self.boards: tuple[tuple[Board, str], ...] = ()
        """Who counts it, and as part of which `device/point`."""

    def add(self, reading: Reading, at_ms: int) -> None:
        """See a reading."""
        if self.series is not None:
            self.series.append(at_ms, reading.value, reading.quality)
        if self.last is None or at_ms >= self.last.observed_ms:
            same = reading.observed_ms == at_ms
            self.last = reading if same else Reading(reading.point, at_ms, reading.value, reading.quality)
        for board, point in self.boards:
            board.changed.add(point)

    def dump(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        last = self.last
        return {
            "last": None if last is None else [last.observed_ms, last.value, last.quality],
            "series": None if self.series is None else self.series.dump(),
        }

    def load(self, point: str, data: dict[str, Any]) -> None:
        """Go on from a dump."""
        if data.get("last") is not None:
            self.last = Reading(point, *data["last"])
        if data.get("series") is not None and self.series is not None:
            self.series.load(data["series"])
        for board, _ in self.boards:
            board.is_lost = True


class Counted(Protocol):
    """A condition on many points, each asked by itself."""

    @property
    def beside(self) -> str | None:
        """The other point of the same device that it also looks at."""

    @property
    def entry_keep(self) -> EntryKeep | None:
        """Which entries it counts; None: it counts those that meet it now."""

    @property
    def manual_counts(self) -> bool:
        """Whether it asks for manual call points."""

    def weigh(self, view: View, point: str) -> tuple[bool, bool] | None:
        """Whether that point meets the condition, and whether it does not; None: it was never heard."""


class Sum(NamedTuple):
    """What a board says.

    counted: points that count. first: the first of them, by time of entry where entries count, and by name. manual: a
    manual call point is among them. known: points of which it is known whether they meet the condition. maybe,
    maybe_manual: heard points that meet it or may; a manual call point among them.
    """

    counted: int
    first: list[str]
    manual: bool
    known: int
    maybe: int
    maybe_manual: bool


class Board:
    """How many points of a subject meet a condition, kept up to date from those that changed.

    What it says is a function of what the view says of the points now, whatever came before.
    """

    __slots__ = ("_codes", "_entered", "_entries", "_manual_entries", "_meeting", "_node", "_number", "attached",
                 "changed", "is_lost", "newest_ms")  # fmt: skip

    def __init__(self, node: Counted) -> None:
        self._node = node
        self.changed: set[str] = set()
        """Points to ask about again."""
        self.is_lost = True
        """All points are to be asked about."""
        self.attached = 0
        """Points of the subject, from the first on, whose traces tell it."""
        self.newest_ms = 0
        """The newest reading of all points whose entries count."""
        self._clear()

    def _clear(self) -> None:
        self._codes: dict[str, int] = {}
        # Of points that: may meet it, do, do not; and the same of manual call points.
        self._number = [0] * 6
        self._meeting: list[str] = []
        self._entered: dict[str, int] = {}
        self._entries: list[tuple[int, str]] = []
        self._manual_entries: list[int] = []
        self.newest_ms = 0

    def refresh(self, view: View) -> None:
        """Ask about what changed."""
        if self.is_lost:
            self._ask_all(view)
        else:
            for point in self.changed:
                self._ask(view, point)
        self.changed.clear()

    def _ask_all(self, view: View) -> None:
        self._clear()
        points = set(view.points())
        for point in points:
            code = self._code(view, point)
            if code is not None:
                self._codes[point] = code
                self._number[code] += 1
            entry_ms = self._entry_ms(view, point)
            if entry_ms is not None:
                self._entered[point] = entry_ms
        self._meeting = sorted(point for point, code in self._codes.items() if code % 3 == 1)
        self._entries = sorted((entry_ms, point) for point, entry_ms in self._entered.items())
        self._manual_entries = [entry_ms for entry_ms, point in self._entries if self._is_manual(view, point)]
        self.is_lost = False

    def _ask(self, view: View, point: str) -> None:
        before, code = self._codes.get(point), self._code(view, point)
        if code != before:
            if before is not None:
                self._number[before] -= 1
                if before % 3 == 1:
                    _take_out(self._meeting, point)
            if code is None:
                del self._codes[point]
            else:
                self._codes[point] = code
                self._number[code] += 1
                if code % 3 == 1:
                    insort(self._meeting, point)
        entered, entry_ms = self._entered.get(point), self._entry_ms(view, point)
        if entry_ms != entered:
            is_manual = self._is_manual(view, point)
            if entered is not None:
                del self._entered[point]
                _take_out(self._entries, (entered, point))
                if is_manual:
                    _take_out(self._manual_entries, entered)
            if entry_ms is not None:
                self._entered[point] = entry_ms
                insort(self._entries, (entry_ms, point))
                if is_manual:
                    insort(self._manual_entries, entry_ms)

    def _code(self, view: View, point: str) -> int | None:
        weighed = self._node.weigh(view, point)
        if weighed is None:
            return None
        met, not_met = weighed
        return (1 if met else 2 if not_met else 0) + 3 * self._is_manual(view, point)

    def _is_manual(self, view: View, point: str) -> bool:
        return self._node.manual_counts and view.is_manual(point)

    def _entry_ms(self, view: View, point: str) -> int | None:
        keep = self._node.entry_keep
        series = None if keep is None else view.series(point)
        track = None if series is None or keep is None else series.entries(keep)
        if series is None or track is None:
            return None
        self.newest_ms = max(self.newest_ms, series.newest_ms)
        return track.last_entry_ms

    def meeting(self) -> Sum:
        """Of the points that meet it now."""
        return self._sum(len(self._meeting), self._meeting[:FIRST], self._number[4] > 0)

    def entered(self, after_ms: int) -> Sum:
        """Of the points whose last entry was after that moment."""
        begin = bisect_right(self._entries, after_ms, key=_moment)
        first = [point for _, point in self._entries[begin : begin + FIRST]]
        manual_ms = self.manual_entry_ms
        return self._sum(len(self._entries) - begin, first, manual_ms is not None and manual_ms > after_ms)

    def _sum(self, counted: int, first: list[str], manual: bool) -> Sum:
        maybe, met, not_met, maybe_manual, met_manual, not_met_manual = self._number
        return Sum(
            counted=counted,
            first=first,
            manual=manual,
            known=met + not_met + met_manual + not_met_manual,
            maybe=maybe + met + maybe_manual + met_manual,
            maybe_manual=maybe_manual + met_manual > 0,
        )

    def entry_ms(self, number: int) -> int:
        """When that entry was, counted from the last one: 1."""
        return self._entries[-number][0]

    @property
    def manual_entry_ms(self) -> int | None:
        """The last entry of a manual call point."""
        return self._manual_entries[-1] if self._manual_entries else None


def _take_out(ordered: list[Any], item: Any) -> None:
    del ordered[bisect_left(ordered, item)]


def board_of(view: View, node: Counted) -> Board:
    """The board of that condition, up to date: kept by the view, or made anew of a view that keeps none."""
    kept = getattr(view, "board", None)
    board: Board = Board(node) if kept is None else kept(node)
    board.refresh(view)
    return board


def attach(board: Board, trace: Trace | None, point: str) -> None:
    """Let the trace tell the board, as part of that `device/point`."""
    if trace is not None and (board, point) not in trace.boards:
        trace.boards += ((board, point),)
    board.changed.add(point)


def detach(boards: Iterable[Board], traces: Iterable[Trace]) -> None:
    """Let the traces tell these boards no more."""
    gone = set(boards)
    for trace in traces:
        if trace.boards:
            trace.boards = tuple(row for row in trace.boards if row[0] not in gone)
