"""Connections that ask nothing keep nobody out, however many there are."""

from __future__ import annotations

import asyncio

from gateway.web.settings import WebSettings
from tests.web.station import Browser, Station, now_ms, serving

CLIENTS = 4
"""Screens at once; 200 connections more is the limit."""
MANY = 260
HALF = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\nname="
"""A request whose body does not come."""


async def test_the_desk_is_answered_and_its_board_goes_on_while_a_stranger_holds_every_connection(
    station: Station,
) -> None:
    """Hundreds of them, silent or in the middle of a request: the desk signs in, asks, hears a fire."""
    station.user("duty")
    settings = WebSettings(port=0, stream_clients=CLIENTS)
    held: list[asyncio.StreamWriter] = []
    async with (
        station.gateway(),
        serving(station, settings) as address,
        Browser(address) as desk,
        Browser(address) as new,
    ):
        await desk.sign_in("duty")
        async with desk.stream("GET", "/api/v1/stream") as stream:
            chunks = stream.aiter_bytes()
            await anext(chunks)
            host, port = address.removeprefix("http://").split(":")
            try:
                for number in range(MANY):
                    _, writer = await asyncio.open_connection(host, int(port))
                    writer.write(HALF if number % 2 else b"GET / HT")
                    held.append(writer)
                    if number % 40 == 0:
                        assert (await desk.get("/api/v1/session")).status_code == 200, number
                assert (await new.sign_in("duty")).status_code == 303
                assert (await new.get("/")).status_code == 200
                station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
                told, until_ms = b"", now_ms() + 10_000
                while b"event: alarm" not in told:
                    assert now_ms() < until_ms
                    told += await anext(chunks)
            finally:
                for writer in held:
                    writer.close()
                await asyncio.gather(*(writer.wait_closed() for writer in held), return_exceptions=True)
