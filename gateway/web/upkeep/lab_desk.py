"""Comparisons of the rule lab: one runs at a time, in a process of its own; the last few results are at hand."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.history.settings import HistorySettings
from gateway.settings import GatewaySettings
from gateway.web.access import Refused
from gateway.web.texts import msgid
from gateway.web.upkeep.lab_job import Job

KEPT = 8
"""Results at hand; older ones are forgotten."""
LINE_BYTES = 32 * 1024 * 1024
LONGEST_S = 3600.0
"""A comparison that takes longer is ended."""
NOT_STARTED = msgid(
    "Its process could not be started; the machine may be short of memory or have too many processes. Try again later."
)
TOO_LONG = msgid("It took longer than an hour and was ended. Choose a shorter time or fewer sites.")
BROKEN_OFF = msgid("Its process ended before it was done; the machine may be short of memory. Choose a shorter time.")
ERRORS = frozenset({NOT_STARTED, TOO_LONG, BROKEN_OFF})
"""Those that are msgids."""


@dataclass
class Comparison:
    """One comparison. state: running | done | failed. reached_ms: how far the replay is, event time.

    error: why it failed, as a msgid or in the words of what refused.
    """

    token: str
    who: str
    sites: frozenset[str] | None
    job: Job
    started_ms: int
    state: str = "running"
    reached_ms: int = 0
    readings: int = 0
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """How much of the history is through, 0..1."""
        length = max(1, self.job.until_ms - self.job.from_ms)
        return min(1.0, max(0.0, (self.reached_ms - self.job.from_ms) / length))

    def is_for(self, who: str, sites: frozenset[str] | None) -> bool:
        """Whether it is this person's, and lies within what they (or their token) may see; None: everything."""
        return self.who == who and (sites is None or (self.sites is not None and self.sites <= sites))


class LabDesk:
    """Runs comparisons.

    Args:
        gateway, stored: what the installation runs on; None: no comparison can be made.
        python: what runs them.
    """

    def __init__(
        self,
        gateway: GatewaySettings | None = None,
        stored: HistorySettings | None = None,
        python: str = sys.executable,
    ) -> None:
        self._python = python
        self._gateway = gateway
        self._stored = stored
        self._kept: dict[str, Comparison] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether comparisons can be made here."""
        return self._gateway is not None and self._stored is not None

    def start(self, who: str, sites: frozenset[str] | None, now_ms: int, **asked: Any) -> Comparison:
        """Begin a comparison. Raises Refused while another one runs."""
        if self._gateway is None or self._stored is None:
            raise Refused(503, msgid("Comparisons cannot be made here."))
        if any(each.state == "running" for each in self._kept.values()):
            raise Refused(503, msgid("Another comparison is running. Wait until it is done."))
        job = Job(
            gateway=self._gateway.model_dump(mode="json", by_alias=True),
            history=self._stored.model_dump(mode="json", by_alias=True),
            sites=None if sites is None else sorted(sites),
            **asked,
        )
        made = Comparison(secrets.token_urlsafe(12), who, sites, job, now_ms, reached_ms=job.from_ms)
        self._kept[made.token] = made
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        task = asyncio.create_task(self._run(made), name="web-rule-lab")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return made

    def find(self, token: str, who: str, sites: frozenset[str] | None) -> Comparison:
        """A comparison of this person, of no more than they may see now. Raises Refused."""
        found = self._kept.get(token)
        if found is None or not found.is_for(who, sites):
            raise Refused(404, msgid("There is no such comparison any more."))
        return found

    def latest(self, who: str, sites: frozenset[str] | None) -> list[Comparison]:
        """Those of a person, of no more than they may see now; the newest first."""
        return [each for each in reversed(self._kept.values()) if each.is_for(who, sites)]

    async def close(self) -> None:
        """End what runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, made: Comparison) -> None:
        """Until it is done, failed or ended: then, however it went, the next one may begin."""
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                self._python, "-m", "gateway.web.upkeep.lab_job",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                limit=LINE_BYTES,
            )  # fmt: skip
            async with asyncio.timeout(LONGEST_S):
                await self._follow(made, process)
        except TimeoutError:
            made.error = TOO_LONG
        except (OSError, ValueError, KeyError, msgspec.MsgspecError):
            made.error = NOT_STARTED if process is None else BROKEN_OFF
        finally:
            if made.state == "running":
                made.state, made.error = "failed", made.error or BROKEN_OFF
            if process is not None:
                await self._end(process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # The pipe's transport closes once the loop has seen the end of it.
        with contextlib.suppress(ValueError, OSError):
            while process.stdout is not None and await process.stdout.read(65536):
                pass

    async def _follow(self, made: Comparison, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(made.job))
        process.stdin.close()
        async for line in process.stdout:
            told = msgspec.json.decode(line)
            if "result" in told:
                made.result, made.state = told["result"], "done"
            elif "error" in told:
                made.error, made.state = str(told["error"]), "failed"
            else:
                made.reached_ms, made.readings = int(told["at_ms"]), int(told["readings"])
