"""Alarms, people and a planner on a ledger in memory, for tests of notification."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from contract.profile import Text
from gateway.control.protocol import AlarmView
from gateway.ledger.upgrade import SCHEMA
from gateway.notify.outbox import Plans, load_plans
from gateway.notify.plan import Planner
from gateway.notify.settings import NotifySettings
from gateway.notify.texts import Facts, Writer

START_MS = 1_700_000_000_000
"""2023-11-15 06:13:20 in Shanghai."""


class Titles:
    """Names that need no site file."""

    def rule(self, rule_id: str) -> Text:
        return Text(zh=f"规则{rule_id}", en=f"rule {rule_id}")

    def advice(self, rule_id: str) -> Sequence[Text]:
        del rule_id
        return (Text(zh="先看", en="Look first"), Text(zh="再报", en="Then report"), Text(zh="后记", en="Then note"))

    def place(self, facts: Facts) -> Text:
        return Text(zh=facts.subject, en=facts.subject)

    def site(self, site_id: str) -> Text:
        return Text(zh=site_id, en=site_id)


def notify(**changes: Any) -> NotifySettings:
    """Wang at once, Li and the chief after 120 s, everybody again each 300 s; one screen each unless changed."""
    people = [{"id": name, "name": name, "channels": [{"kind": "screen"}]} for name in ("wang", "li", "chief")]
    steps = [{"after_s": 0, "people": ["wang"]}, {"after_s": 120, "people": ["li", "chief"]}]
    record: dict[str, Any] = {
        "people": people,
        "chains": [{"id": "duty", "steps": steps, "repeat_s": 300}],
        "routes": [{"chain": "duty", "severities": ["fire", "critical", "warning", "info"]}],
        "proof": {"enabled": False},
    }
    return NotifySettings.model_validate(record | changes)


def alarm(number: int, severity: str = "fire", **changes: Any) -> AlarmView:
    """An active alarm nobody has acknowledged."""
    fields: dict[str, Any] = {
        "id": number, "rule": "r", "subject": f"s/d{number}/p", "site": "s", "device": f"d{number}",
        "severity": severity, "state": "unacknowledged", "active": True, "retrospective": False,
        "raised_ms": START_MS, "recorded_ms": START_MS, "cleared_ms": None, "acknowledged_ms": None,
        "acknowledged_by": None, "inputs": {},
    }  # fmt: skip
    return AlarmView(**{**fields, **changes})


class Desk:
    """A planner with its ledger. `at` is the time now, in seconds since START_MS."""

    def __init__(self, settings: NotifySettings | None = None) -> None:
        self.settings = settings or notify()
        self.ledger = sqlite3.connect(":memory:", isolation_level=None)
        self.ledger.executescript(SCHEMA.read_text("utf-8"))
        self.now_ms = START_MS
        self.alarms: dict[int, AlarmView] = {}
        self.planner = self._planner()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    def _planner(self) -> Planner:
        titles = Titles()
        planner = Planner(self.settings, Writer(lambda: titles, "Asia/Shanghai"))
        standing = [one for one in self.alarms.values() if one.active or one.state != "normal"]
        planner.restore(load_plans(self.ledger), standing, self.now_ms)
        return planner

    def restart(self) -> None:
        """Kill the gateway and start another on the same ledger."""
        self.planner = self._planner()

    def at(self, seconds: float) -> Desk:
        """Go to that time, stopping wherever the planner wants to be asked."""
        until_ms = START_MS + round(seconds * 1000)
        while (due := self.planner.next_due_ms()) is not None and due <= until_ms:
            self.now_ms = max(self.now_ms, due)
            self.turn()
        self.now_ms = max(self.now_ms, until_ms)
        return self

    def move(self, one: AlarmView, event: str) -> None:
        """Tell the planner of a change, within the turn that is open."""
        self.alarms[one.id] = one
        self.planner.alarm_moved(one, event, self.now_ms)

    def turn(self) -> Plans:
        """End the turn: what was planned is in the ledger."""
        self.planner.advance(self.now_ms)
        plans = self.planner.take()
        self.ledger.execute("BEGIN")
        plans.write(self.ledger)
        self.ledger.execute("COMMIT")
        return plans

    def raises(self, *alarms: AlarmView) -> Plans:
        """A turn in which these are raised."""
        for one in alarms:
            self.move(one, "raise")
        return self.turn()

    def changes(self, event: str, *numbers: int, **changes: Any) -> Plans:
        """A turn in which these change."""
        for number in numbers:
            fields = {name: getattr(self.alarms[number], name) for name in AlarmView.__struct_fields__}
            self.move(AlarmView(**{**fields, **changes}), event)
        return self.turn()

    def acknowledges(self, *numbers: int) -> Plans:
        return self.changes("acknowledge", *numbers, state="acknowledged")

    def clears(self, *numbers: int) -> Plans:
        return self.changes("clear", *numbers, state="returned_unacknowledged", active=False, cleared_ms=self.now_ms)

    def told(self) -> list[tuple[float, str, str, str, list[int]]]:
        """Every message: (seconds, person, kind, lane, alarms)."""
        import msgspec

        rows = self.ledger.execute("SELECT due_ms, person, kind, lane, alarms FROM notice ORDER BY id")
        return [((row[0] - START_MS) / 1000, row[1], row[2], row[3], msgspec.json.decode(row[4])) for row in rows]
