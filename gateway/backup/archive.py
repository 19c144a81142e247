"""A backup as a file: a ZIP of plain files and, last in it, the manifest that names each with its size and SHA-256.

    data/ledger.sqlite     the ledger, without sessions and without its secret
    data/history/...       the embedded history; data/photos/..., data/plans/..., data/site-versions/...
    configuration/...      the configuration file and what it names: sites, point maps, profiles, rules; no secrets
    manifest.json          format, times, head of the audit chain, files, sealed secrets, signature

Nothing of it is believed: names, sizes, number and kind of files are checked against the signed manifest before a byte
is unpacked, and every byte that is unpacked is counted and hashed.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, BinaryIO, NamedTuple

import msgspec

from contract.errors import ConfigError, RetryLater
from gateway.backup.sealing import is_signed, key_name
from gateway.ledger.audit import Head
from gateway.ledger.upgrade import VERSION

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES = 32 * 1024 * 1024
DATA, CONFIGURATION = "data", "configuration"
LEDGER = f"{DATA}/ledger.sqlite"
FOLDERS = ("history", "photos", "plans", "site-versions")
"""Folders of the data folder that are in a backup. Anything else in there is made anew or secret."""
CHUNK = 1024 * 1024
LONGEST_NAME = 240
Told = Callable[[int, int | None], None]
"""Hears bytes done and, where known, bytes in all."""


class Limits(NamedTuple):
    """What is unpacked at most."""

    most_bytes: int = 1 << 40
    most_files: int = 1_000_000


class File(msgspec.Struct, frozen=True):
    """A file of a backup."""

    path: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself. Times ms UTC.

    covers_ms: what was committed before it is in the backup. history: embedded | elsewhere (a server of its own).
    """

    format: int
    program: str
    ledger_schema: int
    made_ms: int
    covers_ms: int
    by: str
    head: int
    head_hash: str
    history: str
    files: list[File]
    key: str
    sealed: str
    signature: str = ""

    def signed_text(self) -> bytes:
        """What the signature is of."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""))

    @property
    def audit_head(self) -> Head:
        """The head of the audit chain in it."""
        return Head(self.head, self.head_hash)

    @property
    def total_bytes(self) -> int:
        """Bytes unpacked."""
        return sum(file.bytes for file in self.files)


class Damaged(ConfigError):
    """The backup is not what was made, or not for this program."""


def is_safe(path: str) -> bool:
    """Whether a name may be unpacked: below one of our folders, and nothing else whoever reads it."""
    if not path or len(path) > LONGEST_NAME or "\\" in path or ":" in path or not path.isprintable():
        return False
    parts = path.split("/")
    if any(part in ("", ".", "..") or part != part.strip() or part.endswith(".") for part in parts):
        return False
    if PurePosixPath(path).is_absolute():
        return False
    if parts[0] == CONFIGURATION:
        return len(parts) > 1
    return path == LEDGER or (parts[0] == DATA and len(parts) > 2 and parts[1] in FOLDERS)


def read_manifest(archive: zipfile.ZipFile, key: bytes | None, limits: Limits = Limits()) -> Manifest:  # noqa: B008 # frozen
    """The manifest, checked against the archive's own list of files. key: None takes it unsigned. Raises Damaged."""
    names = [info.filename for info in archive.infolist()]
    if names.count(MANIFEST) != 1:
        raise Damaged("backup: got no manifest, want a whole backup. It was cut off or is none.")
    text = b""
    try:
        with archive.open(MANIFEST) as file:
            text = file.read(MANIFEST_BYTES + 1)
        found = msgspec.json.decode(text, type=Manifest) if len(text) <= MANIFEST_BYTES else None
    except (*UNREADABLE, msgspec.MsgspecError) as exc:
        _refuse_newer(text)
        raise Damaged(f"backup: its manifest cannot be read ({type(exc).__name__}). It was damaged.") from exc
    if found is None:
        raise Damaged(f"backup: got a manifest above {MANIFEST_BYTES} bytes, want a smaller one.")
    if found.format > FORMAT or found.ledger_schema > VERSION:
        raise Damaged(
            f"backup: got one of {found.program} (format {found.format}, ledger {found.ledger_schema}), which is newer "
            f"than this program (format {FORMAT}, ledger {VERSION}). Update the program first."
        )
    if key is not None:
        if found.key != key_name(key):
            raise Damaged(
                f"backup: got one made with key {found.key}, want {key_name(key)}. Give the key it was made with."
            )
        if not is_signed(key, found.signed_text(), found.signature):
            raise Damaged("backup: the signature of its manifest does not fit. It was changed after it was made.")
    _check_files(archive, found, limits)
    return found


def _refuse_newer(text: bytes) -> None:
    """A manifest of a form this program does not know yet."""
    try:
        said: dict[str, Any] = msgspec.json.decode(text, type=dict)
    except msgspec.MsgspecError:
        return
    if isinstance(said.get("format"), int) and said["format"] > FORMAT:
        raise Damaged(f"backup: got format {said['format']}, want at most {FORMAT}. Update the program first.")


def _check_files(archive: zipfile.ZipFile, manifest: Manifest, limits: Limits) -> None:
    infos = {info.filename: info for info in archive.infolist() if info.filename != MANIFEST}
    named = {file.path: file for file in manifest.files}
    if len(named) != len(manifest.files) or len({path.casefold() for path in named}) != len(named):
        raise Damaged("backup: its manifest names a file twice.")
    if len(infos) != len(archive.infolist()) - 1 or infos.keys() != named.keys():
        odd = sorted(infos.keys() ^ named.keys())[:3]
        raise Damaged(f"backup: files and manifest differ: {', '.join(map(repr, odd)) or 'a file stands twice'}.")
    if len(named) > limits.most_files or manifest.total_bytes > limits.most_bytes:
        raise Damaged(
            f"backup: got {len(named)} files of {manifest.total_bytes} bytes, want at most {limits.most_files} files "
            f"and {limits.most_bytes} bytes."
        )
    for path, info in infos.items():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not is_safe(path) or info.is_dir() or kind not in (0, stat.S_IFREG):
            raise Damaged(f"backup: got {path[:80]!r}, want plain files below data/ and configuration/ only.")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Damaged(f"backup: {path!r} is encrypted or packed in a way we do not make.")
        if info.file_size != named[path].bytes:
            raise Damaged(f"backup: {path!r} has {info.file_size} bytes, want {named[path].bytes}.")
    if LEDGER not in named:
        raise Damaged("backup: got no ledger in it.")


UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
)
"""What zipfile raises for a file that is not as it should be."""


def open_archive(path: Path) -> zipfile.ZipFile:
    """The archive, to be used as a context. Raises Damaged, RetryLater."""
    if not path.is_file():
        raise RetryLater(f"{path}: got no such file, want a backup. See `weizhan backup list`.")
    try:
        return zipfile.ZipFile(path)
    except UNREADABLE as exc:
        raise Damaged(f"{path}: got no whole backup ({type(exc).__name__}). It was cut off or damaged.") from exc


def copy_out(
    archive: zipfile.ZipFile, manifest: Manifest, take: Callable[[File], BinaryIO | None], told: Told | None = None
) -> None:
    """Read every file, count and hash it, and hand it on. take: where a file goes; None: it is only checked.

    Raises:
        Damaged: a file is not what the manifest says.
    """
    done = 0
    for file in manifest.files:
        digest, left = hashlib.sha256(), file.bytes
        target = take(file)
        try:
            with archive.open(file.path) as source:
                while chunk := source.read(CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        break
                    digest.update(chunk)
                    if target is not None:
                        target.write(chunk)
                    done += len(chunk)
                    if told is not None:
                        told(done, manifest.total_bytes)
        except (*UNREADABLE,) as exc:
            if isinstance(exc, OSError) and target is not None and exc.errno is not None:
                raise  # the disk we write to, not the archive
            raise Damaged(f"backup: {file.path!r} cannot be read ({type(exc).__name__}). It was damaged.") from exc
        finally:
            if target is not None:
                target.close()
        if left or digest.hexdigest() != file.sha256:
            raise Damaged(f"backup: {file.path!r} is not what was backed up. It was damaged or changed.")
