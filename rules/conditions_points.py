"""Conditions about points: thresholds, states, qualities, windows, counts, "when last", and tallies of many points."""

from __future__ import annotations

import math
from typing import Any

from contract.messages import Reading
from contract.quality import kind as word_of
from rules.board import Board, Sum, board_of
from rules.conditions_view import Calm, Needs, Truth, View, earliest, is_known
from rules.model import Count, Quality, Since, State, Tally, Threshold, Window
from rules.series import EntryKeep, WindowKeep
from rules.series_window import QUANTUM, Look, WindowTrack

ATMOSPHERE_KPA = 101.325
ZERO_C_K = 273.15
_INF = math.inf


class ThresholdNode:
    """A number beyond a limit."""

    def __init__(self, leaf: Threshold) -> None:
        self._leaf = leaf
        points = [leaf.point] if leaf.at_20c is None else [leaf.point, leaf.at_20c]
        self.needs = Needs(points=frozenset(points))
        self.knows_calm = leaf.at_20c is None

    def judge(self, view: View, _at_ms: int) -> Truth:
        return self.judge_point(view, self._leaf.point, self._leaf.at_20c)

    def judge_point(self, view: View, point: str | None, temperature: str | None) -> Truth:
        """The same of another point: one of a tally."""
        leaf, last = self._leaf, view.last(point)
        inputs = _inputs("threshold", point, last)
        inputs["limit"] = leaf.below if leaf.below is not None else leaf.above
        if last is None or last.value.__class__ is not float or not is_known(last.value, last.quality):
            return Truth(False, False, inputs, None)
        number = float(last.value)
        if temperature is not None:
            beside = view.last(temperature)
            warmth = beside.value if beside is not None and is_known(beside.value, beside.quality) else None
            inputs["temperature_c"] = warmth
            if warmth.__class__ is not float or float(warmth) <= -ZERO_C_K:
                return Truth(False, False, inputs, None)
            number = inputs["at_20c"] = pressure_at_20c(number, float(warmth))
        violated, over = _beyond(leaf, number)
        return Truth(violated, over, inputs, None)

    def calm(self, view: View, at_ms: int) -> Calm | None:
        leaf, last = self._leaf, view.last(self._leaf.point)
        limits = (-_INF if leaf.below is None else leaf.below, _INF if leaf.above is None else leaf.above)
        if leaf.at_20c is not None:
            return None
        if last is not None and last.value.__class__ is float and not limits[0] <= float(last.value) <= limits[1]:
            return None
        return Calm({leaf.point: limits}, at_ms)


class StateNode:
    """A truth or state word that is one of these."""

    def __init__(self, leaf: State) -> None:
        self._leaf = leaf
        self._words = frozenset(leaf.equals)
        self.needs = Needs(points=frozenset([leaf.point]))
        self.knows_calm = True

    def judge(self, view: View, _at_ms: int) -> Truth:
        return self.judge_point(view, self._leaf.point, None)

    def judge_point(self, view: View, point: str | None, _temperature: str | None) -> Truth:
        """The same of another point: one of a tally. A state knows no temperature."""
        last = view.last(point)
        violated, over = self.meets(last)
        return Truth(violated, over, _inputs("state", point, last), None)

    def calm(self, view: View, at_ms: int) -> Calm | None:
        violated, _ = self.meets(view.last(self._leaf.point))
        return None if violated else Calm({self._leaf.point: (-_INF, _INF)}, at_ms)  # a number is no word

    def meets(self, last: Reading | None) -> tuple[bool, bool]:
        """Whether a reading is in one of the states, and whether it is in none of them; neither: not known."""
        if last is None or not is_known(last.value, last.quality):
            return False, False
        # 1.0 equals true in Python, and in nobody's mind.
        violated = last.value in self._words and last.value.__class__ is not float
        return violated, not violated


class QualityNode:
    """What kind of reading came last."""

    def __init__(self, leaf: Quality) -> None:
        self._leaf = leaf
        self.needs = Needs(points=frozenset([leaf.point]))
        self.knows_calm = False

    def judge(self, view: View, _at_ms: int) -> Truth:
        leaf, last = self._leaf, view.last(self._leaf.point)
        inputs = _inputs("quality", leaf.point, last)
        if last is None or last.observed_ms == 0:
            return Truth(False, False, inputs, None)
        counts = last.quality in leaf.is_ or word_of(last.quality) in leaf.is_
        violated = counts and last.quality not in leaf.except_for
        return Truth(violated, not violated, inputs, None)

    def calm(self, _view: View, _at_ms: int) -> Calm | None:
        return None


class WindowNode:
    """A figure made of the values of a window."""

    def __init__(self, leaf: Window) -> None:
        self._leaf = leaf
        self._keep = WindowKeep(round(leaf.window_s * 1000), leaf.of == "mean")
        limit = leaf.below if leaf.below is not None else leaf.above
        assert limit is not None, "the model has one"
        self._limit = limit
        # The mean is compared by its integral over the window, in whole numbers.
        self._levels = [round(level * QUANTUM) * self._keep.window_ms for level in (limit, leaf.clear)]
        self.needs = Needs(points=frozenset([leaf.point]), keeps={leaf.point: frozenset([self._keep])})
        self.knows_calm = True

    def judge(self, view: View, at_ms: int) -> Truth:
        leaf, series = self._leaf, view.series(self._leaf.point)
        inputs = {**_inputs("window", leaf.point, view.last(leaf.point)), "of": leaf.of, "window_s": leaf.window_s}
        inputs["limit"] = self._limit
        track = series.window(self._keep) if series is not None else None
        look = track.look(at_ms, leaf.samples) if track is not None else None
        if track is None or look is None or look.latest is None:
            return Truth(False, False, inputs, None)
        inputs["samples"] = look.seen
        if leaf.of == "mean":
            return self._mean(track, look, inputs)
        figure, changes_ms = self._figure(track, look)
        inputs["figure"] = figure
        violated, over = _beyond(leaf, figure)
        if not look.covered:
            violated, over = violated and leaf.of in ("rise", "fall"), False
        return Truth(violated, over, inputs, self._again(track, look, changes_ms))

    def calm(self, view: View, at_ms: int) -> Calm | None:
        leaf, series = self._leaf, view.series(self._leaf.point)
        track = series.window(self._keep) if series is not None else None
        found = None if track is None else track.calm(at_ms, leaf.of, leaf.below, leaf.above)
        return None if found is None else Calm({leaf.point: found.limits}, found.from_ms, found.until_ms)

    def _figure(self, track: WindowTrack, look: Look) -> tuple[float, int | None]:
        """The figure, and when it changes with nothing but time passing."""
        low, high = track.lowest(look), track.highest(look)
        assert low is not None, "the latest value is known and in the window"
        assert high is not None, "the latest value is known and in the window"
        assert look.latest is not None, "looked at by the caller"
        match self._leaf.of:
            case "min":
                return low
            case "max":
                return high
            case "rise":
                return look.latest - low[0], low[1]
            case "fall":
                return high[0] - look.latest, high[1]
            case _:
                return high[0] - low[0], earliest((low[1], high[1]), look.at_ms)

    def _mean(self, track: WindowTrack, look: Look, inputs: dict[str, Any]) -> Truth:
        if not look.covered:
            return Truth(False, False, inputs, self._again(track, look, None))
        area, (limit, clear) = track.area(look), self._levels
        inputs["figure"] = area / (self._keep.window_ms * QUANTUM)
        below = self._leaf.below is not None
        violated, over = (area < limit, area >= clear) if below else (area > limit, area <= clear)
        reaches_ms = track.area_reaches(look, self._levels)
        return Truth(violated, over, inputs, self._again(track, look, reaches_ms))

    def _again(self, track: WindowTrack, look: Look, changes_ms: int | None) -> int | None:
        fewer_ms = track.fewer_ms(look, self._leaf.samples)
        return earliest((changes_ms, look.covered_ms, fewer_ms), look.at_ms)


class CountNode:
    """Entries into a state. A gap of unknown quality hides what came and went within it.

    Over wants the point to be known and to have been watched for as long as is counted.
    """

    def __init__(self, leaf: Count) -> None:
        self._leaf = leaf
        self._within_ms = round(leaf.within_s * 1000)
        self._keep = EntryKeep(frozenset(leaf.equals), most=leaf.at_least)
        self.needs = Needs(points=frozenset([leaf.point]), keeps={leaf.point: frozenset([self._keep])})
        self.knows_calm = False

    def judge(self, view: View, at_ms: int) -> Truth:
        leaf, series = self._leaf, view.series(self._leaf.point)
        inputs = {**_inputs("count", leaf.point, view.last(leaf.point)), "limit": leaf.at_least}
        track = series.entries(self._keep) if series is not None else None
        if series is None or track is None or track.watched_ms is None:
            return Truth(False, False, inputs, None)
        at_ms = max(at_ms, series.newest_ms)
        entries = track.since(at_ms - self._within_ms)
        inputs |= {"count": len(entries), "within_s": leaf.within_s, "times_ms": entries[-20:]}
        if len(entries) >= leaf.at_least:
            return Truth(True, False, inputs, entries[-leaf.at_least] + self._within_ms)
        covered_ms = track.watched_ms + self._within_ms
        over = track.is_in is not None and covered_ms <= at_ms
        return Truth(False, over, inputs, earliest([covered_ms], at_ms))

    def calm(self, _view: View, _at_ms: int) -> Calm | None:
        return None


class SinceNode:
    """How long ago the point was last in a state: due at exactly that long, as every duration of a rule is.

    A gap of unknown quality is not time in the state. While the point is not known the condition is over as long as
    it cannot be due yet, and not known afterwards.
    """

    def __init__(self, leaf: Since) -> None:
        self._leaf = leaf
        self._longer_ms = round(leaf.longer_than_s * 1000)
        self._keep = EntryKeep(frozenset(leaf.equals))
        self.needs = Needs(points=frozenset([leaf.point]), keeps={leaf.point: frozenset([self._keep])})
        self.knows_calm = False

    def judge(self, view: View, at_ms: int) -> Truth:
        leaf, series = self._leaf, view.series(self._leaf.point)
        inputs = {**_inputs("since", leaf.point, view.last(leaf.point)), "limit": leaf.longer_than_s}
        track = series.entries(self._keep) if series is not None else None
        if series is None or track is None:
            return Truth(False, False, inputs, None)
        at_ms = max(at_ms, series.newest_ms)
        if track.is_in:
            return Truth(False, True, inputs, None)
        last_ms = track.last_in_ms(at_ms)
        inputs["last_ms"] = last_ms
        due_ms = max(view.known_ms, last_ms or 0) + self._longer_ms
        if at_ms < due_ms:
            return Truth(False, True, inputs, due_ms)
        return Truth(track.is_in is False, False, inputs, None)

    def calm(self, _view: View, _at_ms: int) -> Calm | None:
        return None


class TallyNode:
    """How many points of the subject meet a condition, or entered it within a while.

    Over wants fewer than `at_least` points to meet it still; a point that was heard and is not known now counts as
    one that may. A point that was never heard takes no part.
    """

    def __init__(self, leaf: Tally) -> None:
        self._leaf = leaf
        self._node = ThresholdNode(leaf.of) if isinstance(leaf.of, Threshold) else StateNode(leaf.of)
        self._within_ms = None if leaf.within_s is None else round(leaf.within_s * 1000)
        self.beside = leaf.of.at_20c if isinstance(leaf.of, Threshold) else None
        self.entry_keep = None if leaf.within_s is None else _entry_keep(leaf.of)
        self.manual_counts = leaf.manual_counts
        keeps = frozenset[EntryKeep]() if self.entry_keep is None else frozenset([self.entry_keep])
        beside = frozenset([self.beside]) if self.beside is not None else frozenset[str]()
        self.needs = Needs(tally=True, tally_keeps=keeps, beside=beside)
        self.knows_calm = False

    def judge(self, view: View, at_ms: int) -> Truth:
        leaf, board, again_ms = self._leaf, board_of(view, self), None
        if self._within_ms is None:
            found = board.meeting()
        else:
            found = board.entered(max(at_ms, board.newest_ms) - self._within_ms)
            again_ms = self._expires(board, found)
        inputs = {
            "kind": "tally",
            "count": found.counted,
            "limit": leaf.at_least,
            "points": found.first,
            "manual": found.manual,
        }
        violated = found.manual or found.counted >= leaf.at_least
        over = not violated and found.known > 0 and found.maybe < leaf.at_least and not found.maybe_manual
        return Truth(violated, over, inputs, again_ms)

    def calm(self, _view: View, _at_ms: int) -> Calm | None:
        return None

    def _expires(self, board: Board, found: Sum) -> int | None:
        """When the count falls below what it takes if nothing more happens."""
        assert self._within_ms is not None, "asked only then"
        last = [board.entry_ms(self._leaf.at_least)] if found.counted >= self._leaf.at_least else []
        if found.manual and board.manual_entry_ms is not None:
            last.append(board.manual_entry_ms)
        return max(last) + self._within_ms if last else None

    def weigh(self, view: View, point: str) -> tuple[bool, bool] | None:
        """Whether that point meets the condition, and whether it does not; None: it was never heard."""
        last = view.last(point)
        if last is None or not last.observed_ms:
            return None
        if isinstance(self._node, StateNode):  # no inputs are made for a point of many
            return self._node.meets(last)
        beside = None if self.beside is None else f"{point.partition('/')[0]}/{self.beside}"
        truth = self._node.judge_point(view, point, beside)
        return truth.violated, truth.over


def pressure_at_20c(gauge_kpa: float, temperature_c: float) -> float:
    """Gauge pressure (kPa) that a closed gas would have at 20 °C.

    Physics (Gay-Lussac's law on the absolute pressure, one standard atmosphere of 101.325 kPa outside), of no
    standard: at constant volume p / T is constant. Vapour over a liquefied gas (CO2) does not follow it.
    """
    return (gauge_kpa + ATMOSPHERE_KPA) * (20.0 + ZERO_C_K) / (temperature_c + ZERO_C_K) - ATMOSPHERE_KPA


def _beyond(leaf: Threshold | Window, number: float) -> tuple[bool, bool]:
    """(violated, over)."""
    if leaf.below is not None:
        return number < leaf.below, number >= leaf.clear
    assert leaf.above is not None, "the model has one of the two"
    return number > leaf.above, number <= leaf.clear


def _entry_keep(of: Threshold | State) -> EntryKeep:
    if isinstance(of, State):
        return EntryKeep(frozenset(of.equals))
    return EntryKeep(below=of.below, above=of.above, clear=of.clear)


def _inputs(name: str, point: str | None, last: Reading | None) -> dict[str, Any]:
    named: dict[str, Any] = {"kind": name} if point is None else {"kind": name, "point": point}
    if last is None:
        return named
    return named | {"value": last.value, "quality": last.quality, "observed_ms": last.observed_ms}
