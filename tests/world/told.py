"""I5: whoever is on the chain of an alarm is told in time, until somebody answers or it is over."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from tests.world.sinks import SinkWeather
from tests.world.station import NEXT_AFTER_S

if TYPE_CHECKING:
    from tests.world.checks import Checks
    from tests.world.world import World

LOOK_S = 10.0
LATE_S = 60.0
"""So long after its time a step of the chain must have been taken, while nothing stands in the way."""


class _Fire(NamedTuple):
    number: int
    raised_us: int
    stopped_us: int | None
    """When anything happened to it for the first time: an answer, a hold, its end; as seen from outside."""


class Told:
    """Follows alarms from outside: when each began and when its chain was stopped, in simulated time."""

    def __init__(self, world: World, checks: Checks) -> None:
        self._world = world
        self._checks = checks
        self._seen_us: dict[tuple[int, int, str], int] = {}
        """(row, alarm, event) -> when it was seen."""
        self._row = 0
        self._bad_us: list[int] = [0]
        """Moments at which something stood in the way of messages, in order."""

    def look(self, connection: sqlite3.Connection | None) -> None:
        """Every ten seconds."""
        if not self._is_good():
            self.disturbed()
        if connection is None:
            return
        rows = connection.execute("SELECT id, alarm_id, event FROM transition WHERE id > ? ORDER BY id", (self._row,))
        for row in rows.fetchall():
            self._row = row[0]
            self._seen_us.setdefault(row, self._world.timeline.now_us)

    def forget(self) -> None:
        """The gateway died: what it had not told anybody may be gone."""
        self._row = 0
        self.disturbed()

    def disturbed(self) -> None:
        """Something stands in the way of messages, or did until now."""
        self._bad_us.append(self._world.timeline.now_us)

    def _is_good(self) -> bool:
        world = self._world
        calm = SinkWeather()
        return (
            world.gateway.is_up
            and not self._checks.troubles
            and all(process.fuse is None for process in world.processes.values())
            and all(sink.weather == calm for sink in world.sinks.values())
        )

    def check(self, connection: sqlite3.Connection) -> None:
        """At the end: the second on the chain was told of each fire that nobody answered for long enough."""
        self.look(connection)
        fires = {
            row[0]
            for row in connection.execute(
                "SELECT id FROM alarm WHERE severity = 'fire' AND drill IS NULL AND NOT retrospective"
            )
        }
        rows = set(connection.execute("SELECT id, alarm_id, event FROM transition"))
        told, now_us = self._world.sinks["li/app"].told, self._world.timeline.now_us
        for fire in self._fires(rows, fires):
            due_us = fire.raised_us + round(NEXT_AFTER_S * 1e6)
            until_us = due_us + round(LATE_S * 1e6)
            if until_us > (now_us if fire.stopped_us is None else fire.stopped_us - round(2 * LOOK_S * 1e6)):
                continue
            if not self._was_good(due_us - round(LATE_S * 1e6), until_us):
                continue
            self._checks.looks["escalations"] += 1
            if fire.number not in told:
                self._checks.fail(
                    "I5",
                    f"alarm {fire.number}: nobody answered for {NEXT_AFTER_S + LATE_S:.0f} s, and li heard nothing",
                )

    def _fires(self, rows: set[tuple[int, int, str]], fires: set[int]) -> list[_Fire]:
        raised: dict[int, int] = {}
        stopped: dict[int, int] = {}
        for (row, number, event), at_us in sorted(self._seen_us.items()):
            if number not in fires or (row, number, event) not in rows:
                continue
            if event == "raise":
                raised.setdefault(number, at_us)
            else:
                stopped.setdefault(number, at_us)
        return [_Fire(number, at_us, stopped.get(number)) for number, at_us in raised.items()]

    def _was_good(self, from_us: int, to_us: int) -> bool:
        at = bisect_left(self._bad_us, from_us - round(LOOK_S * 1e6))
        return at == len(self._bad_us) or self._bad_us[at] > to_us + round(LOOK_S * 1e6)
