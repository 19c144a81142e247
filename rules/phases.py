"""The phases of one rule on one subject, and the decisions that come of them.

    rest ──violated──> pending ──held for_s──> active ──over──> clearing ──held clear_for_s──> rest
             └ for_s = 0: straight to active       └ clear_for_s = 0: straight to rest

A bad, unknown or test value never raises: it ends a pending phase; an active alarm holds or clears as the rule's
`on_missing` says; a clearing phase falls back to active, because unknown is never OK. What would be raised while its
cause or an inhibiting alarm stands waits; what is up already is suppressed and released.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from contract.messages import Reading
from contract.quality import kind
from rules.conditions_view import is_known
from rules.horizon import AGAIN, CALM, LOOK, PHASE, REVIEW, STILL, STILL_MS, Progress
from rules.memory import Event, Transition, Watch, World
from rules.model import Quality, State, Threshold

LATE_MS = 60_000
"""A decision about a moment longer ago than this, while more is still to come, is marked retrospective."""


class Block(NamedTuple):
    """What keeps an alarm still: the path of the node or subject, and words for the record."""

    cause: str
    inputs: dict[str, Any]


class Order(Protocol):
    """What stands above an alarm, and who wants to know of it."""

    def block(self, watch: Watch, at_ms: int) -> Block | None:
        """What explains or inhibits it at that moment."""

    def announce(self, watch: Watch, at_ms: int) -> None:
        """Its alarm began or ended then."""


class Phases:
    """Steps watches through their phases and collects decisions."""

    def __init__(self, world: World, progress: Callable[[], Progress], order: Callable[[], Order]) -> None:
        self._world = world
        self._progress = progress
        self._order = order

    # --- what is judged ------------------------------------------------------------------------------------------

    def judge(self, watch: Watch, reading: Reading, at_ms: int) -> None:
        """Judge one reading by a rule of one leaf on one point."""
        value, quality = reading.value, reading.quality
        inputs: dict[str, Any] = {"value": value, "quality": quality, "observed_ms": at_ms}
        if isinstance(watch.rule.when, Quality):  # here a bad or unknown quality is the news itself
            violated = watch.rule.when.fits(quality)
            if violated or watch.phase != "rest":
                self.step(watch, violated, not violated, at_ms, inputs)
            return
        if kind(quality) not in ("good", "uncertain") or value is None:
            self._missing(watch, at_ms, inputs)
            return
        when = watch.rule.when
        if isinstance(when, Threshold):
            if value.__class__ is not float:
                self._missing(watch, at_ms, inputs)
                return
            number = float(value)
            if when.below is not None:
                violated, over, limit = number < when.below, number >= when.clear, when.below
            else:
                assert when.above is not None
                violated, over, limit = number > when.above, number <= when.clear, when.above
            inputs["limit"] = limit
        elif isinstance(when, State):
            # 1.0 equals true in Python, and in nobody's mind.
            violated = value in when.equals and value.__class__ is not float
            over = not violated
        else:  # absence, told by the device's own `online`
            violated, over = value is False, value is True
        self.step(watch, violated, over, at_ms, inputs)

    def look(self, watch: Watch, at_ms: int) -> None:
        """Judge a condition that looks at more than one reading."""
        assert watch.node is not None
        if watch.counts_known and not watch.known_ms:
            watch.known_ms = at_ms
            self._changed(watch)
        watch.sight.at_ms = at_ms
        watch.calm = watch.node.calm(watch.sight, at_ms) if watch.phase == "rest" else None
        if watch.calm is not None:  # it does not hold, and why is of no interest
            self._expect_change(watch, watch.calm.until_ms, at_ms)
            return
        truth = watch.node.judge(watch.sight, at_ms)
        self._expect_change(watch, truth.again_ms, at_ms)
        if watch.phase == "rest" and not truth.violated:
            return
        inputs = {**truth.inputs, "at_ms": at_ms}
        if not truth.violated and not truth.over and self._is_missing(watch):
            self._missing(watch, at_ms, inputs)
        else:
            self.step(watch, truth.violated, truth.over, at_ms, inputs)

    def _expect_change(self, watch: Watch, again_ms: int | None, at_ms: int) -> None:
        if again_ms is None:
            return
        self.ask_again(watch, max(again_ms, at_ms + 1))
        if not watch.is_timed:
            watch.is_timed = True
            if watch.phase == "rest":
                watch.since_ms = at_ms
            self._changed(watch)

    def ask_again(self, watch: Watch, at_ms: int) -> None:
        """Judge it again then at the latest. An earlier time that is arranged stays: judging early changes nothing."""
        if not watch.again or at_ms < watch.again_ms:
            watch.again_ms = at_ms
            watch.again = self._progress().schedule(watch, at_ms, AGAIN)

    def _is_missing(self, watch: Watch) -> bool:
        assert watch.node is not None
        for point in watch.node.needs.points:
            last = watch.sight.last(point)
            if last is None or not is_known(last.value, last.quality):
                return True
        return False

    def step(self, watch: Watch, violated: bool, over: bool, at_ms: int, inputs: dict[str, Any]) -> None:
        """The condition holds, is over, or is neither, since that moment."""
        phase = watch.phase
        if phase == "rest":
            if violated:
                self._enter(watch, "pending", at_ms, inputs)
                self._mature(watch, at_ms)
        elif phase == "pending":
            if not violated:
                self._enter(watch, "rest", at_ms, {})
            elif at_ms < watch.since_ms:  # the agent's clock went back
                self._enter(watch, "pending", at_ms, inputs)
        elif phase == "active":
            if over:
                self._enter(watch, "clearing", at_ms, inputs)
                self._mature(watch, at_ms)
        elif phase == "clearing" and not over:
            self._enter(watch, "active", at_ms, watch.detail)

    def _missing(self, watch: Watch, at_ms: int, inputs: dict[str, Any]) -> None:
        if watch.phase == "pending":
            self._enter(watch, "rest", at_ms, {})
        elif watch.phase == "clearing":
            self._enter(watch, "active", at_ms, watch.detail)
        if watch.phase == "active" and watch.rule.on_missing == "clear":
            watch.detail = inputs
            self._clear(watch, at_ms)

    # --- timers --------------------------------------------------------------------------------------------------

    def fire(self, watch: Watch, what: str, number: int, at_ms: int) -> None:
        """A timer of the watch is due, at its time."""
        if self._world.watches.get((watch.rule.id, watch.subject)) is not watch:
            return  # taken out meanwhile
        if what == PHASE:
            if watch.timer == number:
                self._mature(watch, at_ms)
        elif what == AGAIN:
            if watch.again == number:
                watch.again = 0
                self.look(watch, at_ms)
        elif what == LOOK:
            if watch.node is not None:
                self.look(watch, at_ms)
        elif what == REVIEW:
            self.review(watch, at_ms)
        elif what == CALM:
            self._calm(watch, at_ms)
        elif what == STILL:
            self._is_still_true(watch, at_ms)

    def _is_still_true(self, watch: Watch, now_ms: int) -> None:
        """An alarm about the past turned out to be one of the present."""
        if watch.is_late:
            watch.is_late = 0
            if watch.is_up:
                self._tell(watch, "release", now_ms, {"reason": "still true"})

    def review(self, watch: Watch, at_ms: int) -> None:
        """What explains or inhibits the alarm changed."""
        block = self._order().block(watch, at_ms)
        if watch.phase == "pending" and watch.waits and block is None:
            watch.waits = False
            self._raise(watch, max(at_ms, watch.since_ms + for_ms(watch)))
        elif watch.is_up and block is not None and watch.suppressed is None:
            watch.suppressed = block.cause
            self._tell(watch, "suppress", at_ms, block.inputs, block.cause)
        elif watch.is_up and block is None and watch.suppressed is not None:
            cause, watch.suppressed = watch.suppressed, None
            self._tell(watch, "release", at_ms, {"reason": "its cause is over", "cause": cause})

    def _mature(self, watch: Watch, at_ms: int) -> None:
        """A phase that has held long enough by `at_ms` ends, at the moment it was due."""
        if watch.phase == "pending" and not watch.waits:
            due_ms = watch.since_ms + for_ms(watch)
            if due_ms <= at_ms:
                if self._order().block(watch, due_ms) is not None:
                    watch.waits = True
                    # What blocks it may have ended already, where others are ahead in time.
                    self._progress().schedule(watch, max(at_ms, due_ms), REVIEW)
                    return
                self._raise(watch, due_ms)
        elif watch.phase == "clearing":
            due_ms = watch.since_ms + int(watch.rule.clear_for_s * 1000)
            if due_ms <= at_ms:
                self._clear(watch, due_ms)

    def expect_calm(self, watch: Watch) -> None:
        """Wait for a flapping alarm to have been calm for long enough."""
        if watch.rule.flap is not None:
            self._progress().schedule(watch, watch.flap_ms[-1] + int(watch.rule.flap.calm_s * 1000), CALM)

    def _calm(self, watch: Watch, at_ms: int) -> None:
        flap = watch.rule.flap
        if flap is None or not watch.flapping or watch.flap_ms[-1] + int(flap.calm_s * 1000) != at_ms:
            return
        raises, watch.flapping = watch.flap_count, False
        if watch.phase in ("rest", "pending"):
            self._tell(watch, "clear", at_ms, {"calm_s": flap.calm_s, "raises": raises})
            self._order().announce(watch, at_ms)
        self._changed(watch)

    # --- decisions -----------------------------------------------------------------------------------------------

    def _raise(self, watch: Watch, event_ms: int) -> None:
        flap, event, count = watch.rule.flap, "raise", 1
        if flap is not None:
            recent = [at for at in watch.flap_ms if at > event_ms - int(flap.within_s * 1000)]
            watch.flap_ms = [*recent, event_ms][-flap.count :]
            if watch.flapping:
                event, watch.flap_count = "flap", watch.flap_count + 1
            elif len(watch.flap_ms) >= flap.count:
                watch.flapping, watch.flap_count = True, len(watch.flap_ms)
            if watch.flapping:
                count = watch.flap_count
                self.expect_calm(watch)
        if event == "flap":
            self._tell(watch, "flap", event_ms, dict(watch.detail), count=count)
            self._enter(watch, "active", event_ms, watch.detail)
            return
        watch.suppressed, watch.up_ms = None, event_ms
        self._tell(watch, "raise", event_ms, dict(watch.detail), count=count)
        self._enter(watch, "active", event_ms, watch.detail)
        self._order().announce(watch, event_ms)

    def _clear(self, watch: Watch, event_ms: int) -> None:
        flap = watch.rule.flap
        if watch.flapping and flap is not None:
            if event_ms < watch.flap_ms[-1] + int(flap.calm_s * 1000):
                self._enter(watch, "rest", event_ms, {})  # comes and goes: the one alarm stays up
                return
            watch.flapping = False
        self._tell(watch, "clear", event_ms, dict(watch.detail))
        watch.suppressed, watch.is_late = None, 0
        self._enter(watch, "rest", event_ms, watch.detail)
        self._order().announce(watch, event_ms)

    def withdraw(self, watch: Watch, at_ms: int, reason: str) -> None:
        """End the alarm of a rule that is no more."""
        if watch.is_up:
            watch.flapping = False
            self._tell(watch, "clear", at_ms, {"reason": reason})
        watch.flap_ms, watch.is_timed, watch.suppressed, watch.is_late = [], False, None, 0
        self._enter(watch, "rest", at_ms, {})
        self._order().announce(watch, at_ms)

    def _tell(
        self,
        watch: Watch,
        event: Event,
        event_ms: int,
        inputs: dict[str, Any],
        cause: str | None = None,
        count: int = 1,
    ) -> None:
        late = self._world.now_ms - event_ms > LATE_MS
        if event in ("raise", "flap", "release"):
            # What is known to be true now is no matter of the past, however long ago it began.
            late = late and watch.course.is_behind
            if late and event == "raise":
                self._progress().expect_end(watch, self._world.now_ms + STILL_MS)
        device = None if watch.device is None else watch.device.name
        rule = watch.rule
        self._world.transitions.append(
            Transition(
                rule.id, watch.version, rule.severity, watch.subject, watch.site, device, event, event_ms, late, inputs,
                cause, count,
            )
        )  # fmt: skip
        self._changed(watch)

    def _enter(self, watch: Watch, phase: str, since_ms: int, detail: dict[str, Any]) -> None:
        watch.phase, watch.since_ms, watch.detail, watch.waits = phase, since_ms, detail, False
        self._changed(watch)
        self.settle(watch)

    def settle(self, watch: Watch) -> None:
        """Timer and calm flags as the phase asks."""
        watch.timer = 0
        if watch.phase == "pending":
            watch.timer = self._progress().schedule(watch, watch.since_ms + for_ms(watch), PHASE)
        elif watch.phase == "clearing":
            due_ms = watch.since_ms + int(watch.rule.clear_for_s * 1000)
            watch.timer = self._progress().schedule(watch, due_ms, PHASE)
        for slot in watch.slots:
            slot.settle()

    def _changed(self, watch: Watch) -> None:
        self._world.changed[watch.rule.id, watch.subject] = watch


def for_ms(watch: Watch) -> int:
    """How long the condition must have held. The absence of a device waits until its line is judged."""
    least_ms = int(watch.rule.for_s * 1000)
    if watch.rule.when.kind == "absence" and watch.device is not None:
        return max(least_ms, watch.device.wait_ms)
    return least_ms
