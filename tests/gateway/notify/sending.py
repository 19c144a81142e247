"""A sender on a real ledger, with ways to real servers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.control.protocol import Event
from gateway.ledger.store import FILE, Store
from gateway.notify.outbox import Plans, load_plans
from gateway.notify.plan import Planner
from gateway.notify.sender import Sender
from gateway.notify.settings import NotifySettings
from gateway.notify.state import NotifyParts
from gateway.notify.texts import Writer
from gateway.notify.ways import Ways
from tests.gateway.notify.servers import Server
from tests.gateway.notify.station import Titles

KEY = b"k" * 32
SECRET = "canary-secret-of-the-hook"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def secret_file(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text + "\n", "utf-8")
    return str(path)


def hook(folder: Path, name: str, server: Server, **changes: Any) -> dict[str, Any]:
    """A person reached by a webhook."""
    channel = {"kind": "webhook", "id": "hook", "url": server.url, "secret_file": secret_file(folder, name, SECRET)}
    return {"id": name, "name": name, "channels": [channel | changes]}


def settings_for(people: list[dict[str, Any]], **changes: Any) -> NotifySettings:
    """Everybody is told at once of everything; short limits."""
    record = {
        "people": people,
        "chains": [{"id": "all", "steps": [{"after_s": 0, "people": [one["id"] for one in people]}], "repeat_s": None}],
        "routes": [{"chain": "all", "severities": ["fire", "critical", "warning", "info"]}],
        "budget": {"gather_s": 0.0},
        "proof": {"enabled": False},
        "timeout_s": 1.0,
        "retry_s": 0.2,
    }
    return NotifySettings.model_validate(record | changes)


class Office:
    """Planner, sender and ledger."""

    def __init__(self, store: Store, sender: Sender, planner: Planner, parts: NotifyParts, events: list[Event]) -> None:
        self.store = store
        self.sender = sender
        self.planner = planner
        self.parts = parts
        self.events = events

    async def turn(self) -> Plans:
        """Write what the planner wants told and tell the sender."""
        self.planner.advance(now_ms())
        plans = self.planner.take()
        await self.store.run(plans.write)
        self.sender.planned(plans)
        return plans

    async def rows(self, columns: str = "person, state, attempts, error") -> list[tuple[Any, ...]]:
        """Every message in the ledger."""

        def read(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(f"SELECT {columns} FROM notice ORDER BY id").fetchall()

        return await self.store.run(read)


@asynccontextmanager
async def office(folder: Path, settings: NotifySettings) -> AsyncIterator[Office]:
    """Everything that is needed to send, on the ledger in that folder."""
    parts, titles = NotifyParts(settings, KEY, Ways(settings)), Titles()
    events: list[Event] = []

    def publish(event: Event) -> bool:
        events.append(event)
        return True

    async def proven(token: str, channel: str, hop: str) -> None:
        events.append(Event(event="proof", data={"token": token, "channel": channel, "hop": hop}))

    async with Store(folder) as store, Sender(parts, store, publish, proven, now_ms) as sender:
        planner = Planner(settings, Writer(lambda: titles, "Asia/Shanghai"))
        planner.restore(await store.run(load_plans), [], now_ms())
        yield Office(store, sender, planner, parts, events)


__all__ = ["FILE", "KEY", "SECRET", "Office", "hook", "now_ms", "office", "secret_file", "settings_for"]
