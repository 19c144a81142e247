"""The gateway of a fast run: the production turns on a ledger in memory, in virtual time; no task, socket or file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contract.messages import AgentState, Batch, Lane, OutboxState, Reading, encode
from contract.topics import DEFAULT_ROOT
from gateway import commands
from gateway.control.protocol import Ask
from gateway.ingest.door import Arrival
from gateway.installation import Installation
from gateway.ledger.upgrade import prepare
from gateway.own import Facts, OwnReadings
from gateway.state import WorkingState, last_alive_ms, load
from gateway.turn import Turn

KEEP_MS = 3_600_000
"""What is older than this leaves the inbox of the run, as the retention would do."""
USERS = (("duty", "duty"), ("maintainer", "maintainer"), ("inspector", "inspector"), ("administrator", "administrator"))


class Raised(NamedTuple):
    """An alarm as the duty desk saw it first. shown_ms: when it could be on the screen; event_ms: since when it was."""

    rule: str
    subject: str
    severity: str
    shown_ms: int
    event_ms: int
    held: str | None
    """Why it called nobody: suppressed, shelved, out of service, drill."""


class Desk:
    """Turns, one after the other; each is written before the next.

    Args:
        installation: site and rules.
        site, agent: who sends.
        now_ms: virtual time of the start.
    """

    def __init__(self, installation: Installation, site: str, agent: str, now_ms: int) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        prepare(self.connection, Path("memory"))
        for name, role in USERS:
            self.connection.execute(
                "INSERT INTO user (name, role, password_hash, created_ms) VALUES (?, ?, 'x', 0)", (name, role)
            )
        self.installation = installation
        self.now_ms = now_ms
        self.raised: list[Raised] = []
        self.stored = self.turns = 0
        self.facts = Facts(True, False, 0.0, disk_free_pct=60.0, ledger_mb=20.0, certificate_days=300.0,
                           notify_failing=False, quarantine_count=0.0)  # fmt: skip
        self._site, self._agent = site, agent
        self._seqs: dict[Lane, int] = {}
        self._seen: set[int] = set()
        self._trim_ms = now_ms + KEEP_MS
        self.start(now_ms)

    @property
    def secret(self) -> bytes:
        """The ledger's own, from which labels are made."""
        return self.state.registers.secret

    def close(self) -> None:
        """Let the ledger go."""
        self.connection.close()

    def start(self, now_ms: int) -> None:
        """The gateway starts (again): everything in memory is built from the ledger."""
        self.now_ms = now_ms
        alive_ms = last_alive_ms(self.connection)
        stopped_s = (now_ms - alive_ms) / 1000 if alive_ms else 0.0
        self.state = WorkingState(load(self.connection), self.installation, DEFAULT_ROOT, now_ms)
        self._due_ms: int | None = None
        self._steady_s, self._steady_ms = 0.0, now_ms
        self._own = OwnReadings(lambda: self.facts, stopped_s, self._steady)

    def send(self, lane: Lane, readings: Iterable[Reading], sent_ms: int) -> bytes:
        """The next batch of a lane, sealed as the agent does it."""
        seq = self._seqs[lane] = self._seqs.get(lane, 0) + 1
        batch = Batch(site=self._site, agent=self._agent, epoch="run", lane=lane, seq=seq, oldest=1, sent_ms=sent_ms,
                      readings=list(readings), boot="boot", steady_ms=sent_ms)  # fmt: skip
        return encode(batch)

    def beat(self, sent_ms: int, steady_ms: int, waited_s: float = 0.0, *, online: bool = True) -> bytes:
        """A heartbeat of the agent."""
        return encode(
            AgentState(site=self._site, agent=self._agent, epoch="run", online=online, sent_ms=sent_ms, boot="boot",
                       steady_ms=steady_ms, outbox=OutboxState(telemetry=int(waited_s > 0), unacknowledged_s=waited_s))
        )  # fmt: skip

    def turn(self, *messages: tuple[str, bytes], ask: Ask | None = None) -> Any:
        """One turn at this moment; gives the command's result.

        Args:
            messages: (channel, payload) of the agent.

        Raises:
            ControlError: the command is refused.
        """
        self._due_ms = None
        self.turns += 1
        loaded = None
        if ask is not None and (needs := commands.needs(ask)) is not None:
            loaded = needs(self.connection)
        turn = Turn(self.state, self.now_ms, unknown_readings=10, unknown_devices=10)
        turn.begin()
        result: Any = None
        if ask is not None:
            result = commands.execute(ask, turn, loaded)
        for channel, payload in messages:
            topic = f"{DEFAULT_ROOT}/{self._site}/{self._agent}/{channel}"
            turn.take(Arrival(topic, payload, self.now_ms, False))
        self._own.add_to(turn)
        turn.finish()
        self.connection.execute("BEGIN")
        turn.changes.write(self.connection)
        self.connection.execute("COMMIT")
        self.stored += turn.stored
        self._note(turn)
        if self.now_ms >= self._trim_ms:
            self._trim_ms = self.now_ms + KEEP_MS
            self.connection.execute("DELETE FROM inbox WHERE received_ms < ?", (self.now_ms - KEEP_MS,))
        return result

    def command(self, op: str, actor: str, args: dict[str, Any]) -> Any:
        """A person's command; gives its result. Raises ControlError."""
        return self.turn(ask=msgspec.convert({"id": 1, "op": op, "actor": actor, "args": args}, Ask))

    def next_due_ms(self) -> int:
        """When time alone next changes something."""
        if self._due_ms is None:
            due_ms = self.state.next_due_ms()
            self._due_ms = 2**62 if due_ms is None else max(due_ms, self.now_ms + 1)
        return self._due_ms

    def _steady(self) -> float:
        """A process clock: a real gateway looks at itself each second, and was not held up because nothing happened."""
        self._steady_s += min(1.0, (self.now_ms - self._steady_ms) / 1000)
        self._steady_ms = self.now_ms
        return self._steady_s

    def _note(self, turn: Turn) -> None:
        for alarm in turn.moves.touched.values():
            if alarm.id not in self._seen:
                self._seen.add(alarm.id)
                subject = alarm.subject.removeprefix(f"{alarm.site}/")
                self.raised.append(
                    Raised(alarm.rule, subject, alarm.severity, self.now_ms, alarm.raised_ms, alarm.hold)
                )
