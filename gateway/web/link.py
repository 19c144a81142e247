"""The one live connection to the gateway: events come in, operators' commands go out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec

from contract.errors import RetryLater
from gateway.control.client import QUESTIONS, ControlClient, ControlError, NotKnownYet
from gateway.control.protocol import Op, Problem
from gateway.web.picture import Picture

log = logging.getLogger(__name__)
ASK_EVERY_S = 1.5
ANSWER_S = 2.5
"""A gateway that does not answer `status` this long counts as away: together with the period within 5 s."""
RETRY_S = (0.2, 1.0)
GRACE_S = 5.0
"""At a start the gateway may come a moment later than the pages; until then its absence is no news."""
WAIT_S = 10.0
PATIENCE_S = 1.5
"""A command given while the gateway is being started again waits this long for it."""


NOTES = frozenset({"sign_in.failed", "session.used", "personal.seen", "exported", "user.rehash"})
"""What pages note of themselves, on the way to what somebody asked for."""
has_done: ContextVar[bool] = ContextVar("has_done", default=False)
"""Whether a command of the request at hand was done: then what goes wrong afterwards leaves something changed."""


class Link:
    """Keeps the picture fed. `async with Link(...)`: connects in the background, again and again until left.

    wait_s: an answer is awaited for so long; what became of the command is looked up from then on.
    """

    def __init__(self, path: Path, picture: Picture, wait_s: float = WAIT_S) -> None:
        self._path = path
        self._wait_s = wait_s
        self._picture = picture
        self._client: ControlClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()

    async def __aenter__(self) -> Link:
        self._task = asyncio.create_task(self._run(), name="web-control-link")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def through(self, via: str, area: str) -> Through:
        """The same link for somebody who acts through a token."""
        return Through(self, via, area)

    async def ask(self, op: Op, actor: str, **args: Any) -> Any:
        """Send a command; gives the gateway's result once it is durable and the picture shows it: what a command
        changed comes before its answer on the one connection, and is applied as it comes.

        Raises:
            RetryLater: the gateway is away, and nothing was asked of it.
            NotKnownYet: it was asked and has not said what came of it; `mark` is what it can be looked up by.
            ControlError: the gateway refused it.
        """
        return await self.ask_through(op, actor, "", "", args)

    async def ask_through(self, op: Op, actor: str, area: str, via: str, args: dict[str, Any]) -> Any:
        """As `ask`, for an actor who acts through something (area, via: as in Ask)."""
        client = await self._present()
        try:
            result = await client.ask_through(op, actor, area, via, args, "" if op in QUESTIONS else make_mark())
        except NotKnownYet as exc:
            result = await self._find_out(exc, actor)
        if op not in QUESTIONS and op not in NOTES:
            has_done.set(True)
        return result

    async def _present(self) -> ControlClient:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._up.wait(), PATIENCE_S)
        if self._client is None:
            raise RetryLater(f"{self._path}: the gateway is not answering. Try again in a moment.")
        return self._client

    async def _find_out(self, unknown: NotKnownYet, actor: str) -> Any:
        """The answer that was lost, where the gateway can say it by now, perhaps over another connection."""
        try:
            told = await (await self._present()).ask("outcome", actor, mark=unknown.mark)
        except RetryLater:
            raise unknown from None
        if told["state"] == "refused":
            raise ControlError(Problem(**told["error"]))
        if told["state"] == "done":
            return told["result"]
        raise unknown

    async def _run(self) -> None:
        pause_s, warned = RETRY_S[0], False
        quiet_until = time.monotonic() + GRACE_S
        while True:
            try:
                async with ControlClient(self._path, timeout_s=self._wait_s) as client:
                    if warned:
                        log.info("gateway answers again at %s", self._path)
                    pause_s, warned = RETRY_S[0], False
                    await self._follow(client)
            except (RetryLater, msgspec.MsgspecError) as exc:
                if self._up.is_set():
                    quiet_until = 0.0
                if not warned and time.monotonic() >= quiet_until:
                    log.warning("gateway is away: %s Pages stay up and say so.", exc)
                    warned = True
            finally:
                self._client = None
                self._up.clear()
                self._picture.lose()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # spreads reconnects, no secret
            pause_s = min(RETRY_S[1], pause_s * 2)

    async def _follow(self, client: ControlClient) -> None:
        """Events until the connection breaks or the gateway stops answering."""
        events = asyncio.create_task(self._events(client), name="web-control-events")
        try:
            while not events.done():
                asking = asyncio.ensure_future(client.ask("status", "local"))
                done, _ = await asyncio.wait({events, asking}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
                if asking not in done:
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)
                    if not done:
                        raise RetryLater(f"{self._path}: no answer to status within {ANSWER_S:g} s.")
                else:
                    told = await asking
                    self._picture.centres = dict(told.get("centres") or {})
                    self._picture.configuration_fault = told.get("configuration_fault")
                    self._picture.backup = dict(told.get("backup") or {})
                await asyncio.wait({events}, timeout=ASK_EVERY_S)
            await events
        finally:
            events.cancel()
            await asyncio.gather(events, return_exceptions=True)

    async def _events(self, client: ControlClient) -> None:
        async for event in client.subscribe():
            self._picture.apply(event)
            if event.event == "snapshot":
                self._client = client
                self._up.set()


def make_mark() -> str:
    """A name for one act: when it was asked (ms UTC, hex), and 96 random bits."""
    return f"{time.time_ns() // 1_000_000:x}.{secrets.token_urlsafe(12)}"


class Through:
    """A link whose commands say that a token gave them, and go no further than its area."""

    def __init__(self, link: Link, via: str, area: str) -> None:
        self._link = link
        self._via = via
        self._area = area

    async def ask(self, op: Op, actor: str, **args: Any) -> Any:
        """As Link.ask."""
        return await self._link.ask_through(op, actor, self._area, self._via, args)

    def through(self, via: str, area: str) -> Through:
        """As Link.through."""
        return Through(self._link, via, area)
