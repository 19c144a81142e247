"""Checks a backup, and puts one in the place of a data folder on which no gateway runs."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from contract.errors import RetryLater, StartError
from gateway.backup.archive import (
    CONFIGURATION,
    DATA,
    LEDGER,
    Damaged,
    File,
    Limits,
    Manifest,
    Told,
    copy_out,
    open_archive,
    read_manifest,
)
from gateway.backup.sealing import unseal
from gateway.ledger import audit
from gateway.ledger.secret import SECRET, make_secret
from gateway.ledger.store import FILE as LEDGER_FILE
from gateway.ledger.store import lock_folder
from gateway.ledger.verify import Checked, check_all
from gateway.notify.receipts import FILE as NOTIFY_KEY

CONFIGURATION_FOLDER = "restored-configuration"
"""Where the configuration of a backup is laid in the data folder; nothing of it comes into force by itself."""
KEPT = ("backups", "backup.key")
"""What stays of the data folder that was there before."""


class Restored(NamedTuple):
    """A backup that is in place. aside: what was there before; None: nothing was."""

    manifest: Manifest
    aside: Path | None


def check_backup(path: Path, key: bytes | None, told: Told | None = None) -> Manifest:
    """Read a backup through: signature, every file, the ledger's own chain and every row it holds.

    Args:
        key: None where there is none; then nobody can tell who made the backup.

    Raises:
        Damaged: it is not what was made.
        RetryLater: the file or the disk cannot be used now.
    """
    with open_archive(path) as archive, tempfile.TemporaryDirectory(prefix="weizhan-check-") as work:
        manifest = read_manifest(archive, key)
        ledger = Path(work) / LEDGER_FILE

        def take(file: File) -> BinaryIO | None:
            return ledger.open("wb") if file.path == LEDGER else None

        with _disk(Path(work)):
            copy_out(archive, manifest, take, told)
        _check_ledger(ledger, manifest)
        return manifest


def restore_backup(
    path: Path,
    data_dir: Path,
    key: bytes | None,
    told: Told | None = None,
    limits: Limits = Limits(),  # noqa: B008 # frozen
) -> Restored:
    """Put a backup in the place of a data folder. What was there is set aside, whole; a kill at any moment leaves the
    old folder, the new one, or the old one set aside beside a new one that is complete but for its name.

    Args:
        key: None gives the ledger a fresh secret: links sent and codes printed before stop working.

    Raises:
        Damaged: it is not what was made, or newer than this program; nothing was changed.
        StartError: a gateway runs on the folder.
        RetryLater: no room, or the disk refuses.
    """
    data_dir = data_dir.absolute()
    lock = lock_folder(data_dir)
    fresh = data_dir.with_name(f".{data_dir.name}.restoring")
    try:
        with open_archive(path) as archive, _disk(data_dir.parent):
            manifest = read_manifest(archive, key, limits)
            if shutil.disk_usage(data_dir.parent).free < manifest.total_bytes:
                raise RetryLater(f"{data_dir.parent}: got no room for {manifest.total_bytes // 2**20} MiB. Free space.")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o750)
            copy_out(archive, manifest, lambda file: _place(fresh, file), told)
        _check_ledger(fresh / LEDGER_FILE, manifest)
        _give_back(fresh, manifest, key)
        with _disk(data_dir.parent):
            _sync_all(fresh)
            aside = _swap(data_dir, fresh)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    finally:
        os.close(lock)
    return Restored(manifest, aside)


def _place(fresh: Path, file: File) -> BinaryIO:
    """Where a file goes: its name was checked, and what is made here is checked once more."""
    top, _, rest = file.path.partition("/")
    target = (fresh if top == DATA else fresh / CONFIGURATION_FOLDER) / rest
    assert top in (DATA, CONFIGURATION)
    if not target.resolve().is_relative_to(fresh.resolve()):
        raise Damaged(f"backup: got {file.path!r}, which lies outside. Nothing was restored.")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")


def _check_ledger(path: Path, manifest: Manifest) -> None:
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, isolation_level=None)
    try:
        if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise Damaged("backup: its ledger is damaged. Take an older backup.")
        if audit.head(connection) != manifest.audit_head:
            raise Damaged("backup: the audit chain does not end where the manifest says. Rows were cut off or added.")
        for found in check_all(connection):
            if not isinstance(found, Checked):
                what = f"audit row {found.id}" if isinstance(found, audit.Broken) else found.row
                raise Damaged(f"backup: {what}: {found.why}. Its ledger was changed before it was backed up.")
    except sqlite3.Error as exc:
        raise Damaged(f"backup: its ledger cannot be read ({exc}). Take an older backup.") from exc
    finally:
        connection.close()


def _give_back(fresh: Path, manifest: Manifest, key: bytes | None) -> None:
    """The secrets into their places."""
    kept = {} if key is None else unseal(key, base64.b64decode(manifest.sealed))
    connection = sqlite3.connect(fresh / LEDGER_FILE, isolation_level=None)
    try:
        connection.execute("UPDATE meta SET value = ? WHERE key = ?", (kept.get(SECRET) or make_secret(), SECRET))
    finally:
        connection.close()
    if NOTIFY_KEY in kept:
        fd = os.open(fresh / NOTIFY_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(bytes.fromhex(kept[NOTIFY_KEY]))


def _swap(data_dir: Path, fresh: Path) -> Path | None:
    """The new folder in the place of the old one."""
    aside = None
    if any(path.name not in ("gateway.lock",) for path in data_dir.iterdir()):
        aside = data_dir.with_name(f"{data_dir.name}.before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
        if aside.exists():
            raise StartError(f"{aside}: is there already. Wait a second and try again.")
        data_dir.rename(aside)
    else:
        shutil.rmtree(data_dir)
    fresh.rename(data_dir)
    if aside is not None:
        for name in KEPT:
            if (aside / name).exists() and not (data_dir / name).exists():
                (aside / name).rename(data_dir / name)
    _sync(data_dir.parent)
    return aside


def _sync_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """What the disk says, in our words."""
    try:
        yield
    except OSError as exc:
        raise RetryLater(f"{exc.filename or folder}: {exc.strerror or exc}. Nothing was restored.") from exc
