"""A real HTTP server on loopback that behaves as badly as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple


class Post(NamedTuple):
    """What arrived. at_s: monotonic."""

    at_s: float
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Post, asyncio.StreamWriter], Awaitable[None]]


async def ok(post: Post, writer: asyncio.StreamWriter) -> None:
    del post
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")


async def receipt(post: Post, writer: asyncio.StreamWriter) -> None:
    body = json.dumps({"receipt": post.json["receipt"], "state": "delivered"}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)


async def fail(post: Post, writer: asyncio.StreamWriter) -> None:
    del post
    writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


async def hang(post: Post, writer: asyncio.StreamWriter) -> None:
    del post, writer
    await asyncio.sleep(3600)


async def slow(post: Post, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.4)
    await ok(post, writer)


async def redirect(post: Post, writer: asyncio.StreamWriter) -> None:
    port = post.headers["host"].partition(":")[2]
    writer.write(
        f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{port}/other\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n".encode()
    )


async def endless(post: Post, writer: asyncio.StreamWriter) -> None:
    """An answer without an end."""
    del post
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


class Server:
    """Takes posts and answers each by `answer`, which may be changed at any time."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.posts: list[Post] = []
        self.came = asyncio.Event()
        self.port = 0
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
            headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            post = Post(time.monotonic(), headers, body)
            self.posts.append(post)
            self.came.set()
            await self.answer(post, writer)
            await writer.drain()
        writer.close()
        self._open.discard(task)

    async def stop(self) -> None:
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def posted(self, count: int, within_s: float = 10.0) -> list[Post]:
        """So many posts, as soon as they are there."""
        async with asyncio.timeout(within_s):
            while len(self.posts) < count:
                self.came.clear()
                await self.came.wait()
        return self.posts


@asynccontextmanager
async def server(answer: Answer = ok) -> AsyncIterator[Server]:
    """A server that runs while the context is open."""
    made = Server(answer)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        await made.stop()
        await listening.wait_closed()
