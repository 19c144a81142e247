"""The outbox of messages in the ledger: what is planned, under way, sent. Every state change is one small transaction.

    planned ──claim──> sending ──> sent ──receipt──> (delivered_ms, read_ms)
       │                  └──> planned (another try), failed (given up), stopped
       └──> stopped (with the reason), expired

What is written here with an alarm stands in the alarm's own transaction. A message is `sending` in the ledger before
its service is called and has its result afterwards, so a crash repeats at most the one message that was under way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.notify.texts import Facts, Message

Lane = Literal["fire", "fault"]
_encode = msgspec.json.Encoder().encode
_ids = msgspec.json.Decoder(list[int])
SHOWN_ALARMS = 50
"""Alarms of a message that are told to screens."""


class Notice(NamedTuple):
    """A message to one person by one way."""

    id: int
    person: str
    channel: str
    lane: Lane
    kind: str
    severity: str
    alarms: list[int]
    message: Message
    due_ms: int
    expires_ms: int | None
    follows: list[int] = []
    """Messages that told of what this one says is over; it is only sent when one of them was."""
    token: str = ""
    """Of the proof of the path it belongs to."""
    attempts: int = 0


class Escalation(msgspec.Struct):
    """Where an alarm stands in its chain. Times are ms UTC."""

    facts: Facts
    chain: str
    lane: Lane
    began_ms: int
    step: int = 0
    """Steps of the chain that were entered."""
    next_ms: int | None = None
    """When something is to happen next; None: nothing."""
    repeat_ms: int | None = None
    told: dict[str, list[int]] = {}
    """Person -> latest messages that told of it."""
    waiting: dict[str, str] = {}
    """Person -> kind of what waits for the person's next message about faults."""
    stopped: bool = False
    """Acknowledged or held: no further step or repeat."""
    late: bool = False
    """It came late; when it is over already it is told without haste."""
    called: str | None = None
    """The site whose people are called to a fire elsewhere."""

    @property
    def about(self) -> list[int]:
        """The alarm a message is about; none where somebody saw the fire."""
        return [self.facts.id] if self.facts.id else []

    def shift(self, by_ms: int) -> None:
        """Move every time that lies ahead, and the begin, by as much as the clock was set."""
        self.began_ms += by_ms
        self.next_ms = None if self.next_ms is None else self.next_ms + by_ms
        self.repeat_ms = None if self.repeat_ms is None else self.repeat_ms + by_ms


class Box(msgspec.Struct):
    """What a person may still be sent about faults, and when the next message goes out."""

    due_ms: int | None
    tokens: float
    tokens_ms: int


@dataclass(slots=True)
class Plans:
    """What a turn of the planner wants written, with the alarms it is about."""

    notices: list[Notice] = field(default_factory=list)
    escalations: dict[int, Escalation] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    boxes: dict[str, Box] = field(default_factory=dict)
    stops: list[tuple[int, str]] = field(default_factory=list)
    """Messages that are no longer wanted unless they are out already, and why."""
    limits: list[tuple[int, int]] = field(default_factory=list)
    """Messages that are given up at a time (ms) from now on."""

    def __bool__(self) -> bool:
        return bool(self.notices or self.escalations or self.ended or self.boxes or self.stops or self.limits)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it, within the caller's transaction."""
        many = connection.executemany
        many(
            "INSERT INTO notice (id, person, channel, lane, kind, severity, alarms, title_zh, title_en, text_zh, "
            "text_en, due_ms, expires_ms, follows, token) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [
                (*n[:6], _encode(n.alarms).decode(), *n.message, n.due_ms, n.expires_ms,
                 _encode(n.follows).decode(), n.token)
                for n in self.notices
            ],
        )  # fmt: skip
        many(
            "INSERT OR REPLACE INTO escalation VALUES (?,?)",
            [(alarm, _encode(row).decode()) for alarm, row in self.escalations.items()],
        )
        many("DELETE FROM escalation WHERE alarm_id = ?", [(alarm,) for alarm in self.ended])
        many("INSERT OR REPLACE INTO notice_box VALUES (?,?,?,?)", [(p, *_row(box)) for p, box in self.boxes.items()])
        many(
            "UPDATE notice SET stop = 1, error = ?, state = iif(state = 'planned', 'stopped', state) "
            "WHERE id = ? AND state IN ('planned', 'sending')",
            [(why, number) for number, why in self.stops],
        )
        many(
            "UPDATE notice SET expires_ms = ? WHERE id = ? AND state IN ('planned', 'sending')",
            [(at_ms, number) for number, at_ms in self.limits],
        )


def _row(box: Box) -> tuple[int | None, float, int]:
    return box.due_ms, box.tokens, box.tokens_ms


class SavedPlans(NamedTuple):
    """The ledger's rows a planner is built from."""

    escalations: dict[int, Escalation]
    boxes: dict[str, Box]
    next_notice: int


_escalation = msgspec.json.Decoder(Escalation)


def load_plans(connection: sqlite3.Connection) -> SavedPlans:
    """Read them, within the caller's transaction."""
    ask = connection.execute
    return SavedPlans(
        {row[0]: _escalation.decode(row[1]) for row in ask("SELECT alarm_id, detail FROM escalation")},
        {row[0]: Box(*row[1:]) for row in ask("SELECT person, due_ms, tokens, tokens_ms FROM notice_box")},
        ask("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'notice'), 0) + 1").fetchone()[0],
    )


# --- sending ---------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "id, person, channel, lane, kind, severity, alarms, title_zh, title_en, text_zh, text_en, due_ms, expires_ms, "
    "follows, token, attempts"
)


class Claim(NamedTuple):
    """What a worker is to send now, and the messages that ended without being sent: (id, state)."""

    notice: Notice | None
    ended: list[tuple[int, str]]


def recover(connection: sqlite3.Connection) -> int:
    """After a start: what was under way when the gateway died is to be sent (again); gives how many."""
    return connection.execute(
        "UPDATE notice SET state = iif(stop, 'stopped', 'planned') WHERE state = 'sending'"
    ).rowcount


def claim(connection: sqlite3.Connection, person: str, channel: str, lane: Lane, now_ms: int) -> Claim:
    """Take the most urgent message of a way and lane: it is `sending` from then on."""
    ended: list[tuple[int, str]] = []
    while True:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM notice WHERE state = 'planned' "  # noqa: S608 # constants
            "AND person = ? AND channel = ? AND lane = ? ORDER BY kind <> 'proof', "
            "CASE severity WHEN 'fire' THEN 0 WHEN 'critical' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END, id LIMIT 1",
            (person, channel, lane),
        ).fetchone()
        if row is None:
            return Claim(None, ended)
        notice = _notice(row)
        if notice.expires_ms is not None and notice.expires_ms <= now_ms:
            state, why = ("expired", None) if not notice.attempts else ("failed", None)
        elif notice.follows and not _was_sent(connection, notice.follows):
            state, why = "stopped", "nobody was told of it"
        else:
            connection.execute(
                "UPDATE notice SET state = 'sending', attempts = attempts + 1 WHERE id = ?", (notice.id,)
            )
            return Claim(notice._replace(attempts=notice.attempts + 1), ended)
        connection.execute(
            "UPDATE notice SET state = ?, error = coalesce(?, error, 'not sent in time') WHERE id = ?",
            (state, why, notice.id),
        )
        ended.append((notice.id, state))


def _notice(row: Any) -> Notice:
    person, channel, lane, kind, severity = row[1:6]
    due_ms, expires_ms, follows, token, attempts = row[11:16]
    return Notice(
        row[0], person, channel, lane, kind, severity, _ids.decode(row[6]), Message(*row[7:11]), due_ms, expires_ms,
        _ids.decode(follows), token, attempts,
    )  # fmt: skip


def _was_sent(connection: sqlite3.Connection, ids: Sequence[int]) -> bool:
    marks = ",".join("?" * len(ids))
    query = f"SELECT 1 FROM notice WHERE id IN ({marks}) AND (sent_ms IS NOT NULL OR state = 'sending')"  # noqa: S608 # marks
    return connection.execute(query, list(ids)).fetchone() is not None


def settle_sent(connection: sqlite3.Connection, number: int, at_ms: int, delivered: bool, read: bool) -> None:
    """The service took it; delivered, read: what the service said of that already."""
    connection.execute(
        "UPDATE notice SET state = 'sent', sent_ms = ?, error = NULL, delivered_ms = iif(?, ?, delivered_ms), "
        "read_ms = iif(?, ?, read_ms) WHERE id = ?",
        (at_ms, delivered or read, at_ms, read, at_ms, number),
    )


def settle_failed(connection: sqlite3.Connection, number: int, why: str) -> str:
    """It did not go out: it will be tried again unless nobody wants it any more; gives its state."""
    connection.execute(
        "UPDATE notice SET state = iif(stop, 'stopped', 'planned'), error = iif(stop, error, ?) WHERE id = ?",
        (why[:300], number),
    )
    return str(connection.execute("SELECT state FROM notice WHERE id = ?", (number,)).fetchone()[0])


def pending(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """How many messages wait, by person and channel."""
    rows = connection.execute(
        "SELECT person, channel, count(*) FROM notice WHERE state IN ('planned', 'sending') GROUP BY 1, 2"
    )
    return {(row[0], row[1]): row[2] for row in rows}


def view(notice: Notice, state: str, at_ms: int, **more: Any) -> dict[str, Any]:
    """A message as screens show it."""
    return {
        "id": notice.id, "person": notice.person, "channel": notice.channel, "kind": notice.kind,
        "severity": notice.severity, "alarms": notice.alarms[:SHOWN_ALARMS], "alarm_count": len(notice.alarms),
        "title_zh": notice.message.title_zh, "title_en": notice.message.title_en, "state": state, "at_ms": at_ms,
        "attempts": notice.attempts, **more,
    }  # fmt: skip
