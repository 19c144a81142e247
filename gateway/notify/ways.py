"""How each way to each person is doing, for screens, `status` and the gateway's own readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.notify.settings import NotifySettings, channels_of

FAILURES = 2
"""Failures in a row after which a way counts as failing: one lost packet is none."""


@dataclass(slots=True)
class Way:
    """One way to one person. Times are ms UTC; `error` says why the latest try failed."""

    person: str
    name: str
    channel: str
    kind: str
    pending: int = 0
    sent: int = 0
    failures: int = 0
    last_sent_ms: int | None = None
    failing_since_ms: int | None = None
    error: str | None = None

    def went_out(self, at_ms: int) -> bool:
        """A message was taken; gives whether the way had been failing."""
        was = self.is_failing
        self.sent, self.failures, self.last_sent_ms, self.failing_since_ms, self.error = (
            self.sent + 1, 0, at_ms, None, None,
        )  # fmt: skip
        return was

    def failed(self, at_ms: int, why: str) -> bool:
        """A message was not taken; gives whether the way is failing from now on."""
        was = self.is_failing
        self.failures, self.error = self.failures + 1, why
        self.failing_since_ms = self.failing_since_ms or at_ms
        return self.is_failing and not was

    @property
    def is_failing(self) -> bool:
        """Whether it counts as failing."""
        return self.failures >= FAILURES

    def view(self) -> dict[str, Any]:
        """As screens show it."""
        state = "failing" if self.is_failing else "ok" if self.last_sent_ms is not None else "unknown"
        return {
            "person": self.person, "name": self.name, "channel": self.channel, "kind": self.kind, "state": state,
            "pending": self.pending, "last_sent_ms": self.last_sent_ms, "since_ms": self.failing_since_ms,
            "error": self.error,
        }  # fmt: skip


class Ways:
    """All of them."""

    def __init__(self, settings: NotifySettings) -> None:
        self.all = {
            (person.id, channel.id): Way(person.id, person.name, channel.id, channel.kind)
            for person, channel in channels_of(settings)
        }

    @property
    def failing(self) -> bool:
        """Whether any way is failing."""
        return any(way.is_failing for way in self.all.values())

    def view(self) -> dict[str, Any]:
        """As snapshots and `status` carry it."""
        return {
            "ways": [way.view() for way in self.all.values()],
            "failing": sum(way.is_failing for way in self.all.values()),
            "pending": sum(way.pending for way in self.all.values()),
        }
