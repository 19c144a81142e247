"""Who is told what and when. Pure: alarms and the time go in, messages to be written come out.

Fire goes out in the same transaction as its alarm: one message for each alarm, person and way, never merged, never
held back. Everything else waits `gather_s` for its like, is merged by site and cause, and keeps to a budget for each
person; a message then says how many of what and names the worst.

Times are absolute (ms UTC) and stand in the ledger, so a restart changes nothing. Each alarm that is told has an
escalation: the steps of its chain until somebody acknowledges or it is over, repeats, and one all-clear to those
who were told.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

import msgspec

from gateway.control.protocol import AlarmView
from gateway.notify.calls import Call, End
from gateway.notify.outbox import Box, Escalation, Lane, Notice, Plans, SavedPlans
from gateway.notify.settings import Chain, NotifySettings, Person
from gateway.notify.texts import RANK, Facts, Kind, Message, Writer, facts_of

BACK_MS = 2000
"""A clock that went back by more than this moves every time in wait with it."""
QUIET_CHECK_MS = 60_000
URGENCY = {"escalation": 0, "call": 0, "alarm": 1, "late": 2, "repeat": 3, "clear": 4}


class Planner:
    """Plans messages. See the module's text.

    Args:
        settings: people, chains, routes, budget.
        writer: writes the messages.
    """

    def __init__(self, settings: NotifySettings, writer: Writer) -> None:
        self._settings = settings
        self._writer = writer
        self._zone = ZoneInfo(settings.time_zone)
        self._people = {person.id: person for person in settings.people}
        self._chains = {chain.id: chain for chain in settings.chains}
        self._running: dict[int, Escalation] = {}
        self._fresh: dict[int, Escalation] = {}
        self._heap: list[tuple[int, int]] = []
        self._boxes: dict[str, Box] = {}
        self._waiting: dict[str, dict[int, None]] = {}
        self._plans = Plans()
        self._next_notice = 1
        self._now_ms = 0

    # --- what comes in -------------------------------------------------------------------------------------------

    def restore(self, saved: SavedPlans, alarms: Iterable[AlarmView], now_ms: int) -> None:
        """Go on where the ledger stands. Open alarms nobody was told of yet begin now."""
        self._now_ms = now_ms
        self._next_notice = saved.next_notice
        self._boxes = dict(saved.boxes)
        for number, row in saved.escalations.items():
            self._running[number] = row
            self._keep_sane(row, now_ms)
            self._schedule(number, row)
            for person in row.waiting:
                self._waiting.setdefault(person, {})[number] = None
        for person in self._waiting:
            box = self._box(person, now_ms)
            if box.due_ms is None or box.due_ms > now_ms + QUIET_CHECK_MS + self._refill_ms:
                box.due_ms = now_ms
        for alarm in alarms:
            if alarm.id not in self._running:
                self.alarm_moved(alarm, "start", now_ms)

    def alarm_moved(self, alarm: AlarmView, event: str, now_ms: int) -> None:
        """An alarm changed (any event of its life); call at every change, before `advance` of the same turn."""
        row = self._running.get(alarm.id)
        if row is None:
            if alarm.retrospective and alarm.active and alarm.severity != "fire":
                return  # whether it is still true shows when all that is late has come: `release`, or it is over
            if _pages(alarm) or (alarm.retrospective and event == "clear" and alarm.hold is None):
                self._begin(alarm, now_ms)
            elif event == "raise" and alarm.hold == "drill":
                self._tell_leader(alarm, now_ms)
            return
        row.facts = facts_of(alarm)
        if not alarm.active:
            self._end(alarm.id, row, now_ms)
        elif alarm.state != "unacknowledged":
            self._stop(alarm.id, row, "acknowledged")
        elif alarm.hold is not None:
            self._stop(alarm.id, row, f"held: {alarm.hold}")
        elif row.stopped:
            self._resume(alarm.id, row, now_ms)

    def take_call(self, ask: Call | End, now_ms: int) -> None:
        """Call a station to a fire elsewhere, or end such a call; call it before `advance` of the same turn."""
        row = self._running.get(ask.number)
        if isinstance(ask, Call):
            chain = self._settings.chain_for("fire", ask.called)
            if row is None and chain is not None:
                row = Escalation(ask.facts(), chain.id, "fire", now_ms, told={}, waiting={}, called=ask.called)
                row.repeat_ms = None if chain.repeat_s is None else now_ms + round(chain.repeat_s * 1000)
                self._running[ask.number] = self._fresh[ask.number] = row
        elif row is not None and ask.over_ms is None:
            self._stop(ask.number, row, "answered")
        elif row is not None:
            row.facts = msgspec.structs.replace(row.facts, active=False, cleared_ms=ask.over_ms)
            self._end(ask.number, row, now_ms)

    def advance(self, now_ms: int) -> None:
        """Let time pass: steps, repeats, and messages about faults that are due."""
        if now_ms < self._now_ms - BACK_MS:
            self._shift(now_ms - self._now_ms)
        self._now_ms = now_ms
        for number, row in list(self._fresh.items()):
            del self._fresh[number]
            if row.late and not row.facts.active:
                self._tell_late(number, row, now_ms)
            else:
                self._step(number, row, now_ms)
        while self._heap and self._heap[0][0] <= now_ms:
            at_ms, number = heapq.heappop(self._heap)
            due = self._running.get(number)
            if due is not None and due.next_ms == at_ms:
                self._step(number, due, now_ms)
        # In an order that a restart does not change.
        for person in sorted(self._boxes):
            box = self._boxes[person]
            if box.due_ms is not None and box.due_ms <= now_ms:
                self._flush(person, box, now_ms)

    def next_due_ms(self) -> int | None:
        """When `advance` has something to do (ms UTC); None: never."""
        while self._heap:
            row = self._running.get(self._heap[0][1])
            if row is not None and row.next_ms == self._heap[0][0]:
                break
            heapq.heappop(self._heap)
        due = [box.due_ms for box in self._boxes.values() if box.due_ms is not None]
        due += [self._heap[0][0]] if self._heap else []
        return self._now_ms if self._fresh else min(due, default=None)

    def take(self) -> Plans:
        """What is to be written since the last call."""
        plans, self._plans = self._plans, Plans()
        return plans

    @property
    def escalations(self) -> dict[int, Escalation]:
        """Alarms that are being told, by number."""
        return self._running

    def add(
        self, person: str, channel: str, kind: str, message: Message, now_ms: int, expires_ms: int, token: str
    ) -> int:
        """Plan a message that is about no alarm (proof of the path); gives its number."""
        return self._notice(person, channel, "fault", kind, "info", [], message, now_ms, expires_ms, [], token)

    # --- an alarm's way through its chain ------------------------------------------------------------------------

    def _begin(self, alarm: AlarmView, now_ms: int) -> None:
        chain = self._settings.chain_for(alarm.severity, alarm.site)
        if chain is None:
            return
        lane: Lane = "fire" if alarm.severity == "fire" else "fault"
        row = Escalation(facts_of(alarm), chain.id, lane, now_ms, told={}, waiting={}, late=alarm.retrospective)
        row.repeat_ms = None if chain.repeat_s is None else now_ms + round(chain.repeat_s * 1000)
        self._running[alarm.id] = self._fresh[alarm.id] = row

    def _tell_leader(self, alarm: AlarmView, now_ms: int) -> None:
        """A fire of a drill pages nobody but who leads the drill, and says that it is a test."""
        leader = self._people.get(alarm.drill_leader or "")
        if leader is not None and alarm.severity == "fire":
            message = self._writer.one(facts_of(alarm), "alarm")
            self._send(leader, "fire", "alarm", "fire", [alarm.id], message, now_ms, now_ms + self._keep_ms)

    def _resume(self, number: int, row: Escalation, now_ms: int) -> None:
        """A hold ended and the alarm still stands: its chain begins anew."""
        row.stopped, row.began_ms, row.step = False, now_ms, 0
        chain = self._chains.get(row.chain)
        if chain is not None and chain.repeat_s is not None:
            row.repeat_ms = now_ms + round(chain.repeat_s * 1000)
        self._fresh[number] = row

    def _step(self, number: int, row: Escalation, now_ms: int) -> None:
        """Enter every step that is due, repeat to those told before, and set the next time."""
        told_site = row.called or row.facts.site
        chain = self._chains.get(row.chain) or self._settings.chain_for(row.facts.severity, told_site)
        if chain is None:
            self._forget(number, row)
            return
        before, entered = list(row.told), False
        while row.step < len(chain.steps) and _step_ms(chain, row) <= now_ms:
            step = chain.steps[row.step]
            row.step += 1
            entered = True
            for person in step.people:
                self._tell(number, row, person, "alarm" if row.step == 1 else "escalation", now_ms)
        if row.repeat_ms is not None and row.repeat_ms <= now_ms and chain.repeat_s is not None:
            every_ms = round(chain.repeat_s * 1000)
            row.repeat_ms = (row.repeat_ms if now_ms - row.repeat_ms < every_ms else now_ms) + every_ms
            told = before if entered else list(row.told)
            for person in told:
                if person not in row.waiting and person in self._people:
                    self._tell(number, row, person, "repeat", now_ms)
        self._set_next(row, chain)
        self._schedule(number, row)
        self._save(number, row)

    def _set_next(self, row: Escalation, chain: Chain) -> None:
        times = [] if row.repeat_ms is None else [row.repeat_ms]
        if row.step < len(chain.steps):
            times.append(_step_ms(chain, row))
        row.next_ms = min(times, default=None)

    def _tell(self, number: int, row: Escalation, person_id: str, kind: Kind, now_ms: int) -> None:
        person = self._people.get(person_id)
        if person is None:
            return  # taken out of the configuration since
        if row.lane == "fault":
            row.told.setdefault(person_id, [])
            self._wait(number, row, person_id, kind, now_ms)
            return
        for old in row.told.get(person_id, []):
            self._plans.stops.append((old, "a later message says the same"))
        kind = "call" if row.called is not None and kind != "repeat" else kind
        message = self._writer.one(row.facts, kind)
        row.told[person_id] = self._send(person, "fire", kind, row.facts.severity, row.about, message, now_ms)

    def _tell_late(self, number: int, row: Escalation, now_ms: int) -> None:
        """It was over before it was known: recorded, told without haste, never repeated."""
        chain = self._chains[row.chain]
        for person in chain.steps[0].people:
            self._wait(number, row, person, "late", now_ms)
        row.next_ms = row.repeat_ms = None
        self._save(number, row)

    def _stop(self, number: int, row: Escalation, why: str) -> None:
        """No further step or repeat; who was told stays noted for the all-clear."""
        if row.stopped:
            return
        self._fresh.pop(number, None)
        row.stopped, row.next_ms, row.repeat_ms = True, None, None
        if row.lane == "fire":
            self._plans.stops += [(old, why) for ids in row.told.values() for old in ids]
        for person in [person for person, kind in row.waiting.items() if kind not in ("late", "clear")]:
            del row.waiting[person]
            self._waiting[person].pop(number, None)
            if not row.told.get(person):
                row.told.pop(person, None)
        self._save(number, row)

    def _end(self, number: int, row: Escalation, now_ms: int) -> None:
        """It is over: one all-clear to each who was told."""
        if number in self._fresh:
            if row.late:
                return  # decided in `advance`
            del self._fresh[number]
            if row.lane == "fire":
                self._step(number, row, now_ms)  # a fire is told even when it is over within one turn
            else:
                self._forget(number, row)
                return
        if row.lane == "fire":
            self._clear_fire(number, row, now_ms)
            return
        if "late" in row.waiting.values():
            return
        row.next_ms = row.repeat_ms = None
        for person in list(row.told):
            if not row.told[person]:  # it still waits for its first message: neither is needed
                row.waiting.pop(person, None)
                self._waiting.get(person, {}).pop(number, None)
            else:
                self._wait(number, row, person, "clear", now_ms)
        self._forget(number, row) if not row.waiting else self._save(number, row)

    def _clear_fire(self, number: int, row: Escalation, now_ms: int) -> None:
        until_ms = now_ms + self._keep_ms
        for person_id, ids in row.told.items():
            # Not stopped: whoever could not be reached in time still has to learn that there was a fire.
            self._plans.limits += [(old, until_ms) for old in ids]
            if (person := self._people.get(person_id)) is not None:
                message = self._writer.one(row.facts, "clear")
                self._send(person, "fire", "clear", row.facts.severity, row.about, message, now_ms, until_ms, ids)
        self._forget(number, row)

    # --- faults: gathered, merged, within a budget ---------------------------------------------------------------

    def _wait(self, number: int, row: Escalation, person_id: str, kind: Kind, now_ms: int) -> None:
        if person_id not in self._people:
            return
        old = row.waiting.get(person_id)
        if old is None or kind == "clear" or URGENCY[kind] < URGENCY[old]:
            row.waiting[person_id] = kind
        self._waiting.setdefault(person_id, {})[number] = None
        box = self._box(person_id, now_ms)
        soon_ms = now_ms + round(self._settings.budget.gather_s * 1000)
        # A box that waits for the end of quiet hours does not hold up an alarm that need not.
        if box.due_ms is None or (
            box.due_ms > soon_ms
            and self._tokens(box, now_ms) >= 1.0
            and not self._quiet(self._people[person_id], row.facts, now_ms)
        ):
            box.due_ms = soon_ms
            self._plans.boxes[person_id] = box

    def _tokens(self, box: Box, now_ms: int) -> float:
        """Messages the budget allows now."""
        gained = max(0.0, (now_ms - box.tokens_ms) / self._refill_ms)
        return min(float(self._settings.budget.burst), box.tokens + gained)

    def _flush(self, person_id: str, box: Box, now_ms: int) -> None:
        """Send what waits for a person as far as quiet hours and budget allow."""
        person = self._people.get(person_id)
        box.due_ms = None
        self._plans.boxes[person_id] = box
        waiting = self._waiting.get(person_id, {})
        if person is None or not waiting:
            return
        ready = [n for n in sorted(waiting) if not self._quiet(person, self._running[n].facts, now_ms)]
        box.tokens, box.tokens_ms = self._tokens(box, now_ms), now_ms
        if ready and box.tokens >= 1.0:
            groups = self._groups(person_id, ready)
            # Half of what is left at most: the next ones must not find the budget used up by the first.
            if len(groups) > max(1, int(box.tokens) // 2):
                groups = [[number for group in groups for number in group]]
            box.tokens -= len(groups)
            for group in groups:
                self._send_group(person, group, now_ms)
        elif ready:
            box.due_ms = now_ms + max(1, round((1.0 - box.tokens) * self._refill_ms))
        if box.due_ms is None and waiting:
            box.due_ms = now_ms + QUIET_CHECK_MS

    def _groups(self, person_id: str, numbers: Iterable[int]) -> list[list[int]]:
        """By site and cause, what is over apart."""
        groups: dict[tuple[bool, str, str], list[int]] = {}
        for number in numbers:
            row = self._running[number]
            key = (row.waiting[person_id] == "clear", row.facts.site, row.facts.cause or "")
            groups.setdefault(key, []).append(number)
        return list(groups.values())

    def _send_group(self, person: Person, group: list[int], now_ms: int) -> None:
        rows = [self._running[number] for number in group]
        items = [(row.facts, cast(Kind, row.waiting[person.id])) for row in rows]
        kind = min((kind for _, kind in items), key=URGENCY.__getitem__)
        follows = sorted({old for row in rows for old in row.told.get(person.id, [])}) if kind == "clear" else []
        message = self._writer.many(items)
        severity = min((row.facts.severity for row in rows), key=RANK.__getitem__)
        ids = self._send(person, "fault", kind, severity, group, message, now_ms, now_ms + self._keep_ms, follows)
        for number, row in zip(group, rows, strict=True):
            was = row.waiting.pop(person.id)
            del self._waiting[person.id][number]
            row.told[person.id] = ids
            if row.waiting or was not in ("clear", "late"):
                self._save(number, row)
            else:
                self._forget(number, row)

    def is_quiet(self, person: Person, now_ms: int) -> bool:
        """Whether the person is to be spared anything that can wait."""
        local = datetime.fromtimestamp(now_ms / 1000, self._zone)
        return any(hours.holds("info", local) or hours.holds("warning", local) for hours in person.quiet_hours)

    def _quiet(self, person: Person, facts: Facts, now_ms: int) -> bool:
        if not person.quiet_hours:
            return False
        local = datetime.fromtimestamp(now_ms / 1000, self._zone)
        return any(hours.holds(facts.severity, local) for hours in person.quiet_hours)

    # --- rows ----------------------------------------------------------------------------------------------------

    def _send(
        self, person: Person, lane: Lane, kind: str, severity: str, alarms: list[int], message: Message, now_ms: int,
        expires_ms: int | None = None, follows: list[int] | None = None,
    ) -> list[int]:  # fmt: skip
        return [
            self._notice(
                person.id, channel.id, lane, kind, severity, alarms, message, now_ms, expires_ms, follows or [], ""
            )
            for channel in person.channels
        ]

    def _notice(
        self, person: str, channel: str, lane: Lane, kind: str, severity: str, alarms: list[int], message: Message,
        now_ms: int, expires_ms: int | None, follows: list[int], token: str,
    ) -> int:  # fmt: skip
        number, self._next_notice = self._next_notice, self._next_notice + 1
        self._plans.notices.append(
            Notice(number, person, channel, lane, kind, severity, alarms, message, now_ms, expires_ms, follows, token)
        )
        return number

    def _save(self, number: int, row: Escalation) -> None:
        self._plans.escalations[number] = row

    def _forget(self, number: int, row: Escalation) -> None:
        self._running.pop(number, None)
        self._fresh.pop(number, None)
        for person in row.waiting:
            self._waiting.get(person, {}).pop(number, None)
        self._plans.escalations.pop(number, None)
        self._plans.ended.add(number)

    def _schedule(self, number: int, row: Escalation) -> None:
        if row.next_ms is not None:
            heapq.heappush(self._heap, (row.next_ms, number))

    def _box(self, person_id: str, now_ms: int) -> Box:
        return self._boxes.setdefault(person_id, Box(None, float(self._settings.budget.burst), now_ms))

    @property
    def _refill_ms(self) -> int:
        return round(self._settings.budget.refill_s * 1000)

    @property
    def _keep_ms(self) -> int:
        return round(self._settings.keep_trying_s * 1000)

    # --- clocks --------------------------------------------------------------------------------------------------

    def _keep_sane(self, row: Escalation, now_ms: int) -> None:
        """A clock that was set back while the gateway was down must not put a step off by that much."""
        if row.began_ms > now_ms + BACK_MS:
            row.shift(now_ms - row.began_ms)

    def _shift(self, by_ms: int) -> None:
        self._heap = []
        for number, row in self._running.items():
            row.shift(by_ms)
            self._schedule(number, row)
            self._save(number, row)
        for person, box in self._boxes.items():
            box.tokens_ms += by_ms
            box.due_ms = None if box.due_ms is None else box.due_ms + by_ms
            self._plans.boxes[person] = box


def _pages(alarm: AlarmView) -> bool:
    return alarm.active and alarm.state == "unacknowledged" and alarm.hold is None


def _step_ms(chain: Chain, row: Escalation) -> int:
    return row.began_ms + round(chain.steps[row.step].after_s * 1000)
