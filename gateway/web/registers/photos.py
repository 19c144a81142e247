"""Photos that people take: checked by decoding, made small, stripped of what they say beside the picture, kept by hash.

    data_dir/photos/ab/abcd....jpg       named by the SHA-256 of what is in it; rows of registers carry the name

A file that is altered does not fit its name any more, and the name stands in the audit chain.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import tempfile
import warnings
from pathlib import Path

from fastapi import APIRouter
from PIL import Image, ImageOps
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import RetryLater
from gateway.web.access import Refused
from gateway.web.context import Web, web_of
from gateway.web.texts import msgid

router = APIRouter()
FOLDER = "photos"
BYTES = 8 * 1024 * 1024
"""Largest upload; a phone's photo is three to six megabytes."""
PIXELS = {"JPEG": 50_000_000, "PNG": 16_000_000, "WEBP": 16_000_000}
"""Formats taken, and the most pixels of each. A JPEG is decoded small at once; the others whole, 4 bytes a pixel."""
EDGE_PX = 1600
QUALITY = 80
NAME_CHARS = 64


async def keep_photo(web: Web, upload: UploadFile | None) -> str:
    """Keep an uploaded photo; gives its name in the store, empty when nothing was sent. Raises Refused, RetryLater."""
    if upload is None or not upload.filename:
        return ""
    return await keep_picture(web, await upload.read(BYTES + 1))


async def keep_picture(web: Web, data: bytes) -> str:
    """Keep a photo as it was sent; gives its name in the store. One at a time is decoded, however many are sent."""
    async with web.decoding:
        return await asyncio.to_thread(store_photo, photo_folder(web), data)


def photo_folder(web: Web) -> Path:
    """Where the photos of this installation are."""
    return web.ledger.path.parent / FOLDER


def store_photo(folder: Path, data: bytes) -> str:
    """Check, shrink and keep a photo; gives its name. The same picture again is kept once.

    Raises:
        Refused: it is too large, of another format, damaged, or has too many pixels (413, 422).
        RetryLater: the folder cannot be written.
    """
    if len(data) > BYTES:
        raise Refused(413, msgid("The photo is too large. Take it with fewer pixels."))
    picture = shrink(data)
    name = hashlib.sha256(picture).hexdigest()
    keep_file(photo_path(folder, name), picture)
    return name


def keep_file(path: Path, data: bytes) -> None:
    """Write a file that is named by its content, durable when this returns. Raises RetryLater."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".new", delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
        # The row that names it is durable after this: so must be the name.
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as exc:
        raise RetryLater(f"{path}: {exc.strerror}. Make room, or let the pages write there.") from exc


UNREADABLE = msgid("This is no photo that can be read. Send a JPEG, PNG or WebP.")
TOO_MANY_PIXELS = msgid("The photo has too many pixels. Take it with fewer.")


def shrink(data: bytes) -> bytes:
    """The picture as a JPEG of at most EDGE_PX, upright, with nothing beside its pixels. Raises Refused."""
    bare = decode_picture(data, EDGE_PX, PIXELS, (UNREADABLE, TOO_MANY_PIXELS))
    kept = io.BytesIO()
    bare.save(kept, "JPEG", quality=QUALITY)
    return kept.getvalue()


def decode_picture(data: bytes, edge_px: int, most: dict[str, int], said: tuple[str, str]) -> Image.Image:
    """The pixels of a picture, upright, on white, at most edge_px long.

    Args:
        most: formats taken, and the most pixels of each. said: msgids for what cannot be read and for too many pixels.

    Raises:
        Refused: it is of another format, damaged, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            # Our own limit comes first and is lower.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data), formats=tuple(most))
        with opened:
            if opened.width * opened.height > most[opened.format or ""]:
                raise Refused(422, said[1])
            opened.draft("RGB", (edge_px, edge_px))  # a JPEG is decoded at a fraction of its size
            image: Image.Image = opened
            if opened.mode in ("1", "P"):
                image = opened.convert("RGBA" if "transparency" in opened.info else "RGB")  # else lines lose their grey
            image.thumbnail((edge_px, edge_px))
            upright = ImageOps.exif_transpose(image)
        bare = Image.new("RGB", upright.size, "white")
        if upright.mode in ("RGBA", "LA"):
            bare.paste(upright.convert("RGBA"), mask=upright.getchannel("A"))
        else:
            bare.paste(upright.convert("RGB"))
    except Refused:
        raise
    except (MemoryError, Image.DecompressionBombError) as exc:
        raise Refused(422, said[1]) from exc
    except (OSError, ValueError, SyntaxError, KeyError, EOFError) as exc:
        raise Refused(422, said[0]) from exc
    return bare


def photo_path(folder: Path, name: str) -> Path:
    """The file of a photo. Raises Refused for what is no name."""
    if len(name) != NAME_CHARS or not set(name) <= set("0123456789abcdef"):
        raise Refused(404, msgid("There is no such photo."))
    return folder / name[:2] / f"{name}.jpg"


def read_photo(folder: Path, name: str) -> bytes:
    """A photo as it was kept. Raises Refused when it is not there or is not what its name says."""
    try:
        data = photo_path(folder, name).read_bytes()
    except OSError as exc:
        raise Refused(404, msgid("There is no such photo.")) from exc
    if hashlib.sha256(data).hexdigest() != name:
        raise Refused(404, msgid("This photo was altered after it was taken and is not shown."))
    return data


@router.get("/photos/{name}", include_in_schema=False)
async def photo(request: Request, name: str) -> Response:
    """A photo."""
    data = await asyncio.to_thread(read_photo, photo_folder(web_of(request)), name)
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Content-Disposition": "inline"}
    return Response(data, media_type="image/jpeg", headers=headers)
