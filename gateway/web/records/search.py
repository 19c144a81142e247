"""Devices found by unit, area, type, words and state, as they were on a day and as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from contract.site import SYSTEM_SITE
from gateway.assessment.device_time import Watched, stops_of
from gateway.assessment.state_at import STATES, State, states_at, was_watched
from gateway.web.access import Refused
from gateway.web.context import Web
from gateway.web.inventory import Device
from gateway.web.texts import Texts, msgid

PAGE = 50
STOP_MS = 400 * 86_400_000
"""A gateway that stood still tells so when it starts again; longer than this after the day nobody looks."""


class Terms(NamedTuple):
    """What is looked for; empty: anything. on: a day of the pages' time zone, YYYY-MM-DD."""

    text: str = ""
    site: str = ""
    area: str = ""
    type: str = ""
    state: str = ""
    on: str = ""

    def address(self, **more: str | int) -> str:
        """The address of the page with these terms."""
        query = {name: value for name, value in (self._asdict() | more).items() if value not in ("", 1)}
        return f"/records?{urlencode(query)}" if query else "/records"


class Found(NamedTuple):
    """A device that fits. then: None where no day was asked for."""

    key: str
    title: str
    kind: str
    place: str
    site: str
    unit: str
    area: str
    then: State | None
    now: State


class Results(NamedTuple):
    """A page of what was found. counts: by state (then, where a day was asked for); at_ms: the moment of `then`."""

    rows: list[Found]
    total: int
    number: int
    pages: int
    counts: list[tuple[State, int]]
    at_ms: int | None


async def search(web: Web, texts: Texts, terms: Terms, number: int, size: int = PAGE) -> Results:
    """Find devices. size: how many on a page. Raises Refused for a day that is none or has not come."""
    await web.refresh_approvals()
    devices = _fitting(web, texts, terms)
    at_ms = end_of_day(web, terms.on) if terms.on else None
    now = await states(web, devices, None)
    then = now if at_ms is None else await states(web, devices, at_ms)
    counts = Counter(then[device.key] for device in devices)
    if terms.state:
        devices = [device for device in devices if then[device.key] == terms.state]
    rank = {state: n for n, state in enumerate(STATES)}
    devices.sort(key=lambda device: (rank[then[device.key]], device.site, device.id))
    pages = max(1, -(-len(devices) // size))
    number = min(max(1, number), pages)
    shown = devices[(number - 1) * size : number * size]
    rows = [
        _row(web, texts, device, then[device.key] if at_ms is not None else None, now[device.key]) for device in shown
    ]
    return Results(rows, len(devices), number, pages, [(s, counts[s]) for s in STATES if counts[s]], at_ms)


async def states(web: Web, devices: Sequence[Device], at_ms: int | None) -> dict[str, State]:
    """The state of devices at a moment; None: now, which is not known while the gateway does not answer."""
    if at_ms is None:
        watched, moment = web.picture.connected, web.now_ms()
    else:
        whole, moment = web.all.ledger, at_ms
        stops = stops_of(await web.read(whole.alarms_raised, at_ms, at_ms + STOP_MS, SYSTEM_SITE))
        watched = was_watched(at_ms, await web.read(whole.first_ms), await web.read(whole.alive_ms), stops)
    standing = await web.read(web.ledger.alarms_standing, moment)
    return states_at(map(watched_of, devices), standing, web.inventory.rules, watched=watched)


def watched_of(device: Device) -> Watched:
    """A device and what it hangs on."""
    return Watched(device.site, device.id, device.agent, device.line)


def end_of_day(web: Web, day: str) -> int:
    """The last moment of a day, or now where it is today, ms UTC. Raises Refused."""
    try:
        first = date.fromisoformat(day)
        after = datetime.combine(first + timedelta(days=1), time(), ZoneInfo(web.settings.timezone))
        begin = datetime.combine(first, time(), ZoneInfo(web.settings.timezone))
    except (ValueError, OverflowError):
        raise Refused(422, msgid("The date cannot be read.")) from None
    if begin.timestamp() * 1000 > web.now_ms():
        raise Refused(422, msgid("This day has not come yet. Choose today or an earlier one."))
    return min(web.now_ms(), round(after.timestamp() * 1000) - 1)


def unit_title(web: Web, site: str, texts: Texts) -> str:
    """The unit that a site belongs to; empty where the grid names none."""
    found = next((placed.unit for placed in web.inventory.grid.units.values() if placed.unit.site == site), None)
    return found.title.get(texts.language) if found is not None else ""


def area_title(web: Web, site: str, texts: Texts) -> str:
    """The areas a site lies in, the widest first; empty where it lies in none."""
    known = web.inventory.sites.get(site)
    path = web.inventory.grid.path(known.area) if known is not None and known.area else ()
    return " › ".join(area.title.get(texts.language) for area in path)


def _fitting(web: Web, texts: Texts, terms: Terms) -> list[Device]:
    inventory = web.inventory
    below = inventory.grid.below(terms.area) if terms.area else frozenset()
    words = terms.text.casefold().split()
    units = {site: unit_title(web, site, texts).casefold() for site in inventory.sites} if words else {}
    found = []
    for device in inventory.devices.values():
        site = inventory.sites.get(device.site)
        if terms.site and device.site != terms.site:
            continue
        if terms.area and (site is None or site.area not in below):
            continue
        if terms.type and device.profile.category != terms.type:
            continue
        if words:
            title = inventory.site_title(device.site)
            said = (device.title.zh, device.title.en, device.key, title.zh, title.en, device.profile.title.zh)
            place = (device.place.zh, device.place.en) if device.place is not None else ()
            text = " ".join((*said, device.profile.title.en, *place)).casefold() + units.get(device.site, "")
            if not all(word in text for word in words):
                continue
        found.append(device)
    return found


def _row(web: Web, texts: Texts, device: Device, then: State | None, now: State) -> Found:
    return Found(
        device.key,
        device.title.get(texts.language),
        device.profile.title.get(texts.language),
        device.place.get(texts.language) if device.place is not None else "",
        web.inventory.site_title(device.site).get(texts.language),
        unit_title(web, device.site, texts),
        area_title(web, device.site, texts),
        then,
        now,
    )
