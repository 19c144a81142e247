"""A panel's events in the reader's words: what, where, what the panel says of it. Pure, but for reading history."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from contract import quality as q
from contract.errors import RetryLater
from contract.panel import EVENT, EventClass, PanelEvent, decode_event, state_address
from gateway.history.base import MAX_RAW, History, Sample
from gateway.web.inventory import Device
from gateway.web.texts import Texts

MOST = 20
"""Events listed on a device's page."""
_SPANS_MS = (3_600_000, 86_400_000, 30 * 86_400_000)
"""How far back to look: further where there are fewer than MOST."""


class EventRow(NamedTuple):
    """One event. what: its class, and whether it is over. place: the point, and its number where a map names it.

    text: what the panel says beside that. panel_time: by the panel's own clock, as it prints it. quality: words, empty
    for good.
    """

    observed_ms: int
    what: str
    place: str
    text: str
    panel_time: str
    quality: str

    @property
    def line(self) -> str:
        """All of it in one line, the times left out."""
        return " · ".join(part for part in (self.what, self.place, self.text) if part)


def event_row(device: Device, observed_ms: int, value: str, quality: str, texts: Texts) -> EventRow | None:
    """The event of a reading of the point `event`; None when it is none that we know."""
    try:
        event = decode_event(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    place = _place(device, event, texts)
    kind = event.device_zh if texts.language == "zh" else event.device_en or event.device_zh
    said = [part for part in (event.text, kind) if part and part not in place]
    doubt = "" if quality == q.GOOD else texts.quality(quality)
    return EventRow(observed_ms, _what(event, texts), place, " · ".join(said), event.panel_time, doubt)


async def latest_events(history: History, device: Device, now_ms: int, texts: Texts) -> list[EventRow]:
    """The last events of a panel, newest first; none while the store is away."""
    if device.profile.category != "panel":
        return []
    found: list[Sample] = []
    try:
        for span_ms in _SPANS_MS:
            found = await history.raw(device.site, f"{device.id}/{EVENT}", now_ms - span_ms, now_ms + 60_000, MAX_RAW)
            if len(found) >= MOST:
                break
    except RetryLater:
        return []
    rows = [
        event_row(device, sample.observed_ms, sample.value, sample.quality, texts)
        for sample in reversed(found[-MOST:])
        if isinstance(sample.value, str)
    ]
    return [row for row in rows if row is not None]


def _what(event: PanelEvent, texts: Texts) -> str:
    if event.event is EventClass.OTHER and event.restored:
        return texts.word("state", "normal")
    word = texts.word("panel_event", event.event)
    return texts("%(event)s over", event=word) if event.restored else word


def _place(device: Device, event: PanelEvent, texts: Texts) -> str:
    address = state_address(event)
    point = device.profile.point(address) if address is not None else None
    if address is None or point is None:
        return address or ""
    title = point.title.get(texts.language)
    return f"{title} ({address})" if address in device.profile.titles else title
