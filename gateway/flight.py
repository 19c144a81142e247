"""What waits at the pipeline for an answer, and what is on its way into the ledger."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from gateway.control.client import ControlError
from gateway.control.feed import Subscriber
from gateway.control.protocol import Ask, Problem
from gateway.ingest.door import Arrival
from gateway.installing import Install


class Waiting(NamedTuple):
    """A command, subscription or installation, and who waits for what comes of it."""

    ask: Ask | Subscriber | Install
    answer: asyncio.Future[Any]


class Flight(NamedTuple):
    """A group whose commit is under way."""

    commit: asyncio.Task[None]
    arrivals: list[Arrival]
    asks: list[Waiting]
    note: str | None


def refuse(waiting: Waiting, text: str) -> None:
    """Answer `unavailable`, unless it is answered."""
    if not waiting.answer.done():
        waiting.answer.set_exception(ControlError(Problem("unavailable", text)))
