"""The gateway's own hand for backups: makes what was asked for, daily ones too, and deletes those beyond the setting.

The row stands in the ledger before anything is made, so a gateway that is killed in the middle says so at its next
start. The work is done in a thread; alarms wait for nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from contract.errors import WeizhanError
from gateway.backup.make import Made, Source, make_backup
from gateway.backup.register import Backup, Backups
from gateway.backup.sealing import load_key
from gateway.control.protocol import Ask
from gateway.history.settings import HistorySettings
from gateway.pipeline import Pipeline
from gateway.settings import GatewaySettings

ACTOR = "gateway"
LOOK_S = 0.5
AGAIN_MS = 3_600_000
"""A daily backup that failed is tried again after so long."""
_log = logging.getLogger(__name__)


class _Stopped(WeizhanError):
    """The gateway stops; the next one says that the backup was not made."""


class BackupService:
    """Run it as a part beside the alarm path. status: what is being made, and how far it is."""

    def __init__(
        self,
        settings: GatewaySettings,
        history: HistorySettings,
        pipeline: Pipeline,
        now_ms: Callable[[], int],
        config_file: Path | None = None,
    ) -> None:
        self._settings = settings
        self._history = history
        self._pipeline = pipeline
        self._now_ms = now_ms
        self._config_file = config_file
        self._stop = threading.Event()
        self._done: tuple[int, int] = (0, 0)
        self._number: int | None = None
        self._failed_ms: int | None = None

    def status(self) -> dict[str, Any]:
        """For `status`: {"id", "done", "total"} in bytes; id None while nothing is made."""
        return {"backup": {"id": self._number, "done": self._done[0], "total": self._done[1]}}

    def facts(self) -> tuple[float | None, str | None]:
        """Age of the latest backup (h) and a word on it, where daily ones are configured; must not wait.

        Where none was made yet the age counts from this start. The word is None while nothing is known: what was said
        before this start stands.
        """
        if self._settings.backup.daily_at is None:
            return None, None
        done = self._register.done
        latest_ms = done[-1].from_ms if done else self._started_ms
        return max(0, self._now_ms() - latest_ms) / 3_600_000, self._register.word

    async def run(self) -> None:
        """Until cancelled. Raises ControlError when the ledger cannot be written: begun again by the supervisor."""
        self._stop = threading.Event()  # a thread of an earlier run keeps its own
        left = self._register.running
        if left is not None:
            await self._ask("backup.settle", id=left.id, why="the gateway was stopped before it was complete")
        try:
            while True:
                if self._is_time() and is_due(
                    self._last_ms(), self._now_ms(), self._settings.backup.daily_at, self._zone()
                ):
                    await self._ask("backup.make")
                if (row := self._register.running) is not None:
                    await self._make(row)
                await asyncio.sleep(LOOK_S)
        finally:
            self._stop.set()

    async def _make(self, row: Backup) -> None:
        """Make one and note how it ended."""
        self._number, self._done = row.id, (0, 0)
        folder = self._settings.backup.folder_in(self._settings.data_dir)
        try:
            made = await asyncio.to_thread(self._work, row, folder, self._stop)
        except WeizhanError as exc:
            _log.warning("backup %d was not made: %s", row.id, exc)
            self._failed_ms = self._now_ms()
            await self._ask("backup.settle", id=row.id, why=str(exc)[:500])
        else:
            manifest = made.manifest
            await self._ask(
                "backup.settle", id=row.id, file=made.path.name, bytes=made.bytes, files=len(manifest.files),
                covers_ms=manifest.covers_ms, head=manifest.head, head_hash=manifest.head_hash,
            )  # fmt: skip
            await self._retain(folder)
        finally:
            self._number = None

    def _work(self, row: Backup, folder: Path, stop: threading.Event) -> Made:
        def tell(done: int, total: int | None) -> None:
            if stop.is_set():
                raise _Stopped("the gateway stops")
            self._done = (done, total or 0)

        key = load_key(self._settings.backup.key_in(self._settings.data_dir), make=True)
        name = f"weizhan-{datetime.fromtimestamp(row.from_ms / 1000, UTC):%Y%m%dT%H%M%SZ}-{row.id}.zip"
        source = Source(
            self._settings.data_dir, tuple(configuration_files(self._settings, self._config_file)), self._kind()
        )
        return make_backup(source, folder, name, key, row.by, tell, self._now_ms)

    async def _retain(self, folder: Path) -> None:
        for row in self._register.done[: -self._settings.backup.keep]:
            await asyncio.to_thread((folder / row.file).unlink, missing_ok=True)
            await self._ask("backup.delete", id=row.id)

    async def _ask(self, op: str, **args: Any) -> Any:
        return await self._pipeline.ask(Ask(id=0, op=op, actor=ACTOR, args=args))

    @property
    def _register(self) -> Backups:
        return self._pipeline.working.registers.backups

    def _is_time(self) -> bool:
        """Whether one that failed was not only just tried: a full disk must not fill the audit chain."""
        return self._failed_ms is None or not 0 <= self._now_ms() - self._failed_ms < AGAIN_MS

    def _last_ms(self) -> int:
        rows = self._register.sheet.rows.values()
        return max((row.from_ms for row in rows), default=self._started_ms)

    @property
    def _started_ms(self) -> int:
        return int(self._pipeline.status()["started_ms"])

    def _zone(self) -> ZoneInfo:
        return ZoneInfo(next(iter(self._pipeline.installation.sites.values())).time_zone)

    def _kind(self) -> str:
        return "embedded" if self._history.kind == "embedded" else "elsewhere"


def is_due(last_ms: int, now_ms: int, daily_at: str | None, zone: ZoneInfo) -> bool:
    """Whether a daily backup is due: its latest time of day has passed and nothing was begun since."""
    if daily_at is None:
        return False
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    hour, minute = map(int, daily_at.split(":"))
    latest = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if latest > now:
        latest -= timedelta(days=1)
    return last_ms < latest.timestamp() * 1000


def configuration_files(settings: GatewaySettings, config_file: Path | None) -> Iterator[tuple[str, Path]]:
    """(name in a backup, file) of the configuration: what a person wrote, none of the files that hold secrets."""
    base = None if config_file is None else config_file.absolute().parent
    files = [] if config_file is None else [config_file.absolute()]
    files += [] if settings.grid is None else [settings.grid]
    for site in settings.sites:
        files.append(site)
        files += sorted(path for path in site.parent.glob("*") if path.suffix in (".csv", ".xlsx"))  # point maps
    for folder in (*settings.profiles, *settings.rule_folders):
        files += sorted(folder.rglob("*.yaml"))
    for number, path in enumerate(dict.fromkeys(files)):
        if not path.is_file() or path.is_symlink():
            continue
        inside = base is not None and path.is_relative_to(base)
        yield (path.relative_to(base).as_posix() if inside and base else f"elsewhere/{number}-{path.name}"), path
