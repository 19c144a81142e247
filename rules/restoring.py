"""Going on after a restart from what was written down, as if nothing had happened.

Phases are written at every change. Last values and what is remembered of points are written now and then; what was
committed since is seen again from the inbox, without being judged again. How far a course that holds readings back was
judged is written with the phases, so that what was held back is held back again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from contract.messages import Reading, Value
from rules.causes import Causes
from rules.horizon import LOOK, REVIEW, Progress
from rules.keeping import PRESENCE, RESUME_MS
from rules.memory import COURSE, Agent, Feed, LastValue, RuleState, Watch, World
from rules.phases import Phases
from rules.presence import Presence

Tail = tuple[str, list[Reading], int, int]


class Restoring:
    """Writes down and restores.

    Args:
        late_point: makes a point its profile makes on demand, by site and `device/point`.
    """

    def __init__(
        self,
        world: World,
        progress: Progress,
        phases: Phases,
        presence: Presence,
        causes: Causes,
        late_point: Callable[[str, str], LastValue | None],
    ) -> None:
        self._world = world
        self._progress = progress
        self._phases = phases
        self._presence = presence
        self._causes = causes
        self._add_late_point = late_point

    def restore(
        self,
        states: Iterable[RuleState],
        values: Iterable[tuple[str, int, int, Value, str]],
        agents: Iterable[tuple[str, str, bool, int]],
        now_ms: int,
        series: Iterable[tuple[str, Any]],
        tail: Iterable[Tail],
        alive_ms: int,
    ) -> None:
        """As `Engine.restore`."""
        world = self._world
        world.now_ms = now_ms
        for key, observed_ms, received_ms, value, quality in values:
            site, _, point = key.partition("/")
            slot = world.slots.get(site, {}).get(point) or self._add_late_point(site, point)
            if slot is not None:
                slot.last, slot.received_ms = Reading(point, observed_ms, value, quality), received_ms
        for site, name, online, _heard_ms in agents:
            world.agents.setdefault((site, name), Agent(f"{site}/{name}")).online = online
        held_to, kept = {}, {}
        known = set()
        for state in states:
            if state.rule == COURSE:
                held_to[state.subject] = state.since_ms
                continue
            if state.rule == PRESENCE:
                kept[state.subject] = state
                continue
            watch = world.watches.get((state.rule, state.subject))
            if watch is not None:
                watch.restore(state)
                known.add(watch)
        resumed = 0 <= now_ms - alive_ms <= RESUME_MS
        if resumed:
            self._see_again(series, tail, held_to)
            self._presence.resume(kept, now_ms)
        else:
            self._presence.give_grace(now_ms)
            self._see_again(series, tail, held_to)
            self._presence.restore_faults()
        for watch in world.watches.values():
            self.arm(watch, watch in known, now_ms, resumed=resumed)
        for slots in world.slots.values():
            for slot in slots.values():
                slot.settle()
        world.changed.clear()

    def _see_again(
        self,
        series: Iterable[tuple[str, Any]],
        tail: Iterable[Tail],
        held_to: dict[str, int],
    ) -> None:
        """Traces as of the checkpoint, then everything since; what was held back is held back again."""
        world = self._world
        for course_key, done_ms in held_to.items():
            course = world.courses.get(course_key)
            if course is not None:
                course.was_holding, course.done_ms = True, done_ms
        for key, data in series:
            site, _, point = key.partition("/")
            slot = world.slots.get(site, {}).get(point)
            for feed in () if slot is None else slot.feeds:
                kept = data.get(feed.course.key)
                if kept is None:
                    continue
                if feed.trace is not None:
                    feed.trace.load(point, kept)
                for at_ms, value, quality, number in kept.get("held", ()):
                    self._see(feed, Reading(point, at_ms, value, quality), at_ms, number)
        for site, readings, received_ms, offset_ms in tail:
            slots = world.slots.get(site, {})
            for reading in readings:
                slot = slots.get(reading.point) or self._add_late_point(site, reading.point)
                if slot is None:
                    continue
                slot.last, slot.received_ms = reading, received_ms
                at_ms = min(reading.observed_ms + offset_ms, received_ms)
                slot.lane.newest_ms = max(slot.lane.newest_ms, at_ms)
                for feed in slot.feeds:
                    if feed.trace is not None or feed.course.was_holding:
                        self._see(feed, reading, at_ms)

    def _see(self, feed: Feed, reading: Reading, at_ms: int, number: int | None = None) -> None:
        if feed.course.was_holding and at_ms > feed.course.done_ms:
            self._progress.hold(feed, reading, at_ms, number)
        elif feed.trace is not None:
            feed.trace.add(reading, at_ms)
            feed.slot.is_new = True

    def arm(self, watch: Watch, is_known: bool, now_ms: int, *, resumed: bool = False) -> None:
        """Timers of a watch after a restart. resumed: what explains it is known to be as it was."""
        self._phases.settle(watch)
        if watch.flapping and watch.rule.flap is not None:
            self._phases.expect_calm(watch)
        self._progress.due_again(watch)
        if not resumed and (watch.is_up or watch.phase == "pending"):
            self._progress.schedule(watch, now_ms, REVIEW)
        if watch.is_late:
            self._progress.expect_end(watch, watch.is_late)
        self._causes.recall(watch)
        if watch.node is not None:
            self._look_again(watch, is_known, now_ms)

    def _look_again(self, watch: Watch, is_known: bool, now_ms: int) -> None:
        """Find out when time alone may change a condition, without judging what was judged before."""
        assert watch.node is not None
        needs = watch.node.needs
        seen = [last.observed_ms for point in needs.points if (last := watch.sight.last(point)) is not None]
        seen += [last.observed_ms for point in watch.points if (last := watch.sight.last(point)) is not None]
        if not seen and not is_known:
            if needs.dates or needs.clock or needs.alarm_rules or needs.finding_rules or watch.counts_known:
                self._progress.schedule(watch, now_ms, LOOK)
            return
        at_ms = max(seen, default=0)
        if is_known:
            at_ms = max(at_ms, watch.since_ms)
        watch.sight.at_ms = at_ms
        again_ms = watch.node.judge(watch.sight, at_ms).again_ms
        if again_ms is not None:
            self._phases.ask_again(watch, again_ms)

    def series(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is remembered of points beside their last values, of all that changed since the last call."""
        for key, slot in self._world.values():
            if not (slot.is_new or slot.holding) or not slot.feeds:
                continue
            slot.is_new = False
            held: dict[str, list[list[Any]]] = {}
            if slot.holding:
                for feed in slot.feeds:
                    rows = [row for row in sorted(feed.course.held, key=lambda row: row[:2]) if row[2] is feed]
                    held[feed.course.key] = [[at_ms, r.value, r.quality, number] for at_ms, number, _, r in rows]
            data = {}
            for feed in slot.feeds:
                kept = {} if feed.trace is None else feed.trace.dump()
                data[feed.course.key] = {**kept, "held": held.get(feed.course.key, [])}
            yield key, data
