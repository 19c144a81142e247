"""What the JSON API answers. Times are ms UTC; `null` is no value, never zero."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from contract.profile import Text


class Answer(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Problem(Answer):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Not found",
                "status": 404,
                "detail": "There is no such alarm.",
                "instance": "/api/v1/alarms/99",
            }
        }
    )
    type: str
    title: str
    status: int
    detail: str
    instance: str


class SessionAnswer(Answer):
    """Who is signed in."""

    name: str = Field(examples=["duty"])
    role: str = Field(examples=["duty"])
    csrf: str = Field(examples=["6f0c…"])
    """Send it as X-CSRF-Token with every request that changes something."""


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
