"""Pictures of floor plans: checked by decoding, made small, kept by hash.

    data_dir/plans/ab/abcd....webp       named by the SHA-256 of what is in it; rows of floor plans carry the name

They lie beside the photos; a backup has to contain both folders.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import UploadFile

from gateway.web.access import Refused
from gateway.web.context import Web
from gateway.web.registers.photos import BYTES, decode_picture, keep_file
from gateway.web.texts import msgid

FOLDER = "plans"
PIXELS = {"JPEG": 60_000_000, "PNG": 36_000_000, "WEBP": 36_000_000}
"""Formats taken, and the most pixels of each. A2 at 300 dpi has 35 million."""
EDGE_PX = 4096
QUALITY = 88
HEAD = 2048
"""Bytes looked at for what it is."""
UNREADABLE = msgid("This is no picture that can be read. Save the plan as PNG, JPEG or WebP and send that.")
TOO_MANY_PIXELS = msgid("The plan has too many pixels. Save it smaller: 6000 by 6000 pixels at most.")
NOT_THERE = msgid("There is no such plan.")


class Kept(NamedTuple):
    """A picture in the store."""

    name: str
    width: int
    height: int


async def keep_plan(web: Web, upload: UploadFile | None) -> Kept:
    """Keep an uploaded plan. One picture at a time is decoded, however many are sent. Raises Refused, RetryLater."""
    if upload is None or not upload.filename:
        raise Refused(422, msgid("Choose the file of the plan first."))
    data = await upload.read(BYTES + 1)
    async with web.decoding:
        return await asyncio.to_thread(store_plan, plan_folder(web), data)


def plan_folder(web: Web) -> Path:
    """Where the plans of this installation are."""
    return web.ledger.path.parent / FOLDER


def store_plan(folder: Path, data: bytes) -> Kept:
    """Check, shrink and keep a plan. The same picture again is kept once. Raises Refused, RetryLater."""
    if len(data) > BYTES:
        raise Refused(413, msgid("The file is larger than 8 MB. Save the plan with fewer pixels."))
    if (why := _why_not(data[:HEAD])) is not None:
        raise Refused(422, why)
    picture = decode_picture(data, EDGE_PX, PIXELS, (UNREADABLE, TOO_MANY_PIXELS))
    coded = io.BytesIO()
    picture.save(coded, "WEBP", quality=QUALITY)
    name = hashlib.sha256(coded.getvalue()).hexdigest()
    keep_file(plan_path(folder, name), coded.getvalue())
    return Kept(name, picture.width, picture.height)


def _why_not(head: bytes) -> str | None:
    """Why a kind of file that people are likely to send is not taken; None for any other."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype", b"<html")) or b"<svg" in text:
        return msgid("SVG drawings are not taken: they can carry scripts. Save the plan as PNG and send that.")
    if text.startswith(b"%pdf"):
        return msgid("PDF files are not taken. Save the page with the plan as PNG and send that.")
    if text.startswith(b"ac10"):
        return msgid("CAD drawings are not taken. Print the plan into a PNG file and send that.")
    if not head:
        return msgid("The file is empty. Choose the file of the plan.")
    return None


def plan_path(folder: Path, name: str) -> Path:
    """The file of a plan."""
    return folder / name[:2] / f"{name}.webp"


def read_plan(folder: Path, name: str) -> bytes:
    """A plan as it was kept. Raises Refused when it is not there or is not what its name says."""
    try:
        data = plan_path(folder, name).read_bytes()
    except OSError as exc:
        raise Refused(404, NOT_THERE) from exc
    if hashlib.sha256(data).hexdigest() != name:
        raise Refused(404, msgid("This plan was altered after it was put here and is not shown."))
    return data
