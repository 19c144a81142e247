"""Our own processes, started, watched and stopped together on one machine.

A child that ends is started again after a pause that grows from 0.5 s to 10 s, whatever killed it. A child that says
its configuration or place is wrong (exit code 78) is not: that needs a person, so everything stops with its text.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from contract.errors import StartError

CONFIG_EXIT = 78
"""EX_CONFIG of sysexits.h: wrong configuration, or the process cannot run here."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _STEADY_S = 0.5, 10.0, 15.0


class Child:
    """One process that is kept running.

    Args:
        name: for logs. argv: what to run, after the Python interpreter. log: where its stderr goes.
        keep: start it again when it ends; False for one that is only watched.
    """

    def __init__(self, name: str, argv: list[str], log: Path, *, keep: bool = True) -> None:
        self.name = name
        self.argv = argv
        self.log = log
        self.keep = keep
        self.starts = 0
        self.process: asyncio.subprocess.Process | None = None
        self.lines: asyncio.Queue[str] = asyncio.Queue(maxsize=10_000)

    @property
    def pid(self) -> int | None:
        """The running process; None between two lives."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    async def start(self) -> None:
        """Start it now; its stdout is put into `lines`."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a folder `gateway` or `rules` where the person stands must not be taken for ours
                *self.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self.starts += 1

    async def read_lines(self) -> None:
        """Move stdout into `lines` until it ends; when nobody takes them the oldest give way."""
        assert self.process is not None
        assert self.process.stdout is not None
        while raw := await self.process.stdout.readline():
            if self.lines.full():
                self.lines.get_nowait()
            self.lines.put_nowait(raw.decode("utf-8", "replace").rstrip("\n"))

    async def next_line(self, timeout_s: float) -> str:
        """The next line of its stdout.

        Raises:
            StartError: it ended, or said nothing in time; the text has the end of its log.
        """
        waiting = asyncio.ensure_future(self.lines.get())
        assert self.process is not None
        ended = asyncio.ensure_future(self.process.wait())
        try:
            done, _ = await asyncio.wait({waiting, ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if waiting in done:
                return waiting.result()
            if ended in done:
                # What it said last may still be on its way through the pipe.
                return await asyncio.wait_for(waiting, 1.0)
        except TimeoutError:
            pass
        finally:
            waiting.cancel()
            ended.cancel()
        raise StartError(f"{self.name} did not come up in {timeout_s:.0f} s. {self.log_end()}")

    def log_end(self, lines: int = 12) -> str:
        """The last lines of its log."""
        try:
            text = self.log.read_text("utf-8", "replace").strip().splitlines()[-lines:]
        except OSError:
            text = []
        return "\n".join(["Its log ends:", *text]) if text else f"Its log {self.log} is empty."

    def say(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    async def stop(self, timeout_s: float = 10.0) -> None:
        """End it: SIGTERM, then SIGKILL after the timeout. Ended already: no effect."""
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), timeout_s)
            except TimeoutError:
                process.kill()
                await process.wait()
        if process.stdin is not None:
            process.stdin.close()


class Family:
    """Children kept running together: `async with Family(folder) as family`.

    `failed` is set, with its text in `failure`, when a child asks for a person.
    """

    def __init__(self, log_dir: Path, on_change: Callable[[str], None] | None = None) -> None:
        self.log_dir = log_dir
        self.children: list[Child] = []
        self.failed = asyncio.Event()
        self.failure = ""
        self._on_change = on_change
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Family:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Last started, first stopped: pages, gateway, agent, equipment, broker.
        for child in reversed(self.children):
            await child.stop()

    async def add(self, name: str, *argv: str, keep: bool = True) -> Child:
        """Start a child and keep it running."""
        child = Child(name, list(argv), self.log_dir / f"{name}.log", keep=keep)
        self.children.append(child)
        await child.start()
        self._tasks.append(asyncio.create_task(self._watch(child), name=f"watch {name}"))
        return child

    async def halt(self, child: Child) -> None:
        """End a child and leave it ended."""
        child.keep = False
        await child.stop()

    async def resume(self, child: Child) -> None:
        """Start a child that was halted, and keep it running."""
        child.keep = True
        await child.start()
        self._tasks.append(asyncio.create_task(self._watch(child), name=f"watch {child.name}"))

    async def _watch(self, child: Child) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            assert child.process is not None
            started = asyncio.get_running_loop().time()
            reading = asyncio.create_task(child.read_lines(), name=f"stdout {child.name}")
            try:
                code = await child.process.wait()
                await reading
            finally:
                reading.cancel()
            if code == CONFIG_EXIT or not child.keep:
                if code != 0:
                    self.failure = f"{child.name} ended with {code}. {child.log_end()}"
                    self.failed.set()
                return
            if asyncio.get_running_loop().time() - started > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            if self._on_change is not None:
                self._on_change(f"{child.name} ended with {code}; starting it again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads restarts, hides nothing
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            if not child.keep:
                return  # halted between two lives
            await child.start()
