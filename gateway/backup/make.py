"""Makes a backup of a data folder while the gateway writes to it. Blocks; runs in a thread of its own.

Every SQLite file is copied within one read transaction, so each copy is of one moment. The ledger is copied last:
everything that was acknowledged before its moment (`covers_ms`) is in the backup, whatever else grew meanwhile.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import msgspec

from contract.errors import RetryLater
from gateway.backup.archive import CONFIGURATION, DATA, FOLDERS, FORMAT, LEDGER, MANIFEST, File, Manifest, Told, is_safe
from gateway.backup.sealing import key_name, seal, sign
from gateway.ledger import audit
from gateway.ledger.secret import SECRET
from gateway.ledger.store import FILE as LEDGER_FILE
from gateway.ledger.upgrade import VERSION
from gateway.notify.receipts import FILE as NOTIFY_KEY

CHUNK = 1024 * 1024
PAGES = 2048
"""Pages of a database copied in one step: 8 MiB."""
KEPT_APART = 64 * 1024 * 1024
"""Room that must be left on the disk after a backup: alarms need it."""


class Source(NamedTuple):
    """What is backed up. configuration: (name in the backup, file); history: embedded | elsewhere."""

    data_dir: Path
    configuration: tuple[tuple[str, Path], ...]
    history: str


class Made(NamedTuple):
    """A backup that is complete."""

    path: Path
    bytes: int
    manifest: Manifest


def make_backup(
    source: Source, folder: Path, name: str, key: bytes, by: str, told: Told, now: Callable[[], int]
) -> Made:
    """Make one; it has its name only once it is complete and on the disk.

    Raises:
        RetryLater: no room, or a file cannot be read or written; nothing is left behind.
    """
    target = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(folder)
        files = list(_plain_files(source.data_dir))
        total = _size(files, source)
        if shutil.disk_usage(folder).free < total + KEPT_APART:
            raise RetryLater(
                f"{folder}: got no room for a backup of {total // 2**20} MiB. Free space, or name another disk."
            )
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as work:
            packing = _Packing(Path(work), told, total)
            manifest = packing.pack(source, files, key, by, now)
            packed = packing.path
            size = packed.stat().st_size
            packed.replace(target)
        _sync(folder)
    except sqlite3.Error as exc:
        raise RetryLater(f"{source.data_dir}: {exc}. The backup could not be made; try again.") from exc
    except OSError as exc:
        raise RetryLater(f"{exc.filename or folder}: {exc.strerror or exc}. The backup could not be made.") from exc
    return Made(target, size, manifest)


class _Packing:
    """One backup being made in a folder of its own."""

    def __init__(self, work: Path, told: Told, total: int) -> None:
        self.path = work / "packed.zip"
        self._work = work
        self._told = told
        self._done = 0
        self._total = total
        self._files: list[File] = []

    def pack(
        self, source: Source, files: list[tuple[str, Path]], key: bytes, by: str, now: Callable[[], int]
    ) -> Manifest:
        made_ms = now()
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w+b") as out:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for name, path in source.configuration:
                    self._add(archive, f"{CONFIGURATION}/{name}", path)
                for name, path in files:
                    if path.suffix == ".sqlite":
                        with self._copy(path, scrub=False) as (copy, _):
                            self._add(archive, name, copy)
                    else:
                        self._add(archive, name, path)
                covers_ms = now()
                with self._copy(source.data_dir / LEDGER_FILE, scrub=True) as (copy, told):
                    self._add(archive, LEDGER, copy)
                head, secret = told
                kept = {SECRET: secret}
                if (notify := source.data_dir / NOTIFY_KEY).is_file():
                    kept[NOTIFY_KEY] = notify.read_bytes().hex()
                manifest = Manifest(
                    format=FORMAT, program=f"weizhan {metadata.version('weizhan')}", ledger_schema=VERSION,
                    made_ms=made_ms, covers_ms=covers_ms, by=by, head=head.id, head_hash=head.hash,
                    history=source.history, files=self._files, key=key_name(key),
                    sealed=base64.b64encode(seal(key, kept)).decode(),
                )  # fmt: skip
                manifest = msgspec.structs.replace(manifest, signature=sign(key, manifest.signed_text()))
                archive.writestr(MANIFEST, msgspec.json.encode(manifest))
            out.flush()
            os.fsync(out.fileno())
        return manifest

    def _add(self, archive: zipfile.ZipFile, name: str, path: Path) -> None:
        if not is_safe(name):
            return  # a name no restore would take; what it is of is no file of ours
        digest, size = hashlib.sha256(), 0
        info = zipfile.ZipInfo(name, time.gmtime()[:6])
        info.compress_type = zipfile.ZIP_STORED if path.suffix in (".jpg", ".png", ".webp") else zipfile.ZIP_DEFLATED
        info.external_attr = 0o100600 << 16
        with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
                self._done += len(chunk)
                self._told(self._done, self._total)
        self._files.append(File(name, size, digest.hexdigest()))

    @contextlib.contextmanager
    def _copy(self, path: Path, *, scrub: bool) -> Iterator[tuple[Path, tuple[audit.Head, str]]]:
        """A copy of a database as of one moment; of the ledger without its secret, which is given instead."""
        copy = self._work / "copy.sqlite"
        source = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        target = sqlite3.connect(copy, isolation_level=None)
        told = (audit.Head(0, audit.ROOT), "")
        try:
            # The transaction holds the moment: what is written meanwhile goes into the log behind it.
            source.execute("BEGIN")
            if scrub:
                told = (audit.head(source), _secret(source))
            source.backup(target, pages=PAGES, progress=lambda *_: self._told(self._done, self._total))
            source.execute("COMMIT")
            target.execute("PRAGMA journal_mode=DELETE")
            if scrub:
                _scrub(target)
        finally:
            source.close()
            target.close()
        try:
            yield copy, told
        finally:
            copy.unlink(missing_ok=True)


def _secret(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT value FROM meta WHERE key = ?", (SECRET,)).fetchone()[0])


def _scrub(connection: sqlite3.Connection) -> None:
    """Take out what must not lie about: the secret, and who is signed in. Overwritten, not only forgotten."""
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute("UPDATE meta SET value = '' WHERE key = ?", (SECRET,))
    connection.execute("DELETE FROM session")
    connection.execute("VACUUM")


def _plain_files(data_dir: Path) -> Iterator[tuple[str, Path]]:
    """(name in the backup, file) of the folders that are backed up; links are not followed."""
    for folder in FOLDERS:
        for path in sorted((data_dir / folder).rglob("*")):
            if path.is_symlink() or not path.is_file() or path.suffix in (".new", ".wal", ".shm"):
                continue
            if path.name.endswith(("-wal", "-shm")):
                continue  # in the copy of its database
            yield f"{DATA}/{path.relative_to(data_dir).as_posix()}", path


def _size(files: list[tuple[str, Path]], source: Source) -> int:
    paths = [path for _, path in (*files, *source.configuration)] + [source.data_dir / LEDGER_FILE]
    return sum(path.stat().st_size for path in paths)


def _sweep(folder: Path) -> None:
    """Take away what a making left that was killed."""
    for left in folder.glob(".making-*"):
        shutil.rmtree(left, ignore_errors=True)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
