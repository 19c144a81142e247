"""Every page for everybody: axe-core in both themes and sizes, the keyboard alone, titles and languages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

from tests.parts import process
from tests.web.every_page import Eyes, open_eyes, shown

pytestmark = pytest.mark.asyncio(loop_scope="module")

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
MAIN = (
    *("/", "/map", "/devices", "/devices/{site}/{device}", "/alarms", "/alarms/{alarm_id}", "/shift", "/station"),
    *("/upkeep", "/records"),
)
"""Pages people live in: looked at in every combination, and walked through with the keyboard."""
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "rules": {name: {"enabled": True} for name in ("heading-order", "landmark-unique", "empty-heading")},
    "resultTypes": ["violations"],
}
"""WCAG 2.2 A and AA, and what screen readers jump by."""
RULES_OF_LOOKS = {
    "runOnly": {
        "type": "rule",
        "values": ["color-contrast", "button-name", "link-name", "label", "scrollable-region-focusable", "target-size"],
    },
    "resultTypes": ["violations"],
}
"""Of these, what colours and sizes can change."""
PARTS = 4
LONG = frozenset({"/api"})
"""Looked at once: long, and of the same parts all over."""
WIDE = """() => {
    const wide = document.scrollingElement.scrollWidth;
    if (wide <= innerWidth) return [];
    const inScroller = (one) => { for (let p = one.parentElement; p && p !== document.body; p = p.parentElement)
        if (getComputedStyle(p).overflowX !== "visible") return true; return false; };
    const beyond = [...document.querySelectorAll("main *, header *")].filter(
        (one) => one.getBoundingClientRect().right > innerWidth + 0.5 && !inScroller(one));
    return [wide, ...beyond.slice(0, 3).map((one) => one.outerHTML.slice(0, 120))];
}"""
"""Sideways a phone scrolls tables and drawings within the page, never the page."""
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
REACH = """() => {
    const all = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
    const groups = new Set();
    window.reach = [...document.querySelectorAll(all)].filter((one) => {
        if (one.disabled || one.tabIndex < 0 || !one.checkVisibility({ visibilityProperty: true })) return false;
        if (one.type !== "radio") return true;
        const name = [...(one.form?.elements ?? [])].indexOf(one.form?.elements[one.name]?.[0]) + one.name;
        return !groups.has(name) && groups.add(name);
    });
    return window.reach.length;
}"""
"""Everything that can be used now; of a group of radio buttons one, the arrow keys lead to the others."""
FOCUS = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const box = one.getBoundingClientRect();
    const label = one.closest("label, .segmented");
    const disc = one.querySelector(":scope > .disc"), parts = ["date", "month", "time", "datetime-local"];
    const ringed = parts.includes(one.type) || (disc && parseFloat(getComputedStyle(disc).strokeWidth) > 5)
        || [one, label].some((each) => each && parseFloat(getComputedStyle(each).outlineWidth) >= 2
            && getComputedStyle(each).outlineStyle !== "none");
    const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    const rows = [0.1, 0.5, 0.9], hits = rows.flatMap((y) => rows.map((x) => document.elementFromPoint(
        Math.min(Math.max(box.left + box.width * x, 1), innerWidth - 1),
        Math.min(Math.max(box.top + box.height * y, 1), innerHeight - 1))));
    const seen = hits.some((hit) => hit && (one.contains(hit) || hit.contains(one)));
    const name = one.outerHTML.slice(0, 120);
    return { at: window.reach.indexOf(one), name, ringed, shown: inside && seen, group: one.type === "radio" };
}"""
"""The focused element: its number, whether a ring is drawn, whether it is on the screen and not covered. A mark
of a plan has a wide rim instead of a ring; of a date the browser marks the part that is typed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def eyes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Eyes]:
    """One station and one browser for all."""
    async with open_eyes(tmp_path_factory.mktemp("a"), process.free_port()) as made:
        yield made


async def width(page: Page) -> list[Any]:
    """How wide a page is where that is more than its window, and what reaches beyond it."""
    found: list[Any] = await page.evaluate(WIDE)
    return found


async def barriers(page: Page, rules: dict[str, Any] = RULES) -> list[tuple[Any, ...]]:
    """What axe-core finds: rule, impact, where, why."""
    found = await page.evaluate("(rules) => axe.run(document, rules)", rules)
    return [
        (each["id"], each["impact"], node["target"], node["failureSummary"])
        for each in found["violations"]
        for node in each["nodes"]
    ]


async def look(eyes: Eyes, page: Page, places: dict[str, str], *, dark_too: bool) -> list[tuple[Any, ...]]:
    """Barriers of these pages, as they are and then as a phone in the dark; on a phone none is too wide, in English
    neither."""
    wrong: list[tuple[Any, ...]] = []
    for path, at in places.items():
        await shown(page, eyes.address + at)
        wrong += [(path, *each) for each in await barriers(page)]
        if dark_too and path not in LONG:
            await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
            await page.set_viewport_size(PHONE)  # type: ignore[arg-type] # a size
            await page.evaluate(FRAMES)
            wrong += [(path, "phone, dark", *each) for each in await barriers(page, RULES_OF_LOOKS)]
        if dark_too:
            await page.set_viewport_size(PHONE)  # type: ignore[arg-type] # a size
            for language in ("zh", "en"):
                if language == "en" or path in LONG:
                    await shown(page, f"{eyes.address}{at}{'&' if '?' in at else '?'}language={language}")
                if too_wide := await width(page):
                    wrong.append((path, f"phone, {language}: too wide", too_wide))
            await page.emulate_media(color_scheme="light", reduced_motion="reduce")
            await page.set_viewport_size(DESK)  # type: ignore[arg-type] # a size
    return wrong


@pytest.mark.parametrize("part", range(PARTS))
async def test_no_page_has_a_barrier_when_looked_at_by_day_and_on_a_phone_at_night(eyes: Eyes, part: int) -> None:
    """Chinese: every page with something on it, light at a desk and dark on a phone; in parts, each soon done."""
    wrong: list[tuple[Any, ...]] = []
    for user, places in (("administrator", eyes.pages), (None, eyes.open_pages)):
        some = dict(list(places.items())[part::PARTS])
        async with eyes.context(user, locale="zh-CN", color_scheme="light", viewport=DESK) as context:
            await context.add_init_script(AXE_SCRIPT)
            wrong += await look(eyes, await context.new_page(), some, dark_too=True)
    assert not wrong, "\n".join(map(str, wrong))


async def test_main_pages_have_no_barrier_when_read_in_english(eyes: Eyes) -> None:
    """Dark and light, desk and phone: words are longer than in Chinese."""
    places = {path: await eyes.known.place(path) for path in MAIN}
    wrong: list[tuple[Any, ...]] = []
    for scheme, size in (("dark", DESK), ("light", PHONE)):
        async with eyes.context(locale="en-GB", color_scheme=scheme, viewport=size) as context:
            await context.add_init_script(AXE_SCRIPT)
            wrong += [(scheme, *each) for each in await look(eyes, await context.new_page(), places, dark_too=False)]
    assert not wrong, "\n".join(map(str, wrong))


async def once_round(page: Page, most: int) -> AsyncIterator[dict[str, Any]]:
    """Press Tab until the first element comes again; gives what has the focus each time."""
    starts = 0
    for _ in range(most):
        await page.keyboard.press("Tab")
        now = await page.evaluate(FOCUS)
        if now is not None and not now["shown"]:  # it is being scrolled to
            await page.evaluate(FRAMES)
            now = await page.evaluate(FOCUS)
        if now is None:  # the end of the page, or a list was drawn anew under the focus
            continue
        yield now
        starts += now["at"] == 0
        if starts == 2:
            return


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_all_that_can_be_used_is_reached_and_seen_with_tab_alone(eyes: Eyes, size: dict[str, int]) -> None:
    """Round the page once: nothing is left out, nothing holds the focus, whatever has it has a ring and is in sight."""
    wrong: list[Any] = []
    async with eyes.context("duty", locale="en-GB", viewport=size) as context:
        page = await context.new_page()
        for path in MAIN:
            await shown(page, eyes.address + await eyes.known.place(path))
            count = await page.evaluate(REACH)
            assert count > 5, path
            seen = [each async for each in once_round(page, 2 * count + 40)]
            reached = {each["at"] for each in seen}
            wrong += [(path, "not seen", each) for each in seen if not each["ringed"] or not each["shown"]]
            if seen[-1]["at"] != 0:
                wrong.append((path, "never came round", seen[-1]))
            names = await page.evaluate("() => window.reach.map((one) => one.isConnected ? one.outerHTML : '')")
            wrong += [(path, "not reached", name[:160]) for n, name in enumerate(names) if name and n not in reached]
    assert not wrong, "\n".join(map(str, wrong))


async def test_the_skip_link_leads_past_the_bars_when_it_is_pressed(eyes: Eyes) -> None:
    """It is the first stop, is seen then, and the next stop is inside the content."""
    async with eyes.context("duty", locale="zh-CN", viewport=DESK) as context:
        page = await context.new_page()
        for path in ("/", "/alarms", "/records"):
            await shown(page, eyes.address + path)
            await page.keyboard.press("Tab")
            skip = page.locator("a.skip")
            assert await skip.evaluate(
                "(one) => one === document.activeElement && one.getBoundingClientRect().left > 0"
            )
            await page.keyboard.press("Enter")
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.querySelector('main').contains(document.activeElement)"), path


@pytest.mark.parametrize(("language", "product"), [("zh-CN", "微站"), ("en", "Weizhan")])
async def test_every_page_says_what_it_is_first_and_in_which_language(eyes: Eyes, language: str, product: str) -> None:
    """Title, lang, one chief heading, and no two elements of one name."""
    wrong: list[Any] = []
    for user, places in (("administrator", eyes.pages), (None, eyes.open_pages)):
        async with httpx.AsyncClient(base_url=eyes.address, follow_redirects=True, timeout=30) as client:
            client.headers["Accept-Language"] = language
            if user is not None:
                client.cookies.set("weizhan", await eyes.session(user))
            for path, at in places.items():
                html = (await client.get(at)).text
                title = re.findall(r"<title>(.*?)</title>", html.partition("</head>")[0], re.DOTALL)
                ids = re.findall(r'<[^>]+?\sid="([^"]+)"', html)
                facts = {
                    "title": len(title) == 1 and re.fullmatch(rf"(?!{product}).+ · {product}", title[0].strip()),
                    "lang": f'<html lang="{language}"' in html,
                    "h1": len(re.findall(r"<h1\b", html)) == 1,
                    "ids": len(ids) == len(set(ids)),
                }
                twice = sorted({name for name in ids if ids.count(name) > 1})
                wrong += [(path, name, title, twice) for name, fits in facts.items() if not fits]
    assert not wrong, "\n".join(map(str, wrong))
