"""What the connection to the gateway tells of its absence."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.control.client import SOCKET
from gateway.history.settings import EmbeddedSettings
from gateway.web import link
from gateway.web.picture import Picture
from tests.web.station import SITE, Station, now_ms


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


async def test_the_picture_shows_a_command_when_it_is_answered(tmp_path: Path, free_port: int) -> None:
    """The gateway sends what a command changed before its answer; a page drawn after the answer is never older."""
    station = Station.__new__(Station)
    station.data_dir, station.site_file = tmp_path / "d", tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    told = asyncio.Event()
    picture = Picture(now_ms, lambda *_: told.set())
    async with (
        open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=free_port)),
        link.Link(station.data_dir / SOCKET, picture) as line,
    ):
        await asyncio.wait_for(told.wait(), 10)
        for round_ in range(20):
            until_ms = now_ms() + 60_000
            made = await line.ask(
                "drill.open", "duty", site="shuiye", scope=["*"], until_ms=until_ms, reason=f"test {round_}"
            )
            assert list(picture.standing.drills) == [made["id"]]
            await line.ask("drill.close", "duty", id=made["id"], note="")
            assert picture.standing.drills == {}
