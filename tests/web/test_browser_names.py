"""Names that are commands elsewhere, wherever a name can stand: no page runs them, no cell of a file is a formula."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openpyxl import load_workbook
from playwright.async_api import Page
from pypdf import PdfReader

from gateway.notify.settings import NotifySettings
from gateway.web.access import ROUTES, csrf_of, token_hash
from gateway.web.records.documents import KINDS
from tests.gateway.notify.sending import hook, settings_for
from tests.gateway.notify.servers import Server, server
from tests.parts import process
from tests.web.every_page import Eyes, open_eyes, shown
from tests.web.station import now_ms

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = "=1+1\"'><img src=x onerror=alert(1)>"
"""Gets out of a cell, out of an attribute with either quote, and out of a text."""
LIKE_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
RAN = """() => {
    const put = [...document.querySelectorAll("img[src='x'], [onerror]")].map((one) => one.outerHTML.slice(0, 200));
    const scripts = [...document.scripts].filter((one) => !one.src && one.textContent.includes("alert"));
    return [...put, ...scripts.map((one) => one.outerHTML.slice(0, 200))];
}"""
"""What came of the words beside text."""
SAID = "(words) => document.documentElement.textContent.includes(words)"
NAMELESS = frozenset(
    {
        *("/account", "/api", "/metrics", "/sign-in", "/pair", "/shift/answer/{check_id}", "/r/{token}"),
        *("/upkeep/profiles", "/upkeep/profiles/{profile_id}", "/rules", "/rules/{rule_id}", "/quality"),
        "/report/{code}",  # whoever has the receipt is told how far it is
    }
)
"""Pages that tell nothing anybody named."""


class Town:
    """The pages, and where messages of the station arrive."""

    def __init__(self, eyes: Eyes, phone: Server) -> None:
        self.eyes = eyes
        self.phone = phone


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """One station whose every name, note and reason is WORDS."""
    folder = tmp_path_factory.mktemp("n")
    async with server() as phone:
        person = hook(folder, "wang", phone) | {"name": WORDS}
        notify: NotifySettings = settings_for([person], private_addresses=True)
        async with open_eyes(folder, process.free_port(), WORDS, notify) as eyes:
            for op, fields in (
                ("wall.create", {"code_hash": token_hash("code"), "name": WORDS[:60], "until_ms": now_ms() + 600_000}),
                ("order.note", {"id": int(await eyes.known.get("order_id")), "note": WORDS}),
            ):
                await eyes.known.ask(op, **fields)
            yield Town(eyes, phone)


async def _look(page: Page, address: str) -> list[Any]:
    """What ran or could run on a page, as it is and with everything on it unfolded and pointed at."""
    ran: list[Any] = []
    page.on("dialog", lambda dialog: ran.append(dialog.message))
    await shown(page, address)
    await page.evaluate("() => { for (const one of document.querySelectorAll('details')) one.open = true; }")
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return ran + await page.evaluate(RAN)


@pytest.mark.parametrize(("language", "turn"), [("zh-CN", 0), ("en", 1)])
async def test_no_name_is_run_by_any_page_when_it_is_a_script(town: Town, language: str, turn: int) -> None:
    """With the policy of the pages switched off, so that only what they write stands between: 0 executed. Every page in
    one of the languages; how a name is written does not depend on it."""
    wrong: list[Any] = []
    silent: list[str] = []
    for user, places in (("administrator", town.eyes.pages), (None, town.eyes.open_pages)):
        async with town.eyes.context(user, locale=language) as context:
            for path, at in list(places.items())[turn::2]:
                page = await context.new_page()
                wrong += [(path, each) for each in await _look(page, town.eyes.address + at)]
                if not await page.evaluate(SAID, WORDS[:30]):
                    silent.append(path)
                await page.close()
    assert not wrong, "\n".join(map(str, wrong))
    assert set(silent) <= NAMELESS


async def _client(town: Town) -> httpx.AsyncClient:
    token = await town.eyes.session("administrator")
    client = httpx.AsyncClient(base_url=town.eyes.address, headers={"X-CSRF-Token": csrf_of(token)}, timeout=60)
    client.cookies.set("weizhan", token)
    return client


def _cells(name: str, data: bytes) -> list[Any]:
    """Every cell of a CSV or a workbook; a formula as one."""
    if not name.endswith("xlsx"):
        return [cell for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) for cell in row]
    book = load_workbook(io.BytesIO(data))
    cells = [cell for sheet in book for row in sheet for cell in row if cell.value is not None]
    return [f"={cell.value}" if cell.data_type == "f" else cell.value for cell in cells]


def _risky(name: str, data: bytes) -> list[Any]:
    texts = [cell for cell in _cells(name, data) if isinstance(cell, str)]
    return [(name, cell) for cell in texts if cell.startswith(LIKE_FORMULAS) and not _is_number(cell)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


async def test_no_cell_of_any_export_is_a_formula_when_names_are(town: Town) -> None:
    """Seven kinds, each as CSV and XLSX, and every table a page gives away: 0 cells. In the PDF the name is a name."""
    wrong: list[Any] = []
    told: dict[str, bool] = {}
    async with await _client(town) as client:
        for kind in KINDS:
            for file in ("csv", "xlsx", "pdf"):
                given = {"kind": kind, "file": file, "site": "shuiye", "device": "panel-01" if kind == "life" else ""}
                where = (await client.post("/records/exports", data=given)).headers["location"]
                async with asyncio.timeout(60):
                    while "download" not in (await client.get(where)).text:
                        await asyncio.sleep(0.05)
                data = (await client.get(f"{where}/file")).content
                if file == "pdf":
                    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages).replace("\n", "")
                    told[f"{kind}.{file}"] = "onerror=alert" in text.replace(" ", "")
                    continue
                wrong += _risky(f"{kind}.{file}", data)
                told[f"{kind}.{file}"] = any("onerror=alert" in str(cell) for cell in _cells(f"{kind}.{file}", data))
        for (method, path), _ in ROUTES.items():
            kinds = ("csv", "xlsx") if path.endswith(".{kind}") else ("csv",) if path.endswith(".csv") else ()
            for file in kinds if method == "GET" else ():
                answer = await client.get(
                    await town.eyes.known.fill(path.replace("{kind}", file)), params={"site": "shuiye"}
                )
                assert answer.status_code == 200, path
                wrong += _risky(f"{path} {file}", answer.content)
                cells = _cells(f"x.{file}", answer.content)
                told[f"{path} {file}"] = "template" in path or any("onerror=alert" in str(cell) for cell in cells)
    assert wrong == []
    assert [name for name, was in told.items() if not was] == []
    assert len(told) >= 3 * 7 + 5


async def test_a_message_tells_a_name_as_text_when_it_is_a_script_or_a_formula(town: Town) -> None:
    """The fire of that place by webhook: name whole, in both languages; the page of its link opens and runs nothing."""
    posts = await town.phone.posted(1)
    fire = next(post.json for post in posts if post.json["severity"] == "fire")
    told = [text for text in fire.values() if isinstance(text, str) and WORDS in text]
    assert len(told) >= 2, fire
    async with town.eyes.context(None) as context:
        page = await context.new_page()
        assert await _look(page, f"{town.eyes.address}/r/{fire['receipt']}") == []
