"""Panels and transmitters that come to us over TCP or UDP (SIA DC-09, serial servers that connect out)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable

from contract.errors import DeviceError, RetryLater
from contract.site import PanelTcpLine
from edge_agents.bus.line import BACKOFF_S, DOWN_AFTER
from edge_agents.bus.panel_session import PanelSession
from edge_agents.bus.presence import LinePresence
from edge_agents.foreign.refused import RefusedFile
from edge_agents.panels.receiver import Receiver, Transmission
from edge_agents.panels.report import PanelEvents
from edge_agents.reporting import Reports

log = logging.getLogger(__name__)
REFRESH_S = 1.0
MOST_CONNECTIONS = 32
"""More are closed at once: a fault or an attack must not take all descriptors."""
IDLE_S = 300.0
"""A connection that says nothing for so long is closed."""
DATAGRAM_BOUND = 256
"""Datagrams waiting; beyond it the newest are dropped unanswered, so their senders try again."""
READ_BYTES = 1024
_Datagram = tuple[bytes, tuple[str, int]]


class PanelListener:
    """Takes the messages of one panel from whoever connects.

    Args:
        line: where to listen.
        receiver: of the protocol; connections get its siblings.
        report: of the panel.
        record: takes reports; never waits.
        is_durable: whether everything recorded so far is on disk.
        now_ms: wall clock.
        monotonic: seconds.
        refused: where what cannot be read is kept; written here.
    """

    def __init__(
        self,
        line: PanelTcpLine,
        receiver: Receiver,
        report: PanelEvents,
        record: Callable[[Reports], None],
        is_durable: Callable[[], bool],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        refused: RefusedFile | None = None,
    ) -> None:
        self.id = line.id
        self._line = line
        self._refused = refused
        self._receiver = receiver
        self._report = report
        self._record = record
        self._is_durable = is_durable
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._connections: set[asyncio.Task[None]] = set()
        self._datagrams: asyncio.Queue[_Datagram] = asyncio.Queue(DATAGRAM_BOUND)
        self._counts = {"opened": 0, "connections": 0, "refused": 0, "datagrams_dropped": 0, "sent": 0}
        self.presence = LinePresence(line.id, record, now_ms)
        """Whether the line can be reached."""
        self.is_open = False

    def request(self, device_id: str | None) -> None:
        """Nothing to ask: they come to us."""

    def status(self) -> dict[str, object]:
        """Counters for the status file."""
        return {"open": self.is_open, **self._counts, **self._report.counts, "unread": self._report.unread.hex()}

    async def run(self) -> None:
        """Listen until cancelled."""
        failures, pause_s = 0, BACKOFF_S[0]
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    await self._open(stack)
                    if failures >= DOWN_AFTER:
                        log.info("line %s: open again", self.id)
                    failures, pause_s, self.is_open = 0, BACKOFF_S[0], True
                    self._counts["opened"] += 1
                    self.presence.say(True)
                    self._record(self._report.opened(self._now_ms()))
                    while True:
                        await asyncio.sleep(REFRESH_S)
                        self._record(self._report.tick(self._now_ms()))
                        self.presence.repeat()
                        if self._refused is not None:
                            await self._refused.settle()
            except RetryLater as exc:
                failures += 1
                if failures == DOWN_AFTER:
                    log.warning("%s", exc)
                if failures >= DOWN_AFTER:
                    self.presence.say(False)
                    self._record(self._report.line_down(self._now_ms()))
            finally:
                self.is_open = False
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.0))  # noqa: S311  # jitter, no secret
            pause_s = min(pause_s * 2, BACKOFF_S[1])

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        line = self._line
        try:
            if line.transport in ("tcp", "both"):
                server = await asyncio.start_server(self._connected, line.listen, line.port)
                stack.push_async_callback(self._close, server)
            if line.transport in ("udp", "both"):
                loop = asyncio.get_running_loop()
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._queue), local_addr=(line.listen, line.port)
                )
                stack.callback(transport.close)
                answering = asyncio.create_task(self._answer_datagrams(transport), name=f"line.{self.id}.udp")
                stack.push_async_callback(_end, answering)
        except OSError as exc:
            raise RetryLater(
                f"line {line.id}: cannot listen on {line.listen}:{line.port}: {exc.strerror}. "
                "Free the port or set another; trying again."
            ) from exc

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        for task in list(self._connections):
            await _end(task)
        await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._receiver.sibling() is self._receiver:
            # One panel, one stream: a serial server that comes again has lost its old connection without a word.
            for old in self._connections:
                old.cancel()
        elif len(self._connections) >= MOST_CONNECTIONS:
            self._counts["refused"] += 1
            writer.close()
            return
        self._connections.add(task)
        self._counts["connections"] += 1
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError) as exc:
            log.debug("line %s: connection: %s", self.id, exc)
        except asyncio.CancelledError:
            pass  # stopping: asyncio's own callback would report it as an error
        except DeviceError as exc:
            log.error("%s", exc)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = self._session()

        async def write(transmission: Transmission) -> None:
            writer.write(transmission.data)
            await writer.drain()

        heard_s = self._monotonic()
        while self._monotonic() - heard_s < IDLE_S:
            await self._transmit(session, write)
            try:
                async with asyncio.timeout(session.wait_s):
                    data = await reader.read(READ_BYTES)
            except TimeoutError:
                session.look()
                continue
            if not data:
                break
            heard_s = self._monotonic()
            session.take(data)
        session.look(is_closing=True)
        await self._transmit(session, write)

    async def _answer_datagrams(self, transport: asyncio.DatagramTransport) -> None:
        session = self._session()
        while True:
            data, sender = await self._datagrams.get()

            async def write(transmission: Transmission, to: tuple[str, int] = sender) -> None:
                transport.sendto(transmission.data, to)

            session.take(data)
            session.look(is_closing=True)  # a datagram is whole
            try:
                await self._transmit(session, write)
            except DeviceError as exc:
                log.error("%s", exc)

    async def _transmit(self, session: PanelSession, write: Callable[[Transmission], Awaitable[None]]) -> None:
        before = session.sent
        await session.transmit(write)
        self._counts["sent"] += session.sent - before

    def _session(self) -> PanelSession:
        return PanelSession(
            self._receiver.sibling(), self._report, self._record, self._is_durable, self._now_ms, self._monotonic
        )

    def _queue(self, datagram: _Datagram) -> None:
        try:
            self._datagrams.put_nowait(datagram)
        except asyncio.QueueFull:
            self._counts["datagrams_dropped"] += 1


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[_Datagram], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take((data[:READ_BYTES], addr))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
