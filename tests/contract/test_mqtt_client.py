"""A broker that hangs up before it has let us in is noticed at once."""

from __future__ import annotations

import asyncio
import socket
import struct

import aiomqtt
import pytest

from contract.mqtt_client import BrokerClient


@pytest.mark.parametrize("linger", [None, struct.pack("ii", 1, 0)], ids=["closed", "reset"])
async def test_a_connection_that_ends_before_the_welcome_is_told_at_once(linger: bytes | None) -> None:
    """As that of a broker that dies while it starts, or of a tunnel with nothing behind it; the next try is let in."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)  # it has begun to introduce itself
        if linger is not None:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        client = BrokerClient("127.0.0.1", server.sockets[0].getsockname()[1], timeout=60)
        for _ in range(2):
            with pytest.raises(aiomqtt.MqttError):
                async with asyncio.timeout(20), client:
                    pytest.fail("was let in")
