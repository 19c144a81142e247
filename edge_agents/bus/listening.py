"""The port of a line that equipment connects to: opened and kept open, its connections and datagrams handed on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from contract.errors import RetryLater
from contract.site import Gb26875Line, PanelTcpLine
from edge_agents.bus.line import BACKOFF_S, DOWN_AFTER
from edge_agents.bus.presence import LinePresence

log = logging.getLogger(__name__)
REFRESH_S = 1.0
BACKLOG = 1024
"""Connections the system holds ready: a whole city comes back at once after a power cut."""
Peer = tuple[str, int]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Take = Callable[[bytes, Peer], Awaitable[None]]


class Bounds(NamedTuple):
    """What a port takes at most.

    connections: more are closed at once, because a fault or an attack must not take all descriptors. datagrams:
    waiting; beyond it the newest are dropped unanswered, so their senders try again. datagram_bytes: the rest of a
    longer one is cut off. is_single: one sender, one stream: a new connection ends the one before it.
    """

    connections: int
    datagrams: int
    datagram_bytes: int
    is_single: bool = False


class Listener:
    """Keeps a port open.

    Args:
        line: where to listen.
        presence: told whether it can be reached.
        serve: one connection until it ends; OSError and TimeoutError are ways to end.
        take: one datagram; the next waits until it returns.
        bounds: what is taken at most.
    """

    def __init__(
        self, line: PanelTcpLine | Gb26875Line, presence: LinePresence, serve: Serve, take: Take, bounds: Bounds,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:  # fmt: skip
        self._uniform = uniform
        self._line = line
        self._presence = presence
        self._serve = serve
        self._take = take
        self._bounds = bounds
        self._connections: set[asyncio.Task[None]] = set()
        self._datagrams: asyncio.Queue[tuple[bytes, Peer]] = asyncio.Queue(bounds.datagrams)
        self._transport: asyncio.DatagramTransport | None = None
        self.is_open = False
        self.counts = dict.fromkeys(("opened", "connections", "refused_connections", "datagrams_dropped"), 0)

    async def run(
        self, opened: Callable[[], None], refresh: Callable[[], Awaitable[None]], down: Callable[[], None]
    ) -> None:
        """Listen until cancelled. opened: after each opening; refresh: every second of it; down: while it cannot be."""
        failures, pause_s = 0, BACKOFF_S[0]
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    await self._open(stack)
                    if failures >= DOWN_AFTER:
                        log.info("line %s: open again", self._line.id)
                    failures, pause_s, self.is_open = 0, BACKOFF_S[0], True
                    self.counts["opened"] += 1
                    self._presence.say(True)
                    opened()
                    while True:
                        await asyncio.sleep(REFRESH_S)
                        self._presence.repeat()
                        await refresh()
            except RetryLater as exc:
                failures += 1
                if failures == DOWN_AFTER:
                    log.warning("%s", exc)
                if failures >= DOWN_AFTER:
                    self._presence.say(False)
                    down()
            finally:
                self.is_open = False
            await asyncio.sleep(pause_s * self._uniform(0.75, 1.0))
            pause_s = min(pause_s * 2, BACKOFF_S[1])

    def send(self, data: bytes, peer: Peer) -> None:
        """Send a datagram from the port; nothing happens while it is closed."""
        if self._transport is not None:
            self._transport.sendto(data, peer)

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        line = self._line
        try:
            if line.transport in ("tcp", "both"):
                server = await asyncio.start_server(self._connected, line.listen, line.port, backlog=BACKLOG)
                stack.push_async_callback(self._close, server)
            if line.transport in ("udp", "both"):
                self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: _Datagrams(self._queue), local_addr=(line.listen, line.port)
                )
                stack.callback(self._close_datagrams)
                taking = asyncio.create_task(self._take_datagrams(), name=f"line.{line.id}.udp")
                stack.push_async_callback(end_task, taking)
        except OSError as exc:
            raise RetryLater(
                f"line {line.id}: cannot listen on {line.listen}:{line.port}: {exc.strerror}. "
                "Free the port or set another; trying again."
            ) from exc

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        for task in list(self._connections):
            await end_task(task)
        await server.wait_closed()

    def _close_datagrams(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._bounds.is_single:
            # A serial server that comes again has lost its old connection without a word.
            for old in self._connections:
                old.cancel()
        elif len(self._connections) >= self._bounds.connections:
            self.counts["refused_connections"] += 1
            writer.close()
            return
        self._connections.add(task)
        self.counts["connections"] += 1
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError) as exc:
            log.debug("line %s: connection: %s", self._line.id, exc)
        except asyncio.CancelledError:
            pass  # stopping: asyncio's own callback would report it as an error
        finally:
            self._connections.discard(task)
            writer.close()

    async def _take_datagrams(self) -> None:
        while True:
            await self._take(*await self._datagrams.get())

    def _queue(self, data: bytes, peer: Peer) -> None:
        try:
            self._datagrams.put_nowait((data[: self._bounds.datagram_bytes], peer))
        except asyncio.QueueFull:
            self.counts["datagrams_dropped"] += 1


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, queue: Callable[[bytes, Peer], None]) -> None:
        self._queue = queue

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        self._queue(data, addr)


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
