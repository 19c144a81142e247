"""What the connection to the gateway tells of its absence."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.control.client import SOCKET
from gateway.web import link
from gateway.web.picture import Picture
from tests.web.station import Station, now_ms


async def test_nothing_is_warned_of_when_the_gateway_comes_a_moment_later(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    """Both start together; one warning comes when it goes away later."""
    told = asyncio.Event()
    picture = Picture(now_ms, lambda *_: told.set())
    tried = asyncio.Event()

    async def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        tried.set()

    server = await asyncio.start_unix_server(turn_away, str(station.data_dir / SOCKET))
    with caplog.at_level(logging.INFO):
        async with link.Link(station.data_dir / SOCKET, picture):
            async with asyncio.timeout(10):
                await tried.wait()
            server.close()
            await server.wait_closed()
            async with station.gateway():
                await asyncio.wait_for(told.wait(), 10)
                assert caplog.records == []
                told.clear()
            await asyncio.wait_for(told.wait(), 10)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
