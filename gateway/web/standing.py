"""What keeps alarms still, and whether the way to people is proven: rows as the gateway tells them, typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from gateway.alarms.scope import covers
from gateway.control.protocol import Snapshot


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """A drill or walk test. expected: what is to speak in its scope; ticked: what has spoken."""

    id: int
    site: str
    scope: list[str]
    from_ms: int
    until_ms: int
    reason: str
    leader: str
    closed_ms: int | None = None
    closed_by: str | None = None
    note: str = ""
    expected: int = 0
    ticked: int = 0
    open: bool = True


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """A window of planned work."""

    id: int
    site: str
    scope: list[str]
    from_ms: int
    until_ms: int
    reason: str
    by: str
    closed_ms: int | None = None
    closed_by: str | None = None
    note: str = ""
    open: bool = True


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """A rule on a subject that was put on the shelf."""

    rule: str
    subject: str
    alarm_id: int
    severity: str
    from_ms: int
    until_ms: int
    reason: str
    by: str
    open: bool = True


class OutOfService(msgspec.Struct, frozen=True, kw_only=True):
    """A device or point that was taken out of service."""

    subject: str
    from_ms: int
    reason: str
    by: str
    open: bool = True


T = TypeVar("T", Drill, Maintenance, Shelf, OutOfService)


class Standing:
    """All of it that stands now. Rows that ended are dropped."""

    def __init__(self) -> None:
        self.drills: dict[int, Drill] = {}
        self.maintenance: dict[int, Maintenance] = {}
        self.shelves: dict[tuple[str, str], Shelf] = {}
        self.out_of_service: dict[str, OutOfService] = {}

    def replace(self, snapshot: Snapshot) -> None:
        """Take everything from a snapshot."""
        self.drills, self.maintenance, self.shelves, self.out_of_service = {}, {}, {}, {}
        for name in ("drill", "maintenance", "shelf", "service"):
            for row in getattr(snapshot, _SNAPSHOT[name]):
                self.apply(name, row)

    def apply(self, name: str, row: dict[str, Any]) -> None:
        """Take one event in. Raises msgspec.ValidationError for a row that does not fit the protocol."""
        if name == "drill":
            drill = _row(row, Drill)
            _keep(self.drills, drill.id, drill)
        elif name == "maintenance":
            window = _row(row, Maintenance)
            _keep(self.maintenance, window.id, window)
        elif name == "shelf":
            shelf = _row(row, Shelf)
            _keep(self.shelves, (shelf.rule, shelf.subject), shelf)
        else:
            taken = _row(row, OutOfService)
            _keep(self.out_of_service, taken.subject, taken)

    def windows(self, now_ms: int) -> list[Maintenance]:
        """Windows in force now."""
        return [row for row in self.maintenance.values() if row.from_ms <= now_ms < row.until_ms]

    def out(self, subject: str) -> OutOfService | None:
        """Why a point or its device is out of service; None when it is not."""
        device = "/".join(subject.split("/")[:2])
        return self.out_of_service.get(subject) or self.out_of_service.get(device)

    def drill_of(self, subject: str) -> Drill | None:
        """The drill whose scope the device or point is in."""
        site, _, name = subject.partition("/")
        return next((d for d in self.drills.values() if d.site == site and covers(d.scope, name)), None)


_SNAPSHOT = {"drill": "drills", "maintenance": "maintenance", "shelf": "shelved", "service": "out_of_service"}
EVENTS = frozenset(_SNAPSHOT)
"""Names of the events that bring these rows."""


def _row(row: dict[str, Any], kind: Callable[..., T]) -> T:
    if isinstance(row.get("scope"), str):
        row = {**row, "scope": msgspec.json.decode(row["scope"])}
    converted: T = msgspec.convert(row, kind)
    return converted


def _keep(rows: dict[Any, Any], key: Any, row: Any) -> None:
    if row.open:
        rows[key] = row
    else:
        rows.pop(key, None)
