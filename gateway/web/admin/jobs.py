"""Long work of an administrator in the background: one at a time of each name, with progress, stopped with the process.

What a job finds is durable only where the gateway was told of it; the job itself is forgotten with the process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from contract.errors import WeizhanError

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Stopped(WeizhanError):
    """The process ends: the work is given up."""


@dataclass
class Job(Generic[T]):
    """Work under way or done. done, total: in the work's own unit; total 0: not known yet. failed: why, else empty."""

    name: str
    began_ms: int
    done: int = 0
    total: int = 0
    ended_ms: int | None = None
    failed: str = ""
    result: T | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        return self.ended_ms is None

    def tell(self, done: int, total: int | None = None) -> None:
        """How far it is; called by the work, from its thread. Raises Stopped when the process ends."""
        self.done = done
        self.total = self.total if total is None else total
        if self._stop.is_set():
            raise Stopped("stopped")

    def stop(self) -> None:
        """Ask the work to give up at its next step."""
        self._stop.set()


class Jobs:
    """The jobs of one web process."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._jobs: dict[str, Job[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, name: str) -> Job[Any] | None:
        """The latest job of that name."""
        return self._jobs.get(name)

    def start(
        self, name: str, work: Callable[[Job[T]], T], then: Callable[[T], Awaitable[None]] | None = None
    ) -> Job[T]:
        """Begin work in a thread; the one of that name that runs already is given instead.

        then: awaited with the result before the job counts as done.
        """
        running = self._jobs.get(name)
        if running is not None and running.is_running:
            return running
        job: Job[T] = Job(name, self._now_ms())
        self._jobs[name] = job
        task = asyncio.create_task(self._run(job, work, then), name=f"web-job-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def close(self) -> None:
        """Stop what runs and wait for it."""
        for job in self._jobs.values():
            job.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, job: Job[T], work: Callable[[Job[T]], T], then: Callable[[T], Awaitable[None]] | None) -> None:
        try:
            result = await asyncio.to_thread(work, job)
            if then is not None:
                await then(result)
            job.result = result
        except Stopped:
            job.failed = "stopped"
        except WeizhanError as exc:
            job.failed = str(exc)
        except Exception as exc:  # noqa: BLE001 # the supervisor of background work: it is told, not raised
            _log.warning("work for an administrator failed (%s): %s: %s", job.name, type(exc).__name__, exc)
            job.failed = type(exc).__name__
        finally:
            job.ended_ms = self._now_ms()
