"""The control socket from the other side: web pages, command line, tests.

A client that lost its connection raises RetryLater from then on; connecting again is the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from contract.errors import RetryLater, WeizhanError
from gateway.control.protocol import Answer, Ask, Event, Op, Problem
from gateway.tasks import end_task

SOCKET = "control.sock"
"""Name of the socket in the gateway's data folder."""
QUESTIONS = frozenset({"status", "subscribe", "outcome"})
"""What changes nothing, so that an answer that does not come leaves nothing unknown."""
_LINE = 64 * 1024 * 1024
_EVENTS = 4096
_answer = msgspec.json.Decoder(Answer)
_event = msgspec.json.Decoder(Event)
_encode = msgspec.json.Encoder().encode


class ControlError(WeizhanError):
    """The gateway said no. code: not_found | conflict | invalid | unavailable."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.code = problem.code


class _Gone(Exception):
    """The connection ended while an answer was awaited."""


class NotKnownYet(RetryLater):
    """A command went out and no answer came: it was done, is being done, or never will be. mark: to look it up by."""

    def __init__(self, text: str, mark: str) -> None:
        super().__init__(f"{text} Whether it was done is not known: look before you ask for it again.")
        self.mark = mark


class ControlClient:
    """A connection to the control socket.

        async with ControlClient(data_dir / SOCKET) as client:
            await client.ask("alarm.acknowledge", "wang", alarm_id=7, note="")
            async for event in client.subscribe(): ...

    Raises:
        RetryLater: nobody listens there.
        NotKnownYet: the connection broke, or no answer came in time.
        ControlError: the gateway refused what was asked.
    """

    def __init__(self, path: Path, *, timeout_s: float = 10.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(_EVENTS)
        self._next_id = 0
        self._gone = False

    async def __aenter__(self) -> ControlClient:
        try:
            reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=_LINE)
        except OSError as exc:
            raise RetryLater(f"{self._path}: {exc.strerror or exc}. Is the gateway running?") from exc
        self._reading = asyncio.create_task(self._read(reader), name="control-client")
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_task(self._reading)
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def ask(self, op: Op, actor: str, **args: Any) -> Any:
        """Ask for one thing; gives its result once it is durable."""
        return await self.ask_through(op, actor, "", "", args)

    async def ask_through(self, op: Op, actor: str, area: str, via: str, args: dict[str, Any], mark: str = "") -> Any:
        """As `ask`, for an actor who acts through something (area, via, mark: as in Ask)."""
        if self._gone or self._writer is None:
            raise RetryLater(f"{self._path}: the connection is closed. Connect again.")
        self._next_id += 1
        ask = Ask(id=self._next_id, op=op, actor=actor, args=args, area=area, via=via, mark=mark)
        future = self._waiting[ask.id] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(_encode(ask) + b"\n")
            await self._writer.drain()
            answer = await asyncio.wait_for(future, self._timeout_s)
        except TimeoutError as exc:
            raise _unanswered(f"{self._path}: no answer to {op} within {self._timeout_s:g} s.", op, mark) from exc
        except (OSError, _Gone) as exc:
            raise _unanswered(f"{self._path}: the gateway went away. Connect again.", op, mark) from exc
        finally:
            self._waiting.pop(ask.id, None)
        if not answer.ok:
            raise ControlError(answer.error or Problem("invalid", f"{op}: refused without a reason"))
        return answer.result

    async def subscribe(self, actor: str = "local") -> AsyncIterator[Event]:
        """Events as they are committed, the first of them `snapshot`; ends with RetryLater when the connection does."""
        await self.ask("subscribe", actor)
        while (event := await self._events.get()) is not None:
            yield event
        raise RetryLater(f"{self._path}: the gateway ended the subscription. Connect again.")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                if line.startswith(b'{"event"'):
                    # A reader of events that is slower than the gateway stops reading here; the gateway cuts it off.
                    await self._events.put(_event.decode(line))
                    continue
                answer = _answer.decode(line)
                if (future := self._waiting.get(answer.id)) is not None and not future.done():
                    future.set_result(answer)
        except (OSError, ValueError, msgspec.MsgspecError):
            pass  # a broken peer is a closed one: everybody waiting is told below
        finally:
            self._gone = True
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(_Gone())
            while self._events.full():
                self._events.get_nowait()
            self._events.put_nowait(None)


def _unanswered(text: str, op: Op, mark: str) -> RetryLater:
    return RetryLater(text) if op in QUESTIONS else NotKnownYet(text, mark)
