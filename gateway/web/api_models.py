"""What the JSON API answers. Times are ms UTC; `null` is no value, never zero."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.profile import Text
from gateway.web.standing import Drill, Maintenance, OutOfService, Shelf


class Answer(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class FieldError(Answer):
    """A field that does not fit."""

    field: str = Field(examples=["limit"])
    text: str = Field(examples=["Input should be less than or equal to 500"])


class Problem(Answer):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:weizhan:problem:not-found",
                "title": "Not found",
                "status": 404,
                "detail": "There is no such alarm.",
                "instance": "/api/v1/alarms/99",
                "errors": [],
            }
        }
    )
    type: str
    """Stable: urn:weizhan:problem:NAME."""
    title: str
    status: int
    detail: str
    """What happened, for a person."""
    instance: str
    errors: list[FieldError]
    """Of a request with fields that do not fit; else empty."""


class SessionAnswer(Answer):
    """Who is signed in."""

    name: str = Field(examples=["duty"])
    role: str = Field(examples=["duty"])
    csrf: str = Field(examples=["6f0c…"])
    """Send it as X-CSRF-Token with every request that changes something."""
    area: str = Field(default="", examples=["shuiye-town"])
    """Area of the grid the person is for; `site:NAME`: one site; empty: everything."""
    token: str | None = None
    """Name of the token that asks; null: a browser."""


class AgentAnswer(Answer):
    """An agent."""

    site: str = Field(examples=["shuiye"])
    agent: str = Field(examples=["edge1"])
    title: Text
    connected: bool
    heard_ms: int | None
    clock_offset_ms: int | None
    """The agent's clock minus the gateway's, ms."""


class StatusAnswer(Answer):
    """How things stand."""

    connected: bool
    """Whether the gateway answers; while it does not, nothing below is current."""
    since_ms: int
    now_ms: int
    screens: int
    """Live streams open now."""
    alarms: dict[str, int] = Field(examples=[{"fire": 0, "critical": 1, "warning": 2, "info": 0}])
    """Active alarms by severity."""
    devices: dict[str, int] = Field(examples=[{"good": 14, "unknown": 1}])
    """Devices by status; `alarm`: those whose values are good and tell of an active alarm."""
    agents: list[AgentAnswer]


class SiteAnswer(Answer):
    """A station."""

    site: str = Field(examples=["shuiye"])
    title: Text
    agents: list[str]
    devices: int


class ValueAnswer(Answer):
    """The last value of a point."""

    point: str = Field(examples=["shuiye/hydrant-01/pressure_kpa"])
    title: Text
    unit: str = Field(examples=["kPa"])
    value: float | bool | str | None = Field(examples=[152.3])
    quality: str = Field(examples=["good"])
    observed_ms: int | None = Field(examples=[1_700_000_000_000])
    status: str = Field(examples=["good"])
    """good, uncertain, test, stale, bad or unknown: whether it may be taken for the present state."""
    reason: str
    """Why it may not; empty for good."""


class DeviceAnswer(Answer):
    """A device; `status` is that of its worst point."""

    site: str = Field(examples=["shuiye"])
    device: str = Field(examples=["hydrant-01"])
    agent: str = Field(examples=["edge1"])
    profile: str = Field(examples=["hydrant-municipal"])
    title: Text
    place: Text | None
    status: str = Field(examples=["good"])
    reason: str
    severity: str | None = Field(examples=["warning"])
    """Of its worst active alarm."""
    values: list[ValueAnswer]


class AlarmAnswer(Answer):
    """An alarm. `state` as in ISA-18.2."""

    id: int = Field(examples=[7])
    rule: str = Field(examples=["hydrant-pressure-low"])
    title: Text | None
    advice: list[Text]
    basis: Text | None
    subject: str = Field(examples=["shuiye/hydrant-01/pressure_kpa"])
    site: str
    device: str | None
    severity: str = Field(examples=["warning"])
    state: str = Field(examples=["unacknowledged"])
    active: bool
    retrospective: bool
    raised_ms: int
    recorded_ms: int
    cleared_ms: int | None
    acknowledged_ms: int | None
    acknowledged_by: str | None
    inputs: dict[str, Any]
    """The readings the decision rests on."""
    assignee: str | None
    hold: str | None = Field(examples=["shelved"])
    """Why it pages nobody now: shelved, out_of_service, suppressed_by_design, maintenance, drill."""
    hold_until_ms: int | None
    cause: str | None = Field(examples=["shuiye/line-field"])
    """Path of the node at fault above it."""
    count: int
    """Raises so far; more than 1 when it flaps."""
    finding: str | None = Field(examples=["false"])
    """real, false, test or unclear."""
    drill: int | None
    """The drill it belongs to: then it is a test."""
    drill_leader: str | None
    notes: int
    suppressed: bool


class TransitionAnswer(Answer):
    """A step of an alarm's life."""

    event: str = Field(examples=["raise"])
    from_state: str
    to_state: str
    event_ms: int
    recorded_ms: int
    actor: str = Field(examples=["rule"])
    note: str


class AlarmWithSteps(AlarmAnswer):
    """An alarm with everything that happened to it."""

    transitions: list[TransitionAnswer]


class AcknowledgeRequest(BaseModel):
    """What is said with an acknowledgement."""

    model_config = ConfigDict(extra="forbid")
    note: str = Field(default="", max_length=500, examples=["On site, false alarm of a kettle."])


class Request(BaseModel):
    """Base of what is asked."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class MayNoteRequest(Request):
    """A note that may be left out."""

    note: str = Field(default="", max_length=500)


class NoteRequest(Request):
    """A note."""

    note: str = Field(min_length=1, max_length=500, examples=["Kettle in room 12."])


class AssignRequest(MayNoteRequest):
    """Whom an alarm is given to; empty: nobody."""

    person: str = Field(max_length=64, examples=["maintainer"])


class FindRequest(MayNoteRequest):
    """What an alarm was."""

    finding: Literal["real", "false", "test", "unclear"]


class ShelveRequest(Request):
    """Put on the shelf: at most 4 h for a fire, 8 h by the duty desk."""

    until_ms: int
    reason: str = Field(min_length=1, max_length=500)


class CheckDutyRequest(Request):
    """A duty check for the person at a transmitter."""

    minutes: int = Field(default=5, ge=1, le=255)
    """To be answered within so many."""


class TakeOutRequest(Request):
    """Taken out of service until somebody returns it."""

    subject: str = Field(max_length=160, examples=["shuiye/hydrant-01"])
    reason: str = Field(min_length=1, max_length=500)


class ReturnRequest(MayNoteRequest):
    """Back into service."""

    subject: str = Field(max_length=160, examples=["shuiye/hydrant-01"])


class ScopeRequest(Request):
    """What something covers: patterns `device`, `device/point` or `*`."""

    site: str = Field(max_length=60, examples=["shuiye"])
    scope: list[str] = Field(min_length=1, max_length=200, examples=[["panel-01"]])
    until_ms: int
    reason: str = Field(min_length=1, max_length=500)


class DrillRequest(ScopeRequest):
    """A drill from now on, for eight hours at most."""


class MaintenanceRequest(ScopeRequest):
    """A maintenance window."""

    from_ms: int


class WorkRequest(MayNoteRequest):
    """Work done on a device."""

    work: Literal["inspection", "maintenance", "calibration", "battery", "test"]
    at_ms: int | None = None
    """When it was done; now where it is left out."""


class PathReceiptRequest(Request):
    """The test of the path that a screen has painted."""

    token: str = Field(min_length=8, max_length=80)


class Done(Answer):
    """It is durable. id: of what was begun, where it has one."""

    id: int | None


class HeldAnswer(Answer):
    """Something kept still."""

    id: int | None
    site: str
    scope: list[str]
    """Patterns; of a shelf or something out of service its one subject."""
    rule: str | None
    who: str
    reason: str
    from_ms: int
    until_ms: int | None

    @classmethod
    def of(cls, row: Drill | Maintenance | Shelf | OutOfService, who: str) -> HeldAnswer:
        """The answer of a row."""
        subject = getattr(row, "subject", None)
        return cls(
            id=row.alarm_id if isinstance(row, Shelf) else getattr(row, "id", None),
            site=subject.partition("/")[0] if subject else getattr(row, "site", ""),
            scope=[subject.partition("/")[2]] if subject else getattr(row, "scope", []),
            rule=getattr(row, "rule", None),
            who=who,
            reason=row.reason,
            from_ms=row.from_ms,
            until_ms=getattr(row, "until_ms", None),
        )


class StandingAnswer(Answer):
    """Everything kept still."""

    drills: list[HeldAnswer]
    maintenance: list[HeldAnswer]
    shelved: list[HeldAnswer]
    out_of_service: list[HeldAnswer]


class RuleAnswer(Answer):
    """A rule in force."""

    rule: str
    version: str
    title: Text
    severity: str
    basis: Text
    advice: list[Text]
    when: list[str]
    """The condition in words, part by part."""
    timing: list[str]
    since_ms: int | None
    """Since when this version is in force."""
    alarms_30d: int


class NoticeAnswer(Answer):
    """A message to a person on one way."""

    id: int
    person: str
    channel: str
    kind: str
    severity: str
    alarms: list[int]
    title_zh: str
    title_en: str
    state: str
    """planned, sending, sent, failed, expired or stopped."""
    attempts: int
    due_ms: int
    sent_ms: int | None
    delivered_ms: int | None
    read_ms: int | None
    error: str | None


class ProofAnswer(Answer):
    """A part of the alarm path and its latest test."""

    target: str = Field(examples=["agent/shuiye/edge1"])
    state: str = Field(examples=["proven"])
    hop: str = ""
    """Where it broke; empty while nothing is broken."""
    asked_ms: int | None = None
    done_ms: int | None = None
    proven_ms: int | None = None


class DutyCheckAnswer(Answer):
    """A duty check: somebody asks whether the post is manned."""

    id: int
    site: str
    origin: str = Field(examples=["centre/city"])
    """A monitoring centre, or `station`: the gateway itself."""
    asked_ms: int
    until_ms: int
    """To be answered by then."""
    state: str
    """open, answered, unanswered or late (answered after its time)."""
    answered_ms: int | None
    answered_by: str | None
    person: int | None = None
    """Number of the person who answered, where that was proven."""
    proof: str | None = None
    """login, pin or qr."""


class CentreAnswer(Answer):
    """The way to a monitoring centre."""

    centre: str = Field(examples=["city"])
    connected: bool | None
    """null while the gateway does not answer."""
    since_ms: int | None
    """When `connected` took its value."""
    waiting: int
    """Objects the centre has not confirmed."""
    oldest_ms: int | None
    """When the gateway knew of the oldest of them."""
    confirmed_ms: int | None
    """When the centre last confirmed something."""
    repeated: int | None
    """Frames sent again since the gateway was started."""
    denied: int | None
    """Objects refused by the centre since then."""


class HistoryAnswer(Answer):
    """History of a point: `buckets` for numbers, `segments` for truths and states."""

    point: str = Field(examples=["shuiye/hydrant-01/pressure_kpa"])
    unit: str
    from_ms: int
    to_ms: int
    bucket_ms: int | None
    buckets: list[tuple[int, float, float, float, int] | None] = Field(
        examples=[[[1_700_000_000_000, 150.1, 152.3, 153.0, 12], None]]
    )
    """[start_ms, min, mean, max, count]; null marks a gap."""
    segments: list[tuple[int, int, float | bool | str | None, str]]
    """[start_ms, end_ms, value, quality]; time between two segments is a gap."""
    complete: bool
    """False when the range held more samples than one answer carries."""
