"""A gateway's core without tasks and sockets: turns on a ledger in memory, time set by the test, restarts at will."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from contract.messages import Batch, Reading
from contract.topics import DEFAULT_ROOT
from gateway import commands
from gateway.control.client import ControlError
from gateway.control.protocol import AlarmView, Ask, Event
from gateway.installation import Installation, load_installation
from gateway.ledger.alarm_rows import ALARMS, alarm_view
from gateway.ledger.upgrade import prepare
from gateway.notify.state import NotifyParts
from gateway.settings import GatewaySettings
from gateway.state import WorkingState, load
from gateway.turn import Turn
from rules.memory import Transition
from tests.gateway.harness import START_MS, arrival, batch, state, write_site

HOUR_MS = 3_600_000


def install(folder: Path, site: str | None = None, *, of_register: bool = False) -> Installation:
    """The small site with the rules that look at one point each: silence speaks in no story told here.

    of_register: also those that judge what the gateway keeps of a site itself.
    """
    path = write_site(folder)
    if site is not None:
        path.write_text(site, "utf-8")
    found = load_installation(GatewaySettings(sites=[path], data_dir=folder))
    rules = {
        rule.id: rule
        for rule in found.rules.values()
        if rule.when.kind in ("state", "threshold")
        and rule.id != "station-data-stale"
        and (of_register or not rule.applies_to[0].startswith("register/"))
    }
    return Installation(found.sites, rules, found.library, found.grid)


class World:
    """Turns, one after the other; each is written before the next."""

    def __init__(self, installation: Installation, now_ms: int = START_MS, notify: NotifyParts | None = None) -> None:
        self._notify = notify
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        prepare(self.connection, Path("memory"))
        for name in ("wang", "li"):
            self.connection.execute(
                "INSERT INTO user (name, role, password_hash, created_ms) VALUES (?, 'duty', 'x', 0)", (name,)
            )
        self.installation = installation
        self.now_ms = now_ms
        self.events: list[Event] = []
        self.restart()
        self._seqs: dict[tuple[str, str], int] = {}
        for agent in ("edge1", "edge2"):
            self.turn(state(agent=agent, sent_ms=now_ms))

    def restart(self) -> None:
        """Everything in memory is built again from the ledger."""
        self.state = WorkingState(load(self.connection), self.installation, DEFAULT_ROOT, self.now_ms, self._notify)

    def turn(self, *messages: Any, ask: Ask | None = None, decisions: Sequence[Transition] = ()) -> Any:
        """One turn at this moment; gives the command's result. A refused command has changed nothing.

        decisions: of rules that are not installed here, as the engine would give them.
        """
        loaded = None
        if ask is not None and (needs := commands.needs(ask)) is not None:
            loaded = needs(self.connection)
        turn = Turn(self.state, self.now_ms, unknown_readings=10, unknown_devices=10)
        turn.begin()
        result: Any = None
        refused: ControlError | None = None
        if ask is not None:
            before = _weight(turn)
            try:
                result = commands.execute(ask, turn, loaded)
            except ControlError as exc:
                refused = exc
                assert _weight(turn) == before, "a refused command has changed something"
        for message in messages:
            turn.take(arrival(message, self.now_ms))
        for decision in decisions:
            turn._decide(decision)
        turn.finish()
        self.connection.execute("BEGIN")
        turn.changes.write(self.connection)
        self.connection.execute("COMMIT")
        self.events += turn.events()
        if refused is not None:
            raise refused
        return result

    def ask(self, op: Any, actor: str = "wang", **args: Any) -> Any:
        """Give a command."""
        return self.turn(ask=Ask(id=1, op=op, actor=actor, args=args))

    def read(self, *readings: Reading, agent: str = "edge1", lane: Any = "alarm") -> None:
        """Readings arrive."""
        seq = self._seqs[agent, lane] = self._seqs.get((agent, lane), 0) + 1
        made: Batch = batch(seq, *readings, lane=lane, agent=agent, epoch=f"e-{agent}", sent_ms=self.now_ms)
        self.turn(made)

    def decide(
        self, event: Any, subject: str, *, inputs: dict[str, Any] | None = None, device: str | None = None, **more: Any
    ) -> None:
        """A decision of a rule that is not installed here."""
        fields = {"rule": "made-up", "severity": "warning", **more}
        self.turn(
            decisions=[
                Transition(
                    fields.pop("rule"),
                    "v1",
                    fields.pop("severity"),
                    subject,
                    subject.partition("/")[0],
                    device,
                    event,
                    self.now_ms,
                    False,
                    inputs or {},
                    **fields,
                )
            ]
        )

    def see(self, point: str, value: Any, agent: str = "edge1", quality: str = "good") -> None:
        """One reading made now."""
        self.read(Reading(point, self.now_ms, value, quality), agent=agent)

    def wait(self, ms: int) -> None:
        """Time passes up to each moment something is due, as the pipeline does it."""
        until_ms = self.now_ms + ms
        while (due_ms := self.state.next_due_ms()) is not None and due_ms < until_ms:
            self.now_ms = max(self.now_ms + 1, due_ms)
            self.turn()
        self.now_ms = until_ms
        self.turn()

    # --- what the ledger holds -----------------------------------------------------------------------------------

    def alarms(self, where: str = "1") -> list[AlarmView]:
        """Alarms of the ledger."""
        return [alarm_view(row) for row in self.connection.execute(f"{ALARMS} WHERE {where} ORDER BY id")]

    @property
    def open(self) -> list[AlarmView]:
        """Open alarms of the ledger."""
        return self.alarms("state <> 'normal'")

    def steps(self, alarm_id: int | None = None) -> list[tuple[str, str, int, str]]:
        """(event, state after it, event time after START_MS, actor) of an alarm's life, or of all."""
        rows = self.connection.execute(
            "SELECT event, to_state, event_ms, actor FROM transition WHERE alarm_id = ? OR ? IS NULL ORDER BY id",
            (alarm_id, alarm_id),
        )
        return [(row[0], row[1], row[2] - START_MS, row[3]) for row in rows]

    def pages(self) -> list[tuple[int, str | None]]:
        """(alarm, hold) of the alarms events that found an active, unacknowledged alarm that is not held."""
        found = []
        for event in self.events:
            if event.event == "alarm":
                alarm = msgspec.convert(msgspec.to_builtins(event.data), AlarmView)
                if alarm.active and alarm.hold is None and alarm.state == "unacknowledged":
                    found.append((alarm.id, alarm.hold))
        return found


def _weight(turn: Turn) -> tuple[int, ...]:
    changes = turn.changes
    rows = (changes.steps, changes.audit, changes.transitions, changes.alarms, turn.moves.events, turn.requests)
    return tuple(len(each) for each in rows)
