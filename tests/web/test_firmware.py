"""Who a device says it is: on its page, in its life, in the API; what is unknown is said to be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.profile import IDENTITY_POINTS
from gateway.history.base import Row, Sample
from gateway.web.firmware import told_by, turns
from gateway.web.picture import Current
from tests.web.station import Browser, Station, now_ms, serving
from tests.web.test_device_page import KEY, PAGE, part_of, shown

NAMES = ("vendor", "product", "revision")
DAY_MS = 86_400_000
REVISION = IDENTITY_POINTS[2]


async def tell(station: Station, at_ms: int, *texts: str | None, quality: str = "good") -> None:
    """A device told this at that time: into the history, and what is known now."""
    rows = []
    for name, text in zip(NAMES, texts, strict=True):
        station.values[f"{KEY}/{name}"] = [at_ms, text, quality]
        rows.append(Row("shuiye", "hydrant-01", name, at_ms, text, quality))
    await station.remember(rows)


async def updated(station: Station) -> tuple[int, int]:
    """A device whose firmware went from V1.2 to V1.3; when it told so first and when it changed."""
    first_ms, changed_ms = now_ms() - 40 * DAY_MS, now_ms() - 2 * DAY_MS
    await tell(station, first_ms, "Acme", "HX-1", "V1.2")
    await tell(station, first_ms + DAY_MS, "Acme", "HX-1", "V1.2")  # its agent was started again
    await tell(station, first_ms + 2 * DAY_MS, None, None, None, quality="unknown:no_answer")
    await tell(station, changed_ms, "Acme", "HX-1", "V1.3")
    return first_ms, changed_ms


async def asked(station: Station, path: str, role: str = "maintainer") -> Any:
    """The JSON at a path."""
    station.user(role)
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in(role)
        return (await browser.get(path)).json()


async def test_the_page_names_maker_product_and_both_revisions_when_the_firmware_changed(station: Station) -> None:
    """Since when, and what it was before; an unchanged part has no before."""
    await updated(station)
    block = part_of(await shown(station), "panel facts firmware")
    for text in ("Acme", "HX-1", "V1.3", "V1.2", "before:"):
        assert text in block
    assert block.count("since ") == 3
    assert block.count("before:") == 1
    assert "does not answer" not in block


async def test_the_page_says_that_it_is_the_last_word_when_the_device_is_silent(station: Station) -> None:
    """What it told is no proof of what is there now."""
    await updated(station)
    station.values[f"{KEY}/online"] = [now_ms(), False, "good"]
    block = part_of(await shown(station), "panel facts firmware")
    assert "V1.3" in block
    assert "The device does not answer now. This is what it told last." in block


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ("unknown:refused", "the device does not have the function"),
        ("unknown:line_busy", "the line has no idle moment to ask"),
        (None, "not asked yet"),
    ],
)
async def test_the_page_says_why_when_nothing_is_known(station: Station, quality: str | None, words: str) -> None:
    """Unknown, with its reason, and never a tick."""
    if quality is not None:
        await tell(station, now_ms() - 1000, None, None, None, quality=quality)
    block = part_of(await shown(station), "panel facts firmware")
    assert block.count(words) == 1
    assert "icon-unknown" in block
    assert "icon-good" not in block


async def test_a_refusal_alarms_nobody_and_leaves_the_device_good(station: Station) -> None:
    """That a device cannot tell its firmware says nothing of its values."""
    await tell(station, now_ms() - 1000, None, None, None, quality="unknown:refused")
    answer = await asked(station, f"/api/v1/devices/{KEY}")
    assert (answer["status"], answer["reason"], answer["severity"]) == ("good", "", None)
    assert not {value["point"] for value in answer["values"]} & {f"{KEY}/{name}" for name in NAMES}


async def test_a_device_nobody_can_ask_has_no_firmware_block(station: Station) -> None:
    """A printer port is only listened to."""
    page = "/devices/shuiye/panel-02"
    assert "panel facts firmware" not in await shown(station, page=page)


async def test_markup_in_a_name_is_text_when_a_device_tells_it(station: Station) -> None:
    """Whatever a device says stays text, on its page and in its life."""
    await tell(station, now_ms() - 1000, "<img src=x onerror=alert(1)>", '"><script>', "=cmd|' /C calc'!A0")
    for page in (PAGE, f"/records/{KEY}?kind=identity"):
        html = await shown(station, "inspector", page)
        assert "<img src=x" not in html
        assert '"><script>' not in html
        assert "&lt;img src=x onerror=alert(1)&gt;" in html


async def test_the_life_of_a_device_tells_every_change_when_the_firmware_changed(station: Station) -> None:
    """The first time and the change; neither a restart of the agent nor a silence in between."""
    first_ms, changed_ms = await updated(station)
    events = (await asked(station, f"/api/v1/records/{KEY}", "inspector"))["events"]
    mine = [(e["at_ms"], e["title"], e["lines"]) for e in events if e["kind"] == "identity" and "irmware" in str(e)]
    assert mine == [
        (changed_ms, "Firmware or device changed", ["Firmware revision: V1.2 → V1.3"]),
        (first_ms, "Told who it is", ["Maker: Acme", "Product code: HX-1", "Firmware revision: V1.2"]),
    ]


async def test_the_api_tells_who_a_device_is(station: Station) -> None:
    """Value, since when and what before; null with its reason where nothing is known, and null for who cannot tell."""
    first_ms, changed_ms = await updated(station)
    firmware = (await asked(station, f"/api/v1/devices/{KEY}"))["firmware"]
    assert firmware == {
        "vendor": {"value": "Acme", "quality": "good", "since_ms": first_ms, "before": None},
        "product": {"value": "HX-1", "quality": "good", "since_ms": first_ms, "before": None},
        "revision": {"value": "V1.3", "quality": "good", "since_ms": changed_ms, "before": "V1.2"},
        "answers": True,
    }
    other = (await asked(station, "/api/v1/devices/shuiye/hydrant-02"))["firmware"]
    assert other["revision"] == {"value": None, "quality": "unknown:never_reported", "since_ms": None, "before": None}
    assert (await asked(station, "/api/v1/devices/shuiye/panel-02"))["firmware"] is None


SAMPLES = st.lists(
    st.tuples(st.integers(1, 50), st.sampled_from([("A", "good"), ("B", "good"), (None, "unknown:refused")])),
    max_size=12,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [Sample(at, *said) for at, said in sorted(pairs)])


@given(SAMPLES)
def test_what_is_shown_is_the_last_word_whatever_was_told(samples: list[Sample]) -> None:
    """The text of now is the last told; unknown whenever the last word is that it is; since is when it began."""
    told = told_by(REVISION, samples, None)
    last = samples[-1] if samples else None
    assert told.text == (last.value if last is not None and last.quality == "good" else None)
    texts = good(samples)
    assert [text for _, _, text in turns(samples)] == [b for a, b in pairwise([None, *texts]) if a != b]
    if last is not None:
        assert told.since_ms is not None
        assert told.since_ms <= last.observed_ms
        assert told.before != told.text or told.text is None
    # The history may lag: the last value known counts.
    newer = told_by(REVISION, samples, Current(99, "C", "good"))
    assert (newer.text, newer.since_ms, newer.before) == ("C", 99, texts[-1] if texts else None)


def good(samples: list[Sample]) -> list[Any]:
    """The texts told, in order."""
    return [sample.value for sample in samples if sample.quality == "good"]
