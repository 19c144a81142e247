"""What became of commands, for whoever lost the answer: each that carries a mark is done once and remembered a while.

    ask, mark ──> done ──> answer                    the usual way
    ask, mark ──> done ──x                           the answer was too late, or the connection broke
    outcome, mark ──> done | refused | running       asked afterwards, over whatever connection
    outcome, mark ──> unknown                        never came here: and if it still comes, it is refused

What a gateway remembers ends with it; what was committed stands in the audit chain, with the mark.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from gateway.control.client import ControlError
from gateway.control.protocol import Ask, Problem

KEEP_S = 900.0
"""Outcomes are told for so long; who asks later looks into the audit chain."""
MOST = 4096
"""Outcomes remembered, and as many marks nobody came with; the oldest go first."""
LATE = Problem("conflict", "this came after somebody asked what became of it, so it was not done. Ask anew.")

STOPPED = Problem("unavailable", "the gateway stopped while this was done.")


class _Deed(NamedTuple):
    """What was asked, and what came of it. problem: why not; None: it was done."""

    actor: str
    until_s: float
    result: Any
    problem: Problem | None


class Deeds:
    """Does each marked command once. monotonic: s."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._running: dict[str, tuple[str, asyncio.Future[_Deed]]] = {}
        self._done: OrderedDict[str, _Deed] = OrderedDict()
        self._void: OrderedDict[str, _Deed] = OrderedDict()
        """Asked for before they came."""

    async def do(self, ask: Ask, act: Callable[[Ask], Awaitable[Any]]) -> Any:
        """Do it, or give what came of it before. Raises ControlError."""
        if not ask.mark:
            return await act(ask)
        if (running := self._running.get(ask.mark)) is not None:
            return _told(await asyncio.shield(running[1]))
        if (done := self._done.get(ask.mark) or self._void.get(ask.mark)) is not None:
            return _told(done)
        future: asyncio.Future[_Deed] = asyncio.get_running_loop().create_future()
        self._running[ask.mark] = ask.actor, future
        deed = _Deed(ask.actor, 0.0, None, STOPPED)
        try:
            deed = self._keep(self._done, ask.mark, ask.actor, result=await act(ask))
        except ControlError as exc:
            deed = self._keep(self._done, ask.mark, ask.actor, problem=Problem(exc.code, str(exc)))
            raise
        finally:
            del self._running[ask.mark]
            future.set_result(deed)
        return deed.result

    def outcome(self, mark: str, actor: str) -> dict[str, Any]:
        """What became of a command of this actor: {state, result, error}; state: running | done | refused | unknown.

        unknown: it never came here, and will be refused if it still does.
        """
        running, done = self._running.get(mark), self._done.get(mark)
        if running is not None:
            return {"state": "running" if running[0] == actor else "unknown"}
        if done is None:
            self._keep(self._void, mark, actor, problem=LATE)
        if done is None or done.actor != actor:
            return {"state": "unknown"}
        if done.problem is not None:
            return {"state": "refused", "error": msgspec.to_builtins(done.problem)}
        return {"state": "done", "result": done.result}

    def _keep(
        self,
        kept: OrderedDict[str, _Deed],
        mark: str,
        actor: str,
        *,
        result: Any = None,
        problem: Problem | None = None,
    ) -> _Deed:
        now_s = self._monotonic()
        made = kept[mark] = _Deed(actor, now_s + KEEP_S, result, problem)
        kept.move_to_end(mark)
        while len(kept) > MOST or next(iter(kept.values())).until_s <= now_s:
            kept.popitem(last=False)
        return made


def _told(deed: _Deed) -> Any:
    if deed.problem is not None:
        raise ControlError(deed.problem)
    return deed.result
