"""Chromium on a board that is redrawn while somebody presses, reaches or opens something on it: nothing is lost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Route, expect

from tests.web.board_screens import PHONE, Screens, open_screens, until
from tests.web.test_browser import WAIT_MS, _until

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOW = ("water-level-low", "shuiye/tank-01/level_m")
COUNT = (
    "() => document.body.addEventListener('htmx:afterRequest', () => { window.answers = (window.answers ?? 0) + 1; })"
)
"""Counts what has been answered and drawn."""
IN_SIGHT = "(one) => { const at = one.getBoundingClientRect(); return at.top >= 0 && at.bottom <= innerHeight; }"
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Screens]:
    """One station and one Chromium for all stories here."""
    async with open_screens(tmp_path_factory.mktemp("s") / "s") as made:
        yield made


@pytest.fixture
def screens(shared: Screens) -> Screens:
    """The same, calm."""
    shared.calm()
    return shared


class Redraws:
    """The redraws a page asks for: each is caught on its way and goes on when it is let."""

    def __init__(self) -> None:
        self.caught = 0
        self._may = asyncio.Event()

    async def on(self, route: Route) -> None:
        """Keeps a redraw back until `let`; everything else passes."""
        if route.request.method != "GET" or route.request.headers.get("hx-request") != "true":
            await route.continue_()
            return
        self.caught += 1
        await self._may.wait()
        await route.fulfill(response=await route.fetch())

    async def let(self, page: Page) -> None:
        """The redraw on its way arrives, and all that follow pass; returns when the page has dealt with it."""
        await page.evaluate(COUNT)
        self._may.set()
        await _until(page, "window.answers")
        await page.evaluate(FRAMES)


@asynccontextmanager
async def redraws(page: Page, path: str) -> AsyncIterator[Redraws]:
    """Keep back what the page asks for of this path."""
    made = Redraws()
    await page.route(re.compile(f"{re.escape(path)}$"), made.on)
    yield made
    await page.unroute_all(behavior="wait")


async def middle(place: Locator) -> tuple[float, float]:
    """Where to press it, px."""
    await place.scroll_into_view_if_needed()
    box = await place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def acknowledged(screens: Screens) -> list[int]:
    """Alarms the gateway was asked to acknowledge."""
    return [args["alarm_id"] for _, args in screens.asked("alarm.acknowledge")]


async def test_a_click_counts_when_the_board_is_redrawn_between_press_and_release(screens: Screens) -> None:
    """The alarm that was pressed is acknowledged and no other; the new one is there once the button is up."""
    low = screens.station.alarm(*LOW, "warning")
    async with screens.screen() as page, redraws(page, "/") as asked:
        x, y = await middle(page.locator(f"#alarm-{low} button.acknowledge"))
        fault = screens.station.alarm("panel-fault", "shuiye/panel-01/p003", "critical")  # it stands above the other
        await until(lambda: asked.caught)
        await page.mouse.move(x, y)
        await page.mouse.down()
        await asked.let(page)
        await expect(page.locator(f"#alarm-{fault}")).to_have_count(0)
        await page.mouse.up()
        await expect(page.locator(f"#alarm-{fault}")).to_be_visible(timeout=WAIT_MS)
        await expect(page.locator(f"#alarm-{low}")).to_contain_text("duty", timeout=WAIT_MS)
        assert acknowledged(screens) == [low]


async def test_a_tap_counts_when_the_board_is_redrawn_under_the_finger(screens: Screens) -> None:
    """The same on a phone: the fire that pushes everything down does not take the tap meant for another alarm."""
    low = screens.station.alarm(*LOW, "warning")
    async with screens.screen(**PHONE) as page, redraws(page, "/") as asked:
        finger = await page.context.new_cdp_session(page)
        x, y = await middle(page.locator(f"#alarm-{low} button.acknowledge"))
        screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        await until(lambda: asked.caught)
        await finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        await asked.let(page)
        await expect(page.locator(".fire")).to_have_count(0)
        await finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        await expect(page.locator(".fire")).to_be_visible(timeout=WAIT_MS)
        await expect(page.locator(f"#alarm-{low}")).to_contain_text("duty", timeout=WAIT_MS)
        assert acknowledged(screens) == [low]


async def test_the_space_bar_counts_when_the_board_is_redrawn_before_it_is_up(screens: Screens) -> None:
    """A key is pressed and released as well."""
    low = screens.station.alarm(*LOW, "warning")
    async with screens.screen() as page, redraws(page, "/") as asked:
        await page.locator(f"#alarm-{low} button.acknowledge").focus()
        screens.station.alarm("panel-fault", "shuiye/panel-01/p003", "critical")
        await until(lambda: asked.caught)
        await page.keyboard.down(" ")
        await asked.let(page)
        await page.keyboard.up(" ")
        await expect(page.locator(f"#alarm-{low}")).to_contain_text("duty", timeout=WAIT_MS)
        assert acknowledged(screens) == [low]


async def test_a_fire_appears_under_a_button_that_is_never_let_go(screens: Screens) -> None:
    """The wait for the release has an end."""
    low = screens.station.alarm(*LOW, "warning")
    async with screens.screen() as page:
        x, y = await middle(page.locator(f"#alarm-{low} button.acknowledge"))
        await page.mouse.move(x, y)
        await page.mouse.down()
        screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        await expect(page.locator(".fire")).to_be_visible(timeout=WAIT_MS)
        await page.mouse.up()


async def test_a_step_ticked_while_the_answer_to_another_arrives_counts(screens: Screens) -> None:
    """Two ticks in a row on a slow line: the answer to the first does not take the second away, and is shown."""
    fire = screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    async with screens.screen() as page:
        may = asyncio.Event()

        async def slow(route: Route) -> None:
            answer = await route.fetch()
            await may.wait()
            await route.fulfill(response=answer)

        await page.route(re.compile("/advice$"), slow, times=1)
        await page.locator(f"#tick-{fire}-0").click()
        await until(lambda: screens.asked("advice.tick"))
        x, y = await middle(page.locator(f"#tick-{fire}-1"))
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.evaluate(COUNT)
        may.set()
        await _until(page, "window.answers")
        await page.mouse.up()
        for step in (0, 1):
            await expect(page.locator(f"li.is-done #tick-{fire}-{step}")).to_be_checked(timeout=WAIT_MS)
        assert [args["step"] for _, args in screens.asked("advice.tick")] == [0, 1]


async def test_the_focus_stays_where_it_was_when_the_board_is_redrawn(screens: Screens) -> None:
    """On the button of the same alarm, although another stands before it now; on the row once it is acknowledged."""
    low = screens.station.alarm(*LOW, "warning")
    async with screens.screen() as page:
        button = page.locator(f"#alarm-{low} button.acknowledge")
        await button.focus()
        fault = screens.station.alarm("panel-fault", "shuiye/panel-01/p003", "critical")
        await expect(page.locator(f"#alarm-{fault}")).to_be_visible(timeout=WAIT_MS)
        await expect(button).to_be_focused()
        may = asyncio.Event()

        async def slow(route: Route) -> None:
            answer = await route.fetch()
            await may.wait()
            await route.fulfill(response=answer)

        await page.route(re.compile("/acknowledge$"), slow)
        await page.keyboard.press("Enter")
        # The news of it come before the answer, which takes longer than a redraw waits.
        await expect(button).to_have_count(0, timeout=WAIT_MS)
        await expect(page.locator(f"#alarm-{low}")).to_be_focused()
        may.set()
        await expect(page.locator(f"#alarm-{low}")).to_be_focused()
        assert acknowledged(screens) == [low]


async def test_what_was_just_reached_is_in_sight_when_a_redraw_comes_first(screens: Screens) -> None:
    """The browser scrolls to it in its next frame; a redraw of this one took that away."""
    async with screens.screen("/devices", **PHONE) as page, redraws(page, "/devices") as redrawn:
        await page.evaluate("() => htmx.trigger('#live', 'refresh')")
        await until(lambda: redrawn.caught)
        last = page.locator("#live a[href^='/devices/']").last
        await last.evaluate("(one) => one.focus({ preventScroll: true })")
        assert not await last.evaluate(IN_SIGHT)
        await redrawn.let(page)
        await expect(last).to_be_focused()
        assert await last.evaluate(IN_SIGHT)


async def test_an_open_list_stays_open_when_a_redraw_arrives_and_the_news_follow(screens: Screens) -> None:
    """The element is not taken from under its list; what happened is drawn when the choice is made."""
    fire = screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    async with screens.screen(f"/alarms/{fire}") as page, redraws(page, f"/alarms/{fire}") as asked:
        await page.locator("#act-assign summary").click()
        screens.station.acts._alarm_note("wang", fire, "到场查看")
        await until(lambda: asked.caught)
        people = page.locator("#assign-person")
        await people.click()  # its list is open
        node = await people.element_handle()
        assert node is not None
        await asked.let(page)
        assert await node.evaluate("(e) => e.isConnected && e === document.activeElement && e.matches(':open')")
        await page.keyboard.press("Escape")
        await people.select_option("maintainer")
        await page.locator("h1").click()
        await expect(page.locator("#live")).to_contain_text("到场查看", timeout=WAIT_MS)
        await expect(people).to_have_value("maintainer")
