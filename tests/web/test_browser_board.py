"""Chromium on the duty board: what people see, hear and do there, with mouse, keyboard and finger."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.web.board_screens import PHONE, WALL, Screens, open_screens, until
from tests.web.station import HOUR_MS, now_ms
from tests.web.test_browser import WAIT_MS, _until
from tests.web.tongue import IN_BOTH, Tongue

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIREN, CRITICAL, WARNING, DOORBELL = 960, 740, 494, 1319
"""Hz of the first tone of each sound."""


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


async def unlock(page: Page) -> None:
    """The click a browser wants before it makes a sound."""
    await page.locator("[data-sound]").click()
    await expect(page.locator("[data-sound]")).to_have_attribute("aria-pressed", "true")
    await page.evaluate("window.tones = []")


async def heard(page: Page, hertz: int) -> None:
    """Waits until such a tone was played."""
    await _until(page, f"window.tones.includes({hertz})")


async def test_the_board_says_how_the_station_is_and_why_and_who_is_there(screens: Screens) -> None:
    """State, heaviest reason, post with too few people, next handover; in the language of the page."""
    async with screens.screen(language="en-GB") as page:
        line = page.locator(".station-line")
        await expect(line).to_have_attribute("data-level", "degraded")
        for text in ("Degraded", "Roof tank", "No. 7", "1 of 2 people", "Nobody is here.", "Next handover"):
            await expect(line).to_contain_text(text)
        await expect(line).to_contain_text("Sound not tested this shift")


@IN_BOTH
async def test_a_screen_without_sound_says_so_until_somebody_says_that_they_heard_it(
    say: Tongue, screens: Screens
) -> None:
    """The bar is loud; three different tones are played; who heard them is written down by the gateway."""
    async with screens.screen(language=say.locale) as page:
        bar = page.locator("[data-sound-bar]")
        await expect(bar).to_contain_text(say("本屏没有声音", "This screen makes no sound"))
        await bar.get_by_role("button").click()
        await expect(bar).to_be_hidden()
        for hertz in (SIREN, WARNING, DOORBELL):
            await heard(page, hertz)
        await page.get_by_role("button", name=say("听到了", "I heard them"), exact=True).click()
        await expect(page.locator("[data-sound-asked]")).to_be_hidden()
        assert [(actor, args["site"], args["heard"]) for actor, args in screens.asked("sound_check.listen")] == [
            ("duty", "shuiye", True)
        ]
        await expect(page.locator(".station-change")).to_contain_text(say("声音已确认", "Sound heard"), timeout=WAIT_MS)
    async with screens.screen(user="inspector", language=say.locale) as page:
        await expect(page.locator(".station-change")).to_contain_text(say("声音已确认", "Sound heard"))
        await expect(page.locator("[data-sound-bar]")).to_have_count(0)  # nobody else is nagged


async def test_a_fault_sounds_like_no_fire_and_goes_on_until_it_is_acknowledged(screens: Screens) -> None:
    """At once, then again and again; tab and icon say it too; silent once somebody acknowledged."""
    async with screens.screen() as page:
        await unlock(page)
        screens.station.alarm("panel-fault", "shuiye/panel-01/p003", "critical")
        await heard(page, CRITICAL)
        await expect(page.locator("link[data-icon]")).to_have_attribute("href", re.compile("favicon-fault"))
        await page.evaluate("window.tones = []")
        await heard(page, CRITICAL)
        assert SIREN not in await page.evaluate("window.tones")
        await page.locator(".alarm button.acknowledge").click()
        await expect(page.locator("link[data-icon]")).to_have_attribute("href", re.compile("favicon.svg"))


async def test_a_fire_shows_in_the_tab_of_any_page(screens: Screens) -> None:
    """Its icon burns and its title blinks, on a page that is not the board, on a phone."""
    async with screens.screen("/alarms", **PHONE) as page:
        alarm = screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        await expect(page.locator("link[data-icon]")).to_have_attribute("href", re.compile("favicon-fire"))
        await expect(page).to_have_title(re.compile("^▲ "))
        screens.station.acts.change(alarm, state="acknowledged", acknowledged_ms=now_ms(), acknowledged_by="wang")
        await expect(page.locator("link[data-icon]")).to_have_attribute("href", re.compile("favicon.svg"))
        await expect(page).to_have_title(re.compile("^[^▲]"))


async def test_a_step_ticked_on_one_screen_is_done_on_the_other_and_after_a_reload(screens: Screens) -> None:
    """With who did it; the wall shows it as well, without anything to press."""
    alarm = screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
    async with screens.screen(**PHONE) as phone, screens.screen("/wall", user="inspector", **WALL) as wall:
        await phone.locator(f"#tick-{alarm}-1").check()
        done = ".checklist li.is-done"
        await expect(wall.locator(done)).to_contain_text("duty", timeout=WAIT_MS)
        await phone.reload()
        await expect(phone.locator(f"#tick-{alarm}-1")).to_be_checked()
        await expect(phone.locator(f"#tick-{alarm}-0")).not_to_be_checked()
        await phone.locator(f"#tick-{alarm}-1").uncheck()
        await expect(wall.locator(done)).to_have_count(0, timeout=WAIT_MS)
        assert [args["done"] for _, args in screens.asked("advice.tick")] == [True, False]


@IN_BOTH
async def test_an_alarm_is_handled_from_the_board_with_keys_alone(say: Tongue, screens: Screens) -> None:
    """F2 finds it; G assigns, N notes, S shelves, A acknowledges; nothing happens to letters pressed elsewhere."""
    number = screens.station.alarm("water-level-low", "shuiye/tank-01/level_m", "warning")
    async with screens.screen(language=say.locale) as page:
        await page.keyboard.press("a")  # the focus is nowhere: no letter counts
        row = page.locator(f"#alarm-{number}")
        await page.keyboard.press("F2")
        await expect(row).to_be_focused()
        await page.keyboard.press("n")
        await expect(page.locator("#acts-note")).to_be_focused()
        await page.keyboard.type("valve was shut")
        await page.keyboard.press("Enter")
        await expect(page.locator("dialog")).to_be_hidden()
        await expect(row).to_contain_text(say("备注 1 条", "Notes: 1"), timeout=WAIT_MS)
        await page.keyboard.press("F2")
        await page.keyboard.press("g")
        await page.locator("#acts-person").select_option("maintainer")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(row.locator(".assigned")).to_contain_text("maintainer", timeout=WAIT_MS)
        await page.keyboard.press("F2")
        await page.keyboard.press("a")
        await expect(row).to_contain_text("duty", timeout=WAIT_MS)
        await row.focus()
        await page.keyboard.press("s")
        await expect(page.locator("dialog :focus")).to_have_attribute("name", "reason")
        await page.keyboard.type("tank is being cleaned")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator(".held-list")).to_contain_text(say("高位消防水箱", "Roof tank"), timeout=WAIT_MS)
        assert [len(screens.asked(f"alarm.{op}")) for op in ("note", "assign", "acknowledge", "shelve")] == [1, 1, 1, 1]
    screens.station.acts._alarm_unshelve("duty", number)


@IN_BOTH
async def test_an_alarm_is_acknowledged_and_handled_from_the_list_as_it_is_filtered(
    say: Tongue, screens: Screens
) -> None:
    """By finger on a phone, without leaving the list: acknowledged, noted after a tick, shelved; the filter stays."""
    number = screens.station.alarm("water-level-low", "shuiye/tank-01/level_m", "warning")
    screens.station.alarm("panel-fault", "shuiye/panel-01/p003", "critical")
    async with screens.screen("/alarms?show=open&severity=warning", language=say.locale, **PHONE) as page:
        row = page.locator(f'tr[data-alarm="{number}"]')
        await expect(page.locator("tr[data-alarm]")).to_have_count(1)
        await row.get_by_role("button", name=say("确认", "Acknowledge")).click()
        await expect(row.locator(".acknowledged")).to_contain_text("duty", timeout=WAIT_MS)
        await row.locator("[data-acts]").click()
        await page.locator(f"#tick-{number}-0-d").click()
        await expect(page.locator(f"li.is-done #tick-{number}-0-d")).to_be_checked(timeout=WAIT_MS)
        await page.locator("#acts-note").fill("阀门已关")
        await page.locator('[data-act="note"] button').click()
        await expect(page.locator("dialog")).to_be_hidden(timeout=WAIT_MS)
        await row.locator("[data-acts]").click()
        await page.locator("#acts-reason").fill("清洗水箱")
        await page.get_by_role("button", name=say("30 分钟", "30 min")).click()
        await expect(page.locator(".still")).to_contain_text(say("高位消防水箱", "Roof tank"), timeout=WAIT_MS)
        await expect(page.locator("tr[data-alarm]")).to_have_count(1)
        assert page.url.endswith("/alarms?show=open&severity=warning")
        assert [len(screens.asked(f"alarm.{op}")) for op in ("acknowledge", "note", "shelve")] == [1, 1, 1]
    screens.station.acts._alarm_unshelve("duty", number)
    async with screens.screen("/alarms", user="inspector", language=say.locale) as page:
        assert await page.locator("main :is(button.acknowledge, [data-acts], dialog)").count() == 0


async def test_a_refusal_is_told_where_it_was_given_and_a_new_fire_inside_the_dialog(screens: Screens) -> None:
    """The text stays; whoever writes learns of the fire although the dialog lies over the board."""
    number = screens.station.alarm("water-level-low", "shuiye/tank-01/level_m", "warning")
    async with screens.screen(**PHONE) as page:
        await page.locator(f'[data-acts="{number}"]').click()
        await page.locator("#acts-reason").fill("清洗水箱")
        screens.station.db.execute("DELETE FROM alarm WHERE id = ?", (number,))
        await page.get_by_role("button", name="30 分钟").click()
        await expect(page.locator("[data-acts-said]")).not_to_be_empty(timeout=WAIT_MS)
        await expect(page.locator("#acts-reason")).to_have_value("清洗水箱")
        screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        await expect(page.locator("[data-dialog-fire]")).to_be_visible(timeout=WAIT_MS)
        await page.keyboard.press("Escape")
        await expect(page.locator(".fire")).to_contain_text("点位 12", timeout=WAIT_MS)


async def test_a_stale_value_is_struck_out_with_an_age_that_counts_on(screens: Screens) -> None:
    """While nothing arrives nobody may take the last value for the present one."""
    station = screens.station
    for key in [key for key in station.values if key.startswith("shuiye/bay-02/")]:
        station.values[key] = [now_ms() - 9 * HOUR_MS, *station.values[key][1:]]
        station._tell("reading", [[key, *station.values[key]]])
    async with screens.screen() as page:
        tile = page.locator('.tile[href="/devices/shuiye/bay-02"]')
        await expect(tile).to_have_class(re.compile("st-stale"), timeout=WAIT_MS)
        await expect(tile.locator("s")).to_be_visible()
        await expect(tile.locator(".tile-age")).to_contain_text("9 小时前")
        fresh = page.locator('.tile[href="/devices/shuiye/bay-01"] .tile-age')
        await expect(fresh).to_be_hidden()
        await page.evaluate("document.body.classList.add('away')")  # the class that a lost gateway sets
        await expect(fresh).to_be_visible()
        said = await fresh.text_content()
        await page.evaluate("window.aged = document.querySelector('.tile[href$=\"bay-01\"] .tile-age')")
        await _until(page, f"window.aged.textContent !== {said!r}")


async def test_a_wall_shows_board_and_plans_in_turn_until_something_burns(screens: Screens) -> None:
    """Nothing to press, nothing to scroll; with a fire the plan of the fire stands beside it and stays."""
    number = screens.add_plan(("panel-01/p012", 5000, 2500), ("hydrant-01", 1000, 9000))
    async with screens.screen("/wall?turn_s=5", user="inspector", language="en-GB", **WALL) as page:
        await expect(page.locator(".station-line")).to_be_visible()
        await expect(page.locator(f'[data-wall-plan="{number}"]')).to_be_visible(timeout=WAIT_MS)
        screens.station.alarm("panel-fire", "shuiye/panel-01/p012", "fire")
        await expect(page.locator(".fire")).to_contain_text("Point 12", timeout=WAIT_MS)
        await expect(page.locator(f'[data-fire-plan="{number}"] .is-hit')).to_be_visible()
        view = await page.locator("#live").get_attribute("data-view")
        controls = "main :is(a[href], button, input, select, textarea, form)"
        assert await page.locator(controls).count() == 0
        assert await page.evaluate("document.documentElement.scrollHeight - innerHeight") <= 0
        small = await page.locator(".fire h2, .fire .lasted").evaluate_all(
            "all => all.map((e) => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(small) >= 48  # px of 1080: three centimetres on a screen of 55 inches
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 6)  # longer than a turn
        assert await page.locator("#live").get_attribute("data-view") == view
    screens.station.board.do("floor_plan.remove", "administrator", {"id": number})


async def test_a_drill_frames_wall_and_phone(screens: Screens) -> None:
    """Said in words on top, and a frame around everything; a wall has no button for it."""
    args = {"site": "shuiye", "scope": ["panel-01"], "until_ms": now_ms() + HOUR_MS, "reason": "季度演练"}
    drill = screens.station.acts._drill_open("administrator", **args)
    async with screens.screen("/wall", user="inspector", **WALL) as wall, screens.screen(**PHONE) as phone:
        for page in (wall, phone):
            await expect(page.locator(".drill-banner")).to_contain_text("演练")
            await expect(page.locator("#live")).to_have_class(re.compile("in-drill"))
        await expect(wall.locator(".drill-banner a")).to_have_count(0)
        screens.station.acts._drill_close("administrator", drill["id"], "")
        await expect(wall.locator(".drill-banner")).to_have_count(0, timeout=WAIT_MS)


async def test_a_duty_check_stands_on_the_wall_with_its_time(screens: Screens) -> None:
    """It counts down and leaves when somebody answered."""
    check = screens.station.acts.check(left_s=50)
    async with screens.screen("/wall", user="inspector", **WALL) as page:
        asked = page.locator(".wall-duty")
        await expect(asked.locator("[data-left]")).to_have_text(re.compile(r"^00:[0-4]\d$"))
        screens.station.acts._duty_answer("duty", check)
        await expect(asked).to_have_count(0, timeout=WAIT_MS)
