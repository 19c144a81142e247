"""What people upload, wherever they may: what is wrong gets a sentence, nothing is kept, memory is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import tracemalloc
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image

from tests.web.office import Office, open_office
from tests.web.station import SITE

MANY = 100 * 1024 * 1024
READ = 32 * 1024 * 1024
"""What may have left the sender before it is refused: an upload within the limits and the buffers between."""
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
PATROL = """\
patrols:
  - id: hall
    title: {zh: 大厅巡查, en: Hall}
    kind: patrol
    stops: [{device: hydrant-01, items: [{zh: 压力正常, en: Pressure right}]}]
"""


class Door(NamedTuple):
    """Where files are taken. field: of the form; '' where the body is the file. must: whether there has to be one."""

    address: str
    field: str = "file"
    fields: dict[str, str] = {}
    must: bool = True


NOTE = {"step": "note", "note": "x"}
DOORS = {
    "site file": Door("/admin/sites/shuiye/file"),
    "device list": Door("/admin/sites/shuiye/devices"),
    "people": Door("/people/import"),
    "roster": Door("/roster/import"),
    "hazard": Door("/hazards", "photo", {"site": "shuiye", "text": "x"}, must=False),
    "step of a hazard": Door("/hazards/1/steps", "photo", NOTE, must=False),
    "order": Door("/upkeep/orders", "photo", {"site": "shuiye", "title": "x"}, must=False),
    "step of an order": Door("/upkeep/orders/1/steps", "photo", NOTE, must=False),
    "tick of a patrol": Door("/patrols/rounds/1/tick", "photo", {"spot": "hydrant-01", "a0": "ok"}, must=False),
    "floor plan": Door("/map/plans", "picture", {"site": "shuiye", "title": "1F"}),
    "line report": Door("/upkeep/lines/shuiye/field/reports", "report"),
    "rule pack": Door("/upkeep/lab", "pack"),
    "export to be checked": Door("/records/check"),
    "API photo": Door("/api/v1/photos", ""),
    "API people": Door("/api/v1/people/import", ""),
    "API roster": Door("/api/v1/roster/import", ""),
}


@asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[Office]:
    """An office with a hazard, an order and a patrol that is walked, so that every door is there."""
    folder.mkdir()
    (folder / "shuiye.yaml").write_text(SITE + PATROL, "utf-8")
    async with open_office(folder) as office:
        csrf = {"csrf": await office.browser.csrf()}
        for address, fields in (
            ("/hazards", {"site": "shuiye", "text": "boxes"}),
            ("/upkeep/orders", {"site": "shuiye", "title": "paint"}),
            ("/patrols/start", {"site": "shuiye", "plan": "hall"}),
        ):
            answer = await office.browser.post(address, data={**csrf, **fields})
            assert answer.headers["location"].endswith("/1"), (address, answer.status_code)
        yield office


async def _send(office: Office, door: Door, data: bytes) -> httpx.Response:
    token = await office.browser.csrf()
    if not door.field:
        headers = {"X-CSRF-Token": token, "Content-Type": "application/octet-stream"}
        return await office.browser.post(door.address, headers=headers, content=data)
    files: Any = {door.field: ("x.bin", data, "application/octet-stream")}
    return await office.browser.post(door.address, data={"csrf": token, **door.fields}, files=files)


def _kept(office: Office) -> set[str]:
    return {
        str(path.relative_to(office.folder))
        for path in office.folder.rglob("*")
        if path.is_file() and not path.name.startswith("ledger.sqlite") and "history" not in path.parts
    }


def _is_told(answer: httpx.Response) -> bool:
    """Whether it is a refusal with a sentence."""
    told = answer.json().get("detail", "") if "json" in answer.headers["content-type"] else answer.text
    return answer.status_code in (413, 422) and len(told) > 20


async def test_a_wrong_upload_gets_a_sentence_and_leaves_nothing_wherever_it_is_sent(tmp_path: Path) -> None:
    """Another type, script in a picture, bombs, torn files: refused, nothing kept, memory bounded."""
    made = {name: make() for name, make in WRONG.items()}
    async with _open(tmp_path / "o") as office:
        before, site = _kept(office), office.site_file.read_bytes()
        wrong = []
        tracemalloc.start()
        try:
            for name, door in DOORS.items():
                for what, data in made.items():
                    if data or door.must:
                        answer = await _send(office, door, data)
                        wrong += [] if _is_told(answer) else [(name, what, answer.status_code)]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert wrong == []
        assert peak < MEMORY
        assert _kept(office) == before
        assert office.site_file.read_bytes() == site


def _spooled() -> int:
    """Files without a name that this process holds open: uploads too large for memory."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(each.readlink()).endswith(" (deleted)")
    return found


async def test_no_upload_is_left_open_when_its_form_was_answered(tmp_path: Path) -> None:
    """Read by the guard, by the handler, or by nobody; taken or refused; without waiting for the garbage collector."""
    large = b"\xff" * (2 * 1024 * 1024)
    async with _open(tmp_path / "o") as office:
        gc.disable()
        try:
            for name, door in DOORS.items():
                held = _spooled()
                await _send(office, door, large)
                assert _spooled() == held, name
        finally:
            gc.enable()


class Poured(NamedTuple):
    """What came of pouring a body into an address. sent: bytes until the answer began."""

    status: int
    text: str
    sent: int


async def _pour(office: Office, door: Door, token: str, *, told: bool) -> Poured:
    """Send 100 MB as fast as they are taken, until there is an answer."""
    url = httpx.URL(office.address)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    kind = "multipart/form-data; boundary=b" if door.field else "application/octet-stream"
    cookies = "; ".join(f"{each.name}={each.value}" for each in office.browser.cookies.jar)
    length = f"Content-Length: {MANY}" if told else "Transfer-Encoding: chunked"
    lines = (f"POST {door.address} HTTP/1.1", f"Host: {url.netloc.decode()}", f"Cookie: {cookies}", length,
             f"X-CSRF-Token: {token}", f"Content-Type: {kind}", "Accept-Language: zh")  # fmt: skip
    part = f'--b\r\nContent-Disposition: form-data; name="{door.field}"; filename="x"\r\n\r\n' if door.field else ""
    sent = 0

    async def pour() -> None:
        nonlocal sent
        for piece in (part.encode(), *(bytes(1024 * 1024) for _ in range(MANY // 1024 // 1024))):
            writer.write(piece if told else b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"")
            await writer.drain()
            sent += len(piece)

    writer.write("\r\n".join((*lines, "", "")).encode())
    pouring = asyncio.create_task(pour(), name="pour")
    try:
        async with asyncio.timeout(30):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            taken = sent
            body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
    finally:
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        writer.close()
    return Poured(int(head.split(" ")[1]), body.decode(), taken)


@pytest.mark.parametrize("told", [True, False], ids=["announced", "not announced"])
async def test_a_hundred_megabytes_are_refused_in_words_before_they_are_taken_wherever_they_are_sent(
    tmp_path: Path, told: bool
) -> None:
    """By the length that is announced; and by counting, where none is: no more is read than a file may have."""
    async with _open(tmp_path / "o") as office:
        token = await office.browser.csrf()
        for name, door in DOORS.items():
            poured = await _pour(office, door, token, told=told)
            assert (poured.status, "文件最大 8 MB" in poured.text) == (413, True), (name, poured)
            assert poured.sent < READ, name


async def test_only_the_pixels_of_a_photo_are_kept_when_a_page_hides_behind_it(tmp_path: Path) -> None:
    """A polyglot is taken for what it shows, and nothing else of it is ever served."""
    async with open_office(tmp_path / "o") as office:
        answer = await _send(office, DOORS["hazard"], _polyglot())
        assert answer.status_code == 303
        kept = list((office.settings.data_dir / "photos").rglob("*.jpg"))
        assert len(kept) == 1
        assert b"script" not in kept[0].read_bytes()
        served = await office.browser.get(f"/photos/{kept[0].stem}")
        assert served.headers["content-type"] == "image/jpeg"
        assert served.headers["x-content-type-options"] == "nosniff"
