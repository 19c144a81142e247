"""Messages of the control socket: one JSON object a line over a Unix socket only its owner may open.

    -> {"id": 1, "op": "alarm.acknowledge", "actor": "wang", "args": {"alarm_id": 7, "note": ""}}
    <- {"id": 1, "ok": true, "result": {}}
    <- {"id": 2, "ok": false, "error": {"code": "not_found", "text": "alarm 8: ..."}}

After `subscribe` the connection also carries events, in commit order:

    <- {"event": "reading", "data": [["shuiye/hydrant-01/pressure_kpa", 1700000000000, 152.3, "good"], ...]}
    <- {"event": "alarm", "data": {alarm row as in AlarmView}}
    <- {"event": "agent", "data": {agent row as in AgentView}}
    <- {"event": "unknown_device", "data": {row as in unknown_device, "approved": true once it was approved}}
    <- {"event": "drill" | "maintenance" | "shelf" | "service", "data": {row as in Snapshot}}
    <- {"event": "notice" | "proof", "data": {...}}
    <- {"event": "duty", "data": {row as in Snapshot.duty_checks, answered ones too}}
    <- {"event": "entry", "data": {"kind": ..., "open": bool, "row": {row of a register}}}
    <- {"event": "configuration", "data": {"configuration": hash}}   rules or sites are others from here on

The first event is `snapshot` with everything current. A subscriber that does not keep up is cut off; it connects
again and gets a new snapshot, so nothing it shows can be silently old.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Op = str
"""What may be asked. Arguments:

alarm.acknowledge {alarm_id, note}; alarm.assign {alarm_id, person, note} (person "" takes the assignment away);
alarm.note {alarm_id, note}; alarm.find {alarm_id, finding, note} (real | false | test | unclear);
alarm.shelve {alarm_id, until_ms, reason}; alarm.unshelve {alarm_id, note};
service.take_out {subject, reason} (site/device or site/device/point); service.return {subject, note};
maintenance.open {site, scope, from_ms, until_ms, reason}; maintenance.close {id, note};
drill.open {site, scope, until_ms, reason}; drill.close {id, note} (scope: patterns `device`, `device/point` or `*`);
work.record {site, device, work, at_ms, note} (inspection | maintenance | calibration | battery | test);
duty.ask {site, origin, minutes} (a monitoring centre asks who is there); duty.answer {id};
rules.reload {}; path.receipt {token, channel, hop}; notice.receipt {token};
device.approve {site, device, profile, title_zh, title_en};
device.read {site, device} (asks the agent to read it now); device.check_duty {site, device, minutes} (passes a duty
check to a transmitter); quarantine.dismiss {id};
user.create {name, role, area, password_hash} (a one-time password); user.set_rights {name, role, area};
user.set_password {name, password_hash} (ends a one-time password); user.use_one_time {name, password_hash} (lets its
person in, once); user.rehash {name, before, password_hash};
user.reset {name, password_hash} (a one-time password for 24 h); user.disable {name}; user.enable {name};
session.open {token_hash, user, expires_ms, agent, address}; session.close {token_hash}; session.end {id} (one's own, or
any by an administrator); session.end_all {name}; session.used {used} (hash -> ms UTC);
token.create {token_hash, name, role, area, read_only, expires_ms} (for the actor);
wall.create {code_hash, name, area, until_ms}; wall.pair {code_hash, token_hash, expires_ms, agent, address};
sign_in.failed {name, address}; exported {what, range} (an export was handed out);
outcome {mark} (what became of one's own command: {state: running | done | refused | unknown, result, error}).
Those of the registers stand with their forms in gateway/commands_*.py.
"""

LIMIT = 1024 * 1024
"""Longest request, bytes. A snapshot or an event may be longer."""


class Ask(msgspec.Struct, kw_only=True):
    """A request. `actor` is the signed-in person, or `local` for a shell on the machine.

    area: as far as the actor may go here, where that is less than what the person may (a token of one area).
    via: what the actor acts through, for the audit; '': a browser or a shell.
    mark: names this one act, so that it is done once and its outcome can be asked for; '': nobody will ask.
    """

    id: int
    op: Op
    actor: str
    args: dict[str, Any] = {}
    area: str = ""
    via: str = ""
    mark: Annotated[str, msgspec.Meta(max_length=100)] = ""


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

    event: Literal[
        "snapshot",
        "reading",
        "alarm",
        "agent",
        "unknown_device",
        "drill",
        "maintenance",
        "shelf",
        "service",
        "notice",
        "proof",
        "duty",
        "entry",
        "configuration",
    ]
    data: Any


class AlarmView(msgspec.Struct, kw_only=True):
    """An alarm as screens show it: the ledger row (names as in schema.sql).

    state: its base state; hold lies over it, so that nothing is lost while it is held: while hold is not None the
    alarm is recorded, listed and may be acknowledged, and pages nobody but (hold `drill`) the leader of the drill.
    The name of ISA-18.2 that is shown is `gateway.alarms.lifecycle.shown_state(state, hold)`.
    """

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
    assignee: str | None = None
    hold: Literal["shelved", "out_of_service", "suppressed_by_design", "maintenance", "drill"] | None = None
    hold_until_ms: int | None = None
    """When the hold ends by itself; None: it ends when its cause does, or somebody ends it."""
    cause: str | None = None
    """Path of the node at fault that this alarm follows from."""
    count: int = 1
    """Raises so far; more than 1 when it flaps."""
    finding: Literal["real", "false", "test", "unclear"] | None = None
    drill: int | None = None
    """Number of the drill it belongs to: it is shown as TEST and counted nowhere as real."""
    drill_leader: str | None = None
    """Who leads that drill and is told of it."""
    notes: int = 0
    """How many notes people wrote (transitions with a note)."""
    suppressed: bool = False
    """Whether its cause suppresses it now; `hold` says so unless a stronger hold lies over it."""


class AgentView(msgspec.Struct, kw_only=True):
    """An agent as screens show it."""

    site: str
    agent: str
    online: bool
    heard_ms: int
    clock_offset_ms: int
    state: dict[str, Any]


class Snapshot(msgspec.Struct, kw_only=True):
    """Everything current. values: point -> [observed_ms, value, quality]; alarms: all that are not normal.

    The rows of what is held (names as in schema.sql), each with `open`: false once it is over. As events they come
    one by one, at every change.

    drills: {id, site, scope, from_ms, until_ms, reason, leader, closed_ms, closed_by, note, expected, ticked};
    maintenance: {id, site, scope, from_ms, until_ms, reason, by, closed_ms, closed_by, note};
    shelved: {rule, subject, alarm_id, severity, from_ms, until_ms, reason, by};
    out_of_service: {subject, from_ms, reason, by};
    proofs: {target, state, hop, via, asked_ms, answered_ms, judged_ms, sent_ms, receipt_ms, done_ms, proven_ms, tries};
    notices: {ways: [{person, name, channel, kind, state, pending, last_sent_ms, since_ms, error}], failing, pending};
    duty_checks: open ones and those nobody answered within the last hour: {id, site, origin, asked_ms, until_ms, state,
    answered_ms, answered_by, person, proof};
    entries: open rows of registers, by kind.
    """

    at_ms: int
    values: dict[str, list[Any]]
    alarms: list[AlarmView]
    agents: list[AgentView]
    unknown_devices: list[dict[str, Any]]
    drills: list[dict[str, Any]] = []
    maintenance: list[dict[str, Any]] = []
    shelved: list[dict[str, Any]] = []
    out_of_service: list[dict[str, Any]] = []
    proofs: list[dict[str, Any]] = []
    notices: dict[str, Any] = {}
    duty_checks: list[dict[str, Any]] = []
    entries: dict[str, list[dict[str, Any]]] = {}
