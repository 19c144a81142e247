"""The page of a device: how it is and why on top, limits beside the numbers, line health drawn, its dates."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.history.base import Row, Sample
from gateway.web.device_facts import silences
from tests.web.station import HOUR_MS, Browser, Station, now_ms, serving

PAGE = "/devices/shuiye/hydrant-01"
KEY = "shuiye/hydrant-01"


def part_of(html: str, name: str) -> str:
    """A part of the page by its class: from there to the end of its section or figure."""
    return re.split(r"</section>|</figure>", html.partition(f'class="{name}')[2])[0]


async def shown(station: Station, role: str = "maintainer", page: str = PAGE) -> str:
    """The page as somebody sees it."""
    station.user(role)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in(role)
        answer = await browser.get(page)
        assert answer.status_code == 200
        return answer.text


async def test_the_top_says_state_alarm_and_worst_value_with_its_limits_when_one_is_low(station: Station) -> None:
    """The alarm by name, the value it is about, and the limit in force beside it."""
    station.values[f"{KEY}/pressure_kpa"] = [now_ms(), 92.0, "good"]
    station.alarm("hydrant-pressure-critical", f"{KEY}/pressure_kpa", "critical", ago_s=60)
    html = await shown(station)
    top = part_of(html, "panel verdict")
    assert "st-good sev-critical" in top
    assert "Critical" in top
    assert "Municipal hydrant pressure critical" in top
    assert re.findall(r"[<>] \d+ kPa", top.replace("&lt;", "<").replace("&gt;", ">")) == [
        "< 140 kPa",
        "< 100 kPa",
        "> 800 kPa",
    ]
    values = part_of(html, "panel device-values")
    assert values.index("Water pressure") < values.index("Flow")


async def test_a_limit_of_the_device_itself_stands_beside_the_number_when_its_site_entry_has_one(
    station: Station,
) -> None:
    """What is in force for it, not what the rule says of the others."""
    text = station.site_file.read_text("utf-8").replace(
        "    - id: hydrant-01\n",
        "    - id: hydrant-01\n      limits: {hydrant-pressure-critical: {below: 111, clear: 125}}\n",
    )
    assert "below: 111" in text
    station.site_file.write_text(text, "utf-8")
    top = part_of(await shown(station), "panel verdict")
    assert "&lt; 111 kPa" in top or "< 111 kPa" in top
    assert "100 kPa" not in top


async def test_line_health_is_drawn_when_answer_times_and_errors_are_kept(station: Station) -> None:
    """Answer times as a curve, errors as bars with their sum, an hour of silence shaded; no style attribute."""
    at = now_ms()
    rows = [
        Row("shuiye", "hydrant-01", "response_ms", at - n * 60_000, 25.0 + n % 7, "good") for n in range(600, 0, -1)
    ]
    rows += [
        Row("shuiye", "hydrant-01", "errors_count", at - n * 60_000, float(max(0, 5 - n // 60)), "good")
        for n in range(600, 0, -1)
    ]
    rows += [
        Row("shuiye", "hydrant-01", "online", at - 3 * HOUR_MS, False, "good"),
        Row("shuiye", "hydrant-01", "online", at - 2 * HOUR_MS, True, "good"),
    ]
    await station.remember(rows)
    station.values[f"{KEY}/response_ms"] = [at, 25.0, "good"]
    html = await shown(station)
    strip = part_of(html, "health-strip")
    assert "<polyline" in strip
    assert strip.count('class="errors"') == 5
    assert "Errors <b>5</b>" in strip
    assert strip.count('class="silent"') == 1
    assert "silent for 1:00:00" in strip
    assert "style=" not in html


async def test_the_page_leads_to_life_label_and_line_and_says_when_nothing_is_to_be_done(station: Station) -> None:
    """One press each."""
    html = await shown(station)
    for link in (f"/records/{KEY}", f"/records/{KEY}/label", "/upkeep/lines/shuiye/field"):
        assert f'href="{link}"' in html
    assert "Nothing is open." in part_of(html, "panel verdict")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.booleans()), max_size=30))
def test_silences_lie_apart_and_within_the_drawing_when_a_device_comes_and_goes(turns: list[tuple[int, bool]]) -> None:
    """In order of time, and only the last may last until now."""
    told = [Sample(at, value, "good") for at, value in sorted(turns)]
    found = silences(told, 20_000)
    ends = [moment for pair in found for moment in pair]
    assert ends == sorted(ends)
    assert [end for _, end in found[:-1] if end == 20_000] == []
    assert bool(told and told[-1].value is False) == bool(found and found[-1][1] == 20_000)
