"""A small site, messages of its agent, and a gateway's pipeline on a real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from contract.messages import AgentState, Batch, Gap, Lane, Reading, Receipt, Request, encode
from contract.topics import DEFAULT_ROOT
from gateway.clock_steps import ClockSteps
from gateway.control.feed import Feed
from gateway.ingest.door import Arrival
from gateway.installation import Installation, load_installation
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE, Store
from gateway.own import OwnReadings
from gateway.pipeline import Pipeline
from gateway.settings import GatewaySettings

SITE = """\
site: shuiye
title: {zh: 水冶微站, en: Shuiye station}
agents:
  - id: edge1
    lines:
      - id: tcp1
        kind: modbus_tcp
        host: 127.0.0.1
        port: 1502
        devices:
          - {id: hydrant-01, profile: hydrant-municipal, unit_id: 1}
          - {id: panel-01, profile: panel-modbus, unit_id: 2, points: 16}
  - id: edge2
    lines:
      - id: tcp2
        kind: modbus_tcp
        host: 127.0.0.2
        port: 1502
        devices:
          - {id: tank-01, profile: water-level, unit_id: 1}
"""
START_MS = 1_760_000_000_000
PRESSURE = "hydrant-01/pressure_kpa"
FIRE = "panel-01/p001"


class Clock:
    """Wall time set by the test."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def now(self) -> int:
        return self.now_ms

    def steady(self) -> float:
        """Monotonic seconds: what the test sets is time that passes, not a clock that is set."""
        return self.now_ms / 1000


def write_site(folder: Path) -> Path:
    """The site file."""
    path = folder / "shuiye.yaml"
    path.write_text(SITE, "utf-8")
    return path


def batch(
    seq: int,
    *readings: Reading,
    lane: Lane = "telemetry",
    epoch: str = "e1",
    agent: str = "edge1",
    oldest: int = 1,
    covers_from: int | None = None,
    gaps: list[Gap] | None = None,
    sent_ms: int = START_MS,
) -> Batch:
    """A batch of the site's agent."""
    return Batch(
        site="shuiye",
        agent=agent,
        epoch=epoch,
        lane=lane,
        seq=seq,
        oldest=oldest,
        sent_ms=sent_ms,
        readings=list(readings),
        covers_from=covers_from,
        gaps=gaps or [],
    )


def state(*, online: bool = True, sent_ms: int = START_MS, agent: str = "edge1", epoch: str = "e1") -> AgentState:
    """A state message of the site's agent."""
    return AgentState(site="shuiye", agent=agent, epoch=epoch, online=online, sent_ms=sent_ms)


def arrival(message: Batch | AgentState, received_ms: int = START_MS, retained: bool = False) -> Arrival:
    """The message as the broker hands it over."""
    channel = message.lane if isinstance(message, Batch) else "state"
    return Arrival(f"{DEFAULT_ROOT}/{message.site}/{message.agent}/{channel}", encode(message), received_ms, retained)


class Bench:
    """A pipeline under test and what it told."""

    def __init__(self, pipeline: Pipeline, feed: Feed, store: Store, clock: Clock) -> None:
        self.pipeline = pipeline
        self.feed = feed
        self.store = store
        self.clock = clock
        self.reader = LedgerReader(store.path)
        self.requests: list[tuple[str, str, Request]] = []
        self.receipts: list[tuple[str, str, Receipt]] = []
        self.when_told: Callable[[Receipt], Any] = repr

    async def take(self, *arrivals: Arrival) -> None:
        """Offer messages and wait until every one of them was dealt with."""
        for each in arrivals:
            assert self.pipeline.offer(each)
        await until(lambda: self.pipeline.status()["pending"] == 0)

    @property
    def last(self) -> Receipt:
        """The latest receipt."""
        return self.receipts[-1][2]


async def until(true: Callable[[], Any], within_s: float = 20.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(within_s):
        while not true():  # any condition, also of other processes
            await asyncio.sleep(0.005)


@asynccontextmanager
async def open_bench(
    folder: Path,
    clock: Clock | None = None,
    *,
    load: Callable[[GatewaySettings], Installation] = load_installation,
    own: OwnReadings | None = None,
    **settings: Any,
) -> AsyncIterator[Bench]:
    """A pipeline on the ledger in `folder/data`. own: what it knows of itself; nothing by default."""
    clock = clock or Clock()
    made = GatewaySettings(sites=[write_site(folder)], data_dir=folder / "data", **settings)
    feed = Feed()
    async with Store(made.data_dir) as store:
        benches: list[Bench] = []

        def asked(site: str, agent: str, request: Request) -> None:
            benches[0].requests.append((site, agent, request))

        def note(site: str, agent: str, receipt: Receipt) -> None:
            benches[0].receipts.append((site, agent, receipt))
            benches[0].when_told(receipt)

        pipeline = Pipeline(
            store,
            load(made),
            made,
            root=DEFAULT_ROOT,
            feed=feed,
            receipts=note,
            requests=asked,
            now_ms=clock.now,
            own=own,
            steps=ClockSteps(clock.now, clock.steady),
        )
        benches.append(Bench(pipeline, feed, store, clock))
        async with pipeline:
            try:
                yield benches[0]
            finally:
                benches[0].reader.close()


def ledger(folder: Path) -> LedgerReader:
    """A reader of the ledger in `folder/data`."""
    return LedgerReader(folder / "data" / FILE)
