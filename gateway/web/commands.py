"""Operators' commands, the same for pages and API. Each returns once what it did is durable and the pages show it.

Raises, all of them: RetryLater when the gateway is away; ControlError when it refuses (`not_found`, `conflict` when
somebody was faster, `invalid`); Refused for what the role does not allow.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.control.client import ControlError
from gateway.control.protocol import Op
from gateway.web.access import Person, Refused
from gateway.web.context import Web
from gateway.web.texts import msgid

HOUR_MS = 3_600_000
DUTY_SHELF_MS = 8 * HOUR_MS
"""Longest shelf the duty desk may choose; longer is for those who maintain."""
FIRE_SHELF_MS = 4 * HOUR_MS
"""Longest shelf of a fire, whoever asks."""
DRILL_MS = 8 * HOUR_MS
"""Longest drill."""


async def acknowledge(web: Web, person: str, alarm_id: int, note: str) -> None:
    """Acknowledge an alarm."""
    await web.link.ask("alarm.acknowledge", person, alarm_id=alarm_id, note=note.strip())


async def acknowledge_all(web: Web, person: str, alarm_ids: Iterable[int]) -> None:
    """Acknowledge several alarms; what somebody acknowledged meanwhile is no error."""
    for alarm_id in dict.fromkeys(alarm_ids):
        try:
            await web.link.ask("alarm.acknowledge", person, alarm_id=alarm_id, note="")
        except ControlError as exc:
            if exc.code != "conflict":
                raise


async def shelve(web: Web, person: Person, alarm_id: int, until_ms: int, reason: str) -> None:
    """Put an alarm on the shelf. The gateway checks again; here a person reads why not."""
    now_ms = web.now_ms()
    if not reason.strip():
        raise Refused(422, msgid("A shelf needs a reason."))
    if until_ms <= now_ms:
        raise Refused(422, msgid("The time must lie in the future."))
    alarm = await web.read(web.ledger.alarm, alarm_id)
    if alarm is not None and alarm.severity == "fire" and until_ms > now_ms + FIRE_SHELF_MS + 60_000:
        raise Refused(422, msgid("A fire alarm may be shelved for four hours at most."))
    if person.role == "duty" and until_ms > now_ms + DUTY_SHELF_MS + 60_000:
        raise Refused(403, msgid("The duty desk may shelve for eight hours at most."))
    await do(web, person, "alarm.shelve", alarm_id=alarm_id, until_ms=until_ms, reason=reason.strip())


async def answer_duty(web: Web, who: Person, check_id: int, **proof: Any) -> dict[str, Any]:
    """Answer a duty check; gives its row. One whose time is over is answered late. proof: of who stands there."""
    answered: dict[str, Any] = await web.link.ask("duty.answer", who.name, id=check_id, **proof)
    return answered


async def do(web: Web, who: Person, op: Op, /, **args: Any) -> Any:
    """Any other command; gives the gateway's result."""
    return await web.link.ask(op, who.name, **args)


def local_ms(text: str, zone: str) -> int:
    """ms UTC of a browser's local date and time (2026-03-01T22:50), in the zone of the pages. Raises Refused."""
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    except (ValueError, OverflowError) as exc:
        raise Refused(422, msgid("The date cannot be read.")) from exc
