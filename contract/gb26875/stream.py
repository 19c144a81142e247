"""Frames out of a byte stream where packets arrive glued, split, damaged and with rubbish between them. Pure.

What comes out depends on the bytes alone, not on how they were cut into pieces. After a damaged frame the search goes
on one byte behind its start, so a good frame inside a bad one is found. A head that promises more bytes than ever come
must not hold back a fire behind it: when it has waited `hold_s`, a whole good frame behind it is taken and the head
given up. Memory is bound: between calls at most one frame is kept (1054 bytes).
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import NamedTuple

from contract.gb26875.frame import END, MAX_FRAME_BYTES, OVERHEAD, START, Frame, Problem, inspect_frame
from contract.gb26875.units import MAX_UNIT_BYTES

HOLD_S = 2.0
_LENGTH_AT, _HEAD_BYTES = 24, 27
_PLAUSIBLE = re.compile(rb"@@.{23}[\x00-\x04]", re.DOTALL)
"""A start whose length may be within the limit (its high byte is at most 4)."""
_FEW = 16


class Found(NamedTuple):
    """A frame, or bytes that began like one.

    offset: of its first byte in the stream. raw: its bytes. frame: what they carry; of refused bytes the head as far as
    it can be read, for the answer. problems: empty for a good frame.
    """

    offset: int
    raw: bytes
    frame: Frame | None
    problems: tuple[Problem, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether markers, length and checksum agree."""
        return not self.problems


class FrameStream:
    """One direction of one connection.

    Args:
        max_unit: longest application unit taken. hold_s: how long an unfinished frame may hold back what follows it.

    Counts: `frames` good ones, `refused` reported damage, `skipped_bytes` outside good frames.
    """

    def __init__(self, max_unit: int = MAX_UNIT_BYTES, hold_s: float = HOLD_S) -> None:
        self._max_unit = min(max_unit, MAX_UNIT_BYTES)
        self._hold_s = hold_s
        self._buffer = b""
        self._offset = 0
        self._told_to = 0
        self._waits_since: tuple[int, float] | None = None
        self.frames = 0
        self.refused = 0
        self.skipped_bytes = 0

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame; while there are any, call `expire` about once a second."""
        return len(self._buffer)

    def feed(self, data: bytes, now_s: float = 0.0) -> list[Found]:
        """Take bytes as they come; gives what is complete, in the order of the stream. now_s: monotonic seconds."""
        self._buffer += data
        found = self._scan()
        return found + self._give_up(now_s)

    def expire(self, now_s: float) -> list[Found]:
        """Give up an unfinished frame that has waited too long, if a good one stands behind its start."""
        return self._give_up(now_s)

    def finish(self) -> list[Found]:
        """The stream has ended: what is left, good frames first found, an unfinished one refused."""
        found: list[Found] = []
        while rescued := self._rescue():
            found += rescued
        left = self._buffer
        if left.startswith(START):
            found.append(self._refuse(left, 0, len(left)))
        self._consume(len(left), skipped=True)
        return found

    def _give_up(self, now_s: float) -> list[Found]:
        found: list[Found] = []
        while self._buffer:
            if self._waits_since is None or self._waits_since[0] != self._offset:
                self._waits_since = (self._offset, now_s)
            if now_s - self._waits_since[1] < self._hold_s:
                break
            rescued = self._rescue()
            if not rescued:
                break
            found += rescued
        return found

    def _rescue(self) -> list[Found]:
        """Drop the unfinished start if a good frame stands behind it, and go on normally from there."""
        data = self._buffer
        sums = _Sums(data)
        at = data.find(START, 1)
        while at >= 0:
            end = self._end(data, at)
            if end is not None and end <= len(data) and sums.is_good(at, end):
                found = [self._refuse(data[:at], 0, at)]
                self._consume(at, skipped=True)
                return found + self._scan()
            at = data.find(START, at + 1)
        return []

    def _end(self, data: bytes, at: int) -> int | None:
        """Where a frame that starts here would end; None when its length is unknown yet or over the limit."""
        if len(data) - at < _HEAD_BYTES:
            return None
        length = int.from_bytes(data[at + _LENGTH_AT : at + _LENGTH_AT + 2], "little")
        return at + OVERHEAD + length if length <= self._max_unit else None

    def _scan(self) -> list[Found]:
        data, at, found = self._buffer, 0, []
        taken = 0
        sums = _Sums(data)
        while (start := data.find(START, at)) >= 0:
            at = start
            if len(data) - at < _HEAD_BYTES:
                break
            end = self._end(data, at)
            if end is None:
                if self._offset + at >= self._told_to:
                    found.append(self._refuse(data, at, at + _HEAD_BYTES))
                at = self._next_start(data, at)
            elif end > len(data):
                break
            elif sums.is_good(at, end):
                raw = data[at:end]
                found.append(Found(self._offset + at, raw, inspect_frame(raw, self._max_unit).frame))
                self.frames += 1
                taken += len(raw)
                self._told_to = self._offset + end
                at = end
            else:
                if self._offset + at >= self._told_to:
                    found.append(self._refuse(data, at, end))
                at += 1
        else:
            # A lone @ at the end may be the first half of a start marker.
            at = len(data) - 1 if data.endswith(START[:1]) and at < len(data) else len(data)
        self.skipped_bytes += at - taken
        self._consume(at)
        return found

    def _next_start(self, data: bytes, at: int) -> int:
        """The next start worth looking at: one with a possible length, one to be reported, or one still incomplete."""
        nearest = max(at + 1, len(data) - _HEAD_BYTES + 1)
        untold = data.find(START, max(at + 1, self._told_to - self._offset))
        if 0 <= untold < nearest:
            nearest = untold
        # Searched no further than needed: a search to the end from every start would be quadratic.
        plausible = _PLAUSIBLE.search(data, at + 1, nearest + _HEAD_BYTES)
        return min(nearest, plausible.start()) if plausible else nearest

    def _refuse(self, data: bytes, start: int, end: int) -> Found:
        self.refused += 1
        self._told_to = self._offset + end
        raw = data[start:end]
        found = inspect_frame(raw, self._max_unit)
        # Of a whole span the length says nothing more; of an unfinished one it is what is wrong.
        problems = tuple(problem for problem in found.problems if problem.reason != "length") or found.problems
        return Found(self._offset + start, raw, found.frame, problems)

    def _consume(self, count: int, skipped: bool = False) -> None:
        self._buffer = self._buffer[count:]
        self._offset += count
        if skipped:
            self.skipped_bytes += count
        assert len(self._buffer) < MAX_FRAME_BYTES


class _Sums:
    """Checks frames of one buffer, after the first few in constant time: crafted floods of near-frames cost no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._asked = 0
        self._sums: list[int] = []

    def is_good(self, start: int, end: int) -> bool:
        """Whether checksum and end marker of the frame between the two places are right."""
        data = self._data
        if data[end - 2 : end] != END:
            return False
        self._asked += 1
        if self._asked <= _FEW:
            total = sum(data[start + 2 : end - 3])
        else:
            self._sums = self._sums or list(accumulate(data, initial=0))
            total = self._sums[end - 3] - self._sums[start + 2]
        return total & 0xFF == data[end - 3]
