"""Holds begin and end here: by people's word, and by themselves when their time comes.

A hold that ends writes its end at the time it was due, also when the gateway was not running then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from contract.messages import Reading, Value
from contract.quality import GOOD, TEST
from gateway.alarms.book import GATEWAY, Moves
from gateway.alarms.holds import Holds
from gateway.control.protocol import AlarmView, Event
from gateway.ledger import alarm_rows as rows
from gateway.ledger.alarm_rows import AlarmRows
from gateway.ledger.records import Drill, Maintenance, OutOfService, Shelf


class Before(NamedTuple):
    """What a point was before a reading."""

    value: Value
    quality: str


class Holding:
    """The holds of one turn."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._holds = moves.book.holds

    # --- time ----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Let what is due by now begin and end."""
        now_ms, holds = self._moves.now_ms, self._holds
        for window in list(holds.windows.values()):
            if window.from_ms <= now_ms < window.until_ms and window.id not in holds.begun:
                holds.begun.add(window.id)
                self._hold_anew(window.from_ms, GATEWAY, window.reason)
        for row in list(holds.due(now_ms)):
            if isinstance(row, Shelf):
                self.unshelve(row, GATEWAY, "", row.until_ms)
            elif isinstance(row, Maintenance):
                self.close_window(row, GATEWAY, "", row.until_ms)
            else:
                self.close_drill(row, GATEWAY, "", row.until_ms)

    def _hold_anew(self, at_ms: int, actor: str, note: str) -> None:
        """Every open alarm whose hold is another one now moves."""
        book, now_ms = self._moves.book, self._moves.now_ms
        for alarm in list(book.open.values()):
            over = self._holds.over(alarm, now_ms)
            if over != (alarm.hold, alarm.hold_until_ms):
                event: Any = "unhold" if over[0] is None else "hold"
                self._moves.move(alarm, event, at_ms, actor, note, {}, alarm)

    # --- the shelf -----------------------------------------------------------------------------------------------

    def shelve(self, alarm: AlarmView, until_ms: int, reason: str, actor: str) -> AlarmView:
        """Put an open alarm on the shelf; what its rule says of its subject pages nobody until then."""
        now_ms = self._moves.now_ms
        shelf = Shelf(alarm.rule, alarm.subject, alarm.id, alarm.severity, now_ms, until_ms, reason, actor)
        self._holds.shelves[alarm.rule, alarm.subject] = shelf
        self._moves.changes.steps.append(rows.write_shelf(shelf))
        self._tell("shelf", shelf_data(shelf, open_=True))
        moved = alarm
        for each in self._open_of(shelf):
            done = self._moves.move(each, "shelve", now_ms, actor, reason, {"until_ms": until_ms}, each)
            moved = done if done.id == alarm.id else moved
        return moved

    def unshelve(self, shelf: Shelf, actor: str, note: str, at_ms: int) -> None:
        """Take it off the shelf."""
        del self._holds.shelves[shelf.rule, shelf.subject]
        self._moves.changes.steps.append(rows.delete_shelf(shelf))
        self._tell("shelf", shelf_data(shelf, open_=False))
        self._audit(actor, "shelf.end", shelf.subject, rule=shelf.rule, note=note, at_ms=at_ms)
        for each in self._open_of(shelf):
            self._moves.move(each, "unshelve", at_ms, actor, note, {}, each)

    def _open_of(self, shelf: Shelf) -> list[AlarmView]:
        opened = self._moves.book.open.values()
        return [alarm for alarm in opened if (alarm.rule, alarm.subject) == (shelf.rule, shelf.subject)]

    # --- out of service ------------------------------------------------------------------------------------------

    def take_out(self, subject: str, reason: str, actor: str) -> dict[str, Any]:
        """Take a device or point out of service until somebody returns it."""
        row = OutOfService(subject, self._moves.now_ms, reason, actor)
        self._holds.out_of_service[subject] = row
        self._moves.changes.steps.append(rows.write_out_of_service(row))
        self._audit(actor, "service.take_out", subject, reason=reason)
        self._hold_anew(self._moves.now_ms, actor, reason)
        return self._tell("service", service_data(row, open_=True))

    def give_back(self, row: OutOfService, actor: str, note: str) -> dict[str, Any]:
        """Return it to service."""
        del self._holds.out_of_service[row.subject]
        self._moves.changes.steps.append(rows.delete_out_of_service(row))
        self._audit(actor, "service.return", row.subject, note=note)
        self._hold_anew(self._moves.now_ms, actor, note)
        return self._tell("service", service_data(row, open_=False))

    # --- maintenance ---------------------------------------------------------------------------------------------

    def open_window(
        self, site: str, scope: Sequence[str], from_ms: int, until_ms: int, reason: str, actor: str
    ) -> dict[str, Any]:
        """Plan a maintenance window, or begin it at once."""
        now_ms = self._moves.now_ms
        window = Maintenance(self._holds.next_window, site, tuple(scope), from_ms, until_ms, reason, actor, now_ms)
        self._holds.next_window += 1
        self._holds.windows[window.id] = window
        self._moves.changes.steps.append(rows.write_window(window))
        self._audit(
            actor,
            "maintenance.open",
            site,
            id=window.id,
            scope=window.scope,
            from_ms=from_ms,
            until_ms=until_ms,
            reason=reason,
        )
        if from_ms <= now_ms:
            self._holds.begun.add(window.id)
            self._hold_anew(now_ms, actor, reason)
        return self._tell("maintenance", window_data(window))

    def close_window(self, window: Maintenance, actor: str, note: str, at_ms: int) -> dict[str, Any]:
        """End a window, or take a planned one back."""
        window = window._replace(closed_ms=at_ms, closed_by=actor, note=note)
        del self._holds.windows[window.id]
        self._holds.begun.discard(window.id)
        self._moves.changes.steps.append(rows.write_window(window))
        self._audit(actor, "maintenance.close", window.site, id=window.id, note=note, at_ms=at_ms)
        self._hold_anew(at_ms, actor, note)
        return self._tell("maintenance", window_data(window))

    # --- drills --------------------------------------------------------------------------------------------------

    def open_drill(
        self, site: str, scope: Sequence[str], until_ms: int, reason: str, leader: str, subjects: Iterable[str]
    ) -> dict[str, Any]:
        """Begin a drill; `subjects` (with site) are expected to speak in it."""
        now_ms, holds = self._moves.now_ms, self._holds
        drill = Drill(holds.next_drill, site, tuple(scope), now_ms, until_ms, reason, leader)
        holds.next_drill += 1
        holds.drills[drill.id] = drill
        holds.listed[drill.id] = set(subjects)
        holds.silent[drill.id] = set(holds.listed[drill.id])
        self._moves.changes.steps.append(rows.write_drill(drill))
        self._moves.changes.steps.append(rows.write_items(drill.id, sorted(holds.listed[drill.id])))
        self._audit(leader, "drill.open", site, id=drill.id, scope=drill.scope, until_ms=until_ms, reason=reason)
        return self._tell("drill", drill_data(drill, holds))

    def close_drill(self, drill: Drill, actor: str, note: str, at_ms: int) -> dict[str, Any]:
        """End a drill: what still stands is real from now on, what has returned was a test and is done with."""
        drill = drill._replace(closed_ms=at_ms, closed_by=actor, note=note)
        data = drill_data(drill, self._holds)
        del self._holds.drills[drill.id]
        past = [row for row in self._holds.past_drills if (row.closed_ms or 0) > self._moves.now_ms - rows.PAST_MS]
        self._holds.past_drills = [*past, drill]
        self._holds.silent.pop(drill.id, None)
        self._holds.listed.pop(drill.id, None)
        self._moves.changes.steps.append(rows.write_drill(drill))
        self._audit(actor, "drill.close", drill.site, id=drill.id, note=note, at_ms=at_ms, spoke=data["ticked"])
        for alarm in list(self._moves.book.open.values()):
            if alarm.drill == drill.id:
                self._end_test(alarm, actor, note, at_ms)
        return self._tell("drill", data)

    def _end_test(self, alarm: AlarmView, actor: str, note: str, at_ms: int) -> None:
        if alarm.active:
            ended = msgspec.structs.replace(
                alarm, drill=None, drill_leader=None, acknowledged_ms=None, acknowledged_by=None
            )
        else:
            ended = msgspec.structs.replace(alarm, finding=alarm.finding or "test")
        self._moves.move(ended, "drill_end", at_ms, actor, note, {"drill": alarm.drill}, alarm)

    def finish(self) -> None:
        """An alarm of a drill that is over by now is real unless it is over too: its agent was away meanwhile."""
        for alarm in list(self._moves.touched.values()):
            if alarm.active and alarm.drill is not None and alarm.drill not in self._holds.drills:
                self._end_test(alarm, GATEWAY, "", self._moves.now_ms)

    # --- what spoke in a drill -----------------------------------------------------------------------------------

    def listens(self, site: str) -> bool:
        """Whether a drill runs there whose list is not complete."""
        return any(drill.site == site and self._holds.silent.get(drill.id) for drill in self._holds.drills.values())

    def hear(self, site: str, reading: Reading, before: Before | None, at_ms: int) -> None:
        """A reading ticks its point when it was made as a test, or changes a state that was known."""
        if reading.quality == TEST:
            self._tick(site, reading.point, at_ms, "test", None)
        elif reading.quality == GOOD and before is not None and before.quality == GOOD:
            known = isinstance(reading.value, bool | str) and before.value is not None
            if known and reading.value != before.value:
                self._tick(site, reading.point, at_ms, "state", None)

    def alarm_spoke(self, alarm: AlarmView) -> None:
        """An alarm that was raised in a drill ticks its point, or its device where that is on the list."""
        name = alarm.subject.partition("/")[2]
        for subject in {name, name.partition("/")[0]}:
            self._tick(alarm.site, subject, alarm.raised_ms, "alarm", alarm.id)

    def _tick(self, site: str, name: str, at_ms: int, how: str, alarm_id: int | None) -> None:
        subject = f"{site}/{name}"
        for drill in self._holds.drills.values():
            silent = self._holds.silent.get(drill.id, set())
            listed = self._holds.listed.get(drill.id, set())
            # An alarm is worth a line of its own beside the change of state that raised it.
            new = subject in silent or (alarm_id is not None and subject in listed)
            if drill.site == site and new and drill.from_ms <= at_ms < drill.until_ms:
                silent.discard(subject)
                self._moves.changes.steps.append(rows.write_spoke(drill, subject, at_ms, how, alarm_id))
                self._tell("drill", drill_data(drill, self._holds))

    # --- telling -------------------------------------------------------------------------------------------------

    def _tell(self, event: Any, data: dict[str, Any]) -> dict[str, Any]:
        self._moves.events.append(Event(event=event, data=data))
        return data

    def _audit(self, actor: str, action: str, subject: str, **detail: Any) -> None:
        self._moves.changes.add_audit(actor, action, subject, **detail)


def make_holds(saved: AlarmRows) -> Holds:
    """What holds alarms, from the ledger's rows."""
    holds = Holds(
        shelves={(row.rule, row.subject): row for row in saved.shelves},
        out_of_service={row.subject: row for row in saved.out_of_service},
        windows={row.id: row for row in saved.windows},
        drills={row.id: row for row in saved.drills if row.closed_ms is None},
        past_drills=[row for row in saved.drills if row.closed_ms is not None],
        next_window=saved.next_window,
        next_drill=saved.next_drill,
    )
    for drill in holds.drills:
        holds.listed[drill] = {subject for number, subject, _ in saved.items if number == drill}
        holds.silent[drill] = {subject for number, subject, spoke in saved.items if number == drill and not spoke}
    return holds


def shelf_data(row: Shelf, *, open_: bool) -> dict[str, Any]:
    """A shelf as screens show it."""
    return {**row._asdict(), "open": open_}


def service_data(row: OutOfService, *, open_: bool) -> dict[str, Any]:
    """Something out of service as screens show it."""
    return {**row._asdict(), "open": open_}


def window_data(row: Maintenance) -> dict[str, Any]:
    """A maintenance window as screens show it."""
    return {**row._asdict(), "open": row.closed_ms is None}


def drill_data(row: Drill, holds: Holds) -> dict[str, Any]:
    """A drill as screens show it."""
    expected = len(holds.listed.get(row.id, ()))
    ticked = expected - len(holds.silent.get(row.id, ()))
    return {**row._asdict(), "expected": expected, "ticked": ticked, "open": row.closed_ms is None}


def held(holds: Holds) -> dict[str, Any]:
    """Everything held or planned, as a snapshot has it; the first to end first, out of service the oldest first."""
    shelves = sorted(holds.shelves.values(), key=lambda row: (row.until_ms, row.rule, row.subject))
    taken_out = sorted(holds.out_of_service.values(), key=lambda row: (row.from_ms, row.subject))
    return {
        "drills": [drill_data(row, holds) for _, row in sorted(holds.drills.items())],
        "maintenance": [
            window_data(row) for row in sorted(holds.windows.values(), key=lambda row: (row.until_ms, row.id))
        ],
        "shelved": [shelf_data(row, open_=True) for row in shelves],
        "out_of_service": [service_data(row, open_=True) for row in taken_out],
    }
