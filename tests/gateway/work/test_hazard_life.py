"""The life of hazards as a machine that does anything at any time, held against the audit trail and the alarms."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

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
from gateway.work.hazard_counts import count_hazards
from gateway.work.public import receipt_hash
from gateway.work.rectification import COUNTED, HAZARD, MENDED, Hazard
from tests.gateway.harness import SITE
from tests.gateway.world import HOUR_MS, World, install

DAY_MS = 24 * HOUR_MS
SUBJECTS = ("shuiye/hydrant-01/pressure_kpa", "shuiye/tank-01/level_m")
PEOPLE = ("wang", "li")
HANDLING = """\
hazards: {assign_h: 9, verify_h: 40, confirm_h: 6, return_days: 4, from_alarms: [{severity: critical, after_h: 5}]}
"""
CONFIRM_MS, RETURN_MS, PROMOTE_MS = 6 * HOUR_MS, 4 * DAY_MS, 5 * HOUR_MS
people = st.sampled_from(PEOPLE)
numbers = st.integers(1, 3)


@cache
def installed() -> Installation:
    """The small site without rules, read once: the alarms of this story are told."""
    with tempfile.TemporaryDirectory() as folder:
        found = install(Path(folder), SITE + HANDLING)
    return Installation(found.sites, {}, found.library)


class Version(NamedTuple):
    """A hazard as it was from a moment on, by the audit trail."""

    at_ms: int
    actor: str
    verb: str
    row: Hazard


class HazardLife(RuleBasedStateMachine):
    """People and alarms do what they like, in any order; most of it is refused."""

    @initialize()
    def begin(self) -> None:
        self.world = World(installed())
        self.begin_ms = self.world.now_ms
        self.alarms: dict[str, list[list[int | None]]] = {subject: [] for subject in SUBJECTS}
        self.receipts = self.read_id = 0
        self.lives: dict[int, list[Version]] = {}

    # --- what happens --------------------------------------------------------------------------------------------

    @rule(subject=st.sampled_from(SUBJECTS))
    def raise_or_clear(self, subject: str) -> None:
        """A fault comes, or goes."""
        device, spans = subject.split("/")[1], self.alarms[subject]
        stands = bool(spans) and spans[-1][1] is None
        self.world.decide("clear" if stands else "raise", subject, device=device, severity="critical", rule="made-up")
        if stands:
            spans[-1][1] = self.world.now_ms
        else:
            spans.append([self.world.now_ms, None])

    @rule(hours=st.sampled_from((1, 5, 6, 7, 13, 30, 100)))
    def wait(self, hours: int) -> None:
        """Time passes."""
        self.world.wait(hours * HOUR_MS)

    @rule()
    def restart(self) -> None:
        """The gateway starts anew from its ledger."""
        self.world.restart()

    @rule(what=st.sampled_from(("seen", "major", "alarm", "public", "public again")), by=people)
    def report(self, what: str, by: str) -> None:
        """Somebody reports something."""
        if what == "alarm":
            for alarm in self.world.open:
                if alarm.active:
                    self.do("report", by, alarm_id=alarm.id)
        elif what.startswith("public"):
            self.receipts += what == "public"
            self.do("receive", "public", receipt=receipt_hash(str(self.receipts)), text="smoke", site="shuiye")
        else:
            level = "major" if what == "major" else "general"
            self.do("report", by, site="shuiye", subject="shuiye/hydrant-01", text=what, level=level)

    def go_on(self, number: int, by: str) -> None:
        """The step that comes next, as people who do their work take it."""
        row = self.world.state.registers.hazards.find(number)
        if row is None or row.state in ("dismissed", "closed"):
            return
        step = {"reported": "take", "found": "assign", "assigned": "fix", "verified": "close"}.get(row.state, "verify")
        more: dict[str, Any] = {"note": "done"}
        if step == "take":
            more = {"site": "shuiye", "text": f"taken {number}"}
        elif step == "assign":
            more = {"owner": "li", "measure": "mend", "days": 1}
        self.do(step, by, id=number, **more)

    @rule(subject=st.sampled_from(SUBJECTS), hours=st.sampled_from((5, 6, 7, 13)), early=st.booleans())
    def mend(self, subject: str, hours: int, early: bool) -> None:
        """A fault is reported, assigned and fixed; its alarm clears before or after that."""
        if not self.alarms[subject] or self.alarms[subject][-1][1] is not None:
            self.raise_or_clear(subject)
        self.report("alarm", "wang")
        if early:
            self.raise_or_clear(subject)
        for row in self.world.state.registers.hazards.open():
            if row.subject == subject and row.rule:
                for step in ("found", "assigned"):
                    if row.state in ("found", step):
                        self.go_on(row.id, "li")
        if not early:
            self.raise_or_clear(subject)
        self.world.wait(hours * HOUR_MS)

    @rule(number=numbers, by=people)
    def work(self, number: int, by: str) -> None:
        """One step."""
        self.go_on(number, by)

    @rule(number=numbers, by=people, steps=st.integers(2, 4))
    def work_hard(self, number: int, by: str, steps: int) -> None:
        """Several steps in a row."""
        for _ in range(steps):
            self.go_on(number, by)

    @rule(
        number=numbers,
        by=people,
        what=st.sampled_from(
            ("dismiss", "fix", "verify", "close", "reject", "delist", "note", "extend", "assign", "list")
        ),
        days=st.integers(0, 9),
    )
    def meddle(self, number: int, by: str, what: str, days: int) -> None:
        """Any step, by anybody, whether it fits or not."""
        more: dict[str, Any] = {"note": "seen"}
        if what == "extend":
            more["days"] = days
        elif what == "assign":
            more = {"owner": "li", "measure": "mend", "days": days, "working": days % 2 == 0}
        elif what == "list":
            more = {"number": "7", "authority": "brigade", "deadline_ms": self.world.now_ms + days * DAY_MS}
        self.do(what, by, id=number, **more)

    def do(self, what: str, by: str, **args: Any) -> None:
        """Give a command; a refusal changes nothing (the world looks)."""
        try:
            self.world.ask(f"hazard.{what}", by, **args)
        except ControlError as exc:
            assert exc.code in ("conflict", "not_found", "invalid")  # noqa: PT017 # no exception is wanted

    # --- what must hold ------------------------------------------------------------------------------------------

    def read_trail(self) -> list[tuple[Version, Version]]:
        """Take in what was added to the audit trail; gives each change as (before, after)."""
        found = []
        for row_id, at_ms, actor, action, detail in self.world.connection.execute(
            "SELECT id, at_ms, actor, action, detail FROM audit WHERE id > ? AND subject LIKE 'hazard/%' ORDER BY id",
            (self.read_id,),
        ):
            self.read_id = row_id
            row = msgspec.convert(msgspec.json.decode(detail)["row"], Hazard)
            now, life = Version(at_ms, actor, action, row), self.lives.setdefault(row.id, [])
            if life:
                found.append((life[-1], now))
            life.append(now)
        return found

    @property
    def rows(self) -> list[Hazard]:
        """The hazards as the ledger has them."""
        return list(entries(self.world.connection, HAZARD))

    @invariant()
    def none_is_closed_without_confirmation(self) -> None:
        """By a second person while no alarm stood, or by the data after a day of silence since the fix."""
        for before, now in self.read_trail():
            if now.row.state == "closed" and before.row.state != "closed":
                self.check_closed(before.row, now)
        assert {number: life[-1].row for number, life in self.lives.items()} == {row.id: row for row in self.rows}

    def check_closed(self, before: Hazard, now: Version) -> None:
        row = now.row
        assert row.fix is not None
        assert row.confirmed_ms is not None
        assert row.confirmed_by not in ("", row.fix.by)
        assert not row.is_listed
        if row.level == "major":
            assert before.state == "verified"
            assert now.actor in PEOPLE
            assert now.actor != row.fix.by
        spans = self.alarms[row.subject] if row.rule else []
        standing = [s for s in spans if (s[0] or 0) <= row.confirmed_ms and (s[1] is None or s[1] > row.confirmed_ms)]
        assert standing == [] or standing[-1][0] == row.confirmed_ms
        if row.confirmed_by == "data":
            quiet_since = max(row.fix.at_ms, *(s[1] or 0 for s in spans if (s[0] or 0) < row.confirmed_ms))
            assert row.confirmed_ms - quiet_since >= CONFIRM_MS

    @invariant()
    def a_fault_that_is_there_has_no_hazard_that_is_over(self) -> None:
        """One that returned opened its hazard again; one that stands for a day has one."""
        for subject, spans in self.alarms.items():
            if not spans or spans[-1][1] is not None:
                continue
            since_ms = spans[-1][0] or 0
            mine = [row for row in self.rows if row.rule and row.subject == subject]
            assert [row.id for row in mine if row.state in ("closed", "verified")] == []
            for row in mine:
                if row.state in MENDED:
                    assert row.fix is not None
                    assert row.fix.at_ms >= since_ms, "mended before the fault came back"
            is_open = [row for row in mine if row.is_open]
            assert len(is_open) <= 1
            last_ms = max((row.until_ms or 0 for row in mine), default=0)
            if self.world.now_ms - since_ms >= PROMOTE_MS or (mine and 0 < since_ms - last_ms < RETURN_MS):
                assert len(is_open) == 1

    @invariant()
    def what_is_said_is_what_the_ledger_has(self) -> None:
        """The three counts, and the reports that wait."""
        said = {name: slot.value for name, slot in self.world.state.engine.values() if slot.received_ms}
        rows = self.rows
        for point, wanted in (
            ("hazards_open_count", sum(row.is_open for row in rows)),
            ("hazards_overdue_count", sum(late(row, self.world.now_ms) for row in rows)),
            ("hazards_listed_count", sum(row.is_listed and row.is_open for row in rows)),
            ("reports_waiting_count", sum(row.state == "reported" for row in rows)),
        ):
            assert said.get(f"shuiye/register/{point}", 0) == wanted, point

    def teardown(self) -> None:
        """The counts of any span add up to what the audit trail says, and to each other."""
        if not hasattr(self, "world"):
            return
        rows, now_ms = self.rows, self.world.now_ms + 1
        for part in range(8):
            from_ms = self.begin_ms + (now_ms - self.begin_ms) * part // 8
            until_ms = self.begin_ms + (now_ms - self.begin_ms) * (part + 1 + part % 3) // 8 + 1
            self.check_counts(rows, from_ms, min(until_ms, now_ms))

    def check_counts(self, rows: list[Hazard], from_ms: int, until_ms: int) -> None:
        counts = count_hazards(rows, from_ms, until_ms)
        assert counts.before + counts.found - counts.closed == counts.after
        found = closed = overdue = after = 0
        for versions in self.lives.values():
            was_open = False
            overdue += any(a < until_ms and b > from_ms for a, b in late_spans(versions, until_ms))
            for version in versions:
                inside = from_ms <= version.at_ms < until_ms
                found += inside and version.row.is_open and not was_open
                closed += inside and was_open and not version.row.is_open
                was_open = version.row.is_open
            after += any(v.row.is_open for v in [v for v in versions if v.at_ms < until_ms][-1:])
        assert (counts.found, counts.closed, counts.overdue, counts.after) == (found, closed, overdue, after)


def late(row: Hazard, at_ms: int) -> bool:
    """Whether its next step is late, by its date alone."""
    return row.state in COUNTED and row.due_ms is not None and row.due_ms <= at_ms


def late_spans(versions: list[Version], end_ms: int) -> list[tuple[int, int]]:
    """When a hazard's step was late, by what it was from one change to the next."""
    ends = [version.at_ms for version in versions[1:]] + [end_ms]
    return [
        (max(version.at_ms, version.row.due_ms), until_ms)
        for version, until_ms in zip(versions, ends, strict=True)
        if version.row.due_ms is not None
        and late(version.row, until_ms - 1)
        and max(version.at_ms, version.row.due_ms) < until_ms
    ]


def test_no_path_closes_a_hazard_without_confirmation_and_none_that_returns_stays_closed() -> None:
    """Whatever people and alarms do, and whenever the gateway starts anew."""
    run_state_machine_as_test(HazardLife, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))
