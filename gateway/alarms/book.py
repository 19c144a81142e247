"""The open alarms in working memory, and the one place where an alarm moves.

A move is: the alarm's row, a transition, an audit row, an event for the screens, the planner of notifications and the
engine told - all for the same transaction, or none of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from gateway.alarms import lifecycle
from gateway.alarms.holds import Holds
from gateway.control.protocol import AlarmView, Event
from gateway.ledger.alarm_rows import AlarmRows, Found
from gateway.ledger.changes import Changes, alarm_row
from gateway.ledger.digests import digest
from rules.memory import Transition

RULE = "rule"
GATEWAY = "gateway"
CLOSED = 1000
"""Alarms that are back to normal and still at hand without asking the ledger."""


class Listener(Protocol):
    """The engine, as far as the life of alarms concerns it."""

    def bind(self, rule: str, subject: str, alarm_id: int) -> None:
        """A raise opened the alarm of this number."""

    def note_alarm(self, rule: str, subject: str, site: str, device: str | None, states: frozenset[str]) -> None:
        """What the alarms of a rule on a subject are: active, unacknowledged, returned_unacknowledged."""

    def note_finding(self, rule: str, subject: str, site: str, device: str | None, finding: str, at_ms: int) -> None:
        """An alarm raised at that time was found to be this; a later finding of the same alarm replaces it."""


class Planner(Protocol):
    """The planner of notifications, as far as the life of alarms concerns it."""

    def alarm_moved(self, alarm: AlarmView, event: str, now_ms: int) -> None:
        """An alarm moved; `alarm` is what it is now."""


class Book:
    """Alarms that are open, by number and by what they are about; what was closed lately; what holds them."""

    def __init__(self, rows: AlarmRows, holds: Holds) -> None:
        self.open: dict[int, AlarmView] = {alarm.id: alarm for alarm in rows.alarms}
        self.active: dict[tuple[str, str], int] = {(a.rule, a.subject): a.id for a in rows.alarms if a.active}
        self.closed: OrderedDict[int, AlarmView] = OrderedDict()
        self.next_alarm = rows.next_alarm
        self.holds = holds
        self._of: dict[tuple[str, str], set[int]] = {}
        self._found = rows.found
        for alarm in rows.alarms:
            self._of.setdefault((alarm.rule, alarm.subject), set()).add(alarm.id)

    def tell(self, listener: Listener) -> None:
        """After a start: what there is, for an engine that was just made."""
        for key in self._of:
            alarm = self.open[next(iter(self._of[key]))]
            listener.note_alarm(*key, alarm.site, alarm.device, self.states(*key))
        for found in self._found:
            listener.note_finding(*found)

    def states(self, rule: str, subject: str) -> frozenset[str]:
        """What the alarms of a rule on a subject are together."""
        found = set()
        for alarm_id in self._of.get((rule, subject), ()):
            alarm = self.open[alarm_id]
            if alarm.active:
                found.add("active")
            # A test belongs to its drill: nobody on duty owes it an acknowledgement.
            if alarm.state != lifecycle.ACKNOWLEDGED and alarm.drill is None:
                found.add(alarm.state)
        return frozenset(found)

    def keep(self, alarm: AlarmView) -> None:
        """Remember an alarm as it is now."""
        key = (alarm.rule, alarm.subject)
        if alarm.state == lifecycle.NORMAL:
            self.open.pop(alarm.id, None)
            ids = self._of.get(key, set())
            ids.discard(alarm.id)
            if not ids:
                self._of.pop(key, None)
            self.closed[alarm.id] = alarm
            self.closed.move_to_end(alarm.id)
            while len(self.closed) > CLOSED:
                self.closed.popitem(last=False)
        else:
            self.open[alarm.id] = alarm
            self._of.setdefault(key, set()).add(alarm.id)
        if alarm.active:
            self.active[key] = alarm.id
        elif self.active.get(key) == alarm.id:
            del self.active[key]


class Moves:
    """The moves of one turn.

    Args:
        names_of: the subjects (without site) that a decision rests on, for telling whether a drill caused it.
    """

    def __init__(
        self,
        book: Book,
        engine: Listener,
        planner: Planner | None,
        changes: Changes,
        now_ms: int,
        names_of: Callable[[Transition], Iterable[str]],
    ) -> None:
        self.book = book
        self.changes = changes
        self.now_ms = now_ms
        self.touched: dict[int, AlarmView] = {}
        self.events: list[Event] = []
        """What is held, as it changed."""
        self.moved: list[tuple[AlarmView, str]] = []
        """Every move (alarm, event), in order, for the registers."""
        self._engine = engine
        self._planner = planner
        self._names_of = names_of

    # --- what the rules say --------------------------------------------------------------------------------------

    def decide(self, cause: Transition) -> AlarmView | None:
        """Turn a decision of the engine into a move; None when it changes nothing."""
        alarm_id = self.book.active.get((cause.rule, cause.subject))
        alarm = None if alarm_id is None else self.book.open[alarm_id]
        if alarm is None:
            # A flap is a raise too: a decision that something is wrong is never lost.
            return self._raise(cause) if cause.event in ("raise", "flap") else None
        if cause.event == "clear":
            cleared = msgspec.structs.replace(alarm, active=False, suppressed=False, cleared_ms=cause.event_ms)
            return self._rule_moves(cleared, alarm, cause)
        if cause.event == "flap":
            return self._rule_moves(msgspec.structs.replace(alarm, count=max(cause.count, alarm.count)), alarm, cause)
        if cause.event == "suppress":
            return self._rule_moves(msgspec.structs.replace(alarm, suppressed=True, cause=cause.cause), alarm, cause)
        if cause.event == "release":
            # What is still true after all that was late has come is no matter of the past any more.
            late = alarm.retrospective and cause.retrospective
            released = msgspec.structs.replace(alarm, suppressed=False, cause=None, retrospective=late)
            return self._rule_moves(released, alarm, cause)
        return None

    def _raise(self, cause: Transition) -> AlarmView:
        drill = self.book.holds.drill_of(cause.site, self._names_of(cause), cause.event_ms)
        alarm = AlarmView(
            id=self.book.next_alarm,
            rule=cause.rule,
            subject=cause.subject,
            site=cause.site,
            device=cause.device,
            severity=cause.severity,
            state=lifecycle.NORMAL,
            active=True,
            retrospective=cause.retrospective,
            raised_ms=cause.event_ms,
            recorded_ms=self.now_ms,
            cleared_ms=None,
            acknowledged_ms=None,
            acknowledged_by=None,
            inputs=cause.inputs,
            cause=cause.cause,
            count=max(cause.count, 1),
            drill=drill.id if drill else None,
            drill_leader=drill.leader if drill else None,
        )
        self.book.next_alarm += 1
        self.changes.rule_versions[alarm.id] = cause.rule_version
        self._engine.bind(cause.rule, cause.subject, alarm.id)
        return self.move(alarm, "raise", cause.event_ms, RULE, "", cause.inputs)

    def _rule_moves(self, alarm: AlarmView, before: AlarmView, cause: Transition) -> AlarmView:
        inputs = cause.inputs if cause.cause is None else {**cause.inputs, "cause": cause.cause}
        return self.move(alarm, cause.event, cause.event_ms, RULE, "", inputs, before)

    # --- what people say -----------------------------------------------------------------------------------------

    def acknowledge(self, alarm: AlarmView, actor: str, note: str) -> AlarmView | None:
        """Acknowledge an open alarm; None when its state has nothing to acknowledge."""
        done = msgspec.structs.replace(alarm, acknowledged_ms=self.now_ms, acknowledged_by=actor)
        return self._person_moves(done, alarm, "acknowledge", actor, note, {})

    def assign(self, alarm: AlarmView, person: str | None, actor: str, note: str) -> AlarmView | None:
        """Give an open alarm to somebody; None takes it back."""
        done = msgspec.structs.replace(alarm, assignee=person)
        return self._person_moves(done, alarm, "assign", actor, note, {"person": person})

    def note(self, alarm: AlarmView, actor: str, note: str) -> AlarmView | None:
        """Add a note, also to an alarm that is over."""
        return self._person_moves(alarm, alarm, "note", actor, note, {})

    def find(self, alarm: AlarmView, finding: str, actor: str, note: str) -> AlarmView | None:
        """Say what an alarm was, also after it is over."""
        done = msgspec.structs.replace(alarm, finding=finding)
        moved = self._person_moves(done, alarm, "find", actor, note, {"finding": finding})
        self._engine.note_finding(alarm.rule, alarm.subject, alarm.site, alarm.device, finding, alarm.raised_ms)
        return moved

    def _person_moves(
        self, alarm: AlarmView, before: AlarmView, event: lifecycle.Event, actor: str, note: str, inputs: dict[str, Any]
    ) -> AlarmView | None:
        if lifecycle.next_state(before.state, event) is None:
            return None
        if note:
            alarm = msgspec.structs.replace(alarm, notes=alarm.notes + 1)
        return self.move(alarm, event, self.now_ms, actor, note, inputs, before)

    # --- the one place -------------------------------------------------------------------------------------------

    def move(
        self,
        alarm: AlarmView,
        event: lifecycle.Event,
        at_ms: int,
        actor: str,
        note: str,
        inputs: dict[str, Any],
        before: AlarmView | None = None,
    ) -> AlarmView:
        """Move an alarm by an event that means something in its state, and say so everywhere.

        Args:
            alarm: as it is to be, but for its state and hold. before: as it was; None for a new one.
        """
        from_state = alarm.state if before is None else before.state
        state = lifecycle.next_state(from_state, event)
        assert state is not None, f"alarm {alarm.id}: {event} means nothing in {from_state}"
        hold, until_ms = (None, None) if state == lifecycle.NORMAL else self.book.holds.over(alarm, self.now_ms)
        alarm = msgspec.structs.replace(alarm, state=state, hold=hold, hold_until_ms=until_ms)
        if hold != (None if before is None else before.hold):
            inputs = {**inputs, "hold": hold}
        self.book.keep(alarm)
        self.changes.alarms[alarm.id] = self.touched[alarm.id] = alarm
        encoded = msgspec.json.encode(inputs).decode()
        step = (alarm.id, event, from_state, state, at_ms, self.now_ms, actor, note, encoded)
        self.changes.transitions.append(step)
        row = alarm_row(alarm, self.changes.rule_versions.get(alarm.id, ""))
        raised = {"version": row[2]} if event == "raise" else {}
        self.changes.add_audit(
            actor,
            f"alarm.{event}",
            alarm.subject,
            alarm=alarm.id,
            rule=alarm.rule,
            state=state,
            event_ms=at_ms,
            note=note,
            step=digest(step),
            row=digest(row[:2] + row[3:]),
            **raised,
        )
        if self._planner is not None:
            self._planner.alarm_moved(alarm, event, self.now_ms)
        self.moved.append((alarm, event))
        states = self.book.states(alarm.rule, alarm.subject)
        self._engine.note_alarm(alarm.rule, alarm.subject, alarm.site, alarm.device, states)
        return alarm


__all__ = ["GATEWAY", "RULE", "Book", "Found", "Listener", "Moves", "Planner"]
