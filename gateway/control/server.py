"""The control socket: a Unix socket in the data folder that only its owner may open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from contract.errors import StartError
from gateway.control.client import ControlError
from gateway.control.deeds import Deeds
from gateway.control.feed import Feed, Subscriber
from gateway.control.protocol import LIMIT, Answer, Ask, Problem
from gateway.pipeline import Pipeline
from gateway.tasks import end_task

_decode = msgspec.json.Decoder(Ask).decode
_encode = msgspec.json.Encoder().encode
CONNECTIONS = 64
"""Connections at once; a further one is closed."""
AT_ONCE = 64
"""Requests of a connection under way; further ones are read once one is answered."""
SEND_S = 10.0
"""A peer that takes nothing for this long is cut off."""


class ControlServer:
    """Serves commands and subscriptions. `async with` binds the socket.

    Args:
        status: what `status` answers. reload: reads rules and sites again for an actor.
        change_site: puts a new site file in force.

    Raises:
        StartError: the socket cannot be made there.
    """

    def __init__(
        self,
        path: Path,
        pipeline: Pipeline,
        feed: Feed,
        status: Callable[[], dict[str, Any]],
        reload: Callable[[str], Awaitable[dict[str, Any]]] | None = None,
        change_site: Callable[[Ask], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        self._path = path
        self._pipeline = pipeline
        self._feed = feed
        self._status = status
        self._reload = reload
        self._change_site = change_site
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._deeds = Deeds()

    async def __aenter__(self) -> ControlServer:
        # A file left by a gateway that died is in the way; a live one cannot be there, the folder is locked by us.
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            temporary = self._path.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            listener.bind(str(temporary))
            # Closed to others before it has its name and before it listens.
            temporary.chmod(0o600)
            listener.listen(CONNECTIONS)
            listener.setblocking(False)
            temporary.rename(self._path)
        except OSError as exc:
            listener.close()
            raise StartError(
                f"{self._path}: {exc.strerror or exc}. gateway.data_dir must be writable and its path short "
                "(a socket's path has at most 107 bytes)."
            ) from exc
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LIMIT)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._feed.end()
        await asyncio.gather(*(end_task(task) for task in (*self._serving, *self._answering)))
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("control-connection")
        self._serving.add(task)
        subscriber = Subscriber()
        sender = asyncio.create_task(self._send(subscriber, writer), name="control-sender")
        room = asyncio.Semaphore(AT_ONCE)
        try:
            if len(self._serving) <= CONNECTIONS:
                while not subscriber.cut and (line := await reader.readline()):
                    # One that takes long holds up no other, and is done to its end if the one who asked goes away.
                    await room.acquire()
                    answering = asyncio.create_task(self._reply(line, subscriber, room), name="control-answer")
                    self._answering.add(answering)
                    answering.add_done_callback(self._answering.discard)
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # gone, or a line beyond the limit: this connection ends, nothing else
        finally:
            self._feed.leave(subscriber)
            await end_task(sender)
            writer.close()
            self._serving.discard(task)

    async def _reply(self, line: bytes, subscriber: Subscriber, room: asyncio.Semaphore) -> None:
        try:
            subscriber.put(_encode(await self._answer(line, subscriber)) + b"\n")
        except (OSError, ValueError):
            subscriber.end()  # nothing that can be answered came of it
        finally:
            room.release()

    async def _send(self, subscriber: Subscriber, writer: asyncio.StreamWriter) -> None:
        try:
            while (line := await subscriber.get()) is not None:
                writer.write(line)
                async with asyncio.timeout(SEND_S):
                    await writer.drain()
        except TimeoutError:
            self._feed.cut(subscriber)
        except OSError:
            pass  # the peer is gone
        subscriber.cut = True
        # Ends the reading side too, and takes back what the peer did not read.
        writer.transport.abort()

    async def _answer(self, line: bytes, subscriber: Subscriber) -> Answer:
        try:
            ask = _decode(line)
        except msgspec.MsgspecError as exc:
            return Answer(id=0, ok=False, error=Problem("invalid", f"got no request: {exc}."))
        if not _fits(ask.args):
            # The ledger could not be asked for it, and everything else of its transaction would wait.
            return Answer(
                id=ask.id, ok=False, error=Problem("invalid", "got a number beyond 64 bits, want smaller ones.")
            )
        try:
            if ask.op == "status":
                return Answer(id=ask.id, ok=True, result=self._status())
            if ask.op == "subscribe":
                await self._pipeline.subscribe(subscriber)
                return Answer(id=ask.id, ok=True, result={})
            if ask.op == "outcome":
                return Answer(id=ask.id, ok=True, result=self._deeds.outcome(str(ask.args.get("mark")), ask.actor))
            return Answer(id=ask.id, ok=True, result=await self._deeds.do(ask, self._act))
        except ControlError as exc:
            return Answer(id=ask.id, ok=False, error=Problem(exc.code, str(exc)))

    async def _act(self, ask: Ask) -> Any:
        if ask.op == "rules.reload" and self._reload is not None:
            return await self._reload(ask.actor)
        if ask.op == "site.apply" and self._change_site is not None:
            return await self._change_site(ask)
        return await self._pipeline.ask(ask)


def _fits(value: Any) -> bool:
    """Whether every whole number in it is one the ledger can hold."""
    if isinstance(value, dict):
        return all(_fits(each) for each in value.values())
    if isinstance(value, list):
        return all(_fits(each) for each in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63
