"""The link passes every byte, and can be cut, stalled and restored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from simulators.link import Link
from tests.simulators.clients import DEADLINE_S


@asynccontextmanager
async def _echo() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def _read(reader: asyncio.StreamReader, count: int) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return await reader.readexactly(count)


async def _connect_and_read(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await _read(reader, 1)
    finally:
        writer.transport.abort()


async def test_every_byte_passes_when_the_link_is_up() -> None:
    """A megabyte comes back as it went."""
    async with _echo() as port, Link(port) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        data = bytes(range(256)) * 4096
        writer.write(data)
        assert await _read(reader, len(data)) == data
        writer.close()
        await writer.wait_closed()


async def test_connections_are_reset_and_refused_when_the_link_is_cut() -> None:
    """A cut ends what is there without a goodbye and lets nothing new through, until it is restored."""
    async with _echo() as port, Link(port) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"before")
        assert await _read(reader, 6) == b"before"
        link.cut()
        with pytest.raises(ConnectionResetError):
            await _read(reader, 1)
        writer.close()
        with pytest.raises(ConnectionError):
            await writer.wait_closed()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await _connect_and_read(link.port)
        link.restore()
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"after")
        assert await _read(reader, 5) == b"after"
        writer.close()
        await writer.wait_closed()


async def test_bytes_wait_when_the_link_is_stalled() -> None:
    """A stalled link accepts and keeps connections; what was sent meanwhile passes when it is restored."""
    async with _echo() as port, Link(port) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"1")
        assert await _read(reader, 1) == b"1"
        link.stall()
        writer.write(b"2")
        new_reader, new_writer = await asyncio.open_connection("127.0.0.1", link.port)
        new_writer.write(b"3")
        pending = [asyncio.create_task(reader.read(1)), asyncio.create_task(new_reader.read(1))]
        # Nothing can be waited for here: that nothing passes is the point.
        done, _ = await asyncio.wait(pending, timeout=0.3)
        assert done == set()
        link.restore()
        assert await asyncio.wait_for(pending[0], DEADLINE_S) == b"2"
        assert await asyncio.wait_for(pending[1], DEADLINE_S) == b"3"
        for stream in (writer, new_writer):
            stream.close()
            await stream.wait_closed()


async def test_agent_sees_an_end_when_the_broker_is_away(free_port: int) -> None:
    """Without a broker behind it the link ends the connection instead of holding it."""
    async with Link(free_port) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await _read(reader, 1)
        writer.close()


async def test_link_ends_at_once_when_stopped_in_a_stall() -> None:
    """Stopping waits for nobody."""
    async with _echo() as port:
        async with Link(port) as link:
            _, writer = await asyncio.open_connection("127.0.0.1", link.port)
            link.stall()
            writer.write(b"x")
        writer.close()


async def test_what_is_sent_is_lost_when_the_link_is_half_open_and_its_end_is_told_later() -> None:
    """Nothing comes back, nothing is closed; when the link is whole again that connection is reset."""
    async with _echo() as port, Link(port) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"1")
        assert await _read(reader, 1) == b"1"
        link.set("half_open")
        writer.write(b"2")
        waiting = asyncio.create_task(reader.read(1))
        done, _ = await asyncio.wait([waiting], timeout=0.3)  # that nothing comes is the point
        assert done == set()
        link.restore()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(waiting, DEADLINE_S)
        writer.close()
        with pytest.raises(ConnectionError):
            await writer.wait_closed()


async def test_bytes_come_later_and_in_pieces_when_the_link_says_so() -> None:
    """In order and whole, by any cut."""
    async with _echo() as port, Link(port, late_s=0.1) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        link.set("late")
        before = asyncio.get_running_loop().time()
        writer.write(b"late")
        assert await _read(reader, 4) == b"late"
        assert asyncio.get_running_loop().time() - before >= 0.19  # there and back
        link.set("split")
        data = bytes(range(256)) * 8
        writer.write(data)
        assert await _read(reader, len(data)) == data
        writer.close()
        await writer.wait_closed()
