"""What was walked of what was due: the windows of a plan over a span, and what became of each. Pure.

Counted from the rows alone: plans as they were in force, rounds as they ended.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from gateway.work import routes
from gateway.work.plans import Almanac, PlanRow, Window, reach_ms
from gateway.work.routes import Round
from gateway.work.training import Training

SlotState = Literal["complete", "late", "running", "implausible", "partial", "refused", "missed", "due"]
_BY_STATE: dict[str, SlotState] = {
    routes.RUNNING: "running",
    routes.IMPLAUSIBLE: "implausible",
    routes.PARTIAL: "partial",
    routes.REFUSED: "refused",
}
_RANK: tuple[SlotState, ...] = ("complete", "late", "running", "implausible", "partial", "refused")


class Did(NamedTuple):
    """Something that may count for a window: begun, ended (None: not yet), state of a round."""

    from_ms: int
    until_ms: int | None
    state: str
    id: int


class Slot(NamedTuple):
    """A window and what became of it. id: the round (or training) that made it so."""

    window: Window
    state: SlotState
    id: int | None


class Completion(NamedTuple):
    """Counts of a plan over a span. due: windows over, those still open do not count."""

    due: int
    complete: int
    late: int
    partial: int
    implausible: int
    refused: int
    missed: int

    @property
    def done(self) -> int:
        """Windows whose route was walked whole, in time or late."""
        return self.complete + self.late


def did_rounds(rounds: Iterable[Round]) -> list[Did]:
    """Rounds as they count."""
    return [Did(walk.from_ms, walk.until_ms, walk.state, walk.id) for walk in rounds]


def did_trainings(trainings: Iterable[Training]) -> list[Did]:
    """Trainings as they count: at the moment they were held."""
    return [Did(row.from_ms, row.from_ms, routes.COMPLETE, row.id) for row in trainings]


def slots(
    plans: Collection[PlanRow],
    did: Iterable[Did],
    from_ms: int,
    until_ms: int,
    now_ms: int,
    almanac: Almanac | None = None,
) -> list[Slot]:
    """The windows of one plan that begin in a span and had begun by now, in order.

    Args:
        plans: the rows of that plan, every time it was in force. did: of that plan; what began before the span or after
            it is not needed, but for what was done late after the last window.
        almanac: shared by plans that are counted together.

    What was begun between two windows counts for the earlier one, late.
    """
    almanac = almanac or Almanac()
    until_ms = min(until_ms, now_ms + 1)
    windows = sorted({window for row in plans for window in almanac.owed(row, from_ms, until_ms)})
    # The window after the last of the span: what was begun then is its own.
    next_ms = min(
        (window.from_ms for row in plans for window in almanac.owed(row, until_ms, until_ms + 2 * reach_ms(row.spec))),
        default=2**62,
    )
    starts = [window.from_ms for window in windows]
    found: list[tuple[int, SlotState, int | None]] = [
        (len(_RANK), "missed" if window.until_ms <= now_ms else "due", None) for window in windows
    ]
    for each in sorted(did):
        at = bisect_right(starts, each.from_ms) - 1
        if at < 0 or each.from_ms >= next_ms:
            continue
        state = _counts_as(each, windows[at])
        found[at] = min(found[at], (_RANK.index(state), state, each.id), key=lambda entry: entry[0])
    return [Slot(window, state, number) for window, (_, state, number) in zip(windows, found, strict=True)]


def completion(found: Iterable[Slot], now_ms: int) -> Completion:
    """Counts of the windows that are over, or done before their end."""
    counts: dict[str, int] = {}
    due = 0
    for slot in found:
        if slot.window.until_ms > now_ms and slot.state != "complete":
            continue
        due += 1
        # A round that is still walked when the window is over has not been walked in it.
        state = "missed" if slot.state == "running" else slot.state
        counts[state] = counts.get(state, 0) + 1
    return Completion(due, *(counts.get(name, 0) for name in Completion._fields[1:]))


def _counts_as(each: Did, window: Window) -> SlotState:
    if each.state not in routes.DONE:
        return _BY_STATE[each.state]
    in_time = each.from_ms < window.until_ms and each.until_ms is not None and each.until_ms <= window.until_ms
    return "complete" if in_time else "late"
