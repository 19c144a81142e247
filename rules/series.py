"""What is remembered of one point beside its last value: for windows, counts and "when last".

A series is a function of the sequence of (time, value, quality) it was given, and of nothing else: not of when it was
asked, not of restarts. It is made of one track for each thing that rules want to know:

* `WindowTrack` (rules/series_window.py): the values of the last `window_ms`.
* `EntryTrack` (here): when the point entered a state, and when it was last in it.

A reading that arrives out of order (a clock was put right, a batch came late) is put into its place: in a window as
long as it still matters there, in a track of entries among the last `PLACED` readings. An older one changes nothing.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from contract.messages import Value
from contract.quality import GOOD, kind
from rules.series_window import WindowTrack

PLACED = 32
"""Latest readings of a track of entries, at the least, among which a late one finds its place."""
_OUT, _IN, _NOT_KNOWN, _BETWEEN = range(4)


class WindowKeep(NamedTuple):
    """The values of the last `window_ms`; with `mean`, sums for a mean too."""

    window_ms: int
    mean: bool = False

    @property
    def key(self) -> str:
        """Name of the track."""
        return f"window:{self.window_ms}{':mean' if self.mean else ''}"


class EntryKeep(NamedTuple):
    """The last `most` entries into one of these words, or beyond a limit (back at `clear` only)."""

    words: frozenset[bool | str] = frozenset()
    below: float | None = None
    above: float | None = None
    clear: float = 0.0
    most: int = 1

    @property
    def key(self) -> str:
        """Name of the track."""
        if self.words:
            return f"words:{','.join(sorted(map(repr, self.words)))}:{self.most}"
        return f"limit:{self.below}:{self.above}:{self.clear}:{self.most}"

    def state(self, value: Value, quality: str) -> int:
        """Where a reading lies: in, out, between limit and clear level, or not known."""
        if value is None or (quality != GOOD and kind(quality) not in ("good", "uncertain")):
            return _NOT_KNOWN
        if self.words:
            return _IN if value in self.words and value.__class__ is not float else _OUT
        if value.__class__ is not float:
            return _NOT_KNOWN
        number = float(value)
        if self.below is not None:
            return _IN if number < self.below else _OUT if number >= self.clear else _BETWEEN
        assert self.above is not None
        return _IN if number > self.above else _OUT if number <= self.clear else _BETWEEN


Keep = WindowKeep | EntryKeep


class Series:
    """The tracks of one point."""

    __slots__ = ("_entries", "_windows", "newest_ms")

    def __init__(self, keeps: Iterable[Keep]) -> None:
        self._windows: dict[str, WindowTrack] = {}
        self._entries: dict[str, EntryTrack] = {}
        self.newest_ms = 0
        """Time of the newest reading; 0 when there was none."""
        self.keep(keeps)

    def keep(self, keeps: Iterable[Keep]) -> None:
        """Remember these from now on. A track that is there already goes on, one that is not named goes."""
        windows, entries = self._windows, self._entries
        self._windows, self._entries = {}, {}
        for keep in keeps:
            if isinstance(keep, WindowKeep):
                self._windows[keep.key] = windows.get(keep.key) or WindowTrack(keep.window_ms, keep.mean)
            else:
                self._entries[keep.key] = entries.get(keep.key) or EntryTrack(keep)

    def append(self, observed_ms: int, value: Value, quality: str) -> None:
        """Remember a reading."""
        self.newest_ms = max(self.newest_ms, observed_ms)
        if self._windows:
            known = value.__class__ is float and (quality == GOOD or kind(quality) in ("good", "uncertain"))
            number = float(value) if known else None  # type: ignore[arg-type]  # `known` says it is a float
            for window in self._windows.values():
                window.append(observed_ms, number)
        for track in self._entries.values():
            track.append(observed_ms, value, quality)

    def window(self, keep: WindowKeep) -> WindowTrack | None:
        """That track; None when it is not kept."""
        return self._windows.get(keep.key)

    def entries(self, keep: EntryKeep) -> EntryTrack | None:
        """That track; None when it is not kept."""
        return self._entries.get(keep.key)

    def dump(self) -> list[Any]:
        """All of it as JSON can hold it."""
        tracks: list[tuple[str, WindowTrack | EntryTrack]] = [*self._windows.items(), *self._entries.items()]
        return [self.newest_ms, *([key, track.dump()] for key, track in tracks)]

    def load(self, dumped: list[Any]) -> None:
        """Go on from a dump. A track that is not kept any more is left out; one that is new starts empty."""
        self.newest_ms = dumped[0]
        for key, data in dumped[1:]:
            track = self._windows.get(key) or self._entries.get(key)
            if track is not None:
                track.load(data)


class EntryTrack:
    """When a point entered a state, the last so many times, and when it was last in it.

    It enters when a known reading is in after one that was out. A gap of unknown quality is no change by itself: in,
    unknown, in is no entry; out, unknown, in is one. The first reading of all is no entry but `found_ms`, when it is
    in. What came and went within a gap was not seen.
    """

    __slots__ = ("_base", "_head", "_keep", "_late")

    def __init__(self, keep: EntryKeep) -> None:
        self._keep = keep
        # The last readings are held back from `_base`, time * 4 + state, so that a late one can be put among them.
        self._late = array("q")
        self._base = _Past(keep.most)
        self._head = _Past(keep.most)

    def append(self, at_ms: int, value: Value, quality: str) -> None:
        """Remember a reading."""
        code = at_ms * 4 + self._keep.state(value, quality)
        late = self._late
        if late and at_ms < late[-1] >> 2:
            self._place(code)
            return
        late.append(code)
        self._head.step(at_ms, code & 3)
        if len(late) >= 2 * PLACED:
            for old in late[:PLACED]:
                self._base.step(old >> 2, old & 3)
            del late[:PLACED]

    def _place(self, code: int) -> None:
        place = bisect_right(self._late, code | 3)  # after others of the same time
        if place == 0 and self._base.watched_ms is not None:
            return  # older than all that can still be put in order
        self._late.insert(place, code)
        self._head = self._base.copy()
        for each in self._late:
            self._head.step(each >> 2, each & 3)

    @property
    def is_in(self) -> bool | None:
        """Whether it is in the state now; None: not known."""
        return self._head.inside if self._head.known else None

    @property
    def watched_ms(self) -> int | None:
        """Time of the first known reading."""
        return self._head.watched_ms

    @property
    def found_ms(self) -> int | None:
        """Time of the first known reading, when that was in the state already."""
        return self._head.found_ms

    def since(self, after_ms: int) -> list[int]:
        """The entries after that moment, as far as they are kept, ascending."""
        return [at for at in self._head.entries if at > after_ms]

    @property
    def last_entry_ms(self) -> int | None:
        """The last entry, or when it was first found in the state."""
        return self._head.entries[-1] if self._head.entries else self._head.found_ms

    def last_in_ms(self, at_ms: int) -> int | None:
        """When it was last known to be in the state, at the latest `at_ms`; None: never."""
        if self._head.known and self._head.inside:
            return at_ms
        return self._head.left_ms

    def dump(self) -> list[Any]:
        """All of it as JSON can hold it."""
        return [self._base.dump(), list(self._late)]

    def load(self, data: list[Any]) -> None:
        """Go on from a dump."""
        self._base.load(data[0])
        self._late = array("q", data[1])
        self._head = self._base.copy()
        for each in self._late:
            self._head.step(each >> 2, each & 3)


class _Past:
    """What a sequence of readings in order comes to."""

    __slots__ = ("entries", "found_ms", "inside", "known", "left_ms", "watched_ms")

    def __init__(self, most: int) -> None:
        self.entries: deque[int] = deque(maxlen=most)
        self.inside: bool | None = None
        """As last known."""
        self.known = False
        """Whether the latest reading was known."""
        self.watched_ms: int | None = None
        self.found_ms: int | None = None
        self.left_ms: int | None = None
        """When it was last seen to leave, or went unknown while in."""

    def step(self, at_ms: int, state: int) -> None:
        if state == _NOT_KNOWN:
            if self.known and self.inside:
                self.left_ms = at_ms
            self.known = False
            return
        if self.watched_ms is None:
            self.watched_ms = at_ms
        inside = bool(self.inside) if state == _BETWEEN else state == _IN
        if inside and self.inside is None:
            self.found_ms = at_ms
        elif inside and not self.inside:
            self.entries.append(at_ms)
        elif self.inside and not inside and self.known:
            self.left_ms = at_ms
        self.inside, self.known = inside, True

    def copy(self) -> _Past:
        other = _Past(self.entries.maxlen or 1)
        other.load(self.dump())
        return other

    def dump(self) -> list[Any]:
        return [list(self.entries), self.inside, self.known, self.watched_ms, self.found_ms, self.left_ms]

    def load(self, data: list[Any]) -> None:
        self.entries.clear()
        self.entries.extend(data[0])
        _, self.inside, self.known, self.watched_ms, self.found_ms, self.left_ms = data
