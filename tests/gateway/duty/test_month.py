"""Thirty days of a station on the fake clock, with people who come late, forget the log and sleep through checks."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from random import Random

from gateway.duty.checks import CHECKS
from gateway.duty.draws import GAP_MS, MARGIN_MS
from gateway.ledger.entries import entries
from tests.gateway.duty.station import HOUR_MS, MIDNIGHT_MS, MINUTE_MS, make_station, sign, sign_on
from tests.gateway.duty.test_handover import stands
from tests.gateway.world import World

DAYS = 30
SHIFT_MS = 8 * HOUR_MS
CREWS = ((1, 2), (3, 4), (5, 6))
RULES = ("duty-check-unanswered", "handover-unsigned", "log-overdue", "shift-too-long")


class Month:
    """The people: what they do when, and what is to be said of it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.wanted: list[tuple[str, int]] = []
        """(rule, when it must speak), by what the people do."""
        self.sheets = 0
        self._plans: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._seen: set[int] = set()
        self._mark_ms = 0
        self._begun_ms = 0

    def plan(self, at_ms: int, act: Callable[[], None]) -> None:
        """Somebody will do this then."""
        heapq.heappush(self._plans, (at_ms, next(self._order), act))

    def live(self) -> None:
        """From the first handover to the last."""
        for number in range(DAYS * 3 + 1):
            at_ms = MIDNIGHT_MS + number * SHIFT_MS
            # Ten minutes early to twenty-five late; the first crew is there on time.
            off_ms = self.random.randrange(-10 * MINUTE_MS, 25 * MINUTE_MS) if number else 0
            self.plan(at_ms + off_ms, lambda n=number, a=at_ms: self.hand_over(n, a))  # type: ignore[misc] # defaults
        for _ in range(20):
            self.plan(MIDNIGHT_MS + self.random.randrange(DAYS * 24 * HOUR_MS), self.world.restart)
        for _ in range(60):
            self.plan(MIDNIGHT_MS + self.random.randrange(DAYS * 24 * HOUR_MS), self.change_something)
        self.write_log()
        while self._plans:
            at_ms, _, act = heapq.heappop(self._plans)
            self.pass_time(at_ms, act)

    def pass_time(self, at_ms: int, act: Callable[[], None]) -> None:
        """Time passes; whoever is asked meanwhile will answer."""
        world = self.world
        due_ms = world.state.next_due_ms()
        if due_ms is not None and due_ms < at_ms:
            self.plan(at_ms, act)
            world.now_ms = max(world.now_ms + 1, due_ms)
            world.turn()
            self.answer_checks()
        else:
            world.now_ms = max(world.now_ms, at_ms)
            act()

    def hand_over(self, number: int, due_ms: int) -> None:
        """One crew comes, the other goes; both sign."""
        world, old, new = self.world, CREWS[(number - 1) % 3], CREWS[number % 3]
        world.turn()
        sign_on(world, *new, takes_over=True)
        sign(world, "old", old[0])
        world.turn()
        standing = stands(world)
        sheet = sign(world, "new", new[1])["items"]
        assert sorted((item["kind"], item["key"]) for item in sheet) == sorted(standing)
        self.sheets += 1
        if number and world.now_ms >= due_ms + 15 * MINUTE_MS:
            self.wanted.append(("handover-unsigned", due_ms + 15 * MINUTE_MS))
        long_ms = self._begun_ms + SHIFT_MS + 15 * MINUTE_MS + 1
        if number and world.now_ms >= long_ms:
            self.wanted.append(("shift-too-long", long_ms))
        self.note_log()
        self._begun_ms = world.now_ms

    def write_log(self) -> None:
        """Somebody writes, and will again in about two hours."""
        if self._begun_ms:
            self.world.ask("log.write", site="shuiye", text="all quiet", person=1, proof="pin")
            self.note_log()
        next_ms = self.world.now_ms + self.random.randrange(90 * MINUTE_MS, 140 * MINUTE_MS)
        if next_ms < MIDNIGHT_MS + DAYS * 24 * HOUR_MS:
            self.plan(next_ms, self.write_log)

    def note_log(self) -> None:
        """The log was written, or another crew has it now."""
        late_ms = self._mark_ms + 2 * HOUR_MS + 5 * MINUTE_MS
        if self._mark_ms and self.world.now_ms >= late_ms:
            self.wanted.append(("log-overdue", late_ms))
        self._mark_ms = self.world.now_ms

    def change_something(self) -> None:
        """Faults come and go; some are shelved."""
        self.world.see(f"panel-01/p00{self.random.randint(1, 4)}", self.random.choice(["fault", "normal"]))
        if self.world.open and self.random.random() < 0.3:
            alarm = self.random.choice(self.world.open)
            if alarm.hold is None and alarm.active:
                until_ms = self.world.now_ms + self.random.randrange(HOUR_MS, 8 * HOUR_MS)
                self.world.ask("alarm.shelve", alarm_id=alarm.id, until_ms=until_ms, reason="known")

    def answer_checks(self) -> None:
        """Most answer within the ten minutes, some a little late."""
        for check in list(self.world.state.duty.shown.values()):
            if check.id in self._seen:
                continue
            self._seen.add(check.id)
            delay_ms = self.random.randrange(MINUTE_MS, 13 * MINUTE_MS)
            self.plan(self.world.now_ms + delay_ms, lambda n=check.id: self.answer(n))  # type: ignore[misc] # defaults
            if delay_ms > 10 * MINUTE_MS:
                self.wanted.append(("duty-check-unanswered", self.world.now_ms + 10 * MINUTE_MS))

    def answer(self, number: int) -> None:
        """Somebody says that they are here."""
        self.world.ask("duty.answer", id=number, person=1, proof="pin")


def test_everything_is_said_in_its_second_and_nothing_else_in_thirty_days(tmp_path: Path) -> None:
    """Late answers, late signatures, long shifts and gaps in the log: exactly those alarms, at exactly their times."""
    world = make_station(tmp_path)
    month = Month(world, seed=7)
    month.live()
    found = [(alarm.rule, alarm.raised_ms) for alarm in world.alarms("subject LIKE '%/register/%'")]
    assert sorted(row for row in found if row[0] in RULES) == sorted(month.wanted)
    assert {rule for rule, _ in month.wanted} == set(RULES)
    assert month.sheets == DAYS * 3 + 1
    checks = [check for check in list(entries(world.connection, CHECKS))[::-1] if check.shift_ms is not None]
    asked = [check.from_ms for check in checks if check.from_ms < MIDNIGHT_MS + DAYS * 24 * HOUR_MS]
    assert len(asked) == DAYS * 3 * 2
    assert all(after - before >= GAP_MS for before, after in pairwise(asked))
    places = [(at_ms - MIDNIGHT_MS) % SHIFT_MS for at_ms in asked]
    assert all(MARGIN_MS <= place < SHIFT_MS - MARGIN_MS for place in places)
