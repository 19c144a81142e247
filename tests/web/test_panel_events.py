"""What a panel told stands on its page in words, in both languages."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from contract.panel import EventClass, PanelEvent, encode_event
from gateway.history.base import Row
from gateway.web.app import load_inventory
from gateway.web.panel_events import event_row
from gateway.web.texts import LANGUAGES, Language, Texts, load_catalogues
from tests.web.station import Browser, Station, now_ms, serving

ZONE = ZoneInfo("Asia/Shanghai")
PANEL = "shuiye/panel-01"


def texts(language: Language) -> Texts:
    """One reader's."""
    return Texts(language, load_catalogues()[language], ZONE)


def event(kind: EventClass, **fields: object) -> str:
    """An event as it comes."""
    return encode_event(PanelEvent(event=kind, received_ms=now_ms(), **fields))  # type: ignore[arg-type]  # the test's own fields


FIRE = event(EventClass.FIRE, address="p012", text="大厅 <b>", device_zh="感烟", device_en="smoke", panel_time="08:12")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", list(EventClass))
def test_every_class_has_its_word_when_it_is_shown(station: Station, kind: EventClass, language: Language) -> None:
    """No class stands as a code word, neither when it begins nor when it is over."""
    device = load_inventory(station.settings()).devices[PANEL]
    for restored in (False, True):
        row = event_row(device, 1, event(kind, restored=restored), "good", texts(language))
        assert row is not None
        assert "_" not in row.what
        assert row.what != str(kind)
        assert row.what.isascii() == (language == "en")


@pytest.mark.parametrize(
    ("language", "line"),
    [("zh", "火警 · 点位 12 · 大厅 <b> · 感烟"), ("en", "Fire · Point 12 · 大厅 <b> · smoke")],
)
def test_an_event_is_one_line_of_words_when_it_is_a_value(station: Station, language: Language, line: str) -> None:
    """Class, place, what the panel says; the raw frame is for machines."""
    device = load_inventory(station.settings()).devices[PANEL]
    row = event_row(device, 1, FIRE, "good", texts(language))
    assert row is not None
    assert (row.line, row.panel_time) == (line, "08:12")


def test_a_value_that_is_no_event_is_left_as_it_is(station: Station) -> None:
    """Something else came in its place."""
    device = load_inventory(station.settings()).devices[PANEL]
    assert event_row(device, 1, "{", "good", texts("en")) is None
    assert event_row(device, 1, '{"event": "nonsense", "received_ms": 1}', "good", texts("en")) is None


async def test_the_device_page_lists_the_last_twenty_events_when_there_are_more(station: Station) -> None:
    """Newest first, as text; the value above them is in words as well."""
    station.user("duty")
    now = now_ms()
    kinds = [EventClass.RESET] * 5 + [EventClass.SILENCE] * 19
    station.read("panel-01/event", FIRE)
    rows = [
        Row("shuiye", "panel-01", "event", now - (60 - n) * 60_000, event(kind), "good") for n, kind in enumerate(kinds)
    ]
    await station.remember([*rows, Row("shuiye", "panel-01", "event", now - 1000, FIRE, "good")])
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        html = (await browser.get("/devices/shuiye/panel-01")).text
    listed = html[html.index("Last events") : html.index("</table>", html.index("Last events"))]
    assert listed.count("<tr>") == 20
    assert listed.count("Silenced") == 19
    assert listed.index("Fire") < listed.index("Silenced")
    assert "Fire · Point 12 · 大厅 &lt;b&gt; · smoke" in html
    assert "&#34;event&#34;" not in html
    assert "<b>" not in html
