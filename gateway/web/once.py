"""What is sent twice has one effect: the second of two equal forms gets the answer of the first.

A double click, an impatient finger on a slow phone, a browser that sends again after a broken connection. Each page
has a mark of its own in its forms (`once`); a form with the same mark, content and session within ten seconds is the
same act. A program says so itself with the header `Idempotency-Key`, for ten minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HIDDEN = frozenset({"csrf", "once"})
"""Fields of every form that say nothing of what is asked."""
HEAD_BYTES = 64 * 1024
"""Of the body, looked at: whole forms, and the beginning of one with a photo."""
FORM_S = 10.0
"""A form sent again later is meant."""
KEY_S = 600.0
MOST = 2000
"""Answers remembered of people who are signed in, and as many of nobody in particular; the oldest go first.

Whoever floods a form that is open to all pushes out what others of them sent, never what a person did.
"""
OPEN = b"x-weizhan-outcome"
"""Header of an answer that does not know yet what came of the act: it may still be done and must not be sent again."""
_MARK = re.compile(rb'(?:(?:^|&)once=|name="once"\r\n\r\n)([A-Za-z0-9_-]{8,64})(?:&|\r\n|$)')
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass
class _Act:
    """Something that was asked.

    answer: its messages; None where it did not come to be and may be tried again. until_s: it is remembered.
    """

    answer: asyncio.Future[list[Message] | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    until_s: float = 0.0


class Once:
    """ASGI: lets each act through once. monotonic: s."""

    def __init__(self, app: ASGIApp, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._monotonic = monotonic
        self._running: dict[bytes, _Act] = {}
        """Not answered yet; the server bounds how many requests there are at once."""
        self._done: dict[bool, OrderedDict[bytes, _Act]] = {True: OrderedDict(), False: OrderedDict()}
        """By whether a person who is signed in did it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _UNSAFE:
            await self._app(scope, receive, send)
            return
        try:
            taken = await _peek(receive)
        except HTTPException as refusal:  # a body that is too large; the app answers it like every refusal
            await self._app(scope, _refusing(refusal), send)
            return
        key, keep_s = _key_of(scope, b"".join(message.get("body", b"") for message in taken))
        again = _replay(taken, receive)
        if key is None:
            await self._app(scope, again, send)
            return
        while (act := self._known(key)) is not None:
            answer = await asyncio.shield(act.answer)
            if answer is not None:
                for message in answer:
                    await send(message)
                return
        await self._act(key, keep_s, scope, again, send)

    def _known(self, key: bytes) -> _Act | None:
        if (act := self._running.get(key)) is not None:
            return act
        for done in self._done.values():
            if (act := done.get(key)) is not None:
                if act.until_s > self._monotonic():
                    return act
                del done[key]
        return None

    async def _act(self, key: bytes, keep_s: float, scope: Scope, receive: Receive, send: Send) -> None:
        act = self._running[key] = _Act()
        told: list[Message] = []

        async def tell(message: Message) -> None:
            told.append(message)
            await send(message)

        try:
            await self._app(scope, receive, tell)
        finally:
            is_whole = bool(told) and not told[-1].get("more_body")
            is_open = is_whole and any(name == OPEN for name, _ in told[0]["headers"])
            is_done = is_whole and (is_open or told[0]["status"] < 400)
            del self._running[key]
            if is_done:
                act.until_s = self._monotonic() + (KEY_S if is_open else keep_s)
                done = self._done[scope.get("state", {}).get("person") is not None]
                done[key] = act
                self._forget(done)
            act.answer.set_result(told if is_done else None)

    def _forget(self, done: OrderedDict[bytes, _Act]) -> None:
        """What nobody will send again: pages that were answered are not kept for longer than they may be asked for."""
        while len(done) > MOST or (done and next(iter(done.values())).until_s <= self._monotonic()):
            done.popitem(last=False)


def _key_of(scope: Scope, head: bytes) -> tuple[bytes | None, float]:
    """What makes two requests the same act, and for how long (s); None: nothing says that they are."""
    headers = dict(scope["headers"])
    named = headers.get(b"idempotency-key", b"")[:128]
    kind, _, boundary = headers.get(b"content-type", b"").partition(b"boundary=")
    mark = _MARK.search(head) if b"form" in kind else None
    if not named and mark is None:
        return None, 0.0
    if boundary:  # made anew by the browser each time
        head = head.replace(boundary.strip(b'" '), b"")
    parts = (
        scope["method"].encode(), scope["path"].encode(), scope.get("query_string", b""), named,
        headers.get(b"cookie", b""), headers.get(b"authorization", b""), headers.get(b"content-length", b""), head,
    )  # fmt: skip
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest(), KEY_S if named else FORM_S


async def _peek(receive: Receive) -> list[Message]:
    """The first messages of the body, up to HEAD_BYTES or its end."""
    taken: list[Message] = []
    size = 0
    while size < HEAD_BYTES:
        message = await receive()
        taken.append(message)
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    return taken


def _refusing(refusal: HTTPException) -> Receive:
    async def receive() -> Message:
        raise refusal

    return receive


def _replay(taken: list[Message], receive: Receive) -> Receive:
    waiting = list(taken)

    async def again() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return again
