"""Event time: how far it is complete on each lane, what waits for that, and what is judged in which order.

An agent that is connected and caught up is complete up to now. Of one that is away, or back with a backlog, it is
complete up to the newest reading received on the lane. Nothing that lies later is decided: timers wait, and readings
of a course with several lanes are held back until all of them have come that far. So data that comes late is judged
in the order in which it was measured, and gives what it would have given in time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from contract.messages import Reading
from rules.memory import COURSE, NEVER, Agent, Course, Feed, Lane, LastValue, RuleState, Watch, World

MOST_HELD = 50_000
"""Readings that one course holds back; beyond that the oldest are judged without waiting longer."""
CAUGHT_UP_MS = 5_000
"""A lane whose newest reading is not older than this on arrival has caught up."""
BACKLOG_S = 30.0
"""An agent that waits longer than this for receipts has a backlog, though it never was away."""
STILL_MS = 60_000
"""What was raised about the past and is not over after so long counts as still true, whatever is still to come."""
PHASE, AGAIN, REVIEW, CALM, LOOK, STILL = "phase", "again", "review", "calm", "look", "still"
"""Timers: a phase has lasted; the condition asked to be judged again; what explains or inhibits the alarm changed;
nothing flapped for long enough; something it looks at beside points changed; all that was late has come."""
KEPT = frozenset([REVIEW, LOOK])
"""Timers that cannot be worked out again after a restart: they are written down."""


class Progress:
    """Takes readings and timers of each course in order and hands on those whose time is complete."""

    def __init__(
        self, world: World, apply: Callable[[Feed, Reading, int], None], fire: Callable[[Watch, str, int, int], None]
    ) -> None:
        self._world = world
        self._apply = apply
        self._fire = fire
        self._wakes: list[tuple[int, int, str, int, Course]] = []
        self._counter = 0

    # --- timers --------------------------------------------------------------------------------------------------

    def schedule(self, watch: Watch, due_ms: int, kind: str) -> int:
        """Wake the watch when event time has come that far; gives the timer's number."""
        if kind in KEPT:
            if (due_ms, kind) in watch.dues:
                return 0  # arranged already, and nobody asks for the number of these
            watch.dues.append((due_ms, kind))
            self._world.changed[watch.rule.id, watch.subject] = watch
        self._counter = number = self._counter + 1
        heapq.heappush(watch.course.timers, (due_ms, watch.rank, watch.subject, number, kind, watch))
        self._wake(watch.course, due_ms)
        return number

    def due_again(self, watch: Watch) -> None:
        """After a restart: the timers that were kept."""
        dues, watch.dues = watch.dues, []
        for due_ms, kind in dues:
            self.schedule(watch, due_ms, kind)

    def _timer(self, course: Course) -> None:
        """Let the next timer of the course speak."""
        due_ms, _, _, number, kind, watch = heapq.heappop(course.timers)
        if kind in KEPT and (due_ms, kind) in watch.dues:
            watch.dues.remove((due_ms, kind))
            self._world.changed[watch.rule.id, watch.subject] = watch
        self._fire(watch, kind, number, due_ms)

    def move(self, watch: Watch, old: Course) -> None:
        """Take the timers of a watch that changed its course along."""
        mine = [timer for timer in old.timers if timer[5] is watch]
        old.timers[:] = [timer for timer in old.timers if timer[5] is not watch]
        heapq.heapify(old.timers)
        for timer in mine:
            heapq.heappush(watch.course.timers, timer)
            self._wake(watch.course, timer[0])

    def next_due_ms(self) -> int | None:
        """When `advance` next has something to do."""
        return self._wakes[0][0] if self._wakes else None

    def advance(self, now_ms: int) -> None:
        """Let timers speak that are due and whose time is complete."""
        while self._wakes and self._wakes[0][0] <= now_ms:
            due_ms, _, _, _, course = heapq.heappop(self._wakes)
            if course.wake_ms == due_ms:
                course.wake_ms = NEVER
                self.run(course, now_ms)

    def _wake(self, course: Course, due_ms: int) -> None:
        if due_ms < course.wake_ms:
            course.wake_ms = due_ms
            self._counter += 1
            # Of courses due at one moment, those that others wait for come first; the same order after a restart.
            heapq.heappush(self._wakes, (due_ms, len(course.lanes), course.key, self._counter, course))

    def run(self, course: Course, now_ms: int) -> None:
        """Do everything in the course whose time is complete, in order."""
        reach_ms = course.reach_ms(now_ms)
        timers, held = course.timers, course.held
        while True:
            due_ms = timers[0][0] if timers else NEVER
            at_ms = held[0][0] if held else NEVER
            if due_ms <= at_ms:
                if due_ms > reach_ms:
                    break
                self._timer(course)
            elif at_ms <= reach_ms or len(held) > MOST_HELD:
                at_ms, _, feed, reading = heapq.heappop(held)
                self._release(feed, reading, at_ms)
            else:
                break
        if timers and timers[0][0] > now_ms:
            self._wake(course, timers[0][0])  # one that waits for its lanes is woken by them
        self._note(course, reach_ms)
        if course.late:
            self._end_late(course, now_ms)

    def _release(self, feed: Feed, reading: Reading, at_ms: int) -> None:
        self._apply(feed, reading, at_ms)
        feed.slot.holding -= 1
        if not feed.slot.holding:
            feed.slot.settle()

    def _note(self, course: Course, reach_ms: int) -> None:
        """Remember how far a course that holds readings back is judged: a restart goes on from there."""
        holds = bool(course.held)
        if holds or course.was_holding:
            if holds == course.was_holding and reach_ms == course.done_ms:
                return
            course.was_holding, course.done_ms = holds, reach_ms
            self._world.changed_courses[course.key] = course

    # --- readings ------------------------------------------------------------------------------------------------

    def take(self, slot: LastValue, reading: Reading, at_ms: int) -> None:
        """A reading that may matter, at its time; whatever is due before it comes first."""
        if self._wakes and self._wakes[0][0] <= at_ms:
            self.advance(at_ms)
        for feed in slot.feeds:
            course = feed.course
            if len(course.lanes) > 1 and (course.held or at_ms > course.reach_ms(self._world.now_ms)):
                self.hold(feed, reading, at_ms)
                continue
            if course.timers and course.timers[0][0] <= at_ms:
                self._pass(course, at_ms)
            self._apply(feed, reading, at_ms)

    def hold(self, feed: Feed, reading: Reading, at_ms: int, number: int | None = None) -> None:
        """Keep a reading until its time is complete. number: of its turn, where it had one before a restart."""
        self._counter = max(self._counter + 1, number or 0)
        heapq.heappush(feed.course.held, (at_ms, self._counter if number is None else number, feed, reading))
        feed.slot.holding += 1
        feed.slot.calm = False

    def _pass(self, course: Course, at_ms: int) -> None:
        timers = course.timers
        while timers and timers[0][0] <= at_ms:
            self._timer(course)

    # --- lanes ---------------------------------------------------------------------------------------------------

    def arrived(self, lane: Lane, newest_ms: int, now_ms: int) -> None:
        """A batch came on a lane that is behind; its newest reading was measured then."""
        lane.newest_ms = max(lane.newest_ms, newest_ms)
        self._world.moved[lane.agent.path] = lane.agent
        if lane.held is not None:
            lane.held -= 1
        if lane.agent.online and (now_ms - lane.newest_ms <= CAUGHT_UP_MS or lane.held == 0):
            self._caught_up(lane)
        self._moved([lane], now_ms)

    def heard(self, agent: Agent, held: tuple[int, int] | None, waited_s: float, now_ms: int) -> None:
        """A connected agent said what it still holds of (alarm, telemetry), in batches; None: it did not say."""
        if held is None:
            return
        moved = []
        for lane, count in zip(agent.lanes.values(), held, strict=True):
            if lane.behind:
                lane.held = count
                if count == 0:
                    self._caught_up(lane)
                    moved.append(lane)
            elif count and waited_s > BACKLOG_S:
                lane.behind, lane.held, lane.newest_ms = True, count, max(lane.newest_ms, now_ms - int(waited_s * 1000))
        self._moved(moved, now_ms)

    def _caught_up(self, lane: Lane) -> None:
        lane.behind, lane.held = False, None

    def _moved(self, lanes: list[Lane], now_ms: int) -> None:
        # Those that others wait for come first: they are always at least as far.
        courses = {course.key: course for lane in lanes for course in lane.courses}
        for course in sorted(courses.values(), key=lambda course: (len(course.lanes), course.key)):
            self.run(course, now_ms)

    def expect_end(self, watch: Watch, late_ms: int) -> None:
        """The watch was raised about the past: find out whether it is still true, by then at the latest."""
        course = watch.course
        if not course.late or late_ms < course.late_ms:
            course.late_ms = late_ms
            self._wake(course, late_ms)
        watch.is_late = course.late_ms
        course.late[watch.rule.id, watch.subject] = watch

    def _end_late(self, course: Course, now_ms: int) -> None:
        if course.is_behind and now_ms < course.late_ms:
            self._wake(course, course.late_ms)
            return
        late, course.late = list(course.late.values()), {}
        for watch in late:
            self._fire(watch, STILL, 0, now_ms)

    # --- making and keeping --------------------------------------------------------------------------------------

    def course(self, lanes: list[Lane]) -> Course:
        """The course of these lanes."""
        names = sorted({f"{lane.agent.path}:{lane.name}": lane for lane in lanes}.items())
        key = "+".join(name for name, _ in names)
        course = self._world.courses.get(key)
        if course is None:
            course = self._world.courses[key] = Course(key, tuple(lane for _, lane in names))
            for lane in course.lanes:
                lane.courses.append(course)
        return course

    def states(self) -> list[RuleState]:
        """How far courses are judged that hold readings back."""
        return [
            RuleState(COURSE, course.key, "holding" if course.was_holding else "rest", course.done_ms, None, {})
            for course in self._world.changed_courses.values()
        ]
