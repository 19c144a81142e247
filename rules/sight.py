"""What a condition sees of its subject, as of the moment it is judged for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from contract.messages import Reading
from contract.site import Site
from rules.board import Board, Counted, Trace, attach, detach
from rules.memory import Course, Watch
from rules.series import Series


class Alarms(Protocol):
    """Who knows of alarms and findings."""

    def alarms(self, watch: Watch, rules: Sequence[str], scope: str, at_ms: int) -> Iterable[frozenset[str]]:
        """The states of each alarm of these rules within the scope of the watch."""

    def finding_times(self, watch: Watch, rules: Sequence[str], finding: str, since_ms: int) -> Sequence[int]:
        """When alarms of these rules within the watch's device (group, line, agent) were found to be that."""


class Sight:
    """`rules.conditions_view.View` of one watch."""

    __slots__ = ("_alarms", "_boards", "_course", "_points", "_site", "_watch", "_zone", "at_ms")

    def __init__(self, watch: Watch, alarms: Alarms, site: Site | None, zone: tzinfo | None) -> None:
        self._watch = watch
        self._alarms = alarms
        self._site = site
        self._zone = zone or UTC
        self._boards: dict[Counted, Board] = {}
        self._course: Course = watch.course
        self._points: list[str] = watch.points
        """The boards are about these points in that course."""
        self.at_ms = 0
        """The moment that is judged."""

    @property
    def known_ms(self) -> int:
        return self._watch.known_ms

    def _trace(self, point: str | None) -> Trace | None:
        watch = self._watch
        if point is None:
            key = watch.subject
        elif "/" in point:
            key = f"{watch.site}/{point}"
        else:
            key = f"{watch.site}/{watch.device.name}/{point}" if watch.device is not None else ""
        return watch.course.traces.get(key)

    def last(self, point: str | None) -> Reading | None:
        trace = self._trace(point)
        return None if trace is None else trace.last

    def series(self, point: str | None) -> Series | None:
        trace = self._trace(point)
        return None if trace is None else trace.series

    def points(self) -> Iterable[str]:
        return self._watch.points

    def board(self, node: Counted) -> Board:
        """The running count of a condition on the subject's points; it hears of every reading of theirs."""
        watch = self._watch
        if self._course is not watch.course or self._points is not watch.points:
            self._forget_boards()
            self._course, self._points = watch.course, watch.points
        board = self._boards.get(node)
        if board is None:
            board = self._boards[node] = Board(node)
        if board.attached < len(watch.points):
            for point in watch.points[board.attached :]:
                attach(board, self._trace(point), point)
                if node.beside is not None:
                    attach(board, self._trace(f"{point.partition('/')[0]}/{node.beside}"), point)
            board.attached = len(watch.points)
        return board

    def shown(self, name: str) -> None:
        """There is another point of that name to look at: one beside points that were there before, it may be."""
        for node, board in self._boards.items():
            if node.beside == name:
                board.attached, board.is_lost = 0, True

    def _forget_boards(self) -> None:
        if self._boards:
            detach(self._boards.values(), self._course.traces.values())
            self._boards = {}

    def is_manual(self, point: str) -> bool:
        device, _, name = point.partition("/")
        return self._site is not None and self._site.is_manual(device, name)

    def alarms(self, rules: Sequence[str], scope: str) -> Iterable[frozenset[str]]:
        return self._alarms.alarms(self._watch, rules, scope, self.at_ms)

    def finding_times(self, rules: Sequence[str], finding: str, since_ms: int) -> Sequence[int]:
        return self._alarms.finding_times(self._watch, rules, finding, since_ms)

    def due_ms(self, what: str) -> int | None:
        return None if self._watch.device is None else self._watch.device.due_ms.get(what)

    def local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, self._zone)
