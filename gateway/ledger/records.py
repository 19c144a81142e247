"""Rows of the ledger as typed records. Times are ms UTC; names as in schema.sql."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from contract.messages import Reading, Value


class TransitionRow(NamedTuple):
    """One step of an alarm's life. `actor` is `rule` or a person's name."""

    id: int
    alarm_id: int
    event: str
    from_state: str
    to_state: str
    event_ms: int
    recorded_ms: int
    actor: str
    note: str
    inputs: dict[str, Any]


class Shelf(NamedTuple):
    """A rule put on the shelf for one subject."""

    rule: str
    subject: str
    alarm_id: int
    severity: str
    from_ms: int
    until_ms: int
    reason: str
    by: str


class OutOfService(NamedTuple):
    """A device or point (`site/device`, `site/device/point`) taken out of service."""

    subject: str
    from_ms: int
    reason: str
    by: str


class Maintenance(NamedTuple):
    """A maintenance window. closed_ms is None while it is planned or in force."""

    id: int
    site: str
    scope: tuple[str, ...]
    from_ms: int
    until_ms: int
    reason: str
    by: str
    opened_ms: int
    closed_ms: int | None = None
    closed_by: str | None = None
    note: str = ""


class Drill(NamedTuple):
    """A drill or walk test. closed_ms is None while it runs; closed_by `gateway`: its time was up."""

    id: int
    site: str
    scope: tuple[str, ...]
    from_ms: int
    until_ms: int
    reason: str
    leader: str
    closed_ms: int | None = None
    closed_by: str | None = None
    note: str = ""


class DrillItem(NamedTuple):
    """One line of a drill's list: what is to speak (`site/device/point`), when it did, how (alarm | state | test)."""

    drill: int
    subject: str
    spoke_ms: int | None
    how: str | None
    alarm_id: int | None


class LastTest(NamedTuple):
    """When a point, or by hand a whole device, was last seen to work in a test."""

    subject: str
    at_ms: int
    drill: int | None
    by: str


class WorkRow(NamedTuple):
    """Work done on a device. work: inspection | maintenance | calibration | battery | test."""

    id: int
    site: str
    device: str
    work: str
    at_ms: int
    recorded_ms: int
    by: str
    note: str


class RuleVersion(NamedTuple):
    """A version of a rule that was in force from first_ms on; `json` is the whole record."""

    id: str
    version: str
    first_ms: int
    json: str


class NoticeRow(NamedTuple):
    """A message to a person on one way, as far as it came. error: why it did not go; None while nothing is wrong."""

    id: int
    person: str
    channel: str
    kind: str
    state: str
    due_ms: int
    sent_ms: int | None
    delivered_ms: int | None
    read_ms: int | None
    error: str | None


class QuarantineRow(msgspec.Struct, frozen=True):
    """Messages of one source refused for one reason: how many, and the latest one (at most its first 4 KiB)."""

    id: int
    source: str
    reason: str
    detail: str
    first_ms: int
    last_ms: int
    count: int
    size: int
    sample: bytes


class UnknownDevice(NamedTuple):
    """A device that reports but stands in no site file. `readings` are kept, `dropped` were counted only."""

    site: str
    device: str
    agent: str
    first_ms: int
    last_ms: int
    readings: int
    dropped: int


class AlarmChange(NamedTuple):
    """A raise or clear with what a monitoring centre wants to know of its alarm. drill: the drill it belongs to."""

    event: str
    event_ms: int
    rule: str
    subject: str
    device: str
    severity: str
    drill: int | None


class UpwardRow(NamedTuple):
    """An object that a monitoring centre is to be told. created_ms: when the gateway knew of it."""

    id: int
    urgency: int
    unit_type: int
    body: bytes
    created_ms: int


class ApprovedDevice(NamedTuple):
    """A device somebody approved at run time."""

    site: str
    device: str
    agent: str
    profile: str
    title_zh: str
    title_en: str
    approved_ms: int
    approved_by: str


class User(NamedTuple):
    """A person who may sign in. one_time_until_ms: the password is a one-time one and dies then."""

    name: str
    role: str
    password_hash: str
    one_time_until_ms: int | None
    created_ms: int
    area: str = ""
    """Area of the grid the person is for; '': everything."""
    disabled_ms: int | None = None
    """Since when nobody signs in as them; None: they may."""
    password_ms: int = 0
    """When the password was chosen."""
    signed_in_ms: int | None = None
    """Latest sign-in."""
    one_time_used_ms: int | None = None
    """When the one-time password was used: it lets nobody in any more; None: it was not."""


class Session(NamedTuple):
    """Whoever is let in without a password: kind browser | token | wall | code (columns as in schema.sql)."""

    token_hash: str
    user: str
    created_ms: int
    expires_ms: int
    kind: str = "browser"
    name: str = ""
    role: str = ""
    area: str = ""
    read_only: bool = False
    agent: str = ""
    address: str = ""
    used_ms: int = 0

    @property
    def id(self) -> str:
        """What pages and audit call it; nobody is let in with it."""
        return self.token_hash[:16]


class LastValue(NamedTuple):
    """Last value of a point (`site/device/point`)."""

    point: str
    observed_ms: int
    received_ms: int
    value: Value
    quality: str


class GapRow(NamedTuple):
    """Readings that will never come. first_ms is None where nobody can say how many or from when."""

    id: int
    site: str
    agent: str
    epoch: str
    lane: str
    first_seq: int
    seq: int
    readings: int
    first_ms: int | None
    last_ms: int | None
    reason: str
    recorded_ms: int


class ResentRow(NamedTuple):
    """What came again of an agent's lane on a day and was dropped. device: '' for the batches as a whole."""

    site: str
    agent: str
    device: str
    lane: str
    day: str
    batches: int
    readings: int


class AuditRow(NamedTuple):
    """One link of the audit chain; `detail` is JSON."""

    id: int
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: str
    previous: str
    hash: str


class AuditEntry(NamedTuple):
    """What is to be added to the audit chain."""

    at_ms: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class InboxRow(NamedTuple):
    """A batch as it was taken in. `readings` is empty and `intact` False where its checksum did not fit.

    The readings have the agent's times; plus correction_ms they are the gateway's.
    """

    id: int
    site: str
    agent: str
    epoch: str
    lane: str
    seq: int
    received_ms: int
    readings: list[Reading]
    intact: bool
    correction_ms: int = 0
