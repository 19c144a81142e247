"""Panels and transmitters that come to us over TCP or UDP (SIA DC-09, serial servers that connect out)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from contract.errors import DeviceError
from contract.site import PanelTcpLine
from edge_agents.bus.listening import Bounds, Listener, Peer
from edge_agents.bus.panel_session import PanelSession
from edge_agents.bus.presence import LinePresence
from edge_agents.foreign.refused import RefusedFile
from edge_agents.panels.receiver import Receiver, Transmission
from edge_agents.panels.report import PanelEvents
from edge_agents.reporting import Reports

log = logging.getLogger(__name__)
MOST_CONNECTIONS = 32
IDLE_S = 300.0
"""A connection that says nothing for so long is closed."""
DATAGRAM_BOUND = 256
READ_BYTES = 1024


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
        self._refused = refused
        self._receiver = receiver
        self._report = report
        self._record = record
        self._is_durable = is_durable
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._datagrams: PanelSession | None = None
        """That of all datagrams; None before the first."""
        self._sent = 0
        self.presence = LinePresence(line.id, record, now_ms)
        """Whether the line can be reached."""
        bounds = Bounds(MOST_CONNECTIONS, DATAGRAM_BOUND, READ_BYTES, is_single=receiver.sibling() is receiver)
        self._listener = Listener(line, self.presence, self._serve, self._take_datagram, bounds)

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._listener.is_open

    def request(self, device_id: str | None) -> None:
        """Nothing to ask: they come to us."""

    def status(self) -> dict[str, object]:
        """Counters for the status file."""
        return {
            "open": self.is_open, **self._listener.counts, "sent": self._sent, **self._report.counts,
            "unread": self._report.unread.hex(),
        }  # fmt: skip

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._listener.run(
            lambda: self._record(self._report.opened(self._now_ms())),
            self._refresh,
            lambda: self._record(self._report.line_down(self._now_ms())),
        )

    async def _refresh(self) -> None:
        self._record(self._report.tick(self._now_ms()))
        if self._refused is not None:
            await self._refused.settle()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except DeviceError as exc:
            log.error("%s", exc)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    async def _take_datagram(self, data: bytes, peer: Peer) -> None:
        if self._datagrams is None:
            self._datagrams = self._session()
        session = self._datagrams

        async def write(transmission: Transmission) -> None:
            self._listener.send(transmission.data, peer)

        session.take(data)
        session.look(is_closing=True)  # a datagram is whole
        try:
            await self._transmit(session, write)
        except DeviceError as exc:
            log.error("%s", exc)

    async def _transmit(self, session: PanelSession, write: Callable[[Transmission], Awaitable[None]]) -> None:
        before = session.sent
        await session.transmit(write)
        self._sent += session.sent - before

    def _session(self) -> PanelSession:
        return PanelSession(
            self._receiver.sibling(), self._report, self._record, self._is_durable, self._now_ms, self._monotonic
        )
