"""Where a file that was sent is checked: one at a time, in a process with limits, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from pathlib import Path

import msgspec

from gateway.exports.checking import Checked
from gateway.exports.checking_job import NO_EXPORT
from gateway.exports.document import BadExport, Header
from gateway.exports.page_texts import Drawing

LONGEST_S = 60.0
WAITING = 8
"""So many may wait for their turn; further ones are asked to come again."""


class TooMuch(Exception):
    """The file takes more memory or time than a check here may."""


class Full(Exception):
    """Too many files are being checked."""


class _Found(msgspec.Struct):
    header: Header
    stated: str
    found: str
    where: str
    drawing: Drawing | None = None


class CheckingDesk:
    """Checks files, the first that came first."""

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self._longest_s = longest_s
        self._turn = asyncio.Lock()
        self._here = 0

    async def check(self, data: bytes) -> Checked:
        """What the file holds and whether that fits its code. Raises BadExport, TooMuch, Full."""
        suffix = kind_of(data)
        if suffix is None:
            raise BadExport("got no CSV, XLSX or PDF, want an export.")
        if self._here > WAITING:
            raise Full
        self._here += 1
        try:
            async with self._turn:
                with tempfile.TemporaryDirectory(prefix="weizhan-check-") as folder:
                    return await self._run(Path(folder), suffix, data)
        finally:
            self._here -= 1

    async def _run(self, folder: Path, suffix: str, data: bytes) -> Checked:
        file = folder / f"sent{suffix}"
        await asyncio.to_thread(file.write_bytes, data)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.exports.checking_job", str(file),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(folder)},  # so that what it leaves when it is ended goes too
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._longest_s):
                said, _ = await process.communicate()
        except TimeoutError:
            raise TooMuch from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode == NO_EXPORT:
            raise BadExport("got a file of another kind, or a torn one, want an export.")
        if process.returncode != 0:
            raise TooMuch
        found = msgspec.json.decode(said, type=_Found)
        return Checked(found.header, found.stated, found.found, found.where, found.drawing)


def kind_of(data: bytes) -> str | None:
    """What a file is by how it begins, whatever it is called: .csv, .xlsx or .pdf; None: none of these."""
    if data.startswith(b"%PDF-"):
        return ".pdf"
    if data.startswith(b"PK\x03\x04"):
        return ".xlsx"
    return ".csv" if data.removeprefix(b"\xef\xbb\xbf").startswith(b"weizhan-export,") else None
