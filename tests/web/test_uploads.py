"""What people upload, wherever they may: what is wrong gets a sentence, nothing is kept, memory is bounded."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.web.office import Office, open_office
from tests.web.station import csrf_in

MANY = 100 * 1024 * 1024
MEMORY = 160 * 1024 * 1024
"""Above what a picture within the limits takes while it is decoded, far below what the bombs would."""


def _image_bomb() -> bytes:
    """A PNG of 30,000 x 30,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = (30_000).to_bytes(4, "big")
    head = chunk(b"IHDR", size + size + bytes((8, 0, 0, 0, 0)))
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(30_001)) for _ in range(300)) + packed.flush()
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _zip_bomb() -> bytes:
    """An XLSX whose one sheet unpacks to 300 MB."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w") as sheet,
    ):
        for _ in range(300):
            sheet.write(b" " * 1024 * 1024)
    return made.getvalue()


def _entities() -> bytes:
    """An XLSX whose XML grows by its entities."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>')
    return made.getvalue()


def _polyglot() -> bytes:
    """A picture with a page of script behind it: taken as a picture, only its pixels are kept."""
    made = io.BytesIO()
    Image.new("RGB", (8, 8)).save(made, "PNG")
    return made.getvalue() + b"<script>alert(1)</script>"


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
WRONG: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "svg": lambda: SVG,
    "html": lambda: b"<html><script>alert(1)</script></html>",
    "program": lambda: b"\x7fELF" + bytes(2000),
    "pdf": lambda: b"%PDF-1.7\n" + bytes(2000),
    "image bomb": _image_bomb,
    "zip bomb": _zip_bomb,
    "entities": _entities,
    "torn picture": lambda: _polyglot()[:40],
}
DOORS: dict[str, tuple[str, str, dict[str, str]]] = {
    "site file": ("/admin/sites", "/admin/sites/shuiye/file", {}),
    "device list": ("/admin/sites", "/admin/sites/shuiye/devices", {}),
    "people": ("/people", "/people/import", {}),
    "roster": ("/roster", "/roster/import", {}),
    "hazard photo": ("/hazards/new", "/hazards", {"site": "shuiye", "text": "x"}),
}
"""Where files are taken: page with the form, address, other fields. Photos go by the field `photo`."""


async def _send(office: Office, door: str, data: bytes) -> httpx.Response:
    page, address, fields = DOORS[door]
    token = csrf_in((await office.browser.get(page)).text)
    field = "photo" if "photo" in door else "file"
    files: Any = {field: ("x.bin", data, "application/octet-stream")}
    return await office.browser.post(address, data={"csrf": token, **fields}, files=files)


def _kept(office: Office) -> set[str]:
    return {
        str(path.relative_to(office.folder))
        for path in office.folder.rglob("*")
        if path.is_file() and not path.name.startswith("ledger.sqlite") and "history" not in path.parts
    }


@pytest.mark.parametrize("door", DOORS)
async def test_a_wrong_upload_gets_a_sentence_and_leaves_nothing_wherever_it_is_sent(tmp_path: Path, door: str) -> None:
    """Another type, script in a picture, bombs, torn files: refused, nothing kept, memory bounded."""
    async with open_office(tmp_path / "o") as office:
        await office.browser.get(DOORS[door][0])
        before, site = _kept(office), office.site_file.read_bytes()
        made = {name: make() for name, make in WRONG.items()}
        tracemalloc.start()
        wrong = []
        try:
            for name, data in made.items():
                answer = await _send(office, door, data)
                if name == "nothing" and "photo" in door:
                    continue  # a hazard without a photo is one
                if answer.status_code not in (413, 422) or len(answer.text) < 100:
                    wrong.append((name, answer.status_code))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert wrong == []
        assert peak < MEMORY
        assert _kept(office) == before
        assert office.site_file.read_bytes() == site


async def test_a_hundred_megabytes_are_refused_unread_wherever_they_are_sent(tmp_path: Path) -> None:
    """By the length that is announced; and by counting, where none is."""
    async with open_office(tmp_path / "o") as office:
        token = await office.browser.csrf()

        async def endless() -> Any:
            for _ in range(MANY // 65536):
                yield b"x" * 65536

        for _, address, _ in DOORS.values():
            headers = {"X-CSRF-Token": token, "Content-Type": "multipart/form-data; boundary=b"}
            told = {**headers, "Content-Length": str(MANY)}
            try:
                answer = await office.browser.post(address, headers=told, content=endless())
            except httpx.TransportError:
                continue  # the server closed before everything was sent: it did not read it
            assert answer.status_code == 413, address


async def test_only_the_pixels_of_a_photo_are_kept_when_a_page_hides_behind_it(tmp_path: Path) -> None:
    """A polyglot is taken for what it shows, and nothing else of it is ever served."""
    async with open_office(tmp_path / "o") as office:
        answer = await _send(office, "hazard photo", _polyglot())
        assert answer.status_code == 303
        kept = list((office.settings.data_dir / "photos").rglob("*.jpg"))
        assert len(kept) == 1
        assert b"script" not in kept[0].read_bytes()
        served = await office.browser.get(f"/photos/{kept[0].stem}")
        assert served.headers["content-type"] == "image/jpeg"
        assert served.headers["x-content-type-options"] == "nosniff"
