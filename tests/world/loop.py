"""Time of a simulated world: one heap of events, and an event loop for each process that runs on it.

The loops stand in for asyncio's: what the product awaits (sleeps, timeouts, tasks, threads' results) becomes an event
of the heap, so that a whole station runs on one thread, in simulated time, and always in the same order.

    heap of (µs, number) ──> event of the world itself (a fault, a message that arrives, an answer on a line)
                        └──> timer of a process's loop ──> its ready callbacks, one by one, until none is left
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
from asyncio import events
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

_running_loop, _set_running_loop = events._get_running_loop, events._set_running_loop
MOST_AT_ONCE = 2_000
"""Callbacks at one instant; then a microsecond passes: to compute takes time, too."""
MOST_SPINS = 2_000
"""So many such instants one after the other are a process that spins."""


class Stuck(Exception):
    """A process runs for ever at one instant."""


class Call:
    """A callback of a process that waits for its turn: asyncio's handle, without what it keeps for debugging."""

    __slots__ = ("args", "callback", "context", "off")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> None:
        self.callback, self.args, self.context = callback, args, context
        self.off = False

    def cancel(self) -> None:
        self.off = True

    def cancelled(self) -> bool:
        return self.off


class Timeline:
    """Simulated time, µs since the world began, and what happens when."""

    def __init__(self) -> None:
        self.now_us = 0
        self.events = 0
        """Events so far, those of the processes' loops included."""
        self._heap: list[tuple[int, int, ProcessLoop | None, Any]] = []
        self._number = 0

    def at(self, when_us: int, do: Callable[[], None]) -> None:
        """Do something at a time; now at the earliest."""
        self._number = number = self._number + 1
        heapq.heappush(self._heap, (max(when_us, self.now_us), number, None, do))

    def after(self, wait_s: float, do: Callable[[], None]) -> None:
        """Do something so many seconds from now."""
        self._number = number = self._number + 1
        wait_us = int(wait_s * 1e6 + 0.5) if wait_s > 0 else 0
        heapq.heappush(self._heap, (self.now_us + wait_us, number, None, do))

    def push(self, when_us: int, loop: ProcessLoop, call: Call | None) -> None:
        """A process's timer; None: what is ready there is to be run."""
        self._number = number = self._number + 1
        heapq.heappush(self._heap, (when_us, number, loop, call))

    def run_until(self, until_us: int) -> None:
        """Let time pass up to and including this moment."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until_us:
            when_us, _, loop, do = pop(heap)
            if loop is None:
                self.now_us = when_us
                self.events += 1
                do()
            elif do is None:
                self.now_us = when_us
                loop.drain()
            elif not do.off and not loop.dead:
                self.now_us = when_us
                loop.run_ready(do)
        self.now_us = max(self.now_us, until_us)


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one simulated process.

    Args:
        work: does what the product gives to a thread: (loop, function, future for its result).
        rate: how fast its monotonic clock runs against the world's.
    """

    def __init__(
        self,
        timeline: Timeline,
        name: str,
        work: Callable[[ProcessLoop, Callable[[], Any], asyncio.Future[Any]], None],
        rate: float = 1.0,
    ) -> None:
        self.name = name
        self.dead = False
        """Its process was killed: no timer of it fires any more."""
        self.faults: list[str] = []
        """Exceptions nobody caught."""
        self._timeline = timeline
        self._work = work
        self._rate = rate
        self._began_us = timeline.now_us
        self._ready: deque[Call] = deque()
        self._running = False
        self._late: list[tuple[float, int, Call]] = []
        self._late_s: float | None = None
        self._number = 0
        self._spins = 0
        self.draining = False
        """Dead, and what is left of its tasks is being ended."""
        self.time_at_death = 0.0

    # --- time ----------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Monotonic seconds of this process."""
        if self._late_s is not None:
            return self._late_s
        return (self._timeline.now_us - self._began_us) * self._rate / 1e6

    def call_soon(  # type: ignore[override]  # a lean handle in place of asyncio's
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Call:
        call = Call(callback, args, context)
        self._ready.append(call)
        if not self._running and not self.dead:
            self._running = True
            self._timeline.push(self._timeline.now_us, self, None)
        return call

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # as above

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Call:
        if self.dead:
            return self.call_at(self.time() + delay, callback, *args, context=context)
        call, timeline = Call(callback, args, context), self._timeline
        timeline.push(timeline.now_us + max(1, math.ceil(delay * 1e6 / self._rate)), self, call)
        return call

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Call:
        call = Call(callback, args, context)
        if self.dead:
            self._number += 1
            heapq.heappush(self._late, (when, self._number, call))
            return call
        # Never at this very instant: rounding must not let a process wait for a time that it does not reach.
        when_us = max(self._timeline.now_us + 1, self._began_us + math.ceil(when * 1e6 / self._rate))
        self._timeline.push(when_us, self, call)
        return call

    # --- running -------------------------------------------------------------------------------------------------

    def run_ready(self, first: Call) -> None:
        """Run a callback and everything that becomes ready by it."""
        self._ready.append(first)
        if not self._running:
            self._running = True
            self.drain()

    def drain(self) -> None:
        """Run what is ready, and what becomes ready by it."""
        if self.dead:
            self._running = False
            return
        self._step_all()
        if self._ready and not self.dead:
            self._timeline.push(self._timeline.now_us + 1, self, None)
        else:
            self._running = False

    def _step_all(self) -> None:
        ready = self._ready
        before = _running_loop()
        _set_running_loop(self)
        count = 0
        try:
            while ready and (self.draining or (count < MOST_AT_ONCE and not self.dead)):
                call = ready.popleft()
                if call.off:
                    continue
                count += 1
                try:
                    if call.context is None:
                        call.callback(*call.args)
                    else:
                        call.context.run(call.callback, *call.args)
                except Exception as exc:  # noqa: BLE001  # as asyncio's own: a callback that fails ends nothing else
                    self.call_exception_handler({"message": f"in {call.callback!r}", "exception": exc})
        finally:
            self._timeline.events += count
            _set_running_loop(before)
        self._spins = self._spins + 1 if count >= MOST_AT_ONCE else 0
        if self._spins > MOST_SPINS:
            raise Stuck(f"{self.name}: runs on and on at {self.time():.6f} s of its life")

    def bury(self) -> None:
        """After a kill: let what is left of the tasks end, with no effect on the world, so that nothing leaks.

        Timers fire at once, in order; whoever waits longer than an hour is left.
        """
        assert self.dead
        self._late_s, self.draining = self.time_at_death, True
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        for task in sorted(tasks, key=lambda task: task.get_name()):
            task.cancel()
        self._step_all()
        for _ in range(10_000):
            left = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not left or not self._late:
                break
            when, _, call = heapq.heappop(self._late)
            self._late_s = max(self._late_s, when)
            if not call.off:
                self._ready.append(call)
                self._step_all()
            if self._late_s > self.time_at_death + 60:
                break
        for task in sorted(left, key=lambda task: task.get_name()):
            task.cancel()
        self._step_all()
        self.draining = False

    def kill(self) -> None:
        """From now on nothing of this process happens."""
        self.time_at_death = self.time()
        self.dead = True

    # --- what tasks need -----------------------------------------------------------------------------------------

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        self._number += 1  # asyncio's own names count every task of the real process
        return asyncio.Task(coro, loop=self, name=name or f"task {self._number}", context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def run_in_executor(  # type: ignore[override]  # asyncio's is generic over the arguments
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        done = self.create_future()
        self._work(self, (lambda: func(*args)) if args else func, done)
        return done

    get_debug = staticmethod(bool)  # False; asked for each future, so by what is quickest

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        self.faults.append(f"{context.get('message')}: {type(exc).__name__}: {exc}" if exc else str(context))

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)
