"""What registers ask of the notification beside alarms: that the people of another station are called to a fire."""

from __future__ import annotations

from typing import NamedTuple

from gateway.notify.texts import Facts


class Call(NamedTuple):
    """The people of a station are told of a fire elsewhere, by the chain that fires of their own site go by.

    number: below zero, so that it is no alarm's. alarm: the fire, None where somebody saw it.
    """

    number: int
    alarm: int | None
    rule: str
    subject: str
    site: str
    called: str
    since_ms: int
    text: str = ""
    """What somebody saw and where, in their words."""

    def facts(self) -> Facts:
        """What the message speaks of."""
        device = self.subject.split("/")[1] if "/" in self.subject else None
        told = (self.alarm or 0, self.rule, self.subject, self.site, device, "fire", self.since_ms)
        return Facts(*told, active=True, text=self.text)


class End(NamedTuple):
    """A call is over. over_ms: the fire is, and who was called is told so; None: they have answered."""

    number: int
    over_ms: int | None
