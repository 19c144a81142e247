"""Ending a task for certain."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

AGAIN_S = 0.5
TRIES = 10
_log = logging.getLogger(__name__)


async def end_task(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task and wait until it has ended, at most TRIES * AGAIN_S seconds.

    Once is not enough: before Python 3.12 `asyncio.wait_for` swallows a cancellation that arrives together with its
    result, and the MQTT client waits that way.
    """
    for _ in range(TRIES):
        if task is None or task.done():
            return
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_S)
    _log.warning("task %s does not end; left behind", task.get_name() if task else "")
