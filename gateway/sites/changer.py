"""Puts a new site file in force while the gateway runs.

    check ──> keep both texts ──> row `applying` (durable) ──> file in its place (one rename) ──> reload ──> `in_force`

Killed anywhere in between, the file is the old one or the new one, whole; the next start goes by it, and the row left
`applying` then says which.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from contract.errors import ConfigError
from gateway.control.client import ControlError
from gateway.control.protocol import Ask, Problem
from gateway.pipeline import Pipeline
from gateway.reload import Reloader
from gateway.settings import GatewaySettings
from gateway.sites.checking import check_text
from gateway.sites.register import sha256_of, version_path, write_whole

ACTOR = "gateway"


class SiteChanger:
    """The one hand that writes site files. reloader: puts what stands in the files in force."""

    def __init__(self, settings: GatewaySettings, pipeline: Pipeline, reloader: Reloader) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._reloader = reloader
        self._busy = asyncio.Lock()

    async def apply(self, ask: Ask) -> dict[str, Any]:
        """Put a text in force for a site: args {site, text, base}; base: SHA-256 of the text it was compared with.

        Raises:
            ControlError: `invalid` with every line that is wrong, `conflict` when the file changed meanwhile,
                `not_found`, `unavailable`; nothing has changed.
        """
        site, text, base = (ask.args.get(name) for name in ("site", "text", "base"))
        if not (isinstance(site, str) and isinstance(text, str) and isinstance(base, str)):
            raise ControlError(Problem("invalid", "site.apply: got no site, text and base."))
        async with self._busy:
            return await self._apply(ask, site, text.encode(), base)

    async def _apply(self, ask: Ask, name: str, text: bytes, base: str) -> dict[str, Any]:
        path = self.files().get(name)
        if path is None:
            raise ControlError(Problem("not_found", f"site {name!r}: got no such site."))
        try:
            old = await asyncio.to_thread(path.read_bytes)
        except OSError as exc:
            raise ControlError(
                Problem("unavailable", f"{path}: {exc.strerror}. The site file must be readable.")
            ) from exc
        if old == text:
            return {"id": None}
        if sha256_of(old) != base:
            raise ControlError(Problem("conflict", f"site {name}: its file changed since it was compared."))
        devices = await self._check(path, name, text)
        try:
            for each in (old, text):
                await asyncio.to_thread(self._keep, name, each)
        except OSError as exc:
            raise ControlError(
                Problem("unavailable", f"{exc.filename}: {exc.strerror}. Versions cannot be kept.")
            ) from exc
        told = {"site": name, "sha256": sha256_of(text), "before": base, "devices": devices}
        begun = await self._pipeline.ask(replace(ask, op="site_version.begin", args=told))  # by whom, through what
        try:
            told = await self._reloader.replace(ask.actor, lambda: write_whole(path, text))
        except (ControlError, OSError) as exc:
            why = str(exc) if isinstance(exc, ControlError) else f"{path}: {exc.strerror}. Let the gateway write there."
            with contextlib.suppress(ControlError, OSError):
                if await asyncio.to_thread(path.read_bytes) != old:
                    await self._reloader.replace(ACTOR, lambda: write_whole(path, old))
            await self._ask("site_version.end", id=begun["id"], why=why[:500])
            raise ControlError(Problem("unavailable", why)) from exc
        await self._ask("site_version.end", id=begun["id"])
        return {"id": begun["id"], **told}

    async def settle(self) -> None:
        """After a start: say of what was begun whether it is in force, by the file that is there."""
        for row in self._pipeline.working.registers.site_versions.applying:
            path = self.files().get(row.site)
            with contextlib.suppress(OSError):
                is_there = path is not None and sha256_of(await asyncio.to_thread(path.read_bytes)) == row.sha256
                why = "" if is_there else "the gateway was stopped before the file was put in its place"
                await self._ask("site_version.end", id=row.id, why=why)

    def files(self) -> dict[str, Path]:
        """The file of each site in force."""
        return dict(zip(self._pipeline.installation.sites, self._settings.sites, strict=False))

    async def _check(self, path: Path, name: str, text: bytes) -> int:
        installation = self._pipeline.installation
        known = {site: (file, installation.sites[site]) for site, file in self.files().items()}
        more = (installation.library, installation.rules, known, self._settings.grid)
        try:
            site = await asyncio.to_thread(check_text, text, path, name, *more)
        except ConfigError as exc:
            raise ControlError(Problem("invalid", str(exc))) from exc
        return sum(1 for _ in site.placed())

    def _keep(self, name: str, text: bytes) -> None:
        path = version_path(self._settings.data_dir, name, sha256_of(text))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            write_whole(path, text)

    async def _ask(self, op: str, **args: Any) -> Any:
        return await self._pipeline.ask(Ask(id=0, op=op, actor=ACTOR, args=args))
