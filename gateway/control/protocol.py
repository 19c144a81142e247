"""Messages of the control socket: one JSON object a line over a Unix socket only its owner may open.

    -> {"id": 1, "op": "alarm.acknowledge", "actor": "wang", "args": {"alarm_id": 7, "note": ""}}
    <- {"id": 1, "ok": true, "result": {}}
    <- {"id": 2, "ok": false, "error": {"code": "not_found", "text": "alarm 8: ..."}}

After `subscribe` the connection also carries events, in commit order:

    <- {"event": "reading", "data": [["shuiye/hydrant-01/pressure_kpa", 1700000000000, 152.3, "good"], ...]}
    <- {"event": "alarm", "data": {alarm row as in AlarmView}}
    <- {"event": "agent", "data": {agent row as in AgentView}}
    <- {"event": "unknown_device", "data": {row as in unknown_device, "approved": true once it was approved}}

The first event is `snapshot` with everything current. A subscriber that does not keep up is cut off; it connects
again and gets a new snapshot, so nothing it shows can be silently old.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Op = Literal[
    "subscribe",
    "status",
    "alarm.acknowledge",
    "device.approve",
    "device.read",
    "quarantine.dismiss",
    "user.set_password",
    "user.reset",
    "session.open",
    "session.close",
    "sign_in.failed",
    "exported",
]
"""What may be asked. Arguments:

alarm.acknowledge {alarm_id, note}; device.approve {site, device, profile, title_zh, title_en};
device.read {site, device} (asks the agent to read it now); quarantine.dismiss {id};
user.set_password {name, password_hash} (ends a one-time password); user.reset {name, password_hash} (a one-time
password for 24 h); session.open {token_hash, user, expires_ms}; session.close {token_hash};
sign_in.failed {name, address}; exported {what, range} (an export was handed out).
"""

LIMIT = 1024 * 1024
"""Longest request, bytes. A snapshot or an event may be longer."""


class Ask(msgspec.Struct, kw_only=True):
    """A request. `actor` is the signed-in person, or `local` for a shell on the machine."""

    id: int
    op: Op
    actor: str
    args: dict[str, Any] = {}


class Problem(msgspec.Struct):
    """Why not. code: not_found | conflict | invalid | unavailable."""

    code: str
    text: str


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The reply to an Ask."""

    id: int
    ok: bool
    result: Any = None
    error: Problem | None = None


class Event(msgspec.Struct, kw_only=True):
    """Something that was committed."""

    event: Literal["snapshot", "reading", "alarm", "agent", "unknown_device"]
    data: Any


class AlarmView(msgspec.Struct, kw_only=True):
    """An alarm as screens show it: the ledger row (names as in schema.sql) and the rule's words."""

    id: int
    rule: str
    subject: str
    site: str
    device: str | None
    severity: str
    state: str
    active: bool
    retrospective: bool
    raised_ms: int
    recorded_ms: int
    cleared_ms: int | None
    acknowledged_ms: int | None
    acknowledged_by: str | None
    inputs: dict[str, Any]


class AgentView(msgspec.Struct, kw_only=True):
    """An agent as screens show it."""

    site: str
    agent: str
    online: bool
    heard_ms: int
    clock_offset_ms: int
    state: dict[str, Any]


class Snapshot(msgspec.Struct, kw_only=True):
    """Everything current. values: point -> [observed_ms, value, quality]; alarms: all that are not normal."""

    at_ms: int
    values: dict[str, list[Any]]
    alarms: list[AlarmView]
    agents: list[AgentView]
    unknown_devices: list[dict[str, Any]]
