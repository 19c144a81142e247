"""A port that equipment connects to: kept open, said to be down when it cannot be, bounded."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contract.lines import DeviceEntry
from contract.messages import Reading
from contract.site import Gb26875Line
from edge_agents.bus.listening import Bounds, Listener, Peer, end_task
from edge_agents.bus.presence import LinePresence
from edge_agents.reporting import Reports

DEVICE = DeviceEntry(id="uitd-01", profile="panel-gb26875", address="790000000001")


class Port:
    """A listener on a free port that answers what it hears, and what it told."""

    def __init__(self, bounds: Bounds) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.number = int(probe.getsockname()[1])
        line = Gb26875Line(id="uitd", kind="gb26875", port=self.number, transport="both", devices=[DEVICE])
        self.readings: list[Reading] = []
        self.opened = self.down = 0
        presence = LinePresence("uitd", self.record, lambda: 1_760_000_000_000)
        self.listener = Listener(line, presence, self.serve, self.take, bounds)

    def record(self, reports: Reports) -> None:
        self.readings += reports.alarm

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)

    async def take(self, data: bytes, peer: Peer) -> None:
        self.listener.send(data, peer)

    def note_open(self) -> None:
        self.opened += 1

    def note_down(self) -> None:
        self.down += 1

    async def refresh(self) -> None:
        return

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.listener.run(self.note_open, self.refresh, self.note_down), name="listener")
        try:
            yield
        finally:
            await end_task(task)

    async def until_open(self, *, is_open: bool = True) -> None:
        async with asyncio.timeout(10):
            while self.listener.is_open is not is_open:  # there is no event to wait for
                await asyncio.sleep(0.005)


BOUNDS = Bounds(connections=2, datagrams=8, datagram_bytes=4)


async def test_the_line_is_said_to_be_down_when_another_holds_its_port(caplog: pytest.LogCaptureFixture) -> None:
    """One warning, its devices unknown; as soon as the port is free it is open again, and one line says so."""
    port = Port(BOUNDS)
    with socket.socket() as taken, caplog.at_level(logging.INFO, logger="edge_agents.bus.listening"):
        taken.bind(("127.0.0.1", port.number))
        taken.listen()
        async with port.running():
            async with asyncio.timeout(10):
                while not port.down:  # there is no event to wait for
                    await asyncio.sleep(0.005)
            assert (port.opened, [r.value for r in port.readings]) == (0, [False])
            taken.close()
            await port.until_open()
            assert (port.opened, [r.value for r in port.readings]) == (1, [False, True])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_connections_and_datagrams_are_bounded_and_answered_when_both_come() -> None:
    """One connection too many is closed at once; a datagram is cut to its bound and answered from the same port."""
    port = Port(BOUNDS)
    async with port.running():
        await port.until_open()
        streams = [await asyncio.open_connection("127.0.0.1", port.number) for _ in range(3)]
        for _, writer in streams:
            writer.write(b"hello")
        heard = await asyncio.gather(*(reader.read(5) for reader, _ in streams), return_exceptions=True)
        assert heard[:2] == [b"hello", b"hello"]
        assert heard[2] == b"" or isinstance(heard[2], ConnectionError)
        assert port.listener.counts["refused_connections"] == 1
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        class Sender(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                answers.put_nowait(data)

        where = ("127.0.0.1", port.number)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Sender, remote_addr=where)
        transport.sendto(b"datagram")
        assert await asyncio.wait_for(answers.get(), 10) == b"data"
        transport.close()
        for _, writer in streams:
            writer.close()


async def test_a_new_connection_ends_the_one_before_when_there_is_one_sender() -> None:
    """A serial server that comes again has lost its old connection without a word."""
    port = Port(BOUNDS._replace(connections=1, is_single=True))
    async with port.running():
        await port.until_open()
        old, first = await asyncio.open_connection("127.0.0.1", port.number)
        first.write(b"a")
        assert await old.read(1) == b"a"
        new, second = await asyncio.open_connection("127.0.0.1", port.number)
        second.write(b"b")
        assert await new.read(1) == b"b"
        assert await asyncio.wait_for(old.read(1), 10) == b""
        first.close()
        second.close()
