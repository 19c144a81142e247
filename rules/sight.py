"""What a condition sees of its subject, as of the moment it is judged for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from contract.messages import Reading
from contract.site import Site
from rules.memory import Trace, Watch
from rules.series import Series


class Alarms(Protocol):
    """Who knows of alarms and findings."""

    def alarms(self, watch: Watch, rules: Sequence[str], scope: str, at_ms: int) -> Iterable[frozenset[str]]:
        """The states of each alarm of these rules within the scope of the watch."""

    def finding_times(self, watch: Watch, rules: Sequence[str], finding: str, since_ms: int) -> Sequence[int]:
        """When alarms of these rules within the watch's device (group, line, agent) were found to be that."""


class Sight:
    """`rules.conditions_view.View` of one watch."""

    __slots__ = ("_alarms", "_site", "_watch", "_zone", "at_ms")

    def __init__(self, watch: Watch, alarms: Alarms, site: Site | None, zone: tzinfo | None) -> None:
        self._watch = watch
        self._alarms = alarms
        self._site = site
        self._zone = zone or UTC
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
