"""What people do with alarms, as the stand-in for the gateway does it: rows of the ledger and events of the socket."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from gateway.control.protocol import Ask

if TYPE_CHECKING:
    from tests.web.station import Station


def now_ms() -> int:
    """Wall clock, ms UTC."""
    return time.time_ns() // 1_000_000


class Acts:
    """Commands on one station. `do` gives the result; None where the command is another's."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.db = station.db
        self.shelved: dict[tuple[str, str], dict[str, Any]] = {}
        self.out: dict[str, dict[str, Any]] = {}
        self.checks: dict[int, dict[str, Any]] = {}

    def do(self, ask: Ask) -> dict[str, Any] | None:
        """Carry a command out."""
        found = getattr(self, "_" + ask.op.replace(".", "_"), None)
        return None if found is None else found(ask.actor, **ask.args)

    def snapshot(self) -> dict[str, Any]:
        """The lists of a snapshot."""
        drills = self.db.execute("SELECT id FROM drill WHERE closed_ms IS NULL").fetchall()
        windows = self.db.execute("SELECT id FROM maintenance WHERE closed_ms IS NULL").fetchall()
        return {
            "drills": [self.drill_row(row[0]) for row in drills],
            "maintenance": [self.window_row(row[0]) for row in windows],
            "shelved": list(self.shelved.values()),
            "out_of_service": list(self.out.values()),
            "duty_checks": [row for row in self.checks.values() if row["state"] in ("open", "unanswered")],
        }

    # --- duty checks -----------------------------------------------------------------------------------------------

    def check(self, *, left_s: float = 120, state: str = "open", origin: str = "centre/city") -> int:
        """Somebody asks whether the post is manned; `state` unanswered: its time was over `-left_s` ago."""
        number = len(self.checks) + 1
        until_ms = now_ms() + int(left_s * 1000)
        row = {
            "id": number, "site": "shuiye", "origin": origin, "asked_ms": until_ms - 120_000, "until_ms": until_ms,
            "state": state, "answered_ms": None, "answered_by": None,
        }  # fmt: skip
        self.checks[number] = row
        self.station._tell("duty", row)
        return number

    def miss(self, number: int) -> None:
        """The time of a check was over."""
        self.checks[number] |= {"state": "unanswered", "until_ms": now_ms()}
        self.station._tell("duty", self.checks[number])

    def _duty_answer(self, actor: str, id: int) -> dict[str, Any]:  # noqa: A002  # name of the argument
        state = "answered" if self.checks[id]["state"] == "open" else "late"
        self.checks[id] |= {"state": state, "answered_ms": now_ms(), "answered_by": actor}
        self.station._tell("duty", self.checks[id])
        return self.checks[id]

    # --- alarms --------------------------------------------------------------------------------------------------

    def change(self, alarm_id: int, event: str = "", actor: str = "rule", note: str = "", **columns: Any) -> None:
        """Change columns of an alarm, write the step down and tell it. Of `inputs` the step has the rest."""
        inputs = columns.pop("inputs", {})
        if columns:
            names = ", ".join(f"{name} = ?" for name in columns)
            self.db.execute(f"UPDATE alarm SET {names} WHERE id = ?", (*columns.values(), alarm_id))
        view = self.station._view(alarm_id)
        assert view is not None
        if event:
            state = view["state"]
            self.station._step(alarm_id, event, state, state, now_ms(), actor, note, json.dumps(inputs))
        self.station._tell("alarm", view)

    def _alarm_assign(self, actor: str, alarm_id: int, person: str, note: str) -> dict[str, Any]:
        self.change(alarm_id, "assign", actor, note, assignee=person or None, inputs={"person": person or None})
        return {}

    def _alarm_note(self, actor: str, alarm_id: int, note: str) -> dict[str, Any]:
        notes = (self.station._view(alarm_id) or {})["notes"] + 1
        self.change(alarm_id, "note", actor, note, notes=notes)
        return {}

    def _alarm_find(self, actor: str, alarm_id: int, finding: str, note: str) -> dict[str, Any]:
        self.change(alarm_id, "find", actor, note, finding=finding, inputs={"finding": finding})
        return {}

    def _alarm_shelve(self, actor: str, alarm_id: int, until_ms: int, reason: str) -> dict[str, Any]:
        view = self.station._view(alarm_id) or {}
        row = {
            "rule": view["rule"], "subject": view["subject"], "alarm_id": alarm_id, "severity": view["severity"],
            "from_ms": now_ms(), "until_ms": until_ms, "reason": reason, "by": actor, "open": True,
        }  # fmt: skip
        self.shelved[row["rule"], row["subject"]] = row
        self.station._tell("shelf", row)
        inputs = {"until_ms": until_ms}
        self.change(alarm_id, "shelve", actor, reason, hold="shelved", hold_until_ms=until_ms, inputs=inputs)
        return {}

    def _alarm_unshelve(self, actor: str, alarm_id: int, note: str = "") -> dict[str, Any]:
        view = self.station._view(alarm_id) or {}
        row = self.shelved.pop((view["rule"], view["subject"]))
        self.station._tell("shelf", {**row, "open": False})
        self.change(alarm_id, "unshelve", actor, note, hold=None, hold_until_ms=None)
        return {}

    # --- holds ---------------------------------------------------------------------------------------------------

    def _service_take_out(self, actor: str, subject: str, reason: str) -> dict[str, Any]:
        row = {"subject": subject, "from_ms": now_ms(), "reason": reason, "by": actor, "open": True}
        self.out[subject] = row
        self.station._tell("service", row)
        return {}

    def _service_return(self, actor: str, subject: str, note: str) -> dict[str, Any]:
        del actor, note
        self.station._tell("service", {**self.out.pop(subject), "open": False})
        return {}

    def _maintenance_open(
        self, actor: str, site: str, scope: list[str], from_ms: int, until_ms: int, reason: str
    ) -> dict[str, Any]:
        row = self.db.execute(
            "INSERT INTO maintenance (site, scope, from_ms, until_ms, reason, by, opened_ms) VALUES (?,?,?,?,?,?,?)",
            (site, json.dumps(scope), from_ms, until_ms, reason, actor, now_ms()),
        )
        self.station._tell("maintenance", self.window_row(int(row.lastrowid or 0)))
        return {"id": row.lastrowid}

    def _maintenance_close(self, actor: str, id: int, note: str) -> dict[str, Any]:  # noqa: A002  # name of the argument
        self.db.execute(
            "UPDATE maintenance SET closed_ms = ?, closed_by = ?, note = ? WHERE id = ?", (now_ms(), actor, note, id)
        )
        self.station._tell("maintenance", self.window_row(id))
        return {}

    def _drill_open(self, actor: str, site: str, scope: list[str], until_ms: int, reason: str) -> dict[str, Any]:
        row = self.db.execute(
            "INSERT INTO drill (site, scope, from_ms, until_ms, reason, leader) VALUES (?,?,?,?,?,?)",
            (site, json.dumps(scope), now_ms(), until_ms, reason, actor),
        )
        number = int(row.lastrowid or 0)
        points = [f"p{n:03d}" for n in range(1, 17)] if scope == ["panel-01"] else []
        subjects = [f"{site}/panel-01/{point}" for point in points] or [f"{site}/{one}" for one in scope]
        self.db.executemany(
            "INSERT INTO drill_item (drill, subject) VALUES (?, ?)", [(number, subject) for subject in subjects]
        )
        self.station._tell("drill", self.drill_row(number))
        return {"id": number}

    def spoke(self, drill: int, alarm_id: int) -> None:
        """An alarm of a drill was raised: it is a test, and its line on the list is ticked."""
        subject = (self.station._view(alarm_id) or {})["subject"]
        self.db.execute(
            "UPDATE drill_item SET spoke_ms = ?, how = 'alarm', alarm_id = ? WHERE drill = ? AND subject = ?",
            (now_ms(), alarm_id, drill, subject),
        )
        self.change(alarm_id, drill=drill, hold="drill", hold_until_ms=self.drill_row(drill)["until_ms"])
        self.station._tell("drill", self.drill_row(drill))

    def _drill_close(self, actor: str, id: int, note: str) -> dict[str, Any]:  # noqa: A002  # name of the argument
        self.db.execute(
            "UPDATE drill SET closed_ms = ?, closed_by = ?, note = ? WHERE id = ?", (now_ms(), actor, note, id)
        )
        for row in self.db.execute("SELECT id FROM alarm WHERE drill = ?", (id,)).fetchall():
            self.change(row[0], "drill_end", "gateway", hold=None, hold_until_ms=None, drill=None)
        self.station._tell("drill", self.drill_row(id))
        return {}

    def _work_record(self, actor: str, site: str, device: str, work: str, at_ms: int, note: str) -> dict[str, Any]:
        self.db.execute(
            "INSERT INTO work (site, device, work, at_ms, recorded_ms, by, note) VALUES (?,?,?,?,?,?,?)",
            (site, device, work, at_ms, now_ms(), actor, note),
        )
        return {}

    def drill_row(self, number: int) -> dict[str, Any]:
        """A drill as the socket tells it."""
        names = ("id", "site", "scope", "from_ms", "until_ms", "reason", "leader", "closed_ms", "closed_by", "note")
        found = self.db.execute(f"SELECT {', '.join(names)} FROM drill WHERE id = ?", (number,)).fetchone()
        counts = self.db.execute(
            "SELECT count(*), count(spoke_ms) FROM drill_item WHERE drill = ?", (number,)
        ).fetchone()
        row = dict(zip(names, found, strict=True))
        row |= {"scope": json.loads(row["scope"]), "expected": counts[0], "ticked": counts[1]}
        return row | {"open": row["closed_ms"] is None}

    def window_row(self, number: int) -> dict[str, Any]:
        """A window as the socket tells it."""
        names = ("id", "site", "scope", "from_ms", "until_ms", "reason", "by", "closed_ms", "closed_by", "note")
        found = self.db.execute(f"SELECT {', '.join(names)} FROM maintenance WHERE id = ?", (number,)).fetchone()
        row = dict(zip(names, found, strict=True))
        return row | {"scope": json.loads(row["scope"]), "open": row["closed_ms"] is None}
