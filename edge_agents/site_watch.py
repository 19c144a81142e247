"""Watches the site file and says when there is a new sound one; a bad one is said once and changes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from contract.errors import ConfigError

log = logging.getLogger(__name__)
LOOK_S = 1.0
"""Between two looks at the files."""
Stamp = tuple[tuple[str, int, int, int], ...]


class SiteWatch:
    """Looks at files until cancelled.

    Args:
        files: gives the files to watch; called in a thread.
        read: reads the configuration; called in a thread. Raises ConfigError.
        apply: takes what was read. Raises ConfigError when it cannot be taken while running.
        look_s: between two looks at the files.
    """

    def __init__(
        self,
        files: Callable[[], list[Path]],
        read: Callable[[], object],
        apply: Callable[[object], Awaitable[None]],
        look_s: float = LOOK_S,
    ) -> None:
        self._files = files
        self._read = read
        self._apply = apply
        self._look_s = look_s
        self._asked = asyncio.Event()
        self._in_force: Stamp = ()
        self.fault: str | None = None
        """Why the newest file is not in force; None while it is."""
        self.reads = 0
        """Times the files were read again."""

    def note(self) -> None:
        """The files as they are now are about to be read by the caller."""
        self._in_force = self._stamp()

    def ask(self) -> None:
        """Read again now, whether or not a file looks changed (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        last = self._in_force
        while True:
            try:
                async with asyncio.timeout(self._look_s):
                    await self._asked.wait()
            except TimeoutError:
                pass
            is_asked = self._asked.is_set()
            self._asked.clear()
            now = await asyncio.to_thread(self._stamp)
            # A file that is still being written looks different at each look; it is read once it holds still.
            is_settled, last = now == last, now
            if is_asked or (is_settled and now != self._in_force):
                self._in_force = now
                await self._reload()

    async def _reload(self) -> None:
        self.reads += 1
        try:
            await self._apply(await asyncio.to_thread(self._read))
        except ConfigError as exc:
            if str(exc) != self.fault:
                log.warning("configuration: %s. What was running goes on.", str(exc).rstrip("."))
            self.fault = str(exc)
            return
        if self.fault is not None:
            log.info("configuration: sound again, in force")
        self.fault = None

    def _stamp(self) -> Stamp:
        stamp = []
        for path in self._files():
            try:
                found = path.stat()
            except OSError:
                continue
            stamp.append((str(path), found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamp)
