"""The life of work orders as a machine that does anything at any time, held against the audit trail and the data."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from gateway.control.client import ControlError
from gateway.installation import Installation
from gateway.ledger.entries import entries
from gateway.work.order_life import ORDER, PENDING, Order
from tests.gateway.harness import SITE
from tests.gateway.world import HOUR_MS, World, install

DAY_MS = 24 * HOUR_MS
SUBJECTS = ("shuiye/hydrant-01/pressure_kpa", "shuiye/hydrant-01", "shuiye/tank-01/level_m")
POINTS = {"hydrant-01": "hydrant-01/pressure_kpa", "tank-01": "tank-01/level_m"}
PEOPLE = ("wang", "li")
HANDLING = "orders: {normal_h: 30, confirm_h: 2, confirm_within_h: 9, return_days: 4}\n"
CONFIRM_MS, RETURN_MS = 2 * HOUR_MS, 4 * DAY_MS
people = st.sampled_from(PEOPLE)
numbers = st.integers(1, 3)


@cache
def installed() -> Installation:
    """The small site without rules, read once: the alarms of this story are told."""
    with tempfile.TemporaryDirectory() as folder:
        found = install(Path(folder), SITE + HANDLING)
    return Installation(found.sites, {}, found.library)


class OrderLife(RuleBasedStateMachine):
    """People, alarms and sensors do what they like, in any order; much of it is refused."""

    @initialize()
    def begin(self) -> None:
        self.world = World(installed())
        self.alarms: dict[str, list[list[int | None]]] = {subject: [] for subject in SUBJECTS}
        self.good: dict[str, list[int]] = {}
        self.read_id = 0
        self.lives: dict[int, Order] = {}

    # --- what happens --------------------------------------------------------------------------------------------

    @rule(subject=st.sampled_from(SUBJECTS))
    def raise_or_clear(self, subject: str) -> None:
        """A fault comes, or goes."""
        device, spans = subject.split("/")[1], self.alarms[subject]
        stands = bool(spans) and spans[-1][1] is None
        self.world.decide("clear" if stands else "raise", subject, device=device, rule="made-up")
        if stands:
            spans[-1][1] = self.world.now_ms
        else:
            spans.append([self.world.now_ms, None])

    @rule(device=st.sampled_from(tuple(POINTS)), quality=st.sampled_from(("good", "good", "bad:missing")))
    def measure(self, device: str, quality: str) -> None:
        """A sensor speaks."""
        agent = "edge1" if device.startswith("hydrant") else "edge2"
        self.world.see(POINTS[device], None if quality != "good" else 1.0, agent=agent, quality=quality)
        # Only the last word counts: a value that is bad takes back what was good before.
        self.good[device] = [*self.good.get(device, []), self.world.now_ms] if quality == "good" else []

    @rule(hours=st.sampled_from((1, 2, 3, 10, 31, 100)))
    def wait(self, hours: int) -> None:
        """Time passes."""
        self.world.wait(hours * HOUR_MS)

    @rule()
    def restart(self) -> None:
        """The gateway starts anew from its ledger."""
        self.world.restart()

    @rule(what=st.sampled_from(("alarm", "thing", "place")), by=people)
    def ask(self, what: str, by: str) -> None:
        """Somebody wants work done; asked twice it is one order."""
        if what == "alarm":
            for alarm in self.world.open:
                if alarm.active:
                    self.do("open", by, alarm_id=alarm.id)
                    self.do("open", by, alarm_id=alarm.id)
        elif what == "thing":
            self.do("open", by, site="shuiye", subject="shuiye/tank-01/level_m", title="clean it")
        else:
            self.do("open", by, site="shuiye", place="gate", title="paint it")

    def go_on(self, number: int, by: str) -> None:
        """The step that comes next, as people who do their work take it."""
        row = self.world.state.registers.orders.find(number)
        if row is not None and row.is_open:
            step = {"open": "take", "taken": "done", "done": "close"}[row.state]
            self.do(step, by, id=number, **({} if step == "take" else {"note": "mended"}))

    @rule(number=numbers, by=people, steps=st.integers(1, 3))
    def work(self, number: int, by: str, steps: int) -> None:
        """Some steps in a row."""
        for _ in range(steps):
            self.go_on(number, by)

    @rule(
        subject=st.sampled_from(SUBJECTS), early=st.booleans(), spoken=st.booleans(), hours=st.sampled_from((1, 2, 3))
    )
    def mend(self, subject: str, early: bool, spoken: bool, hours: int) -> None:
        """A fault is reported and mended; its alarm clears before or after that, and the sensor speaks or not."""
        if not self.alarms[subject] or self.alarms[subject][-1][1] is not None:
            self.raise_or_clear(subject)
        self.ask("alarm", "wang")
        if early:
            self.raise_or_clear(subject)
        for row in self.world.state.registers.orders.open():
            if row.subject == subject and row.rule and row.state != "done":
                self.go_on(row.id, "li")
                self.go_on(row.id, "li")
        if not early:
            self.raise_or_clear(subject)
        if spoken:
            self.measure(subject.split("/")[1], "good")
        self.world.wait(hours * HOUR_MS)

    @rule(
        number=numbers, by=people,
        what=st.sampled_from(("take", "plan", "use", "note", "done", "reject", "close", "withdraw", "window")),
        hours=st.integers(-3, 60),
    )  # fmt: skip
    def meddle(self, number: int, by: str, what: str, hours: int) -> None:
        """Any step, by anybody, whether it fits or not."""
        at_ms = self.world.now_ms + hours * HOUR_MS
        more: dict[str, Any] = {
            "take": {"owner": by}, "plan": {"deadline_ms": at_ms}, "use": {"name": "battery"},
            "window": {"until_ms": at_ms}, "done": {"note": "x", "at_ms": at_ms, "works": ("battery",)},
        }.get(what, {"note": "seen"})  # fmt: skip
        self.do(what, by, id=number, **more)

    def do(self, what: str, by: str, **args: Any) -> None:
        """Give a command; a refusal changes nothing (the world looks)."""
        try:
            self.world.ask(f"order.{what}", by, **args)
        except ControlError as exc:
            assert exc.code in ("conflict", "not_found", "invalid", "unavailable")  # noqa: PT017 # none is wanted

    # --- what must hold ------------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[Order]:
        """The orders as the ledger has them."""
        return list(entries(self.world.connection, ORDER))

    @invariant()
    def none_closes_but_by_the_data_or_a_second_person(self) -> None:
        """One that names something closes by a good value measured after the work, while no alarm stands."""
        for at_ms, detail in self.world.connection.execute(
            "SELECT at_ms, detail FROM audit WHERE id > ? AND subject LIKE 'order/%' ORDER BY id", (self.read_id,)
        ):
            row = msgspec.convert(msgspec.json.decode(detail)["row"], Order)
            before = self.lives.get(row.id)
            if row.state == "closed" and before is not None and before.state != "closed":
                self.check_closed(before, row, at_ms)
            self.lives[row.id] = row
        (self.read_id,) = self.world.connection.execute("SELECT max(id) FROM audit").fetchone()
        assert self.lives == {row.id: row for row in self.rows}

    def check_closed(self, before: Order, row: Order, at_ms: int) -> None:
        assert before.state == "done"
        assert row.done is not None
        if not row.subject:
            assert row.confirmed_by in PEOPLE
            assert row.confirmed_by != row.done.by
            return
        assert row.confirmed_by == "data"
        good = self.good.get(row.subject.split("/")[1], [])
        assert good != []
        assert good[-1] >= row.done.at_ms
        spans = self.alarms[row.subject]
        assert all(end is not None and end <= at_ms for _, end in spans)
        if row.rule:
            assert at_ms - max(row.done.at_ms, *(end or 0 for _, end in spans)) >= CONFIRM_MS

    @invariant()
    def a_fault_that_is_back_has_no_order_that_is_over(self) -> None:
        """Within the time of return; and there is one open order a fault, however often it is asked for."""
        for subject, spans in self.alarms.items():
            mine = [row for row in self.rows if row.rule and row.subject == subject]
            assert sum(row.is_open for row in mine) <= 1
            if spans and spans[-1][1] is None:
                assert [row.id for row in mine if row.state == "closed"] == []
                last_ms = max((row.until_ms or 0 for row in mine if row.state == "filed"), default=0)
                assert not last_ms or (spans[-1][0] or 0) - last_ms >= RETURN_MS

    @invariant()
    def what_is_said_is_what_the_ledger_has(self) -> None:
        """The two counts; late is what is late by its date alone."""
        said = {name: slot.value for name, slot in self.world.state.engine.values() if slot.received_ms}
        rows = [row for row in self.rows if row.state in PENDING]
        late = [row for row in rows if row.due_ms is not None and row.due_ms <= self.world.now_ms]
        assert said.get("shuiye/register/orders_open_count", 0) == len(rows)
        assert said.get("shuiye/register/orders_overdue_count", 0) == len(late)

    def teardown(self) -> None:
        """Every round that ended has an end, and the last one is open while the order is."""
        for row in self.rows if hasattr(self, "world") else []:
            assert [each.closed_ms is None for each in row.rounds[:-1]] == [False] * (len(row.rounds) - 1)
            assert (row.rounds[-1].closed_ms is None) == row.is_open


def test_no_order_closes_without_its_data_and_none_that_returns_stays_closed() -> None:
    """Whatever people, alarms and sensors do, and whenever the gateway starts anew."""
    run_state_machine_as_test(OrderLife, settings=settings(max_examples=25, stateful_step_count=40, deadline=None))
