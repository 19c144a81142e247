"""The desk where exports are asked for: one is made at a time, in the background, and waits for whoever asked.

    waiting ──> running ──> done
                   └──────> failed

Jobs and files lie in a folder of their own. After a restart what was done is there, and what was not is `stopped`: the
one who asked asks again. The folder is bounded in files, bytes and age; the oldest go first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec

from contract.errors import RetryLater
from gateway.exports.document import Document, Spool, TooLong, lines
from gateway.exports.layout import drawn_by

log = logging.getLogger(__name__)
FileKind = Literal["csv", "xlsx", "pdf"]
FILE_KINDS: tuple[FileKind, ...] = ("csv", "xlsx", "pdf")
State = Literal["waiting", "running", "done", "failed", "stopped"]
Why = Literal["", "long", "font", "away", "time", "disk", "stopped", "fault"]
MOST_JOBS = 60
MOST_WAITING = 12
MOST_OF_ONE = 4
"""Of one person, waiting or running."""
MOST_BYTES = 512 * 1024 * 1024
"""All files together."""
MOST_SPOOL = 256 * 1024 * 1024
"""Content of one export."""
KEEP_MS = 7 * 86_400_000
LONGEST_S = 900.0
Build = Callable[[], Awaitable[Document]]
Record = Callable[["Job"], Awaitable[bool]]


class Busy(Exception):
    """The desk takes no more now: `mine` (too many of this person) or `all`."""


class Job(msgspec.Struct, kw_only=True):
    """An export that was asked for. sites: what it may hold, as the asker could see then; None: everything.

    rows: written so far. recorded: whether its code stands in the audit chain. why: of `failed` and `stopped`.
    """

    id: str
    kind: str
    title: str
    file: FileKind
    owner: str
    sites: list[str] | None
    asked_ms: int
    link: str = ""
    state: State = "waiting"
    rows: int = 0
    total: int = 0
    size: int = 0
    code: str = ""
    done_ms: int | None = None
    recorded: bool = False
    why: Why = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ("done", "failed", "stopped")

    @property
    def percent(self) -> int:
        """How far it is, 0..100: gathering is the first half, writing the second."""
        if self.is_over:
            return 100
        return 50 + round(50 * min(1.0, self.rows / self.total)) if self.total else min(50, self.rows // 200)


class Desk:
    """Takes orders, makes them one by one (`run`), keeps the files. Use its methods on the event loop.

    record: writes the code of a finished export into the audit chain; False when the gateway is away.
    """

    def __init__(self, folder: Path, now_ms: Callable[[], int], record: Record) -> None:
        self._folder = folder
        self._now_ms = now_ms
        self._record = record
        self._jobs: dict[str, Job] = {}
        self._builds: dict[str, Build] = {}
        self._news = asyncio.Event()
        self._loaded = False

    def ask(
        self, kind: str, title: str, file: FileKind, owner: str, sites: list[str] | None, build: Build, link: str = ""
    ) -> Job:
        """Take an order. Raises Busy."""
        self.load()
        waiting = [job for job in self._jobs.values() if not job.is_over]
        if sum(job.owner == owner for job in waiting) >= MOST_OF_ONE:
            raise Busy("mine")
        if len(waiting) >= MOST_WAITING:
            raise Busy("all")
        job = Job(
            id=secrets.token_hex(12), kind=kind, title=title, file=file, owner=owner, sites=sites,
            asked_ms=self._now_ms(), link=link,
        )  # fmt: skip
        self._jobs[job.id] = job
        self._builds[job.id] = build
        self._save(job)
        self._news.set()
        return job

    def job(self, job_id: str) -> Job | None:
        """An order."""
        self.load()
        return self._jobs.get(job_id)

    def jobs(self) -> list[Job]:
        """All orders, the latest first."""
        self.load()
        return sorted(self._jobs.values(), key=lambda job: -job.asked_ms)

    def path(self, job: Job) -> Path:
        """Where its file lies."""
        return self._folder / f"{job.id}.{job.file}"

    def drop(self, job: Job) -> None:
        """Take an order back, or its file away. What is being made is ended."""
        self._builds.pop(job.id, None)
        self._jobs.pop(job.id, None)
        for path in self._folder.glob(f"{job.id}.*"):
            path.unlink(missing_ok=True)

    async def note(self, job: Job) -> None:
        """Have its code written into the audit chain, if it is not."""
        if job.state == "done" and not job.recorded and await self._record(job):
            job.recorded = True
            self._save(job)

    async def run(self) -> None:
        """Make what was asked for, until cancelled."""
        self.load()
        while True:
            job = next((job for job in reversed(self.jobs()) if job.state == "waiting"), None)
            if job is None:
                self._news.clear()
                self._sweep()
                await self._news.wait()
                continue
            try:
                await self._make(job)
            except Exception:  # the supervisor of the desk: what is wrong with one holds up no other
                log.exception("export %s (%s) was not made", job.id, job.kind)
                if not job.is_over:
                    self._fail(job, "fault")
                with contextlib.suppress(OSError):
                    self._save(job)

    def load(self) -> None:
        """Know what was asked for before; what was not finished then never will be."""
        if self._loaded:
            return
        self._loaded = True
        for path in self._folder.glob("*.json"):
            try:
                job = msgspec.json.decode(path.read_bytes(), type=Job)
            except (OSError, msgspec.MsgspecError):
                path.unlink(missing_ok=True)
                continue
            if not job.is_over or (job.state == "done" and not self.path(job).is_file()):
                job.state, job.why = "stopped", "stopped"
            self._jobs[job.id] = job
        for path in self._folder.glob("*"):
            if path.suffix != ".json" and self._jobs.get(path.name.partition(".")[0]) is None:
                path.unlink(missing_ok=True)
        for path in (*self._folder.glob("*.spool"), *self._folder.glob("*.part")):
            path.unlink(missing_ok=True)

    async def _make(self, job: Job) -> None:
        spool = Spool(self._folder / f"{job.id}.spool")
        job.state = "running"
        self._save(job)
        try:
            async with asyncio.timeout(LONGEST_S):
                document = await self._builds[job.id]()
                job.total = await asyncio.to_thread(self._gather, job, document, spool)
                job.code = await asyncio.to_thread(spool.code)
                await self._write(job, spool)
        except TooLong:
            self._fail(job, "long")
        except TimeoutError:
            self._fail(job, "time")
        except RetryLater:
            self._fail(job, "away")
        except OSError as exc:
            log.warning("export %s could not be written: %s", job.id, exc)
            self._fail(job, "disk")
        finally:
            self._builds.pop(job.id, None)
            spool.path.unlink(missing_ok=True)
        if job.state == "running":  # not taken back meanwhile
            job.state, job.done_ms, job.size = "done", self._now_ms(), self.path(job).stat().st_size
            if job.id in self._jobs:
                await self.note(job)
        if job.id in self._jobs:
            self._save(job)
        else:
            self.path(job).unlink(missing_ok=True)
        self._sweep()

    def _gather(self, job: Job, document: Document, spool: Spool) -> int:
        """Write the canonical lines, in a thread; how many rows."""
        size = rows = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        with spool.path.open("wb") as file:
            for line in lines(document, drawn_by() if job.file == "pdf" else ""):
                size += file.write(line)
                rows += line[:1] == b"["
                if rows % 500 == 0:
                    job.rows = rows
                if size > MOST_SPOOL or job.id not in self._jobs:
                    raise TooLong("size")
        job.rows = 0
        return rows

    async def _write(self, job: Job, spool: Spool) -> None:
        command = [
            sys.executable,
            "-m",
            "gateway.exports.render",
            str(spool.path),
            str(self.path(job)),
            job.code,
            job.link,
        ]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                text = line.decode("ascii", "replace").strip()
                if text.startswith("!"):
                    self._fail(job, "font" if text == "!font" else "long")
                elif text.isdigit():
                    job.rows = int(text)
                if job.id not in self._jobs:
                    process.kill()
            if await process.wait() != 0 and job.state == "running":
                self._fail(job, "fault")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def _fail(self, job: Job, why: Why) -> None:
        job.state, job.why, job.done_ms = "failed", why, self._now_ms()

    def _save(self, job: Job) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{job.id}.json"
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(msgspec.json.encode(job))
        part.replace(path)

    def _sweep(self) -> None:
        """Keep within number, bytes and age: the oldest that are over go first."""
        over = [job for job in reversed(self.jobs()) if job.is_over]
        size = sum(job.size for job in over)
        for job in over:
            if job.asked_ms > self._now_ms() - KEEP_MS and len(self._jobs) <= MOST_JOBS and size <= MOST_BYTES:
                break
            size -= job.size
            self.drop(job)
