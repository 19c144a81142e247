"""Operators' commands, the same for pages and API."""

from __future__ import annotations

import asyncio

from gateway.web.context import Web

SEEN_S = 1.0
"""How long the answer waits for the picture to show what was done; the stream brings it in any case."""


async def acknowledge(web: Web, person: str, alarm_id: int, note: str) -> None:
    """Acknowledge an alarm; returns once it is durable.

    Raises:
        RetryLater: the gateway is away.
        ControlError: `not_found`, or `conflict` when somebody was faster.
    """
    await web.link.ask("alarm.acknowledge", person, alarm_id=alarm_id, note=note.strip())
    deadline = asyncio.get_running_loop().time() + SEEN_S
    while asyncio.get_running_loop().time() < deadline:
        alarm = web.picture.alarms.get(alarm_id)
        if alarm is None or alarm.acknowledged_ms is not None:
            return
        await asyncio.sleep(0.02)
