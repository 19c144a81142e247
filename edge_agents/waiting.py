"""How the agent's tasks wait: for an event, or for a moment of the loop's clock, whichever is first."""

from __future__ import annotations

import asyncio


async def wait(event: asyncio.Event, wait_s: float | None) -> None:
    """Until the event is set, by whoever it is or because so many seconds have passed; None: however long it takes.

    Cheaper than `asyncio.timeout`, which ends a task's wait by cancelling it; lines and lanes wait all day.
    """
    if wait_s is None:
        await event.wait()
        return
    timer = asyncio.get_running_loop().call_later(max(0.0, wait_s), event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
