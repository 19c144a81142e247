"""Many open boards, some of which stand still: how long an alarm takes to each that reads, and what it costs."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from bench.pages import feed
from bench.web_station import SignedIn, WebStation, percentile, web_station
from contract.messages import Reading

BOUNDS = {"shown_p99_s": 1.0, "dropped_s": 30.0, "memory_kb": 1024.0}


class Board:
    """One open stream that is read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.shown: dict[str, float] = {}

    async def read(self) -> None:
        """Notes when each alarm came, until the stream ends."""
        is_alarm = False
        while line := await self.reader.readline():
            if line.startswith(b"event: "):
                is_alarm = line.startswith(b"event: alarm")
            elif is_alarm and line.startswith(b"data: "):
                subject = line.partition(b'"subject":"')[2].partition(b'"')[0].decode()
                self.shown.setdefault(subject, time.monotonic())


async def measure(boards: int, stalled: int, alarms: int, say: Callable[[str], None]) -> dict[str, Any]:
    """`boards` streams, `stalled` of which take nothing from the first byte on."""
    with tempfile.TemporaryDirectory(prefix="weizhan-boards-") as folder:
        async with web_station(Path(folder), 1000, 2, boards + 50) as station:
            await station.fill()
            person = await station.sign_in("duty")
            watcher = await station.sign_in("maintainer")
            web = psutil.Process(station.pid)
            feeding = asyncio.create_task(feed(station, 1000), name="bench-readings")
            before = web.memory_info().rss
            still = [_open(station.address, person, 4096) for _ in range(stalled)]
            stalled_s = time.monotonic()
            live = [await follow(station.address, person) for _ in range(boards - stalled)]
            reading = [asyncio.create_task(board.read(), name="bench-board") for board in live]
            try:
                shown, dropped_s = await _play(station, live, watcher, boards, stalled, alarms, stalled_s)
                memory = web.memory_info().rss - before
            finally:
                for task in (feeding, *reading):
                    task.cancel()
                await asyncio.gather(feeding, *reading, return_exceptions=True)
                for board in live:
                    board.writer.close()
                for each in still:
                    each.close()
    found = {
        "boards": boards, "stalled": stalled, "alarms": alarms,
        "shown_p50_s": round(percentile(shown, 0.5), 3), "shown_p99_s": round(percentile(shown, 0.99), 3),
        "lost": alarms * len(live) - len(shown), "dropped_s": round(dropped_s, 1),
        "memory_kb": round(memory / 1024 / boards, 1),
    }  # fmt: skip
    say(str(found))
    return found | {"passed": found["lost"] == 0 and all(found[name] <= most for name, most in BOUNDS.items())}


async def _play(
    station: WebStation, live: list[Board], watcher: SignedIn, boards: int, stalled: int, alarms: int, stalled_s: float
) -> tuple[list[float], float]:
    offered: dict[str, float] = {}
    dropped_s = float("inf")
    agent, ids = next(iter(station.plan.device_ids.items()))
    async with httpx.AsyncClient(base_url=station.address, cookies=watcher.cookies, timeout=30) as client:
        for device in ids[:alarms]:
            point = f"{device}/cap_open"
            offered[f"{station.plan.site}/{point}"] = time.monotonic()
            await station.say(agent, [Reading(point, time.time_ns() // 1_000_000, True)], "alarm")
            await asyncio.sleep(0.5)
            if dropped_s == float("inf") and await _streams(client) <= boards - stalled:
                dropped_s = time.monotonic() - stalled_s
        async with asyncio.timeout(90):
            while dropped_s == float("inf"):
                await asyncio.sleep(0.5)
                if await _streams(client) <= boards - stalled:
                    dropped_s = time.monotonic() - stalled_s
    for _ in range(100):  # the last alarm is on its way
        if all(offered.keys() <= board.shown.keys() for board in live):
            break
        await asyncio.sleep(0.1)
    shown = [board.shown[s] - at for board in live for s, at in offered.items() if s in board.shown]
    return shown, dropped_s


async def _streams(client: httpx.AsyncClient) -> float:
    text = (await client.get("/metrics")).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("weizhan_streams "))


def _request(address: str, person: SignedIn) -> tuple[str, int, bytes]:
    where = urlsplit(address)
    cookies = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
    head = f"GET /api/v1/stream HTTP/1.1\r\nHost: {where.netloc}\r\nCookie: {cookies}\r\n\r\n"
    assert where.hostname is not None
    assert where.port is not None
    return where.hostname, where.port, head.encode()


def _open(address: str, person: SignedIn, receive_bytes: int) -> socket.socket:
    """A stream that nobody reads."""
    host, port, head = _request(address, person)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.connect((host, port))
    made.sendall(head)
    return made


async def follow(address: str, person: SignedIn) -> Board:
    """An open stream that is listening."""
    host, port, head = _request(address, person)
    reader, writer = await asyncio.open_connection(host, port, limit=16 * 1024 * 1024)
    writer.write(head)
    # A board that is not listening yet is no board that lost an alarm: it draws itself with what holds by then.
    while not (line := await reader.readline()).startswith(b"event: "):
        assert line, "the stream ended before it began"
    return Board(reader, writer)


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    return "\n".join(
        [
            f"| {found['boards']} open boards, {found['stalled']} of them stalled | figure | want |",
            "|---|---|---|",
            f"| alarm on the boards that read, median, s | {found['shown_p50_s']} | |",
            f"| the same, 99th percentile, s | {found['shown_p99_s']} | ≤ {BOUNDS['shown_p99_s']:g} |",
            f"| alarms a board did not get | {found['lost']} | 0 |",
            f"| stalled boards let go of after, s | {found['dropped_s']} | ≤ {BOUNDS['dropped_s']:g} |",
            f"| memory of the web process a board, KB | {found['memory_kb']} | ≤ {BOUNDS['memory_kb']:g} |",
        ]
    )
