"""One connection to a broker: what aiomqtt wants so that it can be cancelled and left at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aiomqtt

from contract.errors import RetryLater

BACKOFF_S = (0.2, 5.0)
STABLE_S = 5.0
"""A connection that held so long starts the back-off anew, so that two clients of one name do not flap."""
CONNECT_S = 10.0
CONNECT_STOP_S = 3.0
"""Longest a stop waits for a connection that is being made."""
INCOMING_BOUND = 1000
"""Incoming messages held. aiomqtt drops what comes beyond it."""
CONNECTION_ERRORS = (aiomqtt.MqttError, OSError, RetryLater, TimeoutError)
"""What a connection ends with; the same work may be tried again."""


@contextlib.asynccontextmanager
async def connected(client: aiomqtt.Client, name: str) -> AsyncIterator[None]:
    """The client, connected while the context is open. Raises CONNECTION_ERRORS."""
    connecting = asyncio.create_task(client.__aenter__(), name=f"{name}.connect")
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        # aiomqtt does not bear being cancelled while it connects: let it finish, then leave.
        await asyncio.wait([connecting], timeout=CONNECT_STOP_S)
        if not connecting.done():
            connecting.cancel()
        elif not connecting.cancelled() and connecting.exception() is None:
            await _leave(client)
        raise
    try:
        yield
    finally:
        await _leave(client)


async def subscribe(client: aiomqtt.Client, topics: Iterable[str]) -> None:
    """Subscribe with QoS 1. Raises RetryLater when the broker's access list forbids it."""
    for topic in topics:
        codes = await client.subscribe(topic, qos=1)
        if any((code if isinstance(code, int) else code.value) >= 0x80 for code in codes):
            raise RetryLater(f"broker refused the subscription to {topic}. Check its access list.")


async def tls_context(ca_file: Path | None) -> ssl.SSLContext | None:
    """The TLS settings; None without a CA. Raises OSError when the file cannot be read."""
    return None if ca_file is None else await asyncio.to_thread(ssl.create_default_context, cafile=str(ca_file))


async def _leave(client: aiomqtt.Client) -> None:
    """End the connection, whatever is left of it."""
    with contextlib.suppress(aiomqtt.MqttError, OSError):
        await client.__aexit__(None, None, None)
    # aiomqtt leaves the way it ended in a private future; unread it would be logged as a forgotten exception.
    ended = getattr(client, "_disconnected", None)
    if isinstance(ended, asyncio.Future) and ended.done() and not ended.cancelled():
        ended.exception()
