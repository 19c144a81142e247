"""Floor plans on the pages: put there, refused with a reason, drawn with what is now, of one's own area only."""

from __future__ import annotations

import io
import sqlite3
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from gateway.web.access import Refused
from gateway.web.board.plan_pictures import EDGE_PX, read_plan, store_plan
from gateway.web.headers import UPLOAD_BYTES
from tests.web.station import Browser, Station, csrf_in, serving

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def drawing(width: int = 300, height: int = 200, form: str = "PNG", mode: str = "RGB") -> bytes:
    """A plan of one colour."""
    made = io.BytesIO()
    Image.new(mode, (width, height)).save(made, form)
    return made.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that would be as large as it says."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 + width // 8) * height, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@asynccontextmanager
async def desk(station: Station, role: str, language: str = "en") -> AsyncIterator[Browser]:
    station.user(role)
    async with station.gateway(), serving(station) as address, Browser(address, language) as browser:
        await browser.sign_in(role)
        yield browser


async def send(browser: Browser, data: bytes, name: str = "plan.png", title: str = "1st floor") -> httpx.Response:
    """Upload a plan as the form does."""
    csrf = csrf_in((await browser.get("/map")).text)
    fields = {"csrf": csrf, "site": "shuiye", "title": title}
    return await browser.post("/map/plans", data=fields, files={"picture": (name, data)})


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_plan_is_kept_as_what_its_pixels_say(tmp_path: Path, form: str) -> None:
    """Decoded, at most so large, coded anew, named by its content; an altered file is not shown."""
    kept = store_plan(tmp_path, drawing(EDGE_PX * 2, 1000, form))
    assert (kept.width, kept.height) == (EDGE_PX, 500)
    assert store_plan(tmp_path, drawing(EDGE_PX * 2, 1000, form)) == kept
    assert Image.open(io.BytesIO(read_plan(tmp_path, kept.name))).format == "WEBP"
    path = next(tmp_path.rglob("*.webp"))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(Refused):
        read_plan(tmp_path, kept.name)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    """A drawing on nothing is one on paper, in light and dark."""
    kept = store_plan(tmp_path, drawing(20, 20, mode="RGBA"))
    pixel = Image.open(io.BytesIO(read_plan(tmp_path, kept.name))).convert("RGB").getpixel((5, 5))
    assert pixel == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (SVG, "plan.svg", "SVG drawings are not taken"),
        (b"  " + SVG[21:], "plan.png", "SVG drawings are not taken"),
        (b"%PDF-1.7 ...", "plan.pdf", "PDF files are not taken"),
        (b"AC1032 ...", "plan.dwg", "CAD drawings are not taken"),
        (b"", "plan.png", "Choose the file|file is empty"),
        (b"MZ\x90 no picture at all", "plan.png", "no picture that can be read"),
        (drawing()[:60], "plan.png", "no picture that can be read"),
        (bomb(60_000, 60_000), "plan.png", "too many pixels"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_with_a_reason(tmp_path: Path, data: bytes, name: str, said: str) -> None:
    """Nothing of it is kept."""
    with pytest.raises(Refused, match=said):
        store_plan(tmp_path, data)
    assert list(tmp_path.iterdir()) == []


async def test_a_plan_is_added_placed_on_and_drawn_in_the_language_of_the_page(station: Station) -> None:
    """From the schematic to a plan with a device on it; its picture is served; what is burning is told in words."""
    async with desk(station, "maintainer", "zh") as browser:
        html = (await browser.get("/map")).text
        assert "尚未上传平面图" in html
        assert "胜利路市政消火栓" in html  # on the schematic, at its place
        refused = await send(browser, SVG, "plan.svg")
        assert (refused.status_code, "不接受 SVG" in refused.text) == (422, True)
        answer = await send(browser, drawing(), title="一层 <img src=x onerror=alert(1)>")
        assert answer.headers["location"] == "/map?plan=1&edit=true"
        csrf = await browser.csrf()
        form = {"at": "panel-01/p012", "x": "5000", "y": "2500", "csrf": csrf}
        assert (await browser.post("/map/plans/1/place", data=form)).status_code == 204
        html = (await browser.get("/map")).text
        assert 'transform="translate(150.0 50.0)"' in html
        assert "<img src=x" not in html
        assert "尚未放到" not in html or "一层灭火器箱" in html
        picture = await browser.get("/map/plans/1/picture")
        assert (picture.headers["content-type"], picture.content[8:12]) == ("image/webp", b"WEBP")
        station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        board = (await browser.get("/")).text
        assert 'data-fire-plan="1"' in board
        assert "点位 12: 火警" in board


async def test_a_fire_without_a_plan_is_shown_on_the_places_of_the_site(station: Station) -> None:
    """Nobody has to draw a plan first to see where it burns."""
    async with desk(station, "duty") as browser:
        station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        board = (await browser.get("/")).text
        assert 'data-fire-plan="0"' in board
        assert "is-hit" in board


async def test_a_body_beyond_every_limit_is_told_in_a_sentence(station: Station) -> None:
    """It is not read to the end, and nothing of it is kept."""
    async with desk(station, "maintainer") as browser:
        answer = await send(browser, drawing() + bytes(UPLOAD_BYTES))
        assert (answer.status_code, "too large" in answer.text) == (413, True)
    assert not (station.data_dir / "plans").exists()


async def test_the_audit_trail_names_who_put_a_plan_there(station: Station) -> None:
    """Row and chain are written in one transaction."""
    async with desk(station, "administrator") as browser:
        await send(browser, drawing())
        with sqlite3.connect(station.data_dir / "ledger.sqlite") as ledger:
            found = ledger.execute("SELECT actor, action FROM audit WHERE action LIKE 'floor_plan.%'").fetchall()
        assert found == [("administrator", "floor_plan.add")]
