"""New rules and site files into the running gateway. A bad one is said once, with the reason, and changes nothing.

Site files, point maps and profiles are watched, as an agent watches its own. Rules are not: they come into force by
`weizhan rules apply`, which proves them first, by SIGHUP, or by a start. What was in force stays in force until the
transaction with the audit row of the change is committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from contract.errors import ConfigError
from contract.site import Site
from gateway.control.client import ControlError
from gateway.control.protocol import Problem
from gateway.installation import Installation, load_installation
from gateway.installing import Install
from gateway.settings import GatewaySettings

LOOK_S = 1.0
"""Between two looks at the files."""
_log = logging.getLogger(__name__)
Stamp = tuple[tuple[str, int, int, int], ...]


class Reloader:
    """Reads the configuration's files again when asked, and the sites' when they change.

    Args:
        in_force: gives the installation in force.
        install: puts one in force; gives what it changed once that is durable. Raises ControlError.
        look_s: between two looks at the files.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        in_force: Callable[[], Installation],
        install: Callable[[Install], Awaitable[dict[str, Any]]],
        look_s: float = LOOK_S,
    ) -> None:
        self._settings = settings
        self._in_force = in_force
        self._install = install
        self._look_s = look_s
        self._asked = asyncio.Event()
        self._busy = asyncio.Lock()
        self._stamp: Stamp = ()
        self.fault: str | None = None
        """Why the newest files are not in force; None while they are."""
        self.reloads = 0
        """Times a new installation came into force."""

    def status(self) -> dict[str, Any]:
        """For `status`."""
        return {"configuration_fault": self.fault, "configuration_reloads": self.reloads}

    @property
    def is_watching(self) -> bool:
        """Whether the files were looked at once: what changes from then on is noticed."""
        return bool(self._stamp)

    def ask(self) -> None:
        """Read rules and sites again now (SIGHUP)."""
        self._asked.set()

    async def reload(self, actor: str, *, sites_only: bool = False) -> dict[str, Any]:
        """Read the files again and put them in force; gives what changed and the configuration's hash.

        Raises:
            ControlError: `invalid` with every file and line that is wrong, or `unavailable`; nothing has changed.
        """
        async with self._busy:
            return await self._take(actor, sites_only=sites_only)

    async def replace(self, actor: str, place: Callable[[], None]) -> dict[str, Any]:
        """Change the sites' files and put them in force, so that nobody is told of them in between.

        Args:
            place: changes the files, in a thread; what it raises is passed on and nothing is in force.

        Raises:
            ControlError: as `reload`; the files are as `place` left them.
        """
        async with self._busy:
            await asyncio.to_thread(place)
            return await self._take(actor, sites_only=True)

    async def _take(self, actor: str, *, sites_only: bool) -> dict[str, Any]:
        rules = self._in_force().rules if sites_only else None
        try:
            new = await asyncio.to_thread(load_installation, self._settings, rules)
        except ConfigError as exc:
            self._refuse(str(exc))
            raise ControlError(Problem("invalid", str(exc))) from exc
        told = await self._install(Install(new, actor))
        self.reloads += 1
        if self.fault is not None:
            _log.info("configuration: sound again, in force")
        self.fault = None
        return told

    async def run(self) -> None:
        """Watch until cancelled."""
        self._stamp = last = await asyncio.to_thread(self._look)
        while True:
            try:
                async with asyncio.timeout(self._look_s):
                    await self._asked.wait()
            except TimeoutError:
                pass
            is_asked = self._asked.is_set()
            self._asked.clear()
            now = await asyncio.to_thread(self._look)
            # A file that is still being written looks different at each look; it is read once it holds still.
            is_settled, last = now == last, now
            if not is_asked and (not is_settled or now == self._stamp):
                continue
            self._stamp = now
            try:
                await self.reload("gateway", sites_only=not is_asked)
            except ControlError as exc:
                if exc.code == "unavailable":
                    self._stamp = ()  # the ledger was away: once more at the next look

    def _refuse(self, text: str) -> None:
        if text != self.fault:
            _log.warning("configuration: %s. What was running goes on.", text.rstrip("."))
        self.fault = text

    def _look(self) -> Stamp:
        grid = [] if self._settings.grid is None else [self._settings.grid]
        files = [*grid, *self._settings.sites, *_point_maps(self._settings, self._in_force().sites.values())]
        files += [path for folder in self._settings.profiles for path in sorted(folder.glob("*.yaml"))]
        stamp = []
        for path in files:
            try:
                found = path.stat()
            except OSError:
                continue
            stamp.append((str(path), found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamp)


def _point_maps(settings: GatewaySettings, sites: Any) -> list[Path]:
    """The point maps the sites in force name; each stands beside its site file."""
    loaded: list[Site] = list(sites)
    found = []
    for path, site in zip(settings.sites, loaded, strict=False):
        found += [path.parent / str(p.entry.point_map) for p in site.placed() if p.entry.point_map is not None]
    return found
