"""Duty checks (查岗) as the screens show them: open ones, those nobody answered, and for a minute what was answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from gateway.duty.checks import CENTRE, OPEN, SHOWN_MS, STATION, UNANSWERED, CheckView
from gateway.web.inventory import Inventory
from gateway.web.texts import Texts

ANSWERED_SHOWN_MS = 60_000
"""How long an answer stays on the screens."""
URGENT_MS = 60_000
"""With less than this left the countdown is drawn so that it is seen from the door."""


class DutyLine(NamedTuple):
    """A duty check in the reader's words. who: asks. gone_ms: when it leaves the screens; None while it is open.

    wants_proof: a click is no answer to it, a PIN is.
    """

    id: int
    state: str
    who: str
    site: str
    asked_ms: int
    until_ms: int
    answered_ms: int | None
    answered_by: str
    gone_ms: int | None
    left_ms: int
    wants_proof: bool

    @property
    def is_urgent(self) -> bool:
        """Whether little time is left."""
        return self.left_ms < URGENT_MS


class DutyScreen:
    """The checks that screens show. Kept from the control socket; times ms UTC."""

    def __init__(self) -> None:
        self._checks: dict[int, CheckView] = {}

    def replace(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take a snapshot; it has no answered ones, so those known stay."""
        answered = {n: check for n, check in self._checks.items() if check.state not in (OPEN, UNANSWERED)}
        self._checks = answered
        for row in rows:
            self.apply(row)

    def apply(self, row: dict[str, Any]) -> CheckView:
        """Take one event in. Raises msgspec.ValidationError for a row that does not fit the protocol."""
        check = msgspec.convert(row, CheckView)
        self._checks[check.id] = check
        return check

    def waiting(self, now_ms: int) -> list[CheckView]:
        """Those to be answered: open ones by their time, then those whose time is over, the latest first."""
        found = [c for c in self._shown(now_ms) if c.state in (OPEN, UNANSWERED)]
        return sorted(found, key=lambda c: (c.state != OPEN, c.until_ms if c.state == OPEN else -c.until_ms))

    def answered(self, now_ms: int) -> list[CheckView]:
        """Those answered a moment ago, the latest first."""
        found = [c for c in self._shown(now_ms) if c.state not in (OPEN, UNANSWERED)]
        return sorted(found, key=lambda c: -(c.answered_ms or 0))

    def is_open(self, now_ms: int) -> bool:
        """Whether somebody asks now."""
        return any(check.state == OPEN for check in self._shown(now_ms))

    def _shown(self, now_ms: int) -> list[CheckView]:
        # The gateway says nothing when a check leaves the screens: its time does.
        self._checks = {n: c for n, c in self._checks.items() if (gone := _gone_ms(c)) is None or now_ms < gone}
        return list(self._checks.values())


def duty_lines(screen: DutyScreen, inventory: Inventory, texts: Texts, now_ms: int) -> list[DutyLine]:
    """Everything to show, the most urgent first."""
    found = screen.waiting(now_ms) + screen.answered(now_ms)
    return [
        DutyLine(
            check.id,
            check.state,
            origin_text(check.origin, texts),
            inventory.site_title(check.site).get(texts.language),
            check.asked_ms,
            check.until_ms,
            check.answered_ms,
            check.answered_by or "",
            _gone_ms(check),
            max(0, check.until_ms - now_ms),
            check.origin == STATION,
        )
        for check in found
    ]


def origin_text(origin: str, texts: Texts) -> str:
    """Who asks, in words."""
    if origin.startswith(CENTRE):
        return texts("Monitoring centre %(name)s", name=origin.removeprefix(CENTRE))
    return texts("Random duty check") if origin == STATION else origin


def _gone_ms(check: CheckView) -> int | None:
    if check.state == OPEN:
        return None
    if check.state == UNANSWERED:
        return check.until_ms + SHOWN_MS
    return (check.answered_ms or check.until_ms) + ANSWERED_SHOWN_MS
