"""Chromium on the map: a plan put there, devices placed by mouse, finger and keyboard, and a fire on it."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Page, expect

from tests.web.board_screens import PHONE, Screens, open_screens, until
from tests.web.test_browser import WAIT_MS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Screens]:
    """One station and one Chromium for all stories here."""
    async with open_screens(tmp_path_factory.mktemp("m") / "s") as made:
        yield made


@pytest.fixture
def screens(shared: Screens) -> Screens:
    """The same, calm and without plans."""
    shared.calm()
    for plan in shared.station.board.board.plans("shuiye"):
        shared.station.board.do("floor_plan.remove", "administrator", {"id": plan.id})
    return shared


def png() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (1000, 500), "white").save(made, "PNG")
    return made.getvalue()


TALL: Any = {"viewport": {"width": 1280, "height": 1100}}
PLAN: Any = {"name": "plan.png", "mimeType": "image/png", "buffer": png()}


def marks(screens: Screens) -> dict[str, tuple[int, int]]:
    """What stands where, on the first plan."""
    plan = screens.station.board.board.plans("shuiye")[0]
    return {mark.at: (mark.x, mark.y) for mark in plan.marks}


async def spot(page: Page, right: float, down: float) -> tuple[float, float]:
    """A place of the plan on the screen: parts of its width and height."""
    box = await page.locator("svg.floorplan").evaluate(
        """(svg, [right, down]) => {
            const box = svg.viewBox.baseVal;
            const at = new DOMPoint(right * box.width, down * box.height).matrixTransform(svg.getScreenCTM());
            return [at.x, at.y];
        }""",
        [right, down],
    )
    return box[0], box[1]


async def centre(page: Page, selector: str) -> tuple[float, float]:
    await page.locator(selector).scroll_into_view_if_needed()
    box = await page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def near(found: tuple[int, int], right: float, down: float) -> bool:
    """Whether a mark stands there, within a hundredth of the plan."""
    return abs(found[0] - right * 10_000) < 120 and abs(found[1] - down * 10_000) < 120


async def test_a_plan_is_sent_and_an_svg_is_refused_before_it_is_sent(screens: Screens) -> None:
    """The reason stands beside the field, in the language of the page; the plan then opens for placing."""
    async with screens.screen("/map", "administrator", "en-GB") as page:
        await expect(page.locator("svg.is-schematic")).to_contain_text("Roof tank")
        form = page.locator("#add-plan form")
        await form.locator("[name=title]").fill("1st floor")
        svg: Any = {"name": "plan.svg", "mimeType": "image/svg+xml", "buffer": b"<svg/>"}
        await form.locator("[name=picture]").set_input_files(svg)
        await form.locator("button").click()
        await expect(form.locator("[data-upload-said]")).to_contain_text("they can carry scripts")
        await form.locator("[name=picture]").set_input_files(PLAN)
        await form.locator("button").click()
        await expect(page.locator(".plan-tabs")).to_contain_text("1st floor")
        await expect(page.locator("[data-edit]")).to_be_visible()
        await expect(page.locator("[data-unplaced]")).to_have_count(10)


async def test_devices_are_placed_and_moved_by_mouse_and_keyboard(screens: Screens) -> None:
    """From the list onto the plan, then elsewhere, then by arrows; each saved, and seen on another screen."""
    number = screens.add_plan()
    async with (
        screens.screen(f"/map?plan={number}&edit=true", "maintainer", "en-GB", **TALL) as page,
        screens.screen("/map", "inspector") as other,
    ):
        await page.mouse.move(*await centre(page, '[data-unplaced="hydrant-01"]'))
        await page.mouse.down()
        await page.mouse.move(*await spot(page, 0.3, 0.4), steps=6)
        await page.mouse.up()
        await until(lambda: near(marks(screens).get("hydrant-01", (0, 0)), 0.3, 0.4))
        await expect(other.locator('[data-mark="hydrant-01"]')).to_contain_text("212.4 kPa", timeout=WAIT_MS)
        mark = page.locator('[data-edit] [data-mark="hydrant-01"]')
        await expect(mark).to_be_visible(timeout=WAIT_MS)
        await page.mouse.move(*await spot(page, 0.3, 0.4))
        await page.mouse.down()
        await page.mouse.move(*await spot(page, 0.7, 0.6), steps=6)
        await page.mouse.up()
        await until(lambda: near(marks(screens)["hydrant-01"], 0.7, 0.6))
        await mark.focus()
        for key in ("ArrowLeft", "ArrowLeft", "Shift+ArrowUp"):
            await page.keyboard.press(key)
        await until(lambda: near(marks(screens)["hydrant-01"], 0.68, 0.6 - 0.05 * 1200 / 800))
        assert len(screens.asked("floor_plan.place")) == 3
        await expect(mark).to_be_focused()
        await page.keyboard.press("Delete")
        await until(lambda: marks(screens) == {})
        await expect(page.locator('[data-unplaced="hydrant-01"]')).to_be_visible(timeout=WAIT_MS)
        assert {actor for actor, _ in screens.asked("floor_plan.place")} == {"maintainer"}


async def test_a_finger_places_a_device(screens: Screens) -> None:
    """On a phone: the page does not scroll away under it."""
    number = screens.add_plan(("bay-01", 2000, 5000))
    async with screens.screen(f"/map?plan={number}&edit=true", "administrator", **PHONE) as page:
        touch = await page.context.new_cdp_session(page)
        await page.locator("svg.floorplan").scroll_into_view_if_needed()

        async def send(what: str, *at: float) -> None:
            points = [{"x": at[0], "y": at[1]}] if at else []
            await touch.send("Input.dispatchTouchEvent", {"type": what, "touchPoints": points})

        await send("touchStart", *await spot(page, 0.2, 0.5))
        for part in (0.25, 0.32, 0.4):
            await send("touchMove", *await spot(page, part, 0.5))
        await send("touchEnd")
        await until(lambda: near(marks(screens)["bay-01"], 0.4, 0.5))


async def test_marks_live_and_a_fire_pulses_on_the_plan_of_the_board(screens: Screens) -> None:
    """Shape, colour and word change by themselves; the board shows the plan of the fire with the point marked."""
    number = screens.add_plan(("panel-01/p012", 5000, 2500), ("panel-01", 1000, 9000), ("hydrant-01", 8000, 8000))
    async with screens.screen("/map", "inspector", "en-GB") as plan, screens.screen(language="en-GB") as board:
        hydrant = plan.locator('[data-mark="hydrant-01"]')
        await expect(hydrant).to_have_attribute("aria-label", "Victory Road hydrant: 212.4 kPa")
        screens.station.alarm("hydrant-pressure-low", "shuiye/hydrant-01/pressure_kpa", "warning")
        await expect(hydrant).to_have_class(re.compile("sev-warning"), timeout=WAIT_MS)
        await expect(hydrant.locator("use")).to_have_attribute("href", re.compile("#warning"))
        await expect(hydrant).to_contain_text("Warning")
        screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        point = f'[data-fire-plan="{number}"] [data-mark="panel-01/p012"]'
        await expect(board.locator(point)).to_have_class(re.compile("is-hit"), timeout=WAIT_MS)
        await expect(board.locator(f"{point} .pulse")).to_have_count(2)
        await expect(plan.locator('[data-mark="panel-01/p012"]')).to_contain_text("Fire", timeout=WAIT_MS)
        await board.locator(f"{point} .disc").click()
        await board.wait_for_url("**/devices/shuiye/panel-01?point=p012")


async def test_who_may_only_look_gets_no_way_to_edit(screens: Screens) -> None:
    """No button, no form, no handle, also with the address of editing."""
    number = screens.add_plan(("bay-01", 2000, 5000))
    async with screens.screen(f"/map?plan={number}&edit=true", "duty") as page:
        assert await page.locator("main form, [data-edit], [data-unplaced]").count() == 0
        await expect(page.locator('a[data-mark="bay-01"]')).to_be_visible()
