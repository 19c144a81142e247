"""Versions of site files as rows of a register: which text came into force when, by whom. The texts are files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.ledger.entries import Entry, Kind, Pen, Register, SavedEntries, Sheet

APPLYING, IN_FORCE, PAST, UNDONE = "applying", "in_force", "past", "undone"
FOLDER = "site-versions"


class SiteVersion(Entry, frozen=True, kw_only=True):
    """A text that was to come into force. sha256: of it; before: of the one before it; why: it was undone."""

    by: str
    sha256: str
    before: str
    devices: int = 0
    why: str = ""


SITE_VERSION = Kind("site_version", SiteVersion, frozenset({APPLYING, IN_FORCE}))


class SiteVersions(Register):
    """The latest of each site, and one that is coming into force."""

    def __init__(self, saved: SavedEntries) -> None:
        self.sheet = Sheet(SITE_VERSION, saved)

    def sheets(self) -> Iterable[Sheet[Any]]:
        return (self.sheet,)

    @property
    def applying(self) -> list[SiteVersion]:
        """Those whose coming into force was begun and not ended."""
        return [row for row in self.sheet.rows.values() if row.state == APPLYING]

    def begin(self, site: str, sha256: str, before: str, devices: int, by: str, pen: Pen) -> SiteVersion:
        """Note what is about to be put in force, before a file is touched."""
        row = SiteVersion(
            id=self.sheet.take_id(), site=site, state=APPLYING, from_ms=pen.now_ms, by=by, sha256=sha256, before=before,
            devices=devices,
        )  # fmt: skip
        return pen.write(self.sheet, row, "apply", by)

    def end(self, row: SiteVersion, why: str, pen: Pen) -> SiteVersion:
        """It is in force, or was undone (`why`)."""
        if why:
            return pen.write(self.sheet, replace(row, state=UNDONE, until_ms=pen.now_ms, why=why), "undo")
        for old in [each for each in self.sheet.rows.values() if each.site == row.site and each.state == IN_FORCE]:
            pen.write(self.sheet, replace(old, state=PAST, until_ms=pen.now_ms), "past")
        return pen.write(self.sheet, replace(row, state=IN_FORCE), "finish")


def sha256_of(text: bytes) -> str:
    """What a text is known by."""
    return hashlib.sha256(text).hexdigest()


def version_path(data_dir: Path, site: str, sha256: str) -> Path:
    """Where a text is kept."""
    return data_dir / FOLDER / site / f"{sha256}.yaml"


def write_whole(path: Path, text: bytes, mode: int = 0o640) -> None:
    """Put a text in the place of a file: the old one or the new one is there at any moment, and after a power cut too.

    Raises OSError.
    """
    path = path.resolve()
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
